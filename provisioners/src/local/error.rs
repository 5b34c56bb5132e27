//! What went wrong here, with what was being attempted, and what the engine may conclude from it.

use std::io;
use std::time::Duration;

use crate::ProvisionError;

/// An attempt that failed in the machine.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    #[error("{attempt}: {source}")]
    Machine { attempt: String, source: io::Error },
    /// Will fail again however often it is tried.
    #[error("{0}")]
    Refused(String),
    /// What was asked for is not there; otherwise as refused.
    #[error("{0}")]
    Absent(String),
    /// May succeed later.
    #[error("{0}")]
    Later(String),
}

pub type Result<T, E = LocalError> = std::result::Result<T, E>;

pub trait Attempt<T> {
    fn attempting(self, attempt: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Attempt<T> for std::result::Result<T, E> {
    fn attempting(self, attempt: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| LocalError::Machine { attempt: attempt(), source: source.into() })
    }
}

impl From<LocalError> for ProvisionError {
    fn from(error: LocalError) -> Self {
        let message = error.to_string();
        let later = |message, seconds| Self::Retryable { message, after: Duration::from_secs(seconds) };
        match error {
            LocalError::Refused(message) => Self::Rejected { message },
            LocalError::Absent(message) => Self::Absent { message },
            LocalError::Later(message) => later(message, 1),
            LocalError::Machine { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    later(format!("The disk of the portal's data directory is full ({message}). Free some space."), 15)
                }
                io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Self::Rejected {
                    message: format!(
                        "The portal may not write its data directory ({message}). Check its owner and mount."
                    ),
                },
                _ => later(message, 2),
            },
        }
    }
}
