//! The portable repository: snapshots leave the machine in restic's format, encrypted and deduplicated.
//!
//! A repository is a folder or a bucket that [restic](https://restic.net) opens with the same password: it lists, restores and
//! checks what Bookend stored, and Bookend imports what restic stored. This crate knows of volumes no more than a name and a
//! folder each, and nothing of databases, pages or the engine; who may export and when is the caller's to decide.
//!
//! Promises:
//! - A snapshot in the repository is whole. Whatever cannot be read or stored ends the export, and leaves no snapshot.
//! - An import is whole, or nothing is there: it is made beside its goal and renamed. Content is held against its hash.
//! - Names (any bytes), kinds, modes, owners (by number), times of change, link targets, hard links inside the snapshot,
//!   extended attributes and sockets come back as they were; runs of zeros come back as holes. Devices are exported and never
//!   imported. The time of the last access and inode numbers are not kept.
//! - Nothing follows a link, neither on the way out nor on the way in.
//! - Nothing in a repository is believed: what says that it is larger than anything that is written in earnest is not unpacked,
//!   and an import writes no more than it was allowed to.
//! - A process may be killed at any moment: the repository stays valid. What it had stored and not entered in the index yet is
//!   stored again by the next export, and freed by the next pruning.
//! - Several processes, restic's too, may use one repository at once: they see one another's locks (`lock.rs`).
//!   `rustic`, the program, takes no locks: do not let it write while this does.
//!
//! **Every call blocks**, for hours if there is much to do: call from a thread that may, as `tokio::task::spawn_blocking` gives.
//! A [`Repository`] may be shared between threads and holds no connection and no lock between calls.
//!
//! Deliberately absent: choosing which snapshots to keep, other stores than folders and S3, and changing passwords (`restic
//! key` does that).

mod backend;
mod error;
mod export;
mod found;
mod import;
mod keys;
mod lock;
mod mode;
mod secret;
mod storage;
mod upkeep;
mod watch;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustic_core::{
    ConfigOptions, Credentials, KeyOptions, OpenStatus, ProgressBars, Repository as Engine, RepositoryBackends,
    RepositoryOptions, RusticError,
};

pub use crate::error::Error;
pub use crate::export::{Exported, Unchanged};
pub use crate::found::{Found, Listed, SnapshotId, SnapshotMeta};
pub use crate::import::{ImportOptions, Imported, Ownership};
pub use crate::secret::Secret;
pub use crate::storage::bucket::Bucket;
pub use crate::upkeep::{Problem, Pruned};
pub use crate::watch::{Progress, Watcher};

use crate::backend::{Backend, Gate};
use crate::error::Outcome;
use crate::keys::Keys;
use crate::lock::{Lock, Sharing};
use crate::storage::folder::Folder;
use crate::storage::{Kind, Storage};

/// Where a repository is, and what opens it.
#[derive(Debug, Clone)]
pub struct Config {
    pub place: Place,
    pub password: Secret,
}

#[derive(Debug, Clone)]
pub enum Place {
    Folder(PathBuf),
    Bucket(Bucket),
}

/// An open repository.
pub struct Repository {
    storage: Arc<dyn Storage>,
    keys: Keys,
    /// From its configuration: the same wherever it is moved to.
    id: String,
    /// Of this process.
    left: lock::Left,
}

