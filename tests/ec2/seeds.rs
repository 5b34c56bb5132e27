//! Whole lives of environments on an Amazon where everything goes wrong at some time: calls are refused, lost, delayed and
//! delivered twice, describes show the past, portals are killed. A seed says what goes wrong when, and repeats it.

use std::net::Ipv4Addr;
use std::time::Duration;

use ec2::Ec2;
use fake_ec2::{Faults, Rules};
use provisioners::conformance::effect;
use provisioners::{
    Effect, EnvironmentId, Image, MachineState, ObservedEnvironment, ProvisionError, Provisioner, RestoreState,
    ServerId, ServerPlan, SnapshotId, SnapshotPlan, SnapshotState, SnapshotVolume, Step, VolumeId, VolumeMount,
    VolumePlan, VolumeSource,
};

use super::amazon::Account;
use super::place::left;

/// Lives that a run leads; each with a seed of its own.
const LIVES: u64 = 8;
/// After so long nothing may be left: twice as long as Amazon lags, and what a busy Amazon takes.
const SWEPT: Duration = Duration::from_secs(3600);
/// Nothing takes longer than this on this Amazon, or it will never be.
const PATIENCE: Duration = Duration::from_secs(3 * 3600);

/// A sequence that a seed begins (Knuth's MMIX).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Somebody who wants an environment and does not give up.
pub(super) struct Life {
    seed: u64,
    pub account: Account,
    pub environment: EnvironmentId,
    dice: Dice,
    portal: Option<Ec2>,
    /// Zones' room comes and goes.
    tides: Option<Tides>,
}

/// All zones but one have room at times.
struct Tides {
    zones: Vec<String>,
    dice: Dice,
}

impl Tides {
    fn turn(&mut self, account: &Account) {
        if self.dice.roll(6) > 0 {
            return;
        }
        let zone = &self.zones[usize::try_from(self.dice.roll(self.zones.len() as u64)).unwrap_or(0)];
        let free = (self.dice.roll(3) > 0).then_some(0);
        ["t3.small", "t3a.small"].iter().for_each(|kind| account.fake.set_capacity(kind, zone, free));
    }
}

impl Life {
    pub async fn begin(seed: u64, rules: Rules) -> Life {
        let life = Life::on(Account::new(fake_ec2::Fake::new(rules)), &format!("life-{seed}")).await;
        Life { seed, dice: Dice(seed), ..life }
    }

    pub async fn on(account: Account, environment: &str) -> Life {
        let portal = Some(account.open().await);
        Life { seed: 0, account, environment: EnvironmentId::new(environment), dice: Dice(0), portal, tides: None }
    }

    /// From now on these zones have room at times only.
    pub fn set_tides(&mut self, zones: Vec<String>) {
        self.tides = Some(Tides { zones, dice: Dice(self.seed) });
    }

    fn turn(&mut self) {
        if let Some(tides) = &mut self.tides {
            tides.turn(&self.account);
        }
    }

    /// The portal, and nobody after it.
    pub fn stop(&mut self) {
        self.portal = None;
    }

    pub fn portal(&self) -> &Ec2 {
        self.portal.as_ref().expect("a portal")
    }

    /// As `kill -9`; another one starts.
    async fn kill(&mut self) {
        self.portal = None;
        self.portal = Some(loop {
            // What it asks at its start gets lost, too.
            if let Ok(portal) = self.account.try_open().await {
                break portal;
            }
        });
    }

