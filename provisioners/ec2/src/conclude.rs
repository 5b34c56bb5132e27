//! What there is of an environment, from what is remembered and what Amazon shows. Pure: no clock, no calls.
//!
//! Amazon shows what was, up to minutes ago. What was made is there from the answer that made it, shown or not, until it should
//! have been shown and has been missing for [`LAG_MS`]; what was accepted to be gone is gone for good, shown or not.

use provisioners::{
    DataProgress, EnvironmentId, MachineState, ObservedEnvironment, ObservedRestore, ObservedServer, ObservedSnapshot,
    RestoreState, SnapshotContent, SnapshotState,
};

use super::amazon::{self, Instance, InstanceState, LAG_MS, VolumeState};
use super::look::Seen;
use super::records::{Launch, Phase, Records, Rest, Server, Snapshot, Volume};
use super::zones;

/// How reasons begin for which a server with an encrypted disk does not start.
const KEY_TROUBLE: [&str; 2] = ["Client.InternalError", "Client.InvalidKMSKey"];

/// See the module.
pub fn conclude(environment: &EnvironmentId, records: &Records, seen: &Seen, now: i64) -> ObservedEnvironment {
    let network = records.network.as_ref().map(|kept| &kept.record);
    let servers = records.servers.values().filter_map(|kept| server(&kept.record, records, seen, now));
    let volumes = || records.volumes.values().map(|kept| &kept.record).filter(|volume| volume.delete_at.is_none());
    let snapshots = records.snapshots.values().map(|kept| &kept.record);
    let snapshots = snapshots.filter(|snapshot| snapshot.accepted || snapshot.copied.is_some());
    ObservedEnvironment {
        environment: environment.clone(),
        network: network.is_some_and(|network| network.delete_at.is_none() && !is_gone(network.missing_since, now)),
        servers: servers.collect(),
        volumes: volumes().filter(|volume| is_there(volume, now)).map(|volume| volume.plan.id.clone()).collect(),
        restoring: volumes()
            .filter(|volume| !volume.ready)
            .map(|volume| ObservedRestore { volume: volume.plan.id.clone(), state: on_its_way(volume, now) })
            .collect(),
        snapshots: snapshots.filter_map(|kept| snapshot(kept, seen, now)).collect(),
    }
}

/// It has been missing for so long that somebody has taken it away.
pub fn is_gone(missing_since: Option<i64>, now: i64) -> bool {
    missing_since.is_some_and(|since| now >= since + LAG_MS)
}

/// The instance of a server, as Amazon shows it.
pub fn instance_of<'a>(server: &Server, seen: &'a Seen) -> Option<&'a Instance> {
    let launch = server.launch.as_ref()?;
    seen.instances.iter().find(|instance| match &server.instance {
        Some(id) => instance.id == *id,
        None => instance.token == launch.token && index_of(server) == Some(instance.launch_index),
    })
}

/// Which of its launch's instances is this server's.
pub fn index_of(server: &Server) -> Option<i32> {
    let members = &server.launch.as_ref()?.members;
    let own = members
        .iter()
        .position(|member| member.server == server.plan.id && member.generation == server.plan.generation)?;
    i32::try_from(own).ok()
}

/// `None` when there is nothing of it.
fn server(server: &Server, records: &Records, seen: &Seen, now: i64) -> Option<ObservedServer> {
    if server.ended {
        return None;
    }
    let shown = instance_of(server, seen);
    let moves = || zones::told(records, server).map(|doing| MachineState::Starting { doing });
    let waits = server.stop_at.is_none() && server.failure.is_none() && server.launch.is_none();
    Some(ObservedServer {
        server: server.plan.id.clone(),
        generation: server.plan.generation,
        state: waits.then(moves).flatten().unwrap_or_else(|| machine(server, shown, seen, now)),
        limits: server.launch.as_ref().map(|launch| limits(server, launch)).unwrap_or_default(),
        address: server.address,
        running_since: server.ran_at.or(server.launched_at),
        trouble: server.trouble.clone(),
    })
}

