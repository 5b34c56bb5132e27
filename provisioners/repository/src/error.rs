//! What can go wrong with a repository, in words for the person who has to do something about it.
//!
//! Every message says what was attempted and what to do next, and names the file that is damaged as it is called inside the
//! repository (`data/ab/abcd…`). Sources are shared, so that one failure can be told to several threads.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustic_core::RusticError;

pub type Outcome<T> = Result<T, Error>;

#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(
        "the password does not open the repository at {location}: none of its keys fits. Give the password that it was made \
         with, or add one with `restic key add`"
    )]
    WrongPassword { location: String },

    #[error(
        "there is no repository at {location}: {reason}. Name the place of a repository, or an empty one in which a new one \
         may be made; if it is on a disk, see that the disk is mounted"
    )]
    NotARepository { location: String, reason: String },

    #[error(
        "could not {attempt} in the repository at {location}: {source}. See that the place is there, may be written and has room, then try again"
    )]
    Storage { location: String, attempt: String, source: Arc<io::Error> },

    #[error("{file} of the repository at {location} is damaged: {reason}. {remedy}")]
    Damaged { location: String, file: String, reason: String, remedy: &'static str },

    #[error(
        "the repository at {location} is in use: {holder}. Try again when that is done; if that process is long gone, \
         `restic unlock` removes what it left"
    )]
    Locked { location: String, holder: String },

    #[error(
        "the lock on the repository at {location} could not be kept alive, so another program may have changed it. \
         Nothing more was written; start again"
    )]
    LockLost { location: String },

    #[error("could not export {}: {reason}. Nothing was kept; see to it, then export again", path.display())]
    Source { path: PathBuf, reason: String },

    #[error("could not import into {}: {reason}. Nothing was imported", path.display())]
    Target { path: PathBuf, reason: String },

    #[error("the snapshot {snapshot} holds {what}, which is not put on this machine's disk. Nothing was imported")]
    Refused { snapshot: String, what: String },

    #[error("the repository at {location} has no snapshot {id}; list what it has, and choose one of these")]
    NoSuchSnapshot { location: String, id: String },

    #[error("it was cancelled; what had been stored by then is used by the next export or freed by the next pruning")]
    Cancelled,

    #[error("could not {attempt} the repository at {location}: {reason}. `restic check` tells whether it is whole")]
    Engine { attempt: &'static str, location: String, reason: String },
}

pub(crate) const RESTORE_FILE: &str = "Bring this file back from a copy of the repository; without one, `restic check --read-data` tells which snapshots are affected";
pub(crate) const REBUILD_INDEX: &str = "`restic rebuild-index` makes it anew from the data that is there";
pub(crate) const FORGET_SNAPSHOT: &str =
    "Bring this file back from a copy of the repository, or remove it: that one snapshot is lost, the others are not";

impl Error {
    /// A failure inside rustic, or the one of ours that it was caused by.
    pub(crate) fn from_rustic(attempt: &'static str, location: &str, failure: &RusticError) -> Self {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(failure);
        while let Some(error) = cause {
            if let Some(ours) = error.downcast_ref::<Self>() {
                return ours.clone();
            }
            cause = error.source();
        }
        Self::Engine { attempt, location: location.into(), reason: brief(failure) }
    }
}

/// Of rustic's page-long messages the sentence that says what happened, and its cause.
pub(crate) fn brief(failure: &RusticError) -> String {
    let text = failure.to_string();
    let paragraph = |heading: &str| {
        let (_, after) = text.split_once(heading)?;
        let sentence: String =
            after.trim_start().lines().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        (!sentence.is_empty()).then_some(sentence)
    };
    let message = paragraph("Message:").unwrap_or_else(|| text.trim().to_owned());
    let message = message.trim_end_matches('.');
    match StdError::source(failure) {
        Some(cause) => {
            let boxed = cause.downcast_ref::<Box<RusticError>>().map(|inner| &**inner);
            match boxed.or_else(|| cause.downcast_ref::<RusticError>()) {
                Some(inner) => format!("{message} ({})", brief(inner)),
                None => format!("{message} ({cause})"),
            }
        }
        None => message.to_owned(),
    }
}
