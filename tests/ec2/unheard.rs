//! Launches that Amazon did and nobody heard of: whoever comes next repeats the call, and whatever has become of its servers
//! meanwhile there is no second one of any.

use std::collections::BTreeMap;
use std::time::Duration;

use ec2::Ec2;
use fake_ec2::{Fake, Fault, Faults, Rules};
use futures::future::join_all;
use provisioners::conformance::{effect, server, settled};
use provisioners::{EnvironmentId, MachineState, Provisioner, ServerId, ServerPlan, Step};
use tokio::time::{Instant, sleep};

use super::amazon::Account;

const MINUTE: Duration = Duration::from_secs(60);
/// What counts for nothing is ended so soon: between two patrols, what Amazon lags, and the call.
const SOON_ENDED: Duration = Duration::from_secs(7 * 60);
const TERMINATED: &str = "IdempotentInstanceTerminated";

struct Story {
    account: Account,
    environment: EnvironmentId,
    /// Amazon's ids, in the order of their names.
    made: Vec<String>,
}

impl Story {
    /// A portal asks for these servers at once and is gone before Amazon's answer is there. Amazon shows nothing of them yet.
    async fn begin(names: &[&str]) -> Self {
        let account = Account::new(Fake::new(Rules::calm()));
        let mut story = Self { account, environment: EnvironmentId::new("env"), made: Vec::new() };
        let portal = story.account.open().await;
        story.ask(&portal, Step::CreateNetwork).await;
        story.account.until_network(&story.environment).await;
        let at = BTreeMap::from([(1, Fault::ReplyLost)]);
        story.account.fake.set_faults(Faults { at, only: vec!["RunInstances".to_owned()], ..Faults::default() });
        join_all(names.iter().map(|name| story.ask(&portal, start(name, 1)))).await;
        while story.made.len() < names.len() {
            sleep(Duration::from_millis(1)).await;
            let mut made = story.account.fake.truth().instances;
            made.sort_by_key(|one| one.launch_index);
            story.made = made.into_iter().map(|one| one.id).collect();
        }
        story.account.fake.set_hidden(story.made.clone());
        story
    }

    async fn ask(&self, portal: &Ec2, step: Step) {
        assert_eq!(portal.request(&effect(&self.environment, &step)).await, Ok(()), "{step:?}");
    }

    /// Name, generation and state of each server.
    async fn seen(&self, portal: &Ec2) -> Vec<(String, i64, MachineState)> {
        let seen = portal.observe(std::slice::from_ref(&self.environment)).await.expect("a look").remove(0);
        seen.servers.into_iter().map(|one| (one.server.to_string(), one.generation, one.state)).collect()
    }

    async fn until(&self, portal: &Ec2, name: &str, fine: impl Fn(&MachineState) -> bool) {
        let by = Instant::now() + MINUTE * 30;
        while !self.seen(portal).await.iter().any(|(of, _, state)| of == name && fine(state)) {
            assert!(Instant::now() < by, "{name} is never so: {:?}", self.seen(portal).await);
            sleep(Duration::from_secs(1)).await;
        }
    }

    fn alive(&self) -> Vec<String> {
        let instances = self.account.fake.truth().instances.into_iter();
        instances.filter(fake_ec2::TrueInstance::is_alive).map(|one| one.id).collect()
    }

    fn refused(&self, code: &str) -> u64 {
        self.account.fake.counts().refused.get(code).copied().unwrap_or(0)
    }

    /// As somebody does in Amazon's console.
    fn lose(&self, id: &str) {
        self.account.fake.lose_instance(id).expect("it was there");
    }
}

fn start(name: &str, generation: i64) -> Step {
    let plan = ServerPlan { mounts: Vec::new(), ..server(name, generation) };
    Step::StartServer { server: Box::new(plan) }
}

fn stop(name: &str, generation: i64) -> Step {
    Step::StopServer { server: ServerId::new(name), generation }
}

fn starts(state: &MachineState) -> bool {
    matches!(state, MachineState::Starting { .. })
}

fn has_died(state: &MachineState) -> bool {
    matches!(state, MachineState::Dead { reason } if reason == "Amazon says it was terminated before it was seen to run")
}

