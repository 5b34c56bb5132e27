//! What volumes and snapshots hold: trees, names in them, and what differs between two.

use serde::{Deserialize, Serialize};

use super::{EnvironmentId, SnapshotId, VolumeId};
/// Something to look into: a volume as it is now, or as a snapshot has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tree {
    pub environment: EnvironmentId,
    #[serde(default)]
    pub snapshot: Option<SnapshotId>,
    pub volume: VolumeId,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Bytes; not always UTF-8.
    pub name: Vec<u8>,
    pub kind: FileKind,
    pub size: u64,
    /// Unix milliseconds.
    pub modified_at: i64,
    pub mode: u32,
}

/// How a file is put into a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileWrite {
    /// Instead of what is there; otherwise that there is something is an error.
    pub replace: bool,
    pub executable: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FileKind {
    File,
    Directory,
    /// Where it leads, for people; nothing here follows it.
    Link {
        target: String,
    },
    /// A pipe, a socket, a device.
    Other,
}

/// What differs from one tree to another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    pub added: u64,
    pub changed: u64,
    pub removed: u64,
    /// The first of them. What is in a directory that was added or removed is not told one by one.
    pub changes: Vec<Change>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub kind: ChangeKind,
    /// What is not UTF-8 in it replaced; of a very long one the end.
    pub path: String,
    /// Of the file as it is in the second tree, or was in the first when it was removed.
    pub size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    Added,
    Changed,
    Removed,
}
