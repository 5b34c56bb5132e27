//! What is known of one environment: what is wanted ([`Intent`]) and what was seen and asked for ([`Observed`]). The store
//! reads it, the engine brings the observation up to date, [`plan`](super::plan::plan) and [`state`](super::state) conclude.
//!
//! Every question "is it gone?" has two halves: nothing is observed, *and* whatever was ever asked to start was asked to
//! stop and that was accepted. Not seeing a thing proves nothing.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use agent::api::{Phase, Status};
pub use app::api::{FailureView as Failure, SnapshotReason, SnapshotState as Standing};
use provisioners::{
    EnvironmentId, MachineState, ObservedEnvironment, ObservedServer, ObservedSnapshot, RestoreState, ServerId,
    SnapshotId, SnapshotState, SnapshotVolume, VolumeId, VolumeSource,
};
use serde::{Deserialize, Serialize};

use super::topology::{OwnRule, Topology};

/// One environment, whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    pub intent: Intent,
    pub topology: Topology,
    pub observed: Observed,
}

/// What a person wants, and what Bookend has concluded about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    pub environment: EnvironmentId,
    pub name: String,
    pub desired: Desired,
    /// Grows with each change of desire.
    pub generation: i64,
    pub desired_at: i64,
    /// A schedule wants it, and no person.
    pub by_schedule: bool,
    /// Servers go down without waiting for their services to end.
    pub forced: bool,
    /// When everything was last healthy; `None`: never.
    pub ready_at: Option<i64>,
    pub deleted_at: Option<i64>,
    /// Bookend has stopped trying, until the person asks for something.
    pub failure: Option<Failure>,
    /// The environment is being given what this snapshot holds.
    pub restoring: Option<Restoring>,
    /// The environment becomes another size or template version once its servers are down.
    pub changing: Option<Changing>,
    /// With [`Desired::Deleted`]: what has to be complete before volumes are deleted. `None`: there was nothing to keep, or
    /// the person does not want it kept.
    pub final_snapshot: Option<Kept>,
    /// With [`Desired::Parked`] by snapshot: what may take the place of the volumes. `None`: they stay.
    pub parked_in: Option<ParkedIn>,
    /// `None`: snapshots are taken by themselves as its template says.
    pub snapshot_rule: Option<OwnRule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restoring {
    /// Perhaps another environment's, and still to be taken.
    pub snapshot: Kept,
    /// Keeps what the environment had before. `None`: it had nothing, for it was deleted or is new.
    pub present: Option<Kept>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changing {
    /// Keeps what the volumes hold before. `None`: they hold nothing.
    pub present: Option<Kept>,
}

/// Nothing has used the volumes since this snapshot was asked for, and nothing does until something else is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedIn {
    pub snapshot: Kept,
    /// What it has.
    pub volumes: Vec<VolumeId>,
}

/// A snapshot that something waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub id: SnapshotId,
    pub standing: Standing,
    /// Why it failed.
    pub failure: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Desired {
    Running,
    Parked,
    Deleted,
}

impl Desired {
    /// As in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Desired::Running => "running",
            Desired::Parked => "parked",
            Desired::Deleted => "deleted",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Since when agents can reach a portal without a break: no server is blamed for what the portal missed.
    pub listening_since: i64,
    pub network: Network,
    /// In the topology's order, one for each of its servers.
    pub servers: Vec<Server>,
    /// Those in use and those to be used, and those that were replaced and are not gone yet.
    pub volumes: Vec<Volume>,
    /// Those with something still to be done about, the oldest first.
    pub snapshots: Vec<Snapshot>,
}

/// What became of asking for one step on one thing of one generation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    /// The newest effect; `None`: never asked.
    pub latest: Option<Effect>,
    /// How many were rejected for certain; the next one that a person asks for gets a token of its own.
    pub rejected: i64,
}

