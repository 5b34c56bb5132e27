//! Snapshots of what environments' volumes hold, and bringing one back.

use app::api::{
    ApiError, EnvironmentDetail, RestoreRequest, SnapshotChange, SnapshotReason, SnapshotRequest, SnapshotState,
    SnapshotView, State,
};
use app::portal::SignedIn;
use provisioners::EnvironmentId;
use serde_json::json;

use super::trouble::{failed, no_such, overtaken};
use super::{Service, access, environments, orders, repository, warmth, work};
use crate::domain::actions::Change;
use crate::domain::facts::Desired;
use crate::domain::note::Note;
use crate::domain::schedule;
use crate::store::{EnvironmentRecord, Needed, SnapshotRecord, Source, StoreError, Undeleted, Wanted};

const LONGEST_LABEL: usize = 100;
/// Of those that people asked for, in one environment.
const MOST_ON_DEMAND: usize = 100;
/// The newest, wherever a snapshot is named.
pub(super) const LATEST: &str = "latest";

pub(super) async fn snapshots(
    service: &Service,
    by: &SignedIn,
    environment: &str,
) -> Result<Vec<SnapshotView>, ApiError> {
    let record = environments::find(service, by, environment).await?;
    let all = service.store.snapshots(&record.summary.id).await.map_err(failed)?;
    let mut all: Vec<SnapshotView> = all.into_iter().map(|one| one.view).collect();
    let coming = |one: &SnapshotView| matches!(one.state, SnapshotState::Wanted | SnapshotState::Reading);
    let under_way = match all.iter().any(coming) {
        // Without it they are told of all the same.
        true => service.trees.under_way(&record.provisioner, &EnvironmentId::new(record.summary.id.clone())).await,
        false => Ok(Vec::new()),
    };
    let under_way = under_way.unwrap_or_default();
    for view in &mut all {
        let found = under_way.iter().find(|(id, _)| id.as_str() == view.id);
        view.reading = found.filter(|_| coming(view)).map(|(_, progress)| work::view(progress));
        view.verifying = service.verifications.of(&view.id);
    }
    repository::tell_exports(service, &record.summary.id, &mut all).await?;
    let mut copies = service.store.copies_of(&record.summary.id).await.map_err(failed)?;
    for view in &mut all {
        view.copies = copies.remove(&view.id).unwrap_or_default();
    }
    warmth::tell(service, &record, &mut all).await;
    Ok(all)
}

pub(super) async fn take(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    request: SnapshotRequest,
) -> Result<SnapshotView, ApiError> {
    let record = environments::find(service, by, environment).await?;
    access::owner(by, &record)?;
    let label = label(&request.label)?;
    let (name, state) = (&record.summary.name, record.summary.state);
    if !matches!(state, State::Ready | State::Repairing | State::Parked) {
        return Err(ApiError::conflict(format!("“{name}” is {state}"))
            .with_detail("Snapshots are taken of what is ready or parked."));
    }
    if let Some(kept) = record.facts.observed.put_away_in() {
        return Err(ApiError::conflict(format!("“{name}” has its volumes in a snapshot already"))
            .with_detail(format!("Nothing has changed since {} was taken; pin that one to keep it.", kept.snapshot)));
    }
    if !record.facts.observed.current_volumes().any(|volume| volume.seen) {
        return Err(ApiError::conflict(format!("“{name}” has no volumes"))
            .with_detail("Servers are disposable: only what is on a volume is kept."));
    }
    let all = service.store.snapshots(&record.summary.id).await.map_err(failed)?;
    if all.iter().filter(|one| one.view.reason == SnapshotReason::Demand).count() >= MOST_ON_DEMAND {
        return Err(ApiError::conflict(format!("“{name}” has {MOST_ON_DEMAND} snapshots that people asked for"))
            .with_detail("Delete one first."));
    }
    let (id, now) = (&record.summary.id, service.clock.now());
    let committed = async {
        let mut tx = service.store.write().await?;
        let wanted = Wanted { environment: id, reason: SnapshotReason::Demand, label: &label, actor: Some(&by.name) };
        let Source { snapshot, volumes, .. } = tx.want_snapshot(&wanted, now).await?;
        // The volumes have been put away this moment.
        if volumes.is_empty() {
            return Err(StoreError::Stale);
        }
        tx.touch(id, now).await?;
        service.audit(&mut tx, by, "snapshot", name, json!({ "environment": id, "snapshot": snapshot })).await?;
        tx.commit().await?;
        Ok(snapshot)
    };
    let snapshot = committed.await.map_err(|error| match error {
        StoreError::Stale => overtaken(),
        error => failed(error),
    })?;
    service.bell.ring(id);
    Ok(find(service, &record, &snapshot).await?.view)
}

