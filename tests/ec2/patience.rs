//! What Amazon leaves out for a moment is not gone, and what it refuses for good is not asked for for ever.

use std::collections::BTreeMap;
use std::time::Duration;

use ec2::Ec2;
use ec2::config::Config;
use fake_ec2::{Fake, Rules, Spread};
use provisioners::conformance::{effect, server, settled};
use provisioners::{
    EnvironmentId, Ledger, MachineState, ObservedEnvironment, PageChange, Provisioner, ServerId, ServerPlan,
    SnapshotId, SnapshotPlan, SnapshotState, SnapshotVolume, Step, VolumeId, VolumePlan,
};
use tokio::time::sleep;

use super::amazon::{Account, config};

const MINUTE: Duration = Duration::from_secs(60);

async fn ask(portal: &Ec2, environment: &EnvironmentId, step: Step) {
    assert_eq!(portal.request(&effect(environment, &step)).await, Ok(()));
}

async fn seen(portal: &Ec2, environment: &EnvironmentId) -> ObservedEnvironment {
    portal.observe(std::slice::from_ref(environment)).await.expect("an Amazon that answers").remove(0)
}

/// What a server is said to do, and why it does not, once that contains these words.
async fn told(portal: &Ec2, environment: &EnvironmentId, generation: i64, words: &str) -> MachineState {
    for _ in 0..3600 {
        let servers = seen(portal, environment).await.servers;
        let server = servers.into_iter().find(|one| one.generation == generation);
        let text = server.as_ref().map(|server| match &server.state {
            MachineState::Starting { doing } => server.told(doing.clone()),
            MachineState::Failed { reason } => reason.clone(),
            MachineState::Running => "running".to_owned(),
            _ => String::new(),
        });
        if let Some(server) = server.filter(|_| text.is_some_and(|text| text.contains(words))) {
            return server.state;
        }
        sleep(Duration::from_secs(1)).await;
    }
    panic!("{words:?} is never told: {:#?}", seen(portal, environment).await);
}

fn web(generation: i64) -> ServerPlan {
    ServerPlan { mounts: Vec::new(), ..server("web", generation) }
}

fn start(plan: ServerPlan) -> Step {
    Step::StartServer { server: Box::new(plan) }
}

fn data() -> Step {
    let volume = VolumePlan { id: VolumeId::new("data"), name: "data".to_owned(), size_bytes: 3 << 30, from: None };
    Step::CreateVolume { volume }
}

/// A server, a volume and a snapshot, all of them older than Amazon ever lags behind.
async fn a_day_old(portal: &Ec2, environment: &EnvironmentId) {
    ask(portal, environment, Step::CreateNetwork).await;
    ask(portal, environment, data()).await;
    ask(portal, environment, start(server("web", 1))).await;
    settled(portal, environment).await;
    let volumes = vec![SnapshotVolume { volume: VolumeId::new("data"), name: "data".to_owned() }];
    let snapshot = SnapshotPlan { id: SnapshotId::new("noon"), volumes };
    ask(portal, environment, Step::CreateSnapshot { snapshot }).await;
    settled(portal, environment).await;
    sleep(MINUTE * 24 * 60).await;
}

