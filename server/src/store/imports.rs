//! Snapshots that come from the portable repository. Each is for an environment of its own, which is ordered with it and stays
//! deleted until the data is here; then it is brought back as any deleted environment is.

use app::api::{ImportState, ImportView};
use provisioners::{Manifest, SnapshotContent, SnapshotVolume, VolumeId};
use serde::{Deserialize, Serialize};
use sqlx::Row;

use super::repository::RepositoryLease;
use super::snapshots::record;
use super::{SnapshotRecord, Store, StoreError, Tx, id, json};
use crate::domain::repository::transfer;

/// An import as a person asks for it.
#[derive(Clone, Debug)]
pub struct NewImport<'a> {
    /// Ordered just now, in the same transaction, without volumes.
    pub environment: &'a str,
    pub repository: &'a str,
    /// What the repository calls the snapshot.
    pub name: &'a str,
    pub actor: &'a str,
    pub label: &'a str,
    pub taken_at: i64,
    pub volumes: &'a [(String, Manifest)],
}

/// One that is to be done next.
#[derive(Clone, Debug)]
pub struct NextImport {
    pub environment: String,
    pub team: String,
    pub provisioner: String,
    /// What it is called here.
    pub snapshot: String,
    pub name: String,
    pub actor: String,
    pub taken_at: i64,
    pub failures: u32,
    pub volumes: Vec<ImportedVolume>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImportedVolume {
    pub volume: SnapshotVolume,
    pub manifest: Manifest,
}

impl Store {
    /// The newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn imports(&self, team_id: &str, limit: u32, now: i64) -> Result<Vec<ImportView>, StoreError> {
        let rows = sqlx::query(
            "select i.*, e.name as environment from snapshot_import i join environment e on e.id = i.environment_id \
             where e.team_id = $1 order by i.environment_id desc limit $2",
        )
        .bind(team_id)
        .bind(i64::from(limit))
        .fetch_all(&mut *self.read().await?)
        .await?;
        let mut imports = Vec::new();
        for row in rows {
            let state: ImportState = json::word("an import's state", row.try_get("state")?)?;
            let began: Option<i64> = row.try_get("began_at")?;
            let size = |name: &str| Ok::<_, StoreError>(row.try_get::<i64, _>(name)?.unsigned_abs());
            let (done, total) = (size("bytes_done")?, size("bytes_total")?);
            imports.push(ImportView {
                environment_id: row.try_get("environment_id")?,
                environment: row.try_get("environment")?,
                repository_snapshot: row.try_get("name")?,
                state,
                failure: row.try_get::<Option<String>, _>("failure")?.filter(|_| state != ImportState::Imported),
                requested_at: row.try_get("requested_at")?,
                progress: (state == ImportState::Importing)
                    .then_some(began)
                    .flatten()
                    .map(|began| transfer(done, total, began, now)),
            });
        }
        Ok(imports)
    }
}

impl Tx {
    /// Writes down an import, and has its environment wait for it among the deleted.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn want_import(&mut self, new: &NewImport<'_>, now: i64) -> Result<(), StoreError> {
        let volume = |(name, manifest): &(String, Manifest)| ImportedVolume {
            volume: SnapshotVolume { volume: VolumeId::new(id(now)), name: name.clone() },
            manifest: manifest.clone(),
        };
        let volumes: Vec<ImportedVolume> = new.volumes.iter().map(volume).collect();
        let bytes = volumes.iter().fold(0, |sum: u64, one| sum.saturating_add(one.manifest.bytes));
        sqlx::query(
            "insert into snapshot_import (environment_id, snapshot_id, repository_id, name, actor, volumes, label, taken_at, state, \
             requested_at, failures, retry_at, bytes_done, bytes_total) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, 'wanted', $9, 0, 0, 0, $10)",
        )
        .bind(new.environment)
        .bind(id(now))
        .bind(new.repository)
        .bind(new.name)
        .bind(new.actor)
        .bind(json::write("an import's volumes", &volumes)?)
        .bind(new.label)
        .bind(new.taken_at)
        .bind(now)
        .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
        .execute(self.connection())
        .await?;
        sqlx::query(
            "update environment set desired = 'deleted', state = 'deleted', deleted_at = $2, due_at = null, \
             next_event_at = null, next_event_action = null, next_snapshot_at = null where id = $1",
        )
        .bind(new.environment)
        .bind(now)
        .execute(self.connection())
        .await?;
        sqlx::query("update repository set retry_at = 0 where id = $1")
            .bind(new.repository)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// What is to come next, marked as begun.
    ///
    /// # Errors
    /// When the database refuses it, or the repository is another's by now.
    pub async fn begin_import(&mut self, lease: &RepositoryLease, now: i64) -> Result<Option<NextImport>, StoreError> {
        self.guard_repository(lease).await?;
        let row = sqlx::query(
            "select i.*, e.team_id, e.provisioner from snapshot_import i join environment e on e.id = i.environment_id \
             where i.repository_id = $1 and i.state in ('wanted', 'importing') and i.retry_at <= $2 \
             order by i.environment_id limit 1",
        )
        .bind(lease.repository())
        .bind(now)
        .fetch_optional(self.connection())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let next = NextImport {
            environment: row.try_get("environment_id")?,
            team: row.try_get("team_id")?,
            provisioner: row.try_get("provisioner")?,
            snapshot: row.try_get("snapshot_id")?,
            name: row.try_get("name")?,
            actor: row.try_get("actor")?,
            taken_at: row.try_get("taken_at")?,
            failures: u32::try_from(row.try_get::<i64, _>("failures")?).unwrap_or(u32::MAX),
            volumes: json::read("an import's volumes", &row.try_get::<String, _>("volumes")?)?,
        };
        sqlx::query(
            "update snapshot_import set state = 'importing', began_at = $2, bytes_done = 0 where environment_id = $1",
        )
        .bind(&next.environment)
        .bind(now)
        .execute(self.connection())
        .await?;
        Ok(Some(next))
    }

