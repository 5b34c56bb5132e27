//! What went wrong, with what was being attempted.

use std::io;

#[derive(Debug, thiserror::Error)]
#[error("{attempt}: {source}")]
pub struct Failure {
    attempt: String,
    source: io::Error,
}

pub trait Attempt<T> {
    /// Names the attempt whose error this may be.
    fn attempting(self, attempt: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> Attempt<T> for Result<T, E> {
    fn attempting(self, attempt: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|source| Failure { attempt: attempt(), source: source.into() })
    }
}
