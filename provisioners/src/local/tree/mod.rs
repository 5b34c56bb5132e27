//! Trees of files, as volumes hold them: copied ([`copy`]), read and put into words ([`read`], [`index`]).
//!
//! Whoever had a shell in a volume wrote it: nothing in it is trusted. See [`walk`] for how that is held to.

mod copy;
pub mod index;
mod read;
mod size;
mod walk;

#[cfg(test)]
mod tests;

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rustix::fs::{Mode, OFlags};

use self::index::Index;
pub use self::read::Reading;
pub use self::walk::Opener;
use super::btrfs;
use super::disk::{self, Owner};
use super::error::{Attempt, LocalError, Result};
use super::moments::moment;
use crate::{DataProgress, Manifest};

/// How far something has come, and the way to stop it.
#[derive(Debug)]
pub struct Progress {
    /// What is being done, and since when.
    doing: Mutex<(&'static str, Instant)>,
    done: AtomicU64,
    total: AtomicU64,
    stop: AtomicBool,
}

impl Default for Progress {
    fn default() -> Self {
        Self::new("", 0)
    }
}

impl Progress {
    pub fn new(doing: &'static str, total: u64) -> Self {
        let doing = Mutex::new((doing, Instant::now()));
        Self { doing, done: AtomicU64::default(), total: AtomicU64::new(total), stop: AtomicBool::default() }
    }

    /// Begins the next part.
    pub fn begin(&self, doing: &'static str, total: u64) {
        *self.doing.lock().unwrap_or_else(PoisonError::into_inner) = (doing, Instant::now());
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Whoever is at it gives up soon.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub fn told(&self) -> DataProgress {
        let (doing, since) = *self.doing.lock().unwrap_or_else(PoisonError::into_inner);
        DataProgress {
            doing: doing.to_owned(),
            passed_ms: u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
            done_bytes: self.done(),
            total_bytes: self.total.load(Ordering::Relaxed),
        }
    }
}

/// What the filesystem of the data directory can do for copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Support {
    /// Whole trees in one step.
    pub subvolumes: bool,
    /// Files share their blocks until they differ.
    pub reflinks: bool,
}

/// How a tree was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    Subvolume,
    Reflink,
    Copy,
}

impl Method {
    pub fn words(self) -> &'static str {
        match self {
            Self::Subvolume => "btrfs subvolume",
            Self::Reflink => "reflink",
            Self::Copy => "copy",
        }
    }
}

/// Finds out, in an empty directory, what its filesystem can do.
pub fn support(directory: &Path) -> Result<Support> {
    let attempt = || format!("try out the filesystem of {}", directory.display());
    let open = open(directory)?;
    let subvolumes = rustix::process::geteuid().is_root() && btrfs::is_here(&open);
    let (one, other) = (directory.join("one"), directory.join("other"));
    disk::write_whole(&one, b"to be shared", 0o600)?;
    let from = std::fs::File::open(&one).attempting(attempt)?;
    let to = std::fs::File::create(&other).attempting(attempt)?;
    let reflinks = rustix::fs::ioctl_ficlone(&to, &from).is_ok();
    disk::remove_file(&one)?;
    disk::remove_file(&other)?;
    Ok(Support { subvolumes, reflinks })
}

/// Makes the empty tree `path`, one that can be copied in one step where that is supported. Repeating it changes nothing.
pub fn create(path: &Path, owner: Owner, support: Support) -> Result<()> {
    if support.subvolumes && !path.exists() {
        let (parent, name) = split(path)?;
        step(|| btrfs::create(parent.as_fd(), &name))
            .attempting(|| format!("make the subvolume {}", path.display()))?;
    }
    disk::make_directory_for(path, owner)
}

