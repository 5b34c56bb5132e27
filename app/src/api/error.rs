//! What goes wrong, as the person is told: RFC 9457 problem details, on every way in.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A problem: what was attempted and why it failed, and what to do next. Serialized as `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct ApiError {
    /// HTTP status code.
    pub status: u16,
    /// Stable, for programs: `not_found`, `invalid`, `conflict`, `unauthenticated`, `forbidden`, `too_many`, `unavailable`, `internal`.
    pub code: String,
    /// One sentence for people.
    pub title: String,
    /// What to do about it, or more of the cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Which fields are wrong, and how. Forms are answered with pages: nothing in the browser's own part reads it.
    #[cfg_attr(not(feature = "ssr"), serde(skip_deserializing))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldError>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct FieldError {
    /// `name`, `parameters.size`, `cursor`.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl ApiError {
    fn new(status: u16, code: &str, title: impl Into<String>) -> Self {
        Self { status, code: code.into(), title: title.into(), detail: None, fields: Vec::new() }
    }
    /// 422: the request is understood and wrong in these fields.
    pub fn invalid(fields: Vec<FieldError>) -> Self {
        let title = match fields.as_slice() {
            [only] => format!("{}: {}", only.field, only.message),
            many => format!("{} fields need another value", many.len()),
        };
        Self { fields, ..Self::new(422, "invalid", title) }
    }
    /// 422 for one field.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError { field: field.into(), message: message.into() }])
    }
    /// 400: the request cannot be understood.
    pub fn bad_request(title: impl Into<String>) -> Self {
        Self::new(400, "bad_request", title)
    }
    /// 401.
    pub fn unauthenticated() -> Self {
        Self::new(401, "unauthenticated", "You are not signed in").with_detail("Sign in, or give a valid API token.")
    }
    /// 403: signed in, and this is not for this person. Never used where it would betray that a thing exists.
    pub fn forbidden(title: impl Into<String>) -> Self {
        Self::new(403, "forbidden", title)
    }
    /// 404, the same words whether the thing does not exist or is somebody else's.
    pub fn not_found(kind: &str, name: &str) -> Self {
        Self::new(404, "not_found", format!("There is no {kind} “{name}”"))
    }
    /// 409: not possible in the present state.
    pub fn conflict(title: impl Into<String>) -> Self {
        Self::new(409, "conflict", title)
    }
    /// 429.
    pub fn too_many(title: impl Into<String>) -> Self {
        Self::new(429, "too_many", title)
    }
    /// 503: try again.
    pub fn unavailable(title: impl Into<String>) -> Self {
        Self::new(503, "unavailable", title)
    }
    /// 500: our fault. The cause goes to the log, never here.
    pub fn internal() -> Self {
        Self::new(500, "internal", "Something went wrong in Bookend").with_detail("The cause is in the portal's log.")
    }
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)?;
        if self.fields.len() > 1 {
            for field in &self.fields {
                write!(f, "\n  {}: {}", field.field, field.message)?;
            }
        }
        if let Some(detail) = &self.detail {
            write!(f, ". {detail}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ApiError {}
