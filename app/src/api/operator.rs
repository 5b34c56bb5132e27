//! What an operator looks after: the places servers run at, what is asked of them and not done yet, what nobody owns.

use serde::{Deserialize, Serialize};

use super::Action;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct Operation {
    /// Of Bookend.
    pub version: String,
    /// `SQLite` or `PostgreSQL`.
    pub database: String,
    /// Servers whose agent is connected to this portal.
    pub agents_connected: u32,
    /// How many of the team's environments are in each state.
    pub states: Vec<StateCount>,
    pub provisioners: Vec<ProvisionerView>,
    /// Asked for and not done: the oldest first, at most 100.
    pub effects: Vec<EffectView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct StateCount {
    pub state: super::State,
    pub count: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct ProvisionerView {
    pub name: String,
    /// Why it cannot be asked what there is; absent when it answers.
    pub trouble: Option<String>,
    pub oci_images: bool,
    pub internet: bool,
    /// Limits are enforced by the kernel's control groups.
    pub cgroups: bool,
    pub shared_volumes: bool,
    /// What is missing here, and what would bring it.
    pub notes: Vec<String>,
    /// Environments that have anything there.
    pub environments: u64,
    pub capacity: Option<CapacityView>,
    /// When it was last looked through for single things that nobody owns.
    pub looked_through_at: Option<i64>,
    /// Why that could not be done the last time.
    pub look_trouble: Option<String>,
}

/// Sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct CapacityView {
    pub disk_bytes: u64,
    pub disk_free_bytes: u64,
    pub memory_bytes: u64,
    pub memory_free_bytes: u64,
    pub processors: u32,
}

/// An intention that has not come to pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct EffectView {
    pub environment_id: String,
    pub environment: String,
    /// `start_server`, `create_volume`, …
    pub step: String,
    /// Server or volume it is about.
    pub subject: Option<String>,
    /// `recorded` (asked, not answered), `retryable` (did not happen), `unknown` (may have happened: it is looked after).
    pub outcome: String,
    /// What the provisioner said last.
    pub message: Option<String>,
    pub attempts: u32,
    pub recorded_at: i64,
    /// When it is asked again by itself.
    pub retry_at: Option<i64>,
    /// What can be asked of its environment about it: retry, cancel, force.
    pub actions: Vec<Action>,
}

/// Something a provisioner has that nobody owns: what there is of an environment that is not known here or is deleted, or a single
/// thing that carries this installation's tag and that nothing remembered names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct Leftover {
    pub provisioner: String,
    pub kind: LeftoverKind,
    /// Of an environment its id; of a single thing what the provisioner's place calls it.
    pub id: String,
    /// Id of the environment that a single thing says it was of.
    pub environment: Option<String>,
    /// What and where a single thing is, in words.
    pub about: Option<String>,
    /// When a single thing was made, where that is known, and first seen to be nobody's.
    pub made_at: Option<i64>,
    pub first_seen_at: Option<i64>,
    /// About what a single thing costs in a month, in US cents of the list price.
    pub monthly_cents: Option<u64>,
    /// When the provisioner's policy ends it by itself; absent: only a person removes it.
    pub ends_at: Option<i64>,
    /// When its environment was deleted; absent: no such environment was ever known here.
    pub deleted_at: Option<i64>,
    pub network: bool,
    pub servers: u32,
    /// Volumes hold data: removing them takes typing.
    pub volumes: u32,
    /// On the disk; absent where it is not known.
    pub bytes: Option<u64>,
    /// When it was last changed, where that is known.
    pub changed_at: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LeftoverKind {
    /// All there is of one.
    Environment,
    Server,
    Volume,
    Snapshot,
    /// A security group.
    Network,
}

impl LeftoverKind {
    /// For people, in a sentence.
    pub fn as_str(self) -> &'static str {
        match self {
            LeftoverKind::Environment => "environment",
            LeftoverKind::Server => "server",
            LeftoverKind::Volume => "volume",
            LeftoverKind::Snapshot => "snapshot",
            LeftoverKind::Network => "security group",
        }
    }

    /// A single thing whose removal takes typing: what it holds goes for ever.
    pub fn holds_data(self) -> bool {
        matches!(self, LeftoverKind::Volume | LeftoverKind::Snapshot)
    }
}
