//! Volumes follow their server into another zone when theirs has no room for it.
//!
//! One of Amazon's volumes is in one zone for ever, so a volume of ours becomes another of Amazon's there. What never was a
//! server's and was made a moment ago is made anew from what it began with. What may hold more goes by a snapshot that is taken
//! when no server has it, nor is about to have it. The original stays until a server has been had in the other zone and the volume
//! there has been seen; where none is to be had anywhere, it is what there was before. All transitions are here, each one write of
//! the ledger; the calls are errands as others are. Pure.
//!
//! Guaranteed: a launch is written down together with its volumes' pages (`servers::note`), and which of Amazon's volumes a page
//! names changes only while no server that is left has a launch. So of those who launch and those who move one is told to read
//! again, and no server ever gets a volume that is on its way out.

use provisioners::{ServerId, VolumeId};

use super::amazon::client_token;
use super::look::Seen;
use super::records::{Discarded, Disk, Kept, Move, MoveCopy, Original, Record, Records, Server, Volume};

/// A volume that is older than this may hold data whatever is remembered of its servers: a portal's database may have been set
/// back.
const NEW_MS: i64 = 3_600_000;
/// For so long a snapshot by which data was to move is kept for the next try.
const KEEP_MS: i64 = 10 * 60_000;

/// How a server that waits gets to its volumes in a zone.
#[derive(Clone, Debug, PartialEq)]
pub enum Way {
    There(Vec<Disk>),
    /// They come there, by [`shift`] and what it has asked for.
    Open,
    Closed(String),
}

/// See [`Way`].
pub fn way(records: &Records, server: &Server, zone: &str) -> Way {
    if let Some(reason) = refused(records, server) {
        return Way::Closed(reason);
    }
    for volume in volumes_of(records, server).map(|kept| &kept.record) {
        let mut others = users(records, &volume.plan.id).filter(|other| !is_same(other, server));
        if volume.zone != zone && others.any(|other| other.stop_at.is_none()) {
            return Way::Closed(format!("volume {} is in use in {}", volume.plan.name, volume.zone));
        }
    }
    disks(records, server, zone).map_or(Way::Open, Way::There)
}

/// Why one of its volumes cannot come to where it is to be.
pub fn refused(records: &Records, server: &Server) -> Option<String> {
    volumes_of(records, server).find_map(|kept| {
        let moving = kept.record.moving.as_ref()?;
        let reason = moving.refused.as_ref()?;
        Some(format!("its volume {} cannot come to {}: {reason}", kept.record.plan.name, moving.zone))
    })
}

/// The server's volumes as Amazon knows them; `None` while one of them is not in this zone.
pub fn disks(records: &Records, server: &Server, zone: &str) -> Option<Vec<Disk>> {
    let disk = |mount: &provisioners::VolumeMount| {
        let volume = &records.volumes.get(&mount.volume)?.record;
        let id = volume.volume.clone().filter(|_| volume.zone == zone)?;
        Some(Disk { volume: id, path: mount.path.clone() })
    };
    server.plan.mounts.iter().map(disk).collect()
}

/// Where the server's data is; `None`: it has none that could not be made elsewhere as well.
pub fn home<'a>(records: &'a Records, server: &Server, now: i64) -> Option<&'a str> {
    let home = |volume: &'a Volume| {
        let moved = volume.moving.as_ref().filter(|moving| moving.copy.is_some());
        match moved.and_then(|moving| moving.original.as_ref()).filter(|_| !is_touched(records, volume)) {
            Some(original) => Some(original.zone.as_str()),
            None => may_hold_data(records, volume, now).then_some(volume.zone.as_str()),
        }
    };
    volumes_of(records, server).find_map(|kept| home(&kept.record))
}

/// The next that is to be written down for a server to start in this zone; nothing while something is under way, or all is there.
pub fn shift(
    records: &Records,
    key: &(ServerId, i64),
    zone: &str,
    reading_rate: Option<i32>,
    now: i64,
) -> Vec<(i64, Record)> {
    let Some(server) = records.servers.get(key).map(|kept| &kept.record).filter(|server| is_waiting(server)) else {
        return Vec::new();
    };
    let away: Vec<&Kept<Volume>> =
        volumes_of(records, server).filter(|kept| kept.record.zone != zone || kept.record.volume.is_none()).collect();
    let is_free = |kept: &&Kept<Volume>| {
        let volume = &kept.record;
        let alone = users(records, &volume.plan.id).all(|other| is_same(other, server));
        alone && volume.volume.is_some() && volume.failure.is_none() && volume.delete_at.is_none()
    };
    if !away.iter().all(is_free) {
        return Vec::new();
    }
    let holds_more = |kept: &&&Kept<Volume>| {
        let volume = &kept.record;
        is_stale(records, volume) || volume.moving.is_none() && may_hold_data(records, volume, now)
    };
    let begun = away.iter().filter(holds_more).map(|kept| (kept.version, begin(records, &kept.record, zone, now)));
    let mut next: Vec<(i64, Volume)> = begun.collect();
    if next.is_empty() {
        // All of them together, or none.
        let moved = |kept: &&Kept<Volume>| {
            let volume = &kept.record;
            let settles = volume.moving.as_ref().is_some_and(|moving| moving.original.is_some());
            let there =
                elsewhere(volume, zone, reading_rate, now).filter(|_| !(settles && is_touched(records, volume)));
            Some((kept.version, there?))
        };
        next = away.iter().map(moved).collect::<Option<_>>().unwrap_or_default();
    }
    next.into_iter().map(|(version, volume)| (version, Record::Volume(Box::new(volume)))).collect()
}

