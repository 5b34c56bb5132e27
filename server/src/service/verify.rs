//! Snapshots held to what they are said to be: verified as a whole, and compared with each other or with the present.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use app::api::{
    ApiError, DamageView, FileChange, FileChangeKind, SnapshotComparison, SnapshotState, SnapshotVerification,
    Verifying, VolumeComparison, VolumePresence, WorkView,
};
use app::portal::{Live, SignedIn};
use futures::future::BoxFuture;
use futures::stream;
use provisioners::{ChangeKind, DataProgress, EnvironmentId, SnapshotId, Tree, Verification, VolumeId};
use serde_json::json;
use tokio::sync::watch;

use super::trouble::{failed, not_done};
use super::{Service, access, environments, files, snapshots};
use crate::domain::note::Note;
use crate::store::{self, AuditEvent, EnvironmentRecord, StoreError};

/// Names told of one volume at most.
const MOST_CHANGES: usize = 200;

/// The snapshots that are being verified by this portal. Cheap to clone.
#[derive(Clone, Default)]
pub struct Verifications(Arc<Mutex<Ongoing>>);

/// Since when, and how far, by snapshot.
type Ongoing = HashMap<String, (i64, watch::Receiver<DataProgress>)>;

/// The right to verify one snapshot, given back when it is dropped.
struct Turn {
    all: Verifications,
    snapshot: String,
}

impl Verifications {
    /// How far one has come.
    pub fn of(&self, snapshot: &str) -> Option<WorkView> {
        self.now().get(snapshot).map(|(since, heard)| work(*since, &heard.borrow()))
    }

    fn begin(&self, snapshot: &str, now: i64, heard: watch::Receiver<DataProgress>) -> Option<Turn> {
        let mut all = self.now();
        if all.contains_key(snapshot) {
            return None;
        }
        all.insert(snapshot.to_owned(), (now, heard));
        Some(Turn { all: self.clone(), snapshot: snapshot.to_owned() })
    }

    fn now(&self) -> MutexGuard<'_, Ongoing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.all.now().remove(&self.snapshot);
    }
}

fn work(since: i64, progress: &DataProgress) -> WorkView {
    WorkView { since, done_bytes: progress.done_bytes, total_bytes: progress.total_bytes }
}

/// A verification under way.
struct Going {
    since: i64,
    heard: watch::Receiver<DataProgress>,
    work: BoxFuture<'static, Result<SnapshotVerification, ApiError>>,
}

pub(super) async fn verify(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    snapshot: &str,
) -> Result<Live<Verifying>, ApiError> {
    let record = environments::find(service, by, environment).await?;
    access::owner(by, &record)?;
    let view = snapshots::find(service, &record, snapshot).await?.view;
    if !matches!(view.state, SnapshotState::Complete | SnapshotState::Damaged) {
        return Err(ApiError::conflict(format!("That snapshot is {}", view.state.as_str()))
            .with_detail("It can be verified once it is complete."));
    }
    let (told, heard) = watch::channel(DataProgress::default());
    let since = service.clock.now();
    let turn = service
        .verifications
        .begin(&view.id, since, heard.clone())
        .ok_or_else(|| ApiError::conflict("It is being verified already").with_detail("Wait until that is over."))?;
    service.bell.tell(&record.summary.id);
    let (trees, bell, id) = (service.trees.clone(), service.bell.clone(), record.summary.id.clone());
    let recorder = Recorder { store: service.store.clone(), clock: service.clock.clone(), by: by.clone() };
    let work = async move {
        let (environment, snapshot) = (EnvironmentId::new(id.clone()), SnapshotId::new(view.id.clone()));
        let verified = trees.verify(&record.provisioner, &environment, &snapshot, &told).await.map_err(not_done);
        let recorded = match &verified {
            Ok(verification) => recorder.record(&record, &view.id, verification).await.map_err(failed),
            Err(_) => Ok(()),
        };
        drop(turn);
        bell.tell(&id);
        recorded?;
        Ok(told_of(view.id, verified?))
    };
    let going = Going { since, heard, work: Box::pin(work) };
    Ok(Box::pin(stream::unfold(Some(going), next)))
}

async fn next(going: Option<Going>) -> Option<(Verifying, Option<Going>)> {
    let mut going = going?;
    tokio::select! {
        done = &mut going.work => Some((match done {
            Ok(verification) => Verifying::Done { verification },
            Err(error) => Verifying::Failed { error },
        }, None)),
        Ok(()) = going.heard.changed() => {
            let progress = work(going.since, &going.heard.borrow_and_update());
            Some((Verifying::Reading { progress }, Some(going)))
        }
    }
}

