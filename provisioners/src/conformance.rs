//! The stories every provisioner must pass, whatever place it has servers at.
//!
//! They do not pick cases: they walk through the life of an environment step by step, and perform every step twice; then,
//! for every step, once for each moment the provisioner passes on the way, with the portal killed there and with the change
//! failing there. After each, a portal that starts anew must find exactly the right servers, or bring them about by
//! repeating the step, and in the end nothing may be left.

mod damage;
mod files;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest, Sha256};

pub use self::damage::{a_damaged_file_does_not_come_back, a_damaged_snapshot_is_refused_and_what_is_damaged_named};
pub use self::files::files_come_and_come_back_one_by_one;
pub use crate::local::{Trouble, arm, passed};
use crate::{
    Effect, EffectToken, EnvironmentId, Host, Image, MachineState, ObservedEnvironment, ObservedServer, ProvisionError,
    Provisioner, RestoreState, Secret, ServerId, ServerPlan, SnapshotId, SnapshotPlan, SnapshotState, SnapshotVolume,
    Step, Told, VolumeId, VolumeMount, VolumePlan, VolumeSource,
};

/// How often a step may be put off.
const MOST_CALLS: usize = 1000;

/// What became of a step in a portal that was in trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Performed {
    /// The step was over before trouble struck.
    Done,
    Failed(String),
    Killed,
}

/// What the stories need of the place under test.
#[async_trait]
pub trait Place: Send + Sync {
    /// Whether a volume can be attached to two servers at once.
    fn shares_volumes(&self) -> bool;
    /// Whether servers can stand by, and it shows when they have woken.
    fn suspends_servers(&self) -> bool {
        false
    }
    /// Whether a snapshot says what is in it, and can be read through to see that it is still so.
    fn reads_snapshots(&self) -> bool {
        false
    }
    /// After how long at the latest it says by itself that something has changed.
    fn notices_within(&self) -> Duration {
        Duration::from_secs(20)
    }
    /// The provisioner as a portal that starts now opens it. The one opened before is no more.
    async fn open(&self) -> Box<dyn Provisioner>;
    /// Opens the provisioner in a process of its own, performs the step there, and lets trouble strike at this moment of it.
    async fn perform_in_trouble(&self, effect: &Effect, trouble: Trouble, at: u64) -> Performed;
    /// Servers of the environment that really run, however many the provisioner admits to.
    async fn running(&self, environment: &EnvironmentId) -> usize;
    /// What there is of an environment that should be gone: processes, mounts, directories, control groups.
    async fn leftovers(&self, environment: &EnvironmentId) -> Vec<String>;
    /// Ends a server's machine from outside, as a person with `kill -9` would.
    fn kill_server(&self, environment: &EnvironmentId, server: &ServerId);
    /// Takes the environment's network away from outside.
    fn kill_network(&self, environment: &EnvironmentId);
    /// Puts files into a volume, the same every time.
    async fn fill(&self, environment: &EnvironmentId, volume: &VolumeId);
    /// Whether a volume holds exactly what [`fill`](Self::fill) put into one.
    fn is_filled(&self, environment: &EnvironmentId, volume: &VolumeId) -> bool;
    /// Changes a file that a snapshot of such a volume holds, as a failing disk does, and returns its path in the volume.
    fn damage(&self, environment: &EnvironmentId, snapshot: &SnapshotId, volume: &VolumeId) -> String;
}

/// The life the stories lead an environment through: two servers, and a volume that both have where volumes can be shared.
fn life(place: &dyn Place) -> Vec<Step> {
    let volume = |id: &str| VolumePlan { id: VolumeId::new(id), name: id.to_owned(), size_bytes: 1 << 20, from: None };
    let mut db = server("db", 1);
    if !place.shares_volumes() {
        db.mounts.clear();
    }
    vec![
        Step::CreateNetwork,
        Step::CreateVolume { volume: volume("data") },
        Step::StartServer { server: Box::new(server("web", 1)) },
        Step::StopServer { server: ServerId::new("web"), generation: 1 },
        Step::StartServer { server: Box::new(server("web", 2)) },
        Step::StartServer { server: Box::new(db) },
        Step::StopServer { server: ServerId::new("web"), generation: 2 },
        Step::StopServer { server: ServerId::new("db"), generation: 1 },
        Step::DeleteVolume { volume: VolumeId::new("data") },
        Step::DeleteNetwork,
    ]
}

