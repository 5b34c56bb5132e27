//! Files, folders and links on this machine's disk, as a snapshot describes them.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustic_core::repofile::{Metadata, Node, NodeType};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat, fchmod, fchown,
    fsetxattr, futimens, linkat, lsetxattr, makedev, mkdirat, mknodat, openat, symlinkat, utimensat,
};

use super::Ownership;
use crate::export::beside;
use crate::mode;

/// Runs of zeros at least this long become holes.
const HOLE: usize = 4096;

pub(super) fn folder(top: &OwnedFd, path: &Path) -> io::Result<()> {
    // Its own mode comes at the end: what is below has to be written first.
    Ok(mkdirat(top, path, Mode::RWXU)?)
}

pub(super) fn hard_link(top: &OwnedFd, path: &Path, first: &Path) -> io::Result<()> {
    Ok(linkat(top, first, top, path, AtFlags::empty())?)
}

/// A link, a pipe, a socket, or a mark of an overlay file system.
pub(super) fn other(top: &OwnedFd, path: &Path, node: &Node, ownership: Ownership) -> io::Result<()> {
    let make = |kind| mknodat(top, path, kind, Mode::RUSR | Mode::WUSR, makedev(0, 0));
    match node.node_type {
        NodeType::Symlink { .. } => symlinkat(node.node_type.to_link(), top, path)?,
        NodeType::Fifo => make(FileType::Fifo)?,
        NodeType::Socket => make(FileType::Socket)?,
        NodeType::Chardev { .. } => make(FileType::CharacterDevice)?,
        NodeType::Dir | NodeType::File | NodeType::Dev { .. } => return Err(io::ErrorKind::InvalidInput.into()),
    }
    describe(top, path, node, ownership)
}

/// Owner, attributes, mode, time, in this order: each of them changes or clears some of those before it.
pub(super) fn describe(top: &OwnedFd, path: &Path, node: &Node, ownership: Ownership) -> io::Result<()> {
    if let Some((user, group)) = owners(&node.meta, ownership) {
        chownat(top, path, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    let place = beside(top, path.as_os_str());
    for attribute in &node.meta.extended_attributes {
        let value = attribute.value.as_deref().unwrap_or_default();
        lsetxattr(&place, OsStr::new(&attribute.name), value, XattrFlags::empty())?;
    }
    if let (false, Some(mode)) = (node.is_symlink(), permissions(node, ownership)) {
        chmodat(top, path, mode, AtFlags::empty())?;
    }
    if let Some(times) = times(&node.meta) {
        utimensat(top, path, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

/// A regular file that is being written.
pub(super) struct Writing {
    file: File,
    length: u64,
}

impl Writing {
    pub(super) fn begin(top: &OwnedFd, path: &Path) -> io::Result<Self> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(top, path, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(Self { file: file.into(), length: 0 })
    }

    /// Whether so many more are more than the snapshot says of the file.
    pub(super) fn would_exceed(&self, more: usize, node: &Node) -> bool {
        self.length.saturating_add(more as u64) > node.meta.size
    }

    /// Appends; what is zero stays a hole.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut waiting = 0..0;
        for (start, end) in stretches(bytes) {
            if is_zero(&bytes[start..end]) {
                self.write(bytes, waiting)?;
                waiting = end..end;
            } else {
                waiting.end = end;
            }
        }
        self.write(bytes, waiting)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn write(&self, bytes: &[u8], part: std::ops::Range<usize>) -> io::Result<()> {
        if part.is_empty() {
            Ok(())
        } else {
            self.file.write_all_at(&bytes[part.clone()], self.length + part.start as u64)
        }
    }

    pub(super) fn finish(self, node: &Node, ownership: Ownership) -> io::Result<()> {
        if self.length != node.meta.size {
            let told = format!("the snapshot says {} bytes and has {}", node.meta.size, self.length);
            return Err(io::Error::other(told));
        }
        self.file.set_len(self.length)?;
        if let Some((user, group)) = owners(&node.meta, ownership) {
            fchown(&self.file, Some(user), Some(group))?;
        }
        for attribute in &node.meta.extended_attributes {
            let value = attribute.value.as_deref().unwrap_or_default();
            fsetxattr(&self.file, OsStr::new(&attribute.name), value, XattrFlags::empty())?;
        }
        if let Some(mode) = permissions(node, ownership) {
            fchmod(&self.file, mode)?;
        }
        if let Some(times) = times(&node.meta) {
            futimens(&self.file, &times)?;
        }
        Ok(())
    }
}

/// What of it takes room on the disk.
pub(super) fn room_for(bytes: &[u8]) -> u64 {
    stretches(bytes)
        .filter(|(start, end)| !is_zero(&bytes[*start..*end]))
        .map(|(start, end)| (end - start) as u64)
        .sum()
}

fn stretches(bytes: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    (0..bytes.len()).step_by(HOLE).map(|start| (start, (start + HOLE).min(bytes.len())))
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |any, byte| any | byte) == 0
}

fn owners(meta: &Metadata, ownership: Ownership) -> Option<(Uid, Gid)> {
    match ownership {
        Ownership::Kept => Some((Uid::from_raw(meta.uid?), Gid::from_raw(meta.gid?))),
        Ownership::Importers => None,
        Ownership::Given { user, group } => Some((Uid::from_raw(user), Gid::from_raw(group))),
    }
}

fn permissions(node: &Node, ownership: Ownership) -> Option<Mode> {
    let meta = &node.meta;
    let kept = match ownership {
        Ownership::Kept => 0o7777,
        // What is made in such a folder gets its group, which is harmless.
        Ownership::Given { .. } if node.is_dir() => 0o3777,
        Ownership::Given { .. } => 0o1777,
        // Running as the owner means something else when the owner is another.
        Ownership::Importers => 0o1777,
    };
    // restic leaves the number zero out of its notation.
    meta.mode.or(meta.uid.map(|_| 0)).map(|mode| Mode::from_raw_mode(mode::permissions_from_go(mode) & kept))
}

fn times(meta: &Metadata) -> Option<Timestamps> {
    let time = |time: jiff::Timestamp| {
        // Before 1970 both parts are negative here, and the fraction never is there.
        let nanoseconds = time.as_nanosecond();
        let second = 1_000_000_000;
        Timespec {
            tv_sec: i64::try_from(nanoseconds.div_euclid(second)).unwrap_or_default(),
            tv_nsec: i64::try_from(nanoseconds.rem_euclid(second)).unwrap_or_default(),
        }
    };
    let changed = meta.mtime?;
    Some(Timestamps { last_access: time(meta.atime.unwrap_or(changed)), last_modification: time(changed) })
}
