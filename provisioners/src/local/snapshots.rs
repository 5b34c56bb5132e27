//! Snapshots: one moment of an environment's volumes, beside the environments and outliving them.
//!
//! A snapshot is there when its `snapshot.json` is: it is written last, when every volume is copied. What has none is what
//! was left by a portal that was killed while taking it, and is removed. Then everything is read once, for the manifest; that
//! may take its time, and is begun again by whoever comes next. Nothing is restored from a snapshot without a manifest, from
//! one that was found damaged, or from one that may not have reached the disk before the machine went down.

use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::disk::{self, Owner, Trash};
use super::error::{Attempt, LocalError, Result};
use super::layout::{EnvironmentLayout, SnapshotLayout};
use super::tools::Tools;
use super::tree::index::{self, Difference, Index};
use super::tree::{self, Method, Progress};
use super::volumes;
use crate::{Damage, Manifest, ObservedSnapshot, SnapshotContent, SnapshotPlan, SnapshotState, Verification, VolumeId};

/// What is written down about a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    pub plan: SnapshotPlan,
    /// Which call took it; 0 when it came from elsewhere.
    #[serde(default)]
    pub call: i64,
    pub taken_at: i64,
    pub method: String,
    /// Of the machine, when it was taken; none when it is known to be on the disk.
    boot: Option<String>,
}

/// Manifests, one for each volume of the plan, in its order.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Manifests {
    volumes: Vec<(VolumeId, Manifest)>,
    /// The states that the trees were in when they had been read, where states have names.
    #[serde(default)]
    states: Vec<(VolumeId, String)>,
}

pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Copies the volumes as they are now. Nobody writes them meanwhile.
pub fn take(
    environment: &EnvironmentLayout,
    snapshot: &SnapshotLayout,
    plan: &SnapshotPlan,
    call: i64,
    tools: &Tools,
    trash: &Trash,
    progress: &Progress,
) -> Result<()> {
    for volume in &plan.volumes {
        if !volumes::exists(environment, &volume.volume) {
            let message = format!("Volume “{}” is missing: no snapshot can be taken without it.", volume.name);
            return Err(LocalError::Refused(message));
        }
    }
    let taken_at = now();
    // What a portal left that was killed while taking it, and what an earlier call took. Their moments have passed.
    trash.take(snapshot.root())?;
    let taken = fill(environment, snapshot, plan, call, tools, progress, taken_at);
    if taken.is_err() {
        // If that does not work either, whoever opens the provisioner next does it.
        let _ = trash.take(snapshot.root()).and_then(|()| disk::remove_if_empty(snapshot.parent()));
    }
    taken
}

fn fill(
    environment: &EnvironmentLayout,
    snapshot: &SnapshotLayout,
    plan: &SnapshotPlan,
    call: i64,
    tools: &Tools,
    progress: &Progress,
    taken_at: i64,
) -> Result<()> {
    disk::make_directory(&snapshot.volumes())?;
    let mut methods = Vec::new();
    for volume in &plan.volumes {
        let (from, to) = (volumes::data(environment, &volume.volume), snapshot.volume(&volume.volume));
        methods.push(tree::copy(&from, &to, tools.support, progress)?);
    }
    let on_disk = methods.iter().all(|method| *method == Method::Subvolume);
    methods.sort();
    methods.dedup();
    let words: Vec<&str> = methods.iter().map(|method| method.words()).collect();
    let boot = if on_disk { None } else { Some(boot()?) };
    let record = Record { plan: plan.clone(), call, taken_at, method: words.join(" and "), boot };
    write(&snapshot.record(), &record)?;
    disk::persist(snapshot.root())?;
    disk::persist(snapshot.parent())
}

/// Reads the trees of a snapshot that comes from elsewhere, which are in their places, for its manifests.
pub fn read_imported(
    snapshot: &SnapshotLayout,
    plan: SnapshotPlan,
    taken_at: i64,
    owner: Owner,
    progress: &Progress,
) -> Result<Vec<Manifest>> {
    let record = Record { plan, call: 0, taken_at, method: "import".to_owned(), boot: Some(boot()?) };
    make_manifest(snapshot, &record, owner, progress)?;
    let manifests = record.plan.volumes.iter().map(|volume| manifest(snapshot, &volume.volume));
    let manifests = manifests.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    Ok(manifests)
}

/// What makes a snapshot one that is there.
pub fn enter(snapshot: &SnapshotLayout, plan: SnapshotPlan, taken_at: i64) -> Result<()> {
    let record = Record { plan, call: 0, taken_at, method: "import".to_owned(), boot: None };
    write(&snapshot.record(), &record)?;
    disk::persist(snapshot.root())?;
    disk::persist(snapshot.parent())
}

/// What is known of a snapshot; nothing when there is none.
pub fn record(snapshot: &SnapshotLayout) -> Result<Option<Record>> {
    read(&snapshot.record())
}

