//! Volumes: what is asked of them, making and deleting them.

use crate::cloud::call::Call;
use crate::cloud::describe::show;
use crate::model::offer::Image;
use crate::model::{Attachment, AttachmentState, Course, Launch, Place, SnapshotState, Tags, Volume, VolumeState};
use crate::problem::Problem;
use crate::query::Asked;
use crate::rules::Rules;
use crate::xml::Xml;

/// A volume that is asked for.
#[derive(Clone, Debug)]
pub struct Disk {
    pub device: String,
    pub gib: i64,
    pub kind: String,
    pub iops: Option<i64>,
    pub throughput: Option<i64>,
    pub encrypted: bool,
    pub key: Option<String>,
    pub snapshot: Option<String>,
    /// MiB a second at which the snapshot's data is read in.
    pub reading_rate: Option<i64>,
    pub delete_on_termination: bool,
}

/// What may be asked for together of an account in a region, MiB a second.
const MOST_READING: i64 = 5000;

/// The disk an image brings along.
pub fn own_disk(image: &Image) -> Disk {
    Disk {
        device: image.root_device.to_owned(),
        gib: image.root_gib,
        kind: "gp3".to_owned(),
        iops: Some(3000),
        throughput: Some(125),
        encrypted: false,
        key: None,
        snapshot: Some(image.snapshot.clone()),
        reading_rate: None,
        delete_on_termination: true,
    }
}

/// One more disk; it stays when its instance goes, unless the request says otherwise.
pub fn extra_disk(call: &Call<'_>, device: &str, asked: &Asked<'_>) -> Result<Disk, Problem> {
    let disk = read_disk(call, device, asked, "VolumeSize")?;
    Ok(Disk { delete_on_termination: asked.flag("DeleteOnTermination")?.unwrap_or(false), ..disk })
}

impl Disk {
    /// The image's disk as a request wants it.
    pub fn changed(self, call: &Call<'_>, asked: &Asked<'_>) -> Result<Self, Problem> {
        let gib = asked.number("VolumeSize")?.unwrap_or(self.gib);
        if gib < self.gib {
            let message = format!("Volume of size {gib}GB is smaller than snapshot, expect size >= {}GB", self.gib);
            return Err(Problem::client("InvalidBlockDeviceMapping", message));
        }
        let encrypted = asked.flag("Encrypted")?.unwrap_or(false);
        Ok(Self {
            gib,
            kind: asked.text("VolumeType").unwrap_or(&self.kind).to_owned(),
            encrypted,
            key: encrypted.then(|| key(call, asked)),
            delete_on_termination: asked.flag("DeleteOnTermination")?.unwrap_or(true),
            ..self
        })
    }

    fn volume(&self, id: String, zone: &str, now_ms: i64, tags: Tags, ready_ms: i64) -> Volume {
        Volume {
            id,
            zone: zone.to_owned(),
            gib: self.gib,
            kind: self.kind.clone(),
            iops: self.iops,
            throughput: self.throughput,
            encrypted: self.encrypted,
            key: self.key.clone(),
            snapshot: self.snapshot.clone(),
            created_ms: now_ms,
            fast_restored: false,
            reading_rate: self.reading_rate,
            read_in_ms: None,
            tags,
            course: Course::new(&[(now_ms, VolumeState::Creating), (ready_ms, VolumeState::Available)]),
            attachment: None,
            snapshots: 0,
        }
    }

    /// The volume of a new instance, attached from the beginning. Returns its id.
    pub fn make_for(&self, call: &mut Call<'_>, instance: &str, ready_ms: i64, launch: &Launch, tags: &Tags) -> String {
        let (now, id) = (call.now, call.shared.id("vol"));
        let mut volume = self.volume(id.clone(), &launch.zone, now, tags.clone(), now);
        volume.attachment = Some(Attachment {
            instance: instance.to_owned(),
            device: self.device.clone(),
            since_ms: now,
            delete_on_termination: self.delete_on_termination,
            course: Course::new(&[(now, AttachmentState::Attaching), (ready_ms, AttachmentState::Attached)]),
        });
        call.place.volumes.put(now, volume);
        id
    }
}

