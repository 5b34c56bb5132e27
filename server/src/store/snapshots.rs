//! Snapshots, from the wish to the end. What begins with one is in [`super::restores`].

use app::api::{SnapshotReason, SnapshotState as Standing, SnapshotView, SnapshotVolumeView};
use provisioners::{ObservedSnapshot, SnapshotContent, SnapshotId, SnapshotState, SnapshotVolume, VolumeId};
use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Store, StoreError, Tx, id, json, timeline};
use crate::domain::note::Note;
use crate::domain::retention;
use crate::domain::topology::Topology;

/// A snapshot to be taken of what the environment's volumes are now.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub environment: &'a str,
    pub reason: SnapshotReason,
    pub label: &'a str,
    /// `None`: a schedule.
    pub actor: Option<&'a str>,
}

/// What volumes are to begin with: a snapshot, perhaps one that is still to be taken.
#[derive(Clone, Debug)]
pub struct Source {
    pub environment: String,
    pub snapshot: String,
    pub volumes: Vec<SnapshotVolume>,
}

/// One snapshot, and whose it is.
#[derive(Clone, Debug)]
pub struct SnapshotRecord {
    pub view: SnapshotView,
    /// What it has, with the ids the provisioner knows.
    pub contents: Vec<SnapshotVolume>,
}

impl SnapshotRecord {
    /// To begin volumes of this or another environment with.
    pub fn source(&self, environment: &str) -> Source {
        let (environment, snapshot) = (environment.to_owned(), self.view.id.clone());
        Source { environment, snapshot, volumes: self.contents.clone() }
    }
}

