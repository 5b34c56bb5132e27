//! A portal that starts while Amazon does not answer, and one that starts where it cannot work.

use std::time::Duration;

use ec2::config::{Config, ImageAlias, Size};
use fake_ec2::{Fake, Faults, Rules};
use provisioners::conformance::{effect, server, settled};
use provisioners::{EnvironmentId, MachineState, Provisioner, ServerPlan, Step, VolumeId, VolumePlan};

use serde_json::json;
use tests::Outcome;

use super::accounts::setting_on;
use super::amazon::{Account, Trouble, config};

/// What there is to say of a region that lacks nothing.
const ZONES: &str = "Servers come in eu-central-1a, eu-central-1b, eu-central-1c.";

#[tokio::test(start_paused = true)]
async fn an_amazon_that_does_not_answer_keeps_no_portal_from_starting_and_work_begins_when_it_does() {
    let account = Account::new(Fake::new(Rules::calm()));
    let environment = EnvironmentId::new("env");
    let server = Step::StartServer { server: Box::new(ServerPlan { mounts: Vec::new(), ..server("web", 1) }) };
    let first = account.open().await;
    assert_eq!(first.request(&effect(&environment, &Step::CreateNetwork)).await, Ok(()));
    drop(first);

    account.fake.set_faults(Faults { request_lost: 1.0, ..Faults::default() });
    let portal = account.open().await;
    assert_eq!(portal.request(&effect(&environment, &server)).await, Ok(()), "it is written down");
    let other = EnvironmentId::new("other");
    for step in [Step::CreateNetwork, server] {
        assert_eq!(portal.request(&effect(&other, &step)).await, Ok(()), "so is the network");
    }
    tokio::time::sleep(Duration::from_secs(60)).await;

    account.fake.set_faults(Faults::default());
    for environment in [&environment, &other] {
        let mut states = Vec::new();
        while states != [MachineState::Running] {
            tokio::time::sleep(Duration::from_secs(1)).await;
            // As long as Amazon is not known to answer again.
            let Ok(observed) = portal.observe(std::slice::from_ref(environment)).await else { continue };
            states = observed.into_iter().flat_map(|one| one.servers).map(|server| server.state).collect();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_had_is_not_tried_again_however_the_list_of_what_there_is_to_try_changes() {
    let account = Account::new(Fake::new(Rules::calm()));
    let types = |types: [&str; 2]| {
        let size = Size { types: types.map(str::to_owned).into() };
        Config { sizes: vec![size], ..config() }
    };
    let portal = account.open_with(types(["t3.small", "t3a.small"])).await.expect("a region that can be used");
    let environment = EnvironmentId::new("env");
    assert_eq!(portal.request(&effect(&environment, &Step::CreateNetwork)).await, Ok(()));
    account.until_network(&environment).await;
    let room = |there: bool| {
        let zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"];
        zones.iter().for_each(|zone| account.fake.set_capacity("t3.small", zone, (!there).then_some(0)));
    };
    room(false);
    let start = ServerPlan { mounts: Vec::new(), ..server("web", 1) };
    let start = effect(&environment, &Step::StartServer { server: Box::new(start) });
    assert_eq!(portal.request(&start).await, Ok(()));
    // The portal ends when the first refusal is written down: after that of the call and the call itself.
    account.moments.arm(Trouble::Kill, 5);
    account.moments.killed().await;
    drop(portal);
    account.moments.disarm();
    assert_eq!(account.fake.counts().of("RunInstances"), 1);
    room(true);
    let portal = account.open_with(types(["t3a.small", "t3.small"])).await.expect("the same region");
    settled(&portal, &environment).await;
    tokio::time::sleep(Duration::from_secs(900)).await;
    let had: Vec<_> = account.fake.truth().instances.into_iter().map(|one| (one.instance_type, one.state)).collect();
    assert_eq!(had, [("t3a.small".to_owned(), "running".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn where_it_may_not_even_look_a_portal_says_so_at_its_start() {
    let account = Account::new(Fake::new(Rules::calm()));
    account.fake.set_denied(["DescribeSubnets"]);
    let error = account.try_open().await.map(drop).expect_err("it cannot work there").to_string();
    assert!(error.contains("DescribeSubnets") && error.contains("UnauthorizedOperation"), "{error}");
}

/// A portal's own words where it cannot start; it changed nothing.
async fn refused(account: &Account, config: Config) -> String {
    let error = account.open_with(config).await.map(drop).expect_err("it cannot work there");
    assert_eq!(account.fake.truth().instances.len(), 0);
    error.to_string()
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_names_and_amazon_does_not_have_is_said_at_the_start_with_what_to_write() {
    let account = Account::new(Fake::new(Rules::calm()));
    let (name, id) = (|name: &str| Some(name.to_owned()), |id: &str| vec![id.to_owned()]);
    account.fake.set_unknown_profiles(["nobodys"]);
    for (config, wanted) in [
        (
            Config { security_groups: id("sg-00000000000000000"), ..config() },
            "`security_groups` has sg-00000000000000000",
        ),
        (Config { key_pair: name("nobodys"), ..config() }, "`key_pair` is \"nobodys\", which this account has not"),
        (Config { instance_profile: name("nobodys"), ..config() }, "`instance_profile` is \"nobodys\", which this"),
        (Config { subnets: id("subnet-00000000000000000"), ..config() }, "write ids of subnets that this account has"),
    ] {
        let told = refused(&account, config).await;
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    let groups: Vec<String> = account.fake.truth().groups.into_iter().map(|group| group.id).collect();
    let subnet = account.amazon().subnets(&[], None).await.expect("subnets").remove(0);
    let vpc = Some("vpc-00000000000000000".to_owned());
    let told = refused(&account, Config { vpc, subnets: vec![subnet.id.clone()], ..config() }).await;
    assert!(told.contains(&format!("{}, and `vpc` is vpc-00000000000000000; keep one", subnet.vpc)), "{told}");
    let there = Config { security_groups: groups, key_pair: name("operator"), instance_profile: name("a"), ..config() };
    account.open_with(there).await.map(drop).expect("all of it is there");
}

/// An image may be taken away while a portal runs; when it starts again, what runs is looked after all the same.
#[tokio::test(start_paused = true)]
async fn a_region_that_has_worked_before_and_cannot_be_used_any_more_keeps_no_portal_from_starting() {
    let account = Account::new(Fake::new(Rules::calm()));
    let environment = EnvironmentId::new("env");
    let start = |name: &str| {
        let plan = ServerPlan { mounts: Vec::new(), ..server(name, 1) };
        effect(&environment, &Step::StartServer { server: Box::new(plan) })
    };
    let portal = account.open().await;
    assert_eq!(portal.request(&effect(&environment, &Step::CreateNetwork)).await, Ok(()));
    assert_eq!(portal.request(&start("web")).await, Ok(()));
    settled(&portal, &environment).await;
    drop(portal);

    let mut gone = config();
    gone.images.get_mut("host").expect("an image").name = "taken-away-*".to_owned();
    let portal = account.open_with(gone).await.expect("it starts");
    let closed = portal.capabilities().closed.expect("it says so before an order");
    assert!(closed.contains("amazon has no image named \"taken-away-*\""), "{closed}");
    let volume = VolumePlan { id: VolumeId::new("data"), name: "data".into(), size_bytes: 1 << 30, from: None };
    let told = portal.request(&effect(&environment, &Step::CreateVolume { volume })).await;
    assert!(told.expect_err("not now").to_string().contains("taken-away-*"), "whoever orders is told why");
    let stop = Step::StopServer { server: server("web", 1).id, generation: 1 };
    assert_eq!(portal.request(&effect(&environment, &stop)).await, Ok(()));
    let observed = settled(&portal, &environment).await;
    assert_eq!(observed.servers, [], "what runs goes when it is to go");
}

/// Somebody has taken a permission away, and gives it back.
#[tokio::test(start_paused = true)]
async fn what_can_be_had_is_said_as_it_is_and_not_as_it_was_when_the_portal_started() {
    let account = Account::new(Fake::new(Rules::calm()));
    let before = account.open().await;
    assert_eq!(before.request(&effect(&EnvironmentId::new("env"), &Step::CreateNetwork)).await, Ok(()));
    drop(before);
    account.fake.set_denied(["DescribeImages"]);
    let portal = account.open().await;
    let told = portal.capabilities();
    let closed = told.closed.expect("nothing can be had");
    assert!(
        closed.starts_with("Nothing can be ordered there for now: Bookend may not do this on Amazon (DescribeImages)")
            && closed.ends_with("`bookend doctor ec2` says what is missing."),
        "{closed}"
    );
    account.fake.set_denied([]);
    tokio::time::sleep(Duration::from_secs(15)).await;
    let told = portal.capabilities();
    assert_eq!((told.closed, told.notes), (None, vec![ZONES.to_owned()]));
    let calls: u64 = account.fake.counts().calls.values().sum();
    (0..1000).for_each(|_| drop(portal.capabilities()));
    assert_eq!(account.fake.counts().calls.values().sum::<u64>(), calls, "Amazon is asked nothing for a page");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_amazon_does_not_answer_nothing_can_be_ordered_there_and_once_it_does_everything_can_without_a_restart()
-> Outcome {
    let fake = Fake::new(Rules::calm());
    fake.set_faults(Faults { request_lost: 1.0, ..Faults::default() });
    let portal = setting_on(&fake, &[("ours", "first")]).await?.start().await?;
    let api = portal.administrator().await?;
    let why = async || -> Outcome<Option<String>> {
        let entry = api.get("/catalog/ours").await?.expect_success()?;
        Ok(entry["unavailable"].as_str().map(str::to_owned))
    };
    let said = why().await?.ok_or("It says nothing.")?;
    assert_eq!(said, "Nothing can be ordered there for now: Amazon does not answer, and the operator's page says why.");
    let refused = api.post("/environments", json!({ "template": "ours", "name": "early" })).await?;
    assert!(refused.status == 409 && refused.body["detail"] == said, "{refused:?}");
    let notes =
        async || -> Outcome<String> { Ok(api.get("/operator").await?.expect_success()?["provisioners"].to_string()) };
    assert!(notes().await?.contains(&said), "operators are told, too");

    fake.set_faults(Faults::default());
    while why().await?.is_some() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!notes().await?.contains("Nothing can be ordered"));
    api.order("ours", "desk").await?;
    while fake.truth().instances.is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Rehearsals carry no installation's tag, so a policy may refuse them what it allows a portal.
#[tokio::test(start_paused = true)]
async fn a_rehearsal_that_is_refused_for_another_reason_keeps_no_portal_from_starting() {
    let account = Account::new(Fake::new(Rules::calm()));
    account.fake.set_denied(["RunInstances"]);
    let config = Config { key_pair: Some("operator".to_owned()), ..config() };
    account.open_with(config.clone()).await.map(drop).expect("it may be allowed to launch");
    account.fake.set_denied([]);
    account.fake.set_faults(Faults { request_lost: 1.0, ..Faults::default() });
    account.open_with(config).await.map(drop).expect("it waits for Amazon");
}

#[tokio::test(start_paused = true)]
async fn a_server_is_made_from_the_image_its_template_names_and_one_that_nobody_configured_is_refused_in_words() {
    let account = Account::new(Fake::new(Rules::calm()));
    let mut config = config();
    let debian = ImageAlias { owner: "136693071363".to_owned(), name: "debian-12-amd64-*".to_owned(), arm64: None };
    config.images.insert("debian".to_owned(), debian);
    let portal = account.open_with(config).await.expect("a region that can be used");
    let images = &portal.capabilities().own_images;
    assert_eq!(images.iter().map(|image| image.name.as_str()).collect::<Vec<_>>(), ["debian", "host"]);
    let environment = EnvironmentId::new("env");
    assert_eq!(portal.request(&effect(&environment, &Step::CreateNetwork)).await, Ok(()));
    let from = |name: &str, alias: &str| {
        let plan = ServerPlan { mounts: Vec::new(), alias: Some(alias.to_owned()), ..server(name, 1) };
        effect(&environment, &Step::StartServer { server: Box::new(plan) })
    };
    assert_eq!(portal.request(&from("web", "debian")).await, Ok(()));
    assert_eq!(portal.request(&from("db", "solaris")).await, Ok(()));
    let observed = settled(&portal, &environment).await;
    let state = |name: &str| {
        let server = observed.servers.iter().find(|server| server.server.as_str() == name);
        server.map(|server| server.state.clone())
    };
    assert_eq!(state("web"), Some(MachineState::Running));
    let reason = "there is no image “solaris” here, but “debian”, “host”".to_owned();
    assert_eq!(state("db"), Some(MachineState::Failed { reason }));
    let truth = account.fake.truth();
    let images: Vec<&str> = truth.instances.iter().map(|instance| instance.image.as_str()).collect();
    let usual = account.amazon().images("amazon", "al2023-ami-2023.*-x86_64").await.expect("images");
    assert!(images.len() == 1 && images[0] != usual[0].id, "{images:?}");
}
