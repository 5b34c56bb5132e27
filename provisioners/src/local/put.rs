//! Single files and folders put into a volume: uploaded ones, and those that come back from a snapshot.
//!
//! Whatever comes is first made whole outside of the volume, in the volume's own place where no server reaches, and then
//! moved to where it belongs in one step: it is there as a whole or not at all, and a full disk changes nothing. The way to
//! its place is opened name by name and never followed, as everywhere with what servers wrote (`files`). What it takes the
//! place of changes place with it and is deleted from outside.
//!
//! Where a volume is a filesystem tree of its own (a btrfs subvolume), nothing can be moved into it: there it is copied once
//! more, under a name of its own beside its goal. A portal that is killed in that moment leaves that name behind.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, RenameFlags, Uid};
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWriteExt};

use super::disk;
use super::environment::{Environment, blocking};
use super::error::{Attempt, LocalError, Result};
use super::moments::moment;
use super::tree::index::{self, Index};
use super::tree::{self, Opener, Progress};
use super::{Shared, files, snapshots};
use crate::{FileEntry, FileWrite, Tree};

/// Name of an uploaded file until it has its own.
const STAGED: &CStr = c"upload";

/// Something that was made whole beside a volume, alone in a directory of its own; gone when this is.
struct Staged {
    directory: PathBuf,
    shared: Arc<Shared>,
}

impl Staged {
    fn new(environment: &Environment, shared: &Arc<Shared>, tree: &Tree) -> Result<Self> {
        files::root(&shared.layout, tree)?;
        let directory = environment.layout.staging(&tree.volume).join(disk::unique_name()?);
        disk::make_directory(&directory)?;
        disk::set_mode(&directory, 0o700)?;
        Ok(Self { directory, shared: Arc::clone(shared) })
    }

    fn open(&self) -> Result<OwnedFd> {
        open_directory(&self.directory)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // What cannot be deleted now is when the provisioner is opened again.
        let _ = self.shared.trash.take(&self.directory);
    }
}

impl Environment {
    /// Puts what is read into a file.
    pub async fn write_file(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        tree: Tree,
        path: Vec<u8>,
        write: FileWrite,
        content: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<FileEntry> {
        let (environment, with) = (Arc::clone(self), Arc::clone(shared));
        let (of, to) = (tree.clone(), path.clone());
        let staged = blocking(move || {
            // Whoever sends much wants to hear this before.
            let goal = Goal::look(&with, &of, &to)?;
            goal.check(write.replace, FileType::RegularFile)?;
            Staged::new(&environment, &with, &of)
        })
        .await?;
        let attempt = || format!("write {}", String::from_utf8_lossy(&path));
        let file = staged.directory.join("upload");
        let mut file = tokio::fs::File::create_new(file).await.attempting(attempt)?;
        // Who sends it breaks off: that is not the machine's trouble.
        match tokio::io::copy(content, &mut file).await {
            Err(error) if error.get_ref().is_some() => {
                let message = format!("What was sent broke off ({error}): nothing was changed.");
                return Err(LocalError::Refused(message));
            }
            copied => copied.attempting(attempt)?,
        };
        file.flush().await.attempting(attempt)?;
        file.sync_all().await.attempting(attempt)?;
        drop(file);
        let (environment, shared) = (Arc::clone(self), Arc::clone(shared));
        blocking(move || {
            let open = staged.open()?;
            let attempt = || format!("write {}", String::from_utf8_lossy(&path));
            let owner = shared.tools.owner.map(|(user, group)| (Uid::from_raw(user), Gid::from_raw(group)));
            let mode = Mode::from_raw_mode(if write.executable { 0o755 } else { 0o644 });
            if let Some((user, group)) = owner {
                let (user, group) = (Some(user), Some(group));
                rustix::fs::chownat(&open, STAGED, user, group, AtFlags::SYMLINK_NOFOLLOW).attempting(attempt)?;
            }
            rustix::fs::chmodat(&open, STAGED, mode, AtFlags::empty()).attempting(attempt)?;
            environment.data.still(|| place(&shared, &tree, &path, &open, STAGED, write.replace))?;
            files::entry(&shared.layout, &tree, &path)
        })
        .await
    }

    /// Puts what a snapshot has at `path` into a volume, once it was compared with what was taken.
    pub async fn restore_file(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        (from, path): (Tree, Vec<u8>),
        (tree, to): (Tree, Vec<u8>),
        replace: bool,
        progress: Arc<Progress>,
    ) -> Result<FileEntry> {
        self.apart(shared, move |environment, shared| {
            let (directory, name) = files::parent(&shared.layout, &from, &path, &Opener::default())?;
            let kind = kind(directory.as_fd(), &name)?.ok_or_else(|| files::absent(&path))?;
            if matches!(kind, FileType::BlockDevice | FileType::CharacterDevice) {
                let message = format!("“{}” is a device: it is not brought back.", String::from_utf8_lossy(&path));
                return Err(LocalError::Refused(message));
            }
            Goal::look(shared, &tree, &to)?.check(replace, kind)?;
            let expected = kept(shared, &from)?;
            let at = expected.as_ref().and_then(|expected| expected.find(&path));
            if let (Some(expected), Some(at)) = (&expected, at) {
                // Copied, and read once more.
                progress.begin("being brought back", expected.bytes_below(at).saturating_mul(2));
            }
            let staged = Staged::new(environment, shared, &tree)?;
            let open = staged.open()?;
            tree::copy_one(directory, staged.open()?, &name, shared.tools.support, &progress)?;
            if let Some(expected) = &expected {
                compare(shared, expected, &path, &staged.directory, &progress)?;
            }
            environment.data.still(|| place(shared, &tree, &to, &open, &name, replace))?;
            files::entry(&shared.layout, &tree, &to)
        })
        .await
    }
}

/// What is at a place now, as far as there is anything on the way to it.
struct Goal {
    path: String,
    kind: Option<FileType>,
}

impl Goal {
    fn look(shared: &Shared, tree: &Tree, path: &[u8]) -> Result<Self> {
        last(path)?;
        let shown = String::from_utf8_lossy(path).into_owned();
        let kind = match files::parent(&shared.layout, tree, path, &Opener::default()) {
            Ok((directory, name)) => kind(directory.as_fd(), &name)?,
            Err(LocalError::Absent(_)) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { path: shown, kind })
    }