fn told_of(snapshot: String, verification: Verification) -> SnapshotVerification {
    let Verification { files, bytes, damage, damaged } = verification;
    let damage = damage.into_iter().map(|one| DamageView { volume: one.volume, path: one.path, what: one.what });
    SnapshotVerification { snapshot, files, bytes, damaged, damage: damage.collect() }
}

/// Writes down what was found, also when nobody waits for the answer any more.
struct Recorder {
    store: store::Store,
    clock: crate::clock::Clock,
    by: SignedIn,
}

impl Recorder {
    async fn record(
        &self,
        record: &EnvironmentRecord,
        snapshot: &str,
        verification: &Verification,
    ) -> Result<(), StoreError> {
        let (now, id, reason) = (self.clock.now(), &record.summary.id, verification.reason());
        let note = match &reason {
            None => Note::new("snapshot_verified", "A snapshot was verified: it is what was taken"),
            Some(reason) => Note::new("snapshot_damaged", format!("A snapshot is damaged: {reason}")),
        };
        let mut tx = self.store.write().await?;
        tx.snapshot_verified(snapshot, reason.as_deref(), now).await?;
        tx.add_event(id, &note, Some(&self.by.name), now).await?;
        tx.audit(&AuditEvent {
            id: &store::id(now),
            team_id: Some(&record.team_id),
            at: now,
            actor: &self.by.name,
            action: "verify snapshot",
            target: &record.summary.name,
            detail: json!({ "environment": id, "snapshot": snapshot, "damaged": verification.damaged }),
        })
        .await?;
        tx.commit().await
    }
}

/// One side of a comparison: its volumes by name.
struct Side {
    snapshot: Option<String>,
    volumes: Vec<(String, VolumeId)>,
}

pub(super) async fn compare(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    first: &str,
    second: Option<&str>,
) -> Result<SnapshotComparison, ApiError> {
    let record = environments::find(service, by, environment).await?;
    access::owner(by, &record)?;
    let (first, second) = (side(service, &record, Some(first)).await?, side(service, &record, second).await?);
    let environment = EnvironmentId::new(record.summary.id.clone());
    let tree = |side: &Side, volume: &VolumeId| Tree {
        environment: environment.clone(),
        snapshot: side.snapshot.clone().map(SnapshotId::new),
        volume: volume.clone(),
    };
    let mut names: Vec<&String> = first.volumes.iter().chain(&second.volumes).map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    let mut volumes = Vec::new();
    for name in names {
        let of =
            |side: &Side| side.volumes.iter().find(|(other, _)| other == name).map(|(_, volume)| tree(side, volume));
        let presence = match (of(&first), of(&second)) {
            (Some(one), Some(other)) => {
                let compared = service.trees.compare(&record.provisioner, &one, &other, MOST_CHANGES).await;
                volumes.push(compared_volume(name, compared.map_err(not_done)?));
                continue;
            }
            (Some(_), None) => VolumePresence::OnlyFirst,
            (None, _) => VolumePresence::OnlySecond,
        };
        let none = VolumeComparison { presence, ..compared_volume(name, provisioners::Comparison::default()) };
        volumes.push(none);
    }
    Ok(SnapshotComparison { first: first.snapshot.unwrap_or_default(), second: second.snapshot, volumes })
}

async fn side(service: &Service, record: &EnvironmentRecord, snapshot: Option<&str>) -> Result<Side, ApiError> {
    let Some(snapshot) = snapshot else {
        let topology = record.facts.topology.volumes.iter();
        let volumes = topology.filter_map(|volume| Some((volume.name.clone(), files::now(record, &volume.name)?)));
        let volumes: Vec<_> = volumes.collect();
        return match volumes.is_empty() {
            true => Err(ApiError::conflict(format!("“{}” has no volumes now", record.summary.name))
                .with_detail("Compare with another snapshot.")),
            false => Ok(Side { snapshot: None, volumes }),
        };
    };
    let found = snapshots::find(service, record, snapshot).await?;
    if !matches!(found.view.state, SnapshotState::Complete | SnapshotState::Damaged) {
        return Err(ApiError::conflict(format!("That snapshot is {}", found.view.state.as_str()))
            .with_detail("It can be compared once it is complete."));
    }
    let volumes = found.contents.into_iter().map(|held| (held.name, held.volume)).collect();
    Ok(Side { snapshot: Some(found.view.id), volumes })
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