/// The life of a server that stands by and wakes, time and again, where servers can; it ends while it stands by.
fn life_of_rest() -> Vec<Step> {
    let volume = VolumePlan { id: VolumeId::new("data"), name: "data".to_owned(), size_bytes: 1 << 20, from: None };
    let web = || ServerId::new("web");
    let suspend = |generation, wish| Step::SuspendServer { server: web(), generation, wish, hibernate: false };
    vec![
        Step::CreateNetwork,
        Step::CreateVolume { volume },
        Step::StartServer { server: Box::new(server("web", 1)) },
        suspend(1, 1),
        Step::WakeServer { server: web(), generation: 1, wish: 2 },
        suspend(1, 3),
        Step::StopServer { server: web(), generation: 1 },
        Step::StartServer { server: Box::new(server("web", 2)) },
        suspend(2, 4),
        Step::DeleteNetwork,
        Step::DeleteVolume { volume: VolumeId::new("data") },
    ]
}

/// The life the stories lead an environment's data through: a volume that holds something, a snapshot of it, its end, another
/// that begins with what the snapshot holds, the end of both.
pub fn life_of_data(environment: &EnvironmentId) -> Vec<Step> {
    let volume = VolumePlan { id: VolumeId::new("data"), name: "data".to_owned(), size_bytes: 1 << 20, from: None };
    let snapshot = SnapshotPlan {
        id: SnapshotId::new("snapshot"),
        volumes: vec![SnapshotVolume { volume: VolumeId::new("data"), name: "data".to_owned() }],
    };
    vec![
        Step::CreateVolume { volume },
        Step::CreateSnapshot { snapshot },
        Step::DeleteVolume { volume: VolumeId::new("data") },
        Step::CreateVolume { volume: restored(environment) },
        Step::DeleteVolume { volume: VolumeId::new("restored") },
        Step::DeleteSnapshot { snapshot: SnapshotId::new("snapshot") },
    ]
}

/// The volume of that life that begins with what this environment's snapshot holds.
fn restored(environment: &EnvironmentId) -> VolumePlan {
    let source = VolumeSource {
        environment: environment.clone(),
        snapshot: SnapshotId::new("snapshot"),
        volume: VolumeId::new("data"),
    };
    VolumePlan { id: VolumeId::new("restored"), name: "data".to_owned(), size_bytes: 1 << 20, from: Some(source) }
}

/// A server of the life.
pub fn server(name: &str, generation: i64) -> ServerPlan {
    let address = |name: &str| Ipv4Addr::new(10, 64, 0, if name == "web" { 2 } else { 3 });
    let host = |name: &str| Host { name: name.to_owned(), address: address(name) };
    ServerPlan {
        id: ServerId::new(name),
        name: name.to_owned(),
        generation,
        address: address(name),
        image: Image::Host,
        alias: None,
        architecture: None,
        cpu_millis: Some(500),
        memory_bytes: Some(128 << 20),
        mounts: vec![VolumeMount { volume: VolumeId::new("data"), path: "/data".to_owned() }],
        hosts: vec![host("web"), host("db")],
        internet: false,
        spot: false,
        hibernates: false,
    }
}

/// The effect of a step, the same every time and another one for every other step.
pub fn effect(environment: &EnvironmentId, step: &Step) -> Effect {
    let text = format!("{environment} {}", serde_json::to_string(step).expect("a step is JSON"));
    let token = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let enrolment = Some(Secret::new("enrol"));
    Effect {
        token: EffectToken::new(token),
        environment: environment.clone(),
        step: step.clone(),
        call: 1,
        enrolment,
        by_schedule: false,
    }
}

/// What there must be after some steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Expected {
    network: bool,
    /// With their generations, and whether they stand by.
    servers: BTreeSet<(String, i64, bool)>,
    volumes: BTreeSet<String>,
    /// Those whose moment is fixed.
    snapshots: BTreeSet<String>,
}

