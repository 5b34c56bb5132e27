//! A simulated outside world: a provisioner that keeps its servers in memory and does at each call what its script says, so
//! that every fault can be enumerated. The agents in its servers enrol and report as real ones do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent::api::{Failure, Freeze, Phase, Status, Thaw, Thawed};
use agent::link::Hello;
use async_trait::async_trait;
use provisioners::{
    Capabilities, Effect, EnvironmentId, MachineState, Manifest, ObservedEnvironment, ObservedServer, ObservedSnapshot,
    ProvisionError, Provisioner, ServerId, SnapshotContent, SnapshotId, SnapshotState, Step, VolumeId,
};
use tokio::sync::{broadcast, watch};

use crate::agents::{AgentDirectory, FreezeError};
use crate::engine::{Agents, Directory};

/// What happens at one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Did not happen, may later.
    Retryable,
    Rejected,
    /// It did not happen, and nobody knows.
    UnknownNotDone,
    /// It did happen, and nobody knows.
    UnknownDone,
    /// It happens twice, as after a lost answer.
    Twice,
    /// The call never comes back: the caller is killed in the middle, before or after the thing is done.
    HangsNotDone,
    HangsDone,
}

/// How agents in new servers behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    Healthy,
    /// Connects and says that its set-up script failed.
    Fails,
    Silent,
}

#[derive(Default)]
pub struct State {
    pub networks: BTreeSet<EnvironmentId>,
    pub volumes: BTreeMap<VolumeId, EnvironmentId>,
    pub servers: BTreeMap<ServerId, (EnvironmentId, i64, MachineState)>,
    /// Highest generation that was stopped: what comes later for it is refused.
    pub tombstones: BTreeMap<ServerId, i64>,
    /// One for each call, in turn; afterwards there are none.
    pub script: VecDeque<Fault>,
    pub calls: Vec<String>,
    /// Every (server, generation) that ever came up, to see that none did twice.
    pub started: Vec<(ServerId, i64)>,
    pub behaviour: Option<Behaviour>,
    pub stopped_gently: Vec<ServerId>,
    pub forgotten: BTreeSet<ServerId>,
    pub hung_up: Vec<ServerId>,
    /// Services never end when they are asked to.
    pub stubborn: bool,
    /// With the call that took each.
    pub snapshots: BTreeMap<SnapshotId, (EnvironmentId, i64, Vec<VolumeId>)>,
    /// Servers that stand still, and for which freeze.
    pub frozen: BTreeMap<ServerId, String>,
    /// Servers whose agent is not there when they are to be held still, and how often.
    pub away: BTreeMap<ServerId, u32>,
    /// Whoever wants a snapshot has to wait for others so often.
    pub crowded: u32,
    /// Servers go on by themselves before they are told to.
    pub impatient: bool,
    /// Servers that are elsewhere than planned.
    pub addresses: BTreeMap<ServerId, Ipv4Addr>,
    /// Servers are shown as starting, whatever they do.
    pub behind: bool,
    /// Whoever looks waits for ever.
    pub dark: bool,
    /// How often agents were told that servers are elsewhere.
    pub moves: usize,
}

pub struct World {
    pub state: Mutex<State>,
    pub directory: Directory,
    changes: broadcast::Sender<EnvironmentId>,
    /// How many calls hang.
    pub hanging: watch::Sender<usize>,
}

impl World {
    pub fn new(directory: Directory) -> Arc<World> {
        let (changes, _) = broadcast::channel(64);
        Arc::new(World { state: Mutex::default(), directory, changes, hanging: watch::channel(0).0 })
    }

