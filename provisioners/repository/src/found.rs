//! What a snapshot says of itself, so that it can be found again, by this program and by restic.
//!
//! | in restic's snapshot | is |
//! |---|---|
//! | host | the environment |
//! | tags | `bookend`, `snapshot=…`, `environment=…`, `template=…` |
//! | time | the moment the snapshot was taken, not that of the export |
//! | paths | `/` and the volume's name, each |
//! | description | all of it as JSON, the manifest too. restic shows no description; programs that rewrite a snapshot (`restic tag`, `restic copy`) drop it, and then the tags are what is left |

use jiff::{Timestamp, tz::TimeZone};
use rustic_core::repofile::{SnapshotFile, StringList};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Outcome};

const OURS: &str = "bookend";

/// The name of a snapshot in its repository: 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SnapshotId(pub String);

impl SnapshotId {
    pub(crate) fn of(snapshot: &SnapshotFile) -> Self {
        Self(snapshot.id.to_hex().to_string())
    }
}

impl std::fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What Bookend knows of a snapshot. It is stored encrypted like everything else, and must hold no secrets all the same:
/// `restic snapshots` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotMeta {
    pub environment: String,
    pub snapshot: String,
    pub template: String,
    pub taken_at: Timestamp,
    /// Bookend's manifest, kept as it is.
    pub manifest: serde_json::Value,
}

/// What a repository says of its snapshots.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    /// The oldest first.
    pub found: Vec<Found>,
    /// Of which nothing is known but that they are there, and why.
    pub damaged: Vec<(SnapshotId, Error)>,
}

/// A snapshot in the repository, whoever made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub id: SnapshotId,
    pub taken_at: Timestamp,
    pub host: String,
    pub tags: Vec<String>,
    /// As they were named when it was made; of Bookend's own `/` and a volume's name, each.
    pub paths: Vec<String>,
    /// Of all files together; unknown of snapshots made by old versions of restic.
    pub bytes: Option<u64>,
    pub files: Option<u64>,
    /// None when another program made or rewrote it.
    pub meta: Option<SnapshotMeta>,
}

impl SnapshotMeta {
    pub(crate) fn to_snapshot(&self) -> Outcome<SnapshotFile> {
        let description = serde_json::to_string(self).map_err(|error| Error::Source {
            path: self.snapshot.clone().into(),
            reason: format!("its description cannot be written ({error})"),
        })?;
        let mut tags = StringList::default();
        // restic's command line takes a comma for the end of a tag.
        let tag = |key: &str, value: &str| format!("{key}={}", value.replace(',', "_"));
        tags.add(OURS.into());
        tags.add(tag("snapshot", &self.snapshot));
        tags.add(tag("environment", &self.environment));
        tags.add(tag("template", &self.template));
        Ok(SnapshotFile {
            tags,
            time: self.taken_at.to_zoned(TimeZone::UTC),
            hostname: self.environment.clone(),
            username: OURS.into(),
            program_version: format!("bookend {}", env!("CARGO_PKG_VERSION")),
            description: Some(description),
            ..SnapshotFile::default()
        })
    }
}

impl Found {
    pub(crate) fn from_snapshot(snapshot: &SnapshotFile) -> Self {
        let list = |list: &StringList| -> Vec<String> {
            // The list opens up in its notation only.
            serde_json::to_value(list).and_then(serde_json::from_value).unwrap_or_default()
        };
        let tags = list(&snapshot.tags);
        let ours = tags.iter().any(|tag| tag == OURS);
        let meta = snapshot.description.as_deref().filter(|_| ours).and_then(|text| serde_json::from_str(text).ok());
        Self {
            id: SnapshotId::of(snapshot),
            taken_at: snapshot.time.timestamp(),
            host: snapshot.hostname.clone(),
            paths: list(&snapshot.paths),
            bytes: snapshot.summary.as_ref().map(|summary| summary.total_bytes_processed),
            files: snapshot.summary.as_ref().map(|summary| summary.total_files_processed),
            tags,
            meta,
        }
    }
}
