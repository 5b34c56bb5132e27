//! Looking into volumes and snapshots: names in a directory, the content of a file, what differs between two trees. As
//! everywhere with what servers wrote, every name is opened in an open directory and never followed.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

use super::disk::Owner;
use super::error::{Attempt, LocalError, Result};
use super::layout::Layout;
use super::tree::index::{self, Difference, Index};
use super::tree::{self, Opener, Progress};
use super::{snapshots, volumes};
use crate::{Change, ChangeKind, Comparison, FileEntry, FileKind, Tree};

/// A page of the names in a directory of a tree, in the order of their bytes.
pub fn list(layout: &Layout, tree: &Tree, path: &[u8], after: Option<&[u8]>, most: usize) -> Result<Vec<FileEntry>> {
    let opener = Opener::default();
    let directory = enter(layout, tree, path, &opener)?;
    let attempt = || format!("read the directory {}", String::from_utf8_lossy(path));
    let mut names: Vec<CString> = Vec::new();
    for entry in Dir::read_from(&directory).attempting(attempt)? {
        let entry = entry.attempting(attempt)?;
        let name = entry.file_name();
        if name != c"." && name != c".." && after.is_none_or(|after| name.to_bytes() > after) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    names.truncate(most);
    let mut entries = Vec::new();
    for name in names {
        // It may have gone since.
        let Ok(entry) = look_at(directory.as_fd(), name) else { continue };
        entries.push(entry);
    }
    Ok(entries)
}

/// What one name of a tree stands for.
pub fn entry(layout: &Layout, tree: &Tree, path: &[u8]) -> Result<FileEntry> {
    let (directory, name) = parent(layout, tree, path, &Opener::default())?;
    look_at(directory.as_fd(), name).map_err(|error| unopened(path, error))
}

fn look_at(directory: BorrowedFd<'_>, name: CString) -> io::Result<FileEntry> {
    let found = rustix::fs::statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => FileKind::Directory,
        FileType::RegularFile => FileKind::File,
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(directory, &name, Vec::new()).unwrap_or_default();
            FileKind::Link { target: String::from_utf8_lossy(target.to_bytes()).into_owned() }
        }
        _ => FileKind::Other,
    };
    Ok(FileEntry {
        name: name.into_bytes(),
        kind,
        size: found.st_size as u64,
        modified_at: found.st_mtime.saturating_mul(1000).saturating_add(found.st_mtime_nsec as i64 / 1_000_000),
        mode: found.st_mode & 0o7777,
    })
}

/// Opens a file of a tree, and says how large it is.
pub fn open(layout: &Layout, tree: &Tree, path: &[u8]) -> Result<(std::fs::File, u64)> {
    let opener = Opener::default();
    let (directory, name) = parent(layout, tree, path, &opener)?;
    // Without waiting, should it be a pipe.
    let file = opener.open(directory.as_fd(), &name, OFlags::RDONLY | OFlags::NONBLOCK);
    let file = file.map_err(|error| unopened(path, error))?;
    let found = rustix::fs::fstat(&file).attempting(|| format!("look at {}", String::from_utf8_lossy(path)))?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Err(LocalError::Refused(format!("“{}” is not a file.", String::from_utf8_lossy(path))));
    }
    Ok((file.into(), found.st_size as u64))
}

/// What was added, changed and removed from the first tree to the second. A snapshot is known by its manifest; a volume is
/// read as a whole.
pub fn compare(
    layout: &Layout,
    owner: Owner,
    first: &Tree,
    second: &Tree,
    most: usize,
    progress: &Progress,
) -> Result<Comparison> {
    let (first, second) = (Side::find(layout, first, progress)?, Side::find(layout, second, progress)?);
    progress.begin("being compared", first.to_read() + second.to_read());
    let (first, second) = (first.index(owner, progress)?, second.index(owner, progress)?);
    let mut comparison = Comparison::default();
    for difference in index::differences(&first, &second) {
        let (kind, path, size) = match difference {
            Difference::OnlyFirst(at) => (ChangeKind::Removed, first.path(at), first.size(at)),
            Difference::OnlySecond(at) => (ChangeKind::Added, second.path(at), second.size(at)),
            Difference::Other(before, after) => {
                // A directory changes when something in it does, which is told by itself.
                if first.is_directory(before) && second.is_directory(after) {
                    continue;
                }
                (ChangeKind::Changed, second.path(after), second.size(after))
            }
        };
        match kind {
            ChangeKind::Added => comparison.added += 1,
            ChangeKind::Changed => comparison.changed += 1,
            ChangeKind::Removed => comparison.removed += 1,
        }
        if comparison.changes.len() < most {
            comparison.changes.push(Change { kind, path, size });
        }
    }
    Ok(comparison)
}

/// One side of a comparison.
enum Side {
    Known(Index),
    /// It has to be read: where it is, and how much there is in it.
    Unread(PathBuf, u64),
}

impl Side {
    fn find(layout: &Layout, tree: &Tree, progress: &Progress) -> Result<Self> {
        let root = root(layout, tree)?;
        if let Some(snapshot) = &tree.snapshot
            && let Some(index) = snapshots::index(&layout.snapshot(&tree.environment, snapshot), &tree.volume)?
        {
            return Ok(Side::Known(index));
        }
        let size = tree::size(&root, progress)?;
        Ok(Side::Unread(root, size))
    }

