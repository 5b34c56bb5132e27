//! What to do next about one environment. [`plan`] compares what is wanted with what is seen and what was asked for before,
//! and answers with everything that can be done now, side by side. The engine does it, looks again, and asks again, until
//! the answer is `Settled`, `Wait` or `GiveUp`. The same question always has the same answer, so a restart of the portal
//! needs nothing special.
//!
//! Guaranteed, and tested by simulating worlds ([`tests`]): never two starts for one (server, generation); a new generation
//! starts only after the stop of the one before was accepted and nothing of it is seen; a volume is deleted only when an
//! explicit delete asked for it or a complete snapshot has what it held, and one that held data is never made again empty;
//! whoever waits knows what for.
//!
//! Deliberately absent: how a step is done, and by whom.

mod ask;
mod bring_up;
mod keep;
mod stand_by;
mod take_down;
#[cfg(test)]
mod tests;

use agent::api::Script;
use provisioners::{EffectToken, EnvironmentId, ServerId, Step, VolumeId};
use sha2::{Digest, Sha256};

use super::facts::{Desired, Facts, Failure, Intent, Observed};
use super::note::Note;
use super::topology::Topology;

/// An accepted step that has not shown after this long is asked for again, with the same token; after twice as long the next time.
const APPEAR_MS: i64 = 20_000;
const LONGEST_APPEAR_MS: i64 = 10 * 60_000;
/// Whoever waits for something that will report by itself looks again after this long all the same.
const LOOK_AGAIN_MS: i64 = 30_000;
/// From a server's start to its agent's first word.
const CONNECT_MS: i64 = 60_000;
/// From the moment a machine runs to its agent's first word: it boots, fetches the agent, and mounts disks.
const BOOT_MS: i64 = 5 * 60_000;
/// A connection that is lost shortly (the portal was restarted) is no trouble for the person.
pub(super) const RECONNECT_MS: i64 = 10_000;
/// An agent out of touch for so long is as good as dead.
const LOST_MS: i64 = 60_000;
/// On top of the template's own timeouts, for an agent that should have judged by itself.
const OVERDUE_MS: i64 = 60_000;
/// Healthy for so long: deaths before that no longer count.
const STABLE_MS: i64 = 10 * 60_000;
/// Repairs in a row before giving up on a server that keeps dying.
const MAX_REPAIRS: i64 = 4;
/// Calls of one step before giving up on it: over seven minutes, longer than a cloud is known to show what was.
const MAX_CALLS: i64 = 20;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// All is as it is wanted.
    Settled,
    Do(Work),
    Wait(Waiting),
    GiveUp(Failure),
}

/// What can be done now. New generations are written together with the requests, in one transaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Work {
    pub renewals: Vec<Renewal>,
    pub requests: Vec<Request>,
    pub turn: Option<Turn>,
}

/// What changes about volumes, or about what was ordered, in one transaction: how a restore or a change ends, and how a park by
/// snapshot goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    /// What the snapshot held takes the place of what there was.
    Over,
    /// It cannot be restored: all stays as it was.
    Back { reason: String },
    /// The environment is what it was to become.
    Changed,
    /// It cannot be changed: all stays as it was.
    Unchanged { reason: String },
    /// What these held is in the snapshot the environment is parked in: they go, and others begin with it when it is resumed.
    PutAway { volumes: Vec<VolumeId> },
}

impl Work {
    /// The facts as they are once the renewals are written.
    pub fn renewed(&self, facts: &Facts) -> Facts {
        let mut facts = facts.clone();
        for renewal in &self.renewals {
            let server = facts.observed.servers.iter_mut().find(|server| server.id == renewal.server);
            server.into_iter().for_each(|server| server.renew(renewal));
        }
        facts
    }
}

/// A server gets a new incarnation.
#[derive(Clone, Debug, PartialEq)]
pub struct Renewal {
    pub server: ServerId,
    /// The new one.
    pub generation: i64,
    pub attempts: i64,
    /// Not started before.
    pub retry_at: i64,
    pub note: Option<Note>,
}

/// One step to record and then ask the provisioner for.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub step: Step,
    /// Of the server or network it is about; 1 for volumes. With what a server is asked time and again, to stand by and to
    /// wake, that of the wish it serves.
    pub generation: i64,
    /// 0, and one more for each certain rejection that a person wants tried again.
    pub attempt: i64,
    /// Requests of the same work, by index, that must be accepted first.
    pub after: Vec<usize>,
    /// Before a server is stopped, its agent ends the services.
    pub gently: Option<Gently>,
    /// Servers that stand still while a snapshot is taken.
    pub freeze: Vec<Freeze>,
    /// Told when it is asked for the first time.
    pub note: Option<Note>,
}

/// A server that runs while a snapshot is taken, and what its template has it do before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freeze {
    pub server: ServerId,
    pub name: String,
    pub before: Option<Script>,
    pub after: Option<Script>,
}

