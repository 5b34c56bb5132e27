//! What differs between two snapshots of an environment, or between one and the volumes as they are now.

use std::collections::BTreeSet;

use app::api::{
    ApiError, FileChange, FileChangeKind, SnapshotComparison, SnapshotState, VolumeComparison, VolumePresence, Work,
};
use app::portal::{Live, SignedIn};
use provisioners::{ChangeKind, DataProgress, EnvironmentId, ProvisionError, SnapshotId, Told, Tree, VolumeId};
use tokio::sync::watch;

use super::trouble::not_done;
use super::{Service, access, environments, files, snapshots, work};
use crate::engine::Trees;
use crate::store::EnvironmentRecord;

/// Names told of one volume at most.
const MOST_CHANGES: usize = 200;

/// One side of a comparison: its volumes by name.
struct Side {
    snapshot: Option<String>,
    volumes: Vec<(String, VolumeId)>,
    /// How much each held, where that is known.
    bytes: Vec<(String, u64)>,
}

pub(super) async fn compare(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    first: &str,
    second: Option<&str>,
) -> Result<Live<Work<SnapshotComparison>>, ApiError> {
    let record = environments::find(service, by, environment).await?;
    access::owner(by, &record)?;
    let (first, second) = (side(service, &record, Some(first)).await?, side(service, &record, second).await?);
    let (told, heard) = watch::channel(DataProgress::default());
    let comparing = Comparing {
        trees: service.trees.clone(),
        provisioner: record.provisioner,
        environment: EnvironmentId::new(record.summary.id),
        first,
        second,
        told,
        before: DataProgress::default(),
    };
    Ok(work::follow(heard, comparing.all()))
}

struct Comparing {
    trees: Trees,
    provisioner: String,
    environment: EnvironmentId,
    first: Side,
    second: Side,
    told: Told,
    /// What the volumes before took.
    before: DataProgress,
}

impl Comparing {
    async fn all(mut self) -> Result<SnapshotComparison, ApiError> {
        let names: BTreeSet<String> =
            self.first.volumes.iter().chain(&self.second.volumes).map(|(name, _)| name.clone()).collect();
        let mut volumes = Vec::new();
        for name in &names {
            volumes.push(self.volume(name).await?);
        }
        let (first, second) = (self.first.snapshot.unwrap_or_default(), self.second.snapshot);
        Ok(SnapshotComparison { first, second, volumes })
    }

    async fn volume(&mut self, name: &str) -> Result<VolumeComparison, ApiError> {
        let presence = match (self.tree(&self.first, name), self.tree(&self.second, name)) {
            (Some(one), Some(other)) => {
                let compared = self.trees_of(name, &one, &other).await.map_err(not_done)?;
                return Ok(compared_volume(name, compared));
            }
            (Some(_), None) => VolumePresence::OnlyFirst,
            (None, _) => VolumePresence::OnlySecond,
        };
        Ok(VolumeComparison { presence, ..compared_volume(name, provisioners::Comparison::default()) })
    }

    /// Compares one volume, and tells how far all have come.
    async fn trees_of(
        &mut self,
        name: &str,
        one: &Tree,
        other: &Tree,
    ) -> Result<provisioners::Comparison, ProvisionError> {
        let (told, mut heard) = watch::channel(DataProgress::default());
        // What the present holds of those that are still to come is not known: about what they held then.
        let later = match self.second.snapshot {
            Some(_) => 0,
            None => self.first.bytes.iter().filter(|(other, _)| other.as_str() > name).map(|(_, bytes)| bytes).sum(),
        };
        let before = self.before.clone();
        let together = |now: &DataProgress| DataProgress {
            doing: now.doing.clone(),
            passed_ms: before.passed_ms + now.passed_ms,
            done_bytes: before.done_bytes + now.done_bytes,
            total_bytes: before.total_bytes + now.total_bytes + later,
        };
        let telling = async {
            while heard.changed().await.is_ok() {
                self.told.send_replace(together(&heard.borrow_and_update()));
            }
            std::future::pending().await
        };
        let compared = tokio::select! {
            compared = self.trees.compare(&self.provisioner, one, other, MOST_CHANGES, &told) => compared,
            never = telling => never,
        }?;
        let last = told.borrow().clone();
        self.before = DataProgress { total_bytes: before.total_bytes + last.total_bytes, ..together(&last) };
        Ok(compared)
    }

    fn tree(&self, side: &Side, volume: &str) -> Option<Tree> {
        let (_, volume) = side.volumes.iter().find(|(name, _)| name == volume)?;
        let snapshot = side.snapshot.clone().map(SnapshotId::new);
        Some(Tree { environment: self.environment.clone(), snapshot, volume: volume.clone() })
    }
}

async fn side(service: &Service, record: &EnvironmentRecord, snapshot: Option<&str>) -> Result<Side, ApiError> {
    let put_away = record.facts.observed.put_away_in().map(|kept| kept.snapshot.as_str());
    let Some(snapshot) = snapshot.or(put_away) else {
        let topology = record.facts.topology.volumes.iter();
        let volumes = topology.filter_map(|volume| Some((volume.name.clone(), files::now(record, &volume.name)?)));
        let volumes: Vec<_> = volumes.collect();
        return match volumes.is_empty() {
            true => Err(ApiError::conflict(format!("“{}” has no volumes now", record.summary.name))
                .with_detail("Compare with another snapshot.")),
            false => Ok(Side { snapshot: None, volumes, bytes: Vec::new() }),
        };
    };
    let found = snapshots::find(service, record, snapshot).await?;
    if !matches!(found.view.state, SnapshotState::Complete | SnapshotState::Damaged) {
        return Err(ApiError::conflict(format!("That snapshot is {}", found.view.state.as_str()))
            .with_detail("It can be compared once it is complete."));
    }
    let volumes = found.contents.into_iter().map(|held| (held.name, held.volume)).collect();
    let bytes = found.view.volumes.iter().map(|volume| (volume.name.clone(), volume.bytes)).collect();
    Ok(Side { snapshot: Some(found.view.id), volumes, bytes })
}

fn compared_volume(name: &str, comparison: provisioners::Comparison) -> VolumeComparison {
    let changes = comparison.changes.into_iter().map(|change| FileChange {
        kind: match change.kind {
            ChangeKind::Added => FileChangeKind::Added,
            ChangeKind::Changed => FileChangeKind::Changed,
            ChangeKind::Removed => FileChangeKind::Removed,
        },
        path: app::api::shown_name(change.path.as_bytes()),
        size: change.size,
    });
    VolumeComparison {
        name: name.to_owned(),
        presence: VolumePresence::Both,
        added: comparison.added,
        changed: comparison.changed,
        removed: comparison.removed,
        changes: changes.collect(),
    }
}
