//! Every error that leaves the portal's API, whoever found it: `application/problem+json` (RFC 9457) with the field's name.

use app::api::{ApiError, FieldError};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

/// An [`ApiError`] as an answer.
#[derive(Debug)]
pub struct Problem(pub ApiError);

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        Problem(error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Problems that only HTTP has.
pub fn problem(status: StatusCode, title: impl Into<String>) -> Problem {
    let code = match status {
        StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported_media_type",
        StatusCode::MISDIRECTED_REQUEST => "wrong_host",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::UPGRADE_REQUIRED => "upgrade_required",
        StatusCode::REQUEST_TIMEOUT => "too_slow",
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => "app_unreachable",
        status if status.is_server_error() => "internal",
        _ => "bad_request",
    };
    Problem(ApiError { status: status.as_u16(), code: code.into(), title: title.into(), detail: None, fields: vec![] })
}

impl Problem {
    pub fn with_detail(self, detail: impl Into<String>) -> Problem {
        Problem(self.0.with_detail(detail))
    }
}

/// A field that could not be read as what it should be: `path` as serde followed it, `message` what serde said.
pub fn unreadable_field(path: &str, message: &str, whole: &str) -> ApiError {
    // serde names the field in the message when it is the key itself that is wrong.
    let quoted = message.strip_prefix("unknown field `").or_else(|| message.strip_prefix("missing field `"));
    let quoted = quoted.or_else(|| message.strip_prefix("duplicate field `")).and_then(|rest| rest.split('`').next());
    let field = match (path, quoted) {
        ("" | "." | "?", Some(field)) => field.to_string(),
        ("" | "." | "?", None) => whole.to_string(),
        (path, Some(field)) if path != field && !path.ends_with(&format!(".{field}")) => format!("{path}.{field}"),
        (path, _) => path.to_string(),
    };
    ApiError::invalid(vec![FieldError { field, message: without_position(message).to_string() }])
}

/// serde_json ends its messages with where it stood, which says nothing about a field.
fn without_position(message: &str) -> &str {
    message.rfind(" at line ").map_or(message, |end| &message[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_named_whether_its_key_or_its_value_is_wrong() {
        let field = |path: &str, message: &str| unreadable_field(path, message, "body").fields[0].field.clone();
        assert_eq!(field(".", "missing field `name` at line 1 column 2"), "name");
        assert_eq!(field("nmae", "unknown field `nmae`, expected `name`"), "nmae");
        assert_eq!(field("parameters.size", "invalid type: integer `3`, expected a string"), "parameters.size");
        assert_eq!(field(".", "invalid type: sequence, expected struct OrderRequest"), "body");
        let error = unreadable_field("limit", "invalid digit found in string at line 3 column 4", "query");
        assert_eq!(error.fields[0].message, "invalid digit found in string");
    }
}
