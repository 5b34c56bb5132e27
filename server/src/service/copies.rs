//! Orders that begin with what the volumes of another environment hold: clones. The data is copied, never shared; servers,
//! their names for the portal, their sessions and secrets are the new environment's own.

use app::api::{ApiError, DataSource, SnapshotReason, State};
use app::portal::SignedIn;
use serde_json::{Value, json};

use super::{Service, access, environments, snapshots};
use crate::domain::note::Note;
use crate::domain::topology::Topology;
use crate::store::{EnvironmentRecord, NewEnvironment, Source, StoreError, Tx, Wanted};

/// Where an order's data comes from.
pub(super) struct Origin {
    record: EnvironmentRecord,
    /// Absent: what the volumes hold now, in a snapshot that is taken for it.
    snapshot: Option<Source>,
}

/// `None` when there is no data to begin with.
///
/// # Errors
/// The environment is not theirs, or there is nothing in it that can be copied now.
pub(super) async fn origin(service: &Service, by: &SignedIn, data: &DataSource) -> Result<Option<Origin>, ApiError> {
    let record = environments::find(service, by, &data.environment).await?;
    access::owner(by, &record)?;
    if let Some(snapshot) = data.snapshot.as_deref() {
        let found = snapshots::find(service, &record, snapshot).await?;
        snapshots::is_good(service, &record, &found.view).await?;
        let source = found.source(&record.summary.id);
        return Ok(Some(Origin { record, snapshot: Some(source) }));
    }
    let (name, state) = (&record.summary.name, record.summary.state);
    if !matches!(state, State::Ready | State::Repairing | State::Parked) {
        return Err(ApiError::conflict(format!("“{name}” is {state}"))
            .with_detail("What is ready or parked can be copied as it is; else name one of its snapshots."));
    }
    if let Some(kept) = record.facts.observed.put_away_in() {
        let found = snapshots::find(service, &record, kept.snapshot.as_str()).await?;
        snapshots::is_good(service, &record, &found.view).await?;
        let source = found.source(&record.summary.id);
        return Ok(Some(Origin { record, snapshot: Some(source) }));
    }
    let used = record.facts.observed.current_volumes().any(|volume| volume.seen);
    Ok(used.then_some(Origin { record, snapshot: None }))
}

impl Origin {
    /// Id of the environment.
    pub fn environment(&self) -> &str {
        &self.record.summary.id
    }

    /// Where the data is.
    pub fn provisioner(&self) -> &str {
        &self.record.provisioner
    }

    /// The volumes that begin with a copy.
    ///
    /// # Errors
    /// The order has no such volume: what it held would be lost.
    pub fn fits(&self, topology: &Topology) -> Result<Vec<String>, ApiError> {
        let names: Vec<String> = match &self.snapshot {
            Some(source) => source.volumes.iter().map(|volume| volume.name.clone()).collect(),
            None => {
                let used = self.record.facts.observed.current_volumes().filter(|volume| volume.seen);
                used.map(|volume| volume.name.clone()).collect()
            }
        };
        let is_known = |name: &&String| topology.volumes.iter().any(|volume| volume.name == **name);
        let lost: Vec<&str> = names.iter().filter(|name| !is_known(name)).map(String::as_str).collect();
        match lost.as_slice() {
            [] => Ok(names),
            lost => Err(ApiError::conflict(format!("What volume {} holds would be lost", lost.join(" and ")))
                .with_detail(
                    "The template version ordered has no volume of that name. Order the version it was made with.",
                )),
        }
    }

    /// Within the order's own transaction. Gives what the audit says of it.
    pub async fn begin(&self, tx: &mut Tx, by: &SignedIn, new: &NewEnvironment, now: i64) -> Result<Value, StoreError> {
        let (environment, name) = (&self.record.summary.id, &self.record.summary.name);
        let source = match &self.snapshot {
            Some(source) => source.clone(),
            None => {
                let label = format!("for {}", new.name);
                let reason = SnapshotReason::Clone;
                let wanted = Wanted { environment, reason, label: &label, actor: Some(&by.name) };
                let source = tx.want_snapshot(&wanted, now).await?;
                tx.touch(environment, now).await?;
                source
            }
        };
        // Between the look and this transaction the environment may have been deleted.
        if !new.copied.iter().all(|name| source.volumes.iter().any(|volume| volume.name == *name)) {
            return Err(StoreError::Stale);
        }
        let sizes: Vec<_> =
            new.topology.volumes.iter().map(|volume| (volume.name.clone(), volume.size_bytes)).collect();
        tx.begin_restore(&new.id, &source, &sizes, None, now).await?;
        let began = Note::new("cloned", format!("Its volumes begin with a copy of what {name} held"));
        tx.add_event(&new.id, &began, Some(&by.name), now).await?;
        let copied = Note::new("cloned", format!("Copied into {}", new.name));
        tx.add_event(environment, &copied, Some(&by.name), now).await?;
        Ok(json!({ "environment": environment, "snapshot": source.snapshot }))
    }
}
