//! Snapshots: what an environment's volumes held at one moment.

use serde::{Deserialize, Serialize};

use super::WorkView;

/// Why a snapshot was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SnapshotReason {
    /// Somebody asked for it.
    Demand,
    /// The environment was parked.
    Park,
    /// The environment was deleted: it can be brought back from this one.
    Delete,
    /// Something else was restored in its place.
    Restore,
    /// Another environment was to begin with it.
    Clone,
    /// The environment was to become another size or version.
    Change,
    /// The template's rule said so.
    Schedule,
    /// It came from a repository, taken elsewhere or long ago.
    Import,
}

impl SnapshotReason {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            SnapshotReason::Demand => "demand",
            SnapshotReason::Park => "park",
            SnapshotReason::Delete => "delete",
            SnapshotReason::Restore => "restore",
            SnapshotReason::Clone => "clone",
            SnapshotReason::Change => "change",
            SnapshotReason::Schedule => "schedule",
            SnapshotReason::Import => "import",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SnapshotState {
    /// Not taken yet.
    Wanted,
    /// Its moment is fixed; everything is being read once, so that damage can be told later.
    Reading,
    /// It can be restored.
    Complete,
    Failed,
    /// What is kept is not what was taken: nothing is restored from it.
    Damaged,
}

impl SnapshotState {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            SnapshotState::Wanted => "wanted",
            SnapshotState::Reading => "reading",
            SnapshotState::Complete => "complete",
            SnapshotState::Failed => "failed",
            SnapshotState::Damaged => "damaged",
        }
    }
}

/// When snapshots of an environment are taken by themselves, while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(tag = "rule", rename_all = "snake_case", deny_unknown_fields)]
pub enum SnapshotRule {
    /// As its template says.
    #[default]
    Template,
    Never,
    /// Cron of five fields, in the time zone of this IANA name.
    At {
        cron: String,
        time_zone: String,
    },
}

/// The rule that holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct SnapshotRuleView {
    #[serde(flatten)]
    pub rule: SnapshotRule,
    /// “at 12:00 every day (UTC)”; absent: no snapshot is taken by itself.
    pub words: Option<String>,
    /// When the next one is due; absent while it does not run.
    pub next_at: Option<i64>,
}

/// One moment of all volumes of an environment. Times are Unix milliseconds, sizes bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct SnapshotView {
    pub id: String,
    pub reason: SnapshotReason,
    /// What a person calls it; empty when nobody did.
    pub label: String,
    /// Who asked; absent when a schedule did.
    pub actor: Option<String>,
    pub state: SnapshotState,
    /// Why it failed or is damaged.
    pub failure: Option<String>,
    pub requested_at: i64,
    /// The moment it shows.
    pub taken_at: Option<i64>,
    /// When it was last read as a whole and found to be what was taken.
    pub verified_at: Option<i64>,
    /// How long the servers stood still for it, in milliseconds; absent when none ran.
    pub frozen_ms: Option<i64>,
    /// How it was taken: “reflink”, “btrfs subvolume”, “copy”.
    pub method: Option<String>,
    /// It never goes by itself.
    pub pinned: bool,
    /// It goes by itself then.
    pub expires_at: Option<i64>,
    pub volumes: Vec<SnapshotVolumeView>,
    /// How far it has come while it is wanted or reading; absent when that is not known.
    #[serde(default)]
    pub reading: Option<WorkView>,
    /// It is being read as a whole and compared, right now.
    pub verifying: Option<WorkView>,
    /// How it stands with its copy in the portable repository; absent when none is asked for.
    #[serde(default)]
    pub export: Option<super::ExportView>,
    /// Its copies at other provisioners, as these are configured to have them.
    #[serde(default)]
    pub copies: Vec<SnapshotCopyView>,
    /// How it stands with beginning with it at full speed; absent where that is neither offered nor asked for.
    #[serde(default)]
    pub warmth: Option<SnapshotWarmth>,
    /// What is paid for volumes that begin with it, for people; absent where nothing is, or where they are at full speed.
    #[serde(default)]
    pub begins: Option<String>,
}

