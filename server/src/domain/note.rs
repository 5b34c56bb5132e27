//! Sentences for the timeline.

/// One line of an environment's timeline, before it has a time and an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Stable word for programs.
    pub kind: &'static str,
    /// A sentence for people.
    pub message: String,
    pub server: Option<String>,
}

impl Note {
    pub fn new(kind: &'static str, message: impl Into<String>) -> Note {
        Note { kind, message: message.into(), server: None }
    }
    pub fn about(kind: &'static str, server: &str, message: impl Into<String>) -> Note {
        Note { kind, message: message.into(), server: Some(server.to_owned()) }
    }
}