impl Tx {
    /// The engine takes it as soon as it may.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn want_snapshot(&mut self, wanted: &Wanted<'_>, now: i64) -> Result<Source, StoreError> {
        let rows = sqlx::query(
            "select id, name from volume where environment_id = $1 and role = 'current' and observed_at is not null \
             and deleted_at is null order by name",
        )
        .bind(wanted.environment)
        .fetch_all(self.connection())
        .await?;
        let volumes = rows.iter().map(|row| {
            Ok(SnapshotVolume { volume: VolumeId::new(row.try_get::<String, _>("id")?), name: row.try_get("name")? })
        });
        let volumes: Vec<SnapshotVolume> = volumes.collect::<Result<_, StoreError>>()?;
        let snapshot = id(now);
        sqlx::query(
            "insert into snapshot (id, environment_id, reason, label, actor, state, volumes, requested_at, pinned) \
             values ($1, $2, $3, $4, $5, 'wanted', $6, $7, 0)",
        )
        .bind(&snapshot)
        .bind(wanted.environment)
        .bind(wanted.reason.as_str())
        .bind(wanted.label)
        .bind(wanted.actor)
        .bind(json::write("a snapshot's volumes", &volumes)?)
        .bind(now)
        .execute(self.connection())
        .await?;
        Ok(Source { environment: wanted.environment.to_owned(), snapshot, volumes })
    }

    pub(super) async fn set_final_snapshot(
        &mut self,
        environment: &str,
        snapshot: Option<&str>,
    ) -> Result<(), StoreError> {
        sqlx::query("update environment set final_snapshot_id = $2 where id = $1")
            .bind(environment)
            .bind(snapshot)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    pub(super) async fn set_parked_snapshot(&mut self, environment: &str, snapshot: &str) -> Result<(), StoreError> {
        sqlx::query("update environment set parked_snapshot_id = $2 where id = $1")
            .bind(environment)
            .bind(snapshot)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Writes down how a snapshot was found; one that is complete for the first time makes room for itself.
    pub(super) async fn snapshot_seen(
        &mut self,
        environment: &str,
        seen: &ObservedSnapshot,
        now: i64,
    ) -> Result<(), StoreError> {
        let (state, failure) = match &seen.state {
            SnapshotState::Taking(_) => return Ok(()),
            SnapshotState::Reading(_) => (Standing::Reading, None),
            SnapshotState::Complete => (Standing::Complete, None),
            SnapshotState::Failed { reason } => (Standing::Failed, Some(reason)),
            SnapshotState::Damaged { reason } => (Standing::Damaged, Some(reason)),
        };
        let complete = (state == Standing::Complete).then_some(now);
        sqlx::query(
            "update snapshot set state = $2, failure = $3, contents = $4, method = $5, taken_at = $6, \
             completed_at = coalesce(completed_at, $7), verified_at = coalesce(verified_at, $7) where id = $1",
        )
        .bind(seen.snapshot.as_str())
        .bind(state.as_str())
        .bind(failure)
        .bind(json::write("a snapshot's contents", &seen.contents)?)
        .bind(&seen.method)
        .bind(seen.taken_at)
        .bind(complete)
        .execute(self.connection())
        .await?;
        match (state, failure) {
            (Standing::Complete, _) => self.make_room(environment, now).await,
            (_, Some(reason)) => {
                let note = Note::new("snapshot_failed", format!("A snapshot cannot be used: {reason}"));
                timeline::insert(self.connection(), environment, &note, None, now).await
            }
            _ => Ok(()),
        }
    }

    /// What retention no longer asks for is to go.
    async fn make_room(&mut self, environment: &str, now: i64) -> Result<(), StoreError> {
        let rows = sqlx::query(
            "select s.*, cast(case when exists (select 1 from volume v where v.source_snapshot_id = s.id \
             and (v.role = 'incoming' or (v.role = 'current' and v.observed_at is null))) \
             or exists (select 1 from environment e where s.id in (e.final_snapshot_id, e.restoring_snapshot_id, e.present_snapshot_id, \
             e.parked_snapshot_id)) \
             then 1 else 0 end as bigint) as needed from snapshot s where s.environment_id = $1 and s.removal_requested_at is null order by s.id desc",
        )
        .bind(environment)
        .fetch_all(self.connection())
        .await?;
        let mut all = Vec::new();
        for row in &rows {
            let record = record(row)?;
            let needed = row.try_get::<i64, _>("needed")? != 0;
            let SnapshotView { id, reason, state, pinned, .. } = record.view;
            let taken_at = record.view.taken_at.unwrap_or(record.view.requested_at);
            all.push(retention::Kept { id, reason, state, taken_at, needed, pinned });
        }
        let topology: String = sqlx::query_scalar("select topology from environment where id = $1")
            .bind(environment)
            .fetch_one(self.connection())
            .await?;
        let topology: Topology = json::read("a topology", &topology)?;
        for expendable in retention::expendable(&all, &topology.snapshots) {
            self.remove_snapshot(&expendable, now).await?;
        }
        Ok(())
    }

    /// The engine removes it; nothing can be restored from it any more.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn remove_snapshot(&mut self, snapshot: &str, now: i64) -> Result<(), StoreError> {
        sqlx::query("update snapshot set removal_requested_at = coalesce(removal_requested_at, $2) where id = $1")
            .bind(snapshot)
            .bind(now)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    pub(super) async fn snapshot_gone(&mut self, snapshot: &SnapshotId, now: i64) -> Result<(), StoreError> {
        sqlx::query("update snapshot set removed_at = $2 where id = $1")
            .bind(snapshot.as_str())
            .bind(now)
            .execute(self.connection())
            .await?;
        sqlx::query("delete from effect where subject_id = $1")
            .bind(snapshot.as_str())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// It was refused, or its moment was none: nothing of it may be used.
    pub(super) async fn snapshot_failed(
        &mut self,
        environment: &str,
        snapshot: &str,
        reason: &str,
        now: i64,
    ) -> Result<(), StoreError> {
        sqlx::query("update snapshot set state = 'failed', failure = $2, removal_requested_at = $3 where id = $1")
            .bind(snapshot)
            .bind(reason)
            .bind(now)
            .execute(self.connection())
            .await?;
        let note = Note::new("snapshot_failed", format!("No snapshot was taken: {reason}"));
        timeline::insert(self.connection(), environment, &note, None, now).await
    }

    pub(super) async fn snapshot_taken(
        &mut self,
        environment: &str,
        snapshot: &str,
        frozen_ms: Option<i64>,
        now: i64,
    ) -> Result<(), StoreError> {
        sqlx::query("update snapshot set frozen_ms = $2 where id = $1")
            .bind(snapshot)
            .bind(frozen_ms)
            .execute(self.connection())
            .await?;
        let stood_still =
            frozen_ms.map(|frozen| format!("; the servers stood still for {frozen} ms")).unwrap_or_default();
        let note = Note::new("snapshot_taken", format!("Snapshot taken{stood_still}"));
        timeline::insert(self.connection(), environment, &note, None, now).await
    }

    /// It was read as a whole and is what was taken; or, for this reason, is not.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn snapshot_verified(
        &mut self,
        snapshot: &str,
        damage: Option<&str>,
        now: i64,
    ) -> Result<(), StoreError> {
        let state = if damage.is_some() { Standing::Damaged } else { Standing::Complete };
        sqlx::query(
            "update snapshot set state = $2, failure = $3, verified_at = coalesce($4, verified_at) \
             where id = $1 and state in ('complete', 'damaged')",
        )
        .bind(snapshot)
        .bind(state.as_str())
        .bind(damage)
        .bind(damage.is_none().then_some(now))
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Label and pin; what is absent stays.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn change_snapshot(
        &mut self,
        snapshot: &str,
        label: Option<&str>,
        pinned: Option<bool>,
    ) -> Result<(), StoreError> {
        sqlx::query("update snapshot set label = coalesce($2, label), pinned = coalesce($3, pinned) where id = $1")
            .bind(snapshot)
            .bind(label)
            .bind(pinned.map(i64::from))
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

impl Store {
    /// Those that are there or failed, the newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn snapshots(&self, environment: &str) -> Result<Vec<SnapshotRecord>, StoreError> {
        let rows = sqlx::query(
            "select * from snapshot where environment_id = $1 and (removal_requested_at is null or state = 'failed') \
             order by id desc limit 500",
        )
        .bind(environment)
        .fetch_all(&mut *self.read().await?)
        .await?;
        rows.iter().map(record).collect()
    }

    /// Those past their time are to go, unless something is being made from them. How many.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn expire_snapshots(&self, now: i64) -> Result<u64, StoreError> {
        let due = "expires_at <= $1 and removal_requested_at is null and pinned = 0";
        let due = format!("{due} and not {}", is_being_read("snapshot"));
        let any = sqlx::AssertSqlSafe(format!("select 1 from snapshot where {due} limit 1"));
        if sqlx::query(any).bind(now).fetch_optional(&mut *self.read().await?).await?.is_none() {
            return Ok(0);
        }
        let mut tx = self.write().await?;
        let expire = format!("update snapshot set removal_requested_at = $1 where {due} returning environment_id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(expire)).bind(now).fetch_all(tx.connection()).await?;
        for row in &rows {
            tx.touch(&row.try_get::<String, _>("environment_id")?, now).await?;
        }
        tx.commit().await?;
        Ok(rows.len() as u64)
    }
}

/// Volumes are made from this snapshot, or have been and nobody has seen them yet. From one that failed nothing can be made.
pub(super) fn is_being_read(snapshot: &str) -> String {
    format!(
        "exists (select 1 from volume v where v.source_snapshot_id = {snapshot}.id and {snapshot}.state <> 'failed' \
         and (v.role = 'incoming' or (v.role = 'current' and v.observed_at is null)))"
    )
}

pub(super) fn record(row: &AnyRow) -> Result<SnapshotRecord, StoreError> {
    let volumes: Vec<SnapshotVolume> = json::read("a snapshot's volumes", &row.try_get::<String, _>("volumes")?)?;
    let contents: Vec<SnapshotContent> =
        json::read_optional("a snapshot's contents", row.try_get("contents")?)?.unwrap_or_default();
    let volume = |volume: &SnapshotVolume| {
        let content = contents.iter().find(|content| content.volume == volume.volume);
        let manifest = content.and_then(|content| content.manifest.as_ref());
        SnapshotVolumeView {
            name: volume.name.clone(),
            digest: manifest.map(|manifest| manifest.digest.clone()),
            files: manifest.map_or(0, |manifest| manifest.files),
            directories: manifest.map_or(0, |manifest| manifest.directories),
            bytes: manifest.map_or(0, |manifest| manifest.bytes),
            stored_bytes: manifest.map_or(0, |manifest| manifest.stored_bytes),
        }
    };
    let view = SnapshotView {
        id: row.try_get("id")?,
        reason: json::word("a snapshot's reason", row.try_get("reason")?)?,
        label: row.try_get("label")?,
        actor: row.try_get("actor")?,
        state: json::word("a snapshot's state", row.try_get("state")?)?,
        failure: row.try_get("failure")?,
        requested_at: row.try_get("requested_at")?,
        taken_at: row.try_get("taken_at")?,
        verified_at: row.try_get("verified_at")?,
        frozen_ms: row.try_get("frozen_ms")?,
        method: row.try_get("method")?,
        pinned: row.try_get::<i64, _>("pinned")? != 0,
        expires_at: row.try_get("expires_at")?,
        volumes: volumes.iter().map(volume).collect(),
        reading: None,
        verifying: None,
        export: None,
        copies: Vec::new(),
        warmth: None,
        begins: None,
    };
    Ok(SnapshotRecord { view, contents: volumes })
}