impl Asked {
    /// When what was asked for last was accepted; `None`: it was not.
    pub fn accepted_at(&self) -> Option<i64> {
        self.latest.as_ref().filter(|latest| latest.outcome == Outcome::Accepted)?.finished_at
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    pub outcome: Outcome,
    pub message: Option<String>,
    /// Calls so far: the number of the last one.
    pub attempts: i64,
    /// Those of them since somebody last wanted something of the environment.
    pub tries: i64,
    /// With [`Outcome::Retryable`] and [`Outcome::Unknown`]: not again before.
    pub retry_at: i64,
    pub recorded_at: i64,
    pub finished_at: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Committed; the answer is not known (yet, or for ever after a crash).
    Recorded,
    Accepted,
    Retryable,
    Rejected,
    Unknown,
}

impl Outcome {
    /// As in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Recorded => "recorded",
            Outcome::Accepted => "accepted",
            Outcome::Retryable => "retryable",
            Outcome::Rejected => "rejected",
            Outcome::Unknown => "unknown",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Network {
    pub present: bool,
    /// It was seen, before this observation.
    pub seen: bool,
    /// Highest generation ever asked to be created, and highest whose deletion was accepted; 0: none.
    pub created: i64,
    pub deleted: i64,
    /// About [`generation`](Network::generation).
    pub create: Asked,
    pub delete: Asked,
}

impl Network {
    /// The one that should be there or is still to go: a new one begins only after the last one's deletion was accepted.
    pub fn generation(&self) -> i64 {
        if self.created > self.deleted { self.created } else { self.deleted.max(self.created) + 1 }
    }
    pub fn is_gone(&self) -> bool {
        !self.present && self.created <= self.deleted
    }
}

/// Where the newest of a server's machines is that says where it is.
pub fn actual_address(machines: &[ObservedServer]) -> Option<Ipv4Addr> {
    let known = machines.iter().filter_map(|machine| Some((machine.generation, machine.address?)));
    known.max().map(|(_, address)| address)
}

#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    pub id: ServerId,
    pub name: String,
    pub address: Ipv4Addr,
    /// The incarnation that should be there.
    pub generation: i64,
    /// Starts that failed in a row.
    pub attempts: i64,
    pub retry_at: i64,
    /// Healthy without a break since.
    pub healthy_at: Option<i64>,
    /// When its agent first reported the phase of `status`.
    pub phase_at: Option<i64>,
    pub link: AgentLink,
    /// What its agent last reported about this generation.
    pub status: Option<Status>,
    /// What the provisioner reported, older generations included.
    pub machines: Vec<ObservedServer>,
    /// This generation was seen, before this observation.
    pub seen: bool,
    /// Highest generation ever asked to start, and highest whose stop was accepted; 0: none.
    pub started: i64,
    pub stopped: i64,
    /// About this generation.
    pub start: Asked,
    /// By generation: this one and the one before it.
    pub stops: BTreeMap<i64, Asked>,
    /// What is wanted of this generation in turns: to stand by, and to wake.
    pub turns: Turns,
}

/// What became of having a server's present generation stand by and wake.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Turns {
    /// For what is wanted now.
    pub suspend: Asked,
    pub wake: Asked,
    /// The last wish for which it was asked to stand by, and the last for which it was accepted that it wakes; 0: none.
    pub suspended: i64,
    pub woken: i64,
    /// When it was last asked to wake.
    pub woken_at: i64,
}

/// Whether the agent of this generation talks to a portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentLink {
    /// It has not enrolled yet.
    Never,
    Connected,
    LostSince(i64),
}

