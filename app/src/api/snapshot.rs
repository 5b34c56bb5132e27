//! Snapshots: what an environment's volumes held at one moment.

use serde::{Deserialize, Serialize};

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
}

/// What a snapshot has of one volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct SnapshotVolumeView {
    pub name: String,
    /// SHA-256 or similar over the whole tree of files, hex; absent until it was read.
    pub digest: Option<String>,
    pub files: u64,
    pub bytes: u64,
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
