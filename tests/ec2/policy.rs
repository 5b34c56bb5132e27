//! The policy that the doctor prints is enough for everything Bookend does, nothing in it is too much, and who has it can change
//! nothing of anybody else's.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use ec2::Ec2;
use ec2::config::Config;
use ec2::doctor::{Known, examine, policy};
use fake_ec2::{Fake, Lag, Rules};
use provisioners::conformance::effect;
use provisioners::{
    Effect, EnvironmentId, Ledger, MachineState, ObservedEnvironment, ObservedServer, ProvisionError, Provisioner,
    RestoreState, SnapshotId, SnapshotPlan, SnapshotState, SnapshotVolume, Step, VolumeId, VolumePlan, VolumeSource,
};
use serde_json::Value;

use super::amazon::{ACCESS_KEY, Account, INSTALLATION, keeps_warm};
use super::orphans::bring_up;
use super::place::left;
use super::seeds::{Life, server, stop};

const HOUR_MS: i64 = 3_600_000;
/// Nothing takes longer than this here, or it will never be.
const PATIENCE: Duration = Duration::from_secs(12 * 3600);
const MOMENT: Duration = Duration::from_millis(500);

/// Everything a table can say that needs a permission.
fn table() -> Config {
    Config {
        instance_profile: Some("servers".to_owned()),
        instance_role: Some("servers-role".to_owned()),
        key_pair: Some("operator".to_owned()),
        ..keeps_warm()
    }
}

fn printed() -> Value {
    let known = Known { installation: Some(INSTALLATION.to_owned()), ..Known::default() };
    policy([&table()], &known)
}

fn under(policy: &Value, rules: Rules) -> Account {
    let account = Account::new(Fake::new(rules));
    account.fake.set_policy(ACCESS_KEY, Some(&policy.to_string())).expect("a policy that is understood");
    account
}

/// What policies did not allow until now.
fn forbidden(account: &Account) -> BTreeSet<String> {
    account.fake.counts().forbidden.into_keys().collect()
}

/// Somebody who has an environment, and asks for what Bookend can do with one.
struct Owner {
    account: Account,
    portal: Ec2,
    environment: EnvironmentId,
}

impl Owner {
    async fn ask(&self, step: Step) {
        loop {
            match self.portal.request(&effect(&self.environment, &step)).await {
                Ok(()) => return,
                Err(ProvisionError::Retryable { .. } | ProvisionError::Unknown { .. }) => {
                    tokio::time::sleep(MOMENT).await;
                }
                // Who waits for that to be refused has heard it.
                Err(_) if !forbidden(&self.account).is_empty() => tokio::time::sleep(PATIENCE).await,
                Err(error) => panic!("{step:?}: {error}"),
            }
        }
    }

    async fn until(&self, fine: impl Fn(&ObservedEnvironment) -> bool) {
        until(&self.portal, &self.environment, fine).await;
    }

    async fn volume(&self, id: &str, from: Option<VolumeSource>) {
        let volume = VolumePlan { id: VolumeId::new(id), name: id.to_owned(), size_bytes: 3 << 30, from };
        self.ask(Step::CreateVolume { volume }).await;
        self.until(|seen| seen.volumes.contains(&VolumeId::new(id))).await;
    }

    /// A spot server and two that are launched together.
    async fn servers(&self, generation: i64, volume: &str) {
        let mut spot = server("cheap", generation, None);
        if let Step::StartServer { server } = &mut spot {
            server.spot = true;
        }
        for step in [spot, server("db", generation, Some(volume)), server("web", generation, None)] {
            self.ask(step).await;
        }
        self.until(|seen| seen.servers.len() == 3 && seen.servers.iter().all(runs)).await;
    }

    async fn no_servers(&self, generation: i64) {
        for name in ["cheap", "db", "web"] {
            self.ask(stop(name, generation)).await;
        }
        self.until(|seen| seen.servers.is_empty()).await;
    }

    async fn stand_by(&self) {
        for (wish, asleep) in [(1, true), (2, false)] {
            let (server, generation) = (provisioners::ServerId::new("web"), 1);
            let step = match asleep {
                true => Step::SuspendServer { server, generation, wish, hibernate: false },
                false => Step::WakeServer { server, generation, wish },
            };
            self.ask(step).await;
            let there = |one: &ObservedServer| matches!(one.state, MachineState::Suspended { .. });
            self.until(|seen| if asleep { seen.servers.iter().any(there) } else { seen.servers.iter().all(runs) })
                .await;
        }
    }

