//! What volumes hold, kept and brought back: snapshots of one moment of all servers, the restore of one into new volumes,
//! and the end of what is no longer needed.
//!
//! A restore never touches the volumes it replaces: the servers go down, what there is now is kept in a snapshot, new
//! volumes are made from the old snapshot, and only when all of them are there do they take the others' place, in one
//! transaction. Until then everything can go back to what it was.
//!
//! What is parked by snapshot has its volumes put away: they go once a snapshot has all they hold, and current volumes that are
//! not there yet take their place in the same transaction. Whoever resumes has those made from the snapshot.

use provisioners::{MachineState, RestoreState, SnapshotPlan, SnapshotState, Step, VolumeId, VolumePlan};

use super::ask::{Progress, Wish};
use super::{Draft, Freeze, LOOK_AGAIN_MS, Turn, Work, take_down};
use crate::domain::facts::{
    AgentLink, Changing, Desired, Failure, Intent, Kept, Observed, Outcome, ParkedIn, Restoring, Server, Snapshot,
    Standing, Volume, VolumeRole,
};
use crate::domain::note::Note;
use crate::domain::topology::{ParkMode, Topology};

/// How far something long has come is looked at this often.
const WATCH_MS: i64 = 1_000;

/// Takes what is to be taken, one after the other, and removes what is to go. Of what is being deleted only the final
/// snapshot is taken: the volumes wait for no other.
pub(super) fn snapshots(draft: &mut Draft, topology: &Topology, observed: &Observed, intent: &Intent) {
    for snapshot in observed.snapshots.iter().filter(|snapshot| snapshot.removal_requested && !snapshot.is_gone()) {
        let step = Step::DeleteSnapshot { snapshot: snapshot.id.clone() };
        draft.pursue(wish(step, &snapshot.delete, "a snapshot to be removed".to_owned()));
    }
    for snapshot in observed.snapshots.iter().filter(|snapshot| !snapshot.removal_requested) {
        match snapshot.seen.as_ref().map(|seen| &seen.state) {
            Some(SnapshotState::Taking(progress)) => {
                draft.wait(None, format!("the snapshot: {}", words(progress)), draft.now + WATCH_MS);
            }
            Some(SnapshotState::Reading(progress)) => {
                draft.wait(None, format!("the snapshot to be read once: {}", words(progress)), draft.now + WATCH_MS);
            }
            _ => {}
        }
    }
    let at_rest = observed.servers.iter().all(Server::is_gone);
    let is_due = |snapshot: &&Snapshot| {
        let is_final = || intent.final_snapshot.as_ref().is_some_and(|kept| kept.id == snapshot.id);
        let is_parked_in = || intent.parked_in.as_ref().is_some_and(|kept| kept.snapshot.id == snapshot.id);
        // In what takes the volumes' place nothing may be missing, not even what a server writes while it ends.
        let may_be_taken = match intent.desired {
            Desired::Deleted => at_rest && is_final(),
            Desired::Parked | Desired::Running => at_rest || !is_parked_in(),
        };
        snapshot.is_wanted() && may_be_taken
    };
    if let Some(snapshot) = observed.snapshots.iter().find(is_due)
        && snapshot.seen.is_none()
    {
        take(draft, topology, observed, snapshot);
    }
}

/// Everything stands still for it, so nothing else may be under way.
fn take(draft: &mut Draft, topology: &Topology, observed: &Observed, snapshot: &Snapshot) {
    let rests = |server: &Server| server.is_asleep() && !server.is_hibernated();
    let steady = observed.servers.iter().all(|server| server.is_gone() || is_steady(server) || rests(server));
    if draft.work != Work::default() || !steady {
        draft.wait(None, "a moment without changes, for the snapshot", draft.now + LOOK_AGAIN_MS);
        return;
    }
    let plan = SnapshotPlan { id: snapshot.id.clone(), volumes: snapshot.volumes.clone() };
    let running = observed.servers.iter().zip(&topology.servers).filter(|(server, _)| server.is_running());
    let freeze = running.map(|(server, spec)| Freeze {
        server: server.id.clone(),
        name: server.name.clone(),
        before: spec.before_snapshot.clone(),
        after: spec.after_snapshot.clone(),
    });
    let freeze = freeze.collect();
    let step = Step::CreateSnapshot { snapshot: plan };
    draft.pursue(Wish { freeze, ..wish(step, &snapshot.create, "the snapshot".to_owned()) });
}

