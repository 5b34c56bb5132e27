//! Image `host`: the machine's own software. `/usr` is the machine's, read-only; everything else is the server's own, laid
//! over a skeleton made here: an `/etc` with what programs under `/usr` look up there (users, name service, certificates,
//! libraries, alternatives) and empty places for the rest.
//!
//! Copied from the machine's `/etc` is only what is listed here and what anybody may read: no password, no key, no
//! configuration of a service of the machine.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::local::disk::{self, Owner, Trash};
use crate::local::error::{Attempt, Result};
use crate::local::layout::Layout;
use crate::local::sandbox::{HOME, Root, USER, USER_NAME};

/// Parts of `/etc` that belong to languages and libraries rather than to services. A `*` at the end stands for any ending.
const COPIED: &[&str] = &[
    "alternatives",
    "bash.bashrc",
    "bash_completion.d",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "debian_version",
    "ethertypes",
    "fonts",
    "gai.conf",
    "groff",
    "host.conf",
    "inputrc",
    "java*",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "locale.conf",
    "localtime",
    "login.defs",
    "lsb-release",
    "magic",
    "magic.mime",
    "mime.types",
    "networks",
    "os-release",
    "perl",
    "pki",
    "postgresql-common",
    "profile",
    "profile.d",
    "protocols",
    "python*",
    "R",
    "rpc",
    "services",
    "shells",
    "skel",
    "ssl",
    "terminfo",
    "timezone",
    "vim",
    "xdg",
    "xml",
];

/// Top-level directories that live in `/usr` on today's systems.
const SYSTEM: &[&str] = &["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

const EMPTY: &[(&str, u32)] = &[
    ("dev", 0o755),
    ("home", 0o755),
    ("home/bookend", 0o755),
    ("media", 0o755),
    ("mnt", 0o755),
    ("opt", 0o755),
    ("proc", 0o755),
    ("root", 0o755),
    ("run", 0o755),
    ("srv", 0o755),
    ("sys", 0o755),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("var", 0o755),
    ("var/cache", 0o755),
    ("var/lib", 0o755),
    ("var/log", 0o755),
    ("var/mail", 0o755),
    ("var/opt", 0o755),
    ("var/spool", 0o755),
    ("var/tmp", 0o1777),
];

/// One entry of the skeleton: its mode and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Directory(u32),
    File(u32, Vec<u8>),
    Link(String),
}

/// Makes the skeleton for the machine as it is now, unless it is there, and removes those that no environment can be using.
pub fn prepare(layout: &Layout, owner: Owner, trash: &Trash) -> Result<Root> {
    let (entries, from_machine) = skeleton(Path::new("/"))?;
    let name = format!("host-{}", fingerprint(&entries, owner));
    let path = layout.images().join(&name);
    if !path.is_dir() {
        let fresh = layout.images().join(format!(".{name}"));
        trash.take(&fresh)?;
        disk::make_directory_for(&fresh, owner)?;
        fill(&fresh, &entries, owner).attempting(|| format!("make the image {}", fresh.display()))?;
        disk::rename(&fresh, &path)?;
    }
    if disk::names(&layout.environments())?.is_empty() {
        for other in disk::names(&layout.images())?.iter().filter(|other| other.starts_with("host-") && **other != name)
        {
            trash.take(&layout.images().join(other))?;
        }
    }
    Ok(Root { image: name, from_machine, variables: BTreeMap::new(), directory: HOME.to_owned() })
}

fn fill(root: &Path, entries: &BTreeMap<String, Entry>, owner: Owner) -> std::io::Result<()> {
    for (name, entry) in entries {
        let path = root.join(name);
        match entry {
            Entry::Directory(_) => fs::create_dir_all(&path)?,
            Entry::File(_, content) => fs::write(&path, content)?,
            Entry::Link(target) => std::os::unix::fs::symlink(target, &path)?,
        }
        if let Some((user, group)) = owner {
            std::os::unix::fs::lchown(&path, Some(user), Some(group))?;
        }
        if let Entry::Directory(mode) | Entry::File(mode, _) = entry {
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode))?;
        }
    }
    Ok(())
}

