//! Lets [`ApiError`] cross between browser and portal as it is.

use leptos::server_fn::error::{FromServerFnError, ServerFnErrorErr};

use super::encoding::JsonText;
use crate::api::ApiError;

impl FromServerFnError for ApiError {
    type Encoder = JsonText;

    /// What went wrong on the way, rather than in the portal.
    fn from_server_fn_error(trouble: ServerFnErrorErr) -> Self {
        match trouble {
            ServerFnErrorErr::Request(_) => ApiError::unavailable("The portal cannot be reached")
                .with_detail("Check your connection; it is tried again."),
            ServerFnErrorErr::Args(cause) | ServerFnErrorErr::MissingArg(cause) => {
                ApiError::bad_request("The request cannot be understood").with_detail(cause)
            }
            _ => ApiError::internal(),
        }
    }
}