/// It runs with its agent at hand, so that it can be told to stand still.
pub(super) fn is_steady(server: &Server) -> bool {
    server.machines.len() == 1
        && server.machine().is_some_and(|machine| machine.state == MachineState::Running)
        && server.link == AgentLink::Connected
}

/// See the module.
pub(super) fn restore(draft: &mut Draft, topology: &Topology, observed: &Observed, restoring: &Restoring) {
    match present(draft, topology, observed, restoring.present.as_ref()) {
        Present::OnItsWay => return,
        Present::Lost { reason } => return back(draft, observed, restoring, reason),
        Present::Safe => {}
    }
    let source = &restoring.snapshot;
    match source.standing {
        Standing::Complete => {}
        Standing::Wanted | Standing::Reading => {
            draft.wait(None, "the snapshot it is to begin with", draft.now + WATCH_MS);
            return;
        }
        Standing::Failed | Standing::Damaged => {
            let why = source.failure.as_deref().unwrap_or("it could not be taken");
            back(draft, observed, restoring, format!("the snapshot cannot be used: {why}"));
            return;
        }
    }
    let incoming = || observed.volumes.iter().filter(|volume| volume.role == VolumeRole::Incoming);
    for volume in incoming().filter(|volume| !volume.present) {
        if let Some(reason) = make(draft, volume) {
            back(draft, observed, restoring, reason);
            return;
        }
    }
    if incoming().all(|volume| volume.present) {
        draft.work.turn = Some(Turn::Over);
    }
}

/// Asks for a volume that begins with what a snapshot held; gives why it never will be there, unless a person has asked again since
/// that was known.
fn make(draft: &mut Draft, volume: &Volume) -> Option<String> {
    let refused = volume.create.latest.as_ref().filter(|effect| {
        effect.outcome == Outcome::Rejected && effect.finished_at.is_some_and(|at| at >= draft.desired_at)
    });
    let asked_again = volume.create.latest.as_ref().and_then(|latest| latest.finished_at);
    let asked_again = asked_again.is_some_and(|at| at < draft.desired_at);
    match (&volume.restore, refused) {
        (Some(RestoreState::Failed { reason }), _) if !asked_again => return Some(reason.clone()),
        (None, Some(refused)) => {
            return Some(refused.message.clone().unwrap_or_else(|| "it was refused".to_owned()));
        }
        (Some(RestoreState::Copying(progress)), _) => {
            let text = format!("volume {}: {}", volume.name, words(progress));
            draft.wait(None, text, draft.now + WATCH_MS);
        }
        (failed, _) => {
            let step = Step::CreateVolume { volume: volume.plan() };
            let note = Note::new("volume_restoring", format!("Restoring volume {}", volume.name));
            let what = format!("volume {} to be restored", volume.name);
            let wish = Wish { note: Some(note), ..wish(step, &volume.create, what) };
            match failed {
                Some(RestoreState::Failed { reason }) => draft.pursue_again(wish, reason),
                _ => draft.pursue(wish),
            };
        }
    }
    None
}

/// Has the volumes go whose place a snapshot takes while the environment is parked, once it has all they hold.
pub(super) fn put_away(draft: &mut Draft, topology: &Topology, observed: &Observed, parked_in: Option<&ParkedIn>) {
    let is_complete = |kept: &&ParkedIn| kept.snapshot.standing == Standing::Complete;
    let Some(kept) = parked_in.filter(is_complete).filter(|_| topology.park == ParkMode::Snapshot) else { return };
    let is_wanted = |snapshot: &Snapshot| snapshot.standing == Standing::Wanted && !snapshot.removal_requested;
    // What is still to be made of the volumes is made before they go.
    if !observed.servers.iter().all(Server::is_gone) || observed.snapshots.iter().any(is_wanted) {
        return;
    }
    let holding = || observed.current_volumes().filter(|volume| volume.seen || volume.put_away_in().is_some());
    let volumes: Vec<VolumeId> = holding().filter(|volume| !volume.is_gone()).map(|volume| volume.id.clone()).collect();
    if !volumes.is_empty() && holding().all(|volume| kept.has(volume)) {
        draft.work.turn = Some(Turn::PutAway { volumes });
    }
}

