//! Stories of copies, on whatever filesystem the test runs on.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, XattrFlags};

use super::*;
use crate::local::disk::Trash;

struct Place {
    directory: tempfile::TempDir,
    support: Support,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let support = support(directory.path()).expect("a filesystem");
        let place = Self { directory, support };
        create(&place.path("from"), None, support).expect("a tree");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn copy(&self) {
        copy(&self.path("from"), &self.path("to"), self.support, &Progress::default()).expect("a copy");
    }

    fn read(&self, name: &str) -> Reading {
        read(&self.path(name), None, &Progress::default()).expect("a reading")
    }

    /// Copies, and says whether what was copied reads the same.
    fn copies_faithfully(&self) -> Reading {
        let before = self.read("from");
        self.copy();
        let after = self.read("to");
        let differences = index::differences(&before.index, &after.index);
        assert_eq!(differences, [], "{:?}", differences.first());
        assert_eq!(before.manifest().0.digest, after.manifest().0.digest);
        after
    }
}

fn write(path: &Path, content: &[u8]) {
    fs::write(path, content).expect("a file");
}

#[test]
fn a_copy_has_everything_its_original_has() {
    let place = Place::new();
    let from = place.path("from");
    fs::create_dir_all(from.join("a/b")).expect("directories");
    write(&from.join("a/b/file"), b"content");
    write(&from.join("empty"), b"");
    write(&from.join("large"), &vec![7; 300_000]);
    write(&from.join(OsStr::from_bytes(b"new\nline")), b"1");
    write(&from.join(OsStr::from_bytes(b"not \xff\xfe text")), b"2");
    fs::set_permissions(from.join("a"), fs::Permissions::from_mode(0o1711)).expect("a mode");
    fs::set_permissions(from.join("large"), fs::Permissions::from_mode(0o000)).expect("a mode");
    fs::hard_link(from.join("a/b/file"), from.join("same")).expect("a link");
    symlink("/etc/passwd", from.join("outside")).expect("a link");
    symlink("../../../..", from.join("a/up")).expect("a link");
    let open = super::open(&from).expect("a directory");
    rustix::fs::mknodat(&open, "pipe", FileType::Fifo, Mode::RUSR, 0).expect("a pipe");
    rustix::fs::mknodat(&open, "socket", FileType::Socket, Mode::RUSR, 0).expect("a socket");
    rustix::fs::setxattr(from.join("empty"), "user.colour", b"blue", XattrFlags::empty()).expect("an attribute");
    let old = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 123_456_789);
    fs::File::open(from.join("same")).expect("a file").set_modified(old).expect("a time");

    let copied = place.copies_faithfully();
    assert_eq!((copied.files, copied.directories, copied.links), (6, 3, 2));
    let to = place.path("to");
    assert_eq!(fs::read_link(to.join("outside")).expect("a link"), Path::new("/etc/passwd"));
    let [one, same] = ["a/b/file", "same"].map(|name| fs::metadata(to.join(name)).expect("a file"));
    assert_eq!((one.ino(), one.nlink()), (same.ino(), 2));
    assert_eq!(one.mtime_nsec(), 123_456_789);
    assert_eq!(fs::metadata(from.join("large")).expect("a file").mode() & 0o777, 0, "the original is as it was");
}

#[test]
fn rights_that_files_lend_and_device_nodes_do_not_come_along() {
    let place = Place { support: Support::default(), ..Place::new() };
    let from = place.path("from");
    write(&from.join("program"), b"#!/bin/sh");
    fs::set_permissions(from.join("program"), fs::Permissions::from_mode(0o6755)).expect("a mode");
    let open = super::open(&from).expect("a directory");
    let device = rustix::fs::mknodat(&open, "null", FileType::CharacterDevice, Mode::RUSR, rustix::fs::makedev(1, 3));
    copy(&from, &place.path("to"), place.support, &Progress::default()).expect("a copy");
    let copied = fs::metadata(place.path("to").join("program")).expect("a file");
    assert_eq!(copied.mode() & 0o7777, 0o755);
    // Only root can make one.
    assert_eq!(device.is_ok(), rustix::process::geteuid().is_root());
    assert!(fs::symlink_metadata(place.path("to").join("null")).is_err());
}

