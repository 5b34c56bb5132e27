//! Log lines, and which of them are asked for.

use serde::{Deserialize, Serialize};

/// How much a line matters, as the line itself says; the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct LogLine {
    /// Where this line stands in the server's log: `GENERATION.SEQ`, to go on from.
    pub position: String,
    pub at: i64,
    pub server: String,
    pub source: String,
    pub text: String,
    /// What the text says of itself; absent when it says nothing.
    pub level: Option<Level>,
    /// Lines left out just before this one, because more came at once than were asked for.
    #[serde(default)]
    pub skipped: u64,
}

/// Which lines are asked for: those for which all of this is true.
#[cfg(feature = "ssr")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSelection {
    /// By name or id; of all servers when absent.
    pub server: Option<String>,
    /// Is in the text, whatever the case of its ASCII letters.
    pub search: Option<String>,
    /// At least this level; lines without one are then left out.
    pub level: Option<Level>,
    /// Written at or after this time.
    pub since: Option<i64>,
    /// Older than the lines this was made of ([`earlier_than`]).
    pub before: Option<String>,
}

/// What [`LogSelection::before`] must be for the lines before these; `None` without any line.
#[cfg(feature = "ssr")]
pub fn earlier_than(lines: &[LogLine]) -> Option<String> {
    use std::collections::BTreeMap;
    use std::fmt::Write;

    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    for line in lines {
        first.entry(&line.server).or_insert(&line.position);
    }
    let mut text = lines.iter().map(|line| line.at).min()?.to_string();
    for (server, position) in first {
        // Writing to a text cannot fail.
        let _ = write!(text, ",{server}:{position}");
    }
    Some(text)
}