pub fn has_manifest(snapshot: &SnapshotLayout) -> bool {
    snapshot.manifest().is_file()
}

/// The manifest of one volume.
pub fn manifest(snapshot: &SnapshotLayout, volume: &VolumeId) -> Result<Option<Manifest>> {
    let all: Option<Manifests> = read(&snapshot.manifest())?;
    Ok(all.and_then(|all| all.volumes.into_iter().find(|(id, _)| id == volume)).map(|(_, manifest)| manifest))
}

/// Whether a volume's tree is known, without reading it, to be what it was when the manifest was made: the filesystem says
/// that nothing in it was changed since.
pub fn is_untouched(snapshot: &SnapshotLayout, volume: &VolumeId) -> Result<bool> {
    let all: Option<Manifests> = read(&snapshot.manifest())?;
    let known = all.and_then(|all| all.states.into_iter().find(|(id, _)| id == volume)).map(|(_, state)| state);
    Ok(known.is_some() && known == tree::state(&snapshot.volume(volume)))
}

/// Reads everything and writes down what it is, once it is on the disk.
pub fn make_manifest(snapshot: &SnapshotLayout, record: &Record, owner: Owner, progress: &Progress) -> Result<()> {
    if record.boot.is_some() {
        progress.begin("being written to the disk", 0);
        tree::persist_all(snapshot.root())?;
    }
    let volumes = record.plan.volumes.iter();
    let sizes = volumes.map(|volume| tree::size(&snapshot.volume(&volume.volume), progress));
    progress.begin("being read for its manifest", sizes.sum::<Result<u64>>()?);
    disk::make_directory(&snapshot.indexes())?;
    let mut manifests = Manifests { volumes: Vec::new(), states: Vec::new() };
    for volume in &record.plan.volumes {
        let reading = tree::read(&snapshot.volume(&volume.volume), owner, progress)?;
        let (manifest, index) = reading.manifest();
        disk::write_whole(&snapshot.index(&volume.volume), &index, 0o600)?;
        manifests.volumes.push((volume.volume.clone(), manifest));
    }
    tree::persist_all(snapshot.root())?;
    let states = record.plan.volumes.iter().map(|volume| &volume.volume);
    let states = states.filter_map(|volume| Some((volume.clone(), tree::state(&snapshot.volume(volume))?)));
    manifests.states = states.collect();
    write(&snapshot.manifest(), &manifests)?;
    disk::persist(snapshot.root())
}

/// Reads everything again and compares. What is found is noted.
pub fn verify(snapshot: &SnapshotLayout, owner: Owner, progress: &Progress) -> Result<Verification> {
    let gone = || LocalError::Refused("There is no such snapshot.".to_owned());
    let record = record(snapshot)?.ok_or_else(gone)?;
    if !has_manifest(snapshot) {
        let message = "The snapshot has no manifest yet that it could be compared with.";
        return Err(LocalError::Later(message.to_owned()));
    }
    let mut verification = Verification::default();
    let all: Option<Manifests> = read(&snapshot.manifest())?;
    let bytes = all.iter().flat_map(|all| &all.volumes).map(|(_, manifest)| manifest.bytes).sum();
    progress.begin("being compared with its manifest", bytes);
    for volume in &record.plan.volumes {
        let damage = match manifest(snapshot, &volume.volume)? {
            None => vec![(".".to_owned(), "is missing in the manifest")],
            Some(_) if !snapshot.volume(&volume.volume).is_dir() => vec![(".".to_owned(), "is missing")],
            Some(manifest) => {
                let reading = tree::read(&snapshot.volume(&volume.volume), owner, progress)?;
                verification.files += reading.files;
                verification.bytes += reading.bytes;
                compare(snapshot, &volume.volume, &manifest, &reading)?
            }
        };
        verification.damaged += damage.len() as u64;
        let room = Verification::MOST_DAMAGE.saturating_sub(verification.damage.len());
        verification.damage.extend(damage.into_iter().take(room).map(|(path, what)| Damage {
            volume: volume.name.clone(),
            path,
            what: what.to_owned(),
        }));
    }
    note_damage(snapshot, &verification)?;
    Ok(verification)
}

/// What a volume of a snapshot held, file by file; `None` when that is not known yet, or what is kept of it is damaged.
pub fn index(snapshot: &SnapshotLayout, volume: &VolumeId) -> Result<Option<Index>> {
    let Some(manifest) = manifest(snapshot, volume)? else { return Ok(None) };
    let path = snapshot.index(volume);
    let kept = std::fs::read(&path).attempting(|| format!("read {}", path.display()))?;
    let proven = Some(&kept).filter(|kept| Index::digest(kept) == manifest.digest);
    Ok(proven.and_then(|kept| Index::from_bytes(kept)))
}