/// Whether Amazon shows one of the volumes that would move as somebody's still.
pub fn is_shown_in_use(records: &Records, server: &Server, zone: &str, seen: &Seen) -> bool {
    let mut away = volumes_of(records, server).filter(|kept| kept.record.zone != zone);
    away.any(|kept| {
        let shown = seen.volumes.iter().find(|shown| Some(&shown.id) == kept.record.volume.as_ref());
        shown.is_some_and(|shown| shown.attached_to.is_some())
    })
}

/// The end of a move, when a server has been had with the volume or none wants it any more, and of what was kept for it; `None`:
/// not yet.
pub fn settled(records: &Records, volume: &Volume, now: i64) -> Option<Volume> {
    if volume.began_with.is_some() && volume.warm {
        let mut volume = volume.clone();
        volume.spent.extend(volume.began_with.take());
        return Some(volume);
    }
    let moving = volume.moving.as_ref()?;
    let touched = is_touched(records, volume);
    if moving.original.is_some() && touched && moving.made && moving.refused.is_none() {
        return Some(arrived(volume, now));
    }
    if is_stale(records, volume) {
        return Some(without_copy(volume));
    }
    if users(records, &volume.plan.id).next().is_some() {
        return None;
    }
    match (&moving.original, &moving.refused) {
        // Whether there is one in the other zone is still to be told.
        (Some(_), None) if volume.volume.is_none() || touched => None,
        (Some(_), _) => back(volume, now),
        (None, refused) => (refused.is_some() || now >= moving.begun_at + KEEP_MS).then(|| without_copy(volume)),
    }
}

/// As it is once it is to go.
pub fn deleted(volume: &Volume, now: i64) -> Volume {
    let mut volume = arrived(volume, now);
    volume.spent.extend(volume.began_with.take());
    Volume { delete_at: Some(now), ..volume }
}

/// What holds all that was ever written: what a snapshot is to be taken of.
pub fn source<'a>(records: &Records, volume: &'a Volume) -> Option<&'a String> {
    let original = volume.moving.as_ref().and_then(|moving| moving.original.as_ref());
    match original.filter(|_| !is_touched(records, volume)) {
        Some(original) => Some(&original.volume),
        None => volume.volume.as_ref(),
    }
}

/// What is under way for a server that waits, for people; `None`: its volumes stay where they are.
pub fn told(records: &Records, server: &Server) -> Option<String> {
    let mut moves = volumes_of(records, server).filter_map(|kept| Some((&kept.record, kept.record.moving.as_ref()?)));
    let (volume, moving) = moves.next()?;
    let (full, next) = match &moving.original {
        Some(original) => (&original.zone, &volume.zone),
        None => (&volume.zone, &moving.zone),
    };
    let with = match (&moving.copy, &moving.original) {
        (Some(_), Some(_)) => " with its volumes' data",
        (Some(_), None) => " once its volumes' data is copied",
        (None, _) => "",
    };
    Some(format!("{full} has no room: going on in {next}{with}"))
}

fn begin(records: &Records, volume: &Volume, zone: &str, now: i64) -> Volume {
    let token = client_token(&format!("{} leaves {} at {now}", volume.token, volume.zone));
    let copy = Some(MoveCopy { token, servers: servers_had(records, volume), snapshot: None, complete: false });
    let moving = Move { zone: zone.to_owned(), begun_at: now, copy, original: None, made: false, refused: None };
    Volume { moving: Some(moving), ..without_copy(volume) }
}

/// A server was had with it since it was copied.
fn is_stale(records: &Records, volume: &Volume) -> bool {
    let copied = volume.moving.as_ref().filter(|moving| moving.original.is_none());
    let copy = copied.and_then(|moving| moving.copy.as_ref());
    copy.is_some_and(|copy| copy.servers != servers_had(records, volume))
}

