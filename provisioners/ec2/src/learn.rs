//! What a look at Amazon confirms, for good: it is written into the records, so that a later look, which may show an earlier
//! moment, changes nothing about it. Pure.

use super::amazon::{self, EbsVolume, Instance, InstanceState, LAG_MS, VolumeState};
use super::conclude::{death, instance_of, unattached};
use super::copies;
use super::look::Seen;
use super::records::{Kept, Move, Phase, Record, Records, Rest, Server, Snapshot, Volume};
use super::tags::{MOVE, VOLUME};

const NOT_MADE: &str = "Amazon could not make it: its state is “error”, as where Bookend may not use the key that EBS encrypts \
                        with. `bookend doctor ec2` says which key that is, and what to do";

/// Brings the records up to date; returns those that changed, with the versions they were read at.
pub fn learn(records: &mut Records, seen: &Seen, now: i64) -> Vec<(i64, Record)> {
    let mut changed = Vec::new();
    if let Some(Kept { version, record }) = &mut records.network
        && let (Some(id), None) = (&record.group, record.delete_at)
        && miss(&mut record.missing_since, record.made_at, seen.groups.iter().any(|shown| shown.id == *id), now)
    {
        changed.push((*version, Record::Network(record.clone())));
    }
    for Kept { version, record } in records.servers.values_mut() {
        if server(record, seen, now) {
            changed.push((*version, Record::Server(Box::new(record.clone()))));
        }
    }
    for Kept { version, record } in records.volumes.values_mut() {
        if volume(record, seen, now) {
            changed.push((*version, Record::Volume(Box::new(record.clone()))));
        }
    }
    for Kept { version, record } in records.snapshots.values_mut() {
        if snapshot(record, seen, now) {
            changed.push((*version, Record::Snapshot(Box::new(record.clone()))));
        }
    }
    changed
}

/// Keeps in mind since when something is not shown that was made long enough ago to be shown; says whether that is news. One look
/// may leave out what is there, and is no reason to do anything.
fn miss(missing_since: &mut Option<i64>, made_at: i64, is_shown: bool, now: i64) -> bool {
    let before = *missing_since;
    *missing_since = (!is_shown && now >= made_at + LAG_MS).then(|| before.unwrap_or(now));
    *missing_since != before
}

fn server(server: &mut Server, seen: &Seen, now: i64) -> bool {
    if server.ended {
        return false;
    }
    let before = server.clone();
    let shown = instance_of(server, seen);
    if server.instance.is_none()
        && let Some(shown) = shown
    {
        server.instance = Some(shown.id.clone());
        server.launched_at = Some(shown.launched_at.min(now));
    }
    if let Some(launched_at) = server.launched_at {
        miss(&mut server.missing_since, launched_at, shown.is_some(), now);
    }
    server.address = server.address.or(shown.and_then(|shown| shown.address));
    if let Some(shown) = shown {
        server.launch_shown = server.launch_shown.max(shown.launched_at);
        if server.rest.as_mut().is_some_and(|rest| turn(rest, shown, now)) {
            server.ran_at = Some(now);
        }
    }
    if let Some(shown) = shown.filter(|shown| shown.state == InstanceState::Running)
        && unattached(server, &shown.id, Some(shown), seen).next().is_none()
    {
        server.ran_at.get_or_insert(now);
        let is_to_run = server.stop_at.is_none() && server.rest.as_ref().is_none_or(|rest| !rest.asleep);
        server.trouble.take_if(|_| is_to_run);
    }
    if let Some(shown) = shown.filter(|shown| shown.state >= InstanceState::ShuttingDown && server.stop_at.is_none()) {
        server.died.get_or_insert_with(|| death(shown));
    }
    if server.stop_at.is_some() {
        let never = server.launch.is_none() && server.instance.is_none();
        let terminated = shown.is_some_and(|shown| shown.state == InstanceState::Terminated);
        let forgotten = shown.is_none() && server.terminated_at.is_some_and(|at| now >= at + LAG_MS);
        server.ended = never || terminated || forgotten;
    }
    *server != before
}

/// Amazon shows that a server has stopped or started, and not that it had once before. Says whether it has woken now.
fn turn(rest: &mut Rest, shown: &Instance, now: i64) -> bool {
    let overdue = rest.accepted_at.is_some_and(|at| now >= at + LAG_MS);
    let phase = match (rest.phase, shown.state) {
        (Phase::Falling, InstanceState::Stopped) if shown.launched_at >= rest.launched => Phase::Asleep,
        (Phase::Rising, InstanceState::Running) if shown.launched_at > rest.launched || overdue => Phase::Awake,
        _ => return false,
    };
    (rest.phase, rest.accepted_at, rest.launched) = (phase, None, rest.launched.max(shown.launched_at));
    phase == Phase::Awake
}

