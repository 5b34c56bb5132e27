//! What an environment costs in calls, on an Amazon that shows what was minutes ago: none is made twice because it does not show
//! yet, and what can share a call does.

use std::time::Duration;

use ec2::Ec2;
use fake_ec2::{Lag, Rules, Spread};
use futures::future::join_all;
use provisioners::conformance::{effect, server, settled};
use provisioners::{EnvironmentId, MachineState, Provisioner, ServerId, ServerPlan, Step, VolumeId, VolumePlan};
use tokio::time::sleep;

use super::amazon::{Account, Trouble};

const NAMES: [&str; 4] = ["web", "db", "queue", "worker"];

#[tokio::test(start_paused = true)]
async fn four_servers_cost_one_launch_one_name_each_and_one_end() {
    let lag = Lag { describes_ms: 300_000, changes_ms: 0, wavering: true };
    let account = Account::new(fake_ec2::Fake::new(Rules { lag, latency: Spread(40, 400), ..Rules::calm() }));
    let portal = account.open().await;
    let environment = EnvironmentId::new("env");
    let volume = VolumePlan { id: VolumeId::new("data"), name: "data".to_owned(), size_bytes: 1 << 20, from: None };
    ask(&portal, &environment, vec![Step::CreateNetwork]).await;
    ask(&portal, &environment, vec![Step::CreateVolume { volume }]).await;
    let start = |name: &str| {
        let plan = server(name, 1);
        let mounts = if name == "web" { plan.mounts } else { Vec::new() };
        Step::StartServer { server: Box::new(ServerPlan { mounts, ..plan }) }
    };
    ask(&portal, &environment, NAMES.map(start).into()).await;
    until(&portal, &environment, |states| {
        states.len() == NAMES.len() && states.iter().all(|state| *state == MachineState::Running)
    })
    .await;
    // Long enough for anything that is asked again.
    sleep(Duration::from_secs(1800)).await;
    let stop = |name: &str| Step::StopServer { server: ServerId::new(name), generation: 1 };
    ask(&portal, &environment, NAMES.map(stop).into()).await;
    until(&portal, &environment, <[MachineState]>::is_empty).await;

    let counts = account.fake.counts();
    let made = |action: &str| (counts.of(action), action.to_owned());
    let wanted = ["CreateVolume", "RevokeSecurityGroupEgress", "RunInstances", "TerminateInstances"].map(made);
    assert!(wanted.iter().all(|(count, _)| *count == 1), "{wanted:?}");
    assert_eq!(counts.of("CreateTags"), 4);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_meets_a_bug_is_made_again_and_those_beside_it_are_not() {
    let account = Account::new(fake_ec2::Fake::new(Rules { latency: Spread(5_000, 5_000), ..Rules::calm() }));
    let portal = account.open().await;
    let environment = EnvironmentId::new("env");
    let volume = |name: &str| {
        let (id, name) = (VolumeId::new(name), name.to_owned());
        Step::CreateVolume { volume: VolumePlan { id, name, size_bytes: 1 << 20, from: None } }
    };
    ask(&portal, &environment, NAMES.map(volume).into()).await;
    // The last of four calls, before it leaves; the others are on their way.
    account.moments.arm(Trouble::Panic, 3);
    let observed = settled(&portal, &environment).await;
    assert!(account.moments.struck() && observed.volumes.len() == NAMES.len(), "{observed:?}");
    assert_eq!(account.fake.counts().of("CreateVolume"), 4);
}

/// Amazon takes 200 values in the filters of one question, and asking for all of the installation is one question, too.
#[tokio::test(start_paused = true)]
async fn any_number_of_environments_is_looked_at_together() {
    for count in [199, 200, 201] {
        let account = Account::new(fake_ec2::Fake::new(Rules::calm()));
        let portal = account.open().await;
        let environments: Vec<_> = (0..count).map(|number| EnvironmentId::new(format!("env-{number}"))).collect();
        for environment in &environments {
            ask(&portal, environment, vec![Step::CreateNetwork]).await;
        }
        let seen = portal.observe(&environments).await.unwrap_or_else(|error| panic!("{count} of them: {error}"));
        assert!(seen.len() == count && seen.iter().all(|one| one.network));
        // When nothing is under way any more, so that nobody else looks but now and then.
        sleep(Duration::from_secs(120)).await;
        let questions = || {
            let counts = account.fake.counts();
            ["DescribeInstances", "DescribeVolumes", "DescribeSnapshots", "DescribeSecurityGroups"]
                .map(|call| counts.of(call))
        };
        let before = questions();
        portal.observe(&environments).await.expect("an answer");
        let asked = questions().into_iter().zip(before).map(|(now, before)| now - before);
        assert!(
            asked.clone().all(|asked| (1..=2).contains(&asked)),
            "{count} of them: {:?}",
            asked.collect::<Vec<_>>()
        );
    }
}

/// All of these at the same moment.
async fn ask(portal: &Ec2, environment: &EnvironmentId, steps: Vec<Step>) {
    let effects: Vec<_> = steps.iter().map(|step| effect(environment, step)).collect();
    for accepted in join_all(effects.iter().map(|effect| portal.request(effect))).await {
        assert_eq!(accepted, Ok(()));
    }
}

async fn until(portal: &Ec2, environment: &EnvironmentId, are: impl Fn(&[MachineState]) -> bool) {
    for _ in 0..3600 {
        let seen = portal.observe(std::slice::from_ref(environment)).await.expect("an Amazon that answers");
        let states: Vec<MachineState> = seen.into_iter().flat_map(|one| one.servers).map(|one| one.state).collect();
        if are(&states) {
            return;
        }
        sleep(Duration::from_secs(1)).await;
    }
    panic!("it never comes about");
}
