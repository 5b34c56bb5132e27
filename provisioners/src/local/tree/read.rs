//! Reads a whole tree of files and says what it is: an [`Index`].

use std::collections::HashMap;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, FileType, OFlags, SeekFrom, Stat};
use rustix::io::Errno;

use super::Progress;
use super::index::{Entry, Index, Kind};
use super::walk::{Node, Opener, Visit, walk};
use crate::local::disk::Owner;
use crate::local::sandbox::USER;

/// Contents are hashed in blocks of this size, those of zeros left out: a hole and zeros that were written are the same.
const BLOCK: usize = 64 * 1024;
static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// What was read, and what it takes on the disk.
#[derive(Debug)]
pub struct Reading {
    pub index: Index,
    pub files: u64,
    pub directories: u64,
    pub links: u64,
    /// A file of several names counts once.
    pub bytes: u64,
    pub stored_bytes: u64,
}

struct Read<'a> {
    opener: Opener,
    progress: &'a Progress,
    owner: Owner,
    found: Mutex<Found>,
}

/// Digests of a file's content and of its attributes.
type Held = ([u8; 32], [u8; 32]);

#[derive(Default)]
struct Found {
    entries: Vec<Entry>,
    /// Entries of files that have several names: position → file.
    files: HashMap<u32, (u64, u64)>,
    /// What those were found to hold, each held by whoever reads it.
    known: HashMap<(u64, u64), Arc<Mutex<Option<Held>>>>,
    stored_bytes: u64,
}

/// An open directory and its position among the entries.
pub struct Place {
    open: OwnedFd,
}

/// Reads everything below `root`. `owner` is the user whose files servers see as their own.
pub fn read(root: OwnedFd, owner: Owner, progress: &Progress) -> io::Result<Reading> {
    let read = Read { opener: Opener::default(), progress, owner, found: Mutex::default() };
    let stat = rustix::fs::fstat(&root)?;
    let mut entry = read.entry_of(0, c"", &stat, Kind::Directory);
    entry.name.clear();
    read.found().entries.push(entry);
    walk(&read, Place { open: root }, &progress.stop)?;
    let found = read.found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let index = Index::new(found.entries, &found.files);
    let mut reading = Reading { index, files: 0, directories: 0, links: 0, bytes: 0, stored_bytes: found.stored_bytes };
    for (position, entry) in reading.index.entries.iter().enumerate() {
        match &entry.kind {
            Kind::Directory => reading.directories += 1,
            Kind::Link(_) => reading.links += 1,
            Kind::File { size, same_as, .. } => {
                reading.files += 1;
                reading.bytes += if *same_as as usize == position { *size } else { 0 };
            }
            Kind::Pipe | Kind::Socket | Kind::Device => {}
        }
    }
    Ok(reading)
}

