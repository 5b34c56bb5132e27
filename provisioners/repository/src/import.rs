//! From a snapshot in the repository to files on this machine, all of them or none.

#[cfg(test)]
mod hostile;
mod plan;
mod staging;
mod write;

use std::collections::VecDeque;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bytes::Bytes;
use rustic_core::repofile::{BlobType, Node, PackId, SnapshotFile};
use rustic_core::{BlobId, IndexedFull, NoProgressBars, PackedId, Repository as Engine, RusticError};

use self::plan::Plan;
use self::staging::Staging;
use self::write::Writing;
use crate::backend::{Gate, damaged};
use crate::error::{Error, Outcome, REBUILD_INDEX, brief};
use crate::found::Found;
use crate::keys::name_of;
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
    let reader = Reader { engine: &engine, repository };
    let plan = Plan::read(&reader, id, snapshot.tree, options, watcher)?;
    watcher.begin(plan.bytes);

    for (path, _) in &plan.folders {
        write::folder(&staging.top, path).map_err(failed_at(&into.join(path)))?;
    }
    write_files(&reader, &plan, &staging, into, options.ownership, watcher)?;
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
    ownership: Ownership,
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
                for blob in node.content.iter().flatten() {
                    if watcher.is_cancelled() {
                        return Err(Error::Cancelled);
                    }
                    let bytes = reader.data(blob, path)?;
                    file.append(&bytes).map_err(told)?;
                    watcher.advance(bytes.len() as u64);
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

/// Reads pieces of a snapshot and says which file of the repository is damaged when one cannot be read.
struct Reader<'a, S> {
    engine: &'a Engine<S>,
    repository: &'a Repository,
}

impl<S: IndexedFull> Reader<'_, S> {
    fn data<Id: PackedId + std::fmt::Display>(&self, id: &Id, path: &Path) -> Outcome<Bytes> {
        let what = || format!("a part of /{}", path.display());
        let pack = self.pack_of(id, what)?;
        let blob: BlobId = (*id).into();
        let bytes = self
            .engine
            .get_blob_cached(&blob, BlobType::Data)
            .map_err(|error| self.unreadable(&pack, what(), &error))?;
        if name_of(&bytes) != *blob.to_hex() {
            let reason = format!("{} in it is not what was stored", what());
            return Err(damaged(self.repository.location(), Kind::Pack, &pack.to_hex(), reason));
        }
        Ok(bytes)
    }

    fn pack_of<Id: PackedId>(&self, id: &Id, what: impl Fn() -> String) -> Outcome<PackId> {
        self.engine.get_index_entry(id).map(|entry| entry.pack).map_err(|_| Error::Damaged {
            location: self.repository.location(),
            file: "index".into(),
            reason: format!("it does not say where {} is: one of its files is missing", what()),
            remedy: REBUILD_INDEX,
        })
    }

    fn unreadable(&self, pack: &PackId, what: String, error: &RusticError) -> Error {
        match self.repository.failure("read", error) {
            ours @ (Error::Damaged { .. } | Error::Storage { .. }) => ours,
            _ => {
                let reason = format!("{what} in it cannot be decrypted ({})", brief(error));
                damaged(self.repository.location(), Kind::Pack, &pack.to_hex(), reason)
            }
        }
    }
}

impl Repository {
    pub(crate) fn snapshot<S: rustic_core::Open>(&self, engine: &Engine<S>, id: &SnapshotId) -> Outcome<SnapshotFile> {
        let missing = || Error::NoSuchSnapshot { location: self.location(), id: id.0.clone() };
        let known = self.storage.list(Kind::Snapshot).map_err(self.storage_failure("list the snapshots"))?;
        if !known.iter().any(|(name, _)| *name == id.0) {
            return Err(missing());
        }
        let number = id.0.parse().map_err(|_| missing())?;
        let mut snapshot: SnapshotFile = engine.get_file(&number).map_err(|error| self.failure("read", &error))?;
        snapshot.id = number;
        Ok(snapshot)
    }
}