    /// # Errors
    /// When the database refuses it, or the repository is another's by now.
    pub async fn import_progress(
        &mut self,
        lease: &RepositoryLease,
        environment: &str,
        done: u64,
        total: u64,
    ) -> Result<(), StoreError> {
        self.guard_repository(lease).await?;
        sqlx::query("update snapshot_import set bytes_done = $2, bytes_total = $3 where environment_id = $1")
            .bind(environment)
            .bind(done as i64)
            .bind(total as i64)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// It is tried again then; `None`: never, and nothing of it is here.
    ///
    /// # Errors
    /// When the database refuses it, or the repository is another's by now.
    pub async fn import_failed(
        &mut self,
        lease: &RepositoryLease,
        environment: &str,
        failure: &str,
        retry_at: Option<i64>,
    ) -> Result<(), StoreError> {
        self.guard_repository(lease).await?;
        sqlx::query(
            "update snapshot_import set state = $2, failure = $3, failures = failures + 1, retry_at = $4 \
             where environment_id = $1",
        )
        .bind(environment)
        .bind(if retry_at.is_some() { "wanted" } else { "failed" })
        .bind(failure)
        .bind(retry_at.unwrap_or(0))
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// The data is here, as a complete snapshot of its environment.
    ///
    /// # Errors
    /// When the database refuses it, or the repository is another's by now.
    pub async fn imported(
        &mut self,
        lease: &RepositoryLease,
        import: &NextImport,
        expires_at: i64,
        now: i64,
    ) -> Result<SnapshotRecord, StoreError> {
        self.guard_repository(lease).await?;
        let volumes: Vec<&SnapshotVolume> = import.volumes.iter().map(|one| &one.volume).collect();
        let content = |one: &ImportedVolume| SnapshotContent {
            volume: one.volume.volume.clone(),
            name: one.volume.name.clone(),
            manifest: Some(one.manifest.clone()),
        };
        let contents: Vec<SnapshotContent> = import.volumes.iter().map(content).collect();
        let row = sqlx::query(
            "insert into snapshot (id, environment_id, reason, label, actor, state, volumes, contents, method, requested_at, \
             taken_at, completed_at, verified_at, pinned, expires_at) \
             select i.snapshot_id, i.environment_id, 'import', i.label, i.actor, 'complete', $2, $3, 'import', \
             i.requested_at, i.taken_at, $4, $4, 0, $5 from snapshot_import i where i.environment_id = $1 \
             returning *",
        )
        .bind(&import.environment)
        .bind(json::write("a snapshot's volumes", &volumes)?)
        .bind(json::write("a snapshot's contents", &contents)?)
        .bind(now)
        .bind(expires_at)
        .fetch_one(self.connection())
        .await?;
        let record = record(&row)?;
        self.set_final_snapshot(&import.environment, Some(&import.snapshot)).await?;
        sqlx::query("update snapshot_import set state = 'imported', failure = null where environment_id = $1")
            .bind(&import.environment)
            .execute(self.connection())
            .await?;
        Ok(record)
    }
}
