//! Which leftovers operators were told of, and when the next message may be sent.

use super::orphans::orphan;
use super::{OrphanRow, Store, StoreError};

/// What was not found for so long is another thing when it is found again.
const FORGOTTEN_MS: i64 = 90 * 24 * 60 * 60_000;

impl Store {
    /// What operators were not told of, the oldest first, each thing once; nothing whose removal was asked for.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn orphans_to_alert(&self) -> Result<Vec<OrphanRow>, StoreError> {
        let rows = sqlx::query(
            "select provisioner, body, first_seen_at from orphan o where removed_at is null \
             and not exists (select 1 from alerted_orphan a where a.id = o.id) \
             order by first_seen_at, provisioner, o.id",
        );
        rows.fetch_all(&mut *self.read().await?).await?.iter().map(orphan).collect()
    }

    /// Whether a message may be sent now, and nobody else sends one; nobody does until `next_at` then.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn claim_alert(&self, now: i64, next_at: i64) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let claimed = sqlx::query("update alert set next_at = $2 where next_at <= $1")
            .bind(now)
            .bind(next_at)
            .execute(tx.connection())
            .await?;
        tx.commit().await?;
        Ok(claimed.rows_affected() == 1)
    }

    /// Operators were told of these; they are not told again.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn note_alerted(&self, ids: &[&str], now: i64) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        for id in ids {
            sqlx::query("insert into alerted_orphan (id, alerted_at) values ($1, $2) on conflict do nothing")
                .bind(*id)
                .bind(now)
                .execute(tx.connection())
                .await?;
        }
        sqlx::query(
            "delete from alerted_orphan where alerted_at < $1 \
             and not exists (select 1 from orphan o where o.id = alerted_orphan.id)",
        )
        .bind(now - FORGOTTEN_MS)
        .execute(tx.connection())
        .await?;
        sqlx::query("update alert set next_at = $1, failures = 0").bind(now).execute(tx.connection()).await?;
        tx.commit().await
    }

    /// A message did not arrive; the next one waits for as long as this says, given how many in a row did not.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn note_alert_failed(&self, now: i64, pause_ms: impl Fn(u32) -> i64 + Send) -> Result<i64, StoreError> {
        let mut tx = self.write().await?;
        let failed: i64 = sqlx::query_scalar("select failures from alert").fetch_one(tx.connection()).await?;
        let pause = pause_ms(u32::try_from(failed).unwrap_or(u32::MAX));
        sqlx::query("update alert set failures = failures + 1, next_at = $1")
            .bind(now + pause)
            .execute(tx.connection())
            .await?;
        tx.commit().await?;
        Ok(pause)
    }
}