/// Makes a volume again that was put away. It is used once all of them are there, and that is written down: from then on the
/// snapshot is not all there is of them any more.
pub(super) fn bring_back(draft: &mut Draft, observed: &Observed, volume: &Volume) -> Progress {
    if volume.present {
        let whole = observed.new_volumes().any(|new| new.id == volume.id);
        draft.wait(None, "all volumes to be there", draft.now + if whole { 1 } else { WATCH_MS });
    } else if let Some(cause) = make(draft, volume) {
        draft.fail(Failure {
            server: None,
            step: format!("bringing volume {} back", volume.name),
            cause,
            lines: Vec::new(),
            remedy: "Put right what the cause names, then choose Retry; or restore an earlier snapshot. Nothing is lost that they hold."
                .to_owned(),
        });
    }
    Progress::NotYet
}

/// Another size or template version: what there is goes down, is kept, and comes back as the other.
pub(super) fn change(draft: &mut Draft, topology: &Topology, observed: &Observed, changing: &Changing) {
    match present(draft, topology, observed, changing.present.as_ref()) {
        Present::OnItsWay => {}
        Present::Safe => draft.work.turn = Some(Turn::Changed),
        Present::Lost { reason } => draft.work.turn = Some(Turn::Unchanged { reason }),
    }
}

/// How what there is now fares before something else takes its place.
enum Present {
    /// No server runs, and what the volumes hold is in a snapshot or is about to be: it was taken.
    Safe,
    OnItsWay,
    Lost {
        reason: String,
    },
}

fn present(draft: &mut Draft, topology: &Topology, observed: &Observed, kept: Option<&Kept>) -> Present {
    let up = observed.servers.iter().filter(|server| !server.is_gone());
    take_down::stop(draft, topology, up.map(|server| (server, server.generation)).collect());
    if !observed.servers.iter().all(Server::is_gone) {
        return Present::OnItsWay;
    }
    // All that are to be made of the volumes as they are now, the one that keeps the present among them.
    if observed.snapshots.iter().any(Snapshot::is_wanted) {
        draft.wait(None, "a snapshot of what there is now", draft.now + LOOK_AGAIN_MS);
        return Present::OnItsWay;
    }
    match kept.filter(|kept| matches!(kept.standing, Standing::Failed | Standing::Damaged)) {
        None => Present::Safe,
        Some(kept) => {
            let why = kept.failure.as_deref().unwrap_or("it could not be taken");
            Present::Lost { reason: format!("what there is now could not be kept: {why}") }
        }
    }
}

fn back(draft: &mut Draft, observed: &Observed, restoring: &Restoring, reason: String) {
    if restoring.present.is_some() || observed.put_away_in().is_some() {
        draft.work.turn = Some(Turn::Back { reason });
        return;
    }
    // There is nothing it could go back to.
    draft.fail(Failure {
        server: None,
        step: "restoring the volumes".to_owned(),
        cause: reason,
        lines: Vec::new(),
        remedy: "Put right what the cause names, then choose Retry.".to_owned(),
    });
}

/// Removes volumes that were replaced, once what they held is safe, and those that were never used.
pub(super) fn replaced_volumes(draft: &mut Draft, observed: &Observed) {
    for volume in observed.volumes.iter().filter(|volume| is_replaced(volume) && !volume.is_gone()) {
        let step = Step::DeleteVolume { volume: volume.id.clone() };
        draft.pursue(wish(step, &volume.delete, format!("the replaced volume {} to be removed", volume.name)));
    }
}

pub(super) fn is_replaced(volume: &Volume) -> bool {
    volume.role == VolumeRole::Outgoing && volume.expendable && volume.delete_requested
}

fn wish(step: Step, asked: &crate::domain::facts::Asked, what: String) -> Wish<'_> {
    Wish {
        step,
        generation: 1,
        asked,
        what,
        under_way: false,
        server: None,
        after: Vec::new(),
        gently: None,
        freeze: Vec::new(),
        note: None,
    }
}

fn words(progress: &provisioners::DataProgress) -> String {
    let provisioners::DataProgress { doing, passed_ms, done_bytes, total_bytes } = progress.clone();
    match total_bytes {
        0 => doing,
        _ => format!("{doing}, {}", app::words::far(&app::api::WorkView { passed_ms, done_bytes, total_bytes })),
    }
}

impl Volume {
    /// As the provisioner is asked for it.
    pub(super) fn plan(&self) -> VolumePlan {
        let (id, name) = (self.id.clone(), self.name.clone());
        VolumePlan { id, name, size_bytes: self.size_bytes, from: self.source.clone() }
    }
}
