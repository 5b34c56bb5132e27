//! Snapshots. What one holds is fixed when the call is accepted; that it is complete comes later, and until then nothing can
//! be made from it.

use std::collections::BTreeSet;

use crate::cloud::call::{Call, enough_room};
use crate::cloud::describe::show;
use crate::model::{Course, Snapshot, SnapshotState, Tags, Volume};
use crate::problem::Problem;
use crate::query::Asked;
use crate::seed::between;
use crate::xml::Xml;

/// Of one volume, pending at the same time.
const MOST_PENDING: usize = 5;
/// Copies under way to one region.
const MOST_COPIES: usize = 20;
const APART_MS: i64 = 15_000;
/// Snapshots of a region that an account has fast restore for ("Amazon EBS fast snapshot restore"; with which code one more is
/// refused it does not say).
const MOST_FAST: usize = 5;

pub fn create(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let volume = asked.required("VolumeId")?;
    let tags = call.new_tags(asked, "snapshot", &["snapshot"])?;
    may_be_taken(call, volume)?;
    let id = take(call, volume, asked.text("Description").unwrap_or_default(), tags)?;
    if let Some(snapshot) = call.place.snapshots.get(&id) {
        show::snapshot(xml, snapshot, call.now);
    }
    Ok(())
}

/// Of all volumes of an instance, at one moment.
pub fn create_of_instance(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let (now, which) = (call.now, asked.within("InstanceSpecification"));
    let instance = call.instance(which.required("InstanceId")?)?;
    let without_root = which.flag("ExcludeBootVolume")?.unwrap_or(false);
    let excluded = which.list("ExcludeDataVolumeId");
    let volumes: Vec<Volume> = instance
        .volumes
        .iter()
        .filter_map(|id| call.place.volumes.get(id))
        .filter(|volume| {
            let attached = volume.attached(now).filter(|(to, _)| to.instance == instance.id);
            let root = attached.is_some_and(|(to, _)| to.device == instance.launch.root_device);
            attached.is_some() && !(root && without_root) && !excluded.contains(&volume.id.as_str())
        })
        .cloned()
        .collect();
    if volumes.is_empty() {
        let message = format!("There are no volumes to take snapshots of on instance '{}'", instance.id);
        return Err(Problem::client("InvalidParameterValue", message));
    }
    let copied = asked.text("CopyTagsFromSource") == Some("volume");
    let own = call.new_tags(asked, "snapshot", &["snapshot"])?;
    let description = asked.text("Description").unwrap_or_default();
    let mut tagged = Vec::new();
    for volume in volumes {
        may_be_taken(call, &volume.id)?;
        let mut tags = if copied { volume.tags.clone() } else { Tags::new() };
        tags.extend(own.clone());
        enough_room(&tags)?;
        tagged.push((volume.id, tags));
    }
    let mut ids = Vec::new();
    for (volume, tags) in tagged {
        ids.push(take(call, &volume, description, tags)?);
    }
    let taken = ids.iter().filter_map(|id| call.place.snapshots.get(id));
    xml.list("snapshotSet", taken, |xml, snapshot| show::snapshot_info(xml, snapshot, now));
    Ok(())
}

fn may_be_taken(call: &Call<'_>, volume: &str) -> Result<(), Problem> {
    call.volume(volume)?;
    let is_pending = |snapshot: &&Snapshot| snapshot.state(call.now) == SnapshotState::Pending;
    let pending: Vec<i64> =
        call.place.snapshots.with("volume-id", volume).filter(is_pending).map(|snapshot| snapshot.started_ms).collect();
    if pending.iter().any(|started| call.now < started + APART_MS) {
        let message = "The maximum per volume CreateSnapshot request rate has been exceeded. Use an increasing or \
                       variable sleep interval between requests.";
        return Err(Problem::client("SnapshotCreationPerVolumeRateExceeded", message));
    }
    if pending.len() >= MOST_PENDING {
        let message = "Maximum allowed in-progress snapshots for a single volume exceeded.";
        return Err(Problem::client("ConcurrentSnapshotLimitExceeded", message));
    }
    Ok(())
}