    pub fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap())
    }

    /// This server dies by itself.
    pub fn kill(&self, server: &ServerId) {
        let environment = self.with(|state| {
            let (environment, _, machine) = state.servers.get_mut(server).unwrap();
            *machine = MachineState::Dead { reason: "killed by SIGKILL".into() };
            environment.clone()
        });
        let _ = self.changes.send(environment);
    }

    /// Does the step, as a provisioner that may be asked twice; says whose agent comes up.
    fn perform(&self, effect: &Effect) -> Option<(ServerId, i64, String)> {
        let environment = effect.environment.clone();
        self.with(|state| match &effect.step {
            Step::CreateNetwork => {
                state.networks.insert(environment);
                None
            }
            Step::CreateVolume { volume } => {
                state.volumes.insert(volume.id.clone(), environment);
                None
            }
            Step::StartServer { server } => {
                assert!(state.networks.contains(&environment), "a server is started into its network");
                for mount in &server.mounts {
                    assert!(state.volumes.contains_key(&mount.volume), "a server is started with its volumes");
                }
                let buried = state.tombstones.get(&server.id).is_some_and(|tombstone| *tombstone >= server.generation);
                let there = state.servers.get(&server.id);
                if buried || there.is_some_and(|(_, generation, _)| *generation == server.generation) {
                    return None;
                }
                assert!(there.is_none(), "the generation before is gone first");
                state.started.push((server.id.clone(), server.generation));
                state.servers.insert(server.id.clone(), (environment, server.generation, MachineState::Running));
                let token = effect.enrolment.as_ref().unwrap().reveal().to_owned();
                Some((server.id.clone(), server.generation, token))
            }
            Step::StopServer { server, generation } => {
                let tombstone = state.tombstones.entry(server.clone()).or_default();
                *tombstone = (*tombstone).max(*generation);
                if state.servers.get(server).is_some_and(|(_, running, _)| running <= generation) {
                    state.servers.remove(server);
                }
                None
            }
            Step::SuspendServer { server, hibernate, .. } => {
                let (.., machine) = state.servers.get_mut(server).expect("a server that stands by was there");
                *machine = MachineState::Suspended { hibernated: *hibernate };
                None
            }
            Step::WakeServer { server, generation, .. } => {
                let (.., machine) = state.servers.get_mut(server).expect("a server that wakes stood by");
                if *machine == MachineState::Running {
                    return None;
                }
                *machine = MachineState::Running;
                Some((server.clone(), *generation, String::new()))
            }
            Step::DeleteVolume { volume } => {
                state.volumes.remove(volume);
                None
            }
            Step::CreateSnapshot { snapshot } => {
                let runs = |machine: &MachineState| !matches!(machine, MachineState::Suspended { .. });
                let own = state.servers.iter().filter(|(_, (owner, ..))| *owner == environment);
                let running = own.filter(|(_, (.., machine))| runs(machine));
                for (server, _) in running {
                    assert!(state.frozen.contains_key(server), "{server} writes while a snapshot is taken");
                }
                let volumes = snapshot.volumes.iter().map(|volume| volume.volume.clone()).collect();
                state.snapshots.insert(snapshot.id.clone(), (environment, effect.call, volumes));
                None
            }
            Step::DeleteSnapshot { snapshot } => {
                state.snapshots.remove(snapshot);
                None
            }
            Step::DeleteNetwork => {
                assert!(
                    state.servers.values().all(|(owner, ..)| *owner != environment),
                    "servers go before their network"
                );
                state.networks.remove(&environment);
                None
            }
        })
    }

    async fn agent(&self, (server, generation, token): (ServerId, i64, String)) {
        let key = format!("key of {server} {generation}");
        let hello = Hello { enrolment: Some(token), ..Hello::new(server.as_str(), generation, &key) };
        let behaviour = self.with(|state| state.behaviour).unwrap_or(Behaviour::Healthy);
        if behaviour == Behaviour::Silent {
            return;
        }
        let enrolled = self.directory.enrol(&hello).await.unwrap();
        let config = enrolled.present.config.map(|config| config.digest);
        let mut status = Status { config, phase: Phase::Healthy, ..Status::default() };
        if behaviour == Behaviour::Fails {
            status.phase = Phase::Failed;
            status.failure = Some(Failure {
                step: "set-up script".into(),
                cause: "ended with code 3".into(),
                lines: vec!["no such package".into()],
                remedy: "Correct the script.".into(),
            });
        }
        self.directory.record_status(&server, generation, &status).await.unwrap();
    }
}

