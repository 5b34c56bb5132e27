//! Servers with one kind of processor and with the other: types, images and agents go together, and what is missing is said.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ec2::Ec2;
use ec2::config::{Config, Size};
use fake_ec2::{Fake, Rules, TrueInstance};
use provisioners::conformance::{effect, server, settled};
use provisioners::{
    Architecture, EnvironmentId, MachineState, ObservedServer, OwnImage, Provisioner, ServerId, ServerPlan, Step,
};

use tests::tryout::Tryout;
use tests::{Outcome, programs};

use super::amazon::{AGENTS, Account, config};

const ZONES: [&str; 3] = ["eu-central-1a", "eu-central-1b", "eu-central-1c"];

/// One size with types of both kinds, and images for both.
fn both() -> Config {
    let types = ["t3.small", "t4g.small", "t3a.small", "c7g.large"].map(str::to_owned);
    let mut config = Config { sizes: vec![Size { types: types.into() }], ..config() };
    config.images.get_mut("host").expect("an image").arm64 = Some("al2023-ami-2023.*-arm64".to_owned());
    config
}

fn start(name: &str, generation: i64, architecture: Option<Architecture>) -> Step {
    let plan = ServerPlan { mounts: Vec::new(), architecture, ..server(name, generation) };
    Step::StartServer { server: Box::new(plan) }
}

const ARM: Option<Architecture> = Some(Architecture::Arm64);

struct Story {
    account: Account,
    environment: EnvironmentId,
    portal: Ec2,
}

impl Story {
    async fn begin(config: Config) -> Self {
        let account = Account::new(Fake::new(Rules::calm()));
        let portal = account.open_with(config).await.expect("a region that can be used");
        let story = Self { account, environment: EnvironmentId::new("mixed"), portal };
        story.ask(Step::CreateNetwork).await;
        story
    }

    async fn ask(&self, step: Step) {
        assert_eq!(self.portal.request(&effect(&self.environment, &step)).await, Ok(()), "{step:?}");
    }

    async fn settled(&self, name: &str) -> ObservedServer {
        let there = settled(&self.portal, &self.environment).await;
        let of_it = there.servers.into_iter().filter(|one| one.server == ServerId::new(name));
        of_it.max_by_key(|one| one.generation).expect("a server")
    }

    fn instance(&self, name: &str) -> TrueInstance {
        let truth = self.account.fake.truth();
        let mut instances = truth.instances.into_iter().filter(TrueInstance::is_alive);
        instances.find(|one| one.tags.get("bookend:server").map(String::as_str) == Some(name)).expect("an instance")
    }

    /// Nothing of these types is to be had in any zone.
    fn without(&self, types: &[&str]) {
        for (kind, zone) in types.iter().flat_map(|kind| ZONES.map(|zone| (*kind, zone))) {
            self.account.fake.set_capacity(kind, zone, Some(0));
        }
    }

    async fn newest(&self, name: &str) -> String {
        let found = self.account.amazon().images("amazon", name).await.expect("images");
        let newest = found.iter().max_by_key(|image| &image.made_at).expect("an image");
        assert!(found.iter().any(|image| image.made_at < newest.made_at), "there is one to choose from: {found:?}");
        newest.id.clone()
    }
}

fn script(instance: &TrueInstance) -> String {
    let said = STANDARD.decode(instance.user_data.as_deref().expect("user data")).expect("base64");
    String::from_utf8(said).expect("a script")
}

