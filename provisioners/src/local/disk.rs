//! Changes to the disk. Nothing else here writes: every change passes [`moment`], can be repeated, and is either not there
//! or there as a whole.

use std::ffi::{CStr, CString, OsStr};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

use super::btrfs;
use super::error::{Attempt, Result};
use super::moments::moment;

/// The user and group that servers run as, when that is not the portal's own.
pub type Owner = Option<(u32, u32)>;

/// Makes a directory and what is missing above it.
pub fn make_directory(path: &Path) -> Result<()> {
    changing(|| fs::create_dir_all(path)).attempting(|| format!("make the directory {}", path.display()))
}

/// Makes a directory that belongs to the servers' user.
pub fn make_directory_for(path: &Path, owner: Owner) -> Result<()> {
    make_directory(path)?;
    give(path, owner)
}

pub fn give(path: &Path, owner: Owner) -> Result<()> {
    let Some((user, group)) = owner else { return Ok(()) };
    changing(|| std::os::unix::fs::lchown(path, Some(user), Some(group)))
        .attempting(|| format!("give {} to the servers' user", path.display()))
}

pub fn set_mode(path: &Path, mode: u32) -> Result<()> {
    changing(|| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .attempting(|| format!("set the mode of {}", path.display()))
}

/// Writes a file whole or not at all: readers see the old content or the new.
pub fn write_whole(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let written = changing(|| {
        let fresh = path.with_extension("new");
        // What a killed portal left of the same file.
        let _ = fs::remove_file(&fresh);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
        file.write_all(content)?;
        moment()?;
        fs::rename(&fresh, path)
    });
    written.attempting(|| format!("write {}", path.display()))
}

pub fn remove_file(path: &Path) -> Result<()> {
    let removed = changing(|| match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    });
    removed.attempting(|| format!("remove {}", path.display()))
}

/// Removes a directory if nothing is in it. Whether it is gone.
pub fn remove_if_empty(path: &Path) -> Result<bool> {
    let removed = changing(|| match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
        other => other.map(|()| true),
    });
    removed.attempting(|| format!("remove {}", path.display()))
}

/// Removes a control group. Its last process may be gone for everyone but the kernel's bookkeeping.
pub fn remove_group(path: &Path) -> Result<()> {
    let mut removed = Ok(());
    for _ in 0..200 {
        removed = changing(|| fs::remove_dir(path));
        match &removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
            _ => break,
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    removed.attempting(|| format!("remove the control group {}", path.display()))
}

/// Waits until a directory's entries would survive a power failure.
pub fn persist(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .attempting(|| format!("write {} to the disk", directory.display()))
}

/// The names in a directory; none when there is no directory.
pub fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.attempting(|| format!("read {}", directory.display()))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.attempting(|| format!("read {}", directory.display()))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// What is in a file; nothing when there is no file.
pub fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some).attempting(|| format!("read {}", path.display())),
    }
}

pub fn rename(from: &Path, to: &Path) -> Result<()> {
    changing(|| fs::rename(from, to)).attempting(|| format!("move {} to {}", from.display(), to.display()))
}

/// A name nothing ever had, from the kernel.
pub fn unique_name() -> Result<String> {
    let name = fs::read_to_string("/proc/sys/kernel/random/uuid").attempting(|| "make up a name".to_owned())?;
    Ok(name.trim().to_owned())
}

fn changing<T>(change: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    moment()?;
    let changed = change()?;
    moment()?;
    Ok(changed)
}

/// Something that is being deleted, and where its directories are moved to.
#[derive(Clone)]
struct Doomed {
    path: PathBuf,
    up: PathBuf,
}

/// Removes a subvolume with all that is in it, if that is what this is and it may be done.
fn destroyed(path: &Path, directory: &OwnedFd) -> bool {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return false };
    let Ok(name) = CString::new(name.as_bytes()) else { return false };
    btrfs::is_subvolume(directory)
        && rustix::fs::open(parent, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .is_ok_and(|parent| btrfs::destroy(parent.as_fd(), &name).is_ok())
}

