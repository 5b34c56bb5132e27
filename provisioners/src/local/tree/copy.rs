//! A copy of a tree of files: by reflink where the filesystem can, else byte by byte with its holes. Names are bytes; hard
//! links, symbolic links, pipes, sockets, modes, owners, times and user attributes come along. Left out are device nodes and
//! the bits that lend a user's or group's rights: no server can make use of either.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::Progress;
use super::walk::{Node, Opener, Visit, walk};

/// Files up to this size are read and written in one go, unless they have holes.
const SMALL: u64 = 64 * 1024;
/// Most bytes copied by one call: progress shows and a stop is heard that often.
const PIECE: u64 = 16 << 20;

/// Two open directories, one of each tree.
pub struct Pair {
    from: OwnedFd,
    to: OwnedFd,
}

/// The directory and the name of a file's first copy.
type First = (Arc<Node<Pair>>, CString);

struct Copy<'a> {
    opener: Opener,
    progress: &'a Progress,
    /// Whether reflinks are still worth trying.
    reflink: AtomicBool,
    all_reflinked: AtomicBool,
    root: bool,
    /// Files of several names: where the first copy is.
    linked: Mutex<HashMap<(u64, u64), First>>,
}

/// Copies what is in `from` into the empty directory `to`, and says whether every file is a reflink.
pub fn copy(from: OwnedFd, to: OwnedFd, reflink: bool, progress: &Progress) -> io::Result<bool> {
    let copy = Copy {
        opener: Opener::default(),
        progress,
        reflink: AtomicBool::new(reflink),
        all_reflinked: AtomicBool::new(reflink),
        root: rustix::process::geteuid().is_root(),
        linked: Mutex::default(),
    };
    walk(&copy, Pair { from, to }, &progress.stop)?;
    Ok(copy.all_reflinked.load(Ordering::Relaxed))
}

/// Copies what has this name in `from`, with everything in it, to the same name in `to`, where nothing has it.
pub fn copy_one(from: OwnedFd, to: OwnedFd, name: &CStr, reflink: bool, progress: &Progress) -> io::Result<()> {
    let found = rustix::fs::statat(&from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = FileType::from_raw_mode(found.st_mode);
    if kind == FileType::Directory {
        let opener = Opener::default();
        rustix::fs::mkdirat(&to, name, Mode::RWXU)?;
        let (from, to) = (opener.directory(from.as_fd(), name)?, opener.directory(to.as_fd(), name)?);
        return copy(from, to, reflink, progress).map(drop);
    }
    let alone = Copy {
        opener: Opener::default(),
        progress,
        reflink: AtomicBool::new(reflink),
        all_reflinked: AtomicBool::new(reflink),
        root: rustix::process::geteuid().is_root(),
        linked: Mutex::default(),
    };
    let node = Node::root(Pair { from, to });
    let open = node.reach(|parent, name| alone.open(parent, name))?;
    alone.entry(&node, &open, name, kind)
}

impl Visit for Copy<'_> {
    type Open = Pair;

    fn open(&self, parent: &Pair, name: &CStr) -> io::Result<Pair> {
        let from = self.opener.directory(parent.from.as_fd(), name)?;
        Ok(Pair { from, to: self.opener.directory(parent.to.as_fd(), name)? })
    }

    fn listed<'a>(&self, open: &'a Pair) -> BorrowedFd<'a> {
        open.from.as_fd()
    }

    fn directory(&self, _: &Node<Pair>, open: &Pair, name: &CStr) -> io::Result<u32> {
        rustix::fs::mkdirat(&open.to, name, Mode::RWXU)?;
        Ok(0)
    }

    fn entry(&self, parent: &Arc<Node<Pair>>, open: &Pair, name: &CStr, kind: FileType) -> io::Result<()> {
        match kind {
            FileType::RegularFile => self.file(parent, open, name),
            FileType::Symlink => {
                let found = rustix::fs::statat(&open.from, name, AtFlags::SYMLINK_NOFOLLOW)?;
                let target = rustix::fs::readlinkat(&open.from, name, Vec::new())?;
                rustix::fs::symlinkat(&target, &open.to, name)?;
                self.own_name(open, name, &found)
            }
            FileType::Fifo | FileType::Socket => {
                let found = rustix::fs::statat(&open.from, name, AtFlags::SYMLINK_NOFOLLOW)?;
                rustix::fs::mknodat(&open.to, name, kind, Mode::RUSR | Mode::WUSR, 0)?;
                rustix::fs::chmodat(&open.to, name, Mode::from_raw_mode(found.st_mode & 0o1777), AtFlags::empty())?;
                self.own_name(open, name, &found)
            }
            _ => Ok(()),
        }
    }

    fn finished(&self, _: &Node<Pair>, open: &Pair) -> io::Result<()> {
        let found = rustix::fs::fstat(&open.from)?;
        self.complete(open.from.as_fd(), open.to.as_fd(), &found, 0o3777)
    }
}