pub(super) async fn change(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    snapshot: &str,
    change: SnapshotChange,
) -> Result<SnapshotView, ApiError> {
    let record = environments::find(service, by, environment).await?;
    access::owner(by, &record)?;
    let found = find(service, &record, snapshot).await?;
    let label = change.label.as_deref().map(label).transpose()?;
    let id = &found.view.id;
    let detail = json!({ "environment": record.summary.id, "snapshot": id, "label": label, "pinned": change.pinned });
    let committed = async {
        let mut tx = service.store.write().await?;
        tx.change_snapshot(id, label.as_deref(), change.pinned).await?;
        service.audit(&mut tx, by, "change snapshot", &record.summary.name, detail).await?;
        tx.commit().await
    };
    committed.await.map_err(failed)?;
    service.bell.tell(&record.summary.id);
    Ok(find(service, &record, id).await?.view)
}

pub(super) async fn delete(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    snapshot: &str,
) -> Result<(), ApiError> {
    let record = environments::find(service, by, environment).await?;
    access::owner(by, &record)?;
    let found = find(service, &record, snapshot).await?;
    let intent = &record.facts.intent;
    let id = found.view.id.as_str();
    let restoring = intent.restoring.as_ref();
    let needed = restoring.is_some_and(|restoring| {
        restoring.snapshot.id.as_str() == id
            || restoring.present.as_ref().is_some_and(|present| present.id.as_str() == id)
    });
    if needed {
        return Err(ApiError::conflict("It is being restored").with_detail("Wait until that is over."));
    }
    if found.view.pinned {
        return Err(ApiError::conflict("It is pinned").with_detail("Unpin it first."));
    }
    let (environment, now) = (&record.summary.id, service.clock.now());
    let committed = async {
        let mut tx = service.store.write().await?;
        tx.remove_snapshot(id, now).await?;
        if let Some(needed) = tx.is_needed(id).await? {
            return Ok(Some(needed));
        }
        tx.touch(environment, now).await?;
        tx.add_event(environment, &Note::new("snapshot_deleted", "A snapshot is deleted"), Some(&by.name), now).await?;
        let detail = json!({ "environment": environment, "snapshot": id });
        service.audit(&mut tx, by, "delete snapshot", &record.summary.name, detail).await?;
        tx.commit().await?;
        Ok(None)
    };
    match committed.await.map_err(failed)? {
        Some(Needed::Copied) => Err(ApiError::conflict("It is being copied into another environment")
            .with_detail("Wait until that one has its volumes.")),
        Some(Needed::InPlaceOfVolumes) => {
            Err(ApiError::conflict(format!("“{}” is parked in it: its data is nowhere else", record.summary.name))
                .with_detail("Resume it, or restore another snapshot, and wait until that is over."))
        }
        None => {
            service.bell.ring(environment);
            Ok(())
        }
    }
}

pub(super) async fn restore(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    request: RestoreRequest,
) -> Result<EnvironmentDetail, ApiError> {
    let record = environments::find(service, by, environment).await?;
    access::owner(by, &record)?;
    let snapshot = find(service, &record, request.snapshot.as_deref().unwrap_or(LATEST)).await?;
    let name = &record.summary.name;
    may_be_restored(service, &record, &snapshot).await?;
    let (id, intent, now) = (&record.summary.id, &record.facts.intent, service.clock.now());
    let deleted = intent.deleted_at.is_some();
    let note = match deleted {
        true => Note::new("undeleting", format!("Bringing {name} back")),
        false => Note::new("restoring", format!("Restoring {name} to an earlier moment")),
    };
    let change = Change::prepared(if deleted { Desired::Running } else { intent.desired }, note);
    let sizes: Vec<_> =
        record.facts.topology.volumes.iter().map(|volume| (volume.name.clone(), volume.size_bytes)).collect();
    let committed = async {
        let mut tx = service.store.write().await?;
        if deleted {
            let undeleted = tx.undelete(&record, orders::QUOTA, now).await?;
            if undeleted != Undeleted::Done {
                return Ok(undeleted);
            }
            let upcoming = schedule::upcoming(&record.facts.topology, intent.snapshot_rule.as_ref(), now);
            tx.set_upcoming(id, upcoming).await?;
        }
        tx.change_desire(id, intent.generation, &change, Some(&by.name), now).await?;
        let used = record.facts.observed.current_volumes().any(|volume| volume.seen);
        let present = match used && !deleted {
            true => {
                let wanted =
                    Wanted { environment: id, reason: SnapshotReason::Restore, label: "", actor: Some(&by.name) };
                Some(tx.want_snapshot(&wanted, now).await?.snapshot)
            }
            false => None,
        };
        tx.begin_restore(id, &snapshot.source(id), &sizes, present.as_deref(), now).await?;
        let detail = json!({ "environment": id, "snapshot": snapshot.view.id });
        service.audit(&mut tx, by, if deleted { "undelete" } else { "restore" }, name, detail).await?;
        tx.commit().await?;
        Ok(Undeleted::Done)
    };
    match committed.await {
        Ok(Undeleted::Done) => {}
        Ok(Undeleted::NameTaken) => {
            return Err(ApiError::conflict(format!("There is another environment “{name}” now"))
                .with_detail("Give that one another name first."));
        }
        Ok(Undeleted::Quota { limit }) => {
            return Err(ApiError::conflict(format!("There are {limit} environments already, as many as allowed"))
                .with_detail("Delete one first."));
        }
        Err(StoreError::Stale) => return Err(overtaken()),
        Err(error) => return Err(failed(error)),
    }
    service.bell.ring(id);
    environments::environment(service, by, id).await
}