fn take(call: &mut Call<'_>, volume: &str, description: &str, tags: Tags) -> Result<String, Problem> {
    let (now, seed, delays) = (call.now, call.rules.seed, call.rules.delays);
    let of = call.volume(volume)?.clone();
    let id = call.shared.id("snap");
    // The first holds what was ever written, later ones what has changed.
    let percent = if of.snapshots == 0 { between(seed, &id, 5, 40) } else { between(seed, &id, 1, 5) };
    let changed_gib = of.gib * percent / 100;
    let takes = delays.snapshot.of(seed, &id) + changed_gib * delays.snapshot_per_gib.of(seed, &id);
    call.place.snapshots.put(
        now,
        Snapshot {
            id: id.clone(),
            owner: call.place.account.clone(),
            public: false,
            volume: volume.to_owned(),
            copy_of: None,
            gib: of.gib,
            encrypted: of.encrypted,
            key: of.key,
            description: description.to_owned(),
            started_ms: now,
            tags,
            course: Course::new(&[(now, SnapshotState::Pending), (now + takes, SnapshotState::Completed)]),
        },
    );
    call.place.volumes.change(volume, now, |volume| volume.snapshots += 1);
    Ok(id)
}

pub fn delete(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let (now, id) = (call.now, asked.required("SnapshotId")?);
    call.own_snapshot(id)?;
    if let Some(image) = call.place.images.all().find(|image| image.snapshot == id) {
        let message = format!("The snapshot {id} is currently in use by {}", image.id);
        return Err(Problem::client("InvalidSnapshot.InUse", message));
    }
    call.place.snapshots.change(id, now, |snapshot| snapshot.course.turn(now, &[(now, SnapshotState::Deleted)]));
    call.place.fast_restores.retain(|(snapshot, _), _| snapshot != id);
    xml.value("return", true);
    Ok(())
}

/// Into this region, from it or from another one.
pub fn copy(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let (now, seed) = (call.now, call.rules.seed);
    let id = asked.required("SourceSnapshotId")?;
    asked.required("SourceRegion")?;
    let absent = || Problem::client("InvalidSnapshot.NotFound", format!("The snapshot '{id}' does not exist."));
    let readable =
        |of: &Snapshot| (of.owner == call.place.account || of.public) && of.state(now) != SnapshotState::Deleted;
    let of = call.source.clone().filter(readable).ok_or_else(absent)?;
    if of.state(now) != SnapshotState::Completed {
        return Err(Problem::state(format!("Snapshot {id} is in invalid state - {}", of.state(now).name())));
    }
    let is_under_way = |one: &&Snapshot| one.copy_of.is_some() && one.state(now) == SnapshotState::Pending;
    if call.place.snapshots.all().filter(is_under_way).count() >= MOST_COPIES {
        let message = "The maximum number of concurrent snapshot copies to this region has been reached.";
        return Err(Problem::client("ResourceLimitExceeded", message));
    }
    let tags = call.new_tags(asked, "snapshot", &["snapshot"])?;
    let encrypted = of.encrypted || asked.flag("Encrypted")?.unwrap_or(false);
    let copy = call.shared.id("snap");
    // Every copy to another region is a whole one.
    let takes = call.rules.delays.snapshot.of(seed, &copy)
        + of.gib * between(seed, &copy, 5, 40) / 100 * call.rules.delays.snapshot_per_gib.of(seed, &copy);
    let unreadable = of.encrypted && !may_read(call, asked);
    let end = match unreadable || encrypted && !call.encrypts {
        true => SnapshotState::Error,
        false => SnapshotState::Completed,
    };
    let described = || format!("[Copied {id} from {}]", asked.text("SourceRegion").unwrap_or_default());
    call.place.snapshots.put(
        now,
        Snapshot {
            id: copy.clone(),
            owner: call.place.account.clone(),
            public: false,
            // What Amazon writes for copies: no volume of this region.
            volume: "vol-ffffffff".to_owned(),
            copy_of: Some(id.to_owned()),
            description: asked.text("Description").map_or_else(described, str::to_owned),
            started_ms: now,
            key: encrypted.then(|| super::volumes::key(call, asked)),
            encrypted,
            course: Course::new(&[(now, SnapshotState::Pending), (now + takes, end)]),
            tags: tags.clone(),
            gib: of.gib,
        },
    );
    xml.value("snapshotId", copy).tags(&tags);
    Ok(())
}