#[tokio::test(start_paused = true)]
async fn a_launch_that_a_newer_portal_repeats_with_another_script_brings_no_second_server_and_makes_way() {
    let story = Story::begin(&["web"]).await;
    let portal = story.account.open_newer().await.expect("the same region");
    settled(&portal, &story.environment).await;
    assert!(matches!(story.seen(&portal).await.as_slice(), [(_, 1, MachineState::Failed { .. })]));
    assert_eq!(story.refused("IdempotentParameterMismatch"), 1, "Amazon has refused it");
    story.account.fake.set_hidden([]);
    story.ask(&portal, stop("web", 1)).await;
    story.ask(&portal, start("web", 2)).await;
    let by = Instant::now() + SOON_ENDED;
    while story.alive().contains(&story.made[0]) || story.alive().is_empty() {
        assert!(story.alive().len() <= 2, "one of each generation");
        assert!(Instant::now() < by, "{:?} counts for nothing and is there", story.made);
        sleep(Duration::from_secs(1)).await;
    }
    settled(&portal, &story.environment).await;
    assert_eq!(story.seen(&portal).await, [("web".to_owned(), 2, MachineState::Running)]);
    assert_eq!(story.alive().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn of_two_that_a_newer_portal_asks_for_with_another_script_the_one_that_is_known_runs_on() {
    let story = Story::begin(&["db", "web"]).await;
    story.account.fake.set_hidden([story.made[1].clone()]);
    let portal = story.account.open_newer().await.expect("the same region");
    story.until(&portal, "web", |state| matches!(state, MachineState::Failed { .. })).await;
    story.account.fake.set_hidden([]);
    let by = Instant::now() + SOON_ENDED;
    while story.alive().contains(&story.made[1]) {
        assert!(Instant::now() < by, "{} counts for nothing and is there", story.made[1]);
        sleep(Duration::from_secs(1)).await;
    }
    sleep(SOON_ENDED).await;
    assert_eq!(story.alive(), [story.made[0].clone()]);
    story.until(&portal, "db", |state| *state == MachineState::Running).await;

    for name in ["db", "web"] {
        story.ask(&portal, stop(name, 1)).await;
    }
    settled(&portal, &story.environment).await;
    assert_eq!((story.seen(&portal).await, story.alive()), (Vec::new(), Vec::new()), "both go when they are to go");
}

#[tokio::test(start_paused = true)]
async fn one_that_has_ended_since_is_told_to_have_died_and_makes_way_for_the_next_alone() {
    let story = Story::begin(&["web"]).await;
    story.lose(&story.made[0]);
    let portal = story.account.open().await;
    story.until(&portal, "web", has_died).await;
    sleep(MINUTE * 60).await;
    assert_eq!(story.refused(TERMINATED), 1, "nobody asks for it again and again");
    assert_eq!(story.account.fake.truth().instances.len(), 1, "nor in another way");

    story.ask(&portal, stop("web", 1)).await;
    story.ask(&portal, start("web", 2)).await;
    settled(&portal, &story.environment).await;
    assert_eq!(story.seen(&portal).await, [("web".to_owned(), 2, MachineState::Running)]);
    assert_eq!(story.account.fake.truth().instances.len(), 2);
}

/// Amazon's answer does not say which; what it shows does, and what it does not show for long is the one.
#[tokio::test(start_paused = true)]
async fn of_two_one_of_which_has_ended_since_the_other_is_found_and_runs() {
    let story = Story::begin(&["db", "web"]).await;
    story.lose(&story.made[0]);
    let portal = story.account.open().await;
    sleep(MINUTE).await;
    assert!(story.refused(TERMINATED) > 0, "it was asked for again");
    assert!(story.seen(&portal).await.iter().all(|(_, _, state)| starts(state)), "nobody knows which");
    story.account.fake.set_hidden([story.made[0].clone()]);
    story.until(&portal, "web", |state| *state == MachineState::Running).await;
    story.until(&portal, "db", has_died).await;
    let all = story.account.fake.truth().instances.len();
    assert_eq!((all, story.alive()), (2, vec![story.made[1].clone()]), "nothing was launched anew");

    for name in ["db", "web"] {
        story.ask(&portal, stop(name, 1)).await;
    }
    settled(&portal, &story.environment).await;
    assert_eq!((story.seen(&portal).await, story.alive()), (Vec::new(), Vec::new()), "both go when they are to go");
}
