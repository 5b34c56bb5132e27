//! A storage as `rustic_core` wants it, with a gate in front.
//!
//! `rustic_core` passes over much that goes wrong: a file that could not be read is left out of a snapshot with a warning, a
//! folder that could not be listed is empty. Here nothing is passed over. Whatever goes wrong closes the gate, and a closed gate
//! lets no snapshot through: there is none that lacks a file. What was stored until then stays, and the next export finds it.
//! Files that are called by the hash of their content are held against it, so that a damaged one is named; and what would take
//! more memory than anything that was written in earnest is not handed on.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustic_core::{BytesList, ErrorKind, FileType, Id, ReadBackend, RusticError, RusticResult, WriteBackend};

use crate::error::{Error, FORGET_SNAPSHOT, Outcome, REBUILD_INDEX, RESTORE_FILE};
use crate::keys::{Keys, name_of};
use crate::lock::LockWatch;
use crate::storage::{Kind, Storage, Stretch};

/// Of snapshots, which programs write in a few kilobytes, and of the index, which they cut into files of some megabytes: what
/// says that it is larger was made to fill somebody's memory.
const LARGEST_SNAPSHOT: u64 = 16 << 20;
const LARGEST_INDEX: u64 = 256 << 20;

/// The first thing that went wrong in one operation.
#[derive(Default)]
pub(crate) struct Gate {
    closed: Mutex<Option<Error>>,
}

impl Gate {
    pub(crate) fn close(&self, reason: Error) {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
    }

    pub(crate) fn check(&self) -> Outcome<()> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }
}

/// One operation's way to the repository.
pub(crate) struct Backend {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) gate: Arc<Gate>,
    /// None while a repository is made: there is nothing yet that could be harmed.
    pub(crate) lock: Option<LockWatch>,
    /// None while a repository is made: there is nothing yet that could be read.
    pub(crate) keys: Option<Keys>,
}

impl Backend {
    /// The failure in our words; it closes the gate, too.
    fn failed(&self, attempt: &str, kind: Kind, name: &str, source: io::Error) -> Error {
        let location = self.storage.location();
        let gone = || match source.kind() {
            io::ErrorKind::NotFound => Some("it is missing"),
            io::ErrorKind::UnexpectedEof => Some("it ends too early"),
            _ => None,
        };
        let error = match gone() {
            Some(reason)
                if !name.is_empty() && self.storage.list(Kind::Config).is_ok_and(|found| !found.is_empty()) =>
            {
                damaged(location, kind, name, reason.into())
            }
            _ => {
                Error::Storage { location, attempt: format!("{attempt} {}", kind.path(name)), source: Arc::new(source) }
            }
        };
        self.gate.close(error.clone());
        error
    }

    /// Exactly this stretch of the data.
    pub(crate) fn stretch(&self, pack: &Id, offset: u32, length: u32) -> Outcome<Bytes> {
        let name = name_in(Kind::Pack, pack);
        let stretch = Stretch { offset: offset.into(), length: length.into() };
        self.storage
            .read(Kind::Pack, &name, Some(stretch))
            .map_err(|error| self.failed("read", Kind::Pack, &name, error))
    }

    /// Before it is read: rustic believes what a file says of itself.
    fn refuse_giants(&self, kind: Kind, name: &str, sealed: &[u8]) -> Outcome<()> {
        let most = match kind {
            Kind::Snapshot => LARGEST_SNAPSHOT,
            Kind::Index => LARGEST_INDEX,
            _ => return Ok(()),
        };
        match self.keys.as_ref().is_some_and(|keys| keys.is_larger(sealed, most)) {
            true => {
                let error = giant(self.storage.location(), kind, name, most);
                self.gate.close(error.clone());
                Err(error)
            }
            false => Ok(()),
        }
    }
}

fn giant(location: String, kind: Kind, name: &str, most: u64) -> Error {
    damaged(
        location,
        kind,
        name,
        format!("it takes more than {most} bytes, as nothing does that was written in earnest"),
    )
}

/// Before anything of it is read; packed it is never larger.
pub(crate) fn refuse_giant_snapshot(location: impl Fn() -> String, name: &str, size: u64) -> Outcome<()> {
    match size > LARGEST_SNAPSHOT {
        true => Err(giant(location(), Kind::Snapshot, name, LARGEST_SNAPSHOT)),
        false => Ok(()),
    }
}