    fn check(&self, replace: bool, new: FileType) -> Result<()> {
        let Some(there) = self.kind else { return Ok(()) };
        let path = &self.path;
        if !replace {
            return Err(LocalError::Refused(format!("There is already a “{path}”: nothing was changed.")));
        }
        if (there == FileType::Directory) != (new == FileType::Directory) {
            let (there, new) = if there == FileType::Directory { ("folder", "file") } else { ("file", "folder") };
            return Err(LocalError::Refused(format!("“{path}” is a {there} now; a {new} does not take its place.")));
        }
        Ok(())
    }
}

/// What a snapshot is known to hold; `None` where a tree is none.
fn kept(shared: &Shared, from: &Tree) -> Result<Option<Index>> {
    let Some(id) = &from.snapshot else { return Ok(None) };
    let layout = shared.layout.snapshot(&from.environment, id);
    if !snapshots::has_manifest(&layout) {
        return Err(LocalError::Later("The snapshot is still being read for its manifest.".to_owned()));
    }
    let damaged =
        || LocalError::Refused("The snapshot is damaged: the list of its files is. Choose another one.".into());
    snapshots::index(&layout, &from.volume)?.ok_or_else(damaged).map(Some)
}

/// Compares what was copied from a snapshot with what it is known to hold.
fn compare(shared: &Shared, expected: &Index, path: &[u8], copied: &Path, progress: &Progress) -> Result<()> {
    let found = tree::read(copied, shared.tools.owner, progress)?.index;
    let name = last(path)?;
    let damage = match (expected.find(path), found.find(name.to_bytes())) {
        (Some(expected_at), Some(found_at)) => index::damage_below(expected, expected_at, &found, found_at),
        _ => Some((String::from_utf8_lossy(path).into_owned(), "was not there when the snapshot was taken")),
    };
    match damage {
        None => Ok(()),
        Some((path, what)) => {
            let message =
                format!("The snapshot is damaged (“{path}” {what}): nothing was changed. Choose another one.");
            Err(LocalError::Refused(message))
        }
    }
}

/// Moves `staged` to its place; what it takes the place of is in `from` afterwards.
fn place(shared: &Shared, tree: &Tree, path: &[u8], from: &OwnedFd, staged: &CStr, replace: bool) -> Result<()> {
    let opener = Opener::default();
    let name = last(path)?;
    let directory = make_way(shared, tree, path, &opener)?;
    let shown = String::from_utf8_lossy(path);
    let attempt = || format!("put {shown} in its place");
    let moved = match exchange(from.as_fd(), staged, directory.as_fd(), &name, replace) {
        Err(Errno::XDEV) => {
            let beside = Beside::make(directory.as_fd()).attempting(attempt)?;
            tree::copy_one(
                from.try_clone().attempting(attempt)?,
                beside.open.try_clone().attempting(attempt)?,
                staged,
                shared.tools.support,
                &Progress::default(),
            )?;
            exchange(beside.open.as_fd(), staged, directory.as_fd(), &name, replace)
        }
        moved => moved,
    };
    match moved {
        Err(Errno::EXIST) => Err(LocalError::Refused(format!("There is already a “{shown}”: nothing was changed."))),
        moved => moved.attempting(attempt),
    }?;
    rustix::fs::fsync(&directory).attempting(attempt)
}

/// A rename that takes nothing's place unless it may; then the two change places.
fn exchange(
    from: BorrowedFd<'_>,
    staged: &CStr,
    to: BorrowedFd<'_>,
    name: &CStr,
    replace: bool,
) -> rustix::io::Result<()> {
    // Something may come or go meanwhile.
    for _ in 0..16 {
        moment().map_err(|_| Errno::NOSPC)?;
        match rustix::fs::renameat_with(from, staged, to, name, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) if replace => {}
            moved => return moved,
        }
        match rustix::fs::renameat_with(from, staged, to, name, RenameFlags::EXCHANGE) {
            Err(Errno::NOENT) => {}
            moved => return moved,
        }
    }
    Err(Errno::AGAIN)
}

