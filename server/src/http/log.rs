//! One line per request in the log, findable by the id the answer carries. Never a query, a header or a secret.

use std::any::Any;
use std::borrow::Cow;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use app::api::ApiError;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use tracing::Instrument;

use super::problem::Problem;
use crate::auth::secret;

pub async fn request(request: Request, next: Next) -> Response {
    static RUN: LazyLock<String> = LazyLock::new(|| secret::digest(secret::generate().as_bytes())[..8].to_string());
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let id = format!("{}-{}", *RUN, COUNT.fetch_add(1, Ordering::Relaxed));
    let started = Instant::now();
    let method = request.method().clone();
    let path = loggable(request.uri().path()).into_owned();
    let span = tracing::info_span!("request", id = %id);
    let mut response = next.run(request).instrument(span).await;
    let (status, milliseconds) = (response.status().as_u16(), started.elapsed().as_secs_f64() * 1000.0);
    if status >= 500 {
        tracing::warn!(id = %id, %method, ?path, status, milliseconds, "answered");
    } else {
        tracing::debug!(id = %id, %method, ?path, status, milliseconds, "answered");
    }
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

/// The path without the one kind of secret that stands in one.
fn loggable(path: &str) -> Cow<'_, str> {
    for secret_after in ["/setup/", "/api/v1/setup/"] {
        if path.starts_with(secret_after) {
            return format!("{secret_after}***").into();
        }
    }
    path.into()
}

/// A bug of ours: said without its details, which go to the log.
pub fn panicked(cause: Box<dyn Any + Send>) -> Response {
    let cause = cause.downcast_ref::<String>().map(String::as_str).or(cause.downcast_ref::<&str>().copied());
    tracing::error!(cause = cause.unwrap_or("unknown"), "a request ended in a panic");
    Problem(ApiError::internal()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setup_link_does_not_reach_the_log() {
        assert_eq!(loggable("/setup/s3cret"), "/setup/***");
        assert_eq!(loggable("/api/v1/setup/s3cret"), "/api/v1/setup/***");
        assert_eq!(loggable("/environments/a"), "/environments/a");
    }
}
