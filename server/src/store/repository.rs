//! The portable repository's own row: whose turn it is to work on it, how it was found, and what troubles it. What is to be
//! brought there is in [`super::exports`], what comes from there in [`super::imports`].
//!
//! As with environments, a lease keeps portals from getting in each other's way, and a fence keeps one that lost its lease from
//! writing.

use std::time::Duration;

use sqlx::Row;

use super::{Store, StoreError, Tx};
use crate::domain::repository::ExportPolicy;

/// The right to work on a repository. Made by [`Store::claim_repository`] only.
#[derive(Clone, Debug)]
pub struct RepositoryLease {
    repository: String,
    fence: i64,
}

impl RepositoryLease {
    pub fn repository(&self) -> &str {
        &self.repository
    }
}

/// How a repository stands, and what of this portal's there is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepositoryStanding {
    pub trouble: Option<String>,
    pub trouble_since: Option<i64>,
    pub looked_at: Option<i64>,
    pub snapshots: Option<u64>,
    pub stored_bytes: Option<u64>,
    pub bytes: u64,
    pub exported: u64,
    pub waiting: u64,
    pub failed: u64,
}

/// When what is to be done.
#[derive(Clone, Copy, Debug)]
pub struct RepositoryRules {
    pub policy: ExportPolicy,
    /// What was deleted here before then is forgotten there.
    pub forget_before: i64,
    /// What was compared last before then is compared again.
    pub look_before: i64,
}

/// What a policy asks for, of `snapshot s`.
pub(super) fn asked_for(policy: ExportPolicy) -> &'static str {
    match policy {
        ExportPolicy::All => "s.removal_requested_at is null",
        ExportPolicy::Kept => "s.removal_requested_at is null and (s.pinned = 1 or s.reason in ('demand', 'delete'))",
        ExportPolicy::None => "1 = 0",
    }
}

impl Store {
    /// A portal begins to use this repository. Gives the name of this database's installation.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn open_repository(
        &self,
        repository: &str,
        location: &str,
        alone: bool,
        id: &str,
    ) -> Result<String, StoreError> {
        let mut tx = self.write().await?;
        sqlx::query(
            "insert into repository (id, location, lease_until, fence, failures, retry_at, prune_wanted) \
             values ($1, $2, 0, 0, 0, 0, 0) on conflict (id) do update set location = excluded.location, retry_at = 0",
        )
        .bind(repository)
        .bind(location)
        .execute(tx.connection())
        .await?;
        if alone {
            sqlx::query("update repository set lease_until = 0").execute(tx.connection()).await?;
        }
        let installation = tx.installation(id).await?;
        tx.commit().await?;
        Ok(installation)
    }

    /// Whether there is anything to do now that a claim is worth it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn repository_is_due(
        &self,
        repository: &str,
        rules: &RepositoryRules,
        now: i64,
    ) -> Result<bool, StoreError> {
        let asked_for = asked_for(rules.policy);
        let due = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select 1 from repository h where h.id = $1 and h.retry_at <= $2 and h.lease_until <= $2 and ( \
             h.prune_wanted = 1 or coalesce(h.looked_at, 0) <= $4 \
             or exists (select 1 from snapshot_export x where x.repository_id = h.id and x.retry_at <= $2 \
                and x.state in ('wanted', 'exporting', 'failed')) \
             or exists (select 1 from snapshot_import i where i.repository_id = h.id and i.retry_at <= $2 \
                and i.state in ('wanted', 'importing')) \
             or exists (select 1 from snapshot_export x join snapshot s on s.id = x.snapshot_id \
                where x.repository_id = h.id and x.state = 'exported' and s.removed_at <= $3) \
             or exists (select 1 from snapshot s where s.state = 'complete' and {asked_for} and not exists \
                (select 1 from snapshot_export x where x.repository_id = h.id and x.snapshot_id = s.id)))"
        )))
        .bind(repository)
        .bind(now)
        .bind(rules.forget_before)
        .bind(rules.look_before)
        .fetch_optional(&mut *self.read().await?)
        .await?;
        Ok(due.is_some())
    }

    /// `None`: another portal works on it.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn claim_repository(
        &self,
        repository: &str,
        owner: &str,
        now: i64,
        length: Duration,
    ) -> Result<Option<RepositoryLease>, StoreError> {
        let mut tx = self.write().await?;
        let row = sqlx::query(
            "update repository set lease_owner = $2, lease_until = $3, fence = fence + 1 \
             where id = $1 and lease_until <= $4 returning fence",
        )
        .bind(repository)
        .bind(owner)
        .bind(now + length.as_millis() as i64)
        .bind(now)
        .fetch_optional(tx.connection())
        .await?;
        tx.commit().await?;
        row.map(|row| Ok(RepositoryLease { repository: repository.to_owned(), fence: row.try_get("fence")? }))
            .transpose()
    }

    /// Lets others work on it.
    ///
    /// # Errors
    /// When the database refuses it, or it is another's by now.
    pub async fn release_repository(&self, lease: &RepositoryLease) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        tx.guard_repository(lease).await?;
        sqlx::query("update repository set lease_until = 0, lease_owner = null where id = $1")
            .bind(&lease.repository)
            .execute(tx.connection())
            .await?;
        tx.commit().await
    }

    /// # Errors
    /// When the database cannot be read.
    pub async fn repository_standing(&self, repository: &str) -> Result<RepositoryStanding, StoreError> {
        let row = sqlx::query(
            "select h.*, (select cast(coalesce(sum(bytes_total), 0) as bigint) from snapshot_export x \
                where x.repository_id = h.id and x.state = 'exported') as bytes, \
             (select count(*) from snapshot_export x where x.repository_id = h.id and x.state = 'exported') as exported, \
             (select count(*) from snapshot_export x where x.repository_id = h.id and x.state in ('wanted', 'exporting')) as waiting, \
             (select count(*) from snapshot_export x where x.repository_id = h.id and x.state = 'failed') as failed \
             from repository h where h.id = $1",
        )
        .bind(repository)
        .fetch_optional(&mut *self.read().await?)
        .await?;
        let Some(row) = row else { return Ok(RepositoryStanding::default()) };
        let size = |name: &str| Ok::<_, StoreError>(row.try_get::<Option<i64>, _>(name)?.map(i64::unsigned_abs));
        Ok(RepositoryStanding {
            trouble: row.try_get("trouble")?,
            trouble_since: row.try_get("trouble_since")?,
            looked_at: row.try_get("looked_at")?,
            snapshots: size("snapshots")?,
            stored_bytes: size("stored_bytes")?,
            bytes: size("bytes")?.unwrap_or(0),
            exported: size("exported")?.unwrap_or(0),
            waiting: size("waiting")?.unwrap_or(0),
            failed: size("failed")?.unwrap_or(0),
        })
    }
}