    /// Asks until it is accepted, with portals that die over it.
    pub async fn perform(&mut self, steps: &[Step]) {
        let by = tokio::time::Instant::now() + PATIENCE;
        let mut call = 0;
        let mut open: Vec<&Step> = steps.iter().collect();
        while !open.is_empty() {
            assert!(tokio::time::Instant::now() < by, "seed {}: {open:?} is never accepted", self.seed);
            call += 1;
            self.turn();
            let deadline = match self.dice.roll(3) {
                0 => Duration::from_millis(self.dice.roll(2_000)),
                _ => PATIENCE,
            };
            let of = |step: &&Step| Effect { call, ..effect(&self.environment, step) };
            let effects: Vec<Effect> = open.iter().map(of).collect();
            let portal = self.portal();
            let asked = futures::future::join_all(effects.iter().map(|effect| portal.request(effect)));
            match tokio::time::timeout(deadline, asked).await {
                Err(_) => self.kill().await,
                Ok(answers) => {
                    let mut still = Vec::new();
                    for (step, answer) in open.into_iter().zip(answers) {
                        match answer {
                            Ok(()) => {}
                            Err(ProvisionError::Retryable { .. } | ProvisionError::Unknown { .. }) => still.push(step),
                            Err(error) => panic!("seed {}: {step:?}: {error}", self.seed),
                        }
                    }
                    open = still;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// Looks until it is as it should be, with portals that die while they look.
    pub async fn until(&mut self, what: &str, fine: impl Fn(&ObservedEnvironment) -> bool) -> ObservedEnvironment {
        let by = tokio::time::Instant::now() + PATIENCE;
        loop {
            self.turn();
            if let Ok(observed) = self.portal().observe(std::slice::from_ref(&self.environment)).await {
                assert_eq!(self.twice(), Vec::<String>::new(), "seed {}: two servers for one", self.seed);
                if fine(&observed[0]) {
                    return observed[0].clone();
                }
                let now = tokio::time::Instant::now();
                assert!(now < by, "seed {}: never {what}: {observed:?}", self.seed);
            }
            tokio::time::sleep(Duration::from_millis(500 + self.dice.roll(3_000))).await;
            if self.dice.roll(12) == 0 {
                self.kill().await;
            }
        }
    }

    /// Servers of which more than one incarnation of the same generation is alive; those launched together are told apart by
    /// their launch's token and index, so more of them than members would be one too many.
    fn twice(&self) -> Vec<String> {
        let truth = self.account.fake.truth();
        let alive: Vec<_> = truth.live_instances("bookend:environment", self.environment.as_str()).collect();
        let mut named: Vec<String> = alive
            .iter()
            .filter_map(|one| {
                Some(format!("{} {}", one.tags.get("bookend:server")?, one.tags.get("bookend:generation")?))
            })
            .collect();
        named.sort();
        let repeated = named.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone());
        let mut wrong: Vec<String> = repeated.collect();
        if alive.len() > 3 {
            wrong.push(format!("{} servers of three are alive", alive.len()));
        }
        wrong
    }
}

pub(super) fn server(name: &str, generation: i64, volume: Option<&str>) -> Step {
    Step::StartServer {
        server: Box::new(ServerPlan {
            id: ServerId::new(name),
            name: name.to_owned(),
            generation,
            address: Ipv4Addr::new(10, 64, 0, 2),
            image: Image::Host,
            alias: None,
            architecture: None,
            cpu_millis: Some(1000),
            memory_bytes: Some(1 << 30),
            mounts: volume
                .map(|volume| VolumeMount { volume: VolumeId::new(volume), path: "/data".to_owned() })
                .into_iter()
                .collect(),
            hosts: Vec::new(),
            internet: true,
            spot: false,
            hibernates: false,
        }),
    }
}

pub(super) fn stop(name: &str, generation: i64) -> Step {
    Step::StopServer { server: ServerId::new(name), generation }
}

pub(super) fn all_run(observed: &ObservedEnvironment) -> bool {
    observed.servers.len() == 3 && observed.servers.iter().all(|server| server.state == MachineState::Running)
}

fn suspend(name: &str, wish: i64) -> Step {
    Step::SuspendServer { server: ServerId::new(name), generation: 1, wish, hibernate: false }
}

fn wake(name: &str, wish: i64) -> Step {
    Step::WakeServer { server: ServerId::new(name), generation: 1, wish }
}

fn all_sleep(observed: &ObservedEnvironment) -> bool {
    let sleeps = |state: &MachineState| *state == MachineState::Suspended { hibernated: false };
    observed.servers.len() == 3 && observed.servers.iter().all(|server| sleeps(&server.state))
}

/// Up, asleep and awake again, parked so that nothing is left but a snapshot, up again from it, and away.
async fn lead(life: &mut Life) {
    let environment = life.environment.clone();
    let size_bytes = 3 << 30;
    let volume = VolumePlan { id: VolumeId::new("data"), name: "data".to_owned(), size_bytes, from: None };
    let snapshot = SnapshotPlan {
        id: SnapshotId::new("kept"),
        volumes: vec![SnapshotVolume { volume: VolumeId::new("data"), name: "data".to_owned() }],
    };
    let source = VolumeSource {
        environment: environment.clone(),
        snapshot: SnapshotId::new("kept"),
        volume: VolumeId::new("data"),
    };
    let restored = VolumePlan { id: VolumeId::new("again"), from: Some(source), ..volume.clone() };

    life.perform(&[Step::CreateNetwork, Step::CreateVolume { volume }]).await;
    life.perform(&[server("db", 1, Some("data")), server("web-1", 1, None), server("web-2", 1, None)]).await;
    life.until("up", all_run).await;
    for wish in [1, 3] {
        life.perform(&["db", "web-1", "web-2"].map(|name| suspend(name, wish))).await;
        life.until("asleep", all_sleep).await;
        let running = |one: &&fake_ec2::TrueInstance| one.state != "stopped";
        let truth = life.account.fake.truth();
        let awake = truth.live_instances("bookend:environment", environment.as_str()).filter(running).count();
        assert_eq!(awake, 0, "seed {}: what is said to stand by does", life.seed);
        life.perform(&["db", "web-1", "web-2"].map(|name| wake(name, wish + 1))).await;
        life.until("awake", all_run).await;
    }
    life.perform(&[stop("web-1", 1), stop("web-2", 1), stop("db", 1)]).await;
    life.until("down", |observed| observed.servers.is_empty()).await;
    life.perform(&[Step::DeleteNetwork, Step::CreateSnapshot { snapshot }]).await;
    let kept =
        |observed: &ObservedEnvironment| observed.snapshots.iter().all(|one| one.state == SnapshotState::Complete);
    life.until("kept", |observed| observed.snapshots.len() == 1 && kept(observed)).await;
    life.perform(&[Step::DeleteVolume { volume: VolumeId::new("data") }]).await;
    life.until("put away", |observed| observed.volumes.is_empty() && kept(observed)).await;
    life.perform(&[Step::CreateNetwork, Step::CreateVolume { volume: restored }]).await;
    let making = |observed: &ObservedEnvironment| {
        observed.restoring.iter().any(|one| matches!(one.state, RestoreState::Copying(_)))
    };
    life.until("restored", |observed| !making(observed) && observed.volumes == [VolumeId::new("again")]).await;
    life.perform(&[server("db", 2, Some("again")), server("web-1", 2, None), server("web-2", 2, None)]).await;
    life.until("up again", all_run).await;
    let truth = life.account.fake.truth();
    let volume = truth
        .volumes
        .iter()
        .find(|one| one.is_alive() && one.tags.get("bookend:volume").map(String::as_str) == Some("again"));
    let volume = volume.expect("the restored volume");
    assert!(volume.snapshot.is_some() && volume.attached.is_some() && volume.encrypted, "{volume:?}");

    life.perform(&[Step::DeleteNetwork]).await;
    life.until("empty", |observed| observed.servers.is_empty() && !observed.network).await;
    let snapshots = |observed: &ObservedEnvironment| observed.snapshots.len() == 1 && kept(observed);
    assert!(snapshots(&life.until("kept still", snapshots).await), "a snapshot outlives everything else");
    life.perform(&[
        Step::DeleteVolume { volume: VolumeId::new("again") },
        Step::DeleteSnapshot { snapshot: SnapshotId::new("kept") },
    ])
    .await;
    let by = tokio::time::Instant::now() + SWEPT;
    loop {
        let left = left(&life.account.fake.truth(), &environment);
        if left.is_empty() {
            return;
        }
        assert!(tokio::time::Instant::now() < by, "seed {}: left behind: {left:?}", life.seed);
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
}

/// Where everything goes wrong that this seed says.
async fn led(seed: u64) -> Life {
    let rules = Rules { faults: Faults::everywhere(0.04), ..Rules::lifelike(seed) };
    let mut life = Life::begin(seed, Rules { faults: Faults::default(), ..rules.clone() }).await;
    life.account.fake.set_faults(rules.faults);
    lead(&mut life).await;
    life
}

/// Those of a story that leaves things to chance: `BOOKEND_TEST_SEED=N` tells it with that one alone.
pub(super) fn seeds(usual: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let asked_for = std::env::var("BOOKEND_TEST_SEED").ok();
    let asked_for = asked_for.map(|seed| seed.parse::<u64>().expect("BOOKEND_TEST_SEED is a number"));
    asked_for.map_or_else(|| usual.into_iter().collect(), |seed| vec![seed])
}

/// Says with which seed it was, when what is told meanwhile fails.
pub(super) struct Told(pub u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("it failed with BOOKEND_TEST_SEED={}", self.0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_goes_wrong_there_is_one_server_for_each_and_in_the_end_nothing_is_left() {
    for seed in seeds(1..=LIVES) {
        let _told = Told(seed);
        led(seed).await;
    }
}

#[test]
fn a_seed_repeats_a_life_to_the_last_call() {
    let calls = || {
        let mut clock = tokio::runtime::Builder::new_current_thread();
        let clock = clock.enable_all().start_paused(true).build().expect("a runtime");
        clock.block_on(led(2)).account.fake.touches()
    };
    // A life is deeper than the stack of a test.
    let thread = std::thread::Builder::new().stack_size(16 << 20).spawn(move || (calls(), calls()));
    let (once, again) = thread.expect("a thread").join().expect("two lives");
    let differs = once.iter().zip(&again).position(|(one, other)| one != other);
    assert_eq!(differs, None, "of {} calls this one is the first that differs", once.len());
    assert_eq!(once.len(), again.len());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_ours_is_never_named_in_a_call_that_changes_something() {
    let seed = seeds([99])[0];
    let _told = Told(seed);
    let mut life = Life::begin(seed, Rules { buckets: false, ..Rules::lifelike(seed) }).await;
    let keys = ["bookend:installation", "bookend:environment", "bookend:server", "bookend:volume", "bookend:snapshot"];
    let foreign = life.account.fake.plant_foreign(100_000, 99, &keys);
    assert_eq!(foreign.len(), 100_000);
    let before = life.account.fake.truth();
    lead(&mut life).await;
    tokio::time::sleep(SWEPT).await;
    let touched: Vec<_> = foreign.iter().flat_map(|id| life.account.fake.touches_of(id)).collect();
    assert_eq!(touched, [], "calls that named what is not ours");
    let after = life.account.fake.truth();
    let alive = |truth: &fake_ec2::Truth| truth.instances.iter().filter(|one| one.is_alive()).count();
    assert!(alive(&before) > 1000, "there was something to touch");
    assert_eq!(alive(&after), alive(&before));
}
