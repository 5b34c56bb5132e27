//! Pieces of a snapshot, read one by one.
//!
//! Each is held against its hash, and no piece is unpacked beyond what the index says it is, nor read at all when that is more
//! than any program stores in one: a repository may come from anywhere. What cannot be read is told with the file it is in.

use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;

use rustic_core::repofile::{PackId, Tree};
use rustic_core::{BlobId, DataId, IndexedFull, PackedId, Repository as Engine, TreeId};

use crate::Repository;
use crate::backend::{Backend, Gate, damaged};
use crate::error::{Error, Outcome, REBUILD_INDEX};
use crate::keys::{name_of, unpack};
use crate::storage::Kind;

/// Programs cut files into pieces of some megabytes.
const LARGEST_PIECE: u32 = 128 << 20;
/// What is in one folder is one piece, with the names of all pieces of its files.
const LARGEST_FOLDER: u32 = 1 << 30;

pub(super) struct Reader<'a, S> {
    engine: &'a Engine<S>,
    repository: &'a Repository,
    backend: Backend,
}

impl<'a, S: IndexedFull> Reader<'a, S> {
    pub(super) fn new(engine: &'a Engine<S>, repository: &'a Repository) -> Self {
        Self { engine, repository, backend: repository.backend(&Arc::new(Gate::default()), None) }
    }

    /// A part of the file at this path.
    pub(super) fn data(&self, id: &DataId, path: &Path) -> Outcome<Vec<u8>> {
        self.piece(id, || format!("a part of /{}", path.display()), LARGEST_PIECE)
    }

    /// What is in the folder at this path.
    pub(super) fn folder(&self, id: &TreeId, path: &Path) -> Outcome<Tree> {
        let what = || format!("the list of what is in /{}", path.display());
        let bytes = self.piece(id, what, LARGEST_FOLDER)?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let pack = self.engine.get_index_entry(id).map(|entry| entry.pack).unwrap_or_default();
            self.unreadable(&pack, format!("{} in it is none ({error})", what()))
        })
    }

    fn piece<Id: PackedId>(&self, id: &Id, what: impl Fn() -> String, most: u32) -> Outcome<Vec<u8>> {
        let entry = self.engine.get_index_entry(id).map_err(|_| Error::Damaged {
            location: self.repository.location(),
            file: "index".into(),
            reason: format!("it does not say where {} is: one of its files is missing", what()),
            remedy: REBUILD_INDEX,
        })?;
        let (pack, place) = (entry.pack, entry.location);
        let length = place.uncompressed_length.map_or(place.length, NonZero::get);
        if length.max(place.length) > most {
            let told =
                format!("{} in it is said to take {length} bytes, as nothing does that was written in earnest", what());
            return Err(self.unreadable(&pack, told));
        }
        let sealed = self.backend.stretch(&pack, place.offset, place.length)?;
        let cannot =
            |reason: String| self.unreadable(&pack, format!("{} in it cannot be decrypted ({reason})", what()));
        let mut bytes = self.repository.keys.decrypt(&sealed).map_err(cannot)?;
        if place.uncompressed_length.is_some() {
            bytes = unpack(&bytes, length.into()).map_err(cannot)?;
        }
        let blob: BlobId = (*id).into();
        match name_of(&bytes) == *blob.to_hex() {
            true => Ok(bytes),
            false => Err(self.unreadable(&pack, format!("{} in it is not what was stored", what()))),
        }
    }

    fn unreadable(&self, pack: &PackId, reason: String) -> Error {
        damaged(self.repository.location(), Kind::Pack, &pack.to_hex(), reason)
    }
}
