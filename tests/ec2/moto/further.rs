//! What no conformance story has, on moto: leftovers, copies in other regions, servers that stand by, and the doctor.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_ec2::config::Credentials;
use ec2::Ec2;
use ec2::config::Config;
use ec2::doctor::{Finding, examine};
use provisioners::conformance::{effect, server, settled};
use provisioners::{
    EnvironmentId, MachineState, OrphanKind, Orphans, Provisioner, ServerId, ServerPlan, SnapshotId, SnapshotPlan,
    SnapshotState, SnapshotVolume, Step, VolumeId, VolumePlan,
};

use super::super::amazon::{INSTALLATION, Pages, config, open};
use super::{Moto, values};

const HOME: &str = "eu-central-1";
const AWAY: &str = "eu-west-1";
const HOUR_MS: i64 = 60 * 60_000;

fn credentials() -> Credentials {
    Credentials::new("AKIASTORY", "secret", None, None, "a story")
}

fn config_in(moto: &Moto, region: &str) -> Config {
    let endpoint = format!("http://{}", moto.address);
    let mut config = Config { endpoint: Some(endpoint.clone()), region: region.to_owned(), ..config() };
    config.endpoints.service_quotas = Some(endpoint);
    config
}

/// Whose clock is ahead of moto's, which knows no other time than the machine's.
async fn portal(moto: &Moto, ledger: &Arc<Pages>, installation: &str, region: &str, ahead_ms: i64) -> Ec2 {
    let config = config_in(moto, region);
    let amazon = ec2::connect_as(&config, Some(credentials())).await;
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis();
    let now = Arc::new(move || i64::try_from(now()).expect("a clock") + ahead_ms);
    open(config, amazon, ledger.clone(), installation, now).await.expect("a region that can be used")
}

fn web() -> ServerPlan {
    ServerPlan { mounts: Vec::new(), ..server("web", 1) }
}

fn data() -> VolumePlan {
    VolumePlan { id: VolumeId::new("data"), name: "data".to_owned(), size_bytes: 1 << 30, from: None }
}

fn kept() -> SnapshotPlan {
    let volume = SnapshotVolume { volume: VolumeId::new("data"), name: "data".to_owned() };
    SnapshotPlan { id: SnapshotId::new("kept"), volumes: vec![volume] }
}

async fn ask(portal: &Ec2, environment: &EnvironmentId, steps: Vec<Step>) {
    for step in steps {
        assert_eq!(portal.request(&effect(environment, &step)).await, Ok(()), "{step:?}");
        settled(portal, environment).await;
    }
}

