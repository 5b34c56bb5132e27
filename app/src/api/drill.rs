//! Restore drills: whether what is kept of an environment can be brought up again.

use serde::{Deserialize, Serialize};

/// What is known of an environment's restore drills.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct DrillView {
    /// Since when one is under way.
    pub since: Option<i64>,
    /// The last that ended.
    pub last: Option<DrillResult>,
    /// When the next one is due; absent when none is done unless somebody asks for it.
    pub next_at: Option<i64>,
}

/// What came of a restore drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct DrillResult {
    pub ended_at: i64,
    /// The snapshot that was restored.
    pub snapshot: String,
    /// The moment it shows, unless it is gone by now.
    pub taken_at: Option<i64>,
    pub reach: DrillReach,
    /// Why it did not come so far; absent: it did.
    pub failure: Option<String>,
}

/// How far a drill goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DrillReach {
    /// All volumes are restored and compared with the snapshot's manifest. No servers: they would reach the internet.
    Data,
    /// And all servers are healthy.
    Ready,
}

impl DrillReach {
    /// As in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            DrillReach::Data => "data",
            DrillReach::Ready => "ready",
        }
    }
}