/// Where things go to be deleted: out of the way in one step, gone a little later, whatever is in them.
pub struct Trash {
    directory: PathBuf,
    next: AtomicU64,
}

impl Trash {
    pub fn open(directory: PathBuf) -> Result<Self> {
        make_directory(&directory)?;
        Ok(Self { directory, next: AtomicU64::new(0) })
    }

    /// Deletes what was left by a portal that was killed while deleting.
    pub fn sweep(&self) -> Result<()> {
        for name in names(&self.directory)? {
            self.delete(&self.directory.join(name))?;
        }
        Ok(())
    }

    /// Removes a directory and everything in it. Its name is free as soon as this moved it; nothing to do when it is gone.
    pub fn take(&self, path: &Path) -> Result<()> {
        let target = self.fresh_name(&self.directory);
        match changing(|| fs::rename(path, &target)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).attempting(|| format!("remove {}", path.display())),
            Ok(()) => self.delete(&target),
        }
    }

    fn fresh_name(&self, directory: &Path) -> PathBuf {
        loop {
            let name = format!("{}-{}", std::process::id(), self.next.fetch_add(1, Ordering::Relaxed));
            let path = directory.join(name);
            if fs::symlink_metadata(&path).is_err() {
                return path;
            }
        }
    }

    /// Deletes a tree that was written by whoever had a shell in it. Directories are emptied one level at a time and their
    /// subdirectories moved up into the trash first: a chain of a million directories costs time, not stack, descriptors
    /// or path length. Symbolic links are never followed. A subvolume goes as a whole where that is allowed; where it is not,
    /// directories cannot leave it and are moved up to its root.
    fn delete(&self, path: &Path) -> Result<()> {
        let mut pending = vec![Doomed { path: path.to_owned(), up: self.directory.clone() }];
        while let Some(doomed) = pending.pop() {
            let emptied = changing(|| self.empty(&doomed, &mut pending));
            emptied.attempting(|| format!("delete {}", doomed.path.display()))?;
        }
        Ok(())
    }

    fn empty(&self, doomed: &Doomed, pending: &mut Vec<Doomed>) -> io::Result<()> {
        let path = &doomed.path;
        let metadata = fs::symlink_metadata(path)?;
        if !metadata.is_dir() {
            return fs::remove_file(path);
        }
        if metadata.mode() & 0o700 != 0o700 {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        }
        let directory: OwnedFd =
            rustix::fs::open(path, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        if destroyed(path, &directory) {
            return Ok(());
        }
        let mut staying = Vec::new();
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let is_directory = match entry.file_type() {
                FileType::Unknown => {
                    let status = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    FileType::from_raw_mode(status.st_mode) == FileType::Directory
                }
                known => known == FileType::Directory,
            };
            if is_directory {
                match self.move_up(&directory, name, &doomed.up, pending) {
                    Err(rustix::io::Errno::XDEV) => staying.push(path.join(OsStr::from_bytes(name.to_bytes()))),
                    other => other?,
                }
            } else {
                rustix::fs::unlinkat(&directory, name, AtFlags::empty())?;
            }
        }
        if staying.is_empty() {
            return fs::remove_dir(path);
        }
        pending.push(doomed.clone());
        pending.extend(staying.into_iter().map(|inside| Doomed { path: inside, up: path.clone() }));
        Ok(())
    }

    fn move_up(
        &self,
        directory: &OwnedFd,
        name: &CStr,
        up: &Path,
        pending: &mut Vec<Doomed>,
    ) -> rustix::io::Result<()> {
        if rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR).is_ok() {
            return Ok(());
        }
        let target = self.fresh_name(up);
        // Moving a directory rewrites its `..`, which takes permission to write it.
        let _ = rustix::fs::chmodat(directory, name, Mode::RWXU, AtFlags::empty());
        rustix::fs::renameat(directory, name, rustix::fs::CWD, &target)?;
        pending.push(Doomed { path: target, up: up.to_owned() });
        Ok(())
    }
}