#[async_trait]
impl Provisioner for World {
    fn name(&self) -> &str {
        "local"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            oci_images: true,
            internet: true,
            cgroups: true,
            shared_volumes: true,
            instant_snapshots: true,
            suspends: true,
            ..Capabilities::default()
        }
    }

    async fn admit(&self, _: &EnvironmentId, step: &Step, _by_schedule: bool) -> Result<(), Duration> {
        let wait = |state: &mut State| {
            let waits = state.crowded > 0 && matches!(step, Step::CreateSnapshot { .. });
            state.crowded -= u32::from(waits);
            waits
        };
        if self.with(wait) { Err(Duration::from_secs(30)) } else { Ok(()) }
    }

    async fn observe(&self, environments: &[EnvironmentId]) -> Result<Vec<ObservedEnvironment>, ProvisionError> {
        if self.with(|state| state.dark) {
            std::future::pending::<()>().await;
        }
        Ok(self.with(|state| {
            environments
                .iter()
                .map(|environment| ObservedEnvironment {
                    environment: environment.clone(),
                    network: state.networks.contains(environment),
                    servers: state
                        .servers
                        .iter()
                        .filter(|(_, (owner, ..))| owner == environment)
                        .map(|(server, (_, generation, machine))| ObservedServer {
                            server: server.clone(),
                            generation: *generation,
                            state: match state.behind {
                                true => MachineState::Starting { doing: "pending".into() },
                                false => machine.clone(),
                            },
                            limits: String::new(),
                            address: state.addresses.get(server).copied(),
                            running_since: None,
                            trouble: None,
                        })
                        .collect(),
                    volumes: state
                        .volumes
                        .iter()
                        .filter(|(_, owner)| *owner == environment)
                        .map(|(volume, _)| volume.clone())
                        .collect(),
                    restoring: Vec::new(),
                    snapshots: state
                        .snapshots
                        .iter()
                        .filter(|(_, (owner, ..))| owner == environment)
                        .map(|(snapshot, (_, call, volumes))| complete(snapshot, *call, volumes))
                        .collect(),
                })
                .collect()
        }))
    }

    async fn request(&self, effect: &Effect) -> Result<(), ProvisionError> {
        let fault = self.with(|state| {
            let name = format!("{:?}", effect.step);
            state.calls.push(name.split([' ', '{']).next().unwrap_or_default().to_owned());
            state.script.pop_front().unwrap_or(Fault::None)
        });
        let unknown = Err(ProvisionError::Unknown { message: "the line went dead".into() });
        match fault {
            Fault::Retryable => {
                return Err(ProvisionError::Retryable { message: "too busy".into(), after: Duration::from_millis(10) });
            }
            Fault::Rejected => return Err(ProvisionError::Rejected { message: "it is forbidden here".into() }),
            Fault::UnknownNotDone => return unknown,
            Fault::HangsNotDone => {}
            Fault::None | Fault::Twice | Fault::UnknownDone | Fault::HangsDone => {
                let agent = self.perform(effect);
                if fault == Fault::Twice {
                    assert_eq!(self.perform(effect), None, "a repetition starts nothing");
                }
                if let Some(agent) = agent {
                    self.agent(agent).await;
                }
            }
        }
        match fault {
            Fault::HangsNotDone | Fault::HangsDone => {
                self.hanging.send_modify(|hanging| *hanging += 1);
                std::future::pending().await
            }
            Fault::UnknownDone => unknown,
            _ => Ok(()),
        }
    }

    async fn inventory(&self) -> Result<Vec<EnvironmentId>, ProvisionError> {
        Ok(self.with(|state| state.networks.iter().cloned().collect()))
    }

    fn changes(&self) -> broadcast::Receiver<EnvironmentId> {
        self.changes.subscribe()
    }
}

#[async_trait]
impl Agents for World {
    async fn stop(&self, server: &ServerId, _patience: Duration) {
        let stubborn = self.with(|state| {
            state.stopped_gently.push(server.clone());
            state.stubborn
        });
        if stubborn {
            std::future::pending::<()>().await;
        }
    }

    async fn freeze(&self, server: &ServerId, freeze: &Freeze, _patience: Duration) -> Result<(), FreezeError> {
        self.with(|state| match state.away.get_mut(server).filter(|often| **often > 0) {
            Some(often) => {
                *often -= 1;
                Err(FreezeError::NotConnected)
            }
            None => {
                state.frozen.insert(server.clone(), freeze.id.clone());
                Ok(())
            }
        })
    }

    async fn thaw(&self, server: &ServerId, thaw: &Thaw, _patience: Duration) -> Result<Thawed, FreezeError> {
        let held = self.with(|state| state.frozen.remove(server).is_some_and(|id| id == thaw.id && !state.impatient));
        Ok(Thawed { held, frozen_ms: 1, after_failure: None })
    }

    fn moved(&self, _environment: &EnvironmentId) {
        self.with(|state| state.moves += 1);
    }

    fn forget(&self, server: &ServerId) {
        self.with(|state| state.forgotten.insert(server.clone()));
    }

    fn hang_up(&self, server: &ServerId) {
        self.with(|state| state.hung_up.push(server.clone()));
    }
}

/// A snapshot as it is found when everything in it was read.
fn complete(snapshot: &SnapshotId, call: i64, volumes: &[VolumeId]) -> ObservedSnapshot {
    let content = |volume: &VolumeId| SnapshotContent {
        volume: volume.clone(),
        name: "data".into(),
        manifest: Some(Manifest { digest: "d".repeat(64), files: 1, bytes: 1, ..Manifest::default() }),
    };
    ObservedSnapshot {
        snapshot: snapshot.clone(),
        call,
        taken_at: 1,
        state: SnapshotState::Complete,
        method: "copy".into(),
        contents: volumes.iter().map(content).collect(),
    }
}
