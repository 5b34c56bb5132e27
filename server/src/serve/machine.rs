//! What the portal asks of the machine it starts on: a directory, room on the disk, a word when to stop.

use std::fs::{self, File};
use std::future::Future;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};

use super::StartError;

/// The least room to start with; less would end in the middle of something soon.
const ROOM: usize = 1024 * 1024;

/// The data directory, made if need be, for this user's eyes only, with some room in it. Absolute.
pub fn data_directory(path: &Path) -> Result<PathBuf, StartError> {
    let failed = |source| trouble(path, source);
    let fresh = !path.exists();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    if !fresh {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    }
    let path_of_probe = path.join(format!(".room.{}", std::process::id()));
    let tried = probe(&path_of_probe);
    let removed = fs::remove_file(&path_of_probe);
    tried.and(removed).map_err(failed)?;
    path.canonicalize().map_err(failed)
}

fn trouble(path: &Path, source: io::Error) -> StartError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StartError::DiskFull { path: path.to_owned() },
        _ => StartError::DataDirectory { path: path.to_owned(), source },
    }
}

fn probe(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(&vec![0x5a; ROOM])?;
    file.sync_all()
}

/// What was given, or what lies beside the running program under this name.
pub fn beside_this_program(given: Option<PathBuf>, name: &str) -> PathBuf {
    let beside = || std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join(name)));
    given.or_else(beside).unwrap_or_else(|| PathBuf::from(name))
}

/// Completes at SIGINT or SIGTERM.
pub fn told_to_stop() -> io::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_is_made_for_its_owner_alone_and_left_clean() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let made = data_directory(&path).unwrap();
        assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(&made).unwrap().count(), 0);
    }

    #[test]
    fn a_file_in_the_place_of_the_data_directory_is_said_so() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("file");
        fs::write(&path, "").unwrap();
        let error = data_directory(&path).unwrap_err();
        assert!(error.to_string().contains("--data-dir"), "{error}");
    }

    #[test]
    fn a_full_disk_is_said_before_anything_is_changed() {
        // Every write to it fails with ENOSPC (full(4)).
        let refused = trouble(Path::new("/data"), probe(Path::new("/dev/full")).unwrap_err());
        assert!(matches!(refused, StartError::DiskFull { .. }), "{refused}");
    }
}
