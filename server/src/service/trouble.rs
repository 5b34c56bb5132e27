//! The database's trouble, as the person is told: the cause goes to the log.

use app::api::ApiError;

use provisioners::ProvisionError;

use crate::store::StoreError;

pub fn failed(error: StoreError) -> ApiError {
    tracing::error!(%error, cause = ?std::error::Error::source(&error).map(ToString::to_string), "the database failed");
    match error {
        StoreError::Busy => ApiError::unavailable("The portal is busy").with_detail("Try again in a moment."),
        error if error.to_string().contains("full") => {
            ApiError::unavailable("The portal’s disk is full").with_detail("Nothing was changed. Tell its operator.")
        }
        _ => ApiError::internal(),
    }
}

/// What a provisioner did not do for a person who asked. Its messages are made for people.
pub fn not_done(error: ProvisionError) -> ApiError {
    let title = |message: String| message.trim_end_matches('.').to_owned();
    match error {
        ProvisionError::Rejected { message } => ApiError::conflict(title(message)),
        ProvisionError::Absent { message } => ApiError { title: title(message), ..ApiError::not_found("file", "") },
        ProvisionError::Retryable { message, .. } => {
            tracing::warn!(message, "a provisioner could not do what a person asked for");
            ApiError::unavailable("It could not be done now").with_detail(message)
        }
        ProvisionError::Unknown { message } => {
            tracing::warn!(message, "a provisioner did not say whether it did what a person asked for");
            ApiError::unavailable("Whether it was done is not known").with_detail(message)
        }
    }
}

/// A change was decided on what somebody else has changed since.
pub fn overtaken() -> ApiError {
    ApiError::conflict("It is being changed by somebody else").with_detail("Look at it again, then decide.")
}

/// 404 for what may be any text a stranger sent: shown without what could disturb a log or a terminal.
pub fn no_such(kind: &str, name: &str) -> ApiError {
    let shown: String = name.chars().filter(|character| !character.is_control()).take(60).collect();
    ApiError::not_found(kind, &shown)
}