impl Expected {
    fn after(steps: &[Step]) -> Self {
        let mut expected = Self::default();
        for step in steps {
            match step {
                Step::CreateNetwork => expected.network = true,
                Step::CreateVolume { volume } => expected.volumes.extend([volume.id.to_string()]),
                Step::StartServer { server } => {
                    expected.servers.extend([(server.id.to_string(), server.generation, false)]);
                }
                Step::StopServer { server, generation } => {
                    expected.servers.retain(|(id, other, _)| id != server.as_str() || other > generation);
                }
                Step::SuspendServer { server, generation, .. } => expected.turn(server, *generation, true),
                Step::WakeServer { server, generation, .. } => expected.turn(server, *generation, false),
                Step::DeleteVolume { volume } => expected.volumes.retain(|id| id != volume.as_str()),
                Step::CreateSnapshot { snapshot } => expected.snapshots.extend([snapshot.id.to_string()]),
                Step::DeleteSnapshot { snapshot } => expected.snapshots.retain(|id| id != snapshot.as_str()),
                Step::DeleteNetwork => {
                    expected.network = false;
                    expected.servers.clear();
                }
            }
        }
        expected
    }

    fn turn(&mut self, server: &ServerId, generation: i64, asleep: bool) {
        self.servers.remove(&(server.to_string(), generation, !asleep));
        self.servers.insert((server.to_string(), generation, asleep));
    }

    fn named(&self) -> Vec<(&String, i64)> {
        self.servers.iter().map(|(server, generation, _)| (server, *generation)).collect()
    }

    fn awake(&self) -> usize {
        self.servers.iter().filter(|(.., asleep)| !asleep).count()
    }

    fn of(observed: &ObservedEnvironment) -> Self {
        let server = |server: &ObservedServer| {
            let asleep = matches!(server.state, MachineState::Suspending | MachineState::Suspended { .. });
            (server.server.to_string(), server.generation, asleep)
        };
        Self {
            network: observed.network,
            servers: observed.servers.iter().map(server).collect(),
            volumes: observed.volumes.iter().map(ToString::to_string).collect(),
            snapshots: observed.snapshots.iter().map(|snapshot| snapshot.snapshot.to_string()).collect(),
        }
    }
}

/// Every step performed twice in a row leaves what performing it once leaves.
pub async fn every_step_may_be_repeated(place: &dyn Place) {
    let environment = EnvironmentId::new("repeated");
    repeated(place, &environment, life(place)).await;
    let environment = EnvironmentId::new("repeated-data");
    repeated(place, &environment, life_of_data(&environment)).await;
    if place.suspends_servers() {
        repeated(place, &EnvironmentId::new("repeated-rest"), life_of_rest()).await;
    }
}

async fn repeated(place: &dyn Place, environment: &EnvironmentId, life: Vec<Step>) {
    let provisioner = place.open().await;
    for (number, step) in life.iter().enumerate() {
        for time in ["first", "second"] {
            perform(place, provisioner.as_ref(), environment, step, &format!("for the {time} time")).await;
            expect(place, provisioner.as_ref(), environment, &life[..=number], step).await;
        }
    }
    expect_nothing(place, provisioner.as_ref(), environment).await;
}

/// Every step, with trouble at every moment of it: a portal that comes after finds what was or what was to be, repeats the
/// step, and has exactly what was to be. Returns how many moments there were.
pub async fn every_step_survives_trouble_at_every_moment(place: &dyn Place, trouble: Trouble) -> u64 {
    let of_servers = trouble_in_life(place, trouble, "step", |_| life(place)).await;
    let of_rest = match place.suspends_servers() {
        true => trouble_in_life(place, trouble, "rest", |_| life_of_rest()).await,
        false => 0,
    };
    of_servers + of_rest + trouble_in_life(place, trouble, "data", life_of_data).await
}

/// The part of that which is about data.
pub async fn no_data_is_lost_to_trouble(place: &dyn Place, trouble: Trouble) {
    trouble_in_life(place, trouble, "data", life_of_data).await;
}

