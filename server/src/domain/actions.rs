//! What a person, or a schedule, can ask of an environment, and what of it that changes. Only the desire changes; bringing
//! it about is the engine's work.

use app::api::{Action, SnapshotReason, State};
use provisioners::{ServerId, SnapshotId};

use super::facts::{Desired, Facts, Server, Snapshot, Standing};
use super::note::Note;
use super::state;
use super::topology::ParkMode;

/// A change of desire.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub desired: Desired,
    /// Servers that get a new incarnation for it.
    pub renew: Vec<ServerId>,
    /// The volumes may be deleted, with their data: nothing else ever allows that.
    pub delete_volumes: bool,
    pub keep: Keep,
    /// Services are not waited for.
    pub forced: bool,
    /// How it is called until the engine has looked.
    pub label: State,
    pub note: Note,
}

impl Change {
    /// Something is written down beside this change that the engine has to bring about first.
    pub fn prepared(desired: Desired, note: Note) -> Change {
        Change {
            desired,
            renew: Vec::new(),
            delete_volumes: false,
            keep: Keep::AsBefore,
            forced: false,
            label: State::Preparing,
            note,
        }
    }
}

/// Whether what the volumes hold is kept in a snapshot for this change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// As it was decided before.
    AsBefore,
    /// A new one; with [`SnapshotReason::Delete`] the volumes go only when it is complete.
    In(SnapshotReason),
    /// One that is taken once no server is left, and in whose place the volumes go when it is complete.
    InsteadOfVolumes,
    /// The volumes were put away in this one, and nothing has used them since.
    Already(SnapshotId),
    /// The volumes go without one.
    Nothing,
}

/// An action that is not possible now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {state}, so you cannot {} it now{}", action.as_str(), instead(possible))]
pub struct NotNow {
    pub name: String,
    pub state: State,
    pub action: Action,
    pub possible: Vec<Action>,
}

fn instead(possible: &[Action]) -> String {
    let words: Vec<&str> = possible.iter().map(|action| action.as_str()).collect();
    match words.as_slice() {
        [] => String::new(),
        words => format!("; you can {} it", words.join(" or ")),
    }
}

/// What this action changes.
///
/// # Errors
/// [`NotNow`] when it is not among the actions of the present state.
pub fn change(action: Action, facts: &Facts, now: i64) -> Result<Change, NotNow> {
    let view = state::derive(facts, now);
    if !view.actions.contains(&action) {
        let name = facts.intent.name.clone();
        return Err(NotNow { name, state: view.state, action, possible: view.actions });
    }
    Ok(match action {
        Action::Park => {
            Change { keep: keep(facts, SnapshotReason::Park), ..to(facts, Desired::Parked, "parking", "Parking") }
        }
        Action::Resume => to(facts, Desired::Running, "resuming", "Resuming"),
        Action::Delete => {
            Change { keep: keep(facts, SnapshotReason::Delete), ..to(facts, Desired::Deleted, "deleting", "Deleting") }
        }
        Action::Restart => {
            Change { renew: started(facts, |_| true), ..to(facts, Desired::Running, "restarting", "Restarting") }
        }
        Action::Retry => {
            let failed = facts.intent.failure.as_ref().and_then(|failure| failure.server.as_deref());
            let renew = match facts.intent.desired {
                Desired::Running => started(facts, |server| {
                    failed == Some(&server.name) || !server.is_running() || state::has_failed(server)
                }),
                _ => Vec::new(),
            };
            // A final snapshot that failed is taken anew.
            let keep = match &facts.intent.final_snapshot {
                Some(kept) if matches!(kept.standing, Standing::Failed | Standing::Damaged) => {
                    keep(facts, SnapshotReason::Delete)
                }
                _ => Keep::AsBefore,
            };
            Change { renew, keep, ..to(facts, facts.intent.desired, "retrying", "Trying again:") }
        }
        Action::Force => {
            let without = view.state == State::Failed && facts.intent.desired == Desired::Deleted;
            let keep = if without { Keep::Nothing } else { Keep::AsBefore };
            Change { forced: true, keep, ..to(facts, facts.intent.desired, "forcing", "Forcing down") }
        }
        Action::Cancel => match facts.intent.desired {
            Desired::Parked => to(facts, Desired::Running, "cancelling", "Cancelled; running on:"),
            _ if facts.intent.ready_at.is_some() => Change {
                keep: keep(facts, SnapshotReason::Park),
                ..to(facts, Desired::Parked, "cancelling", "Cancelled; parking")
            },
            // Never ready: there is no data anybody has used.
            _ => to(facts, Desired::Deleted, "cancelling", "Cancelled; deleting"),
        },
    })
}

fn to(facts: &Facts, desired: Desired, kind: &'static str, doing: &str) -> Change {
    let label = match desired {
        // What is all gone is made ready for first, as the engine will say in a moment.
        Desired::Running if facts.observed.network.is_gone() => State::Preparing,
        Desired::Running => State::Starting,
        Desired::Parked => State::Parking,
        Desired::Deleted => State::Deleting,
    };
    let note = Note::new(kind, format!("{doing} {}", facts.intent.name));
    Change {
        desired,
        renew: Vec::new(),
        delete_volumes: desired == Desired::Deleted,
        keep: Keep::AsBefore,
        forced: false,
        label,
        note,
    }
}

/// It goes with all it holds, and nothing of it is kept.
pub fn throw_away(facts: &Facts) -> Change {
    Change { keep: Keep::Nothing, forced: true, ..to(facts, Desired::Deleted, "deleting", "Throwing away") }
}

/// There is something to keep once somebody could have used it.
fn keep(facts: &Facts, reason: SnapshotReason) -> Keep {
    let parks = reason == SnapshotReason::Park;
    if let Some(source) = facts.observed.put_away_in().filter(|_| parks) {
        return Keep::Already(source.snapshot.clone());
    }
    let used = facts.intent.ready_at.is_some() && facts.observed.current_volumes().any(|volume| volume.seen);
    let wanted_already = |snapshot: &Snapshot| snapshot.reason == reason && snapshot.is_wanted();
    match used {
        false => Keep::AsBefore,
        true if parks && facts.topology.park == ParkMode::Snapshot => Keep::InsteadOfVolumes,
        true if parks && facts.observed.snapshots.iter().any(wanted_already) => Keep::AsBefore,
        // Of what memory still holds volumes know nothing, and a snapshot cannot be taken beside it.
        true if parks && facts.observed.servers.iter().any(Server::is_hibernated) => Keep::AsBefore,
        true => Keep::In(reason),
    }
}

/// Servers whose present incarnation was asked to start, and for which this holds.
fn started(facts: &Facts, which: impl Fn(&super::facts::Server) -> bool) -> Vec<ServerId> {
    let servers = facts.observed.servers.iter();
    servers
        .filter(|server| server.started >= server.generation && which(server))
        .map(|server| server.id.clone())
        .collect()
}
