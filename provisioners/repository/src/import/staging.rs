//! The folder that an import is made in, out of sight, until it is whole.
//!
//! It lies beside its goal, `.GOAL.importing`, readable for nobody else, and becomes the goal by one rename. Whoever finds one
//! that no living import holds empties it: it was left by a process that was killed.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, fsync, open, syncfs};

pub(super) struct Staging {
    place: PathBuf,
    goal: PathBuf,
    /// Of the goal, when it was there already, empty.
    goal_before: Option<fs::Metadata>,
    pub(super) top: OwnedFd,
    done: bool,
}

impl Staging {
    pub(super) fn begin(goal: &Path) -> io::Result<Self> {
        let goal_before = match fs::symlink_metadata(goal) {
            Ok(found) if !found.is_dir() => return Err(io::Error::other("it is not a folder")),
            Ok(found) => {
                if fs::read_dir(goal)?.next().is_some() {
                    return Err(io::Error::other("it is not empty"));
                }
                Some(found)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let name = goal.file_name().ok_or_else(|| io::Error::other("it is not the path of a folder"))?;
        let mut staged = OsString::from(".");
        staged.push(name);
        staged.push(".importing");
        let place = goal.with_file_name(staged);
        match fs::DirBuilder::new().mode(0o700).create(&place) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let top = open_folder(&place)?;
        let busy = || io::Error::other("another import into it is under way");
        flock(&top, FlockOperation::NonBlockingLockExclusive).map_err(|_| busy())?;
        // Between opening and locking it may have become somebody's goal.
        let found = fs::symlink_metadata(&place).map_err(|_| busy())?;
        let held = fstat(&top)?;
        if (found.dev(), found.ino()) != (held.st_dev, held.st_ino) {
            return Err(busy());
        }
        let staging = Self { place, goal: goal.to_owned(), goal_before, top, done: false };
        staging.clear()?;
        Ok(staging)
    }

    /// Makes everything durable, and shows it.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if let Some(before) = &self.goal_before {
            std::os::unix::fs::chown(&self.place, Some(before.uid()), Some(before.gid()))?;
            fs::set_permissions(&self.place, fs::Permissions::from_mode(before.mode() & 0o7777))?;
        }
        syncfs(&self.top)?;
        fs::rename(&self.place, &self.goal)?;
        self.done = true;
        let above = self.goal.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(fsync(open_folder(above)?)?)
    }

    fn clear(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.place)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        if let Err(error) = self.clear().and_then(|()| fs::remove_dir(&self.place)) {
            tracing::warn!(%error, folder = %self.place.display(), "what a failed import left could not be removed");
        }
    }
}

fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(open(path, flags, Mode::empty())?)
}
