//! Unpacking the layers of an image, which anybody on the internet may have written, as the unprivileged user that will own
//! the files, in a root directory of its own: what slipped through the rules below could still reach nothing.
//!
//! The rules: a name with `..` ends it all; parents are looked up as if the image were the root directory, so a symbolic
//! link leads nowhere else; the last part of a name is never followed; a hard link links to a file of the image; device
//! nodes are left out; setuid and setgid are dropped; bytes and entries are counted as they come out, whatever sizes were
//! promised.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use serde::{Deserialize, Serialize};

use crate::failure::{Attempt, Failure};
use crate::protocol::{Bind, World};
use crate::world;

/// What to unpack where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unpack {
    /// User and group to become, when started by root.
    pub user: Option<(u32, u32)>,
    /// An empty directory of that user.
    pub directory: String,
    /// Layer archives, lowest first.
    pub layers: Vec<String>,
    /// Most bytes and entries all layers may come to.
    pub most_bytes: u64,
    pub most_entries: u64,
    /// Directories that must be directories in the end, with their modes.
    pub directories: Vec<(String, u32)>,
    /// Lines that must be in files (users, groups), unless one with the same number (third field) is there.
    pub lines: Vec<(String, String)>,
}

const INSIDE: &str = "/image";

/// Unpacks in this process, which ends up in a root directory that has nothing but the image.
pub fn unpack(plan: &Unpack) -> Result<(), Failure> {
    let mut layers = Vec::new();
    for path in &plan.layers {
        layers.push(File::open(path).attempting(|| format!("open the layer {path}"))?);
    }
    let bind = Bind { from: plan.directory.clone(), to: INSIDE.to_owned(), writable: true };
    let world = World { user: plan.user, binds: vec![bind], ..World::default() };
    world::surround(&world, libc::CLONE_NEWUSER | libc::CLONE_NEWNS)?;
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(INSIDE, flags, Mode::empty()).attempting(|| "open the image".to_owned())?;
    let mut image = Image { root, bytes: plan.most_bytes, entries: plan.most_entries };
    for (number, layer) in layers.into_iter().enumerate() {
        image.unpack_layer(layer).attempting(|| format!("unpack layer {}", number + 1))?;
    }
    for (path, mode) in &plan.directories {
        image.ensure_directory(Path::new(path), *mode).attempting(|| format!("make {path}"))?;
    }
    for (path, line) in &plan.lines {
        image.ensure_line(Path::new(path), line).attempting(|| format!("complete {path}"))?;
    }
    Ok(())
}

struct Image {
    root: OwnedFd,
    /// What is left of the allowances.
    bytes: u64,
    entries: u64,
}

fn refused(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.to_owned())
}