pub(crate) fn damaged(location: String, kind: Kind, name: &str, reason: String) -> Error {
    let remedy = match kind {
        Kind::Index => REBUILD_INDEX,
        Kind::Snapshot => FORGET_SNAPSHOT,
        _ => RESTORE_FILE,
    };
    Error::Damaged { location, file: kind.path(name), reason, remedy }
}

fn told(error: Error) -> Box<RusticError> {
    RusticError::with_source(ErrorKind::Backend, "The repository's files could not be used.", error)
}

fn kind_of(file_type: FileType) -> Kind {
    match file_type {
        FileType::Config => Kind::Config,
        FileType::Index => Kind::Index,
        FileType::Key => Kind::Key,
        FileType::Snapshot => Kind::Snapshot,
        FileType::Pack => Kind::Pack,
    }
}

fn name_in(kind: Kind, id: &Id) -> String {
    if kind == Kind::Config { String::new() } else { id.to_hex().to_string() }
}

impl ReadBackend for Backend {
    fn location(&self) -> String {
        self.storage.location()
    }

    fn list_with_size(&self, file_type: FileType) -> RusticResult<Vec<(Id, u32)>> {
        let kind = kind_of(file_type);
        let found = self.storage.list(kind).map_err(|error| told(self.failed("list", kind, "", error)))?;
        found
            .into_iter()
            .map(|(name, size)| {
                let id = if kind == Kind::Config { Id::default() } else { name.parse()? };
                let size = u32::try_from(size)
                    .map_err(|_| told(damaged(self.storage.location(), kind, &name, "it is far too large".into())))?;
                Ok((id, size))
            })
            .collect()
    }

    fn read_full(&self, file_type: FileType, id: &Id) -> RusticResult<Bytes> {
        let kind = kind_of(file_type);
        let name = name_in(kind, id);
        let bytes =
            self.storage.read(kind, &name, None).map_err(|error| told(self.failed("read", kind, &name, error)))?;
        if kind != Kind::Config && name_of(&bytes) != name {
            let error = damaged(self.storage.location(), kind, &name, "its content is not what its name says".into());
            self.gate.close(error.clone());
            return Err(told(error));
        }
        self.refuse_giants(kind, &name, &bytes).map_err(told)?;
        Ok(bytes)
    }

    fn read_partial(&self, file_type: FileType, id: &Id, _: bool, offset: u32, length: u32) -> RusticResult<Bytes> {
        let kind = kind_of(file_type);
        let name = name_in(kind, id);
        let stretch = Stretch { offset: offset.into(), length: length.into() };
        self.storage.read(kind, &name, Some(stretch)).map_err(|error| told(self.failed("read", kind, &name, error)))
    }

    fn warmup_path(&self, file_type: FileType, id: &Id) -> String {
        let kind = kind_of(file_type);
        kind.path(&name_in(kind, id))
    }
}

impl WriteBackend for Backend {
    fn create(&self) -> RusticResult<()> {
        self.storage.create().map_err(|source| {
            told(Error::Storage {
                location: self.storage.location(),
                attempt: "make the folders".into(),
                source: Arc::new(source),
            })
        })
    }

    fn write_bytes(&self, file_type: FileType, id: &Id, _: bool, content: BytesList) -> RusticResult<()> {
        let kind = kind_of(file_type);
        let name = name_in(kind, id);
        if let Some(lock) = &self.lock {
            lock.check().map_err(|error| {
                self.gate.close(error.clone());
                told(error)
            })?;
        }
        if kind == Kind::Snapshot {
            self.gate.check().map_err(told)?;
        }
        self.storage.write(kind, &name, content.slice()).map_err(|error| told(self.failed("write", kind, &name, error)))
    }

    fn remove(&self, file_type: FileType, id: &Id, _: bool) -> RusticResult<()> {
        let kind = kind_of(file_type);
        let name = name_in(kind, id);
        if let Some(lock) = &self.lock {
            lock.check().map_err(told)?;
        }
        self.storage.remove(kind, &name).map_err(|error| told(self.failed("remove", kind, &name, error)))
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").field("storage", &self.storage).finish_non_exhaustive()
    }
}