fn limits(server: &Server, launch: &Launch) -> String {
    let market = match (server.plan.spot, launch.spot) {
        (true, true) => ", spot",
        (true, false) => ", for no spot server is to be had",
        (false, _) => "",
    };
    let processors = server.plan.architecture.map(|architecture| format!(", {architecture}")).unwrap_or_default();
    let kind = format!("{}{processors}{market}", launch.instance_type);
    match server.plan.hibernates && !launch.hibernates {
        true => format!("{kind}, which cannot hibernate: it is stopped when parked"),
        false => kind,
    }
}

fn machine(server: &Server, shown: Option<&Instance>, seen: &Seen, now: i64) -> MachineState {
    if server.stop_at.is_some() {
        return MachineState::Stopping;
    }
    if let Some(reason) = &server.failure {
        return MachineState::Failed { reason: reason.clone() };
    }
    if let Some(reason) = &server.died {
        return MachineState::Dead { reason: reason.clone() };
    }
    let starting = |doing: String| MachineState::Starting { doing };
    let Some(launch) = &server.launch else {
        return starting(match server.refusals.last() {
            None => "waiting for its volumes and its turn".to_owned(),
            Some(refusal) => format!("trying elsewhere: {refusal}"),
        });
    };
    let Some(_) = server.instance.as_ref().or(shown.map(|shown| &shown.id)) else {
        return starting(format!("asking Amazon for a {} in {}", launch.instance_type, launch.zone));
    };
    let ended = shown.is_some_and(|shown| shown.state >= InstanceState::ShuttingDown);
    if let Some(state) = server.rest.as_ref().filter(|_| !ended).and_then(|rest| resting(rest, shown, now)) {
        return state;
    }
    let Some(shown) = shown else {
        return match (is_gone(server.missing_since, now), server.ran_at.is_some()) {
            (true, _) => MachineState::Dead { reason: "Amazon does not know it any more".to_owned() },
            (false, true) => MachineState::Running,
            (false, false) => starting("pending".to_owned()),
        };
    };
    match shown.state {
        InstanceState::Terminated | InstanceState::ShuttingDown | InstanceState::Stopped | InstanceState::Stopping => {
            MachineState::Dead { reason: death(shown) }
        }
        InstanceState::Pending | InstanceState::Running if server.ran_at.is_some() => MachineState::Running,
        InstanceState::Pending => starting("pending".to_owned()),
        InstanceState::Running if unattached(server, &shown.id, Some(shown), seen).next().is_some() => {
            starting("attaching its volumes".to_owned())
        }
        InstanceState::Running => MachineState::Running,
    }
}

/// That it does not run though it should, in words.
pub fn death(shown: &Instance) -> String {
    let state = match shown.state {
        InstanceState::Terminated => "terminated",
        InstanceState::ShuttingDown => "being terminated",
        _ => "stopped",
    };
    match shown.reason.as_str() {
        "" => format!("Amazon says it is {state}"),
        reason if KEY_TROUBLE.iter().any(|code| reason.starts_with(code)) => format!(
            "Amazon says it is {state}: {reason}. So it is where Bookend may not use the key that EBS encrypts with: `bookend \
             doctor ec2` says which key that is, and what to do"
        ),
        reason => format!("Amazon says it is {state}: {reason}"),
    }
}

/// Of a server that stands by, is on its way there or back, or is shown as it was before; `None`: it is as it is shown.
fn resting(rest: &Rest, shown: Option<&Instance>, now: i64) -> Option<MachineState> {
    let starting = |doing: &str| Some(MachineState::Starting { doing: doing.to_owned() });
    let stopped = shown.filter(|shown| matches!(shown.state, InstanceState::Stopping | InstanceState::Stopped));
    match (rest.asleep, rest.phase) {
        (true, Phase::Asleep) => Some(MachineState::Suspended { hibernated: rest.hibernate }),
        (true, _) => Some(MachineState::Suspending),
        (false, Phase::Falling) => starting("stopping, to start again"),
        (false, Phase::Asleep) => starting("asking Amazon to start it again"),
        (false, Phase::Rising) => {
            let again = |shown: &&Instance| shown.launched_at > rest.launched;
            let overdue = rest.accepted_at.is_some_and(|at| now >= at + LAG_MS);
            match stopped.filter(|shown| again(shown) || overdue) {
                None => starting("starting again"),
                Some(shown) => Some(MachineState::Dead { reason: format!("it did not start again: {}", shown.reason) }),
            }
        }
        (false, Phase::Awake) => shown.filter(|shown| shown.launched_at < rest.launched).map(|_| MachineState::Running),
    }
}