fn volume(volume: &mut Volume, seen: &Seen, now: i64) -> bool {
    let before = volume.clone();
    let ours = |shown: &&EbsVolume| shown.tags.get(VOLUME).map(String::as_str) == Some(volume.plan.id.as_str());
    let mut new = seen.volumes.iter().filter(ours).filter(|shown| !was(volume, &shown.id));
    if volume.volume.is_none() && !volume.deleted {
        volume.volume = new.next().map(|shown| shown.id.clone());
    }
    let one = |id: Option<&String>| seen.volumes.iter().find(|shown| Some(&shown.id) == id);
    let state = |id: Option<&String>| one(id).map(|shown| shown.state);
    for past in volume.discarded.iter_mut().filter(|past| !past.deleted) {
        past.deleted = state(Some(&past.volume)) == Some(VolumeState::Deleting);
    }
    if volume.deleted {
        return *volume != before;
    }
    let shown = match state(volume.volume.as_ref()) {
        // Whoever has it is shown with it before it is shown for itself at times.
        None | Some(VolumeState::Creating) if is_attached(volume, seen) => Some(VolumeState::InUse),
        shown => shown,
    };
    // One that a rate was asked for is read in at that rate all the same.
    volume.warm |=
        volume.reading_rate.is_none() && one(volume.volume.as_ref()).is_some_and(|shown| shown.fast_restored);
    if let Some(moving) = &mut volume.moving {
        learn_move(moving, shown, seen);
    }
    if volume.ready {
        miss(&mut volume.missing_since, volume.asked_at, shown.is_some(), now);
    }
    let moves = volume.moving.as_ref().is_some_and(|moving| moving.original.is_some());
    match shown {
        // Whatever a later call was answered: one has brought it.
        Some(VolumeState::Available | VolumeState::InUse) => (volume.ready, volume.failure) = (true, None),
        Some(VolumeState::Failed) if !volume.ready && !moves => volume.failure = Some(NOT_MADE.to_owned()),
        Some(VolumeState::Deleting) if volume.delete_at.is_some() => volume.deleted = true,
        // A call whose answer was lost may have brought one that is not shown yet.
        None if volume.delete_at.is_some() && volume.volume.is_none() && volume.failure.is_some() => {
            volume.deleted = now >= volume.asked_at + LAG_MS;
        }
        _ => {}
    }
    *volume != before
}

fn is_attached(volume: &Volume, seen: &Seen) -> bool {
    let mut of_instances = seen.instances.iter().flat_map(|shown| &shown.volumes);
    of_instances.any(|(id, attached)| *attached && Some(id) == volume.volume.as_ref())
}

/// One of Amazon's volumes that it was before it moved.
fn was(volume: &Volume, id: &str) -> bool {
    let original = volume.moving.as_ref().and_then(|moving| moving.original.as_ref());
    original.is_some_and(|original| original.volume == id) || volume.discarded.iter().any(|past| past.volume == id)
}

/// `shown`: the volume as it is now, in the new zone if there is an original.
fn learn_move(moving: &mut Move, shown: Option<VolumeState>, seen: &Seen) {
    match shown.filter(|_| moving.original.is_some() && !moving.made) {
        Some(VolumeState::Available | VolumeState::InUse) => moving.made = true,
        Some(VolumeState::Failed) => moving.refused = Some(NOT_MADE.to_owned()),
        _ => {}
    }
    let Some(copy) = moving.copy.as_mut().filter(|copy| !copy.complete) else { return };
    if copy.snapshot.is_none() {
        let own = |shown: &&amazon::EbsSnapshot| shown.tags.get(MOVE) == Some(&copy.token);
        copy.snapshot = seen.snapshots.iter().find(own).map(|shown| shown.id.clone());
    }
    let shown = seen.snapshots.iter().find(|shown| Some(&shown.id) == copy.snapshot.as_ref());
    match shown.map(|shown| shown.state) {
        Some(amazon::SnapshotState::Completed) => copy.complete = true,
        Some(amazon::SnapshotState::Failed) => {
            moving.refused = Some("Amazon could not finish a snapshot of it".to_owned());
        }
        _ => {}
    }
}

fn snapshot(snapshot: &mut Snapshot, seen: &Seen, now: i64) -> bool {
    // What came of calls that do not count is found by its tags, as long as Amazon may still show it for the first time.
    if !snapshot.deleted && snapshot.parts.is_empty() && snapshot.delete_at.is_some_and(|at| now >= at + LAG_MS) {
        snapshot.deleted = true;
        return true;
    }
    let arrived = copies::learn(snapshot, seen, now);
    if !snapshot.accepted {
        return arrived;
    }
    let is_shown = |part: &super::records::Part| seen.snapshots.iter().any(|shown| shown.id == part.snapshot);
    let are_shown = snapshot.parts.iter().all(is_shown);
    let arrived = miss(&mut snapshot.missing_since, snapshot.taken_at, are_shown, now) || arrived;
    if snapshot.complete {
        return arrived;
    }
    let completed = |part: &super::records::Part| {
        let shown = seen.snapshots.iter().find(|shown| shown.id == part.snapshot);
        shown.is_some_and(|shown| shown.state == amazon::SnapshotState::Completed)
    };
    snapshot.complete = snapshot.parts.iter().all(completed);
    snapshot.complete || arrived
}
