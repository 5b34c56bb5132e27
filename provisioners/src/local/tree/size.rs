//! Adds up how much there is to read in a tree, by looking at its files from outside.

use std::collections::HashSet;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use super::walk::{Node, Opener, Visit, walk};

#[derive(Default)]
struct Size {
    opener: Opener,
    bytes: AtomicU64,
    /// Files of several names that were counted.
    several: Mutex<HashSet<(u64, u64)>>,
}

/// In bytes, holes included; a file of several names counts once.
pub fn size(root: OwnedFd, stop: &AtomicBool) -> io::Result<u64> {
    let size = Size::default();
    walk(&size, root, stop)?;
    Ok(size.bytes.into_inner())
}

impl Visit for Size {
    type Open = OwnedFd;

    fn open(&self, parent: &OwnedFd, name: &CStr) -> io::Result<OwnedFd> {
        self.opener.directory(parent.as_fd(), name)
    }

    fn listed<'a>(&self, open: &'a OwnedFd) -> BorrowedFd<'a> {
        open.as_fd()
    }

    fn directory(&self, _: &Node<OwnedFd>, _: &OwnedFd, _: &CStr) -> io::Result<u32> {
        Ok(0)
    }

    fn entry(&self, _: &Arc<Node<OwnedFd>>, open: &OwnedFd, name: &CStr, kind: FileType) -> io::Result<()> {
        if kind != FileType::RegularFile {
            return Ok(());
        }
        let stat = match rustix::fs::statat(open, name, AtFlags::SYMLINK_NOFOLLOW) {
            // It has gone since.
            Err(Errno::NOENT) => return Ok(()),
            found => found?,
        };
        let first = stat.st_nlink < 2 || {
            let mut several = self.several.lock().unwrap_or_else(PoisonError::into_inner);
            several.insert((stat.st_dev, stat.st_ino))
        };
        if first {
            self.bytes.fetch_add(stat.st_size as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    fn finished(&self, _: &Node<OwnedFd>, _: &OwnedFd) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_there_is_to_read_is_what_reading_counts() {
        let place = tempfile::tempdir().expect("a directory");
        let at = |name: &str| place.path().join(name);
        std::fs::create_dir(at("inside")).expect("a directory");
        std::fs::write(at("one"), "12345").expect("a file");
        std::fs::hard_link(at("one"), at("inside/same")).expect("a link");
        std::os::unix::fs::symlink("one", at("link")).expect("a link");
        std::fs::File::create(at("sparse")).and_then(|file| file.set_len(1 << 30)).expect("a sparse file");
        let progress = super::super::Progress::default();
        assert_eq!(super::super::size(place.path(), &progress).expect("a size"), (1 << 30) + 5);
        super::super::read(place.path(), None, &progress).expect("a reading");
        assert_eq!(progress.done(), (1 << 30) + 5);
    }

    /// Whoever meets the other name meanwhile.
    #[test]
    fn a_file_of_two_names_is_read_once_by_however_many() {
        const FILES: u64 = 200;
        const BYTES: u64 = 256 * 1024;
        let place = tempfile::tempdir().expect("a directory");
        for number in 0..FILES {
            let at = |name: &str| place.path().join(format!("{name} {number}"));
            std::fs::create_dir(at("other")).expect("a directory");
            std::fs::write(at("one"), vec![7; BYTES as usize]).expect("a file");
            std::fs::hard_link(at("one"), at("other").join("same")).expect("a link");
        }
        let progress = super::super::Progress::default();
        super::super::read(place.path(), None, &progress).expect("a reading");
        assert_eq!(progress.done(), FILES * BYTES);
    }
}