impl Copy<'_> {
    fn file(&self, parent: &Arc<Node<Pair>>, open: &Pair, name: &CStr) -> io::Result<()> {
        // Without waiting, should it have become a pipe meanwhile.
        let from = self.opener.open(open.from.as_fd(), name, OFlags::RDONLY | OFlags::NONBLOCK)?;
        let found = rustix::fs::fstat(&from)?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("it changes while it is copied"));
        }
        let create = || {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(&open.to, name, flags, Mode::RUSR | Mode::WUSR)
        };
        let to = if found.st_nlink > 1 {
            let mut linked = self.linked.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((directory, first)) = linked.get(&(found.st_dev, found.st_ino)) {
                let directory = directory.reach(|parent, name| self.open(parent, name))?;
                return Ok(rustix::fs::linkat(&directory.to, first, &open.to, name, AtFlags::empty())?);
            }
            let to = create()?;
            linked.insert((found.st_dev, found.st_ino), (Arc::clone(parent), name.to_owned()));
            to
        } else {
            create()?
        };
        let (from, to) = (File::from(from), File::from(to));
        self.content(&from, &to, &found)?;
        self.complete(from.as_fd(), to.as_fd(), &found, 0o1777)
    }

    fn content(&self, from: &File, to: &File, found: &Stat) -> io::Result<()> {
        let size = found.st_size as u64;
        if size == 0 {
            return Ok(());
        }
        if self.reflink.load(Ordering::Relaxed) {
            match rustix::fs::ioctl_ficlone(to, from) {
                Ok(()) => {
                    self.progress.add(size);
                    return Ok(());
                }
                Err(Errno::NOSPC | Errno::DQUOT | Errno::IO) => {
                    // Sharing needs little room; where there is not even that, copying says so in turn.
                }
                Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::NOTTY | Errno::NOSYS) => {
                    self.reflink.store(false, Ordering::Relaxed);
                }
                Err(_) => {}
            }
        }
        self.all_reflinked.store(false, Ordering::Relaxed);
        if size <= SMALL && found.st_blocks as u64 * 512 >= size {
            let mut bytes = Vec::with_capacity(size as usize + 1);
            from.take(SMALL + 1).read_to_end(&mut bytes)?;
            (&mut &*to).write_all(&bytes)?;
            self.progress.add(bytes.len() as u64);
            return Ok(());
        }
        self.pieces(from, to, size)?;
        to.set_len(size)
    }

    /// Only what is data.
    fn pieces(&self, from: &File, to: &File, size: u64) -> io::Result<()> {
        let mut at = 0;
        while at < size {
            let start = match rustix::fs::seek(from, SeekFrom::Data(at)) {
                Ok(start) => start,
                // Nothing but a hole is left.
                Err(Errno::NXIO) => break,
                Err(error) => return Err(error.into()),
            };
            let end = rustix::fs::seek(from, SeekFrom::Hole(start))?.min(size);
            self.progress.add(start.saturating_sub(at));
            at = start;
            while at < end {
                if self.progress.stop.load(Ordering::Relaxed) {
                    return Err(io::Error::new(io::ErrorKind::Interrupted, "it was given up"));
                }
                let copied = copy_piece(from, to, at, (end - at).min(PIECE))?;
                if copied == 0 {
                    return Ok(());
                }
                at += copied;
                self.progress.add(copied);
            }
        }
        self.progress.add(size.saturating_sub(at));
        Ok(())
    }

    /// Owner, attributes, mode and times, in the order in which none undoes another.
    fn complete(&self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, found: &Stat, modes: u32) -> io::Result<()> {
        if self.root {
            rustix::fs::fchown(to, Some(Uid::from_raw(found.st_uid)), Some(Gid::from_raw(found.st_gid)))?;
        }
        for (name, value) in super::attributes(from)? {
            rustix::fs::fsetxattr(to, &name, &value, XattrFlags::empty())?;
        }
        rustix::fs::fchmod(to, Mode::from_raw_mode(found.st_mode & modes))?;
        Ok(rustix::fs::futimens(to, &times(found))?)
    }

    /// The same for what cannot be opened.
    fn own_name(&self, open: &Pair, name: &CStr, found: &Stat) -> io::Result<()> {
        if self.root {
            let (user, group) = (Uid::from_raw(found.st_uid), Gid::from_raw(found.st_gid));
            rustix::fs::chownat(&open.to, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(rustix::fs::utimensat(&open.to, name, &times(found), AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

fn copy_piece(from: &File, to: &File, at: u64, length: u64) -> io::Result<u64> {
    let (mut read, mut write) = (at, at);
    match rustix::fs::copy_file_range(from, Some(&mut read), to, Some(&mut write), length as usize) {
        Ok(copied) => Ok(copied as u64),
        Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS | Errno::IO | Errno::PERM) => {
            use std::os::unix::fs::FileExt;
            let mut buffer = vec![0; length.min(1 << 20) as usize];
            let count = from.read_at(&mut buffer, at)?;
            to.write_all_at(&buffer[..count], at)?;
            Ok(count as u64)
        }
        Err(error) => Err(error.into()),
    }
}

fn times(found: &Stat) -> Timestamps {
    let time = |seconds, nanoseconds| Timespec { tv_sec: seconds as _, tv_nsec: nanoseconds as _ };
    Timestamps {
        last_access: time(found.st_atime, found.st_atime_nsec),
        last_modification: time(found.st_mtime, found.st_mtime_nsec),
    }
}