/// A snapshot at this place is taken in this way.
pub async fn a_snapshot_is_taken_by(place: &dyn Place, method: &str) {
    let environment = EnvironmentId::new("method");
    let provisioner = place.open().await;
    for step in &life_of_data(&environment)[..2] {
        perform(place, provisioner.as_ref(), &environment, step, "in a life").await;
    }
    let observed = settled(provisioner.as_ref(), &environment).await;
    assert_eq!(observed.snapshots[0].method, method);
    end(provisioner.as_ref(), &environment).await;
}

async fn trouble_in_life(
    place: &dyn Place,
    trouble: Trouble,
    name: &str,
    life: impl Fn(&EnvironmentId) -> Vec<Step>,
) -> u64 {
    let mut moments = 0;
    for number in 0..life(&EnvironmentId::new(name)).len() {
        for moment in 0.. {
            // What was deleted does not come back: each life has ids of its own.
            let environment = EnvironmentId::new(format!("{name}-{number}-{moment}"));
            let life = life(&environment);
            let step = &life[number];
            let provisioner = place.open().await;
            for before in &life[..number] {
                perform(place, provisioner.as_ref(), &environment, before, &format!("before {step:?}")).await;
            }
            settled(provisioner.as_ref(), &environment).await;
            drop(provisioner);
            let performed = place.perform_in_trouble(&effect(&environment, step), trouble, moment).await;
            let provisioner = place.open().await;
            let context = format!("{trouble:?} at moment {moment} of {step:?}: {performed:?}");

            let found = Expected::of(&observe(provisioner.as_ref(), &environment).await);
            let possible = [Expected::after(&life[..number]), Expected::after(&life[..=number])];
            let partly = matches!(step, Step::DeleteNetwork) && found.volumes == possible[1].volumes;
            // One that is on its way out was awake or not: nobody says any more.
            let going = matches!(step, Step::StopServer { .. }) && found.named() == possible[0].named();
            assert!(possible.contains(&found) || partly || going, "{context}: found {found:?}");
            let running = place.running(&environment).await;
            assert!(
                running <= found.servers.len(),
                "{context}: {running} servers run, but only {found:?} are admitted to"
            );

            perform(place, provisioner.as_ref(), &environment, step, &format!("again, after {context}")).await;
            expect(place, provisioner.as_ref(), &environment, &life[..=number], step).await;
            end(provisioner.as_ref(), &environment).await;
            expect_nothing(place, provisioner.as_ref(), &environment).await;
            if performed == Performed::Done {
                moments += moment;
                break;
            }
        }
    }
    moments
}

/// A server that dies by itself is noticed without asking and told apart from one that runs.
pub async fn a_server_that_dies_is_noticed_without_asking(place: &dyn Place) {
    let environment = EnvironmentId::new("dying");
    let provisioner = servers_die(place, &environment).await;
    end(provisioner.as_ref(), &environment).await;
    expect_nothing(place, provisioner.as_ref(), &environment).await;
}

/// One dies while a portal is there, another while there is none; both are there to be told of.
async fn servers_die(place: &dyn Place, environment: &EnvironmentId) -> Box<dyn Provisioner> {
    let provisioner = place.open().await;
    let life = life(place);
    // One after the other: what was asked for together is told apart later in some places.
    for step in life[..3].iter().chain([&life[5]]) {
        assert_eq!(ask(provisioner.as_ref(), environment, step).await, Ok(()), "{step:?}");
        settled(provisioner.as_ref(), environment).await;
    }
    let mut changes = provisioner.changes();
    place.kill_server(environment, &ServerId::new("web"));
    let observed = loop {
        hear(place, &mut changes, environment).await;
        let observed = observe(provisioner.as_ref(), environment).await;
        if is_dead(&observed, "web") {
            break observed;
        }
    };
    assert!(!is_dead(&observed, "db"), "{observed:?}");

    // The same is said by a portal that was not there when it happened.
    drop(provisioner);
    place.kill_server(environment, &ServerId::new("db"));
    let provisioner = place.open().await;
    let mut changes = provisioner.changes();
    let mut observed = observe(provisioner.as_ref(), environment).await;
    // It is killed, and perhaps still on its way out: then its end is heard of.
    while !is_dead(&observed, "db") {
        hear(place, &mut changes, environment).await;
        observed = observe(provisioner.as_ref(), environment).await;
    }
    assert!(is_dead(&observed, "web") && is_dead(&observed, "db"), "{observed:?}");
    provisioner
}