/// The disks an instance does not have yet: number and Amazon's id.
pub fn unattached<'a>(
    server: &'a Server,
    instance: &'a str,
    shown: Option<&'a Instance>,
    seen: &'a Seen,
) -> impl Iterator<Item = (usize, &'a str)> + 'a {
    let own = |member: &&super::records::Member| {
        member.server == server.plan.id && member.generation == server.plan.generation
    };
    let disks = server.launch.iter().flat_map(move |launch| launch.members.iter().find(own)).flat_map(|own| &own.disks);
    disks.enumerate().filter_map(move |(number, disk)| {
        let mut of_instance = shown.into_iter().flat_map(|shown| &shown.volumes);
        let by_instance = of_instance.any(|(id, attached)| *id == disk.volume && *attached);
        let by_volume = || {
            let volume = seen.volumes.iter().find(|volume| volume.id == disk.volume);
            volume.is_some_and(|volume| {
                volume.attached_to.as_deref() == Some(instance) && volume.state == VolumeState::InUse
            })
        };
        (!by_instance && !by_volume()).then_some((number, disk.volume.as_str()))
    })
}

/// A volume that was seen is there until Amazon has not shown it for long.
fn is_there(volume: &Volume, now: i64) -> bool {
    // Until it is in its new zone, what it was is there.
    let moves = volume.moving.as_ref().is_some_and(|moving| moving.original.is_some());
    volume.ready && (moves || !is_gone(volume.missing_since, now))
}

fn on_its_way(volume: &Volume, now: i64) -> RestoreState {
    match &volume.failure {
        Some(reason) => RestoreState::Failed { reason: reason.clone() },
        None => RestoreState::Copying(DataProgress {
            doing: "being made by Amazon".to_owned(),
            passed_ms: u64::try_from(now - volume.asked_at).unwrap_or(0),
            ..DataProgress::default()
        }),
    }
}

fn snapshot(kept: &Snapshot, seen: &Seen, now: i64) -> Option<ObservedSnapshot> {
    if kept.delete_at.is_some() {
        return None;
    }
    let shown = || seen.snapshots.iter().filter(|shown| kept.parts.iter().any(|part| part.snapshot == shown.id));
    let failed = shown().find(|shown| shown.state == amazon::SnapshotState::Failed);
    let missing = kept.parts.iter().find(|part| !shown().any(|shown| shown.id == part.snapshot));
    let refused = kept.copied.as_ref().and_then(|copied| copied.failure.clone());
    let state = match (failed, missing) {
        _ if refused.is_some() => SnapshotState::Failed { reason: refused.unwrap_or_default() },
        (Some(failed), _) if kept.complete => SnapshotState::Damaged { reason: failed.message.clone() },
        (Some(failed), _) => {
            SnapshotState::Failed { reason: format!("Amazon could not finish it: {}", failed.message) }
        }
        (None, Some(part)) if is_gone(kept.missing_since, now) => {
            SnapshotState::Damaged { reason: format!("Amazon does not have {} any more", part.snapshot) }
        }
        (None, _) if kept.complete => SnapshotState::Complete,
        (None, _) => {
            let done: u64 = shown().map(|shown| shown.progress).sum();
            let total = 100 * u64::try_from(kept.plan.volumes.len()).unwrap_or(1);
            SnapshotState::Reading(DataProgress {
                doing: format!("{} % copied by Amazon", 100 * done / total.max(1)),
                passed_ms: u64::try_from(now - kept.taken_at).unwrap_or(0),
                ..DataProgress::default()
            })
        }
    };
    let content = |part: &super::records::Part| SnapshotContent {
        volume: part.volume.clone(),
        name: kept
            .plan
            .volumes
            .iter()
            .find(|one| one.volume == part.volume)
            .map(|one| one.name.clone())
            .unwrap_or_default(),
        manifest: None,
    };
    Some(ObservedSnapshot {
        snapshot: kept.plan.id.clone(),
        call: kept.call,
        taken_at: kept.taken_at,
        state,
        method: match &kept.copied {
            None => "EBS snapshot".to_owned(),
            Some(copied) => format!("EBS snapshot, copied from {}", copied.region),
        },
        contents: kept.parts.iter().map(content).collect(),
    })
}