/// A snapshot that is kept warm: volumes that begin with it are at full speed at once, instead of reading slowly at first. Somebody
/// pays for each hour of it. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct SnapshotWarmth {
    pub state: SnapshotWarmthState,
    /// Where: a volume that is made elsewhere gains nothing by it.
    pub zones: Vec<String>,
    /// US cents for each hour, at list prices.
    pub hour_cents: u64,
    /// How far it is: “optimising”.
    pub doing: Option<String>,
    /// It ends by itself then.
    pub until: Option<i64>,
    /// Why it is refused.
    pub failure: Option<String>,
    /// It can be asked for.
    pub offered: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SnapshotWarmthState {
    /// Nobody asked for it.
    Cold,
    Preparing,
    Ready,
    /// It is not wanted any more, and may still be paid for.
    Ending,
    Ended,
    Refused,
}

/// For how long a snapshot is to be kept warm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct WarmRequest {
    /// From now on, 1 to 168.
    pub hours: u32,
}

/// How it stands with a snapshot's copy at another provisioner. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct SnapshotCopyView {
    pub provisioner: String,
    pub state: SnapshotCopyState,
    /// How far it is, in words that go after “is”: “45 % copied by Amazon”.
    pub doing: Option<String>,
    /// Why it failed, or is not further yet.
    pub failure: Option<String>,
    /// When what failed is tried again.
    pub retry_at: Option<i64>,
    pub completed_at: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SnapshotCopyState {
    /// Waits for its turn.
    Wanted,
    Copying,
    /// An environment can begin with it there.
    Complete,
    Failed,
}

/// What a snapshot has of one volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct SnapshotVolumeView {
    pub name: String,
    /// SHA-256 or similar over the whole tree of files, hex; absent until it was read.
    pub digest: Option<String>,
    pub files: u64,
    pub directories: u64,
    pub bytes: u64,
    /// What that takes on the disk without its holes, whatever of it is shared with other snapshots.
    pub stored_bytes: u64,
}

/// What came of reading a whole snapshot and comparing it with what was written down when it was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct SnapshotVerification {
    pub snapshot: String,
    pub files: u64,
    pub bytes: u64,
    /// How many places differ; 0: it is what was taken.
    pub damaged: u64,
    /// The first of them.
    pub damage: Vec<DamageView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct DamageView {
    pub volume: String,
    pub path: String,
    /// “is missing”, “has other content”.
    pub what: String,
}

/// What differs from one moment to another, volume by volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct SnapshotComparison {
    /// Id of the first snapshot.
    pub first: String,
    /// Id of the second; absent: the volumes as they are now.
    pub second: Option<String>,
    pub volumes: Vec<VolumeComparison>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct VolumeComparison {
    pub name: String,
    pub presence: VolumePresence,
    /// Files, links and folders; what is in a folder that was added or removed counts with it, as one.
    pub added: u64,
    pub changed: u64,
    pub removed: u64,
    /// The first of them.
    pub changes: Vec<FileChange>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum VolumePresence {
    Both,
    OnlyFirst,
    OnlySecond,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct FileChange {
    pub kind: FileChangeKind,
    /// What is not UTF-8 in it is replaced; of a very long one it is the end.
    pub path: String,
    /// In bytes, of the file as it is, or was when it is removed.
    pub size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum FileChangeKind {
    Added,
    Changed,
    Removed,
}

impl FileChangeKind {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            FileChangeKind::Added => "added",
            FileChangeKind::Changed => "changed",
            FileChangeKind::Removed => "removed",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SnapshotRequest {
    /// What it is to be called, at most 100 characters.
    #[serde(default)]
    pub label: String,
}

/// What is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SnapshotChange {
    #[serde(default)]
    pub label: Option<String>,
    #[serde(default)]
    pub pinned: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RestoreRequest {
    /// Id of one of the environment's snapshots; the newest that can be restored when absent.
    #[serde(default)]
    pub snapshot: Option<String>,
}