fn is_dead(observed: &ObservedEnvironment, name: &str) -> bool {
    let found = observed.servers.iter().find(|server| server.server.as_str() == name).map(|server| &server.state);
    matches!(found, Some(MachineState::Dead { reason }) if !reason.is_empty())
}

/// What died makes way for the next generation; a network that is taken away is noticed, too.
pub async fn what_ends_by_itself_is_noticed_at_once(place: &dyn Place) {
    let environment = EnvironmentId::new("dying");
    let provisioner = servers_die(place, &environment).await;
    let life = life(place);
    for step in [&life[3], &life[4]] {
        assert_eq!(ask(provisioner.as_ref(), &environment, step).await, Ok(()), "{step:?}");
    }
    let mut changes = provisioner.changes();
    place.kill_network(&environment);
    // What is heard first may be the start of a moment ago.
    let mut observed = observe(provisioner.as_ref(), &environment).await;
    while observed.network || !is_dead(&observed, "web") {
        hear(place, &mut changes, &environment).await;
        observed = observe(provisioner.as_ref(), &environment).await;
    }
    assert_eq!(observed.volumes, [VolumeId::new("data")], "volumes outlive networks");

    // Repaired: a new network, then the next generation; the dead one does not come back with the network.
    assert_eq!(provisioner.request(&effect(&environment, &life[0])).await, Ok(()));
    let observed = observe(provisioner.as_ref(), &environment).await;
    assert!(observed.network && is_dead(&observed, "web"), "{observed:?}");
    assert_eq!(place.running(&environment).await, 0);
    end(provisioner.as_ref(), &environment).await;
    expect_nothing(place, provisioner.as_ref(), &environment).await;
}

/// A request that arrives after its server was stopped starts nothing, and one that lacks its volume invents none.
pub async fn late_and_impossible_requests_change_nothing(place: &dyn Place) {
    let environment = EnvironmentId::new("late");
    let provisioner = place.open().await;
    let life = life(place);
    for step in &life[..4] {
        assert_eq!(ask(provisioner.as_ref(), &environment, step).await, Ok(()), "{step:?}");
    }
    let late = provisioner.request(&effect(&environment, &life[2])).await;
    assert!(matches!(late, Err(ProvisionError::Rejected { .. })), "{late:?}");
    let suspend = |wish| Step::SuspendServer { server: ServerId::new("web"), generation: 1, wish, hibernate: false };
    let gone = provisioner.request(&effect(&environment, &suspend(1))).await;
    assert!(matches!(gone, Err(ProvisionError::Rejected { .. })), "what is gone cannot stand by: {gone:?}");
    assert_eq!(provisioner.request(&effect(&environment, &life[8])).await, Ok(()));
    let without = provisioner.request(&effect(&environment, &life[4])).await;
    assert!(matches!(without, Err(ProvisionError::Rejected { .. })), "{without:?}");
    assert_eq!(Expected::of(&observe(provisioner.as_ref(), &environment).await).servers, BTreeSet::new());
    assert_eq!(place.running(&environment).await, 0);
    end(provisioner.as_ref(), &environment).await;
    expect_nothing(place, provisioner.as_ref(), &environment).await;
}

/// What is asked late, by a portal that does not know of the newest wish, changes nothing about a server that stands by, nor
/// about one that has woken.
pub async fn a_late_wish_neither_wakes_nor_suspends(place: &dyn Place) {
    let environment = EnvironmentId::new("late-wish");
    let provisioner = place.open().await;
    let life = life_of_rest();
    for (number, step) in life[..6].iter().enumerate() {
        perform(place, provisioner.as_ref(), &environment, step, "in a life").await;
        if number < 3 {
            continue;
        }
        for earlier in &life[3..number] {
            let late = provisioner.request(&effect(&environment, earlier)).await;
            assert!(matches!(late, Err(ProvisionError::Rejected { .. })), "{earlier:?} after {step:?}: {late:?}");
        }
        expect(place, provisioner.as_ref(), &environment, &life[..=number], step).await;
    }
    // Nobody waits for one to have come about before they want the other.
    for wish in 4..8 {
        let step = match wish % 2 {
            0 => Step::WakeServer { server: ServerId::new("web"), generation: 1, wish },
            _ => Step::SuspendServer { server: ServerId::new("web"), generation: 1, wish, hibernate: false },
        };
        perform(place, provisioner.as_ref(), &environment, &step, "in a hurry").await;
    }
    expect(place, provisioner.as_ref(), &environment, &life[..4], &life[3]).await;
    end(provisioner.as_ref(), &environment).await;
    expect_nothing(place, provisioner.as_ref(), &environment).await;
}