/// Which agent to ask, and for how long to wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gently {
    pub generation: i64,
    pub timeout_ms: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// At least one.
    pub reasons: Vec<Reason>,
    /// Look again then, even if nothing reports.
    pub until: i64,
}

/// What is waited for, in words that go after "waits for".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    pub server: Option<String>,
    pub text: String,
}

/// See the module.
pub fn plan(intent: &Intent, topology: &Topology, observed: &Observed, now: i64) -> Decision {
    let mut draft = Draft {
        desired_at: intent.desired_at,
        wish: intent.generation,
        forced: intent.forced,
        now,
        ..Draft::default()
    };
    match (intent.desired, &intent.restoring, &intent.changing) {
        (Desired::Deleted, ..) => take_down::delete(&mut draft, topology, observed, intent.final_snapshot.as_ref()),
        (_, Some(restoring), _) => keep::restore(&mut draft, topology, observed, restoring),
        (_, None, Some(changing)) => keep::change(&mut draft, topology, observed, changing),
        (Desired::Running, None, None) => bring_up::bring_up(&mut draft, topology, observed),
        (Desired::Parked, None, None) if topology.park.suspends() => stand_by::park(&mut draft, topology, observed),
        (Desired::Parked, None, None) => {
            take_down::park(&mut draft, topology, observed);
            keep::put_away(&mut draft, topology, observed, intent.parked_in.as_ref());
        }
    }
    keep::snapshots(&mut draft, topology, observed, intent);
    keep::replaced_volumes(&mut draft, observed);
    draft.decide(intent.failure.as_ref())
}

/// A plan in the making.
#[derive(Default)]
struct Draft {
    desired_at: i64,
    /// The intent's generation.
    wish: i64,
    forced: bool,
    now: i64,
    work: Work,
    reasons: Vec<Reason>,
    until: Option<i64>,
    failure: Option<Failure>,
}

impl Draft {
    fn wait(&mut self, server: Option<&str>, text: impl Into<String>, until: i64) {
        self.reasons.push(Reason { server: server.map(str::to_owned), text: text.into() });
        self.until = Some(self.until.map_or(until, |earlier| earlier.min(until)));
    }

    /// The first failure is the one told.
    fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    fn decide(self, given_up: Option<&Failure>) -> Decision {
        let idle = self.work == Work::default();
        match (given_up, self.failure, self.until) {
            (_, None, None) if idle => Decision::Settled,
            (Some(failure), ..) => Decision::GiveUp(failure.clone()),
            _ if !idle => Decision::Do(self.work),
            (None, Some(failure), _) => Decision::GiveUp(failure),
            (None, None, Some(until)) => Decision::Wait(Waiting { reasons: self.reasons, until }),
            (None, None, None) => Decision::Settled,
        }
    }
}

impl Request {
    /// The step's name, as in its JSON.
    pub fn name(&self) -> &'static str {
        match self.step {
            Step::CreateNetwork => "create_network",
            Step::CreateVolume { .. } => "create_volume",
            Step::StartServer { .. } => "start_server",
            Step::StopServer { .. } => "stop_server",
            Step::SuspendServer { .. } => "suspend_server",
            Step::WakeServer { .. } => "wake_server",
            Step::DeleteVolume { .. } => "delete_volume",
            Step::CreateSnapshot { .. } => "create_snapshot",
            Step::DeleteSnapshot { .. } => "delete_snapshot",
            Step::DeleteNetwork => "delete_network",
        }
    }

    /// Id of the server, volume or snapshot it is about; `None` for the network.
    pub fn subject(&self) -> Option<&str> {
        match &self.step {
            Step::CreateNetwork | Step::DeleteNetwork => None,
            Step::CreateVolume { volume } => Some(volume.id.as_str()),
            Step::DeleteVolume { volume } => Some(volume.as_str()),
            Step::CreateSnapshot { snapshot } => Some(snapshot.id.as_str()),
            Step::DeleteSnapshot { snapshot } => Some(snapshot.as_str()),
            Step::StartServer { server } => Some(server.id.as_str()),
            Step::StopServer { server, .. } | Step::SuspendServer { server, .. } | Step::WakeServer { server, .. } => {
                Some(server.as_str())
            }
        }
    }

    /// The same for the same step on the same thing of the same generation, whoever computes it and however often.
    pub fn token(&self, environment: &EnvironmentId) -> EffectToken {
        let subject = self.subject().unwrap_or("");
        let text = format!("{environment}\n{subject}\n{}\n{}\n{}", self.generation, self.name(), self.attempt);
        let mut hex = String::with_capacity(64);
        for byte in Sha256::digest(text.as_bytes()) {
            hex.push_str(&format!("{byte:02x}"));
        }
        EffectToken::new(hex)
    }
}
