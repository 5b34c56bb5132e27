//! The volumes of one moment as `rustic_core` reads them: each a folder at the snapshot's top.
//!
//! The walk holds every folder open and names things relative to it, and opens nothing that is a link: whatever changes
//! underneath, it does not leave the tree. Entries of a folder come in the order of their names' bytes, which restic demands.
//! The first thing that cannot be read ends the walk and closes the gate.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustic_core::{ErrorKind, ReadSource, ReadSourceEntry, ReadSourceOpen, RusticError, RusticResult};
use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat};

use super::entry::{LinkGroups, describe, stat};
use crate::backend::Gate;
use crate::error::{Error, Outcome};
use crate::watch::Watcher;

/// A volume's name at the snapshot's top, and the folder it is in now.
#[derive(Debug, Clone)]
pub(super) struct Root {
    pub(super) name: OsString,
    pub(super) folder: PathBuf,
}

/// What a walk over everything found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) folders: u64,
    /// Everything that is no folder.
    pub(super) files: u64,
    pub(super) bytes: u64,
}

pub(super) struct Source {
    pub(super) roots: Vec<Root>,
    pub(super) links: Arc<LinkGroups>,
    pub(super) size: Size,
    pub(super) gate: Arc<Gate>,
    pub(super) watcher: Watcher,
}

impl Source {
    /// Looks at everything once, and reads no file.
    pub(super) fn survey(roots: Vec<Root>, gate: &Arc<Gate>, watcher: &Watcher) -> Outcome<Self> {
        let mut links = LinkGroups::default();
        let mut size = Size::default();
        let mut walk = Walk::new(roots.clone());
        while let Some(step) = walk.step().map_err(Failure::told)? {
            if watcher.is_cancelled() {
                return Err(Error::Cancelled);
            }
            match FileType::from_raw_mode(step.stat.st_mode) {
                FileType::Directory => size.folders += 1,
                kind => {
                    size.files += 1;
                    links.count(&step.stat, &step.path);
                    size.bytes += if kind.is_file() { u64::try_from(step.stat.st_size).unwrap_or_default() } else { 0 };
                }
            }
        }
        Ok(Self { roots, links: Arc::new(links), size, gate: gate.clone(), watcher: watcher.clone() })
    }
}

impl ReadSource for Source {
    type Open = Contents;
    type Iter = Entries;

    fn size(&self) -> RusticResult<Option<u64>> {
        Ok(Some(self.size.bytes))
    }

    fn entries(&self) -> Entries {
        Entries {
            walk: Walk::new(self.roots.clone()),
            links: self.links.clone(),
            gate: self.gate.clone(),
            watcher: self.watcher.clone(),
        }
    }
}

/// The walk as descriptions.
pub(super) struct Entries {
    walk: Walk,
    links: Arc<LinkGroups>,
    gate: Arc<Gate>,
    watcher: Watcher,
}

impl Entries {
    fn describe_next(&mut self) -> Result<Option<ReadSourceEntry<Contents>>, Failure> {
        let Some(step) = self.walk.step()? else { return Ok(None) };
        let shown_as = step.path.file_name().unwrap_or(&step.name);
        let node = describe(&step.folder, &step.name, shown_as, &step.stat, &self.links)
            .map_err(|error| Failure(step.place.clone(), error))?;
        let open = node.is_file().then(|| Contents {
            place: step.place,
            folder: step.folder,
            name: step.name,
            expected: step.stat,
            gate: self.gate.clone(),
            watcher: self.watcher.clone(),
        });
        Ok(Some(ReadSourceEntry { path: step.path, node, open }))
    }
}

impl Iterator for Entries {
    type Item = RusticResult<ReadSourceEntry<Contents>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.watcher.is_cancelled() {
            self.gate.close(Error::Cancelled);
            return None;
        }
        match self.describe_next() {
            Ok(entry) => entry.map(Ok),
            Err(failure) => {
                self.gate.close(failure.told());
                None
            }
        }
    }
}

/// A regular file, not yet open.
pub(super) struct Contents {
    place: PathBuf,
    folder: Arc<OwnedFd>,
    name: OsString,
    expected: Stat,
    gate: Arc<Gate>,
    watcher: Watcher,
}

impl ReadSourceOpen for Contents {
    type Reader = Reading;

    fn open(self) -> RusticResult<Reading> {
        // Should it have become a pipe meanwhile, opening it does not wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = openat(&*self.folder, &self.name, flags, Mode::empty()).and_then(|file| Ok((fstat(&file)?, file)));
        let same = |found: &Stat| {
            (found.st_dev, found.st_ino, found.st_size)
                == (self.expected.st_dev, self.expected.st_ino, self.expected.st_size)
        };
        let failure = match opened {
            Ok((found, file)) if same(&found) => {
                return Ok(Reading { file: file.into(), left: found.st_size.unsigned_abs(), contents: self });
            }
            Ok(_) => changed_meanwhile(),
            Err(error) => error.into(),
        };
        let told = Failure(self.place, failure).told();
        self.gate.close(told.clone());
        Err(RusticError::with_source(ErrorKind::InputOutput, "A file could not be opened.", told))
    }
}

