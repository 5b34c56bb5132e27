//! One file, folder or link as restic's format describes it.
//!
//! The description says what a thing *is* and not where this copy of it lies: no inode numbers, no device, no time of the last
//! change of its inode, no time of the last access. So two copies of one moment, a clone, or the next day's snapshot of what
//! nobody touched are described alike, byte by byte, and are stored once. Hard links keep their group by a number made from
//! where the group is met first.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustic_core::repofile::{Metadata, Node, NodeType};
use rustix::fs::{AtFlags, FileType, Stat, lgetxattr, llistxattr, readlinkat, statat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::mode;

/// The groups of hard links inside what is exported, by device and inode.
#[derive(Debug, Default)]
pub(super) struct LinkGroups(HashMap<(u64, u64), Group>);

#[derive(Debug)]
struct Group {
    number: u64,
    members: u64,
}

impl LinkGroups {
    /// `path` is where the file will be in the snapshot.
    pub(super) fn count(&mut self, stat: &Stat, path: &Path) {
        if stat.st_nlink > 1 && !FileType::from_raw_mode(stat.st_mode).is_dir() {
            let group = self.0.entry((stat.st_dev, stat.st_ino)).or_insert_with(|| {
                let digest = Sha256::digest(path.as_os_str().as_bytes());
                let number = digest.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte));
                // Zero stands for "not known".
                Group { number: number.max(1), members: 0 }
            });
            group.members += 1;
        }
    }

    /// Number and size of the group, if there is one inside the snapshot: links from elsewhere are elsewhere's.
    fn of(&self, stat: &Stat) -> Option<(u64, u64)> {
        let group = self.0.get(&(stat.st_dev, stat.st_ino))?;
        (group.members > 1).then_some((group.number, group.members))
    }
}

/// Never follows a link.
pub(super) fn stat(folder: &OwnedFd, name: &OsStr) -> io::Result<Stat> {
    Ok(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// What the snapshot says of `name` in `folder`. `shown_as` is another name for it: a volume's folder is called as the volume is.
pub(super) fn describe(
    folder: &OwnedFd,
    name: &OsStr,
    shown_as: &OsStr,
    stat: &Stat,
    links: &LinkGroups,
) -> io::Result<Node> {
    let kind = FileType::from_raw_mode(stat.st_mode);
    let node_type = match kind {
        FileType::Directory => NodeType::Dir,
        FileType::RegularFile => NodeType::File,
        FileType::Symlink => {
            let target = readlinkat(folder, name, Vec::new())?;
            NodeType::from_link(Path::new(OsStr::from_bytes(target.as_bytes())))
        }
        FileType::CharacterDevice => NodeType::Chardev { device: stat.st_rdev },
        FileType::BlockDevice => NodeType::Dev { device: stat.st_rdev },
        FileType::Fifo => NodeType::Fifo,
        FileType::Socket => NodeType::Socket,
        FileType::Unknown => return Err(io::Error::other("it is of a kind that restic's format does not know")),
    };
    let changed = timestamp(stat)?;
    let (inode, members) = links.of(stat).unwrap_or_default();
    let meta = Metadata {
        mode: Some(mode::to_go(stat.st_mode)),
        mtime: Some(changed),
        // As restic does by default: nobody restores the time of the last access, and it would change without a change.
        atime: Some(changed),
        uid: Some(stat.st_uid),
        gid: Some(stat.st_gid),
        inode,
        links: if kind.is_dir() { 0 } else { members.max(1) },
        size: if kind.is_file() { u64::try_from(stat.st_size).map_err(io::Error::other)? } else { 0 },
        ..Metadata::default()
    };
    let mut node = Node::new_node(shown_as, node_type, meta);
    attach_attributes(&mut node, folder, name)?;
    Ok(node)
}

fn timestamp(stat: &Stat) -> io::Result<Timestamp> {
    let nanoseconds = i32::try_from(stat.st_mtime_nsec).map_err(io::Error::other)?;
    Timestamp::new(stat.st_mtime, nanoseconds)
        .ok()
        .filter(|time| (0..=9998).contains(&time.to_zoned(jiff::tz::TimeZone::UTC).year()))
        .ok_or_else(|| io::Error::other("its time of change is outside the years that restic's format can tell"))
}

/// Extended attributes, access control lists and capabilities among them.
fn attach_attributes(node: &mut Node, folder: &OwnedFd, name: &OsStr) -> io::Result<()> {
    // The last part of the path is not followed by these calls, and all before it is a door to the open folder.
    let path = beside(folder, name);
    let mut names = match sized(|buffer| llistxattr(&path, buffer)) {
        Err(Errno::OPNOTSUPP) => return Ok(()),
        names => names?,
    };
    if names.is_empty() {
        return Ok(());
    }
    names.pop();
    for attribute in names.split(|byte| *byte == 0) {
        let attribute = OsStr::from_bytes(attribute);
        let value = match sized(|buffer| lgetxattr(&path, attribute, buffer)) {
            // Removed between the two looks.
            Err(Errno::NODATA) => continue,
            value => value?,
        };
        let name = attribute
            .to_str()
            .ok_or_else(|| io::Error::other("one of its extended attributes has a name that is not text"))?;
        node.meta.extended_attributes.push(attribute_of(name, value)?);
    }
    node.meta.extended_attributes.sort();
    Ok(())
}

/// `rustic_core` has no name for this type, and reads it from restic's own notation.
fn attribute_of<T: serde::de::DeserializeOwned>(name: &str, value: Vec<u8>) -> io::Result<T> {
    use base64::Engine;
    let value = base64::engine::general_purpose::STANDARD.encode(value);
    Ok(serde_json::from_value(serde_json::json!({ "name": name, "value": value }))?)
}

pub(crate) fn beside(folder: &OwnedFd, name: &OsStr) -> PathBuf {
    let mut path = OsString::from(format!("/proc/self/fd/{}/", folder.as_raw_fd())).into_vec();
    path.extend_from_slice(name.as_bytes());
    PathBuf::from(OsString::from_vec(path))
}

/// Calls with a larger buffer until the answer fits.
fn sized(call: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut buffer = vec![0; 1024];
    loop {
        match call(&mut buffer) {
            // The largest that Linux knows is 64 KiB.
            Err(Errno::RANGE) if buffer.len() < 64 * 1024 => buffer.resize(buffer.len() * 8, 0),
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(error) => return Err(error),
        }
    }
}
