//! Amazon's errors: a code programs decide by, a message people read, and the HTTP status that goes with the code.
//!
//! Codes and statuses: "Error codes for the Amazon EC2 API" in the API reference. Client errors come with 4xx; throttling,
//! missing capacity and the service's own trouble with 5xx.

use std::borrow::Cow;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Problem {
    pub status: u16,
    pub code: Cow<'static, str>,
    pub message: String,
}

impl Problem {
    pub fn new(status: u16, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into() }
    }

    /// Status 400: what most of what a client does wrong is answered with.
    pub fn client(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    pub fn value(parameter: &str, value: &str, why: &str) -> Self {
        Self::client("InvalidParameterValue", format!("Value ({value}) for parameter {parameter} is invalid. {why}"))
    }

    pub fn missing(parameter: &str) -> Self {
        Self::client("MissingParameter", format!("The request must contain the parameter {parameter}"))
    }

    pub fn throttled() -> Self {
        Self::new(503, "RequestLimitExceeded", "Request limit exceeded.")
    }

    pub fn state(message: impl Into<String>) -> Self {
        Self::client("IncorrectState", message)
    }

    pub fn combination(message: impl Into<String>) -> Self {
        Self::client("InvalidParameterCombination", message)
    }
}