pub fn create(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let zone = asked.required("AvailabilityZone")?;
    if !call.rules.zones_of(&call.place.region).iter().any(|one| one == zone) {
        return Err(Problem::client("InvalidZone.NotFound", format!("The zone '{zone}' does not exist.")));
    }
    if let Some(done) = call.done_before("CreateVolume", zone)? {
        let id = done.ids.first().map_or("", String::as_str);
        if let Some(volume) = call.place.volumes.get(id) {
            show::volume(xml, volume, call.now);
        }
        return Ok(());
    }
    let disk = read_disk(call, "", asked, "Size")?;
    let tags = call.new_tags(asked, "volume", &["volume"])?;
    call.would_happen()?;
    let (now, id) = (call.now, call.shared.id("vol"));
    let ready = now + call.rules.delays.volume_creating.of(call.rules.seed, &format!("creating {id}"));
    let mut volume = disk.volume(id.clone(), zone, now, tags, ready);
    volume.fast_restored = disk.snapshot.is_some_and(|snapshot| {
        let enabled = call.place.fast_restores.get(&(snapshot, zone.to_owned()));
        enabled.is_some_and(|(_, enabled_ms)| *enabled_ms <= now)
    });
    // Amazon finds out about the key after it has answered.
    if volume.encrypted && !call.encrypts {
        volume.course = Course::new(&[(now, VolumeState::Creating), (ready, VolumeState::Error)]);
    }
    volume.read_in_ms = volume.snapshot.as_ref().map(|_| now + reading_ms(call, &volume));
    show::volume(xml, &volume, now);
    call.place.volumes.put(now, volume);
    call.remember("CreateVolume", zone, vec![id])
}

/// How long its data is being read in. How much of its snapshot is data nobody knows here: all of it. A rate that was asked for
/// counts before a fast restore.
fn reading_ms(call: &Call<'_>, volume: &Volume) -> i64 {
    match volume.reading_rate {
        Some(rate) => volume.gib * 1024 * 1000 / rate,
        None if volume.fast_restored => 0,
        None => volume.gib * call.rules.delays.reading_per_gib.of(call.rules.seed, &format!("reading {}", volume.id)),
    }
}

/// "Initialize Amazon EBS volumes" says what a rate may be, and that a request fails that exceeds what may be asked for
/// together; with which code it does not say.
fn reading_rate(call: &Call<'_>, asked: &Asked<'_>, has_snapshot: bool) -> Result<Option<i64>, Problem> {
    let Some(rate) = asked.number("VolumeInitializationRate")? else { return Ok(None) };
    if !has_snapshot {
        return Err(Problem::combination("VolumeInitializationRate needs a snapshot"));
    }
    if !(100..=300).contains(&rate) {
        return Err(Problem::value("VolumeInitializationRate", &rate.to_string(), "It is from 100 to 300."));
    }
    let reads = |volume: &&Volume| volume.progress(call.now).is_some_and(|percent| percent < 100);
    let others: i64 = call.place.volumes.all().filter(reads).filter_map(|volume| volume.reading_rate).sum();
    match others + rate > MOST_READING {
        true => Err(Problem::client("VolumeLimitExceeded", "More is being read in than may be together.".to_owned())),
        false => Ok(Some(rate)),
    }
}

pub fn delete(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let (now, id) = (call.now, asked.required("VolumeId")?);
    let volume = call.volume(id)?;
    match volume.state(now) {
        VolumeState::InUse => {
            let to = volume.attached(now).map_or("", |(attachment, _)| attachment.instance.as_str());
            let message = format!("Volume {id} is currently attached to {to}");
            return Err(Problem::client("VolumeInUse", message));
        }
        VolumeState::Available | VolumeState::Error => {}
        other => return Err(Problem::state(format!("The volume '{id}' is in the '{}' state.", other.name()))),
    }
    let gone = now + call.rules.delays.volume_creating.of(call.rules.seed, &format!("deleting {id}"));
    call.place.volumes.change(id, now, |volume| {
        volume.course.turn(now, &[(now, VolumeState::Deleting), (gone, VolumeState::Deleted)]);
    });
    xml.value("return", true);
    Ok(())
}

