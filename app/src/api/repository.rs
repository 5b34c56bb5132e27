//! The portable repository: what of snapshots is kept outside of this machine, and the way back from there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ExportState {
    /// It waits for its turn.
    Wanted,
    Exporting,
    Exported,
    /// It is tried again.
    Failed,
    /// The snapshot was deleted here long ago, and so was its copy there.
    Forgotten,
}

impl ExportState {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            ExportState::Wanted => "wanted",
            ExportState::Exporting => "exporting",
            ExportState::Exported => "exported",
            ExportState::Failed => "failed",
            ExportState::Forgotten => "forgotten",
        }
    }
}

/// How it stands with a snapshot's copy in the repository. Times are Unix milliseconds, sizes bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct ExportView {
    pub state: ExportState,
    /// Why it failed last.
    pub failure: Option<String>,
    /// When it is tried again.
    pub retry_at: Option<i64>,
    /// How far it has come; present while it is under way.
    pub progress: Option<TransferView>,
    pub exported_at: Option<i64>,
    /// What restic calls it: 64 hexadecimal digits.
    pub repository_snapshot: Option<String>,
    /// All files of it together.
    pub bytes_total: Option<u64>,
    /// What it took in the repository: what was not there already, compressed and encrypted. Absent where it is not known.
    pub bytes_added: Option<u64>,
}

/// Something long under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct TransferView {
    pub bytes_done: u64,
    /// 0 while it is not known.
    pub bytes_total: u64,
    /// Since it began; absent in the first moments.
    pub bytes_per_second: Option<u64>,
    /// At this rate.
    pub milliseconds_left: Option<i64>,
}

/// The repository this portal was started with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct RepositoryView {
    /// Where it is; absent when the portal has none, and for who is no administrator.
    pub location: Option<String>,
    /// Whether the portal has one.
    pub configured: bool,
    /// What goes there by itself: `all`, `kept` or `none`.
    pub export: String,
    /// What is deleted here stays there for so many days.
    pub keep_days: u32,
    /// Why it could not be used last, and since when.
    pub trouble: Option<String>,
    pub trouble_since: Option<i64>,
    /// When it was last compared with what is known here.
    pub looked_at: Option<i64>,
    /// Snapshots in it, of whatever portal.
    pub snapshots: Option<u64>,
    /// What it takes, everything once, compressed and encrypted.
    pub stored_bytes: Option<u64>,
    /// What this portal's snapshots in it would take if each were kept by itself.
    pub bytes: u64,
    /// Of this portal's snapshots: those there, those on their way, and those that failed last.
    pub exported: u64,
    pub waiting: u64,
    pub failed: u64,
    /// The newest first, at most 20; only for administrators.
    pub imports: Vec<ImportView>,
}

/// A snapshot that is in the repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct RepositorySnapshot {
    /// What restic calls it; the first 8 digits and more do, where they name one alone.
    pub id: String,
    pub taken_at: i64,
    /// The portal it was exported by; absent when another program made it.
    pub installation: Option<String>,
    pub environment: String,
    /// What a person called the snapshot.
    pub label: String,
    /// `NAME@VERSION`.
    pub template: Option<String>,
    pub volumes: Vec<String>,
    /// All files of it together.
    pub bytes: Option<u64>,
    pub files: Option<u64>,
    /// Why it cannot become an environment here; absent when it can.
    pub obstacle: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ImportRequest {
    /// Name of the new environment.
    pub name: String,
    /// Instead of those it had; its secrets have to be given anew.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ImportState {
    Wanted,
    Importing,
    /// The environment is there, or on its way up.
    Imported,
    /// Nothing of it is here.
    Failed,
}

impl ImportState {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            ImportState::Wanted => "wanted",
            ImportState::Importing => "importing",
            ImportState::Imported => "imported",
            ImportState::Failed => "failed",
        }
    }
}

/// An environment that comes from the repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct ImportView {
    pub environment_id: String,
    pub environment: String,
    /// Id of the snapshot in the repository.
    pub repository_snapshot: String,
    pub state: ImportState,
    /// Why it failed, or why it waits.
    pub failure: Option<String>,
    pub requested_at: i64,
    pub progress: Option<TransferView>,
}