/// A regular file that is read; it must have exactly the size that its description says.
pub(super) struct Reading {
    file: File,
    left: u64,
    contents: Contents,
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.contents.watcher.is_cancelled() {
            self.contents.gate.close(Error::Cancelled);
            return Err(io::Error::other("cancelled"));
        }
        let read = self.file.read(buffer).and_then(|count| {
            let longer = count as u64 > self.left;
            let shorter = count == 0 && self.left > 0 && !buffer.is_empty();
            if longer || shorter { Err(changed_meanwhile()) } else { Ok(count) }
        });
        match read {
            Ok(count) => {
                self.left -= count as u64;
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                self.contents
                    .gate
                    .close(Failure(self.contents.place.clone(), io::Error::other(error.to_string())).told());
                Err(error)
            }
        }
    }
}

fn changed_meanwhile() -> io::Error {
    io::Error::other("it changed while it was read, and a snapshot must not")
}

/// Where the walk is, folder by folder.
struct Walk {
    roots: std::vec::IntoIter<Root>,
    open: Vec<OpenFolder>,
}

struct OpenFolder {
    folder: Arc<OwnedFd>,
    /// On this machine.
    place: PathBuf,
    /// In the snapshot.
    path: PathBuf,
    names: std::vec::IntoIter<OsString>,
}

struct Step {
    folder: Arc<OwnedFd>,
    name: OsString,
    place: PathBuf,
    path: PathBuf,
    stat: Stat,
}

/// What could not be looked at.
struct Failure(PathBuf, io::Error);

impl Failure {
    fn told(self) -> Error {
        Error::Source { path: self.0, reason: self.1.to_string() }
    }
}

impl Walk {
    fn new(roots: Vec<Root>) -> Self {
        Self { roots: roots.into_iter(), open: Vec::new() }
    }

    fn step(&mut self) -> Result<Option<Step>, Failure> {
        loop {
            let Some(current) = self.open.last_mut() else { return self.next_root() };
            let Some(name) = current.names.next() else {
                self.open.pop();
                continue;
            };
            let step = Step {
                place: current.place.join(&name),
                path: current.path.join(&name),
                stat: stat(&current.folder, &name).map_err(|error| Failure(current.place.join(&name), error))?,
                folder: current.folder.clone(),
                name,
            };
            if FileType::from_raw_mode(step.stat.st_mode).is_dir() {
                self.enter(&step.folder.clone(), &step.name.clone(), &step.place, &step.path)?;
            }
            return Ok(Some(step));
        }
    }

    fn next_root(&mut self) -> Result<Option<Step>, Failure> {
        let Some(root) = self.roots.next() else { return Ok(None) };
        let place = root.folder;
        let failed = |error: io::Error| Failure(place.clone(), error);
        let (above, name) = match (place.parent(), place.file_name()) {
            (Some(above), Some(name)) => (above, name.to_owned()),
            _ => return Err(failed(io::Error::other("it is not the path of a folder"))),
        };
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(CWD, above, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        let stat = stat(&folder, &name).map_err(failed)?;
        let folder = Arc::new(folder);
        let path = Path::new("/").join(&root.name);
        self.enter(&folder, &name, &place, &path)?;
        Ok(Some(Step { folder, name, place, path, stat }))
    }

    fn enter(&mut self, above: &OwnedFd, name: &OsStr, place: &Path, path: &Path) -> Result<(), Failure> {
        let open = || -> io::Result<OpenFolder> {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let folder = openat(above, name, flags, Mode::empty())?;
            let mut names = Vec::new();
            for entry in Dir::read_from(&folder)? {
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                if name != b"." && name != b".." {
                    names.push(OsStr::from_bytes(name).to_owned());
                }
            }
            names.sort_unstable();
            let names = names.into_iter();
            Ok(OpenFolder { folder: Arc::new(folder), place: place.to_owned(), path: path.to_owned(), names })
        };
        self.open.push(open().map_err(|error| Failure(place.to_owned(), error))?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_changes_between_its_description_and_its_last_byte_closes_the_gate() {
        let directory = tempfile::tempdir().expect("a folder");
        let file = directory.path().join("file");
        for (before_opening, after) in
            [(Some("longer than before"), None), (None, Some("longer than before")), (None, Some("s"))]
        {
            fs::write(&file, "as before").expect("a file");
            let gate = Arc::new(Gate::default());
            let roots = vec![Root { name: "v".into(), folder: directory.path().to_owned() }];
            let source = Source::survey(roots, &gate, &Watcher::silent()).expect("a survey");
            let contents = source.entries().find_map(|entry| entry.expect("an entry").open).expect("the file");
            let rewrite = |content: Option<&str>| content.map(|content| fs::write(&file, content).expect("a file"));
            rewrite(before_opening);
            let outcome = contents.open().map_err(|error| error.to_string()).and_then(|mut reading| {
                rewrite(after);
                reading.read_to_end(&mut Vec::new()).map_err(|error| error.to_string())
            });
            assert!(outcome.is_err(), "{before_opening:?} {after:?}");
            assert!(matches!(gate.check(), Err(Error::Source { path, .. }) if path == file));
        }
    }
}