/// A server, a volume, and a snapshot of that.
async fn bring_up(portal: &Ec2, environment: &EnvironmentId) {
    let start = Step::StartServer { server: Box::new(web()) };
    let steps = [Step::CreateNetwork, Step::CreateVolume { volume: data() }, start];
    ask(portal, environment, steps.into()).await;
    ask(portal, environment, vec![Step::CreateSnapshot { snapshot: kept() }]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_database_remembered_is_found_and_removed_on_moto() {
    let Some(moto) = Moto::start() else { return };
    let ledger: Arc<Pages> = Arc::default();
    let (lost, theirs) = (EnvironmentId::new("lost"), EnvironmentId::new("theirs"));
    bring_up(&portal(&moto, &ledger, INSTALLATION, HOME, 0).await, &lost).await;
    bring_up(&portal(&moto, &Arc::default(), "another", HOME, 0).await, &theirs).await;

    let remembers = portal(&moto, &ledger, INSTALLATION, HOME, HOUR_MS).await;
    assert_eq!(remembers.orphans().await, Ok(Orphans::default()), "all of it is remembered");
    drop(remembers);
    let forgot = portal(&moto, &Arc::default(), INSTALLATION, HOME, HOUR_MS).await;
    let found = forgot.orphans().await.expect("moto answers").found;
    let kinds = [OrphanKind::Server, OrphanKind::Volume, OrphanKind::Snapshot, OrphanKind::Network];
    assert_eq!(found.len(), kinds.len(), "{found:#?}");
    for kind in kinds {
        let one = found.iter().find(|orphan| orphan.kind == kind).unwrap_or_else(|| panic!("{kind:?}: {found:#?}"));
        assert_eq!(one.environment, lost);
        assert_eq!(forgot.remove_orphan(one).await, Ok(()), "{one:?}");
    }
    assert_eq!(forgot.orphans().await, Ok(Orphans::default()));

    let of = |action: &str, element: &str| {
        let form = "Filter.1.Name=tag%3Abookend%3Ainstallation&Filter.1.Value.1=another";
        values(&moto.ask(action, form), element).into_iter().collect::<BTreeSet<_>>()
    };
    let running = of("DescribeInstances", "instanceState");
    assert!(running.len() == 1 && running.iter().all(|state| state.contains("<name>running</name>")), "{running:?}");
    assert_eq!(of("DescribeVolumes", "volumeId").len(), 2, "the server's own and the other one");
    assert_eq!(of("DescribeSnapshots", "snapshotId").len(), 1);
}

/// Another region of moto's has its own things, and CopySnapshot goes from one to the other. What moto leaves out: it looks at no
/// presigned address, and a copy is complete at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_copied_to_another_region_and_its_copy_goes_on_moto() {
    let Some(moto) = Moto::start() else { return };
    let environment = EnvironmentId::new("kept-twice");
    let home = portal(&moto, &Arc::default(), INSTALLATION, HOME, 0).await;
    let steps = vec![Step::CreateVolume { volume: data() }, Step::CreateSnapshot { snapshot: kept() }];
    ask(&home, &environment, steps).await;
    let origin = home.snapshot_origin(&environment, &kept().id).await.expect("it is complete");

    let away = portal(&moto, &Arc::default(), INSTALLATION, AWAY, 0).await;
    let by = tokio::time::Instant::now() + Duration::from_secs(60);
    let state = async || {
        let seen = away.observe(std::slice::from_ref(&environment)).await.expect("moto answers").remove(0);
        seen.snapshots.into_iter().next().map(|snapshot| snapshot.state)
    };
    while state().await != Some(SnapshotState::Complete) {
        // As the engine asks, again and again, whatever it is told.
        let _ = away.copy_snapshot(&environment, &origin).await;
        assert!(tokio::time::Instant::now() < by, "it is never complete: {:?}", state().await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let amazon = ec2::connect_as(&config_in(&moto, AWAY), Some(credentials())).await;
    let installation = [INSTALLATION.to_owned()];
    let copies =
        async || amazon.snapshots(&[("bookend:installation", &installation)]).await.expect("moto answers").len();
    assert_eq!(copies().await, 1);
    assert_eq!(away.remove_copy(&environment, &kept().id).await, Ok(()));
    while copies().await > 0 {
        assert!(tokio::time::Instant::now() < by, "it never goes");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The whole way there and, of the way back, the call: moto's `launchTime` stays what it was at the first start, where Amazon's says
/// when the last one was, so that nobody can tell one that woke from what is long past. Nor does moto know hibernation.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_by_is_stopped_and_started_on_moto() {
    let Some(moto) = Moto::start() else { return };
    let environment = EnvironmentId::new("resting");
    let portal = portal(&moto, &Arc::default(), INSTALLATION, HOME, 0).await;
    ask(&portal, &environment, vec![Step::CreateNetwork, Step::StartServer { server: Box::new(web()) }]).await;
    let suspend = Step::SuspendServer { server: ServerId::new("web"), generation: 1, wish: 1, hibernate: false };
    ask(&portal, &environment, vec![suspend]).await;
    let shown = || values(&moto.ask("DescribeInstances", ""), "instanceState");
    assert!(shown().iter().all(|state| state.contains("<name>stopped</name>")), "{:?}", shown());
    let seen = portal.observe(std::slice::from_ref(&environment)).await.expect("moto answers").remove(0);
    let states: Vec<MachineState> = seen.servers.into_iter().map(|server| server.state).collect();
    assert_eq!(states, [MachineState::Suspended { hibernated: false }]);

    let wake = Step::WakeServer { server: ServerId::new("web"), generation: 1, wish: 2 };
    assert_eq!(portal.request(&effect(&environment, &wake)).await, Ok(()));
    let by = tokio::time::Instant::now() + Duration::from_secs(60);
    while !shown().iter().all(|state| state.contains("<name>running</name>")) {
        assert!(tokio::time::Instant::now() < by, "it is never started: {:?}", shown());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// All of it can be asked of moto but limits of processors, of which it has none, and how far volumes are read in.
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_nothing_missing_on_moto_that_moto_has() {
    let Some(moto) = Moto::start() else { return };
    bring_up(&portal(&moto, &Arc::default(), INSTALLATION, HOME, 0).await, &EnvironmentId::new("well")).await;
    let config = config_in(&moto, HOME);
    let amazon = ec2::connect_as(&config, Some(credentials())).await;
    let quotas = ec2::connect_quotas_as(&config, Some(credentials())).await;
    let findings = examine(&amazon, &quotas, &config, Some("https://bookend.example.com"), None).await;
    let told = |fine: bool| {
        let told = findings.iter().filter(|finding| finding.fine == fine);
        told.map(|Finding { about, .. }| about.as_str()).collect::<Vec<_>>()
    };
    let standard = "processors at once of Standard (A, C, D, H, I, M, R, T, Z)";
    assert_eq!(
        told(false),
        ["looking at what volumes read in", "encrypting volumes", standard, &format!("{standard}, spot")],
        "{findings:#?}"
    );
    let rehearsed = ["making volumes", "making security groups", "launching servers"];
    let changed = ["changing servers", "changing volumes", "changing snapshots", "changing security groups"];
    for about in rehearsed.into_iter().chain(changed) {
        assert!(told(true).contains(&about), "{about}: {findings:#?}");
    }
}
