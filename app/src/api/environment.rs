//! Environments: what an order yields, as people see it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

#[cfg(feature = "ssr")]
use super::{DrillView, SnapshotRuleView};

/// The label people see. Derived from what is desired and what is observed; never stored as truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Confirmed, nothing done yet.
    Ordered,
    /// Network and volumes are made.
    Preparing,
    /// Servers are starting.
    Starting,
    /// Set-up and start-up scripts run.
    SettingUp,
    /// Services run, health checks have not all passed yet.
    Checking,
    /// Everything is healthy.
    Ready,
    /// Was ready; something died or is unhealthy and is being repaired.
    Repairing,
    Parking,
    Parked,
    Deleting,
    Deleted,
    /// Bookend has stopped trying: the failure says why and what to do.
    Failed,
}

impl State {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Ordered => "ordered",
            State::Preparing => "preparing",
            State::Starting => "starting",
            State::SettingUp => "setting_up",
            State::Checking => "checking",
            State::Ready => "ready",
            State::Repairing => "repairing",
            State::Parking => "parking",
            State::Parked => "parked",
            State::Deleting => "deleting",
            State::Deleted => "deleted",
            State::Failed => "failed",
        }
    }
    /// Nothing more happens by itself.
    pub fn is_settled(self) -> bool {
        matches!(self, State::Ready | State::Parked | State::Deleted | State::Failed)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_str().replace('_', " "))
    }
}

/// What a person can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Take the servers down, keep the volumes.
    Park,
    /// Bring the servers back.
    Resume,
    /// New servers of the same kind on the same volumes.
    Restart,
    /// Everything goes, volumes included.
    Delete,
    /// Try again after a failure, now.
    Retry,
    /// Stop what is under way: an order or resume ends parked (deleted, when there never was data), a park runs on again.
    Cancel,
    /// Take the servers down now, whether or not their services have ended.
    Force,
}

impl Action {
    pub const ALL: [Action; 7] =
        [Action::Park, Action::Resume, Action::Restart, Action::Delete, Action::Retry, Action::Cancel, Action::Force];
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Park => "park",
            Action::Resume => "resume",
            Action::Restart => "restart",
            Action::Delete => "delete",
            Action::Retry => "retry",
            Action::Cancel => "cancel",
            Action::Force => "force",
        }
    }
}

/// A row of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct EnvironmentSummary {
    pub id: String,
    pub name: String,
    pub template: String,
    pub template_version: String,
    /// Sign-in name.
    pub owner: String,
    pub state: State,
    /// What is waited for, in words; absent when nothing is.
    pub waiting_for: Option<String>,
    pub created_at: i64,
    pub ready_at: Option<i64>,
    /// The next thing that happens by schedule.
    pub next_event: Option<NextEvent>,
    pub servers_ready: u32,
    pub servers_total: u32,
    /// Words people find it by, in alphabetical order.
    pub tags: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct NextEvent {
    pub at: i64,
    pub action: Action,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct EnvironmentDetail {
    #[serde(flatten)]
    pub summary: EnvironmentSummary,
    pub provisioner: String,
    /// Values of the order; secrets are `***`.
    pub parameters: BTreeMap<String, String>,
    pub servers: Vec<ServerView>,
    pub volumes: Vec<VolumeView>,
    /// Shown once ready.
    pub outputs: Vec<OutputView>,
    pub failure: Option<FailureView>,
    /// What can be asked for in this state, the most likely first.
    pub actions: Vec<Action>,
    /// How far what is under way has come; absent when nothing is.
    pub progress: Option<ProgressView>,
    /// What people wrote about it, Markdown; empty when nobody did.
    pub note: String,
    /// The same as HTML that can do no harm.
    pub note_html: String,
    /// Absent when it has no volumes: there is nothing to restore.
    // Nothing in the browser's own part reads this and what follows with it: there they are not.
    #[cfg(feature = "ssr")]
    pub drill: Option<DrillView>,
    #[cfg(feature = "ssr")]
    pub snapshot_rule: Option<SnapshotRuleView>,
    #[cfg(feature = "ssr")]
    pub park: ParkView,
    /// The sentences of `park` as one text.
    pub when_parked: String,
}

/// What stays of an environment while it is parked, what that costs and how long coming back takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct ParkView {
    /// As templates say it: `volumes`, `stop`, `hibernate`.
    pub mode: String,
    /// About what volumes and servers' disks cost a month meanwhile, in US cents, at list prices; absent when that is not known.
    pub monthly_cents: Option<u64>,
    /// Milliseconds that half of the last resumes did not exceed; absent when there are none to tell from.
    pub resume_ms: Option<i64>,
    /// What stays, for people.
    pub keeps: String,
    /// What that costs, for people.
    pub costs: String,
    /// How long coming back takes, for people.
    pub resumes: String,
}