impl Server {
    /// The machine of the generation that should be there.
    pub fn machine(&self) -> Option<&ObservedServer> {
        self.machines.iter().find(|machine| machine.generation == self.generation)
    }
    pub fn is_running(&self) -> bool {
        self.machine().is_some_and(|machine| machine.state == MachineState::Running)
    }
    pub fn is_healthy(&self) -> bool {
        self.is_running() && self.status.as_ref().is_some_and(|status| status.phase == Phase::Healthy)
    }
    pub fn is_gone(&self) -> bool {
        self.machines.is_empty() && self.started <= self.stopped
    }
    /// It stands by, and nothing else of it is there.
    pub fn is_asleep(&self) -> bool {
        self.machines.len() == 1
            && self.machine().is_some_and(|machine| matches!(machine.state, MachineState::Suspended { .. }))
            && self.stop(self.generation).latest.is_none()
    }
    /// What was in its memory is kept, and is not on its volumes.
    pub fn is_hibernated(&self) -> bool {
        self.machine().is_some_and(|machine| machine.state == MachineState::Suspended { hibernated: true })
    }
    /// It was told to stand by, whatever came of it, and not to wake since.
    pub fn is_to_be_woken(&self) -> bool {
        match self.machine().map(|machine| &machine.state) {
            Some(MachineState::Suspending | MachineState::Suspended { .. }) => true,
            Some(MachineState::Starting { .. } | MachineState::Running) => self.turns.suspended > self.turns.woken,
            _ => false,
        }
    }
    /// What became of stopping that generation (and older ones).
    pub fn stop(&self, generation: i64) -> Asked {
        self.stops.get(&generation).cloned().unwrap_or_default()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    pub id: VolumeId,
    pub name: String,
    pub size_bytes: u64,
    pub present: bool,
    /// It was seen, before this observation: it holds data.
    pub seen: bool,
    pub role: VolumeRole,
    /// What it begins with.
    pub source: Option<VolumeSource>,
    /// What it held is in a complete snapshot, or nobody ever used it: with [`VolumeRole::Outgoing`], it may go.
    pub expendable: bool,
    /// It is not there yet: how far it is, or why it will never be.
    pub restore: Option<RestoreState>,
    /// By an explicit delete of its environment, or a restore of another in its place.
    pub delete_requested: bool,
    pub create: Asked,
    pub delete: Asked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeRole {
    Current,
    /// Begins with what a snapshot held; takes the place of the current one of its name when all of them are there.
    Incoming,
    /// Was replaced, or was never used.
    Outgoing,
}

/// A snapshot that is to be taken, is being read, or is to go.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub id: SnapshotId,
    pub reason: SnapshotReason,
    pub standing: Standing,
    pub volumes: Vec<SnapshotVolume>,
    pub removal_requested: bool,
    /// What the provisioner reports of it.
    pub seen: Option<ObservedSnapshot>,
    pub create: Asked,
    pub delete: Asked,
}

impl Snapshot {
    /// Its moment is fixed: whatever happens to the volumes from now on is not in it.
    pub fn is_taken(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| !matches!(seen.state, SnapshotState::Taking(_)))
    }
    /// Whether what is found is one moment. Of what a portal was taking when it was killed, or got no answer about, nobody
    /// knows whether everything stood still until the end: it is as good as none, and is taken anew.
    pub fn counts(&self, seen: &ObservedSnapshot) -> bool {
        let accepted = self.create.latest.as_ref().filter(|effect| effect.outcome == Outcome::Accepted);
        self.standing != Standing::Wanted || accepted.is_some_and(|effect| effect.attempts == seen.call)
    }
    /// It is found otherwise than it is written down.
    pub fn is_news(&self) -> bool {
        match self.seen.as_ref().map(|seen| &seen.state) {
            None | Some(SnapshotState::Taking(_)) => false,
            Some(SnapshotState::Reading(_)) => self.standing != Standing::Reading,
            Some(SnapshotState::Complete) => self.standing != Standing::Complete,
            Some(SnapshotState::Failed { .. }) => self.standing != Standing::Failed,
            Some(SnapshotState::Damaged { .. }) => self.standing != Standing::Damaged,
        }
    }
    /// Still to be taken.
    pub fn is_wanted(&self) -> bool {
        self.standing == Standing::Wanted && !self.removal_requested && !self.is_taken()
    }
    pub fn is_gone(&self) -> bool {
        let deleted = self.delete.latest.as_ref().is_some_and(|effect| effect.outcome == Outcome::Accepted);
        self.seen.is_none() && (deleted || self.create.latest.is_none())
    }
}

