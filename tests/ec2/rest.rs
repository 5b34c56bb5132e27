//! Servers that stand by on Amazon, and what others do to them meanwhile.

use std::time::Duration;

use ec2::Ec2;
use fake_ec2::{Fake, Lag, Rules};
use provisioners::conformance::{effect, server, settled};
use provisioners::{
    EnvironmentId, MachineState, ObservedEnvironment, Orphans, ProvisionError, Provisioner, ServerId, ServerPlan, Step,
};

use super::amazon::{Account, config};

/// A server without volumes, and the portal that has it.
struct Story {
    account: Account,
    portal: Ec2,
    environment: EnvironmentId,
    wish: i64,
}

impl Story {
    /// One server runs.
    async fn begin(rules: Rules, hibernates: bool) -> Story {
        Story::begin_with(rules, hibernates, &["t3.small"]).await
    }

    /// On one of these types.
    async fn begin_with(rules: Rules, hibernates: bool, types: &[&str]) -> Story {
        let account = Account::new(Fake::new(rules));
        let mut config = config();
        config.sizes[0].types = types.iter().map(|kind| (*kind).to_owned()).collect();
        let portal = account.open_with(config).await.expect("a region that can be used");
        let mut story = Story { account, portal, environment: EnvironmentId::new("resting"), wish: 0 };
        let plan = ServerPlan { mounts: Vec::new(), hibernates, ..server("web", 1) };
        story.ask(Step::CreateNetwork).await;
        story.ask(Step::StartServer { server: Box::new(plan) }).await;
        story.until(|state| *state == MachineState::Running).await;
        story
    }

    async fn ask(&self, step: Step) {
        let effect = effect(&self.environment, &step);
        for _ in 0..1000 {
            match self.portal.request(&effect).await {
                Err(ProvisionError::Retryable { after, .. }) => tokio::time::sleep(after).await,
                answer => return assert_eq!(answer, Ok(()), "{step:?}"),
            }
        }
        panic!("{step:?} is never accepted");
    }

    async fn sleep(&mut self, hibernate: bool) {
        self.wish += 1;
        let (server, wish) = (ServerId::new("web"), self.wish);
        self.ask(Step::SuspendServer { server, generation: 1, wish, hibernate }).await;
    }

    async fn wake(&mut self) {
        self.wish += 1;
        self.ask(Step::WakeServer { server: ServerId::new("web"), generation: 1, wish: self.wish }).await;
    }

    async fn look(&self) -> ObservedEnvironment {
        self.portal.observe(std::slice::from_ref(&self.environment)).await.expect("a look").remove(0)
    }

    async fn state(&self) -> MachineState {
        self.look().await.servers.remove(0).state
    }

