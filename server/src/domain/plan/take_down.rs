//! Park and delete. Servers go first, those that need others before those they need, each after its agent has ended its
//! services; then the network; then, only on an explicit delete, the volumes.

use provisioners::{MachineState, Step};

use super::ask::{Progress, Wish};
use super::{Draft, Gently, LOOK_AGAIN_MS, keep};
use crate::domain::facts::{Failure, Kept, Observed, Server, Standing};
use crate::domain::note::Note;
use crate::domain::topology::{ServerSpec, Topology};

/// On top of the longest stop timeout of a server's services.
const STOP_MARGIN_MS: u64 = 3_000;

pub(super) fn park(draft: &mut Draft, topology: &Topology, observed: &Observed) {
    let doomed = observed.servers.iter().filter(|server| !server.is_gone());
    stop(draft, topology, doomed.map(|server| (server, server.generation)).collect());
    if observed.servers.iter().all(Server::is_gone) {
        delete_network(draft, observed);
    }
}

/// Volumes go only when what they held is in the final snapshot, if there is to be one.
pub(super) fn delete(draft: &mut Draft, topology: &Topology, observed: &Observed, kept: Option<&Kept>) {
    park(draft, topology, observed);
    if !observed.servers.iter().all(Server::is_gone) {
        return;
    }
    match kept.map(|kept| (kept.standing, &kept.failure)) {
        None | Some((Standing::Complete, _)) => {}
        Some((Standing::Wanted | Standing::Reading, _)) => {
            draft.wait(None, "the final snapshot", draft.now + LOOK_AGAIN_MS);
            return;
        }
        Some((Standing::Failed | Standing::Damaged, why)) => {
            draft.fail(Failure {
                server: None,
                step: "the final snapshot".to_owned(),
                cause: why.clone().unwrap_or_else(|| "it could not be taken".to_owned()),
                lines: Vec::new(),
                remedy: "Choose Retry to take it again, or Force to delete the volumes without one.".to_owned(),
            });
            return;
        }
    }
    for volume in observed.volumes.iter().filter(|volume| !volume.is_gone() && !keep::is_replaced(volume)) {
        if !volume.delete_requested {
            draft.fail(Failure {
                server: None,
                step: format!("volume {}", volume.name),
                cause: "nobody asked for its data to be deleted".to_owned(),
                lines: Vec::new(),
                remedy: "Delete the environment again to confirm.".to_owned(),
            });
            continue;
        }
        draft.pursue(Wish {
            step: Step::DeleteVolume { volume: volume.id.clone() },
            generation: 1,
            asked: &volume.delete,
            what: format!("volume {} to be deleted", volume.name),
            under_way: false,
            server: None,
            after: Vec::new(),
            gently: None,
            freeze: Vec::new(),
            note: Some(Note::new("volume_deleting", format!("Deleting volume {}", volume.name))),
        });
    }
}

pub(super) fn delete_network(draft: &mut Draft, observed: &Observed) {
    let network = &observed.network;
    if network.is_gone() {
        return;
    }
    draft.pursue(Wish {
        step: Step::DeleteNetwork,
        generation: network.generation(),
        asked: &network.delete,
        what: "the private network to be removed".to_owned(),
        under_way: false,
        server: None,
        after: Vec::new(),
        gently: None,
        freeze: Vec::new(),
        note: None,
    });
}

/// Stops these servers up to these generations. In the topology's reverse order, so that whoever needs a server is asked
/// to stop before it.
pub(super) fn stop(draft: &mut Draft, topology: &Topology, doomed: Vec<(&Server, i64)>) {
    let mut requested: Vec<(&ServerSpec, usize)> = Vec::new();
    for spec in topology.servers.iter().rev() {
        let Some((server, generation)) = doomed.iter().find(|(server, _)| server.name == spec.name) else { continue };
        let after = requested.iter().filter(|(other, _)| other.needs.contains(&spec.name)).map(|(_, at)| *at).collect();
        let gently = gently(server, spec, *generation).filter(|_| !draft.forced);
        let progress = draft.pursue(Wish {
            step: Step::StopServer { server: server.id.clone(), generation: *generation },
            generation: *generation,
            asked: &server.stop(*generation),
            what: ending(server, *generation),
            under_way: ends(server, *generation),
            server: Some(&server.name),
            after,
            gently,
            freeze: Vec::new(),
            note: Some(Note::about("server_stopping", &server.name, format!("Stopping {}", server.name))),
        });
        if let Progress::Requested(at) = progress {
            requested.push((spec, at));
        }
    }
}

/// Also what keeps the place from it.
fn ending(server: &Server, up_to: i64) -> String {
    let what = format!("{} to stop", server.name);
    let mut machines = server.machines.iter().filter(|machine| machine.generation <= up_to);
    match machines.find(|machine| machine.trouble.is_some()) {
        None => what,
        Some(machine) => machine.told(what),
    }
}

/// All its machines are on their way out. How long that takes is the place's affair: a hung one takes minutes, and with thousands
/// it waits for its turn.
fn ends(server: &Server, up_to: i64) -> bool {
    let mut machines = server.machines.iter().filter(|machine| machine.generation <= up_to);
    machines.all(|machine| machine.state == MachineState::Stopping)
}

/// A running server's agent ends the services first, in the time its template gives them.
pub(super) fn gently(server: &Server, spec: &ServerSpec, up_to: i64) -> Option<Gently> {
    let running =
        |machine: &&provisioners::ObservedServer| machine.state == MachineState::Running && machine.generation <= up_to;
    let machine = server.machines.iter().filter(running).max_by_key(|machine| machine.generation)?;
    let longest = spec.services.iter().map(|service| service.stop_timeout_ms).max().unwrap_or(0);
    Some(Gently { generation: machine.generation, timeout_ms: longest + STOP_MARGIN_MS })
}