impl Image {
    fn unpack_layer(&mut self, file: File) -> io::Result<()> {
        let mut file = BufReader::new(file);
        let magic = io::BufRead::fill_buf(&mut file)?;
        let (gzip, zstd) = (magic.starts_with(&[0x1f, 0x8b]), magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
        if zstd {
            return Err(refused("it is compressed with zstd; push the image with gzip layers"));
        }
        let plain: Box<dyn Read> =
            if gzip { Box::new(flate2::bufread::MultiGzDecoder::new(file)) } else { Box::new(file) };
        // Counted where it leaves the decompressor, which is where a bomb goes off.
        let mut archive = tar::Archive::new(plain.take(self.bytes));
        let mut here = std::collections::HashSet::new();
        for entry in archive.entries()? {
            let mut entry = entry?;
            self.entries = self.entries.checked_sub(1).ok_or_else(|| refused("it has too many entries"))?;
            let Some((parent, name)) = split(Path::new(OsStr::from_bytes(&entry.path_bytes())))? else { continue };
            let parent_fd = self.parent(&parent)?;
            if let Some(hidden) = name.as_bytes().strip_prefix(b".wh.") {
                if hidden == b".wh..opq" {
                    self.hide_all(&parent_fd, &parent, &here)?;
                } else {
                    remove(&parent_fd, OsStr::from_bytes(hidden))?;
                }
                continue;
            }
            self.place(&mut entry, &parent_fd, &name)?;
            here.insert(parent.join(&name));
        }
        let left = archive.into_inner().limit();
        if left == 0 {
            return Err(refused("it unpacks to more than is allowed"));
        }
        self.bytes = left.min(self.bytes);
        Ok(())
    }

    fn place<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>, parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
        let mode = entry.header().mode().unwrap_or(0o644);
        match entry.header().entry_type() {
            tar::EntryType::Directory => {
                if !is_directory(parent, name) {
                    remove(parent, name)?;
                    rustix::fs::mkdirat(parent, name, Mode::RWXU)?;
                }
                rustix::fs::chmodat(parent, name, Mode::from_raw_mode((mode & 0o1777) | 0o700), AtFlags::empty())?;
            }
            tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                remove(parent, name)?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let mut file = File::from(rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?);
                // Counted again where it is written: the holes of a sparse file never went through the decompressor.
                let written = io::copy(&mut entry.take(self.bytes), &mut file)?;
                let left = self.bytes.checked_sub(written).filter(|left| *left > 0);
                self.bytes = left.ok_or_else(|| refused("it unpacks to more than is allowed"))?;
                rustix::fs::fchmod(&file, Mode::from_raw_mode((mode & 0o777) | 0o600))?;
                let seconds = std::time::Duration::from_secs(entry.header().mtime().unwrap_or(0));
                let _ = file.set_modified(std::time::UNIX_EPOCH + seconds);
            }
            tar::EntryType::Symlink => {
                let target = entry.link_name_bytes().ok_or_else(|| refused("a symbolic link has no target"))?;
                remove(parent, name)?;
                rustix::fs::symlinkat(OsStr::from_bytes(&target), parent, name)?;
            }
            tar::EntryType::Link => {
                let target = entry.link_name_bytes().ok_or_else(|| refused("a hard link has no target"))?;
                let target = split(Path::new(OsStr::from_bytes(&target)))?;
                let (directory, file) = target.ok_or_else(|| refused("a hard link has no target"))?;
                let directory = self.open_directory(&directory)?;
                if is_directory(&directory, &file) {
                    return Err(refused("a hard link leads to a directory"));
                }
                // Linking a name to itself must not remove it first.
                let same = rustix::fs::statat(&directory, &file, AtFlags::SYMLINK_NOFOLLOW).ok().is_some_and(|found| {
                    let there = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
                    there.is_ok_and(|there| (there.st_dev, there.st_ino) == (found.st_dev, found.st_ino))
                });
                if !same {
                    remove(parent, name)?;
                    rustix::fs::linkat(&directory, &file, parent, name, AtFlags::empty())?;
                }
            }
            // Devices cannot be made without privileges and are not needed: servers have a /dev of their own.
            _ => {}
        }
        Ok(())
    }

    /// Opens a directory of the image, every link on the way taken as the image means it.
    fn open_directory(&self, path: &Path) -> io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve)?)
    }

    /// The same, making what is missing.
    fn parent(&self, path: &Path) -> io::Result<OwnedFd> {
        if let Ok(found) = self.open_directory(path) {
            return Ok(found);
        }
        let mut done = PathBuf::new();
        let mut open = self.open_directory(&done)?;
        for part in path.iter() {
            done.push(part);
            if self.open_directory(&done).is_err() {
                remove(&open, part)?;
                rustix::fs::mkdirat(&open, part, Mode::from_raw_mode(0o755))?;
            }
            open = self.open_directory(&done)?;
        }
        Ok(open)
    }

    /// Removes what lower layers put into a directory, keeping what this one did.
    fn hide_all(&self, directory: &OwnedFd, path: &Path, here: &std::collections::HashSet<PathBuf>) -> io::Result<()> {
        for name in entries(directory)? {
            if !here.contains(&path.join(&name)) {
                remove(directory, &name)?;
            }
        }
        Ok(())
    }

    /// Makes sure that this is a directory and not a link to one: something is going to be mounted on it.
    fn ensure_directory(&self, path: &Path, mode: u32) -> io::Result<()> {
        let Some((parent, name)) = split(path)? else { return Ok(()) };
        let parent = self.parent(&parent)?;
        if !is_directory(&parent, &name) {
            remove(&parent, &name)?;
            rustix::fs::mkdirat(&parent, &name, Mode::RWXU)?;
            rustix::fs::chmodat(&parent, &name, Mode::from_raw_mode(mode), AtFlags::empty())?;
        }
        Ok(())
    }

    fn ensure_line(&self, path: &Path, line: &str) -> io::Result<()> {
        let Some((parent, name)) = split(path)? else { return Ok(()) };
        let parent = self.parent(&parent)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut text = String::new();
        if let Ok(file) = rustix::fs::openat(&parent, &name, flags, Mode::empty()) {
            // Not text, or longer than any list of users: it is replaced.
            let _ = File::from(file).take(1 << 20).read_to_string(&mut text);
        }
        let number = |line: &str| line.split(':').nth(2).map(str::to_owned);
        if text.lines().any(|other| number(other) == number(line)) {
            return Ok(());
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(line);
        text.push('\n');
        remove(&parent, &name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&parent, &name, flags, Mode::from_raw_mode(0o644))?;
        File::from(file).write_all(text.as_bytes())
    }
}

/// Parent and name of an entry; nothing for the root itself.
fn split(path: &Path) -> io::Result<Option<(PathBuf, OsString)>> {
    let mut parts: Vec<&OsStr> = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(refused("a name in it climbs out with “..”")),
        }
    }
    let name = parts.pop().map(OsStr::to_owned);
    Ok(name.map(|name| (parts.iter().collect(), name)))
}

fn is_directory(parent: &OwnedFd, name: &OsStr) -> bool {
    let found = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
    found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Directory)
}

fn entries(directory: &OwnedFd) -> io::Result<Vec<OsString>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let readable = rustix::fs::openat(directory, ".", flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::read_from(&readable)? {
        let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}

/// Removes a name and everything below it, following nothing. Depth is bounded by the longest path that names can have.
fn remove(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(rustix::io::Errno::ISDIR | rustix::io::Errno::PERM) => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let directory = rustix::fs::openat(parent, name, flags, Mode::empty())?;
            for child in entries(&directory)? {
                remove(&directory, &child)?;
            }
            Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
        }
        Err(error) => Err(error.into()),
    }
}
