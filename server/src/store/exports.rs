//! Copies of snapshots in the portable repository: which are wanted, how far they are, what became of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use app::api::{ExportState, ExportView};
use provisioners::SnapshotContent;
use sqlx::Row;

use super::repository::{RepositoryLease, RepositoryRules, asked_for};
use super::{Store, StoreError, Tx, json};
use crate::domain::repository::transfer;

/// A snapshot that is to be copied next, with all that is written beside it.
#[derive(Clone, Debug)]
pub struct NextExport {
    pub snapshot: String,
    /// It was begun before, so perhaps it is there already.
    pub begun: bool,
    pub failures: u32,
    pub environment_id: String,
    pub environment: String,
    pub owner: String,
    pub provisioner: String,
    pub template: String,
    pub template_version: String,
    pub template_digest: String,
    pub parameters: BTreeMap<String, String>,
    pub label: String,
    pub reason: String,
    pub taken_at: i64,
    pub contents: Vec<SnapshotContent>,
}

/// What an export came to.
#[derive(Clone, Debug)]
pub struct ExportedAs {
    pub name: String,
    pub bytes_total: u64,
    pub bytes_added: Option<u64>,
}

impl Store {
    /// How it stands with the copies of an environment's snapshots, by their ids.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn exports(
        &self,
        repository: &str,
        environment: &str,
        now: i64,
    ) -> Result<HashMap<String, ExportView>, StoreError> {
        let rows = sqlx::query(
            "select x.* from snapshot_export x join snapshot s on s.id = x.snapshot_id \
             where x.repository_id = $1 and s.environment_id = $2",
        )
        .bind(repository)
        .bind(environment)
        .fetch_all(&mut *self.read().await?)
        .await?;
        let mut exports = HashMap::new();
        for row in rows {
            let state: ExportState = json::word("an export's state", row.try_get("state")?)?;
            let size = |name: &str| Ok::<_, StoreError>(row.try_get::<Option<i64>, _>(name)?.map(i64::unsigned_abs));
            let (done, total) = (size("bytes_done")?.unwrap_or(0), size("bytes_total")?.unwrap_or(0));
            let began: Option<i64> = row.try_get("began_at")?;
            let under_way = (state == ExportState::Exporting).then_some(began).flatten();
            let exported = state == ExportState::Exported;
            let view = ExportView {
                state,
                failure: row.try_get::<Option<String>, _>("failure")?.filter(|_| !exported),
                retry_at: (state == ExportState::Failed).then(|| row.try_get("retry_at")).transpose()?,
                progress: under_way.map(|began| transfer(done, total, began, now)),
                exported_at: row.try_get("exported_at")?,
                repository_snapshot: row.try_get::<Option<String>, _>("name")?.filter(|_| exported),
                bytes_total: exported.then_some(total),
                bytes_added: size("bytes_added")?.filter(|_| exported),
            };
            exports.insert(row.try_get("snapshot_id")?, view);
        }
        Ok(exports)
    }
}

