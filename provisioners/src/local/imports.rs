//! Snapshots that come from elsewhere: put beside those taken here, read, compared with what they should be, and only then
//! there.
//!
//! Until its `snapshot.json` is written there is no snapshot, only what the next start of the portal removes; so an import may
//! be interrupted at any moment.

use super::disk::{self, Trash};
use super::error::{Attempt, LocalError, Result};
use super::layout::SnapshotLayout;
use super::snapshots;
use super::tools::Tools;
use super::tree::Progress;
use crate::{ImportPlace, ImportedSnapshot, SnapshotPlan};

const ARRIVING: &str = "arriving";

/// Makes room for it.
pub fn begin(snapshot: &SnapshotLayout, tools: &Tools, trash: &Trash) -> Result<ImportPlace> {
    if snapshots::record(snapshot)?.is_some() {
        return Err(LocalError::Refused("The snapshot is there already.".to_owned()));
    }
    trash.take(snapshot.root())?;
    disk::make_directory(snapshot.root())?;
    let own = || (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Ok(ImportPlace { folder: snapshot.root().join(ARRIVING), owner: tools.owner.unwrap_or_else(own), free_bytes: 0 })
}

/// Makes what has arrived a snapshot, if it is what it should be; otherwise nothing is left of it.
pub fn finish(snapshot: &SnapshotLayout, imported: &ImportedSnapshot, tools: &Tools, trash: &Trash) -> Result<()> {
    if snapshots::record(snapshot)?.is_some() {
        return Ok(());
    }
    let finished = check_and_enter(snapshot, imported, tools, trash);
    if finished.is_err() {
        // If that does not work either, whoever opens the provisioner next does it.
        let _ = give_up(snapshot, trash);
    }
    finished
}

/// Leaves nothing of what has arrived.
pub fn give_up(snapshot: &SnapshotLayout, trash: &Trash) -> Result<()> {
    if snapshots::record(snapshot)?.is_some() {
        return Ok(());
    }
    trash.take(snapshot.root())?;
    disk::remove_if_empty(snapshot.parent())?;
    Ok(())
}

fn check_and_enter(snapshot: &SnapshotLayout, imported: &ImportedSnapshot, tools: &Tools, trash: &Trash) -> Result<()> {
    disk::make_directory(&snapshot.volumes())?;
    for (volume, _) in &imported.volumes {
        let (from, to) = (snapshot.root().join(ARRIVING).join(&volume.name), snapshot.volume(&volume.volume));
        let missing = || LocalError::Refused(format!("Volume “{}” is not in it.", volume.name));
        // Not followed, should it be a link.
        let found = std::fs::symlink_metadata(&from).map_err(|_| missing())?;
        if !found.is_dir() {
            return Err(missing());
        }
        std::fs::rename(&from, &to).attempting(|| format!("take in volume “{}”", volume.name))?;
    }
    // Nothing but those volumes.
    trash.take(&snapshot.root().join(ARRIVING))?;
    let volumes = imported.volumes.iter().map(|(volume, _)| volume.clone()).collect();
    let plan = SnapshotPlan { id: imported.id.clone(), volumes };
    let progress = Progress::new("being compared with its manifest", 0);
    let found = snapshots::read_imported(snapshot, plan.clone(), imported.taken_at, tools.owner, &progress)?;
    if found.len() != imported.volumes.len() {
        return Err(LocalError::Later("What arrived could not be read as a whole.".to_owned()));
    }
    for (found, (volume, expected)) in found.iter().zip(&imported.volumes) {
        if found.digest != expected.digest {
            return Err(LocalError::Refused(format!(
                "What arrived of volume “{}” is not what was kept of it: {} files of {} bytes together, and it should be {} of \
                 {}, with the digest {}.",
                volume.name, found.files, found.bytes, expected.files, expected.bytes, expected.digest
            )));
        }
    }
    snapshots::enter(snapshot, plan, imported.taken_at)
}
