//! Trees to export, and how two of them are compared.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

/// Bytes that do not compress, the same for the same seed.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

pub fn put_time(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("a time");
}

/// What restic's format and Debian's restic both keep.
pub fn everything_restic_keeps(volume: &Path) {
    let at = |name: &[u8]| volume.join(OsStr::from_bytes(name));
    let write = |name: &[u8], content: &[u8]| fs::write(at(name), content).expect("a file");
    fs::create_dir_all(at(b"deep/er/still")).expect("folders");
    fs::create_dir(at(b"empty")).expect("a folder");
    write(b"nothing in it", b"");
    write(b"large", &noise(3 << 20, 1));
    write(b"deep/er/still/here", b"found");
    for name in [
        &b"line\nbreak"[..],
        b"\xff\xfe not text",
        b"back\\slash \"quoted\" 'too'",
        b"\x01\x7f\t",
        b"-rf",
        " ü\u{202e}\u{200b}".as_bytes(),
    ] {
        write(name, name);
    }
    // In another order by bytes than by parts of the path.
    fs::create_dir(at(b"a")).expect("a folder");
    write(b"a/b", b"in a");
    write(b"a.txt", b"beside a");
    write(b"a-b", b"beside a too");

    let holes = File::create(at(b"holes")).expect("a file");
    holes.write_all_at(b"middle", 5 << 20).expect("bytes");
    holes.set_len(9 << 20).expect("a length");

    symlink("/etc/passwd", at(b"out of the tree")).expect("a link");
    symlink("deep/../deep/er", at(b"inside")).expect("a link");
    symlink("nowhere\nat all", at(b"dangling")).expect("a link");
    fs::hard_link(at(b"large"), at(b"deep/large again")).expect("a hard link");
    fs::hard_link(at(b"large"), at(b"and again")).expect("a hard link");
    rustix::fs::mknodat(CWD, at(b"pipe"), FileType::Fifo, Mode::from_raw_mode(0o640), 0).expect("a pipe");

    write(b"set user id", b"#!/bin/sh");
    std::os::unix::fs::chown(at(b"set user id"), Some(1234), Some(4321)).expect("an owner");
    std::os::unix::fs::lchown(at(b"dangling"), Some(1234), None).expect("an owner");
    let mode = |name: &[u8], mode| fs::set_permissions(at(name), Permissions::from_mode(mode)).expect("a mode");
    mode(b"set user id", 0o4751);
    mode(b"deep", 0o2750);
    mode(b"empty", 0o1777);
    mode(b"nothing in it", 0o000);
    rustix::fs::setxattr(at(b"a.txt"), "user.note", b"\x00binary\xff", XattrFlags::empty()).expect("an attribute");
    rustix::fs::setxattr(at(b"deep/er"), "user.folder", b"too", XattrFlags::empty()).expect("an attribute");

    put_time(&at(b"a.txt"), 1, 999_999_999);
    put_time(&at(b"large"), 1_700_000_000, 123_456_789);
    put_time(&at(b"dangling"), 1_600_000_000, 0);
    mode(b"deep/er/still", 0o555);
    put_time(&at(b"deep/er/still"), 1_500_000_000, 5);
    put_time(&at(b"deep"), 1_400_000_000, 6);
}

/// And what this crate keeps beyond that.
pub fn everything(volume: &Path) {
    everything_restic_keeps(volume);
    symlink(OsStr::from_bytes(b"\xff\xfe"), volume.join("to no text")).expect("a link");
    drop(UnixListener::bind(volume.join("socket")).expect("a socket"));
    fs::write(volume.join("before 1970"), "old").expect("a file");
    put_time(&volume.join("before 1970"), -2, 250_000_000);
}

/// One thing in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    kind: String,
    mode: u32,
    owner: (u32, u32),
    changed: (i64, i64),
    content: Vec<u8>,
    attributes: BTreeMap<String, Vec<u8>>,
    /// All names of the same file inside the tree.
    names: Vec<PathBuf>,
}

/// Everything below `top`, and `top` itself under the empty path.
pub fn look(top: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut seen = BTreeMap::new();
    let mut inodes: BTreeMap<(u64, u64), Vec<PathBuf>> = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(path) = open.pop() {
        let place = if path.as_os_str().is_empty() { top.to_owned() } else { top.join(&path) };
        let found = fs::symlink_metadata(&place).expect("something");
        let kind = found.file_type();
        let content = if kind.is_file() {
            fs::read(&place).expect("content")
        } else if kind.is_symlink() {
            fs::read_link(&place).expect("a target").as_os_str().as_bytes().to_vec()
        } else {
            Vec::new()
        };
        if kind.is_dir() {
            open.extend(
                fs::read_dir(&place).expect("a folder").map(|entry| path.join(entry.expect("an entry").file_name())),
            );
        } else {
            inodes.entry((found.dev(), found.ino())).or_default().push(path.clone());
        }
        let kind = match () {
            () if kind.is_fifo() => "pipe".to_owned(),
            () if kind.is_socket() => "socket".to_owned(),
            () => format!("{kind:?}"),
        };
        let entry = Seen {
            kind,
            mode: found.mode(),
            owner: (found.uid(), found.gid()),
            changed: (found.mtime(), found.mtime_nsec()),
            content,
            attributes: attributes(&place),
            names: Vec::new(),
        };
        seen.insert(path, entry);
    }
    for mut names in inodes.into_values().filter(|names| names.len() > 1) {
        names.sort();
        for name in &names {
            seen.get_mut(name).expect("seen").names = names.clone();
        }
    }
    seen
}

fn attributes(place: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(place, &mut names[..]).unwrap_or(0);
    names.truncate(length);
    let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; 4096];
        let length = rustix::fs::lgetxattr(place, OsStr::from_bytes(name), &mut value[..]).expect("a value");
        value.truncate(length);
        value
    };
    names.map(|name| (String::from_utf8_lossy(name).into_owned(), value(name))).collect()
}

#[track_caller]
pub fn assert_same(one: &Path, other: &Path) {
    let (one, other) = (look(one), look(other));
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>(), "other names");
    for (path, seen) in &one {
        let short = |seen: &Seen| Seen { content: seen.content.iter().copied().take(64).collect(), ..seen.clone() };
        assert!(*seen == other[path], "{}:\n{:?}\n{:?}", path.display(), short(seen), short(&other[path]));
    }
}

/// Bytes on the disk, which holes do not take.
pub fn stored_bytes(path: &Path) -> u64 {
    fs::metadata(path).expect("a file").blocks() * 512
}
