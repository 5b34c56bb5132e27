//! Volumes that are disks of their own: found by their id, formatted if nobody ever wrote to them, mounted, grown.
//!
//! Guaranteed: a disk is formatted only when it is blank ([`probe`]); whatever else is on one is left as it is, and said. All of it
//! may be interrupted at any point and is taken up by the next start. Deliberately absent: repairs, partitions, encryption
//! (the cloud's own), and disks that were not asked for.

mod find;
mod format;
mod mounts;
mod probe;
pub(super) mod still;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Server;
use super::apply::Interrupted;
use crate::api::Failure;
use crate::link::Disk;
use find::Found;

/// For a disk to be attached, once its server runs.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(250);

/// The disks of one server.
pub(super) struct Disks {
    disks: Vec<Disk>,
    /// Where `dev`, `sys` and `proc` are: `/`, but for tests.
    root: PathBuf,
    patience: Duration,
    /// Where filesystems of disks are mounted. Held while one is being brought there.
    mounted: Arc<Mutex<Vec<PathBuf>>>,
}

impl Disks {
    /// Those that an agent before this one has left standing still go on.
    pub(super) fn new(disks: Vec<Disk>) -> Self {
        disks.iter().filter(|disk| check(disk).is_ok()).for_each(|disk| still::let_go_of(Path::new(&disk.path)));
        Self { disks, root: "/".into(), patience: PATIENCE, mounted: Arc::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.disks.is_empty()
    }

    /// Returns when all are mounted.
    pub(super) async fn attach(&self, server: &Server, cancel: &CancellationToken) -> Result<(), Interrupted> {
        for disk in &self.disks {
            let failed = |cause: String| {
                Interrupted::Failed(Failure {
                    step: format!("volume {} at {}", disk.volume, disk.path),
                    cause,
                    lines: Vec::new(),
                    remedy: "Nothing on the volume was changed. Have an operator look at it, or restore a snapshot."
                        .into(),
                })
            };
            let found = cancel.run_until_cancelled(self.find(server, disk)).await.ok_or(Interrupted::Cancelled)?;
            let found = found.map_err(failed)?;
            server.frost.thawed().await;
            // To its end, even when nobody wants it any more: no disk is left half formatted for a wish that changes.
            let (mounted, disk, root) = (self.mounted.clone(), disk.clone(), self.root.clone());
            let brought = tokio::task::spawn_blocking(move || {
                let mut mounted = mounted.lock().unwrap_or_else(PoisonError::into_inner);
                let brought = mounts::bring(&root, &found, &disk)?;
                let path = PathBuf::from(&disk.path);
                if matches!(found, Found::Device(_)) && !mounted.contains(&path) {
                    mounted.push(path);
                }
                Ok(brought)
            });
            for words in brought.await.map_err(|error| failed(error.to_string()))?.map_err(failed)? {
                server.logs.say(&words);
            }
        }
        Ok(())
    }

    async fn find(&self, server: &Server, disk: &Disk) -> Result<Found, String> {
        check(disk)?;
        let since = Instant::now();
        let mut told = false;
        loop {
            if let Some(found) = find::find(&self.root, &disk.volume) {
                return Ok(found);
            }
            if since.elapsed() >= self.patience {
                let seconds = self.patience.as_secs();
                return Err(format!("no disk of this id was attached to the server within {seconds} s"));
            }
            if !told {
                told = true;
                server.logs.say(&format!("waits for volume {}, which belongs at {}", disk.volume, disk.path));
            }
            sleep(LOOK).await;
        }
    }

    /// Where filesystems of disks are mounted.
    pub(super) fn filesystems(&self) -> Vec<PathBuf> {
        self.mounted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Brings what was written so far to the disks. Whether that succeeds shows when it matters.
    pub(super) async fn write_out(&self) {
        let places = self.filesystems();
        if places.is_empty() {
            return;
        }
        let written = tokio::task::spawn_blocking(move || {
            for folder in places.iter().filter_map(|place| std::fs::File::open(place).ok()) {
                rustix::fs::syncfs(folder).ok();
            }
        });
        written.await.ok();
    }

    /// Takes the filesystems off, so that the disks can be detached. One that is still in use is at least written out.
    pub(super) async fn release(&self, server: &Server) {
        let mounted = self.mounted.clone();
        let released = tokio::task::spawn_blocking(move || {
            let mut mounted = mounted.lock().unwrap_or_else(PoisonError::into_inner);
            let trouble = |path: &PathBuf| {
                mounts::release(path).err().map(|error| format!("{} stays mounted: {error}", path.display()))
            };
            let troubles: Vec<String> = mounted.iter().rev().filter_map(trouble).collect();
            mounted.clear();
            troubles
        });
        for trouble in released.await.into_iter().flatten() {
            server.logs.say(&trouble);
        }
    }
}

/// What would lead out of its place.
fn check(disk: &Disk) -> Result<(), String> {
    let is_id = (1..=64).contains(&disk.volume.len())
        && disk.volume.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !is_id {
        return Err(format!("{:?} is no volume's id", disk.volume));
    }
    let mut parts = Path::new(&disk.path).components();
    let absolute = parts.next() == Some(std::path::Component::RootDir);
    let rest: Vec<_> = parts.collect();
    let plain = rest.iter().all(|part| matches!(part, std::path::Component::Normal(_)));
    match absolute && plain && !rest.is_empty() {
        true => Ok(()),
        false => Err(format!("{:?} is no place to mount a volume", disk.path)),
    }
}