#[tokio::test(start_paused = true)]
async fn what_amazon_leaves_out_for_some_minutes_is_still_there_and_is_gone_when_it_stays_away() {
    let account = Account::new(Fake::new(Rules::calm()));
    let portal = account.open().await;
    let environment = EnvironmentId::new("env");
    a_day_old(&portal, &environment).await;
    let whole = seen(&portal, &environment).await;
    assert_eq!((whole.servers[0].state.clone(), whole.volumes.len()), (MachineState::Running, 1));
    assert_eq!(whole.snapshots[0].state, SnapshotState::Complete);

    let truth = account.fake.truth();
    let all = || {
        let instances = truth.instances.iter().map(|one| one.id.clone());
        let volumes = truth.volumes.iter().map(|one| one.id.clone());
        let snapshots = truth.snapshots.iter().map(|one| one.id.clone());
        instances.chain(volumes).chain(snapshots).chain(truth.groups.iter().map(|one| one.id.clone()))
    };
    for minutes in [0, 1, 8] {
        account.fake.set_hidden(all());
        assert_eq!(seen(&portal, &environment).await, whole, "left out at first");
        sleep(MINUTE * minutes).await;
        assert_eq!(seen(&portal, &environment).await, whole, "left out for {minutes} minutes");
        account.fake.set_hidden([]);
        assert_eq!(seen(&portal, &environment).await, whole, "shown again");
    }
    // Each time away is counted for itself, by whichever portal.
    drop(portal);
    let portal = account.open().await;
    account.fake.set_hidden(all());
    assert_eq!(seen(&portal, &environment).await, whole);
    sleep(MINUTE * 11).await;
    let gone = seen(&portal, &environment).await;
    assert!(matches!(gone.servers[0].state, MachineState::Dead { .. }), "{gone:?}");
    assert!(matches!(gone.snapshots[0].state, SnapshotState::Damaged { .. }), "{gone:?}");
    assert!(!gone.network && gone.volumes.is_empty(), "{gone:?}");
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_a_server_is_shown_with_is_there_before_it_is_shown_for_itself() {
    let account = Account::new(Fake::new(Rules { latency: Spread(100, 100), ..Rules::calm() }));
    let portal = account.open().await;
    let environment = EnvironmentId::new("env");
    ask(&portal, &environment, Step::CreateNetwork).await;
    ask(&portal, &environment, data()).await;
    while account.fake.truth().volumes.is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    account.fake.set_hidden(account.fake.truth().volumes.into_iter().map(|one| one.id));
    let before = seen(&portal, &environment).await;
    assert!(before.volumes.is_empty() && !before.restoring.is_empty(), "it is not shown: {before:?}");

    ask(&portal, &environment, start(server("web", 1))).await;
    told(&portal, &environment, 1, "running").await;
    let there = seen(&portal, &environment).await;
    assert_eq!((there.volumes.as_slice(), there.restoring.len()), (&[VolumeId::new("data")][..], 0));
}

#[tokio::test(start_paused = true)]
async fn servers_are_told_why_there_is_no_network_for_them_and_the_next_try_makes_one() {
    let account = Account::new(Fake::new(Rules::calm()));
    let portal = account.open().await;
    let environment = EnvironmentId::new("env");
    for (generation, denied) in [(1, "CreateSecurityGroup"), (2, "AuthorizeSecurityGroupEgress")] {
        account.fake.set_denied([denied]);
        if generation == 1 {
            ask(&portal, &environment, Step::CreateNetwork).await;
        }
        ask(&portal, &environment, start(web(generation))).await;
        let state = told(&portal, &environment, generation, denied).await;
        assert!(matches!(state, MachineState::Failed { .. }), "{state:?}");
    }
    account.fake.set_denied([]);
    ask(&portal, &environment, start(web(3))).await;
    told(&portal, &environment, 3, "running").await;
    let groups = account.fake.truth().groups.into_iter().filter(|group| group.name == "bookend-env");
    assert_eq!(groups.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_network_that_goes_before_it_was_made_leaves_nothing() {
    let account = Account::new(Fake::new(Rules::calm()));
    let portal = account.open().await;
    let environment = EnvironmentId::new("env");
    account.fake.set_denied(["AuthorizeSecurityGroupIngress"]);
    for _ in 0..2 {
        ask(&portal, &environment, Step::CreateNetwork).await;
        ask(&portal, &environment, Step::DeleteNetwork).await;
        sleep(MINUTE).await;
        let truth = account.fake.truth();
        let left = truth.groups.iter().filter(|group| group.name == "bookend-env" && group.state == "here");
        assert_eq!((left.count(), seen(&portal, &environment).await.network), (0, false));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_though_it_may_pass_is_told_after_a_minute_and_given_up_after_ten() {
    let account = Account::new(Fake::new(Rules::calm()));
    let portal = account.open().await;
    let environment = EnvironmentId::new("env");
    account.fake.set_denied(["AttachVolume"]);
    ask(&portal, &environment, Step::CreateNetwork).await;
    ask(&portal, &environment, data()).await;
    ask(&portal, &environment, start(server("web", 1))).await;
    let waits = told(&portal, &environment, 1, "attaching its volumes: Bookend may not do this on Amazon").await;
    assert!(matches!(waits, MachineState::Starting { .. }), "{waits:?}");
    let given_up = told(&portal, &environment, 1, "AttachVolume").await;
    assert!(matches!(given_up, MachineState::Starting { .. }), "{given_up:?}");
    sleep(MINUTE * 11).await;
    let given_up = told(&portal, &environment, 1, "AttachVolume").await;
    assert!(matches!(given_up, MachineState::Failed { .. }), "{given_up:?}");
}

#[tokio::test(start_paused = true)]
async fn a_configured_group_that_somebody_deleted_is_named_and_the_server_given_up() {
    let account = Account::new(Fake::new(Rules::calm()));
    let amazon = account.amazon();
    let call = async |name| amazon.buckets.acquire(&[(ec2::buckets::Bucket::Call(name), 1)]).await;
    let network = amazon.subnets(&[], None).await.expect("subnets")[0].vpc.clone();
    let tags = BTreeMap::from([("team".to_owned(), "stories".to_owned())]);
    let made = amazon.create_security_group(call("CreateSecurityGroup").await, &network, "extra", "Extra", &tags);
    let group = made.await.expect("a group");
    let config = Config { security_groups: vec![group.clone()], ..config() };
    let portal = account.open_with(config).await.expect("a region that can be used");
    amazon.delete_security_group(call("DeleteSecurityGroup").await, &group).await.expect("nobody uses it");
    let environment = EnvironmentId::new("env");
    ask(&portal, &environment, Step::CreateNetwork).await;
    ask(&portal, &environment, start(web(1))).await;
    let waits = told(&portal, &environment, 1, &group).await;
    assert!(matches!(waits, MachineState::Starting { .. }), "{waits:?}");
    sleep(MINUTE * 11).await;
    let given_up = told(&portal, &environment, 1, &group).await;
    assert!(matches!(given_up, MachineState::Failed { .. }), "{given_up:?}");
}

/// As when somebody tidies up a group that no server uses at the moment.
#[tokio::test(start_paused = true)]
async fn the_internets_group_that_somebody_deleted_is_made_again() {
    let account = Account::new(Fake::new(Rules::calm()));
    let portal = account.open().await;
    let environment = EnvironmentId::new("env");
    ask(&portal, &environment, Step::CreateNetwork).await;
    let open = |generation| ServerPlan { internet: true, ..web(generation) };
    ask(&portal, &environment, start(open(1))).await;
    told(&portal, &environment, 1, "running").await;
    let stop = Step::StopServer { server: open(1).id, generation: 1 };
    ask(&portal, &environment, stop).await;
    settled(&portal, &environment).await;
    sleep(MINUTE * 5).await;
    let internet = |group: &fake_ec2::TrueGroup| group.name.starts_with("bookend-internet-") && group.state == "here";
    let group = account.fake.truth().groups.into_iter().find(internet).expect("the internet's group");
    let amazon = account.amazon();
    let paid = amazon.buckets.acquire(&[(ec2::buckets::Bucket::Call("DeleteSecurityGroup"), 1)]).await;
    amazon.delete_security_group(paid, &group.id).await.expect("nobody uses it");

    ask(&portal, &environment, start(open(2))).await;
    sleep(MINUTE * 11).await;
    let given_up = told(&portal, &environment, 2, &group.id).await;
    assert!(matches!(given_up, MachineState::Failed { .. }), "{given_up:?}");
    ask(&portal, &environment, start(open(3))).await;
    told(&portal, &environment, 3, "running").await;
}

/// Parked every evening for a week.
#[tokio::test(start_paused = true)]
async fn what_is_long_over_is_remembered_no_longer_but_that_servers_had_their_volumes_is() {
    const MORNINGS: i64 = 7;
    let account = Account::new(Fake::new(Rules::calm()));
    let portal = account.open().await;
    let environment = EnvironmentId::new("env");
    ask(&portal, &environment, Step::CreateNetwork).await;
    ask(&portal, &environment, data()).await;
    for morning in 1..=MORNINGS {
        ask(&portal, &environment, start(server("web", morning))).await;
        settled(&portal, &environment).await;
        sleep(MINUTE * 8 * 60).await;
        ask(&portal, &environment, Step::StopServer { server: web(morning).id, generation: morning }).await;
        settled(&portal, &environment).await;
        sleep(MINUTE * 16 * 60).await;
    }
    sleep(MINUTE * 24 * 60).await;
    let pages = account.ledger.read(std::slice::from_ref(&environment)).await.expect("a ledger");
    let keys: Vec<&str> = pages.iter().map(|page| page.key.as_str()).collect();
    assert_eq!(keys, ["network", "server/web/7", "volume/data"]);
    let volume: serde_json::Value = serde_json::from_str(&pages[2].body).expect("a page");
    let id = volume["volume"].as_str().expect("Amazon's id");
    assert_eq!(volume["had_before"][id], MORNINGS - 1, "{volume:#}");

    // What was before is not asked for again, and the next one has its data.
    let late = portal.request(&effect(&environment, &start(server("web", 3)))).await;
    assert!(late.is_err(), "{late:?}");
    ask(&portal, &environment, start(server("web", MORNINGS + 1))).await;
    told(&portal, &environment, MORNINGS + 1, "running").await;
    assert_eq!(account.fake.truth().volumes.iter().filter(|one| one.is_alive() && one.id == id).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_environment_whose_pages_nobody_understands_keeps_no_other_from_coming_and_going_and_loses_nothing() {
    let account = Account::new(Fake::new(Rules::calm()));
    let portal = account.open().await;
    let (odd, sound) = (EnvironmentId::new("a-odd"), EnvironmentId::new("b-sound"));
    ask(&portal, &odd, Step::CreateNetwork).await;
    ask(&portal, &odd, start(web(1))).await;
    settled(&portal, &odd).await;
    let pages = account.ledger.read(std::slice::from_ref(&odd)).await.expect("a ledger");
    let page = pages.into_iter().find(|page| page.key.starts_with("server")).expect("a server's page");
    let write = async |from: i64, body: &str| {
        let (environment, key, body) = (odd.clone(), page.key.clone(), Some(body.to_owned()));
        account.ledger.write(&[PageChange { environment, key, from, body }]).await
    };
    assert_eq!(write(page.version, "{}").await, Ok(true));

    // A portal that comes now reads it first.
    let portal = account.open().await;
    ask(&portal, &sound, Step::CreateNetwork).await;
    ask(&portal, &sound, start(ServerPlan { id: ServerId::new("other"), ..web(1) })).await;
    settled(&portal, &sound).await;
    assert_eq!(seen(&portal, &sound).await.servers[0].state, MachineState::Running);
    assert!(portal.observe(std::slice::from_ref(&odd)).await.is_err(), "nothing follows from what nobody understands");
    let both = portal.observe(&[odd.clone(), sound.clone()]).await.expect("the other one");
    assert_eq!(both.iter().map(|one| &one.environment).collect::<Vec<_>>(), [&sound]);
    let alive = account.fake.truth().instances.into_iter().filter(fake_ec2::TrueInstance::is_alive).count();
    assert_eq!(alive, 2, "what it has stays");

    assert_eq!(write(page.version + 1, &page.body).await, Ok(true));
    assert_eq!(seen(&portal, &odd).await.servers[0].state, MachineState::Running);
    ask(&portal, &odd, Step::StopServer { server: web(1).id, generation: 1 }).await;
    while !seen(&portal, &odd).await.servers.is_empty() {
        sleep(Duration::from_secs(1)).await;
    }
}
