//! A repository in a folder of this machine.
//!
//! Files are written beside their final name, synchronised and renamed, as restic does, so that a process killed at any moment
//! leaves no half of a file under a name that counts.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{Kind, Storage, Stretch, is_a_name};

#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    written: AtomicU64,
}

impl Folder {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, written: AtomicU64::new(0) }
    }

    fn path(&self, kind: Kind, name: &str) -> PathBuf {
        self.root.join(kind.path(name))
    }

    /// Packs lie one folder deeper than the rest.
    fn list_packs(&self) -> io::Result<Vec<(String, u64)>> {
        let mut found = Vec::new();
        for folder in fs::read_dir(self.root.join("data"))? {
            let folder = folder?;
            if folder.file_type()?.is_dir() {
                found.extend(named_files(&folder.path())?);
            }
        }
        Ok(found)
    }
}

impl Storage for Folder {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn create(&self) -> io::Result<()> {
        let builder = || {
            let mut builder = fs::DirBuilder::new();
            builder.mode(0o700);
            builder
        };
        match builder().create(&self.root) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Config) {
            builder().recursive(true).create(self.root.join(kind.folder()))?;
        }
        File::open(&self.root)?.sync_all()
    }

    fn is_empty(&self) -> io::Result<bool> {
        let mut entries = fs::read_dir(&self.root)?.filter(|entry| {
            // What a formatted disk comes with.
            !entry.as_ref().is_ok_and(|entry| entry.file_name() == "lost+found")
        });
        Ok(entries.next().transpose()?.is_none())
    }

    fn list(&self, kind: Kind) -> io::Result<Vec<(String, u64)>> {
        match kind {
            Kind::Config => match fs::metadata(self.root.join("config")) {
                Ok(found) => Ok(vec![(String::new(), found.len())]),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
                Err(error) => Err(error),
            },
            Kind::Pack => self.list_packs(),
            _ => named_files(&self.root.join(kind.folder())),
        }
    }

    fn read(&self, kind: Kind, name: &str, stretch: Option<Stretch>) -> io::Result<Bytes> {
        let path = self.path(kind, name);
        let Some(stretch) = stretch else { return fs::read(path).map(Bytes::from) };
        let length = usize::try_from(stretch.length).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        File::open(path)?.read_exact_at(&mut bytes, stretch.offset)?;
        Ok(bytes.into())
    }

    fn write(&self, kind: Kind, name: &str, parts: &[Bytes]) -> io::Result<()> {
        let path = self.path(kind, name);
        let folder = path.parent().ok_or(io::ErrorKind::InvalidFilename)?;
        // Below `data` folders are made as needed; what is above was made with the repository, and gone is gone.
        if kind == Kind::Pack && !folder.exists() {
            match fs::DirBuilder::new().mode(0o700).create(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let mut unfinished = OsString::from(&path);
        unfinished.push(format!("-tmp-{}-{number}", std::process::id()));
        let finish = || {
            let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
            for part in parts {
                file.write_all(part)?;
            }
            file.sync_all()?;
            match kind {
                // Two may make a repository at the same moment; the second must not shut out the first.
                Kind::Config => renameat_with(CWD, &unfinished, CWD, &path, RenameFlags::NOREPLACE)?,
                _ => fs::rename(&unfinished, &path)?,
            }
            File::open(folder)?.sync_all()
        };
        finish().inspect_err(|_| {
            // What is left of it has no name that counts; the failure to tell is the first one.
            let _ = fs::remove_file(&unfinished);
        })
    }

    fn remove(&self, kind: Kind, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path(kind, name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

fn named_files(folder: &Path) -> io::Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !is_a_name(&name) {
            continue;
        }
        match entry.metadata() {
            Ok(metadata) if metadata.is_file() => found.push((name, metadata.len())),
            Ok(_) => {}
            // Removed between the two looks.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}