impl ParkedIn {
    /// What the volume holds is in the snapshot.
    pub fn has(&self, volume: &Volume) -> bool {
        let began_with_it = |source: &VolumeSource| source.snapshot == self.snapshot.id;
        self.volumes.contains(&volume.id) || volume.source.as_ref().is_some_and(began_with_it)
    }
}

impl Volume {
    /// The snapshot that has all it holds: it is still to be made, or was a moment ago and nobody has used it.
    pub fn put_away_in(&self) -> Option<&VolumeSource> {
        self.source.as_ref().filter(|_| self.role == VolumeRole::Current && !self.seen)
    }
    pub fn is_gone(&self) -> bool {
        let deleted = self.delete.latest.as_ref().is_some_and(|effect| effect.outcome == Outcome::Accepted);
        !self.present && (deleted || self.create.latest.is_none())
    }
}

impl Observed {
    /// The volumes servers use.
    pub fn current_volumes(&self) -> impl Iterator<Item = &Volume> {
        self.volumes.iter().filter(|volume| volume.role == VolumeRole::Current)
    }
    /// The snapshot all its volumes were put away in: they go, and are in use again, together.
    pub fn put_away_in(&self) -> Option<&VolumeSource> {
        self.current_volumes().find_map(Volume::put_away_in)
    }
    /// Those that are there now for the first time. What was put away is used again only when all of it is there.
    pub fn new_volumes(&self) -> impl Iterator<Item = &Volume> {
        let is_put_away = |volume: &&Volume| volume.put_away_in().is_some();
        let whole = self.volumes.iter().filter(is_put_away).all(|volume| volume.present);
        let new = self.volumes.iter().filter(|volume| volume.present && !volume.seen);
        new.filter(move |volume| whole || !is_put_away(volume))
    }
    /// Takes over what the provisioner reports now.
    pub fn update(&mut self, now: &ObservedEnvironment) {
        self.network.present = now.network;
        for server in &mut self.servers {
            server.machines = now.servers.iter().filter(|machine| machine.server == server.id).cloned().collect();
        }
        for volume in &mut self.volumes {
            volume.present = now.volumes.contains(&volume.id);
            let restore = now.restoring.iter().find(|restore| restore.volume == volume.id);
            volume.restore = restore.map(|restore| restore.state.clone());
        }
        for snapshot in &mut self.snapshots {
            let seen = now.snapshots.iter().find(|seen| seen.snapshot == snapshot.id);
            snapshot.seen = seen.filter(|seen| snapshot.counts(seen)).cloned();
        }
        self.believe_agents();
    }
    /// A server whose agent talks runs, whatever its cloud shows yet: nobody else has the token of that generation. Not where it
    /// has stood by: a connection may be left from before.
    pub fn believe_agents(&mut self) {
        let talking = |server: &&mut Server| {
            server.link == AgentLink::Connected && (server.turns.suspended, server.turns.woken) == (0, 0)
        };
        for server in self.servers.iter_mut().filter(talking) {
            let generation = server.generation;
            let machine = server.machines.iter_mut().find(|machine| machine.generation == generation);
            if let Some(machine) = machine.filter(|machine| matches!(machine.state, MachineState::Starting { .. })) {
                machine.state = MachineState::Running;
            }
        }
    }
    /// Whether the outside world was ever asked for anything: when not, there is nothing to observe.
    pub fn untouched(&self) -> bool {
        self.network.created == 0
            && self.servers.iter().all(|server| server.started == 0)
            && self.volumes.iter().all(|volume| volume.create.latest.is_none())
            && self.snapshots.is_empty()
    }
}
