//! Snapshots held to what they are said to be: read as a whole and compared with what was written down when they were taken.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use app::api::{ApiError, DamageView, SnapshotState, SnapshotVerification, Work, WorkView};
use app::portal::{Live, SignedIn};
use provisioners::{DataProgress, EnvironmentId, SnapshotId, Verification};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::trouble::{failed, not_done};
use super::{Service, access, environments, snapshots, work};
use crate::domain::note::Note;
use crate::store::{self, AuditEvent, EnvironmentRecord, StoreError};

/// The snapshots that are being verified by this portal. Cheap to clone.
#[derive(Clone, Default)]
pub struct Verifications(Arc<Mutex<Ongoing>>);

/// How far, and the way to stop it, by snapshot.
type Ongoing = HashMap<String, (watch::Receiver<DataProgress>, CancellationToken)>;

/// The right to verify one snapshot, given back when it is dropped.
struct Turn {
    all: Verifications,
    snapshot: String,
    stopped: CancellationToken,
}

impl Verifications {
    /// How far one has come.
    pub fn of(&self, snapshot: &str) -> Option<WorkView> {
        self.now().get(snapshot).map(|(heard, _)| work::view(&heard.borrow()))
    }

    /// Whether there was one.
    fn stop(&self, snapshot: &str) -> bool {
        self.now().get(snapshot).map(|(_, stopped)| stopped.cancel()).is_some()
    }

    fn begin(&self, snapshot: &str, heard: watch::Receiver<DataProgress>) -> Option<Turn> {
        let mut all = self.now();
        if all.contains_key(snapshot) {
            return None;
        }
        let stopped = CancellationToken::new();
        all.insert(snapshot.to_owned(), (heard, stopped.clone()));
        Some(Turn { all: self.clone(), snapshot: snapshot.to_owned(), stopped })
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

pub(super) async fn verify(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    snapshot: &str,
) -> Result<Live<Work<SnapshotVerification>>, ApiError> {
    let record = environments::find(service, by, environment).await?;
    access::owner(by, &record)?;
    let view = snapshots::find(service, &record, snapshot).await?.view;
    if !matches!(view.state, SnapshotState::Complete | SnapshotState::Damaged) {
        return Err(ApiError::conflict(format!("That snapshot is {}", view.state.as_str()))
            .with_detail("It can be verified once it is complete."));
    }
    let (told, heard) = watch::channel(DataProgress::default());
    let turn = service
        .verifications
        .begin(&view.id, heard.clone())
        .ok_or_else(|| ApiError::conflict("It is being verified already").with_detail("Wait until that is over."))?;
    service.bell.tell(&record.summary.id);
    let (trees, bell, id) = (service.trees.clone(), service.bell.clone(), record.summary.id.clone());
    let recorder = Recorder { store: service.store.clone(), clock: service.clock.clone(), by: by.clone() };
    let work = async move {
        let (environment, snapshot) = (EnvironmentId::new(id.clone()), SnapshotId::new(view.id.clone()));
        // Who was told that it is stopped finds it stopped.
        let verified = tokio::select! {
            biased;
            () = turn.stopped.cancelled() => Err(ApiError::conflict("The verification was stopped")),
            verified = trees.verify(&record.provisioner, &environment, &snapshot, &told) => verified.map_err(not_done),
        };
        let recorded = match &verified {
            Ok(verification) => recorder.record(&record, &view.id, verification).await.map_err(failed),
            Err(_) => Ok(()),
        };
        drop(turn);
        bell.tell(&id);
        recorded?;
        Ok(told_of(view.id, verified?))
    };
    Ok(work::follow(heard, work))
}

pub(super) async fn stop(service: &Service, by: &SignedIn, environment: &str, snapshot: &str) -> Result<(), ApiError> {
    let record = environments::find(service, by, environment).await?;
    access::owner(by, &record)?;
    let view = snapshots::find(service, &record, snapshot).await?.view;
    match service.verifications.stop(&view.id) {
        true => Ok(()),
        false => Err(ApiError::conflict("It is not being verified")
            .with_detail("The verification may just have come to its end.")),
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
