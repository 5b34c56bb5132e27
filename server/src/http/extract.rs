//! What handlers take out of a request, refused as a [`Problem`] when it is not what it should be.

use app::api::ApiError;
use app::portal::Actor;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderName, StatusCode};
use http_body_util::{BodyExt, LengthLimitError};
use serde::de::DeserializeOwned;

use super::identify::Caller;
use super::problem::{Problem, problem, unreadable_field};
use super::{Edge, SharedEdge};

/// A JSON body.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<SharedEdge> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &SharedEdge) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        if !is_json(&parts.headers) {
            return Err(problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "This takes JSON")
                .with_detail("Send it with `Content-Type: application/json`."));
        }
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return Err(unreadable_body(&error)),
        };
        parse(&body).map(Json).map_err(Problem)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn unreadable_body(error: &axum::Error) -> Problem {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return too_large();
        }
        cause = error.source();
    }
    Problem(ApiError::bad_request("The request's body broke off"))
}

/// 413: more than the portal reads.
pub fn too_large() -> Problem {
    problem(StatusCode::PAYLOAD_TOO_LARGE, "The request's body is too large")
        .with_detail(format!("At most {} KiB are read.", super::LARGEST_BODY / 1024))
}

fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        match cause.classify() {
            serde_json::error::Category::Data => unreadable_field(&path, &cause.to_string(), "body"),
            _ => ApiError::bad_request("The request's body is not JSON").with_detail(format!("{cause}.")),
        }
    })?;
    json.end().map_err(|_| ApiError::bad_request("The request's body goes on after the JSON value"))?;
    Ok(value)
}

/// The query, every parameter of which is known.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<SharedEdge> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &SharedEdge) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let deserializer = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
        serde_path_to_error::deserialize(deserializer).map(Query).map_err(|error| {
            let path = error.path().to_string();
            Problem(unreadable_field(&path, &error.into_inner().to_string(), "query"))
        })
    }
}

/// The variable parts of a route, in their order.
pub struct Path<T>(pub T);

/// What a route's variables can be read as.
pub trait FromSegments: Sized {
    /// # Errors
    /// When one of them is not what it should be.
    fn from_segments(segments: &[(String, String)]) -> Result<Self, ApiError>;
}

impl FromSegments for String {
    fn from_segments(segments: &[(String, String)]) -> Result<Self, ApiError> {
        segment(segments, 0)
    }
}

impl FromSegments for (String, String) {
    fn from_segments(segments: &[(String, String)]) -> Result<Self, ApiError> {
        Ok((segment(segments, 0)?, segment(segments, 1)?))
    }
}

impl FromSegments for (String, String, u16) {
    fn from_segments(segments: &[(String, String)]) -> Result<Self, ApiError> {
        let port: String = segment(segments, 2)?;
        let port = port.parse().ok().filter(|port| *port > 0);
        let port = port.ok_or_else(|| ApiError::field("port", "is not a port number, 1 to 65535"))?;
        Ok((segment(segments, 0)?, segment(segments, 1)?, port))
    }
}

fn segment(segments: &[(String, String)], index: usize) -> Result<String, ApiError> {
    segments.get(index).map(|(_, value)| value.clone()).ok_or_else(ApiError::internal)
}

impl<T: FromSegments> FromRequestParts<SharedEdge> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &SharedEdge) -> Result<Self, Problem> {
        let unreadable = |_| Problem(ApiError::bad_request("The address has a part that is not UTF-8"));
        let params = RawPathParams::from_request_parts(parts, edge).await.map_err(unreadable)?;
        let segments: Vec<_> = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        T::from_segments(&segments).map(Path).map_err(Problem)
    }
}

impl FromRequestParts<SharedEdge> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &SharedEdge) -> Result<Self, Problem> {
        Ok(parts.extensions.get::<Caller>().cloned().unwrap_or_else(Caller::nobody))
    }
}

/// Who asks, for handlers that need no more.
pub struct By(pub Actor);

impl FromRequestParts<SharedEdge> for By {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &SharedEdge) -> Result<Self, Problem> {
        Caller::from_request_parts(parts, edge).await.map(|caller| By(caller.actor))
    }
}

/// One header's value as text; absent when it is not there.
///
/// # Errors
/// When it is there more than once or is not visible ASCII.
pub fn header_text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let once = values.next().is_none();
    value.to_str().ok().filter(|_| once).map(Some).ok_or_else(|| {
        ApiError::field(name.as_str(), "is given more than once or has a character that is not visible ASCII")
    })
}

impl Edge {
    /// For a place that is reached by nothing else than a WebSocket handshake.
    pub fn upgrade_required() -> Problem {
        problem(StatusCode::UPGRADE_REQUIRED, "This takes a WebSocket")
            .with_detail("Connect with a WebSocket client (RFC 6455, version 13).")
    }
}