impl Visit for Read<'_> {
    type Open = Place;

    fn open(&self, parent: &Place, name: &CStr) -> io::Result<Place> {
        Ok(Place { open: self.opener.directory(parent.open.as_fd(), name)? })
    }

    fn listed<'a>(&self, open: &'a Place) -> BorrowedFd<'a> {
        open.open.as_fd()
    }

    fn directory(&self, parent: &Node<Place>, open: &Place, name: &CStr) -> io::Result<u32> {
        let stat = rustix::fs::statat(&open.open, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let entry = self.entry_of(parent.place, name, &stat, Kind::Directory);
        let mut found = self.found();
        found.entries.push(entry);
        u32::try_from(found.entries.len() - 1).map_err(io::Error::other)
    }

    fn entry(&self, parent: &Arc<Node<Place>>, open: &Place, name: &CStr, kind: FileType) -> io::Result<()> {
        if kind == FileType::RegularFile {
            return self.file(parent.place, open, name);
        }
        let stat = rustix::fs::statat(&open.open, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = match kind {
            FileType::Symlink => Kind::Link(rustix::fs::readlinkat(&open.open, name, Vec::new())?.into_bytes()),
            FileType::Fifo => Kind::Pipe,
            FileType::Socket => Kind::Socket,
            _ => Kind::Device,
        };
        let entry = self.entry_of(parent.place, name, &stat, kind);
        self.found().entries.push(entry);
        Ok(())
    }

    fn finished(&self, node: &Node<Place>, open: &Place) -> io::Result<()> {
        let attributes = attributes(open.open.as_fd())?;
        if let Some(entry) = self.found().entries.get_mut(node.place as usize) {
            entry.attributes = attributes;
        }
        Ok(())
    }
}

impl Read<'_> {
    fn file(&self, parent: u32, open: &Place, name: &CStr) -> io::Result<()> {
        let file = File::from(self.opener.open(open.open.as_fd(), name, OFlags::RDONLY | OFlags::NONBLOCK)?);
        let stat = rustix::fs::fstat(&file)?;
        let several = (stat.st_nlink > 1).then_some((stat.st_dev, stat.st_ino));
        let read =
            || -> io::Result<Held> { Ok((self.content(&file, stat.st_size as u64)?, attributes(file.as_fd())?)) };
        let ((content, attributes), first) = match several {
            None => (read()?, true),
            Some(several) => {
                // Whoever meets another of its names meanwhile waits for what it holds.
                let known = self.found().known.entry(several).or_default().clone();
                let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                match *known {
                    Some(held) => (held, false),
                    None => (*known.insert(read()?), true),
                }
            }
        };
        let kind = Kind::File { size: stat.st_size as u64, content, same_as: 0 };
        let entry = Entry { attributes, ..self.entry_of(parent, name, &stat, kind) };
        let mut found = self.found();
        let position = u32::try_from(found.entries.len()).map_err(io::Error::other)?;
        found.entries.push(entry);
        found.files.extend(several.map(|several| (position, several)));
        if first {
            found.stored_bytes += stat.st_blocks as u64 * 512;
        }
        Ok(())
    }

    fn content(&self, file: &File, size: u64) -> io::Result<[u8; 32]> {
        let mut hash = blake3::Hasher::new();
        hash.update(&size.to_le_bytes());
        let mut buffer = vec![0; BLOCK.min(size as usize)];
        let mut at = 0;
        while at < size {
            if size > BLOCK as u64 {
                match rustix::fs::seek(file, SeekFrom::Data(at)) {
                    Ok(data) => {
                        let block = data - data % BLOCK as u64;
                        self.progress.add(block.saturating_sub(at));
                        at = at.max(block);
                    }
                    Err(Errno::NXIO) => break,
                    Err(error) => return Err(error.into()),
                }
                if self.progress.stopped() {
                    return Err(io::Error::new(io::ErrorKind::Interrupted, "it was given up"));
                }
            }
            let length = buffer.len().min((size - at) as usize);
            let read = fill(file, &mut buffer[..length], at)?;
            let block = &buffer[..read];
            if block != &ZEROS[..read] {
                hash.update(&at.to_le_bytes());
                hash.update(&(read as u64).to_le_bytes());
                hash.update(block);
            }
            self.progress.add(read as u64);
            if read < length {
                // Shorter than it said: whoever compares finds that.
                break;
            }
            at += read as u64;
        }
        self.progress.add(size.saturating_sub(at));
        Ok(*hash.finalize().as_bytes())
    }

    fn entry_of(&self, parent: u32, name: &CStr, stat: &Stat, kind: Kind) -> Entry {
        let modes = if matches!(kind, Kind::Directory) { 0o3777 } else { 0o1777 };
        let own =
            self.owner.unwrap_or_else(|| (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()));
        let inside = |id: u32, own: u32| if id == own { USER } else { id };
        Entry {
            parent,
            name: name.to_bytes().to_vec(),
            mode: if matches!(kind, Kind::Link(_)) { 0 } else { stat.st_mode & modes },
            owner: (inside(stat.st_uid, own.0), inside(stat.st_gid, own.1)),
            modified: (stat.st_mtime, stat.st_mtime_nsec as u32),
            attributes: [0; 32],
            kind,
        }
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fill(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

fn attributes(fd: BorrowedFd<'_>) -> io::Result<[u8; 32]> {
    let attributes = super::attributes(fd)?;
    if attributes.is_empty() {
        return Ok([0; 32]);
    }
    let mut hash = blake3::Hasher::new();
    for (name, value) in attributes {
        for text in [name.to_bytes(), &value] {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text);
        }
    }
    Ok(*hash.finalize().as_bytes())
}