/// The directory that a path leads to but for its last name; what is missing is made, and is the servers' own.
fn make_way(shared: &Shared, tree: &Tree, path: &[u8], opener: &Opener) -> Result<OwnedFd> {
    let mut open = open_directory(&files::root(&shared.layout, tree)?)?;
    let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
    let attempt = || format!("make the folder of {}", String::from_utf8_lossy(path));
    for part in &parts[..parts.len().saturating_sub(1)] {
        let part = files::component(part)?;
        open = match opener.directory(open.as_fd(), &part) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match rustix::fs::mkdirat(&open, &part, Mode::from_raw_mode(0o755)) {
                    Err(Errno::EXIST) => {}
                    made => made.attempting(attempt)?,
                }
                let made = opener.directory(open.as_fd(), &part).map_err(|error| files::unopened(path, error))?;
                if let Some((user, group)) = shared.tools.owner {
                    let (user, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
                    rustix::fs::fchown(&made, user, group).attempting(attempt)?;
                }
                made
            }
            other => other.map_err(|error| files::unopened(path, error))?,
        };
    }
    Ok(open)
}

fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).attempting(|| format!("open {}", path.display()))
}

fn last(path: &[u8]) -> Result<CString> {
    files::component(path.rsplit(|byte| *byte == b'/').next().unwrap_or_default())
}

fn kind(directory: BorrowedFd<'_>, name: &CStr) -> Result<Option<FileType>> {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(None),
        found => {
            let found = found.attempting(|| format!("look at {}", name.to_string_lossy()))?;
            Ok(Some(FileType::from_raw_mode(found.st_mode)))
        }
    }
}

/// A directory of our own in one of a volume, emptied and removed when it is dropped. It is known by its descriptor: whoever
/// may rename it there gains nothing.
struct Beside<'a> {
    directory: BorrowedFd<'a>,
    name: CString,
    open: OwnedFd,
}

impl<'a> Beside<'a> {
    fn make(directory: BorrowedFd<'a>) -> io::Result<Self> {
        let name = disk::unique_name().map_err(io::Error::other)?;
        let name = CString::new(format!(".bookend-{name}"))?;
        rustix::fs::mkdirat(directory, &name, Mode::RWXU)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = rustix::fs::openat(directory, &name, flags, Mode::empty())?;
        Ok(Self { directory, name, open })
    }

    /// One level at a time, what is deeper is moved up first: depth costs time alone.
    fn empty(&self) -> io::Result<()> {
        let opener = Opener::default();
        let mut moved = 0_u64;
        loop {
            let inside = names(self.open.as_fd())?;
            if inside.is_empty() {
                return Ok(());
            }
            for name in inside {
                if rustix::fs::unlinkat(&self.open, &name, AtFlags::empty()).is_ok() {
                    continue;
                }
                let deeper = opener.directory(self.open.as_fd(), &name)?;
                for inner in names(deeper.as_fd())? {
                    if rustix::fs::unlinkat(&deeper, &inner, AtFlags::empty()).is_err() {
                        moved += 1;
                        rustix::fs::renameat(&deeper, &inner, &self.open, format!("{moved} up"))?;
                    }
                }
                rustix::fs::unlinkat(&self.open, &name, AtFlags::REMOVEDIR)?;
            }
        }
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.empty() {
            tracing::warn!(%error, "what was put into a volume left something behind");
        }
        let _ = rustix::fs::unlinkat(self.directory, &self.name, AtFlags::REMOVEDIR);
    }
}

fn names(directory: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_owned();
        if name.as_c_str() != c"." && name.as_c_str() != c".." {
            names.push(name);
        }
    }
    Ok(names)
}