/// Copies a tree to a path where nothing is, and says how.
pub fn copy(from: &Path, to: &Path, support: Support, progress: &Progress) -> Result<Method> {
    let attempt = || format!("copy {} to {}", from.display(), to.display());
    let source = open(from)?;
    let (parent, name) = split(to)?;
    let whole = support.subvolumes
        && btrfs::is_subvolume(&source)
        && !btrfs::has_subvolumes(source.as_fd()).attempting(attempt)?;
    if whole {
        step(|| btrfs::snapshot(source.as_fd(), parent.as_fd(), &name)).attempting(attempt)?;
        return Ok(Method::Subvolume);
    }
    create(to, None, support)?;
    let target = open(to)?;
    let reflinked = step(|| copy::copy(source, target, support.reflinks, progress)).attempting(attempt)?;
    Ok(if reflinked { Method::Reflink } else { Method::Copy })
}

/// Copies one name of a directory, with what is in it, into another directory where nothing has that name.
pub fn copy_one(from: OwnedFd, to: OwnedFd, name: &CStr, support: Support, progress: &Progress) -> Result<()> {
    step(|| copy::copy_one(from, to, name, support.reflinks, progress))
        .attempting(|| format!("copy {}", name.to_string_lossy()))
}

/// Reads a tree as a whole.
pub fn read(path: &Path, owner: Owner, progress: &Progress) -> Result<Reading> {
    read::read(open(path)?, owner, progress).attempting(|| format!("read {}", path.display()))
}

/// How much there is to read in a tree, in bytes; a file of several names counts once.
pub fn size(path: &Path, progress: &Progress) -> Result<u64> {
    size::size(open(path)?, &progress.stop).attempting(|| format!("look through {}", path.display()))
}

/// Names the present state of a tree that can be copied in one step; `None` where no such name can be had.
pub fn state(path: &Path) -> Option<String> {
    let open = open(path).ok().filter(|open| btrfs::is_subvolume(open))?;
    btrfs::state(open.as_fd()).ok()
}

/// Waits until everything on the filesystem of this directory would survive a power failure.
pub fn persist_all(directory: &Path) -> Result<()> {
    let open = open(directory)?;
    rustix::fs::syncfs(open).attempting(|| format!("write {} to the disk", directory.display()))
}

impl Reading {
    /// The manifest, and the index it is the digest of.
    pub fn manifest(&self) -> (Manifest, Vec<u8>) {
        let bytes = self.index.to_bytes();
        let manifest = Manifest {
            digest: Index::digest(&bytes),
            files: self.files,
            directories: self.directories,
            links: self.links,
            bytes: self.bytes,
            stored_bytes: self.stored_bytes,
        };
        (manifest, bytes)
    }
}

fn open(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).attempting(|| format!("open {}", path.display()))
}

fn split(path: &Path) -> Result<(OwnedFd, CString)> {
    let no_name = || LocalError::Refused(format!("{} has no name.", path.display()));
    let (parent, name) = path.parent().zip(path.file_name()).ok_or_else(no_name)?;
    Ok((open(parent)?, CString::new(name.as_bytes()).map_err(|_| no_name())?))
}

fn step<T>(change: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    moment()?;
    let changed = change()?;
    moment()?;
    Ok(changed)
}

/// The user attributes of a file or directory, by name. Others are the system's business.
fn attributes(fd: BorrowedFd<'_>) -> io::Result<Vec<(CString, Vec<u8>)>> {
    const MOST: usize = 64 * 1024;
    // Most have none, which is found out without a buffer.
    match rustix::fs::flistxattr_query(fd) {
        Ok(0) | Err(rustix::io::Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    let mut names = vec![0; MOST];
    let length = rustix::fs::flistxattr(fd, &mut names[..])?;
    let mut attributes = Vec::new();
    for name in names[..length].split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        if !name.to_bytes().starts_with(b"user.") {
            continue;
        }
        let mut value = vec![0; MOST];
        let length = rustix::fs::fgetxattr(fd, name, &mut value[..])?;
        value.truncate(length);
        attributes.push((name.to_owned(), value));
    }
    attributes.sort();
    Ok(attributes)
}
