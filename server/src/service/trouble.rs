//! The database's trouble, as the person is told: the cause goes to the log.

use app::api::ApiError;

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

/// 404 for what may be any text a stranger sent: shown without what could disturb a log or a terminal.
pub fn no_such(kind: &str, name: &str) -> ApiError {
    let shown: String = name.chars().filter(|character| !character.is_control()).take(60).collect();
    ApiError::not_found(kind, &shown)
}
