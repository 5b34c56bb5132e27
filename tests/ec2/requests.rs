//! What Amazon is asked for, to the letter: what a company's security people read first.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fake_ec2::{Fake, Rules};
use provisioners::conformance::{effect, server, settled};
use provisioners::{
    EnvironmentId, Provisioner, ServerPlan, SnapshotId, SnapshotPlan, SnapshotVolume, Step, VolumeId, VolumePlan,
};

use super::amazon::{Account, Form, INSTALLATION, config};

/// The tags a call gives to what it makes of a kind.
fn tags(form: &Form, kind: &str) -> Vec<(String, String)> {
    let text = |name: String| form.get(&name).cloned();
    let of = |number: usize| text(format!("TagSpecification.{number}.ResourceType"));
    let number = (1..).take_while(|number| of(*number).is_some()).find(|number| of(*number).as_deref() == Some(kind));
    let number = number.unwrap_or_else(|| panic!("{kind} gets no tags: {form:#?}"));
    let tag = |tag: usize| {
        let part = |part: &str| text(format!("TagSpecification.{number}.Tag.{tag}.{part}"));
        Some((part("Key")?, part("Value")?))
    };
    (1..).map_while(tag).collect()
}

/// With whose it is, and what the operator wants on everything.
fn assert_tagged(form: &Form, kind: &str) {
    let tags = tags(form, kind);
    for (key, value) in [("bookend:installation", INSTALLATION), ("team", "stories")] {
        assert!(tags.contains(&(key.to_owned(), value.to_owned())), "{kind}: {tags:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn servers_and_volumes_are_asked_for_encrypted_tagged_and_with_guarded_metadata() {
    let account = Account::new(Fake::new(Rules::calm()));
    let mut config = config();
    let extra = account.fake.truth().groups.first().map(|group| group.id.clone());
    config.security_groups = extra.iter().cloned().collect();
    config.instance_profile = Some("bookend-servers".to_owned());
    config.key_pair = Some("operator".to_owned());
    let portal = account.open_with(config).await.expect("a region that can be used");
    let environment = EnvironmentId::new("env");
    let volume = VolumePlan { id: VolumeId::new("data"), name: "data".to_owned(), size_bytes: 3 << 30, from: None };
    let web = ServerPlan { internet: true, spot: true, ..server("web", 1) };
    let moment = SnapshotVolume { volume: volume.id.clone(), name: "data".to_owned() };
    let snapshot = SnapshotPlan { id: SnapshotId::new("kept"), volumes: vec![moment] };
    for step in [
        Step::CreateNetwork,
        Step::CreateVolume { volume },
        Step::StartServer { server: Box::new(web) },
        Step::CreateSnapshot { snapshot },
    ] {
        assert_eq!(portal.request(&effect(&environment, &step)).await, Ok(()));
        settled(&portal, &environment).await;
    }

    let launch = account.last("RunInstances");
    for (name, wanted) in [
        ("MetadataOptions.HttpTokens", "required"),
        ("MetadataOptions.HttpPutResponseHopLimit", "1"),
        ("MetadataOptions.HttpEndpoint", "enabled"),
        ("BlockDeviceMapping.1.Ebs.Encrypted", "true"),
        ("BlockDeviceMapping.1.Ebs.DeleteOnTermination", "true"),
        ("InstanceInitiatedShutdownBehavior", "terminate"),
        ("IamInstanceProfile.Name", "bookend-servers"),
        ("KeyName", "operator"),
        ("MinCount", "1"),
        ("MaxCount", "1"),
    ] {
        assert_eq!(launch.get(name).map(String::as_str), Some(wanted), "{name} of {launch:#?}");
    }
    let groups = account.fake.truth().groups;
    let named = |name: &str| groups.iter().find(|group| group.name == name).map(|group| group.id.clone());
    let internet = named(&format!("bookend-internet-{INSTALLATION}"));
    for (number, wanted) in [named("bookend-env"), internet, extra].into_iter().flatten().enumerate() {
        assert_eq!(launch.get(&format!("SecurityGroupId.{}", number + 1)), Some(&wanted));
    }
    let volume = account.last("CreateVolume");
    assert_eq!(volume.get("Encrypted").map(String::as_str), Some("true"));
    for token in [&launch, &volume].map(|form| form.get("ClientToken")) {
        assert!(token.is_some_and(|token| !token.is_empty()));
    }
    let group = account.last("CreateSecurityGroup");
    let snapshot = account.last("CreateSnapshot");
    for (form, kinds) in [
        (&launch, &["instance", "volume", "network-interface", "spot-instances-request"][..]),
        (&snapshot, &["snapshot"]),
        (&volume, &["volume"]),
        (&group, &["security-group"]),
    ] {
        kinds.iter().for_each(|kind| assert_tagged(form, kind));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_made_for_all_environments_and_on_the_way_to_another_zone_or_region_is_tagged_like_everything_else() {
    let account = Account::new(Fake::new(Rules::calm()));
    let portal = account.open().await;
    let environment = EnvironmentId::new("env");
    let data = VolumePlan { id: VolumeId::new("data"), name: "data".to_owned(), size_bytes: 3 << 30, from: None };
    let moment = SnapshotVolume { volume: data.id.clone(), name: "data".to_owned() };
    let kept = SnapshotPlan { id: SnapshotId::new("kept"), volumes: vec![moment] };
    let web = |generation| Box::new(ServerPlan { internet: true, ..server("web", generation) });
    let ask = async |step: Step| {
        assert_eq!(portal.request(&effect(&environment, &step)).await, Ok(()), "{step:?}");
        settled(&portal, &environment).await;
    };
    ask(Step::CreateNetwork).await;
    ask(Step::CreateVolume { volume: data }).await;
    ask(Step::StartServer { server: web(1) }).await;
    let group = account.last("CreateSecurityGroup");
    assert_eq!(group.get("GroupName"), Some(&format!("bookend-internet-{INSTALLATION}")));
    assert_tagged(&group, "security-group");

    ask(Step::CreateSnapshot { snapshot: kept.clone() }).await;
    let origin = portal.snapshot_origin(&environment, &kept.id).await.expect("it is complete");
    let portal_away = account.in_region("eu-west-1").open().await;
    assert_eq!(portal_away.copy_snapshot(&environment, &origin).await, Ok(()));
    settled(&portal_away, &environment).await;
    assert_tagged(&account.last("CopySnapshot"), "snapshot");

    ask(Step::StopServer { server: web(1).id, generation: 1 }).await;
    let home = account.fake.truth().volumes.into_iter().find(|one| one.tags.contains_key("bookend:volume"));
    let home = home.expect("the volume").zone;
    ["t3.small", "t3a.small"].iter().for_each(|kind| account.fake.set_capacity(kind, &home, Some(0)));
    ask(Step::StartServer { server: web(2) }).await;
    let snapshot = account.last("CreateSnapshot");
    assert!(tags(&snapshot, "snapshot").iter().any(|(key, _)| key == "bookend:move"), "{snapshot:#?}");
    assert_tagged(&snapshot, "snapshot");
}

#[tokio::test(start_paused = true)]
async fn user_data_leads_through_the_proxy_there_is_and_holds_no_secret_but_a_token_that_works_once() {
    let account = Account::new(Fake::new(Rules::calm()));
    let mut config = config();
    config.portal_proxy = Some("http://10.0.9.9:3128".to_owned());
    config.portal_away_seconds = Some(90);
    config.portal_networks.clear();
    let portal = account.open_with(config).await.expect("a region that can be used");
    let environment = EnvironmentId::new("env");
    let web = ServerPlan { mounts: Vec::new(), ..server("web", 1) };
    for step in [Step::CreateNetwork, Step::StartServer { server: Box::new(web) }] {
        assert_eq!(portal.request(&effect(&environment, &step)).await, Ok(()));
    }
    settled(&portal, &environment).await;

    let user_data = account.last("RunInstances").remove("UserData").expect("user data");
    let script = String::from_utf8(STANDARD.decode(user_data).expect("base64")).expect("text");
    let has = |text: &str| assert!(script.contains(text), "{text:?} is not in {script}");
    has("curl -fsS --proxy 'http://10.0.9.9:3128' --retry 10");
    has("\nEnvironment=HTTPS_PROXY=http://10.0.9.9:3128 HTTP_PROXY=http://10.0.9.9:3128\nExecStart=");
    has("\nHTTPS_PROXY=http://10.0.9.9:3128 HTTP_PROXY=http://10.0.9.9:3128 exec $agent");
    has("\"away_after_ms\":90000");
    insta::assert_snapshot!(script);
    let own = account.fake.truth().groups.into_iter().find(|group| group.name == "bookend-env").expect("its group");
    assert!(own.rules.iter().any(|rule| rule == "out tcp 3128-3128 to 10.0.9.9/32"), "{:?}", own.rules);
    assert!(
        !own.rules.iter().any(|rule| rule.contains("443")),
        "the portal itself is not within reach: {:?}",
        own.rules
    );
}