#[tokio::test(start_paused = true)]
async fn in_one_environment_each_server_has_a_type_an_image_and_an_agent_for_its_own_processors() {
    let story = Story::begin(both()).await;
    assert!(story.portal.capabilities().without.is_empty(), "{:?}", story.portal.capabilities());
    story.ask(start("web", 1, None)).await;
    story.ask(start("db", 1, ARM)).await;
    assert_eq!(story.settled("web").await.state, MachineState::Running);
    assert_eq!(story.settled("db").await.state, MachineState::Running);
    let (web, db) = (story.instance("web"), story.instance("db"));
    assert_eq!((web.instance_type.as_str(), db.instance_type.as_str()), ("t3.small", "t4g.small"));
    assert_eq!(web.image, story.newest("al2023-ami-2023.*-x86_64").await);
    assert_eq!(db.image, story.newest("al2023-ami-2023.*-arm64").await);
    let [(_, own), (_, other)] = AGENTS;
    for (instance, agent, foreign) in [(&web, own, other), (&db, other, own)] {
        let script = script(instance);
        assert!(script.contains(&format!("/agent/{agent}/bookend-agent'")), "{script}");
        assert!(script.contains(&format!("echo \"{agent}  ")) && !script.contains(foreign), "{script}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_a_type_is_not_to_be_had_the_next_with_the_same_processors_is_and_never_another() {
    let story = Story::begin(both()).await;
    story.without(&["t4g.small"]);
    story.ask(start("db", 1, ARM)).await;
    assert_eq!(story.settled("db").await.state, MachineState::Running);
    assert_eq!(story.instance("db").instance_type, "c7g.large");
    assert_eq!(story.settled("db").await.limits, "c7g.large, arm64");

    // When it was parked and the first type is to be had by then.
    story.ask(Step::StopServer { server: ServerId::new("db"), generation: 1 }).await;
    ZONES.iter().for_each(|zone| story.account.fake.set_capacity("t4g.small", zone, None));
    story.ask(start("db", 2, ARM)).await;
    assert_eq!(story.settled("db").await.generation, 2);
    assert_eq!(story.instance("db").instance_type, "t4g.small");

    story.without(&["t4g.small", "c7g.large"]);
    story.ask(start("cache", 1, ARM)).await;
    let MachineState::Failed { reason } = story.settled("cache").await.state else { panic!("it was had") };
    assert!(reason.contains("t4g.small") && reason.contains("c7g.large") && !reason.contains("t3"), "{reason}");
    let others = story.account.fake.truth().instances.iter().filter(|one| one.instance_type.starts_with("t3")).count();
    assert_eq!(others, 0);
}

#[tokio::test(start_paused = true)]
async fn a_pattern_that_fits_images_of_both_kinds_is_enough() {
    let mut config = both();
    let host = config.images.get_mut("host").expect("an image");
    (host.name, host.arm64) = ("al2023-ami-2023.*".to_owned(), None);
    let story = Story::begin(config).await;
    story.ask(start("db", 1, ARM)).await;
    assert_eq!(story.settled("db").await.state, MachineState::Running);
    assert_eq!(story.instance("db").image, story.newest("al2023-ami-2023.*-arm64").await);
}

#[tokio::test(start_paused = true)]
async fn what_a_kind_of_processor_lacks_is_known_before_an_order_with_what_to_add() {
    let account = Account::new(Fake::new(Rules::calm()));
    let lacks = async |config: Config| {
        let portal = account.open_with(config).await.expect("a region that can be used");
        let capabilities = portal.capabilities();
        assert_eq!(capabilities.usual, Some(Architecture::X86));
        let arm = |without: &std::collections::BTreeMap<Architecture, String>| {
            assert!(!without.contains_key(&Architecture::X86), "{without:?}");
            without.get(&Architecture::Arm64).cloned()
        };
        let host = |image: &&OwnImage| image.name == "host";
        let image = arm(&capabilities.own_images.iter().find(host).expect("an image").without);
        (arm(&capabilities.without), image, capabilities.notes[1..].to_vec())
    };
    assert_eq!(lacks(both()).await, (None, None, Vec::new()));

    let only_image = Config { sizes: config().sizes, ..both() };
    let no_type = "no type in `sizes` of [ec2.frankfurt] has one; add one there, such as t4g.small";
    let half = "Image “host” is for arm64, too, and no type is: add one to `sizes`, such as t4g.small.";
    assert_eq!(lacks(only_image).await, (Some(no_type.to_owned()), None, vec![half.to_owned()]));

    let only_types = Config { images: config().images, ..both() };
    let no_image = "write the pattern of such images' names as `arm64` to `images.host` of [ec2.frankfurt]";
    let half = "Type t4g.small is for arm64, and no image is: add one to `images`.";
    assert_eq!(lacks(only_types).await, (None, Some(no_image.to_owned()), vec![half.to_owned()]));

    // Who is asked for neither is told nothing of it.
    let (types, image, notes) = lacks(config()).await;
    assert!(types.is_some() && image.is_some() && notes.is_empty(), "{types:?} {image:?} {notes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_portal_without_an_agent_for_a_kind_of_processor_starts_and_says_how_it_gets_one() {
    let mut story = Story::begin(both()).await;
    let [own, _] = AGENTS;
    let portal = story.account.open_with_agents(both(), &[own]).await;
    story.portal = portal.expect("a region that can be used");
    let how =
        "put bookend-agent-arm64, which `cargo xtask build` makes, beside the portal's own and start the portal again";
    let told = story.portal.capabilities();
    assert_eq!(told.without[&Architecture::Arm64], format!("this portal has no agent for arm64: {how}"));
    assert!(told.notes.contains(&format!("There is no agent for arm64: {how}.")), "{:?}", told.notes);
    // One that was ordered before, and is resumed now.
    story.ask(start("db", 2, ARM)).await;
    let reason = format!("there is no agent for arm64: {how}");
    assert_eq!(story.settled("db").await.state, MachineState::Failed { reason });
    assert_eq!(story.account.fake.counts().of("RunInstances"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_region_has_nothing_of_keeps_a_portal_from_starting() {
    let account = Account::new(Fake::new(Rules::calm()));
    let refused =
        async |config: Config| account.open_with(config).await.map(drop).expect_err("it cannot work there").to_string();
    let mut wrong = both();
    wrong.images.get_mut("host").expect("an image").arm64 = Some("no-such-image-*".to_owned());
    let told = refused(wrong).await;
    assert_eq!(told, "image “host”: amazon has no image named \"no-such-image-*\" for arm64 in this region");
    // The two patterns in each other's place.
    let mut wrong = both();
    let host = wrong.images.get_mut("host").expect("an image");
    (host.name, host.arm64) = (host.arm64.clone().expect("a pattern"), Some(host.name.clone()));
    let told = refused(wrong).await;
    assert_eq!(told, "image “host”: amazon has no image named \"al2023-ami-2023.*-arm64\" for x86_64 in this region");
}

const MIXED: &str = r#"
name: mixed
version: "1.0.0"
title: Mixed
summary: A server of each kind.
category: Basics
servers:
  web:
    needs: [db]
    internet: false
  db:
    architecture: arm64
    setup: echo set up > /data/log
    services:
      clerk:
        command: echo on >> /data/log; exec sleep 1000000
volumes:
  data:
    size: 1 GiB
    mounts: {db: /data}
"#;

/// The real agent for arm64, run by QEMU, on the whole way: user-data, enrolment, setup, services, a snapshot, a park.
#[tokio::test(flavor = "multi_thread")]
async fn beside_a_server_of_this_machines_kind_one_of_the_other_is_set_up_parked_and_resumed_by_its_own_agent()
-> Outcome {
    let emulator = std::path::Path::new("/usr/bin/qemu-aarch64-static");
    if !emulator.exists() || !programs::dist().join("bookend-agent-arm64").exists() {
        assert!(std::env::var_os("BOOKEND_TEST_ARM64").is_none(), "whoever runs the stories has provided for it");
        // Past what is shown of failures only.
        std::io::stderr()
            .write_all(b"LEFT OUT: the story of an arm64 server; there is no agent for it here, or no QEMU\n")?;
        return Ok(());
    }
    let tryout = Tryout::offering("mixed", MIXED, &[]).await?;
    let api = tryout.person("root").await?;
    api.order("mixed", "both").await?;
    api.await_state("both", "ready").await?;
    let instances = tryout.ours("instances").await?;
    let mut kinds: Vec<_> = instances.iter().map(|one| (&one["architecture"], &one["instance_type"])).collect();
    kinds.sort_by_key(|(architecture, _)| architecture.to_string());
    let kinds: Vec<_> = kinds.into_iter().map(|(one, other)| (one.as_str(), other.as_str())).collect();
    assert_eq!(kinds, [(Some("arm64"), Some("t4g.small")), (Some("x86_64"), Some("t3.small"))]);
    let emulated = || {
        let processes = tryout.processes();
        let by_qemu = |command: &String| command.contains("qemu-aarch64") && command.contains("bookend-agent");
        processes.into_iter().map(|process| process.command).filter(by_qemu).count()
    };
    assert_eq!(emulated(), 1, "{:#?}", tryout.processes().iter().map(|one| &one.command).collect::<Vec<_>>());
    // The name `db`, over the network between the two.
    assert_eq!(tryout.run(&api, "both/web", "getent hosts db | wc -l").await?, "1\n");
    tryout.run(&api, "both/db", "echo written >> /data/log").await?;
    let asked = serde_json::json!({ "label": "noon" });
    let asked = api.post("/environments/both/snapshots", asked).await?.expect_success()?;
    let complete = |all: &serde_json::Value| all[0]["id"] == asked["id"] && all[0]["state"] == "complete";
    api.await_below("both", "/snapshots", "kept", complete).await?;

    api.act("both", "park").await?;
    api.await_state("both", "parked").await?;
    assert_eq!((tryout.ours("instances").await?.len(), emulated()), (0, 0));
    api.act("both", "resume").await?;
    api.await_state("both", "ready").await?;
    let log = tryout.run(&api, "both/db", "cat /data/log").await?;
    assert_eq!(log, "set up\non\nwritten\non\n", "each start begins its service once");
    assert_eq!(emulated(), 1);
    Ok(())
}
