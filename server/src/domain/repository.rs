//! The portable repository: what goes there by itself, how long it stays, what is written down beside it, and when something
//! that failed is tried again.

use std::collections::BTreeMap;
use std::time::Duration;

use app::api::TransferView;
use provisioners::{Manifest, SnapshotContent};
use serde::{Deserialize, Serialize};

/// Which snapshots go to the repository without anybody asking for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ExportPolicy {
    /// Every one
    #[default]
    All,
    /// Those that people asked for or pinned, and the last one of what was deleted
    Kept,
    /// None: only what people send there one by one
    None,
}

impl ExportPolicy {
    pub fn as_str(self) -> &'static str {
        match self {
            ExportPolicy::All => "all",
            ExportPolicy::Kept => "kept",
            ExportPolicy::None => "none",
        }
    }
}

/// How long after failures in a row the next try is; they hardly ever pass at once, and nobody waits for it.
pub fn pause_after(failures: u32) -> Duration {
    Duration::from_secs(match failures {
        0 | 1 => 5,
        2 => 20,
        3 => 60,
        4 => 5 * 60,
        _ => 15 * 60,
    })
}

/// Nothing is said of a rate before so many milliseconds are over.
const FIRST_MOMENTS_MS: i64 = 500;

/// How far something has come that began then.
pub fn transfer(bytes_done: u64, bytes_total: u64, began_at: i64, now: i64) -> TransferView {
    let took = now - began_at;
    let rate = (took >= FIRST_MOMENTS_MS && bytes_done > 0)
        .then(|| u64::try_from(u128::from(bytes_done) * 1000 / took.unsigned_abs().max(1) as u128).unwrap_or(u64::MAX));
    let left = rate.filter(|rate| *rate > 0 && bytes_total > 0).map(|rate| {
        let left = u128::from(bytes_total.saturating_sub(bytes_done)) * 1000 / u128::from(rate);
        i64::try_from(left).unwrap_or(i64::MAX)
    });
    TransferView { bytes_done, bytes_total, bytes_per_second: rate, milliseconds_left: left }
}

/// What stands beside an exported snapshot: all that another portal needs to make an environment of it. No secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Of this description; see [`FORMAT`].
    pub format: u32,
    /// Names the portal's database among others.
    pub installation: String,
    pub environment: String,
    pub environment_id: String,
    pub owner: String,
    pub template: String,
    pub template_version: String,
    /// SHA-256 of its source, hex.
    pub template_digest: String,
    /// What it was ordered with, without secrets.
    pub parameters: BTreeMap<String, String>,
    /// What a person called it.
    pub label: String,
    /// Why it was taken.
    pub reason: String,
    pub volumes: Vec<DescribedVolume>,
}

/// Grows when an older portal could not make sense of a description any more.
pub const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribedVolume {
    pub name: String,
    pub manifest: Manifest,
}

impl Description {
    /// `None` when another program, or a newer portal, wrote it.
    pub fn read(value: &serde_json::Value) -> Option<Description> {
        serde_json::from_value(value.clone()).ok().filter(|description: &Description| description.format == FORMAT)
    }

    /// As it is shown.
    pub fn template_and_version(&self) -> String {
        format!("{}@{}", self.template, self.template_version)
    }

    pub fn bytes(&self) -> u64 {
        self.volumes.iter().fold(0, |sum: u64, volume| sum.saturating_add(volume.manifest.bytes))
    }

    /// Files, folders and links; pipes and the like are not counted.
    pub fn entries(&self) -> u64 {
        let of =
            |manifest: &Manifest| manifest.files.saturating_add(manifest.directories).saturating_add(manifest.links);
        self.volumes.iter().fold(0, |sum: u64, volume| sum.saturating_add(of(&volume.manifest)))
    }
}

/// The volumes of a complete snapshot, as they are described; `None` while one has no manifest.
pub fn described(contents: &[SnapshotContent]) -> Option<Vec<DescribedVolume>> {
    let one = |content: &SnapshotContent| {
        Some(DescribedVolume { name: content.name.clone(), manifest: content.manifest.clone()? })
    };
    contents.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_and_again_is_tried_ever_more_rarely_and_never_given_up() {
        let pauses: Vec<u64> = (0..8).map(|failures| pause_after(failures).as_secs()).collect();
        assert!(pauses.is_sorted(), "{pauses:?}");
        assert_eq!(pause_after(1_000_000), Duration::from_secs(900));
    }

    #[test]
    fn a_rate_and_the_time_left_are_told_once_there_is_something_to_tell() {
        assert_eq!(transfer(0, 100, 0, 10_000).bytes_per_second, None);
        assert_eq!(transfer(50, 100, 0, 100).bytes_per_second, None);
        let half = transfer(500, 1000, 0, 2_000);
        assert_eq!((half.bytes_per_second, half.milliseconds_left), (Some(250), Some(2_000)));
        assert_eq!(transfer(500, 0, 0, 2_000).milliseconds_left, None, "how much there is is not known");
        assert_eq!(transfer(2_000, 1_000, 0, 2_000).milliseconds_left, Some(0));
    }

    #[test]
    fn what_a_newer_portal_describes_is_not_guessed_at() {
        let newer = serde_json::json!({ "format": 2, "installation": "x" });
        assert_eq!(Description::read(&newer), None);
        assert_eq!(Description::read(&serde_json::json!(null)), None);
    }
}
