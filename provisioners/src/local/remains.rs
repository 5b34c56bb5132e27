//! What there is on this machine: of an environment nobody may own, and of room.

use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::error::{Attempt, Result};
use super::layout::{EnvironmentLayout, Layout};
use super::{holder as client, servers, volumes};
use crate::{Capacity, EnvironmentId, Remains};

/// Files looked at to add up a size; what has more is larger than it says, and says nothing.
const FILES: usize = 200_000;

pub fn remains(id: &EnvironmentId, layout: &EnvironmentLayout) -> Result<Remains> {
    let changed = fs::metadata(layout.root()).and_then(|found| found.modified());
    let since = changed.ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    Ok(Remains {
        environment: id.clone(),
        network: client::list(layout)?.is_some(),
        servers: servers::records(layout)?.len(),
        volumes: volumes::list(layout)?,
        bytes: size(layout.root()),
        changed_at: since.and_then(|since| i64::try_from(since.as_millis()).ok()),
    })
}

/// Bytes on the disk below a directory; `None` when they are too many to add up, or not all can be read.
fn size(root: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut pending = vec![root.to_owned()];
    let (mut bytes, mut files) = (0u64, 0usize);
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).ok()? {
            let entry = entry.ok()?;
            files += 1;
            if files > FILES {
                return None;
            }
            // Of a link itself, never of what it leads to.
            let Ok(metadata) = entry.metadata() else { continue };
            bytes += metadata.blocks() * 512;
            if metadata.is_dir() {
                pending.push(entry.path());
            }
        }
    }
    Some(bytes)
}

pub fn capacity(layout: &Layout) -> Result<Capacity> {
    let disk = rustix::fs::statvfs(layout.root());
    let disk = disk.attempting(|| format!("ask for the space left at {}", layout.root().display()))?;
    let memory = fs::read_to_string("/proc/meminfo").attempting(|| "read /proc/meminfo".to_owned())?;
    let of_memory = |name: &str| {
        let line = memory.lines().find(|line| line.starts_with(name));
        let kibibytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        kibibytes.unwrap_or(0) * 1024
    };
    Ok(Capacity {
        disk_bytes: disk.f_blocks.saturating_mul(disk.f_frsize),
        disk_free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
        memory_bytes: of_memory("MemTotal:"),
        memory_free_bytes: of_memory("MemAvailable:"),
        processors: std::thread::available_parallelism().map_or(1, |count| count.get() as u32),
    })
}