/// The whole skeleton by relative path, parents before children, and which directories come from the machine.
fn skeleton(machine: &Path) -> Result<(BTreeMap<String, Entry>, Vec<String>)> {
    let mut entries = BTreeMap::new();
    let mut from_machine = vec!["/usr".to_owned()];
    for (name, mode) in EMPTY {
        entries.insert((*name).to_owned(), Entry::Directory(*mode));
    }
    entries.insert("var/run".to_owned(), Entry::Link("/run".to_owned()));
    entries.insert("var/lock".to_owned(), Entry::Link("/run/lock".to_owned()));
    for name in SYSTEM {
        match fs::symlink_metadata(machine.join(name)) {
            Ok(metadata) if metadata.is_symlink() => {
                let target = fs::read_link(machine.join(name)).attempting(|| format!("read the link /{name}"))?;
                entries.insert((*name).to_owned(), Entry::Link(target.to_string_lossy().into_owned()));
            }
            Ok(metadata) if metadata.is_dir() => {
                entries.insert((*name).to_owned(), Entry::Directory(0o755));
                from_machine.push(format!("/{name}"));
            }
            _ => {}
        }
    }
    entries.insert("etc".to_owned(), Entry::Directory(0o755));
    for name in disk::names(&machine.join("etc"))? {
        let copied = |pattern: &&str| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == **pattern,
        };
        if COPIED.iter().any(copied) {
            copy(&machine.join("etc").join(&name), &format!("etc/{name}"), &mut entries);
        }
    }
    for (name, text) in own_files() {
        entries.insert(format!("etc/{name}"), Entry::File(0o644, text.into_bytes()));
    }
    Ok((entries, from_machine))
}

/// Takes what anybody may read; passes over the rest, and over what vanishes while it is looked at.
fn copy(source: &Path, name: &str, entries: &mut BTreeMap<String, Entry>) {
    let Ok(metadata) = fs::symlink_metadata(source) else { return };
    if metadata.is_symlink() {
        let target = fs::read_link(source).map(|target| target.to_string_lossy().into_owned());
        entries.extend(target.ok().map(|target| (name.to_owned(), Entry::Link(target))));
    } else if metadata.is_dir() && metadata.mode() & 0o005 == 0o005 {
        entries.insert(name.to_owned(), Entry::Directory(0o755));
        for child in disk::names(source).unwrap_or_default() {
            copy(&source.join(&child), &format!("{name}/{child}"), entries);
        }
    } else if metadata.is_file() && metadata.mode() & 0o004 == 0o004 && metadata.len() <= 4 << 20 {
        let mode = 0o644 | (metadata.mode() & 0o111);
        entries.extend(fs::read(source).ok().map(|content| (name.to_owned(), Entry::File(mode, content))));
    }
}

fn own_files() -> [(&'static str, String); 7] {
    [
        (
            "passwd",
            format!(
                "root:x:0:0:root:/root:/bin/sh\n{USER_NAME}:x:{USER}:{USER}:Bookend:{HOME}:/bin/bash\n\
                 nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
            ),
        ),
        ("group", format!("root:x:0:\n{USER_NAME}:x:{USER}:\nnogroup:x:65534:\n")),
        ("nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\n".to_owned()),
        // Replaced in each server's own disk.
        ("hosts", "127.0.0.1 localhost\n".to_owned()),
        ("hostname", "localhost\n".to_owned()),
        ("resolv.conf", String::new()),
        ("machine-id", "uninitialized\n".to_owned()),
    ]
}

fn fingerprint(entries: &BTreeMap<String, Entry>, owner: Owner) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{owner:?}"));
    for (name, entry) in entries {
        hash.update(name.as_bytes());
        match entry {
            Entry::Directory(mode) => hash.update(format!("\0directory {mode}\0")),
            Entry::File(mode, content) => {
                hash.update(format!("\0file {mode} {}\0", content.len()));
                hash.update(content);
            }
            Entry::Link(target) => hash.update(format!("\0link {target}\0")),
        }
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_anybody_may_read_is_copied_from_the_machine() {
        let machine = tempfile::tempdir().expect("a directory");
        let etc = machine.path().join("etc");
        fs::create_dir_all(etc.join("ssl/private")).expect("directories");
        fs::write(etc.join("ssl/cert.pem"), "certificate").expect("a file");
        fs::write(etc.join("ssl/private/key.pem"), "key").expect("a file");
        fs::set_permissions(etc.join("ssl/private"), fs::Permissions::from_mode(0o710)).expect("a mode");
        fs::write(etc.join("ssl/hidden"), "hidden").expect("a file");
        fs::set_permissions(etc.join("ssl/hidden"), fs::Permissions::from_mode(0o640)).expect("a mode");
        fs::write(etc.join("shadow"), "root:secret").expect("a file");
        fs::write(etc.join("pip.conf"), "password").expect("a file");
        let (entries, _) = skeleton(machine.path()).expect("a skeleton");
        let found: Vec<&str> = entries.keys().map(String::as_str).filter(|name| name.starts_with("etc/ssl")).collect();
        assert_eq!(found, ["etc/ssl", "etc/ssl/cert.pem"]);
        assert!(!entries.contains_key("etc/shadow") && !entries.contains_key("etc/pip.conf"));
    }

    #[test]
    fn the_same_machine_gives_the_same_image() {
        let machine = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(machine.path().join("etc")).expect("directories");
        let (first, _) = skeleton(machine.path()).expect("a skeleton");
        let (second, _) = skeleton(machine.path()).expect("a skeleton");
        assert_eq!(fingerprint(&first, None), fingerprint(&second, None));
        assert_ne!(fingerprint(&first, None), fingerprint(&first, Some((1, 1))));
    }
}