#[test]
fn holes_stay_holes_and_count_as_the_zeros_they_are() {
    let place = Place { support: Support::default(), ..Place::new() };
    let sparse = fs::File::create(place.path("from").join("sparse")).expect("a file");
    sparse.set_len(10 << 30).expect("ten gigabytes");
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"in the middle", 5 << 30).expect("data");
    let copied = place.copies_faithfully();
    assert_eq!(copied.bytes, 10 << 30);
    let stored = fs::metadata(place.path("to").join("sparse")).expect("a file").blocks() * 512;
    assert!(stored < 1 << 20, "{stored} bytes on the disk");

    let written = Place::new();
    write(&written.path("from").join("f"), &[0; 200_000]);
    let hole = Place::new();
    fs::File::create(hole.path("from").join("f")).expect("a file").set_len(200_000).expect("a size");
    let content = |place: &Place| match place.read("from").index.entries[1].kind {
        index::Kind::File { content, .. } => content,
        ref other => panic!("{other:?}"),
    };
    assert_eq!(content(&written), content(&hole));
}

#[test]
fn a_chain_of_ten_thousand_directories_is_copied_read_and_deleted() {
    let place = Place::new();
    let mut open = super::open(&place.path("from")).expect("a directory");
    for depth in 0..10_000 {
        rustix::fs::mkdirat(&open, "directory", Mode::RWXU).expect("a directory");
        if depth % 100 == 0 {
            // Something that keeps the directory waiting while the walk goes down.
            rustix::fs::mkdirat(&open, "beside", Mode::RWXU).expect("a directory");
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        open = rustix::fs::openat(&open, "directory", flags, Mode::empty()).expect("a directory");
    }
    rustix::fs::symlinkat("x", &open, "bottom").expect("a link");
    let copied = place.copies_faithfully();
    assert_eq!((copied.directories, copied.links), (10_101, 1));
    let bottom = copied.index.entries.iter().position(|entry| entry.name == b"bottom").expect("the bottom");
    assert!(copied.index.path(bottom as u32).len() < 400, "a path of any length is told in short");
    let trash = Trash::open(place.path("trash")).expect("a trash");
    for name in ["from", "to"] {
        trash.take(&place.path(name)).expect("a deletion");
    }
}

#[test]
fn what_was_changed_is_named() {
    let place = Place { support: Support::default(), ..Place::new() };
    let from = place.path("from");
    fs::create_dir_all(from.join("a")).expect("a directory");
    for name in ["a/same", "a/content", "a/gone", "b"] {
        write(&from.join(name), b"content");
    }
    let kept = place.read("from").index.to_bytes();
    place.copy();
    let to = place.path("to");
    let content = fs::metadata(to.join("a/content")).and_then(|found| found.modified()).expect("a time");
    let directory = fs::metadata(to.join("a")).and_then(|found| found.modified()).expect("a time");
    write(&to.join("a/content"), b"CONTENT");
    fs::File::open(to.join("a/content")).expect("a file").set_modified(content).expect("a time");
    fs::remove_file(to.join("a/gone")).expect("a removal");
    write(&to.join("a/new"), b"");
    fs::File::open(to.join("a")).expect("a directory").set_modified(directory).expect("a time");

    let before = Index::from_bytes(&kept).expect("an index");
    assert_eq!(before.to_bytes(), kept);
    let after = place.read("to").index;
    let named: Vec<_> = index::differences(&before, &after)
        .into_iter()
        .map(|difference| match difference {
            index::Difference::OnlyFirst(at) => ("-", before.path(at)),
            index::Difference::OnlySecond(at) => ("+", after.path(at)),
            index::Difference::Other(a, b) => {
                (index::words(&before.entries[a as usize], &after.entries[b as usize]), before.path(a))
            }
        })
        .collect();
    let expected = [("-", "a/gone"), ("+", "a/new"), ("has other content", "a/content")];
    assert_eq!(named, expected.map(|(what, path)| (what, path.to_owned())));
}

#[test]
fn a_copy_that_is_given_up_says_so() {
    let place = Place { support: Support::default(), ..Place::new() };
    write(&place.path("from").join("f"), b"1");
    let progress = Progress::default();
    progress.stop();
    let copied = copy(&place.path("from"), &place.path("to"), place.support, &progress);
    assert!(matches!(copied, Err(LocalError::Machine { source, .. }) if source.kind() == io::ErrorKind::Interrupted));
}

#[test]
fn an_index_that_was_cut_short_or_scribbled_on_is_none() {
    let place = Place::new();
    write(&place.path("from").join("f"), b"1");
    let bytes = place.read("from").index.to_bytes();
    for length in (0..bytes.len()).filter(|length| *length != b"bookend tree 1\n".len()) {
        assert!(Index::from_bytes(&bytes[..length]).is_none_or(|index| index.entries.len() == 1), "{length} bytes");
    }
    let mut foreign = bytes.clone();
    foreign[15..19].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(Index::from_bytes(&foreign).is_none());
}