impl Tx {
    /// Asks for a copy of a snapshot now; one that failed is tried at once.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn want_export(
        &mut self,
        repository: &str,
        snapshot: &str,
        actor: &str,
        now: i64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "insert into snapshot_export (repository_id, snapshot_id, state, actor, requested_at, failures, retry_at, \
             bytes_done, bytes_total) values ($1, $2, 'wanted', $3, $4, 0, 0, 0, 0) \
             on conflict (repository_id, snapshot_id) do update set actor = excluded.actor, requested_at = excluded.requested_at, \
             retry_at = 0, state = 'wanted' where snapshot_export.state in ('failed', 'forgotten')",
        )
        .bind(repository)
        .bind(snapshot)
        .bind(actor)
        .bind(now)
        .execute(self.connection())
        .await?;
        sqlx::query("update repository set retry_at = 0 where id = $1")
            .bind(repository)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Writes down what the policy asks for, and strikes off what is not there any more to be copied.
    ///
    /// # Errors
    /// When the database refuses it, or the repository is another's by now.
    pub async fn enlist_exports(
        &mut self,
        lease: &RepositoryLease,
        rules: &RepositoryRules,
        now: i64,
    ) -> Result<(), StoreError> {
        self.guard_repository(lease).await?;
        sqlx::query(
            "delete from snapshot_export where repository_id = $1 and state in ('wanted', 'exporting', 'failed') and snapshot_id in \
             (select id from snapshot where removal_requested_at is not null or state in ('failed', 'damaged'))",
        )
        .bind(lease.repository())
        .execute(self.connection())
        .await?;
        let asked_for = asked_for(rules.policy);
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "insert into snapshot_export (repository_id, snapshot_id, state, requested_at, failures, retry_at, bytes_done, \
             bytes_total) select $1, s.id, 'wanted', $2, 0, 0, 0, 0 from snapshot s \
             where s.state = 'complete' and {asked_for} and not exists \
             (select 1 from snapshot_export x where x.repository_id = $1 and x.snapshot_id = s.id)"
        )))
        .bind(lease.repository())
        .bind(now)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// What is to be copied next, marked as begun: what people asked for first, then the oldest.
    ///
    /// # Errors
    /// When the database refuses it, or the repository is another's by now.
    pub async fn begin_export(&mut self, lease: &RepositoryLease, now: i64) -> Result<Option<NextExport>, StoreError> {
        self.guard_repository(lease).await?;
        let row = sqlx::query(
            "select x.state as export_state, x.began_at, x.failures, s.id as snapshot, s.label, s.reason, s.taken_at, s.contents, \
             e.id as environment_id, e.name as environment, e.provisioner, e.parameters, p.name as owner, \
             t.name as template, v.version, v.digest \
             from snapshot_export x join snapshot s on s.id = x.snapshot_id join environment e on e.id = s.environment_id \
             join person p on p.id = e.owner_id join template_version v on v.id = e.template_version_id \
             join template t on t.id = v.template_id \
             where x.repository_id = $1 and x.state in ('wanted', 'exporting', 'failed') and x.retry_at <= $2 \
             and s.state = 'complete' and s.removal_requested_at is null \
             order by case when x.actor is null then 1 else 0 end, x.retry_at, s.id limit 1",
        )
        .bind(lease.repository())
        .bind(now)
        .fetch_optional(self.connection())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let next = NextExport {
            snapshot: row.try_get("snapshot")?,
            begun: row.try_get::<Option<i64>, _>("began_at")?.is_some(),
            failures: u32::try_from(row.try_get::<i64, _>("failures")?).unwrap_or(u32::MAX),
            environment_id: row.try_get("environment_id")?,
            environment: row.try_get("environment")?,
            owner: row.try_get("owner")?,
            provisioner: row.try_get("provisioner")?,
            template: row.try_get("template")?,
            template_version: row.try_get("version")?,
            template_digest: row.try_get("digest")?,
            parameters: json::read("parameters", &row.try_get::<String, _>("parameters")?)?,
            label: row.try_get("label")?,
            reason: row.try_get("reason")?,
            taken_at: row.try_get::<Option<i64>, _>("taken_at")?.unwrap_or(now),
            contents: json::read_optional("a snapshot's contents", row.try_get("contents")?)?.unwrap_or_default(),
        };
        sqlx::query(
            "update snapshot_export set state = 'exporting', began_at = $3, bytes_done = 0, bytes_total = 0 \
             where repository_id = $1 and snapshot_id = $2",
        )
        .bind(lease.repository())
        .bind(&next.snapshot)
        .bind(now)
        .execute(self.connection())
        .await?;
        Ok(Some(next))
    }

    /// How far it is.
    ///
    /// # Errors
    /// When the database refuses it, or the repository is another's by now.
    pub async fn export_progress(
        &mut self,
        lease: &RepositoryLease,
        snapshot: &str,
        done: u64,
        total: u64,
    ) -> Result<(), StoreError> {
        self.guard_repository(lease).await?;
        sqlx::query(
            "update snapshot_export set bytes_done = $3, bytes_total = $4 where repository_id = $1 and snapshot_id = $2",
        )
        .bind(lease.repository())
        .bind(snapshot)
        .bind(done as i64)
        .bind(total as i64)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// # Errors
    /// When the database refuses it, or the repository is another's by now.
    pub async fn exported(
        &mut self,
        lease: &RepositoryLease,
        snapshot: &str,
        exported: &ExportedAs,
        now: i64,
    ) -> Result<(), StoreError> {
        self.guard_repository(lease).await?;
        sqlx::query(
            "update snapshot_export set state = 'exported', failure = null, failures = 0, exported_at = $3, name = $4, \
             bytes_total = $5, bytes_added = $6 where repository_id = $1 and snapshot_id = $2",
        )
        .bind(lease.repository())
        .bind(snapshot)
        .bind(now)
        .bind(&exported.name)
        .bind(exported.bytes_total as i64)
        .bind(exported.bytes_added.map(|bytes| bytes as i64))
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// # Errors
    /// When the database refuses it, or the repository is another's by now.
    pub async fn export_failed(
        &mut self,
        lease: &RepositoryLease,
        snapshot: &str,
        failure: &str,
        retry_at: i64,
    ) -> Result<(), StoreError> {
        self.guard_repository(lease).await?;
        sqlx::query(
            "update snapshot_export set state = 'failed', failure = $3, failures = failures + 1, retry_at = $4 \
             where repository_id = $1 and snapshot_id = $2",
        )
        .bind(lease.repository())
        .bind(snapshot)
        .bind(failure)
        .bind(retry_at)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Copies of what was deleted here before then: snapshot and its name there.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn forgettable(
        &mut self,
        lease: &RepositoryLease,
        before: i64,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let rows = sqlx::query(
            "select x.snapshot_id, x.name from snapshot_export x join snapshot s on s.id = x.snapshot_id \
             where x.repository_id = $1 and x.state = 'exported' and x.name is not null and s.removed_at <= $2 \
             order by s.id limit 500",
        )
        .bind(lease.repository())
        .bind(before)
        .fetch_all(self.connection())
        .await?;
        rows.iter().map(|row| Ok((row.try_get("snapshot_id")?, row.try_get("name")?))).collect()
    }

    /// # Errors
    /// When the database refuses it, or the repository is another's by now.
    pub async fn forgotten(&mut self, lease: &RepositoryLease, snapshots: &[String]) -> Result<(), StoreError> {
        self.guard_repository(lease).await?;
        for snapshot in snapshots {
            sqlx::query("update snapshot_export set state = 'forgotten' where repository_id = $1 and snapshot_id = $2")
                .bind(lease.repository())
                .bind(snapshot)
                .execute(self.connection())
                .await?;
        }
        Ok(())
    }

    /// Copies that are not there any more, because somebody removed them there, are made again if they can be.
    ///
    /// # Errors
    /// When the database refuses it, or the repository is another's by now.
    pub async fn compare_exports(
        &mut self,
        lease: &RepositoryLease,
        there: &BTreeSet<String>,
        now: i64,
    ) -> Result<u64, StoreError> {
        self.guard_repository(lease).await?;
        let rows = sqlx::query(
            "select x.snapshot_id, x.name, s.removal_requested_at from snapshot_export x \
             join snapshot s on s.id = x.snapshot_id where x.repository_id = $1 and x.state = 'exported'",
        )
        .bind(lease.repository())
        .fetch_all(self.connection())
        .await?;
        let mut missing = 0;
        for row in rows {
            let name: Option<String> = row.try_get("name")?;
            if name.is_some_and(|name| there.contains(&name)) {
                continue;
            }
            missing += 1;
            let here = row.try_get::<Option<i64>, _>("removal_requested_at")?.is_none();
            sqlx::query(
                "update snapshot_export set state = $3, failure = null, name = null, exported_at = null, began_at = null, \
                 retry_at = $4 where repository_id = $1 and snapshot_id = $2",
            )
            .bind(lease.repository())
            .bind(row.try_get::<String, _>("snapshot_id")?)
            .bind(if here { "wanted" } else { "forgotten" })
            .bind(now)
            .execute(self.connection())
            .await?;
        }
        Ok(missing)
    }
}