    async fn until(&mut self, fine: impl Fn(&MachineState) -> bool) -> MachineState {
        for _ in 0..10_000 {
            let state = self.state().await;
            if fine(&state) {
                return state;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        panic!("it stays {:?}", self.state().await);
    }

    fn instance(&self) -> fake_ec2::TrueInstance {
        self.account.fake.truth().instances.last().expect("an instance").clone()
    }

    /// Somebody with a console stops it.
    async fn stop_by_hand(&self) {
        let amazon = self.account.amazon();
        let paid = amazon.buckets.acquire(&[]).await;
        amazon.stop(paid, &[self.instance().id], false).await.expect("a running instance");
    }

    async fn start_by_hand(&self) {
        let amazon = self.account.amazon();
        let paid = amazon.buckets.acquire(&[]).await;
        amazon.start(paid, &[self.instance().id]).await.expect("a stopped instance");
    }
}

fn stands_by(state: &MachineState) -> bool {
    matches!(state, MachineState::Suspended { .. })
}

fn died(state: &MachineState) -> bool {
    matches!(state, MachineState::Dead { .. })
}

#[tokio::test(start_paused = true)]
async fn the_same_machine_wakes_that_stood_by() {
    let mut story = Story::begin(Rules::calm(), false).await;
    let before = story.instance();
    story.sleep(false).await;
    story.until(stands_by).await;
    assert_eq!(story.instance().state, "stopped");
    story.wake().await;
    story.until(|state| *state == MachineState::Running).await;
    let after = story.instance();
    assert_eq!((after.id, after.state.as_str()), (before.id, "running"));
    assert!(after.launched_ms > before.launched_ms);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stands_by_for_days_is_nobodys_orphan() {
    let mut story = Story::begin(Rules::calm(), false).await;
    story.sleep(false).await;
    story.until(stands_by).await;
    tokio::time::sleep(Duration::from_secs(3 * 24 * 3600)).await;
    assert_eq!(story.portal.orphans().await, Ok(Orphans::default()));
    assert_eq!(story.instance().state, "stopped");
}

#[tokio::test(start_paused = true)]
async fn what_others_do_to_a_server_that_stands_by_is_noticed() {
    let mut story = Story::begin(Rules::calm(), false).await;
    story.sleep(false).await;
    story.until(stands_by).await;
    // Started by somebody else: nobody wants to pay for it.
    story.start_by_hand().await;
    for _ in 0..120 {
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(matches!(story.state().await, MachineState::Suspended { .. } | MachineState::Suspending));
    }
    assert_eq!(story.instance().state, "stopped");
    story.wake().await;
    story.until(|state| *state == MachineState::Running).await;
    // Stopped by somebody else: it is dead, as one that never stood by would be.
    story.stop_by_hand().await;
    story.until(died).await;
    story.ask(Step::StopServer { server: ServerId::new("web"), generation: 1 }).await;
    assert!(settled(&story.portal, &story.environment).await.servers.is_empty());

    let mut story = Story::begin(Rules::calm(), false).await;
    story.sleep(false).await;
    story.until(stands_by).await;
    story.account.fake.lose_instance(&story.instance().id).expect("it was there");
    story.until(died).await;
}

#[tokio::test(start_paused = true)]
async fn an_amazon_that_shows_the_past_makes_nobody_believe_it() {
    let lag = Lag { describes_ms: 300_000, changes_ms: 3_000, wavering: true };
    let mut story = Story::begin(Rules { lag, ..Rules::calm() }, false).await;
    for _ in 0..4 {
        story.sleep(false).await;
        story
            .until(|state| {
                assert!(matches!(state, MachineState::Suspending | MachineState::Suspended { .. }), "{state:?}");
                stands_by(state)
            })
            .await;
        assert_eq!(story.instance().state, "stopped", "it is said to stand by only when it does");
        story.wake().await;
        let mut woken = 0;
        story
            .until(|state| {
                assert!(matches!(state, MachineState::Starting { .. } | MachineState::Running), "{state:?}");
                *state == MachineState::Running
            })
            .await;
        assert_eq!(story.instance().state, "running");
        // And stays so, whatever is shown.
        while woken < 700 {
            assert_eq!(story.state().await, MachineState::Running);
            tokio::time::sleep(Duration::from_secs(1)).await;
            woken += 1;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_for_which_there_is_no_room_any_more_makes_way_for_another() {
    let mut story = Story::begin(Rules::calm(), false).await;
    story.sleep(false).await;
    story.until(stands_by).await;
    let zone = story.account.fake.truth().instances.last().expect("an instance").zone.clone();
    story.account.fake.set_capacity("t3.small", &zone, Some(0));
    story.wake().await;
    let state = story.until(|state| matches!(state, MachineState::Failed { .. })).await;
    let MachineState::Failed { reason } = state else { unreachable!() };
    assert!(reason.contains("no room"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_server_hibernates_where_its_type_can() {
    // The first type has more memory than Amazon hibernates, another of the same size has not.
    let mut story = Story::begin_with(Rules::calm(), true, &["r6i.8xlarge", "t3.small"]).await;
    let before = story.instance();
    assert_eq!(before.instance_type, "t3.small");
    story.sleep(true).await;
    // It has to run for some minutes before it can; nobody gives up for that.
    assert_eq!(story.until(stands_by).await, MachineState::Suspended { hibernated: true });
    story.wake().await;
    story.until(|state| *state == MachineState::Running).await;
    assert_eq!(story.instance().id, before.id);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_hibernate_says_so_and_is_stopped() {
    let mut story = Story::begin_with(Rules::calm(), true, &["r6i.8xlarge"]).await;
    let limits = &story.look().await.servers[0].limits;
    assert_eq!(limits, "r6i.8xlarge, which cannot hibernate: it is stopped when parked");
    story.sleep(true).await;
    assert_eq!(story.until(stands_by).await, MachineState::Suspended { hibernated: false });
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_shown_to_have_ended_does_not_run_again_when_amazon_shows_the_past() {
    let lag = Lag { describes_ms: 300_000, changes_ms: 0, wavering: true };
    let mut story = Story::begin(Rules { lag, ..Rules::calm() }, false).await;
    // Long enough for its past to be only that it ran.
    tokio::time::sleep(Duration::from_secs(900)).await;
    story.account.fake.lose_instance(&story.instance().id).expect("it was there");
    let is_dead = |state: &MachineState| matches!(state, MachineState::Dead { .. });
    story.until(is_dead).await;
    for _ in 0..300 {
        let state = story.state().await;
        assert!(is_dead(&state), "{state:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