/// A snapshot outlives the volumes and the network it was taken from, and portals. What is restored from it, here or in
/// another environment, is what was there when it was taken.
pub async fn a_snapshot_outlives_everything_else(place: &dyn Place) {
    let (environment, other) = (EnvironmentId::new("outlived"), EnvironmentId::new("clone"));
    let data = life_of_data(&environment);
    let provisioner = place.open().await;
    for step in [&Step::CreateNetwork, &data[0], &data[1], &data[2], &Step::DeleteNetwork] {
        perform(place, provisioner.as_ref(), &environment, step, "in a life").await;
    }
    drop(provisioner);
    let provisioner = place.open().await;
    let observed = settled(provisioner.as_ref(), &environment).await;
    let [snapshot] = observed.snapshots.as_slice() else { panic!("{observed:?}") };
    assert_eq!(snapshot.state, SnapshotState::Complete, "{snapshot:?}");
    assert!(observed.volumes.is_empty() && !observed.network);
    if place.reads_snapshots() {
        let manifest = snapshot.contents[0].manifest.as_ref().expect("a manifest");
        assert!(manifest.files > 0 && manifest.digest.len() == 64, "{manifest:?}");
        let verification =
            provisioner.verify(&environment, &snapshot.snapshot, &Told::default()).await.expect("a verification");
        assert_eq!((verification.damaged, verification.files), (0, manifest.files), "{verification:?}");
    }
    for at in [&environment, &other] {
        let create = Step::CreateVolume { volume: restored(&environment) };
        perform(place, provisioner.as_ref(), at, &create, "from a snapshot").await;
        let observed = settled(provisioner.as_ref(), at).await;
        assert_eq!(observed.volumes, [VolumeId::new("restored")], "{observed:?}");
        assert!(place.is_filled(at, &VolumeId::new("restored")), "{at} holds something else");
    }
    end(provisioner.as_ref(), &other).await;
    let observed = settled(provisioner.as_ref(), &environment).await;
    assert_eq!(observed.snapshots.len(), 1, "a volume's end is not its snapshot's");
    end(provisioner.as_ref(), &environment).await;
    for environment in [&environment, &other] {
        expect_nothing(place, provisioner.as_ref(), environment).await;
    }
}

/// Performs a step; a volume that is made empty is filled.
async fn perform(
    place: &dyn Place,
    provisioner: &dyn Provisioner,
    environment: &EnvironmentId,
    step: &Step,
    context: &str,
) {
    let requested = ask(provisioner, environment, step).await;
    assert_eq!(requested, Ok(()), "{step:?} {context}");
    if let Step::CreateVolume { volume } = step
        && volume.from.is_none()
        && life_of_data(environment).contains(step)
    {
        place.fill(environment, &volume.id).await;
    }
}

/// Asks for a step until it is accepted or refused: a place may say that it cannot be now.
async fn ask(provisioner: &dyn Provisioner, environment: &EnvironmentId, step: &Step) -> Result<(), ProvisionError> {
    for _ in 0..MOST_CALLS {
        match provisioner.request(&effect(environment, step)).await {
            Err(ProvisionError::Retryable { after, .. }) => {
                tokio::time::sleep(after.max(Duration::from_millis(5))).await;
            }
            answered => return answered,
        }
    }
    provisioner.request(&effect(environment, step)).await
}

/// What there is once nothing is under way any more.
pub async fn settled(provisioner: &dyn Provisioner, environment: &EnvironmentId) -> ObservedEnvironment {
    // Rarer and rarer: some places take milliseconds, others minutes.
    let mut pause = Duration::from_millis(5);
    loop {
        let observed = observe(provisioner, environment).await;
        if is_settled(&observed) {
            return observed;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 5 / 4).min(Duration::from_secs(10));
    }
}

