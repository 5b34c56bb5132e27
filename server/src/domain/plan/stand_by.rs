//! Park and resume of environments whose servers stay: they stand by, on their own disks, and come back as they are. What
//! cannot stand by, because it died or never came up, is taken down as at every park.
//!
//! A wish has a number, the intent's generation: a server is asked to stand by and to wake time and again, and what is asked
//! late, by a portal that does not know better, is told by it.

use provisioners::{MachineState, Step};

use super::ask::{Progress, Wish};
use super::keep::is_steady;
use super::take_down::{self, gently};
use super::{Draft, LOOK_AGAIN_MS};
use crate::domain::facts::{AgentLink, Observed, Server, Snapshot};
use crate::domain::note::Note;
use crate::domain::topology::{ParkMode, ServerSpec, Topology};

/// The network stays as long as anything that stands by is in it.
pub(super) fn park(draft: &mut Draft, topology: &Topology, observed: &Observed) {
    let down = |server: &&Server| !server.is_gone() && !can_stand_by(server);
    let doomed: Vec<(&Server, i64)> = observed.servers.iter().filter(down).map(|one| (one, one.generation)).collect();
    take_down::stop(draft, topology, doomed);
    suspend(draft, topology, observed);
    if observed.servers.iter().all(Server::is_gone) {
        take_down::delete_network(draft, observed);
    }
}

/// It runs, or did and is on its way back, or stands by already.
fn can_stand_by(server: &Server) -> bool {
    let [machine] = server.machines.as_slice() else { return false };
    let alive = match machine.state {
        MachineState::Running | MachineState::Suspending | MachineState::Suspended { .. } => true,
        MachineState::Starting { .. } => server.link != AgentLink::Never,
        MachineState::Stopping | MachineState::Dead { .. } | MachineState::Failed { .. } => false,
    };
    alive && machine.generation == server.generation && server.stop(server.generation).latest.is_none()
}

/// In the topology's reverse order, as [`take_down::stop`]. What is in memory is kept only when a snapshot has what the volumes
/// hold already: later it would lack what memory holds.
fn suspend(draft: &mut Draft, topology: &Topology, observed: &Observed) {
    let wanted = observed.snapshots.iter().any(Snapshot::is_wanted);
    let hibernates = topology.park == ParkMode::Hibernate;
    if hibernates && wanted && observed.servers.iter().all(|server| server.is_gone() || is_steady(server)) {
        return;
    }
    let mut requested: Vec<(&ServerSpec, usize)> = Vec::new();
    for (server, spec) in observed.servers.iter().zip(&topology.servers).rev() {
        if !can_stand_by(server) || server.is_asleep() {
            continue;
        }
        let name = &server.name;
        if let Some(machine) = server.machine().filter(|machine| machine.state == MachineState::Suspending) {
            draft.wait(Some(name), machine.told(format!("{name} to stand by")), draft.now + LOOK_AGAIN_MS);
            continue;
        }
        let after = requested.iter().filter(|(other, _)| other.needs.contains(&spec.name)).map(|(_, at)| *at).collect();
        let (generation, wish) = (server.generation, draft.wish);
        let hibernate = hibernates && !wanted && is_steady(server);
        let progress = draft.pursue(Wish {
            step: Step::SuspendServer { server: server.id.clone(), generation, wish, hibernate },
            generation: wish,
            asked: &server.turns.suspend,
            what: format!("{name} to stand by"),
            under_way: false,
            server: Some(name),
            after,
            gently: gently(server, spec, generation).filter(|_| !draft.forced && !hibernate),
            freeze: Vec::new(),
            note: Some(Note::about("server_stopping", name, format!("Stopping {name}; it stays"))),
        });
        if let Progress::Requested(at) = progress {
            requested.push((spec, at));
        }
    }
}

/// Has a server that stands by, or may, wake.
pub(super) fn wake(draft: &mut Draft, server: &Server) {
    let (name, wish) = (&server.name, draft.wish);
    draft.pursue(Wish {
        step: Step::WakeServer { server: server.id.clone(), generation: server.generation, wish },
        generation: wish,
        asked: &server.turns.wake,
        what: format!("{name} to wake"),
        under_way: false,
        server: Some(name),
        after: Vec::new(),
        gently: None,
        freeze: Vec::new(),
        note: Some(Note::about("server_starting", name, format!("Starting {name} again"))),
    });
}