    async fn snapshot(&self, volume: &str) {
        let kept = SnapshotVolume { volume: VolumeId::new(volume), name: volume.to_owned() };
        self.ask(Step::CreateSnapshot { snapshot: SnapshotPlan { id: kept_id(), volumes: vec![kept] } }).await;
        self.until(is_kept).await;
    }

    async fn warm(&self) {
        let until = self.account.fake.now_ms() + HOUR_MS;
        self.portal.keep_warm(&self.environment, &kept_id(), Some(until)).await.expect("it is accepted");
        while self.account.fake.truth().fast_restores.is_empty() {
            tokio::time::sleep(MOMENT).await;
        }
        self.portal.keep_warm(&self.environment, &kept_id(), None).await.expect("it is accepted");
        while !self.account.fake.truth().fast_restores.is_empty() {
            tokio::time::sleep(MOMENT).await;
        }
    }

    /// In another region, until it is there, and until it is gone.
    async fn copy(&self) {
        let away = self.account.in_region("eu-west-1");
        let portal = away.open_with(Config { region: away.region.clone(), ..table() }).await.expect("a region");
        let origin = self.portal.snapshot_origin(&self.environment, &kept_id()).await.expect("it is complete");
        loop {
            match portal.copy_snapshot(&self.environment, &origin).await {
                Ok(()) | Err(ProvisionError::Retryable { .. } | ProvisionError::Unknown { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            let seen = portal.observe(std::slice::from_ref(&self.environment)).await.expect("a look").remove(0);
            if is_kept(&seen) {
                break;
            }
            tokio::time::sleep(MOMENT).await;
        }
        portal.remove_copy(&self.environment, &kept_id()).await.expect("it is accepted");
        let there = || {
            let snapshots = self.account.fake.truth().snapshots.into_iter();
            snapshots.filter(|one| one.is_alive() && one.region == "eu-west-1" && one.copy_of.is_some()).count()
        };
        while there() > 0 {
            tokio::time::sleep(MOMENT).await;
        }
    }

    /// Its zone has no room: with its volume it goes on in another one.
    async fn move_on(&self, generation: i64, volume: &str) {
        let truth = self.account.fake.truth();
        let home = truth
            .volumes
            .iter()
            .find(|one| one.is_alive() && one.tags.get("bookend:volume").is_some_and(|of| of == volume));
        let zone = &home.expect("a volume").zone;
        ["t3.small", "t3a.small"].iter().for_each(|kind| self.account.fake.set_capacity(kind, zone, Some(0)));
        self.ask(server("db", generation, Some(volume))).await;
        self.until(|seen| seen.servers.len() == 1 && seen.servers.iter().all(runs)).await;
        ["t3.small", "t3a.small"].iter().for_each(|kind| self.account.fake.set_capacity(kind, zone, None));
    }
}

fn runs(server: &ObservedServer) -> bool {
    server.state == MachineState::Running
}

fn kept_id() -> SnapshotId {
    SnapshotId::new("kept")
}

fn is_kept(seen: &ObservedEnvironment) -> bool {
    seen.snapshots.iter().any(|one| one.state == SnapshotState::Complete)
}

async fn until(portal: &Ec2, environment: &EnvironmentId, fine: impl Fn(&ObservedEnvironment) -> bool) {
    loop {
        let looked = portal.observe(std::slice::from_ref(environment)).await;
        if looked.is_ok_and(|seen| fine(&seen[0])) {
            return;
        }
        tokio::time::sleep(MOMENT).await;
    }
}

/// Everything that Bookend does with Amazon, until nothing of it is left.
async fn lead(account: &Account) {
    let portal = loop {
        match account.open_with(table()).await {
            Ok(portal) => break portal,
            Err(_) => tokio::time::sleep(MOMENT).await,
        }
    };
    let owner = Owner { account: account.clone(), portal, environment: EnvironmentId::new("life") };
    owner.ask(Step::CreateNetwork).await;
    owner.volume("data", None).await;
    owner.servers(1, "data").await;
    owner.stand_by().await;
    owner.no_servers(1).await;
    owner.snapshot("data").await;
    owner.warm().await;
    owner.copy().await;
    owner.ask(Step::DeleteVolume { volume: VolumeId::new("data") }).await;
    let (environment, snapshot) = (owner.environment.clone(), kept_id());
    let source = VolumeSource { environment, snapshot, volume: VolumeId::new("data") };
    owner.volume("again", Some(source)).await;
    owner.servers(2, "again").await;
    owner.no_servers(2).await;
    owner.move_on(3, "again").await;
    for step in [
        stop("db", 3),
        Step::DeleteNetwork,
        Step::DeleteVolume { volume: VolumeId::new("again") },
        Step::DeleteSnapshot { snapshot: kept_id() },
    ] {
        owner.ask(step).await;
    }
    while !left(&account.fake.truth(), &owner.environment).is_empty() {
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn all_that_bookend_does_is_allowed_by_the_policy_that_the_doctor_prints() {
    let past = Lag { describes_ms: 20_000, changes_ms: 0, wavering: true };
    for rules in [Rules::calm(), Rules { lag: past, ..Rules::calm() }, Rules { buckets: false, ..Rules::lifelike(3) }] {
        let account = under(&printed(), rules);
        let led = tokio::time::timeout(PATIENCE, lead(&account)).await;
        assert!(led.is_ok(), "it is never over: {:#?}", account.fake.truth());
        assert_eq!(forbidden(&account), BTreeSet::new());
    }
}

/// What only the doctor asks for.
const OF_THE_DOCTOR: [&str; 3] =
    ["servicequotas:GetServiceQuota", "ec2:GetEbsDefaultKmsKeyId", "ec2:DescribeInstanceTypeOfferings"];

/// The policy without one thing, and what that is: a statement, or one of a statement's actions.
fn without_one_thing(policy: &Value) -> Vec<(String, Vec<String>, Value)> {
    let statements = policy["Statement"].as_array().expect("statements");
    let mut all = Vec::new();
    for (number, statement) in statements.iter().enumerate() {
        let sid = statement["Sid"].as_str().expect("a name");
        let actions: Vec<String> = match &statement["Action"] {
            Value::String(one) => vec![one.clone()],
            many => {
                many.as_array().expect("actions").iter().map(|one| one.as_str().expect("text").to_owned()).collect()
            }
        };
        let mut less = policy.clone();
        less["Statement"].as_array_mut().expect("statements").remove(number);
        all.push((sid.to_owned(), actions.clone(), less));
        for action in actions.iter().filter(|_| actions.len() > 1) {
            let mut less = policy.clone();
            let rest: Vec<&String> = actions.iter().filter(|other| *other != action).collect();
            less["Statement"][number]["Action"] = serde_json::to_value(rest).expect("texts");
            all.push((format!("{action} of {sid}"), vec![action.clone()], less));
        }
    }
    all
}

#[tokio::test(start_paused = true)]
async fn whatever_is_taken_out_of_the_policy_something_is_refused_without_it() {
    for (what, actions, less) in without_one_thing(&printed()) {
        if actions.iter().all(|action| OF_THE_DOCTOR.contains(&action.as_str())) {
            continue;
        }
        let account = under(&less, Rules::calm());
        let refused = async {
            while forbidden(&account).is_empty() {
                tokio::time::sleep(MOMENT).await;
            }
        };
        tokio::select! {
            biased;
            () = refused => {}
            () = lead(&account) => panic!("{what}: everything goes without it"),
            () = tokio::time::sleep(PATIENCE) => panic!("{what}: nothing is refused, and it is never over"),
        }
        let forbidden = forbidden(&account);
        assert!(forbidden.iter().all(|action| actions.contains(action)), "{what}: {forbidden:?}");
    }
}

async fn said_to_be_missing(account: &Account) -> Vec<String> {
    let (amazon, quotas) = (account.amazon(), account.quotas());
    let portal = Some("https://bookend.example.com");
    let findings = examine(&amazon, &quotas, &table(), portal, Some(INSTALLATION)).await;
    findings.into_iter().filter(|finding| !finding.fine).map(|finding| finding.found).collect()
}

#[tokio::test(start_paused = true)]
async fn whatever_is_taken_out_of_the_policy_the_doctor_asks_for_by_its_name() {
    let mut life = Life::on(under(&printed(), Rules::calm()), "life").await;
    bring_up(&mut life).await;
    let account = life.account.clone();
    assert_eq!(said_to_be_missing(&account).await, Vec::<String>::new());
    let before = account.fake.touches();
    for (what, actions, less) in without_one_thing(&printed()) {
        account.fake.set_policy(ACCESS_KEY, Some(&less.to_string())).expect("a policy that is understood");
        let missing = said_to_be_missing(&account).await;
        let named = |action: &String| {
            let said = format!("give these credentials {action}");
            missing.iter().any(|one| one.contains(&said))
        };
        assert!(actions.iter().any(named), "{what}: {missing:#?}");
    }
    assert_eq!(account.fake.touches(), before);
}

/// A call that no client of Bookend makes; the code it is answered with.
async fn raw(fake: &Fake, action: &str, parameters: &[(&str, &str)]) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("Action", action).extend_pairs(parameters);
    let scope = "20260101/eu-central-1/ec2/aws4_request";
    let request = http::Request::post("/")
        .header("authorization", format!("AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, SignedHeaders=host"))
        .body(Bytes::from(form.finish()))
        .expect("a request");
    let answer = fake.answer(request).await.expect("an answer");
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    let code = text.split("<Code>").nth(1).and_then(|rest| rest.split("</Code>").next());
    code.unwrap_or("it is done").to_owned()
}

/// Instance, volume, snapshot and group of one owner.
#[derive(Clone, Debug)]
struct Things {
    instance: String,
    volume: String,
    snapshot: String,
    group: String,
}

impl Things {
    fn of(fake: &Fake, installation: &str) -> Self {
        let truth = fake.truth();
        let of = |tags: &std::collections::BTreeMap<String, String>| {
            tags.get("bookend:installation").is_some_and(|of| of == installation)
        };
        let instance = truth.instances.iter().find(|one| one.is_alive() && of(&one.tags)).expect("an instance");
        let volume = truth.volumes.iter().find(|one| one.tags.contains_key("bookend:volume") && of(&one.tags));
        let snapshot = truth.snapshots.iter().find(|one| of(&one.tags)).expect("a snapshot");
        let group = truth.groups.iter().find(|one| of(&one.tags)).expect("a group");
        Self {
            instance: instance.id.clone(),
            volume: volume.expect("a volume").id.clone(),
            snapshot: snapshot.id.clone(),
            group: group.id.clone(),
        }
    }

    /// What nobody's tag is on.
    fn planted(ids: &[String]) -> Self {
        let first = |prefix: &str| ids.iter().find(|id| id.starts_with(prefix)).expect("one of each kind").clone();
        Self { instance: first("i-"), volume: first("vol-"), snapshot: first("snap-"), group: first("sg-") }
    }
}

/// Each that would change something of theirs, read it, or take hold of it.
async fn attacks(fake: &Fake, theirs: &Things, ours: &Things) -> Vec<(String, String)> {
    let mark = |kind| {
        [
            ("TagSpecification.1.ResourceType", kind),
            ("TagSpecification.1.Tag.1.Key", "bookend:installation"),
            ("TagSpecification.1.Tag.1.Value", INSTALLATION),
        ]
    };
    let rule = [("IpPermissions.1.IpProtocol", "-1"), ("IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0")];
    let (server, volume, snapshot) = (theirs.instance.as_str(), theirs.volume.as_str(), theirs.snapshot.as_str());
    let group = theirs.group.as_str();
    let mut calls: Vec<(&str, Vec<(&str, &str)>)> = Vec::new();
    for action in ["TerminateInstances", "StopInstances", "StartInstances", "RebootInstances"] {
        calls.push((action, vec![("InstanceId.1", server)]));
        calls.push((action, vec![("InstanceId.1", &ours.instance), ("InstanceId.2", server)]));
    }
    calls.push(("ModifyInstanceAttribute", vec![("InstanceId", server), ("DisableApiTermination.Value", "true")]));
    for id in [server, volume, snapshot, group] {
        let ours = vec![("ResourceId.1", id), ("Tag.1.Key", "bookend:installation"), ("Tag.1.Value", INSTALLATION)];
        calls.push(("CreateTags", ours));
        calls.push(("DeleteTags", vec![("ResourceId.1", id)]));
    }
    for (volume, server) in [(volume, server), (volume, &ours.instance), (&ours.volume, server)] {
        let pair = vec![("VolumeId", volume), ("InstanceId", server), ("Device", "/dev/sdz")];
        calls.push(("AttachVolume", pair.clone()));
        calls.push(("DetachVolume", pair));
    }
    calls.push(("DeleteVolume", vec![("VolumeId", volume)]));
    calls.push(("CreateSnapshot", [&[("VolumeId", volume)][..], &mark("snapshot")].concat()));
    let place = [("AvailabilityZone", "eu-central-1a"), ("SnapshotId", snapshot)];
    calls.push(("CreateVolume", [&place[..], &mark("volume")].concat()));
    let source = [("SourceRegion", "eu-central-1"), ("SourceSnapshotId", snapshot)];
    calls.push(("CopySnapshot", [&source[..], &mark("snapshot")].concat()));
    calls.push(("DeleteSnapshot", vec![("SnapshotId", snapshot)]));
    for action in ["EnableFastSnapshotRestores", "DisableFastSnapshotRestores"] {
        calls.push((action, vec![("SourceSnapshotId.1", snapshot), ("AvailabilityZone.1", "eu-central-1a")]));
    }
    for way in ["AuthorizeSecurityGroupIngress", "AuthorizeSecurityGroupEgress", "RevokeSecurityGroupEgress"] {
        calls.push((way, [&[("GroupId", group)][..], &rule].concat()));
    }
    calls.push(("DeleteSecurityGroup", vec![("GroupId", group)]));
    // And what would be nobody's, or another's.
    calls.push(("CreateVolume", vec![("AvailabilityZone", "eu-central-1a"), ("Size", "1")]));
    calls.push(("CreateSnapshot", vec![("VolumeId", &ours.volume)]));
    calls.push(("CreateSecurityGroup", vec![("GroupName", "mine"), ("GroupDescription", "mine")]));
    let mut outcomes = Vec::new();
    for (action, parameters) in calls {
        outcomes.push((format!("{action} {parameters:?}"), raw(fake, action, &parameters).await));
    }
    outcomes
}

#[tokio::test(start_paused = true)]
async fn who_has_the_policy_can_change_nothing_of_others_nor_make_what_is_nobodys() {
    let account = Account::new(Fake::new(Rules::calm()));
    let planted = Things::planted(&account.fake.plant_foreign(1000, 7, &["bookend:environment", "bookend:volume"]));
    let mut theirs = Life::on(Account::of(account.fake.clone(), "0192-another-installation"), "theirs").await;
    bring_up(&mut theirs).await;
    theirs.stop();
    account.fake.set_policy(ACCESS_KEY, Some(&printed().to_string())).expect("a policy that is understood");
    let mut life = Life::on(account.clone(), "ours").await;
    bring_up(&mut life).await;
    life.stop();
    let ours = Things::of(&account.fake, INSTALLATION);
    let before = format!("{:?}", account.fake.truth());
    for victims in [Things::of(&account.fake, "0192-another-installation"), planted] {
        for (what, code) in attacks(&account.fake, &victims, &ours).await {
            assert_eq!(code, "UnauthorizedOperation", "{what}");
        }
    }
    assert_eq!(format!("{:?}", account.fake.truth()), before);
    // Its own it can: the policy is not what keeps everything from happening.
    assert_eq!(raw(&account.fake, "DeleteSnapshot", &[("SnapshotId", &ours.snapshot)]).await, "it is done");
}

/// Somebody with more rights takes it all away, and Amazon forgets it.
#[tokio::test(start_paused = true)]
async fn what_somebody_else_took_away_is_found_to_be_gone_though_amazon_says_no_more_than_that_it_is_not_allowed() {
    let account = under(&printed(), Rules::calm());
    let mut life = Life::on(account.clone(), "life").await;
    bring_up(&mut life).await;
    let known = Things::of(&account.fake, INSTALLATION);
    let environment = life.environment.clone();
    life.stop();
    account.fake.set_policy(ACCESS_KEY, None).expect("no policy");
    let servers: Vec<String> = account.fake.truth().instances.into_iter().map(|one| one.id).collect();
    for server in &servers {
        assert_eq!(raw(&account.fake, "TerminateInstances", &[("InstanceId.1", server)]).await, "it is done");
    }
    tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
    for (action, name, id) in [
        ("DeleteVolume", "VolumeId", &known.volume),
        ("DeleteSnapshot", "SnapshotId", &known.snapshot),
        ("DeleteSecurityGroup", "GroupId", &known.group),
    ] {
        assert_eq!(raw(&account.fake, action, &[(name, id)]).await, "it is done", "{action}");
    }
    account.fake.set_policy(ACCESS_KEY, Some(&printed().to_string())).expect("a policy that is understood");

    let mut life = Life::on(account.clone(), "life").await;
    life.perform(&[stop("db", 1), stop("web", 1)]).await;
    let gone = async {
        life.until("no servers", |seen| seen.servers.is_empty()).await;
        life.perform(&[
            Step::DeleteNetwork,
            Step::DeleteVolume { volume: VolumeId::new("data") },
            Step::DeleteSnapshot { snapshot: kept_id() },
        ])
        .await;
        // What is over is remembered for a day.
        while !account.ledger.read(std::slice::from_ref(&environment)).await.expect("a ledger").is_empty() {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(3 * 24 * 3600), gone).await.expect("it is over some day");
}

#[tokio::test(start_paused = true)]
async fn where_volumes_are_encrypted_with_a_key_of_the_account_its_use_is_allowed_by_the_policy_too() {
    let own_key = || Rules { own_key: true, ..Rules::calm() };
    let account = Account::new(Fake::new(own_key()));
    let mut known = Known { installation: Some(INSTALLATION.to_owned()), ..Known::default() };
    for region in ["eu-central-1", "eu-west-1"] {
        known.keys.extend(account.in_region(region).amazon().default_key().await.expect("an answer"));
    }
    assert_eq!(known.keys.len(), 2);
    let policy = policy([&table()], &known);
    let account = under(&policy, own_key());
    tokio::time::timeout(PATIENCE, lead(&account)).await.expect("it is over some day");
    assert_eq!(forbidden(&account), BTreeSet::new());
    let (amazon, quotas) = (account.amazon(), account.quotas());
    let findings = examine(&amazon, &quotas, &table(), Some("https://bookend.example.com"), Some(INSTALLATION)).await;
    let told = findings.iter().find(|one| one.about == "encrypting volumes").expect("it is told");
    assert!(known.keys.iter().any(|key| told.found.contains(key)), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn where_that_key_may_not_be_used_that_is_said_and_nothing_is_left_behind() {
    let account = under(&printed(), Rules { own_key: true, ..Rules::calm() });
    let portal = account.open_with(table()).await.expect("a region that can be used");
    let owner = Owner { account: account.clone(), portal, environment: EnvironmentId::new("locked") };
    let id = VolumeId::new("data");
    let volume = VolumePlan { id: id.clone(), name: "data".to_owned(), size_bytes: 3 << 30, from: None };
    owner.ask(Step::CreateNetwork).await;
    owner.ask(Step::CreateVolume { volume: volume.clone() }).await;
    owner.ask(server("web", 1, None)).await;
    let told = |words: &str| words.contains("may not use the key") && words.contains("`bookend doctor ec2`");
    let locked = |seen: &ObservedEnvironment| {
        let volume = seen.restoring.iter().any(|one| match &one.state {
            RestoreState::Failed { reason } => told(reason),
            RestoreState::Copying(_) => false,
        });
        let server = seen.servers.iter().any(|one| match &one.state {
            MachineState::Dead { reason } => reason.contains("Client.InternalError") && told(reason),
            _ => false,
        });
        volume && server
    };
    tokio::time::timeout(PATIENCE, owner.until(locked)).await.expect("it is said");

    // Once it may, the same volume comes when it is asked for again, and the one that failed goes.
    account.fake.set_policy(ACCESS_KEY, None).expect("no policy");
    let again = Effect { call: 2, ..effect(&owner.environment, &Step::CreateVolume { volume }) };
    assert_eq!(owner.portal.request(&again).await, Ok(()));
    owner.until(|seen| seen.volumes.contains(&id)).await;
    for step in [stop("web", 1), Step::DeleteNetwork, Step::DeleteVolume { volume: id }] {
        owner.ask(step).await;
    }
    let gone = async {
        while !left(&account.fake.truth(), &owner.environment).is_empty() {
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    };
    let over = tokio::time::timeout(PATIENCE, gone).await;
    assert!(over.is_ok(), "{:?}", left(&account.fake.truth(), &owner.environment));
}