/// How far an order, a resume, a park or a delete has come, and how long the like took before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct ProgressView {
    /// When it was asked for.
    pub since: i64,
    /// When the present state began, where that is known.
    pub state_since: Option<i64>,
    /// Steps done, of all servers together.
    pub done: u32,
    pub total: u32,
    /// Milliseconds that half of the past ones did not exceed; absent when there are none to tell from.
    pub usual_ms: Option<i64>,
    /// 95 of 100 took no longer.
    pub slow_ms: Option<i64>,
}

/// What people say about an environment; what is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct EnvironmentChange {
    /// As of an order: a DNS label, unique in the team. The id stays, and so does what programs in the servers were told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// All of its tags, at most 10: letters, digits and `-_.:/`, at most 40 characters each. Kept in lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Markdown, at most 4,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct ServerView {
    pub id: String,
    pub name: String,
    pub state: State,
    pub generation: i64,
    /// In the environment's private network.
    pub address: String,
    pub image: String,
    pub waiting_for: Option<String>,
    pub limits: Option<String>,
    pub services: Vec<ServiceView>,
    pub checks: Vec<CheckView>,
    pub ports: Vec<PortView>,
    pub metrics: Option<MetricsView>,
    /// The last minutes; absent before there are two moments to compare.
    pub history: Option<HistoryView>,
    /// When its present state began, where that is known and something is under way.
    pub state_since: Option<i64>,
    pub failure: Option<FailureView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct ServiceView {
    pub name: String,
    pub running: bool,
    pub restarts: u32,
    pub last_end: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct CheckView {
    pub name: String,
    pub passing: bool,
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct PortView {
    pub port: u16,
    pub title: String,
    /// Portal address that opens the app, after checking the session.
    pub url: String,
}

/// The newest sample; sizes in bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct MetricsView {
    pub at: i64,
    pub cpu_millis: u32,
    pub memory_bytes: u64,
    pub memory_limit_bytes: Option<u64>,
    pub disk_bytes: u64,
    pub uptime_ms: u64,
}

/// What a server used in the last minutes, since the portal started at most: for each stretch of time its highest value, the
/// oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct HistoryView {
    /// Length of one stretch, milliseconds.
    pub every_ms: u64,
    pub cpu_millis: Vec<u64>,
    pub memory_bytes: Vec<u64>,
    pub disk_bytes: Vec<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct VolumeView {
    pub id: String,
    pub name: String,
    pub size_bytes: u64,
    /// Servers it is attached to.
    pub servers: Vec<String>,
    /// How it stands, in words, where there is something to say: whether a copy is in step with the others ("in step", "catching
    /// up, 40 %"), or that its data is still being read in from its snapshot.
    pub standing: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct OutputView {
    pub name: String,
    pub title: String,
    pub value: String,
    /// Hidden until the person asks for it.
    pub sensitive: bool,
}

/// A failure in full: the step, the cause, the last lines, what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct FailureView {
    pub server: Option<String>,
    pub step: String,
    pub cause: String,
    pub lines: Vec<String>,
    pub remedy: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct TimelineEvent {
    /// Sorts by time.
    pub id: String,
    pub at: i64,
    /// Stable word for programs: `ordered`, `server_ready`, `parked`, `drift_repaired`, `failed`, …
    pub kind: String,
    /// A sentence for people.
    pub message: String,
    pub server: Option<String>,
    /// Sign-in name; absent when Bookend did it by itself.
    pub actor: Option<String>,
}

/// Something changed: whoever shows it reads it again. Carries no state of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum LiveEvent {
    Environment { id: String },
    Catalog,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "ssr", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct EnvironmentQuery {
    /// Part of the name, or of a tag.
    #[serde(default)]
    pub search: Option<String>,
    /// Only these states, comma-separated.
    #[serde(default)]
    pub state: Option<String>,
    /// Only this owner's (sign-in name).
    #[serde(default)]
    pub owner: Option<String>,
    /// Only those made from the template of this name.
    #[serde(default)]
    pub template: Option<String>,
    /// Only those of this provisioner.
    #[serde(default)]
    pub provisioner: Option<String>,
    /// `newest` when absent. A cursor goes on in the order it came from.
    #[serde(default)]
    pub sort: Option<EnvironmentSort>,
    #[serde(default)]
    pub cursor: Option<String>,
    /// 1 to 200; 50 when absent.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// In which order a list comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EnvironmentSort {
    #[default]
    Newest,
    Name,
    /// Failed ones first, then what is under way, ready, parked.
    State,
    /// What happens soonest by schedule first; what has no schedule last.
    NextEvent,
}

/// One action for several environments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ManyRequest {
    pub action: Action,
    /// Names or ids, 1 to 200; each counts once.
    pub environments: Vec<String>,
}

/// What became of one of them. What is wrong with one never keeps the others from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct ManyResult {
    /// As it was asked for.
    pub environment: String,
    /// Its state now; absent when it could not be asked.
    pub state: Option<State>,
    /// Why not; absent when it is being done.
    pub problem: Option<super::ApiError>,
}
