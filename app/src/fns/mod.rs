//! Server functions: what islands ask the portal, a few lines each. Errors cross as [`ApiError`](crate::api::ApiError),
//! with its status.

mod encoding;
mod environment;
mod environments;
mod problem;

pub use environment::*;
pub use environments::*;

#[cfg(feature = "ssr")]
use crate::{api::ApiError, site::Visit};

/// Asked by the page and by its island alike.
#[cfg(feature = "ssr")]
pub(crate) async fn environment_as_it_is(
    visit: &Visit,
    environment: &str,
    cursor: Option<&str>,
) -> Result<EnvironmentNow, ApiError> {
    let detail = visit.portal.environment(&visit.actor, environment).await?;
    let timeline = visit.portal.timeline(&visit.actor, &detail.summary.id, cursor, TIMELINE_LENGTH).await?;
    Ok(EnvironmentNow { detail, timeline })
}

/// The portal's answer, with the response's status set to the error's.
#[cfg(feature = "ssr")]
fn told<T>(answer: Result<T, ApiError>) -> Result<T, ApiError> {
    if let Err(error) = &answer
        && let Some(response) = leptos::prelude::use_context::<leptos_axum::ResponseOptions>()
        && let Ok(status) = axum::http::StatusCode::from_u16(error.status)
    {
        response.set_status(status);
    }
    answer
}
