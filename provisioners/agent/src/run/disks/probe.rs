//! What is on a device.
//!
//! Only what is certainly nothing counts as blank: no signature that `blkid` knows, no partition table, and nothing but zeros in
//! the first and the last MiB. Before a device is formatted a mark is left near its end and taken away afterwards: what an
//! interrupted format left is known by it, for no filesystem with the mark was ever mounted.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::process::Command;

use crate::run::process;

/// Looked at, at either end.
const END: usize = 1024 * 1024;
/// Before the end of the device. mkfs writes zeros over the very end and its tables to the beginning of groups of blocks.
pub(super) const MARK_FROM_END: usize = 512 * 1024;
pub(super) const MARK_LENGTH: usize = 4096;
const SMALLEST: u64 = 4 * END as u64;
/// Of ext2, ext3 and ext4: where the superblock begins, and in it its magic number, the time of the last mount and the number
/// of mounts. <https://docs.kernel.org/filesystems/ext4/super.html>
const SUPERBLOCK: usize = 1024;
const MAGIC: (usize, [u8; 2]) = (SUPERBLOCK + 0x38, [0x53, 0xef]);
const MOUNTED_AT: std::ops::Range<usize> = SUPERBLOCK + 0x2c..SUPERBLOCK + 0x30;
const MOUNTS: std::ops::Range<usize> = SUPERBLOCK + 0x34..SUPERBLOCK + 0x36;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Blank,
    /// A format of this volume that did not come to its end.
    Interrupted,
    /// A filesystem that can be mounted, by its type.
    Filesystem(String),
    /// Anything else, in words.
    Foreign(String),
}

/// What is written to a device before it is formatted.
pub(super) fn mark(volume: &str) -> Vec<u8> {
    let mut mark = format!("Bookend formats this volume: {volume}\n").into_bytes();
    mark.resize(MARK_LENGTH, 0);
    mark
}

/// # Errors
/// In words, when the device cannot be read or `blkid` not be asked.
pub(super) fn content(device: &Path, volume: &str) -> Result<Content, String> {
    let unreadable = |error: io::Error| format!("{} cannot be read: {error}", device.display());
    let mut file = File::open(device).map_err(unreadable)?;
    let size = file.seek(SeekFrom::End(0)).map_err(unreadable)?;
    if size < SMALLEST {
        return Ok(Content::Foreign(format!("a disk of {size} bytes, which is too small")));
    }
    let mut read = |from: SeekFrom| {
        let mut bytes = vec![0; END];
        file.seek(from)?;
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    let first = read(SeekFrom::Start(0)).map_err(unreadable)?;
    let mut last = read(SeekFrom::End(-(END as i64))).map_err(unreadable)?;
    let place = END - MARK_FROM_END..END - MARK_FROM_END + MARK_LENGTH;
    let marked = last[place.clone()] == mark(volume);
    if marked {
        last[place].fill(0);
    }
    let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let new = || zero(&first[MOUNTED_AT]) && zero(&first[MOUNTS]) && first[MAGIC.0..].starts_with(&MAGIC.1);
    Ok(match known(device)? {
        Known::Nothing if marked => Content::Interrupted,
        Known::Nothing if zero(&first) && zero(&last) => Content::Blank,
        Known::Nothing => Content::Foreign("data of an unknown kind".into()),
        Known::Filesystem(kind) if kind == "ext4" && marked && new() => Content::Interrupted,
        Known::Filesystem(kind) if ["ext4", "xfs"].contains(&kind.as_str()) => Content::Filesystem(kind),
        Known::Filesystem(kind) => Content::Foreign(format!("a filesystem of type {kind}")),
        Known::Other(words) => Content::Foreign(words),
    })
}

enum Known {
    Nothing,
    Filesystem(String),
    Other(String),
}

/// As blkid(8) finds it by reading the device itself.
fn known(device: &Path) -> Result<Known, String> {
    let asked = Command::new("blkid").args(["-p", "-o", "export"]).arg(device).env("PATH", process::path()).output();
    let asked = asked.map_err(|error| format!("blkid, which tells what is on a disk, cannot be run: {error}"))?;
    let said = String::from_utf8_lossy(&asked.stdout);
    let value =
        |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned);
    match asked.status.code() {
        Some(2) if said.trim().is_empty() => Ok(Known::Nothing),
        Some(8) => Ok(Known::Other("traces of several things at once".into())),
        Some(0) => Ok(match (value("PTTYPE"), value("TYPE"), value("USAGE").as_deref()) {
            (Some(table), ..) => Known::Other(format!("a partition table ({table})")),
            (None, Some(kind), Some("filesystem")) => Known::Filesystem(kind),
            (None, kind, usage) => {
                let kind = kind.or(usage.map(str::to_owned)).unwrap_or_else(|| "unknown".into());
                Known::Other(format!("something of type {kind}"))
            }
        }),
        _ => Err(format!(
            "blkid cannot tell what is on {}: {}",
            device.display(),
            String::from_utf8_lossy(&asked.stderr)
        )),
    }
}