impl Repository {
    /// Opens the repository; fails where there is none.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let storage = storage(&config.place)?;
        match repository_at(storage.as_ref())? {
            true => Self::unlocked(storage, &config.password),
            false => Err(Error::NotARepository { location: storage.location(), reason: "the place is empty".into() }),
        }
    }

    /// Opens the repository, or makes one where there is nothing: in an empty folder, in one whose parent is there, or in a
    /// bucket that is there.
    pub fn open_or_create(config: &Config) -> Result<Self, Error> {
        let storage = storage(&config.place)?;
        let there = match repository_at(storage.as_ref()) {
            Err(Error::NotARepository { reason, .. }) if reason == GONE => false,
            other => other?,
        };
        if !there && let Err(failure) = create(&storage, &config.password) {
            // Another process may have made it in the same moment.
            if !repository_at(storage.as_ref()).is_ok_and(|there| there) {
                return Err(failure);
            }
        }
        Self::unlocked(storage, &config.password)
    }

    /// Stores one moment of all `volumes`, each under its name at the snapshot's top.
    pub fn export(
        &self,
        volumes: &[(&str, &Path)],
        meta: &SnapshotMeta,
        unchanged: Unchanged,
        watcher: &Watcher,
    ) -> Result<Exported, Error> {
        export::export(self, volumes, meta, unchanged, watcher)
    }

    /// All snapshots. One that is damaged keeps nobody from the others. Takes no lock.
    pub fn list(&self) -> Result<Listed, Error> {
        upkeep::list(self)
    }

    /// Makes the folder `into` with what is in the snapshot; it must be empty or not there, and its parent must be there.
    pub fn import(
        &self,
        id: &SnapshotId,
        into: &Path,
        options: ImportOptions,
        watcher: &Watcher,
    ) -> Result<Imported, Error> {
        import::import(self, id, into, options, watcher)
    }

    /// Whether everything that the snapshots need is there; with `read_data`, also whether it is intact, which reads it all.
    pub fn check(&self, read_data: bool) -> Result<Vec<Problem>, Error> {
        upkeep::check(self, read_data)
    }

    /// Removes the snapshots, all or (when one is not there) none. What only they needed is freed by [`Repository::prune`].
    pub fn forget(&self, ids: &[SnapshotId]) -> Result<(), Error> {
        upkeep::forget(self, ids)
    }

    /// Frees what no snapshot needs. Needs the repository for itself.
    pub fn prune(&self) -> Result<Pruned, Error> {
        upkeep::prune(self)
    }

    /// What it takes where it is, in bytes: everything compressed, encrypted and stored once.
    pub fn stored_bytes(&self) -> Result<u64, Error> {
        self.still_there()?;
        upkeep::packed_bytes(self)
    }

    /// 64 hexadecimal digits that tell it from every other repository, wherever it is moved to.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// For messages; names no secret.
    pub fn location(&self) -> String {
        self.storage.location()
    }

    fn unlocked(storage: Arc<dyn Storage>, password: &Secret) -> Outcome<Self> {
        let keys = Keys::unlock(storage.as_ref(), password)?;
        let mut repository = Self { storage, keys, id: String::new(), left: lock::Left::default() };
        let engine = repository.engine(&Arc::new(Gate::default()), None, rustic_core::NoProgressBars {}, "open")?;
        repository.id = engine.config().id.to_hex().to_string();
        Ok(repository)
    }

    fn lock(&self, sharing: Sharing) -> Outcome<Lock> {
        self.still_there()?;
        Lock::take(&self.storage, &self.keys, sharing, &self.left)
    }

    /// A folder that is gone is told as that, and not as the first file that is missed.
    fn still_there(&self) -> Outcome<()> {
        match repository_at(self.storage.as_ref())? {
            true => Ok(()),
            false => Err(Error::NotARepository { location: self.location(), reason: "it is empty by now".into() }),
        }
    }

    /// `rustic_core`'s view of this repository, for one operation.
    fn engine(
        &self,
        gate: &Arc<Gate>,
        lock: Option<&Lock>,
        progress: impl ProgressBars,
        attempt: &'static str,
    ) -> Outcome<Engine<OpenStatus>> {
        engine(self.backend(gate, lock), progress)
            .and_then(|engine| engine.open(&Credentials::Masterkey(self.keys.master.clone())))
            .map_err(|error| self.failure(attempt, &error))
    }

    fn backend(&self, gate: &Arc<Gate>, lock: Option<&Lock>) -> Backend {
        Backend {
            storage: self.storage.clone(),
            gate: gate.clone(),
            lock: lock.map(Lock::watch),
            keys: Some(self.keys.clone()),
        }
    }

    fn failure(&self, attempt: &'static str, error: &RusticError) -> Error {
        Error::from_rustic(attempt, &self.location(), error)
    }

    fn storage_failure(&self, attempt: &str) -> impl Fn(io::Error) -> Error + use<> {
        let (location, attempt) = (self.location(), attempt.to_owned());
        move |source| Error::Storage { location: location.clone(), attempt: attempt.clone(), source: Arc::new(source) }
    }
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repository").field("storage", &self.storage).finish_non_exhaustive()
    }
}

const GONE: &str = "the folder is not there";

fn storage(place: &Place) -> Outcome<Arc<dyn Storage>> {
    Ok(match place {
        Place::Folder(folder) => Arc::new(Folder::new(folder.clone())),
        Place::Bucket(bucket) => storage::bucket::connect(bucket)?,
    })
}

/// Whether there is a repository; an empty place has none, and any other place fails.
fn repository_at(storage: &dyn Storage) -> Outcome<bool> {
    let location = storage.location();
    let refused = |reason: &str| Error::NotARepository { location: location.clone(), reason: reason.into() };
    let failed = |source| Error::Storage {
        location: location.clone(),
        attempt: "look for a repository".into(),
        source: Arc::new(source),
    };
    if !storage.list(Kind::Config).map_err(failed)?.is_empty() {
        return Ok(true);
    }
    match storage.is_empty() {
        Ok(true) => Ok(false),
        Ok(false) => Err(refused("there are files in it, and none of them is a repository's configuration")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(refused(GONE)),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(refused("it is a file")),
        Err(error) => Err(failed(error)),
    }
}

fn create(storage: &Arc<dyn Storage>, password: &Secret) -> Outcome<()> {
    let failed = |error: Box<RusticError>| Error::from_rustic("make", &storage.location(), &error);
    let backend = Backend { storage: storage.clone(), gate: Arc::default(), lock: None, keys: None };
    let key = KeyOptions::default().hostname("bookend".to_owned()).username("bookend".to_owned()).with_created(true);
    engine(backend, rustic_core::NoProgressBars {})
        .and_then(|engine| engine.init(&Credentials::password(password.reveal()), &key, &options()))
        .map_err(failed)?;
    Ok(())
}

/// What is exported is read back and compared with its manifest whenever it is imported, so it is not unpacked once more right
/// after it was packed; and the quickest packing saves most of what the thorough one does.
fn options() -> ConfigOptions {
    let mut options = ConfigOptions::default();
    options.set_extra_verify = Some(false);
    options.set_compression = Some(1);
    options
}

fn engine(backend: Backend, progress: impl ProgressBars) -> Result<Engine<()>, Box<RusticError>> {
    let backends = RepositoryBackends::new(Arc::new(backend), None);
    // A cache in somebody's home would hold what the folder holds already.
    let mut options = RepositoryOptions::default();
    options.no_cache = true;
    Engine::new_with_progress(&options, &backends, progress)
}