impl Tx {
    /// First statement of every write of who works on a repository.
    pub(super) async fn guard_repository(&mut self, lease: &RepositoryLease) -> Result<(), StoreError> {
        let held = sqlx::query("update repository set fence = fence where id = $1 and fence = $2")
            .bind(&lease.repository)
            .bind(lease.fence)
            .execute(self.connection())
            .await?;
        if held.rows_affected() == 0 { Err(StoreError::LeaseLost) } else { Ok(()) }
    }

    /// Keeps the lease.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when it is another's by now.
    pub async fn keep_repository(
        &mut self,
        lease: &RepositoryLease,
        now: i64,
        length: Duration,
    ) -> Result<(), StoreError> {
        self.guard_repository(lease).await?;
        sqlx::query("update repository set lease_until = $2 where id = $1")
            .bind(&lease.repository)
            .bind(now + length.as_millis() as i64)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// It could not be used; how often in a row now. It is left alone until then.
    ///
    /// # Errors
    /// When the database refuses it, or it is another's by now.
    pub async fn repository_in_trouble(
        &mut self,
        lease: &RepositoryLease,
        trouble: &str,
        retry_at: i64,
        now: i64,
    ) -> Result<(), StoreError> {
        self.guard_repository(lease).await?;
        sqlx::query(
            "update repository set trouble = $2, trouble_since = coalesce(trouble_since, $3), failures = failures + 1, \
             retry_at = $4 where id = $1",
        )
        .bind(&lease.repository)
        .bind(trouble)
        .bind(now)
        .bind(retry_at)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// How often in a row it could not be used.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn repository_failures(&mut self, lease: &RepositoryLease) -> Result<u32, StoreError> {
        let failures: i64 = sqlx::query_scalar("select failures from repository where id = $1")
            .bind(&lease.repository)
            .fetch_one(self.connection())
            .await?;
        Ok(u32::try_from(failures).unwrap_or(u32::MAX))
    }

    /// It was used.
    ///
    /// # Errors
    /// When the database refuses it, or it is another's by now.
    pub async fn repository_works(&mut self, lease: &RepositoryLease) -> Result<(), StoreError> {
        self.guard_repository(lease).await?;
        sqlx::query(
            "update repository set trouble = null, trouble_since = null, failures = 0, retry_at = 0 where id = $1",
        )
        .bind(&lease.repository)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// What was found in it.
    ///
    /// # Errors
    /// When the database refuses it, or it is another's by now.
    pub async fn repository_looked_at(
        &mut self,
        lease: &RepositoryLease,
        snapshots: u64,
        stored_bytes: u64,
        now: i64,
    ) -> Result<(), StoreError> {
        self.guard_repository(lease).await?;
        sqlx::query("update repository set looked_at = $2, snapshots = $3, stored_bytes = $4 where id = $1")
            .bind(&lease.repository)
            .bind(now)
            .bind(i64::try_from(snapshots).unwrap_or(i64::MAX))
            .bind(i64::try_from(stored_bytes).unwrap_or(i64::MAX))
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Whether something is to be pruned.
    ///
    /// # Errors
    /// When the database refuses it, or it is another's by now.
    pub async fn want_pruning(&mut self, lease: &RepositoryLease, wanted: bool) -> Result<(), StoreError> {
        self.guard_repository(lease).await?;
        sqlx::query("update repository set prune_wanted = $2 where id = $1")
            .bind(&lease.repository)
            .bind(i64::from(wanted))
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// # Errors
    /// When the database cannot be read.
    pub async fn is_pruning_wanted(&mut self, lease: &RepositoryLease) -> Result<bool, StoreError> {
        let wanted: i64 = sqlx::query_scalar("select prune_wanted from repository where id = $1")
            .bind(&lease.repository)
            .fetch_one(self.connection())
            .await?;
        Ok(wanted != 0)
    }
}
