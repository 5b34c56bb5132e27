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

/// Something a provisioner has that no environment of the database knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct Leftover {
    pub provisioner: String,
    /// Id of the environment it was of.
    pub id: String,
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
