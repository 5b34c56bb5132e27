//! Only one portal may serve a SQLite file. The lock is a file beside it, held by `serve` for as long as it runs and freed
//! by the kernel however the process ends. `bookend token create` does not take it: it works beside a running portal.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use super::StoreError;

/// Proof that no other portal serves this database.
#[derive(Debug)]
pub struct PortalLock {
    /// Closing it frees the lock.
    _file: File,
}

impl PortalLock {
    /// Takes the lock beside this SQLite file.
    ///
    /// # Errors
    /// [`StoreError::Held`] when another portal runs on it.
    pub fn acquire(database: &Path) -> Result<PortalLock, StoreError> {
        let mut path = database.as_os_str().to_owned();
        path.push(".lock");
        let failed = |source| StoreError::Lock { path: path.to_string_lossy().into_owned(), source };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(PortalLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Held { path: database.to_string_lossy().into_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_portal_on_the_same_file_is_refused_until_the_first_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("bookend.db");
        let first = PortalLock::acquire(&database).unwrap();
        let refused = PortalLock::acquire(&database).unwrap_err();
        assert!(refused.to_string().contains("another portal is running"), "{refused}");
        drop(first);
        PortalLock::acquire(&database).unwrap();
    }
}