async fn may_be_restored(
    service: &Service,
    record: &EnvironmentRecord,
    snapshot: &SnapshotRecord,
) -> Result<(), ApiError> {
    let (name, intent) = (&record.summary.name, &record.facts.intent);
    if intent.restoring.is_some() || intent.changing.is_some() {
        return Err(ApiError::conflict(format!("“{name}” is being restored or changed already"))
            .with_detail("Wait until that is over, then decide."));
    }
    if intent.desired == Desired::Deleted && intent.deleted_at.is_none() {
        return Err(ApiError::conflict(format!("“{name}” is being deleted"))
            .with_detail("It can be brought back once it is deleted."));
    }
    is_good(service, record, &snapshot.view).await?;
    let ours: Vec<&str> = record.facts.topology.volumes.iter().map(|volume| volume.name.as_str()).collect();
    let kept: Vec<&str> = snapshot.contents.iter().map(|volume| volume.name.as_str()).collect();
    let missing: Vec<&str> = ours.iter().filter(|name| !kept.contains(name)).copied().collect();
    let homeless: Vec<&str> = kept.iter().filter(|name| !ours.contains(name)).copied().collect();
    match (missing.as_slice(), homeless.as_slice()) {
        ([], []) => Ok(()),
        ([], homeless) => {
            Err(ApiError::conflict(format!("“{name}” has no volume {} any more", homeless.join(" and ")))
                .with_detail("That snapshot holds what was on it: restoring it would leave that nowhere."))
        }
        (missing, []) => Err(ApiError::conflict(format!("That snapshot has nothing of {}", missing.join(" and ")))
            .with_detail("A volume is never made empty by a restore.")),
        (missing, homeless) => Err(ApiError::conflict(format!(
            "That snapshot has {} and nothing of {}",
            homeless.join(" and "),
            missing.join(" and ")
        ))
        .with_detail(format!("“{name}” has other volumes now than it had then."))),
    }
}

/// # Errors
/// Nothing can be made from it; the newest from which something can is named.
pub(super) async fn is_good(
    service: &Service,
    record: &EnvironmentRecord,
    snapshot: &SnapshotView,
) -> Result<(), ApiError> {
    if snapshot.state == SnapshotState::Complete {
        return Ok(());
    }
    let all = service.store.snapshots(&record.summary.id).await.map_err(failed)?;
    let good = all.into_iter().map(|one| one.view).find(|one| one.state == SnapshotState::Complete);
    let instead = good.map_or("There is no other one that can be.".to_owned(), |good| {
        format!("The newest one that can be is {}.", good.id)
    });
    let why = snapshot.failure.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
    let title = format!("That snapshot is {}{why} and cannot be restored", snapshot.state.as_str());
    Err(ApiError::conflict(title).with_detail(instead))
}

/// By id, or the newest that can be restored.
pub(super) async fn find(
    service: &Service,
    record: &EnvironmentRecord,
    snapshot: &str,
) -> Result<SnapshotRecord, ApiError> {
    let all = service.store.snapshots(&record.summary.id).await.map_err(failed)?;
    let mut all = all.into_iter();
    let found = match snapshot {
        LATEST => all.find(|one| one.view.state == SnapshotState::Complete),
        id => all.find(|one| one.view.id == id),
    };
    found.ok_or_else(|| no_such("snapshot", snapshot))
}

/// As it is kept: one line.
fn label(label: &str) -> Result<String, ApiError> {
    let plain: String = label.chars().filter(|character| !character.is_control()).collect();
    let plain = plain.trim();
    match plain.chars().count() > LONGEST_LABEL {
        true => Err(ApiError::field("label", format!("is longer than {LONGEST_LABEL} characters"))),
        false => Ok(plain.to_owned()),
    }
}