fn read_disk(call: &Call<'_>, device: &str, asked: &Asked<'_>, size: &str) -> Result<Disk, Problem> {
    let kind = asked.text("VolumeType").unwrap_or("gp2").to_owned();
    let (least, most) = match kind.as_str() {
        "gp2" => (1, 16_384),
        "gp3" => (1, 65_536),
        "io1" => (4, 16_384),
        "io2" => (4, 65_536),
        "st1" | "sc1" => (125, 16_384),
        "standard" => (1, 1024),
        other => return Err(Problem::value("volumeType", other, "Unknown volume type.")),
    };
    let mut encrypted = asked.flag("Encrypted")?.unwrap_or(false);
    let from = asked.text("SnapshotId").filter(|id| !id.is_empty());
    let snapshot = from.map(|id| call.snapshot(id)).transpose()?;
    if let Some(snapshot) = snapshot {
        if snapshot.state(call.now) != SnapshotState::Completed {
            let state = snapshot.state(call.now).name();
            return Err(Problem::state(format!("Snapshot {} is in invalid state - {state}", snapshot.id)));
        }
        if snapshot.encrypted && asked.flag("Encrypted")? == Some(false) {
            let message = "The encrypted flag cannot be turned off for a volume of an encrypted snapshot";
            return Err(Problem::combination(message));
        }
        encrypted |= snapshot.encrypted;
    }
    let gib = match (asked.number(size)?, snapshot) {
        (Some(gib), Some(snapshot)) if gib < snapshot.gib => {
            let expected = format!("expect size >= {}GiB", snapshot.gib);
            let message = format!("Volume of {gib}GiB is smaller than snapshot '{}', {expected}", snapshot.id);
            return Err(Problem::client("InvalidParameterValue", message));
        }
        (Some(gib), _) => gib,
        (None, Some(snapshot)) => snapshot.gib,
        (None, None) => {
            return Err(Problem::client("MissingParameter", "The request must contain the parameter size/snapshot"));
        }
    };
    if !(least..=most).contains(&gib) {
        let why = format!("A volume of type {kind} has from {least} to {most} GiB.");
        return Err(Problem::value(size, &gib.to_string(), &why));
    }
    let baseline = match kind.as_str() {
        "gp3" => Some(3000),
        "gp2" => Some((gib * 3).clamp(100, 16_000)),
        "io1" | "io2" => None,
        _ => None,
    };
    let iops = asked.number("Iops")?.or(baseline);
    if iops.is_none() && kind.starts_with("io") {
        return Err(Problem::client(
            "MissingParameter",
            "The parameter iops must be specified for io1 and io2 volumes",
        ));
    }
    let throughput = asked.number("Throughput")?.or((kind == "gp3").then_some(125));
    Ok(Disk {
        device: device.to_owned(),
        gib,
        kind,
        iops,
        throughput,
        encrypted,
        key: encrypted.then(|| key(call, asked)),
        reading_rate: reading_rate(call, asked, snapshot.is_some())?,
        snapshot: snapshot.map(|snapshot| snapshot.id.clone()),
        delete_on_termination: false,
    })
}

/// The key of an encrypted volume: the one that is named, or the usual one.
pub fn key(call: &Call<'_>, asked: &Asked<'_>) -> String {
    asked.text("KmsKeyId").map_or_else(|| default_key(call.rules, call.place), str::to_owned)
}

/// Amazon's own in this account, or the account's.
pub fn default_key(rules: &Rules, place: &Place) -> String {
    let Place { region, account, .. } = place;
    let id = if rules.own_key { "1c7d3b4e" } else { "0b6a2f3c" };
    format!("arn:aws:kms:{region}:{account}:key/{id}-0000-4000-8000-000000000000")
}