/// Another one of Amazon's, in this zone; `None` while what it is to begin with is not complete.
fn elsewhere(volume: &Volume, zone: &str, reading_rate: Option<i32>, now: i64) -> Option<Volume> {
    let none = || Move { zone: zone.to_owned(), begun_at: now, copy: None, original: None, made: false, refused: None };
    let mut moving = volume.moving.clone().unwrap_or_else(none);
    if moving.original.as_ref().is_some_and(|original| original.zone == zone) {
        return back(volume, now);
    }
    let mut volume = volume.clone();
    let present = Original {
        volume: volume.volume.take()?,
        zone: volume.zone,
        from: volume.from,
        warm: volume.warm,
        asked_at: volume.asked_at,
    };
    match moving.original {
        Some(_) => volume.discarded.push(Discarded { volume: present.volume, at: now, deleted: false }),
        None => moving.original = Some(present),
    }
    volume.from = match &moving.copy {
        Some(copy) => Some(copy.snapshot.clone().filter(|_| copy.complete)?),
        None => moving.original.as_ref().and_then(|original| original.from.clone()),
    };
    volume.token = client_token(&format!("{} in {zone} at {now}", volume.token));
    volume.zone = zone.to_owned();
    volume.reading_rate = volume.from.as_ref().and(reading_rate);
    volume.asked_at = now;
    volume.warm = false;
    moving.zone = zone.to_owned();
    moving.made = false;
    volume.moving = Some(moving);
    Some(volume)
}

/// The original again. What was copied stays for the next try, for a while.
fn back(volume: &Volume, now: i64) -> Option<Volume> {
    let mut volume = volume.clone();
    let moving = volume.moving.as_mut()?;
    let original = moving.original.take()?;
    let refused = moving.refused.take().is_some();
    let discarded = volume.volume.replace(original.volume).map(|volume| Discarded { volume, at: now, deleted: false });
    volume.discarded.extend(discarded);
    (volume.zone, volume.from, volume.warm) = (original.zone, original.from, original.warm);
    volume.asked_at = original.asked_at;
    Some(if refused || moving.copy.is_none() { without_copy(&volume) } else { volume })
}

/// Without its original. What it began with stays until all of it is read in.
fn arrived(volume: &Volume, now: i64) -> Volume {
    let mut volume = volume.clone();
    let Some(moving) = volume.moving.take() else { return volume };
    let original = moving.original.map(|original| Discarded { volume: original.volume, at: now, deleted: false });
    volume.discarded.extend(original);
    if let Some(copy) = moving.copy {
        volume.spent.extend(volume.began_with.replace(copy.token));
    }
    volume
}

/// As it is where it is, and nothing else.
fn without_copy(volume: &Volume) -> Volume {
    let mut volume = volume.clone();
    let copy = volume.moving.take().and_then(|moving| moving.copy);
    volume.spent.extend(copy.map(|copy| copy.token));
    volume
}

fn volumes_of<'a>(records: &'a Records, server: &Server) -> impl Iterator<Item = &'a Kept<Volume>> {
    let ids: Vec<&VolumeId> = server.plan.mounts.iter().map(|mount| &mount.volume).collect();
    ids.into_iter().filter_map(|id| records.volumes.get(id)).collect::<Vec<_>>().into_iter()
}

/// Servers that have it among their volumes and are left, or are to come.
fn users<'a>(records: &'a Records, volume: &'a VolumeId) -> impl Iterator<Item = &'a Server> {
    let servers = records.servers.values().map(|kept| &kept.record);
    let servers = servers.filter(|server| !server.ended && (is_had(server) || is_waiting(server)));
    servers.filter(move |server| server.plan.mounts.iter().any(|mount| mount.volume == *volume))
}

/// There may be a machine of it.
fn is_had(server: &Server) -> bool {
    server.launch.is_some() || server.instance.is_some()
}

fn is_same(one: &Server, other: &Server) -> bool {
    one.plan.id == other.plan.id && one.plan.generation == other.plan.generation
}

/// It is to start, and no call that may bring it is under way.
fn is_waiting(server: &Server) -> bool {
    !is_had(server) && !server.ended && server.stop_at.is_none() && server.failure.is_none()
}

/// A server was had that may have been given it: the ledger names the instance before anything is attached to it.
fn is_touched(records: &Records, volume: &Volume) -> bool {
    servers_had(records, volume) > 0
}

/// How many such servers there were, those that are not remembered any more among them.
fn servers_had(records: &Records, volume: &Volume) -> usize {
    let Some(id) = &volume.volume else { return 0 };
    let had = records.servers.values().map(|kept| &kept.record).filter(|server| server.instance.is_some());
    let had = had.filter(|server| server.plan.mounts.iter().any(|mount| mount.volume == volume.plan.id));
    let given = had.filter(|server| server.launch.is_none() || server.disks_given().contains(id));
    given.count() + volume.had_before.get(id).copied().unwrap_or(0)
}

fn may_hold_data(records: &Records, volume: &Volume, now: i64) -> bool {
    now >= volume.asked_at + NEW_MS || is_touched(records, volume)
}
