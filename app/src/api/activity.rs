//! What goes on in a team: what runs now, what it waits for, what came of the rest.

use serde::{Deserialize, Serialize};

use super::{EnvironmentSummary, TimelineEvent};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct Activity {
    /// On its way to what was asked for, the newest first; at most 50.
    pub running: Vec<Running>,
    /// Bookend has stopped trying: somebody has to decide. At most 50.
    pub stuck: Vec<EnvironmentSummary>,
    /// What came of things, newest first; at most 30.
    pub results: Vec<Happened>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct Running {
    #[serde(flatten)]
    pub environment: EnvironmentSummary,
    /// When it was asked for.
    pub since: i64,
    /// What it takes still, server by server; at most 5.
    pub blocked_by: Vec<Blocker>,
}

/// What keeps an environment from being what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct Blocker {
    /// Name of the server that has to get on.
    pub server: String,
    pub state: super::State,
    /// In words that go after "waits for".
    pub waiting_for: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct Happened {
    #[serde(flatten)]
    pub event: TimelineEvent,
    /// Id and name of the environment it is about.
    pub environment_id: String,
    pub environment: String,
}