    fn to_read(&self) -> u64 {
        match self {
            Side::Known(_) => 0,
            Side::Unread(_, size) => *size,
        }
    }

    fn index(self, owner: Owner, progress: &Progress) -> Result<Index> {
        match self {
            Side::Known(index) => Ok(index),
            Side::Unread(root, _) => Ok(tree::read(&root, owner, progress)?.index),
        }
    }
}

pub fn root(layout: &Layout, tree: &Tree) -> Result<PathBuf> {
    let environment = layout.environment(&tree.environment);
    match &tree.snapshot {
        None if volumes::exists(&environment, &tree.volume) => Ok(volumes::data(&environment, &tree.volume)),
        None => Err(LocalError::Absent("There is no such volume.".to_owned())),
        Some(id) => {
            let snapshot = layout.snapshot(&tree.environment, id);
            let record = snapshots::record(&snapshot)?;
            let there = record.is_some_and(|record| record.plan.volumes.iter().any(|held| held.volume == tree.volume));
            if there {
                return Ok(snapshot.volume(&tree.volume));
            }
            Err(LocalError::Absent("There is no such snapshot of this volume.".to_owned()))
        }
    }
}

fn enter(layout: &Layout, tree: &Tree, path: &[u8], opener: &Opener) -> Result<OwnedFd> {
    let root = root(layout, tree)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut open = rustix::fs::open(&root, flags, Mode::empty()).attempting(|| format!("open {}", root.display()))?;
    for part in path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
        let part = component(part)?;
        open = opener.directory(open.as_fd(), &part).map_err(|error| unopened(path, error))?;
    }
    Ok(open)
}

/// The directory that has a path's last name, and that name.
pub fn parent(layout: &Layout, tree: &Tree, path: &[u8], opener: &Opener) -> Result<(OwnedFd, CString)> {
    let (directory, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&path[..0], path),
    };
    let directory = enter(layout, tree, directory, opener)?;
    Ok((directory, component(name)?))
}

pub fn component(name: &[u8]) -> Result<CString> {
    let refused = || LocalError::Refused(format!("“{}” is not a file's name.", String::from_utf8_lossy(name)));
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') {
        return Err(refused());
    }
    CString::new(name).map_err(|_| refused())
}

pub fn absent(path: &[u8]) -> LocalError {
    LocalError::Absent(format!("There is no “{}”.", String::from_utf8_lossy(path)))
}

pub fn unopened(path: &[u8], error: io::Error) -> LocalError {
    if error.kind() == io::ErrorKind::NotFound {
        return absent(path);
    }
    let path = String::from_utf8_lossy(path);
    match error.raw_os_error() {
        Some(libc::ENOTDIR | libc::ELOOP) => {
            LocalError::Refused(format!("“{path}” leads through something that is not a directory."))
        }
        Some(libc::ENXIO) => LocalError::Refused(format!("“{path}” is not a file.")),
        _ => LocalError::Machine { attempt: format!("open {path}"), source: error },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{EnvironmentId, VolumeId};

    /// A volume with a file, a directory with another, and links that lead out of it.
    fn place() -> (tempfile::TempDir, Layout, Tree) {
        let directory = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(directory.path().to_owned());
        let tree = Tree { environment: EnvironmentId::new("e"), snapshot: None, volume: VolumeId::new("v") };
        let volume = layout.environment(&tree.environment).volume(&tree.volume);
        let data = volume.join("data");
        fs::create_dir_all(data.join("inside")).expect("directories");
        fs::write(volume.join("volume.json"), "{}").expect("a record");
        fs::write(volume.join("secret"), "of the portal").expect("a secret");
        fs::write(data.join("inside/file"), "content").expect("a file");
        std::os::unix::fs::symlink("..", data.join("up")).expect("a link");
        std::os::unix::fs::symlink("../secret", data.join("secret")).expect("a link");
        (directory, layout, tree)
    }

    #[test]
    fn a_directory_is_told_page_by_page() {
        let (_directory, layout, tree) = place();
        let names = |after: Option<&[u8]>, most| -> Vec<Vec<u8>> {
            let page = list(&layout, &tree, b"", after, most).expect("a page");
            page.into_iter().map(|entry| entry.name).collect()
        };
        assert_eq!(names(None, 2), [b"inside".to_vec(), b"secret".to_vec()]);
        assert_eq!(names(Some(b"secret"), 2), [b"up".to_vec()]);
        let inside = list(&layout, &tree, b"inside", None, 10).expect("a page");
        assert_eq!((inside[0].size, &inside[0].kind), (7, &FileKind::File));
    }

    #[test]
    fn no_path_leads_out_of_a_volume() {
        let (_directory, layout, tree) = place();
        assert_eq!(open(&layout, &tree, b"inside/file").expect("a file").1, 7);
        for path in
            ["../secret", "up/secret", "secret", "inside/../../secret", "/../secret", "inside", ".", "", "up/.."]
        {
            let opened = open(&layout, &tree, path.as_bytes());
            assert!(matches!(opened, Err(LocalError::Refused(_))), "{path:?}: {opened:?}");
        }
        for path in ["up", "..", "inside/.."] {
            let listed = list(&layout, &tree, path.as_bytes(), None, 10);
            assert!(matches!(listed, Err(LocalError::Refused(_))), "{path:?}: {listed:?}");
        }
    }
}