/// The address by which the source's region is shown that it may be read. A wrong one fails the copy later, Amazon says; that a missing
/// one does, too, is this fake's reading. Its signature is not verified, as no signature is.
fn may_read(call: &Call<'_>, asked: &Asked<'_>) -> bool {
    let Some((_, query)) = asked.text("PresignedUrl").and_then(|url| url.split_once('?')) else { return false };
    let shown: std::collections::HashMap<_, _> = form_urlencoded::parse(query.as_bytes()).collect();
    let is = |name: &str, value: Option<&str>| value.is_some() && shown.get(name).map(AsRef::as_ref) == value;
    let region = asked.text("SourceRegion");
    let scope = format!("/{}/ec2/aws4_request", region.unwrap_or_default());
    is("Action", Some("CopySnapshot"))
        && is("SourceRegion", region)
        && is("SourceSnapshotId", asked.text("SourceSnapshotId"))
        && is("DestinationRegion", Some(call.place.region.as_str()))
        && shown.get("X-Amz-Credential").is_some_and(|credential| credential.ends_with(&scope))
        && shown.get("X-Amz-Signature").is_some_and(|signature| signature.len() == 64)
}

pub fn enable_fast(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let (mut on, mut refused) = (Vec::new(), Vec::new());
    for (id, zone) in pairs(call, asked)? {
        let others: BTreeSet<&String> =
            call.place.fast_restores.keys().map(|(other, _)| other).filter(|other| **other != id).collect();
        if others.len() >= MOST_FAST {
            refused.push((
                id,
                zone,
                "FastSnapshotRestoreLimitExceeded",
                "You have fast snapshot restore for 5 snapshots.",
            ));
            continue;
        }
        let enabled = call.now + call.rules.delays.fast_restore.of(call.rules.seed, &format!("{id} {zone}"));
        call.place.fast_restores.entry((id.clone(), zone.clone())).or_insert((call.now, enabled));
        on.push((id, zone));
    }
    fast_answer(call, xml, &on, &refused);
    Ok(())
}

pub fn disable_fast(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let (mut off, mut refused) = (Vec::new(), Vec::new());
    for pair in pairs(call, asked)? {
        match call.place.fast_restores.remove(&pair) {
            Some(_) => off.push(pair),
            None => refused.push((pair.0, pair.1, "InvalidFastSnapshotRestore.NotFound", "It is not enabled.")),
        }
    }
    fast_answer(call, xml, &off, &refused);
    Ok(())
}

type RefusedFast = (String, String, &'static str, &'static str);

fn fast_answer(call: &Call<'_>, xml: &mut Xml, done: &[(String, String)], refused: &[RefusedFast]) {
    xml.list("successful", done, |xml, (id, zone)| show::fast_restore(xml, call.place, id, zone, call.now));
    xml.list("unsuccessful", refused, |xml, (id, zone, code, message)| {
        xml.value("snapshotId", id);
        xml.list("fastSnapshotRestoreStateErrorSet", [()], |xml, ()| {
            xml.value("availabilityZone", zone);
            xml.node("error", |xml| {
                xml.value("code", code).value("message", message);
            });
        });
    });
}

fn pairs(call: &Call<'_>, asked: &Asked<'_>) -> Result<Vec<(String, String)>, Problem> {
    let mut pairs = Vec::new();
    for id in asked.list("SourceSnapshotId") {
        call.own_snapshot(id)?;
        pairs.extend(asked.list("AvailabilityZone").into_iter().map(|zone| (id.to_owned(), zone.to_owned())));
    }
    if pairs.is_empty() { Err(Problem::missing("SourceSnapshotId")) } else { Ok(pairs) }
}