/// Where a tree that was read is not what the manifest says; nowhere when it is.
pub fn compare(
    snapshot: &SnapshotLayout,
    volume: &VolumeId,
    manifest: &Manifest,
    reading: &tree::Reading,
) -> Result<Vec<(String, &'static str)>> {
    let (found, _) = reading.manifest();
    if found.digest == manifest.digest {
        return Ok(Vec::new());
    }
    let Some(expected) = index(snapshot, volume)? else {
        return Ok(vec![(".".to_owned(), "differs, and where is not known: the list of its files is damaged too")]);
    };
    let found = &reading.index;
    let mut damage: Vec<_> = index::differences(&expected, found)
        .into_iter()
        .map(|difference| match difference {
            Difference::OnlyFirst(at) => (expected.path(at), "is missing"),
            Difference::OnlySecond(at) => (found.path(at), "was not there when the snapshot was taken"),
            Difference::Other(a, b) => {
                (expected.path(a), index::words(&expected.entries[a as usize], &found.entries[b as usize]))
            }
        })
        .collect();
    if damage.is_empty() {
        damage.push((".".to_owned(), "has its files linked otherwise"));
    }
    Ok(damage)
}

/// Held while damage is noted: several volumes may begin with the same snapshot at the same time, and each that finds it damaged
/// says so in the same place.
static NOTING: Mutex<()> = Mutex::new(());

fn note_damage(snapshot: &SnapshotLayout, verification: &Verification) -> Result<()> {
    let _noting = NOTING.lock().unwrap_or_else(PoisonError::into_inner);
    match verification.reason() {
        Some(reason) => disk::write_whole(&snapshot.damage(), reason.as_bytes(), 0o600),
        None => disk::remove_file(&snapshot.damage()),
    }
}

/// Why nothing may be restored from it, if so. Looked at from outside only: [`verify`] looks inside.
pub fn damage(snapshot: &SnapshotLayout, record: &Record) -> Result<Option<String>> {
    if let Some(reason) = disk::read(&snapshot.damage())? {
        return Ok(Some(reason));
    }
    let missing = record.plan.volumes.iter().find(|volume| !snapshot.volume(&volume.volume).is_dir());
    if let Some(volume) = missing {
        return Ok(Some(format!("volume “{}” is missing", volume.name)));
    }
    if !has_manifest(snapshot)
        && let Some(before) = &record.boot
        && *before != boot()?
    {
        let reason = "the machine went down before it was on the disk as a whole";
        return Ok(Some(reason.to_owned()));
    }
    Ok(None)
}

/// What is to be said of a snapshot. `under_way` is what is being done about one without a manifest.
pub fn observed(
    snapshot: &SnapshotLayout,
    record: &Record,
    under_way: Option<SnapshotState>,
) -> Result<ObservedSnapshot> {
    let state = match damage(snapshot, record)? {
        Some(reason) => SnapshotState::Damaged { reason },
        None if has_manifest(snapshot) => SnapshotState::Complete,
        None => under_way.unwrap_or_else(|| SnapshotState::Reading(Progress::new("waiting to be read", 0).told())),
    };
    let content = |volume: &crate::SnapshotVolume| {
        let manifest = manifest(snapshot, &volume.volume)?;
        Ok(SnapshotContent { volume: volume.volume.clone(), name: volume.name.clone(), manifest })
    };
    Ok(ObservedSnapshot {
        snapshot: record.plan.id.clone(),
        call: record.call,
        taken_at: record.taken_at,
        state,
        method: record.method.clone(),
        contents: record.plan.volumes.iter().map(content).collect::<Result<_>>()?,
    })
}

fn boot() -> Result<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").attempting(|| "name this boot".to_owned())?;
    Ok(boot.trim().to_owned())
}

fn write(path: &std::path::Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_vec(value)
        .map_err(std::io::Error::from)
        .attempting(|| format!("describe {}", path.display()))?;
    disk::write_whole(path, &text, 0o600)
}

fn read<T: for<'a> Deserialize<'a>>(path: &std::path::Path) -> Result<Option<T>> {
    let Some(text) = disk::read(path)? else { return Ok(None) };
    let value = serde_json::from_str(&text).map_err(std::io::Error::from);
    value.map(Some).attempting(|| format!("understand {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::layout::Layout;
    use super::*;
    use crate::{EnvironmentId, SnapshotId};

    #[test]
    fn all_who_find_a_snapshot_damaged_at_the_same_time_may_say_so() {
        let place = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(place.path().to_owned());
        let snapshot = layout.snapshot(&EnvironmentId::new("shop"), &SnapshotId::new("noon"));
        std::fs::create_dir_all(snapshot.root()).expect("its directory");
        let damage = Damage { volume: "left".to_owned(), path: "word".to_owned(), what: "has changed".to_owned() };
        let found = Verification { damage: vec![damage], damaged: 1, ..Verification::default() };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..200).for_each(|_| note_damage(&snapshot, &found).expect("noted")));
            }
        });
        let noted = disk::read(&snapshot.damage()).expect("readable");
        assert_eq!(noted.as_deref(), found.reason().as_deref());
    }
}
