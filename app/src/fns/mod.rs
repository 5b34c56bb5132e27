//! Server functions: what islands ask the portal, a few lines each. Errors cross as [`ApiError`](crate::api::ApiError),
//! with its status.

mod environment;
mod problem;

pub use environment::*;

/// The portal's answer, with the response's status set to the error's.
#[cfg(feature = "ssr")]
fn told<T>(answer: Result<T, crate::api::ApiError>) -> Result<T, crate::api::ApiError> {
    if let Err(error) = &answer
        && let Some(response) = leptos::prelude::use_context::<leptos_axum::ResponseOptions>()
        && let Ok(status) = axum::http::StatusCode::from_u16(error.status)
    {
        response.set_status(status);
    }
    answer
}
