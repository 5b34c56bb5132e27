//! Where the files of a repository lie: a folder or a bucket, seen alike.
//!
//! A storage knows names and bytes and nothing of what is in them. Promises every storage keeps: a name appears with its whole
//! content or not at all, a `write` that returned survives a power failure, and `list` sees every `write` that returned before.

pub(crate) mod bucket;
pub(crate) mod folder;
mod signature;

use std::fmt;
use std::io;

use bytes::Bytes;

/// The kinds of files in a repository, as restic's design lays them out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Config,
    Key,
    Lock,
    Index,
    Snapshot,
    Pack,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [Self::Config, Self::Key, Self::Lock, Self::Index, Self::Snapshot, Self::Pack];

    fn folder(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Key => "keys",
            Self::Lock => "locks",
            Self::Index => "index",
            Self::Snapshot => "snapshots",
            Self::Pack => "data",
        }
    }

    /// Where a file of this kind lies, from the repository's top; the words for it in messages, too.
    pub(crate) fn path(self, name: &str) -> String {
        match self {
            Self::Config => "config".into(),
            Self::Pack => format!("data/{}/{name}", name.get(..2).unwrap_or(name)),
            _ => format!("{}/{name}", self.folder()),
        }
    }
}

/// A stretch of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

pub(crate) trait Storage: fmt::Debug + Send + Sync + 'static {
    /// For messages; names no secret.
    fn location(&self) -> String;

    /// Makes the place itself, empty, where there is none.
    fn create(&self) -> io::Result<()>;

    /// Whether nothing at all lies there; fails when the place itself is not there.
    fn is_empty(&self) -> io::Result<bool>;

    /// Names and sizes in bytes; of [`Kind::Config`] the one file, under the empty name, or none. Fails when the place is gone.
    fn list(&self, kind: Kind) -> io::Result<Vec<(String, u64)>>;

    /// The whole file, or exactly the stretch; `UnexpectedEof` when the file ends before it does.
    fn read(&self, kind: Kind, name: &str, stretch: Option<Stretch>) -> io::Result<Bytes>;

    fn write(&self, kind: Kind, name: &str, parts: &[Bytes]) -> io::Result<()>;

    /// Removing what is not there is no failure.
    fn remove(&self, kind: Kind, name: &str) -> io::Result<()>;
}

/// Files of a repository are called by the SHA-256 of their content in hexadecimal digits; everything else is somebody
/// else's, or unfinished.
pub(crate) fn is_a_name(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
