//! Volumes that begin with what a snapshot held: copied, compared with the manifest, and only then there.
//!
//! On btrfs the filesystem says whether anything in the snapshot was changed since its manifest was made; if nothing was, a copy
//! of the whole need not be read, and is there at once whatever its size.
//!
//! `restoring.json` says what is wanted from before the first byte until the volume is there, so a restore that was
//! interrupted is begun anew by whoever opens the provisioner next. `failed` says why there will never be a volume.

use super::disk::{self, Trash};
use super::error::{Attempt, LocalError, Result};
use super::layout::{EnvironmentLayout, SnapshotLayout};
use super::tools::Tools;
use super::tree::{self, Method, Progress};
use super::{snapshots, volumes};
use crate::{VolumeId, VolumePlan, VolumeSource};

const WANTED: &str = "restoring.json";
const FAILED: &str = "failed";

/// Notes that the volume is wanted, unless its snapshot cannot be restored.
pub fn accept(
    environment: &EnvironmentLayout,
    plan: &VolumePlan,
    from: &SnapshotLayout,
    source: &VolumeSource,
) -> Result<()> {
    check(plan, from, source)?;
    volumes::begin(environment, plan)?;
    let wanted =
        serde_json::to_vec(plan).map_err(std::io::Error::from).attempting(|| "describe a volume".to_owned())?;
    disk::write_whole(&environment.volume(&plan.id).join(WANTED), &wanted, 0o600)
}

fn check(plan: &VolumePlan, from: &SnapshotLayout, source: &VolumeSource) -> Result<()> {
    let refused = |why: &str| {
        Err(LocalError::Refused(format!("Volume “{}” cannot be restored: {why}. Choose another snapshot.", plan.name)))
    };
    let Some(record) = snapshots::record(from)? else { return refused("the snapshot is not there any more") };
    if let Some(damage) = snapshots::damage(from, &record)? {
        return refused(&format!("the snapshot is damaged ({damage})"));
    }
    if !record.plan.volumes.iter().any(|volume| volume.volume == source.volume) {
        return refused("the snapshot does not have it");
    }
    if !snapshots::has_manifest(from) {
        return Err(LocalError::Later("The snapshot is still being read for its manifest.".to_owned()));
    }
    Ok(())
}

/// Makes an accepted volume. When it returns without an error the volume is there.
pub fn restore(
    environment: &EnvironmentLayout,
    plan: &VolumePlan,
    from: &SnapshotLayout,
    source: &VolumeSource,
    tools: &Tools,
    trash: &Trash,
    progress: &Progress,
) -> Result<()> {
    check(plan, from, source)?;
    let data = volumes::data(environment, &plan.id);
    // What an interrupted one left.
    trash.take(&data)?;
    let restored = copy_and_compare(environment, plan, from, source, tools, progress);
    if restored.is_err() && !volumes::exists(environment, &plan.id) {
        let _ = trash.take(&data);
    }
    restored
}

fn copy_and_compare(
    environment: &EnvironmentLayout,
    plan: &VolumePlan,
    from: &SnapshotLayout,
    source: &VolumeSource,
    tools: &Tools,
    progress: &Progress,
) -> Result<()> {
    let no_manifest = || LocalError::Later("The snapshot is still being read for its manifest.".to_owned());
    let manifest = snapshots::manifest(from, &source.volume)?.ok_or_else(no_manifest)?;
    let data = volumes::data(environment, &plan.id);
    progress.begin("being copied", manifest.bytes);
    let method = tree::copy(&from.volume(&source.volume), &data, tools.support, progress)?;
    // Asked after the copy: what was not changed until then was copied unchanged.
    if method == Method::Subvolume && snapshots::is_untouched(from, &source.volume)? {
        volumes::finish(environment, plan)?;
        return forget(environment, &plan.id);
    }
    progress.begin("being compared with the manifest", manifest.bytes);
    let reading = tree::read(&data, tools.owner, progress)?;
    let damage = snapshots::compare(from, &source.volume, &manifest, &reading)?;
    if !damage.is_empty() {
        // Whether what is kept is at fault, or the copy of it.
        progress.begin("being compared with the snapshot", manifest.bytes);
        let verification = snapshots::verify(from, tools.owner, progress)?;
        if verification.damaged == 0 {
            return Err(LocalError::Later("The copy is not what the snapshot holds.".to_owned()));
        }
        let named: Vec<String> = damage.iter().take(3).map(|(path, what)| format!("“{path}” {what}")).collect();
        let more = match damage.len().saturating_sub(3) {
            0 => String::new(),
            count => format!(", and {count} more"),
        };
        return Err(LocalError::Refused(format!(
            "Volume “{}” cannot be restored: the snapshot is damaged ({}{more}). Choose another snapshot.",
            plan.name,
            named.join(", ")
        )));
    }
    if method != Method::Subvolume {
        progress.begin("being written to the disk", 0);
        tree::persist_all(&data)?;
    }
    volumes::finish(environment, plan)?;
    forget(environment, &plan.id)
}

/// The volumes that are wanted and not there.
pub fn wanted(environment: &EnvironmentLayout) -> Result<Vec<VolumePlan>> {
    let mut wanted = Vec::new();
    for name in disk::names(&environment.volumes())? {
        let id = VolumeId::new(name);
        let path = environment.volume(&id).join(WANTED);
        let Some(text) = disk::read(&path)? else { continue };
        if volumes::exists(environment, &id) {
            disk::remove_file(&path)?;
            continue;
        }
        let plan = serde_json::from_str(&text).map_err(std::io::Error::from);
        wanted.push(plan.attempting(|| format!("understand {}", path.display()))?);
    }
    Ok(wanted)
}

/// Notes that there will never be a volume, and why.
pub fn fail(environment: &EnvironmentLayout, id: &VolumeId, reason: &str) -> Result<()> {
    disk::write_whole(&environment.volume(id).join(FAILED), reason.as_bytes(), 0o600)?;
    forget(environment, id)
}

pub fn failure(environment: &EnvironmentLayout, id: &VolumeId) -> Result<Option<String>> {
    disk::read(&environment.volume(id).join(FAILED))
}

fn forget(environment: &EnvironmentLayout, id: &VolumeId) -> Result<()> {
    disk::remove_file(&environment.volume(id).join(WANTED))
}

/// All that failed, with why.
pub fn failures(environment: &EnvironmentLayout) -> Result<Vec<(VolumeId, String)>> {
    let mut failures = Vec::new();
    for name in disk::names(&environment.volumes())? {
        let id = VolumeId::new(name);
        if let Some(reason) = failure(environment, &id)? {
            failures.push((id, reason));
        }
    }
    Ok(failures)
}
