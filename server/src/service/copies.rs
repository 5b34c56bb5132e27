//! Orders that begin with what the volumes of another environment hold: clones. The data is copied, never shared; servers,
//! their names for the portal, their sessions and secrets are the new environment's own.

use app::api::{ApiError, DataSource, SnapshotReason, SnapshotState, State};
use app::portal::SignedIn;
use provisioners::Capabilities;
use serde_json::{Value, json};

use super::catalog::Places;
use super::trouble::{failed, no_such};
use super::{Service, access, environments, snapshots};
use crate::domain::note::Note;
use crate::domain::template::Template;
use crate::domain::topology::Topology;
use crate::store::{EnvironmentRecord, NewEnvironment, Source, StoreError, Tx, Wanted};

/// The provisioner that is this machine.
const LOCAL: &str = "local";

/// Where an order's data comes from.
pub(super) struct Origin {
    record: EnvironmentRecord,
    /// Absent: what the volumes hold now, in a snapshot that is taken for it.
    snapshot: Option<Source>,
    /// Another provisioner, which has a copy of that snapshot.
    elsewhere: Option<String>,
}

/// `None` when there is no data to begin with.
///
/// # Errors
/// The environment is not theirs, or there is nothing in it that can be copied now.
pub(super) async fn origin(service: &Service, by: &SignedIn, data: &DataSource) -> Result<Option<Origin>, ApiError> {
    let record = environments::find(service, by, &data.environment).await?;
    access::owner(by, &record)?;
    if let Some(at) = data.at.as_ref().filter(|at| **at != record.provisioner) {
        let source = copied_to(service, &record, data.snapshot.as_deref(), at).await?;
        return Ok(Some(Origin { record, snapshot: Some(source), elsewhere: Some(at.clone()) }));
    }
    if let Some(snapshot) = data.snapshot.as_deref() {
        let found = snapshots::find(service, &record, snapshot).await?;
        snapshots::is_good(service, &record, &found.view).await?;
        let source = found.source(&record.summary.id);
        return Ok(Some(Origin { record, snapshot: Some(source), elsewhere: None }));
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
        return Ok(Some(Origin { record, snapshot: Some(source), elsewhere: None }));
    }
    let used = record.facts.observed.current_volumes().any(|volume| volume.seen);
    Ok(used.then_some(Origin { record, snapshot: None, elsewhere: None }))
}

/// The snapshot of which another provisioner has a complete copy.
async fn copied_to(
    service: &Service,
    record: &EnvironmentRecord,
    wanted: Option<&str>,
    at: &str,
) -> Result<Source, ApiError> {
    let (name, here) = (&record.summary.name, &record.provisioner);
    if service.places.named(at).is_none() {
        return Err(ApiError::field("at", "is no provisioner of this portal"));
    }
    let there = service.store.complete_copies(&record.summary.id).await.map_err(failed)?.remove(at).unwrap_or_default();
    let all = service.store.snapshots(&record.summary.id).await.map_err(failed)?;
    let newest = all.iter().find(|one| one.view.state == SnapshotState::Complete && there.contains(&one.view.id));
    let instead = match newest {
        Some(newest) => {
            format!("The newest one of which there is a copy is {}; `latest` stands for it.", newest.view.id)
        }
        None if [here.as_str(), at].contains(&LOCAL) => {
            "Snapshots are copied between regions of Amazon EC2 only; `bookend snapshot export` takes one elsewhere."
                .into()
        }
        None => format!("An administrator can have them copied: `snapshots.copy_to = \"{at}\"` in [ec2.{here}]."),
    };
    let Some(wanted) = wanted else {
        return Err(ApiError::conflict(format!("What the volumes of “{name}” hold now is at “{here}” only"))
            .with_detail(format!("At “{at}” one can begin with a snapshot that was copied there. {instead}")));
    };
    let found = match wanted {
        snapshots::LATEST => newest,
        id => Some(all.iter().find(|one| one.view.id == id).ok_or_else(|| no_such("snapshot", id))?),
    };
    match found.filter(|one| there.contains(&one.view.id)) {
        Some(found) => {
            snapshots::is_good(service, record, &found.view).await?;
            Ok(found.source(&record.summary.id))
        }
        None => Err(ApiError::conflict(format!("“{at}” has no complete copy of that snapshot")).with_detail(instead)),
    }
}

impl Origin {
    /// Id of the environment.
    pub fn environment(&self) -> &str {
        &self.record.summary.id
    }

    /// Where the new environment is to be, for its data is there.
    pub fn place<'a>(&self, places: &'a Places, template: &Template) -> Result<(&'a str, Capabilities), String> {
        match &self.elsewhere {
            None => places.beside(&self.record.provisioner, template),
            Some(at) => places.elsewhere(at, template),
        }
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
