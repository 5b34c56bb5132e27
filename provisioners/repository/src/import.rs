//! From a snapshot in the repository to files on this machine, all of them or none.

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod lies;
mod plan;
mod read;
mod staging;
mod write;

use std::collections::VecDeque;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustic_core::repofile::{Node, SnapshotFile};
use rustic_core::{IndexedFull, NoProgressBars, Repository as Engine};

use self::plan::Plan;
use self::read::Reader;
use self::staging::Staging;
use self::write::Writing;
use crate::backend::{Gate, refuse_giant_snapshot};
use crate::error::{Error, Outcome};
use crate::found::Found;
use crate::lock::Sharing;
use crate::storage::Kind;
use crate::watch::Watcher;
use crate::{Repository, SnapshotId};

/// Whose the imported files are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ownership {
    /// Whose they were, by number. Needs root when that is somebody else.
    #[default]
    Kept,
    /// The importing user's; the set-user-id and set-group-id bits are dropped.
    Importers,
    /// This user's and this group's, by number. Needs root when that is somebody else. The set-user-id bit is dropped, and of
    /// files the set-group-id bit.
    Given { user: u32, group: u32 },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportOptions {
    pub ownership: Ownership,
    /// Refuses, before anything is written, a snapshot whose files are larger together.
    pub at_most_bytes: Option<u64>,
    /// The same for how many there are, folders and all.
    pub at_most_entries: Option<u64>,
    /// Ends before more than this is on the disk: what is zero takes no room, the rest may be the same few bytes many times.
    pub at_most_written: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    pub snapshot: Found,
    /// Everything that is no folder.
    pub files: u64,
    pub bytes: u64,
}

pub(crate) fn import(
    repository: &Repository,
    id: &SnapshotId,
    into: &Path,
    options: ImportOptions,
    watcher: &Watcher,
) -> Outcome<Imported> {
    let failed_at = |path: &Path| {
        let path = path.to_owned();
        move |error: std::io::Error| Error::Target { path: path.clone(), reason: error.to_string() }
    };
    let staging = Staging::begin(into).map_err(failed_at(into))?;
    let _lock = repository.lock(Sharing::Shared)?;
    let engine = repository.engine(&Arc::new(Gate::default()), None, NoProgressBars {}, "open")?;
    let snapshot = repository.snapshot(&engine, id)?;
    let engine = engine.to_indexed().map_err(|error| repository.failure("read", &error))?;
    let reader = Reader::new(&engine, repository);
    let plan = Plan::read(&reader, id, snapshot.tree, options, watcher)?;
    watcher.begin(plan.bytes);

    for (path, _) in &plan.folders {
        write::folder(&staging.top, path).map_err(failed_at(&into.join(path)))?;
    }
    let room = Room { snapshot: id, left: options.at_most_written.map(AtomicU64::new) };
    write_files(&reader, &plan, &staging, into, (options.ownership, &room), watcher)?;
    for (path, node) in &plan.others {
        write::other(&staging.top, path, node, options.ownership).map_err(failed_at(&into.join(path)))?;
    }
    for (path, first) in &plan.hard_links {
        write::hard_link(&staging.top, path, first).map_err(failed_at(&into.join(path)))?;
    }
    // From the bottom up: writing into a folder changes its time, and its own mode may forbid it.
    for (path, node) in plan.folders.iter().rev() {
        write::describe(&staging.top, path, node, options.ownership).map_err(failed_at(&into.join(path)))?;
    }
    staging.finish().map_err(failed_at(into))?;
    let files = plan.files.len() + plan.others.len() + plan.hard_links.len();
    Ok(Imported { snapshot: Found::from_snapshot(&snapshot), files: files as u64, bytes: plan.bytes })
}

/// Several files at a time; the first failure ends all.
fn write_files<S: IndexedFull + Sync>(
    reader: &Reader<'_, S>,
    plan: &Plan,
    staging: &Staging,
    into: &Path,
    (ownership, room): (Ownership, &Room<'_>),
    watcher: &Watcher,
) -> Outcome<()>
where
    Engine<S>: Sync,
{
    let waiting: Mutex<VecDeque<&(PathBuf, Node)>> = Mutex::new(plan.files.iter().collect());
    let failure = Gate::default();
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let work = || {
        while let Some((path, node)) = next() {
            let written = failure.check().and_then(|()| {
                let told = |error: std::io::Error| Error::Target { path: into.join(path), reason: error.to_string() };
                let mut file = Writing::begin(&staging.top, path).map_err(told)?;
                // Of what is the same many times in a row, as holes are, one is read.
                let mut last = None;
                for blob in node.content.iter().flatten() {
                    failure.check()?;
                    if watcher.is_cancelled() {
                        return Err(Error::Cancelled);
                    }
                    let bytes = match last.take() {
                        Some((same, bytes)) if same == *blob => bytes,
                        _ => reader.data(blob, path)?,
                    };
                    let takes = write::room_for(&bytes);
                    if file.would_exceed(bytes.len(), node) {
                        return Err(room.refusal("more in a file than it says"));
                    }
                    room.take(takes)?;
                    file.append(&bytes).map_err(told)?;
                    watcher.advance(bytes.len() as u64);
                    last = Some((*blob, bytes));
                }
                file.finish(node, ownership).map_err(told)
            });
            if let Err(error) = written {
                failure.close(error);
                return;
            }
        }
    };
    // Reading waits for the disk, and for the network most of the time.
    let workers = thread::available_parallelism().map_or(2, NonZero::get).saturating_mul(2).clamp(8, 32);
    thread::scope(|scope| {
        for _ in 0..workers.min(plan.files.len()) {
            scope.spawn(work);
        }
    });
    failure.check()
}

/// What may still be written.
struct Room<'a> {
    snapshot: &'a SnapshotId,
    left: Option<AtomicU64>,
}

impl Room<'_> {
    fn take(&self, bytes: u64) -> Outcome<()> {
        let Some(left) = &self.left else { return Ok(()) };
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes))
            .map(drop)
            .map_err(|_| self.refusal("more than there is room for, or than it says"))
    }

    fn refusal(&self, what: &str) -> Error {
        Error::Refused { snapshot: self.snapshot.0.clone(), what: what.into() }
    }
}

impl Repository {
    pub(crate) fn snapshot<S: rustic_core::Open>(&self, engine: &Engine<S>, id: &SnapshotId) -> Outcome<SnapshotFile> {
        let missing = || Error::NoSuchSnapshot { location: self.location(), id: id.0.clone() };
        let known = self.storage.list(Kind::Snapshot).map_err(self.storage_failure("list the snapshots"))?;
        let (name, size) = known.into_iter().find(|(name, _)| *name == id.0).ok_or_else(missing)?;
        self.described(engine, &name, size)
    }

    /// The snapshot that is called this and takes so many bytes.
    pub(crate) fn described<S: rustic_core::Open>(
        &self,
        engine: &Engine<S>,
        name: &str,
        size: u64,
    ) -> Outcome<SnapshotFile> {
        refuse_giant_snapshot(|| self.location(), name, size)?;
        let missing = || Error::NoSuchSnapshot { location: self.location(), id: name.to_owned() };
        let number = name.parse().map_err(|_| missing())?;
        let mut snapshot: SnapshotFile = engine.get_file(&number).map_err(|error| self.failure("read", &error))?;
        snapshot.id = number;
        Ok(snapshot)
    }
}
