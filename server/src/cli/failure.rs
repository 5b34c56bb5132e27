//! How a command fails: what is said, and the exit code.

use app::api::ApiError;

/// Documented in `--help`.
pub mod exit {
    pub const FAILED: u8 = 1;
    pub const USAGE: u8 = 2;
    pub const NOT_FOUND: u8 = 3;
    pub const REFUSED: u8 = 4;
    pub const NOT_SIGNED_IN: u8 = 5;
    pub const ENVIRONMENT_FAILED: u8 = 6;
    pub const UNREACHABLE: u8 = 7;
    /// `exec` could not run the command.
    pub const NOT_RUN: u8 = 125;
    /// As a shell would say of SIGINT.
    pub const INTERRUPTED: u8 = 130;
    /// Whoever read our output has gone: 128 + SIGPIPE, as a shell would say.
    pub const READER_GONE: u8 = 141;
}

const ANSWER_LOST: &str = "answer_lost";

#[derive(Debug)]
pub struct Failure {
    pub exit: u8,
    /// `None`: nothing is to be said.
    pub error: Option<ApiError>,
}

impl Failure {
    /// Something on this side went wrong.
    pub fn local(title: impl Into<String>) -> Self {
        Self::with(exit::FAILED, "failed", title)
    }
    pub fn usage(title: impl Into<String>) -> Self {
        Self::with(exit::USAGE, "usage", title)
    }
    pub fn not_found(title: impl Into<String>) -> Self {
        Self::with(exit::NOT_FOUND, "not_found", title)
    }
    pub fn unreachable(title: impl Into<String>) -> Self {
        Self::with(exit::UNREACHABLE, "unreachable", title)
    }
    /// The question may have arrived, and what it asked for may be done.
    pub fn answer_lost(title: impl Into<String>) -> Self {
        Self::with(exit::UNREACHABLE, ANSWER_LOST, title)
    }
    pub fn is_answer_lost(&self) -> bool {
        self.error.as_ref().is_some_and(|error| error.code == ANSWER_LOST)
    }
    pub fn environment(title: impl Into<String>) -> Self {
        Self::with(exit::ENVIRONMENT_FAILED, "environment_failed", title)
    }
    pub fn with(exit: u8, code: &str, title: impl Into<String>) -> Self {
        let title = title.into();
        Self { exit, error: Some(ApiError { status: 0, code: code.into(), title, detail: None, fields: Vec::new() }) }
    }
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.error = self.error.map(|error| error.with_detail(detail));
        self
    }
    /// The same words, with another exit code.
    pub fn exiting(self, exit: u8) -> Self {
        Self { exit, ..self }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let exit = match error.status {
            401 => exit::NOT_SIGNED_IN,
            404 | 410 => exit::NOT_FOUND,
            400 | 402..=499 => exit::REFUSED,
            502..=504 => exit::UNREACHABLE,
            _ => exit::FAILED,
        };
        Self { exit, error: Some(error) }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self { exit: exit::READER_GONE, error: None },
            _ => Self::local(format!("the output could not be written: {error}")),
        }
    }
}