/// Nothing is under way.
pub fn is_settled(observed: &ObservedEnvironment) -> bool {
    let starting = |state: &MachineState| {
        matches!(state, MachineState::Starting { .. } | MachineState::Stopping | MachineState::Suspending)
    };
    let servers = observed.servers.iter().any(|server| starting(&server.state));
    let under_way = |state: &SnapshotState| matches!(state, SnapshotState::Taking(_) | SnapshotState::Reading(_));
    let snapshots = observed.snapshots.iter().any(|snapshot| under_way(&snapshot.state));
    let restores = observed.restoring.iter().any(|restore| matches!(restore.state, RestoreState::Copying(_)));
    !servers && !snapshots && !restores
}

async fn observe(provisioner: &dyn Provisioner, environment: &EnvironmentId) -> ObservedEnvironment {
    let observed = provisioner.observe(std::slice::from_ref(environment)).await;
    let mut observed = observed.unwrap_or_else(|error| panic!("could not observe {environment}: {error}"));
    assert_eq!(observed.len(), 1, "one answer per environment");
    observed.remove(0)
}

/// Exactly what these steps leave, and every server running.
async fn expect(
    place: &dyn Place,
    provisioner: &dyn Provisioner,
    environment: &EnvironmentId,
    steps: &[Step],
    last: &Step,
) {
    let observed = settled(provisioner, environment).await;
    assert!(observed.snapshots.iter().all(|snapshot| snapshot.state == SnapshotState::Complete), "{observed:?}");
    if let Step::CreateVolume { volume } = last
        && volume.from.is_some()
    {
        assert!(place.is_filled(environment, &volume.id), "after {last:?}");
    }
    assert_eq!(Expected::of(&observed), Expected::after(steps), "after {last:?}");
    let fine = |state: &MachineState| matches!(state, MachineState::Running | MachineState::Suspended { .. });
    let all_fine = observed.servers.iter().all(|server| fine(&server.state));
    assert!(all_fine, "after {last:?}: {:?}", observed.servers);
    let awake = Expected::of(&observed).awake();
    assert_eq!(place.running(environment).await, awake, "after {last:?}: servers that really run");
}

async fn expect_nothing(place: &dyn Place, provisioner: &dyn Provisioner, environment: &EnvironmentId) {
    let observed = settled(provisioner, environment).await;
    assert_eq!(Expected::of(&observed), Expected::default());
    let inventory = provisioner.inventory().await;
    assert!(inventory.as_ref().is_ok_and(|known| !known.contains(environment)), "{inventory:?}");
    assert_eq!(place.leftovers(environment).await, Vec::<String>::new(), "left of {environment}");
}

/// Takes down whatever is there.
async fn end(provisioner: &dyn Provisioner, environment: &EnvironmentId) {
    let observed = observe(provisioner, environment).await;
    let stops = observed.servers.iter().map(|server| (server.server.clone(), server.generation));
    let stops = stops.map(|(server, generation)| Step::StopServer { server, generation });
    let unfinished = observed.restoring.iter().map(|restore| &restore.volume);
    let volumes = observed.volumes.iter().chain(unfinished);
    let volumes = volumes.map(|volume| Step::DeleteVolume { volume: volume.clone() });
    let snapshots = observed.snapshots.iter().map(|snapshot| snapshot.snapshot.clone());
    let snapshots = snapshots.map(|snapshot| Step::DeleteSnapshot { snapshot });
    for step in stops.chain(volumes).chain([Step::DeleteNetwork]).chain(snapshots) {
        assert_eq!(ask(provisioner, environment, &step).await, Ok(()), "{step:?} in the end");
    }
}

async fn hear(
    place: &dyn Place,
    changes: &mut tokio::sync::broadcast::Receiver<EnvironmentId>,
    environment: &EnvironmentId,
) {
    let heard = async { while changes.recv().await.as_ref() != Ok(environment) {} };
    assert!(
        tokio::time::timeout(place.notices_within(), heard).await.is_ok(),
        "nobody said that {environment} changed"
    );
}
