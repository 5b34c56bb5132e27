//! Who works on which environment: a lease that ends by itself and a fence that grows with every claim. The lease keeps
//! workers from getting in each other's way; the fence keeps one that lost its lease from writing.

use std::time::Duration;

use provisioners::EnvironmentId;
use sqlx::{AnyConnection, Connection, Row};

use super::{PortalLock, Store, StoreError, Tx};

/// The right to write what became of one environment, as long as nobody else has claimed it. Made by [`Store::claim`] only.
#[derive(Debug)]
pub struct Lease {
    environment: EnvironmentId,
    fence: i64,
}

impl Lease {
    pub fn environment(&self) -> &EnvironmentId {
        &self.environment
    }
}

/// The name of a database that is only looked at, by its URL; `None`: it has none yet, or no tables.
///
/// # Errors
/// When it cannot be reached.
pub async fn known_installation(url: &str) -> Result<Option<String>, StoreError> {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(url).await?;
    let known = sqlx::query_scalar("select value from installation where key = 'id'");
    match known.fetch_optional(&mut connection).await {
        // A portal was never started with it.
        Err(sqlx::Error::Database(_)) => Ok(None),
        known => Ok(known?),
    }
}

impl Store {
    /// Claims up to `limit` environments that are due and unclaimed: those of which people want something before those of which
    /// schedules do, the longest overdue first.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn claim(&self, owner: &str, now: i64, length: Duration, limit: usize) -> Result<Vec<Lease>, StoreError> {
        // Two claimers that each hold several rows could wait for each other on PostgreSQL; there it is one at a time.
        let per_transaction = if self.writer.is_sqlite() { limit } else { 1 };
        let mut leases = Vec::new();
        while leases.len() < limit {
            let mut tx = self.write().await?;
            let mut claimed = 0;
            while claimed < per_transaction && leases.len() < limit {
                let lease = match claim_one(&mut tx, (owner, now, length), false).await? {
                    None => claim_one(&mut tx, (owner, now, length), true).await?,
                    lease => lease,
                };
                let Some(lease) = lease else { break };
                leases.push(lease);
                claimed += 1;
            }
            let all_seen = self.writer.is_sqlite() || (claimed == 0 && !anything_due(&mut tx, now).await?);
            tx.commit().await?;
            if all_seen {
                break;
            }
        }
        Ok(leases)
    }

    /// Environments of this provisioner that are not deleted.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn living_environments(&self, provisioner: &str) -> Result<Vec<EnvironmentId>, StoreError> {
        let rows = sqlx::query("select id from environment where deleted_at is null and provisioner = $1")
            .bind(provisioner)
            .fetch_all(&mut *self.read().await?)
            .await?;
        rows.iter().map(|row| Ok(EnvironmentId::new(row.try_get::<String, _>("id")?))).collect()
    }

    /// Extends everything this owner holds.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn heartbeat(&self, owner: &str, now: i64, length: Duration) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        sqlx::query("update environment set lease_until = $2 where lease_owner = $1 and lease_until > 0")
            .bind(owner)
            .bind(now + length.as_millis() as i64)
            .execute(tx.connection())
            .await?;
        tx.commit().await
    }

    /// When something is due next; `None`: nothing is.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn next_due(&self) -> Result<Option<i64>, StoreError> {
        let row = sqlx::query(
            "select (select min(case when due_at > lease_until then due_at else lease_until end) from environment \
             where due_at is not null) as due, \
             (select min(next_event_at) from environment where next_event_at is not null) as event, \
             (select min(next_snapshot_at) from environment where next_snapshot_at is not null) as snapshot",
        )
        .fetch_one(&mut *self.read().await?)
        .await?;
        let mut soonest: Option<i64> = None;
        for column in ["due", "event", "snapshot"] {
            let at: Option<i64> = row.try_get(column)?;
            soonest = soonest.into_iter().chain(at).min();
        }
        Ok(soonest)
    }

    /// The name of this database, made at the first question: it is on everything that is made for it elsewhere.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn installation(&self, id: &str) -> Result<String, StoreError> {
        let mut tx = self.write().await?;
        let installation = tx.installation(id).await?;
        tx.commit().await?;
        Ok(installation)
    }

    /// A portal begins to serve. From now on agents can reach one; and, when `alone` proves that no other portal is at
    /// work, what the one before held is free at once and no agent is connected yet.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn begin_life(&self, alone: Option<&PortalLock>, now: i64) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        sqlx::query(
            "insert into installation (key, value) values ('listening_since', $1) \
             on conflict (key) do update set value = excluded.value",
        )
        .bind(now.to_string())
        .execute(tx.connection())
        .await?;
        if alone.is_some() {
            sqlx::query(
                "update environment set lease_until = 0, lease_owner = null, due_at = $1 where lease_until > 0",
            )
            .bind(now)
            .execute(tx.connection())
            .await?;
            sqlx::query(
                "update server set disconnected_at = $1 \
                 where enrolled_generation = generation and disconnected_at is null",
            )
            .bind(now)
            .execute(tx.connection())
            .await?;
        }
        tx.commit().await
    }
}

async fn claim_one(
    tx: &mut Tx,
    (owner, now, length): (&str, i64, Duration),
    by_schedule: bool,
) -> Result<Option<Lease>, StoreError> {
    let row = sqlx::query(
        "update environment set lease_owner = $1, lease_until = $2, due_at = $2, fence = fence + 1 \
         where id = (select id from environment where by_schedule = $4 and due_at <= $3 and lease_until <= $3 \
                     order by due_at, id limit 1) \
         and lease_until <= $3 returning id, fence",
    )
    .bind(owner)
    .bind(now + length.as_millis() as i64)
    .bind(now)
    .bind(i64::from(by_schedule))
    .fetch_optional(tx.connection())
    .await?;
    row.map(|row| {
        Ok(Lease { environment: EnvironmentId::new(row.try_get::<String, _>("id")?), fence: row.try_get("fence")? })
    })
    .transpose()
}

/// A claim that found nothing may have lost a race for one row while others are due.
async fn anything_due(tx: &mut Tx, now: i64) -> Result<bool, StoreError> {
    let due = sqlx::query("select id from environment where due_at <= $1 and lease_until <= $1 limit 1")
        .bind(now)
        .fetch_optional(tx.connection())
        .await?;
    Ok(due.is_some())
}

impl Tx {
    /// See [`Store::installation`].
    pub(super) async fn installation(&mut self, id: &str) -> Result<String, StoreError> {
        sqlx::query("insert into installation (key, value) values ('id', $1) on conflict (key) do nothing")
            .bind(id)
            .execute(self.connection())
            .await?;
        let known = sqlx::query_scalar("select value from installation where key = 'id'");
        Ok(known.fetch_one(self.connection()).await?)
    }

    /// First statement of every write of the engine: the environment's row is locked, the lease still holds, and, with
    /// `generation`, nobody has changed what is wanted since.
    pub(super) async fn guard(&mut self, lease: &Lease, generation: Option<i64>) -> Result<(), StoreError> {
        let row = sqlx::query("update environment set fence = fence where id = $1 and fence = $2 returning generation")
            .bind(lease.environment.as_str())
            .bind(lease.fence)
            .fetch_optional(self.connection())
            .await?;
        let current: i64 = row.ok_or(StoreError::LeaseLost)?.try_get("generation")?;
        match generation {
            Some(expected) if expected != current => Err(StoreError::Stale),
            _ => Ok(()),
        }
    }
}

impl Lease {
    pub(super) fn fence(&self) -> i64 {
        self.fence
    }
}
