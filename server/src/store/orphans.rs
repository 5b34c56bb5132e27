//! What provisioners have that nothing remembered names: since when it is seen, and whether the database knows better.

use provisioners::{Orphan, OrphanKind};
use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Store, StoreError, Tx, json};

/// After its removal was asked for, something may be shown for so long.
const SHOWN_STILL_MS: i64 = 60 * 60_000;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrphanRow {
    pub provisioner: String,
    pub orphan: Orphan,
    pub first_seen_at: i64,
}

/// How the last look for orphans at a provisioner went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrphanLook {
    pub provisioner: String,
    pub looked_at: Option<i64>,
    pub trouble: Option<String>,
}

impl Store {
    /// Whether it is now time to look, and nobody else does; if so, the next look is at `next_at`.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn claim_orphan_look(&self, provisioner: &str, now: i64, next_at: i64) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        sqlx::query("insert into orphan_look (provisioner, next_at) values ($1, 0) on conflict do nothing")
            .bind(provisioner)
            .execute(tx.connection())
            .await?;
        let claimed = sqlx::query("update orphan_look set next_at = $3 where provisioner = $1 and next_at <= $2")
            .bind(provisioner)
            .bind(now)
            .bind(next_at)
            .execute(tx.connection())
            .await?;
        tx.commit().await?;
        Ok(claimed.rows_affected() == 1)
    }

    /// What a look has found, all of it; says which are new. What another provisioner has found already, which has the same account
    /// and region then, is shown once.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn write_orphans(
        &self,
        provisioner: &str,
        found: &[Orphan],
        now: i64,
    ) -> Result<Vec<Orphan>, StoreError> {
        let mut tx = self.write().await?;
        let known: Vec<String> = sqlx::query_scalar("select id from orphan where provisioner = $1")
            .bind(provisioner)
            .fetch_all(tx.connection())
            .await?;
        for id in known.iter().filter(|id| !found.iter().any(|orphan| orphan.id == **id)) {
            sqlx::query("delete from orphan where provisioner = $1 and id = $2")
                .bind(provisioner)
                .bind(id.as_str())
                .execute(tx.connection())
                .await?;
        }
        let others: Vec<String> = sqlx::query_scalar("select id from orphan where provisioner <> $1")
            .bind(provisioner)
            .fetch_all(tx.connection())
            .await?;
        let found: Vec<&Orphan> = found.iter().filter(|orphan| !others.contains(&orphan.id)).collect();
        for orphan in &found {
            sqlx::query(
                "insert into orphan (provisioner, id, body, first_seen_at) values ($1, $2, $3, $4) \
                 on conflict (provisioner, id) do update set body = excluded.body, \
                 removed_at = case when orphan.removed_at > $5 then orphan.removed_at end",
            )
            .bind(provisioner)
            .bind(orphan.id.as_str())
            .bind(json::write("orphan.body", orphan)?)
            .bind(now)
            .bind(now - SHOWN_STILL_MS)
            .execute(tx.connection())
            .await?;
        }
        sqlx::query("update orphan_look set looked_at = $2, trouble = null where provisioner = $1")
            .bind(provisioner)
            .bind(now)
            .execute(tx.connection())
            .await?;
        tx.commit().await?;
        Ok(found.into_iter().filter(|orphan| !known.contains(&orphan.id)).cloned().collect())
    }

    /// Of provisioners that there are no more nothing is shown; whoever has their account and region finds what is theirs.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn forget_orphans_but_of(&self, provisioners: &[&str]) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let known: Vec<String> =
            sqlx::query_scalar("select provisioner from orphan_look").fetch_all(tx.connection()).await?;
        for gone in known.iter().filter(|known| !provisioners.contains(&known.as_str())) {
            for statement in
                ["delete from orphan where provisioner = $1", "delete from orphan_look where provisioner = $1"]
            {
                sqlx::query(statement).bind(gone.as_str()).execute(tx.connection()).await?;
            }
        }
        tx.commit().await
    }

    /// A look could not be done.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn write_orphan_trouble(&self, provisioner: &str, trouble: &str) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        sqlx::query("update orphan_look set trouble = $2 where provisioner = $1")
            .bind(provisioner)
            .bind(trouble)
            .execute(tx.connection())
            .await?;
        tx.commit().await
    }

    /// Those whose removal was not asked for.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn count_orphans(&self) -> Result<u64, StoreError> {
        let count = sqlx::query_scalar("select count(*) from orphan where removed_at is null");
        let count: i64 = count.fetch_one(&mut *self.read().await?).await?;
        Ok(count.unsigned_abs())
    }

    /// Those whose removal was not asked for, the oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn orphans(&self) -> Result<Vec<OrphanRow>, StoreError> {
        let rows = sqlx::query(
            "select provisioner, body, first_seen_at from orphan where removed_at is null \
             order by provisioner, first_seen_at, id",
        );
        rows.fetch_all(&mut *self.read().await?).await?.iter().map(orphan).collect()
    }

    /// # Errors
    /// When the database cannot be read.
    pub async fn orphan(&self, provisioner: &str, id: &str) -> Result<Option<OrphanRow>, StoreError> {
        let row = sqlx::query(
            "select provisioner, body, first_seen_at from orphan where provisioner = $1 and id = $2 \
             and removed_at is null",
        );
        let row = row.bind(provisioner).bind(id).fetch_optional(&mut *self.read().await?).await?;
        row.as_ref().map(orphan).transpose()
    }

    /// # Errors
    /// When the database cannot be read.
    pub async fn orphan_looks(&self) -> Result<Vec<OrphanLook>, StoreError> {
        let rows = sqlx::query("select provisioner, looked_at, trouble from orphan_look order by provisioner");
        let look = |row: &AnyRow| {
            Ok(OrphanLook {
                provisioner: row.try_get("provisioner")?,
                looked_at: row.try_get("looked_at")?,
                trouble: row.try_get("trouble")?,
            })
        };
        rows.fetch_all(&mut *self.read().await?).await?.iter().map(look).collect()
    }

    /// Whether a row here still counts on what this was made for, of which nothing is remembered: a snapshot is counted on where its
    /// environment is, and elsewhere unless it is remembered there, for then it is another one.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn counts_on(&self, provisioner: &str, orphan: &Orphan) -> Result<bool, StoreError> {
        let Some((subject, generation)) = &orphan.subject else { return Ok(false) };
        let sql = match orphan.kind {
            OrphanKind::Server => {
                "select count(*) from server s join environment e on e.id = s.environment_id \
                 where s.id = $1 and s.generation = $2 and e.deleted_at is null"
            }
            OrphanKind::Volume => {
                "select count(*) from volume where id = $1 and cast($2 as bigint) = 0 and deleted_at is null"
            }
            OrphanKind::Snapshot => {
                "select count(*) from snapshot s join environment e on e.id = s.environment_id \
                 where s.id = $1 and cast($2 as bigint) = 0 and ((s.removed_at is null and (e.provisioner = $3 \
                 or not exists (select 1 from ledger_page p where p.provisioner = e.provisioner \
                 and p.environment_id = e.id and p.page = 'snapshot/' || s.id))) \
                 or exists (select 1 from snapshot_copy c where c.snapshot_id = s.id and c.provisioner = $3))"
            }
            OrphanKind::Network => {
                "select count(*) from environment where id = $1 and cast($2 as bigint) = 0 and deleted_at is null"
            }
        };
        let mut count = sqlx::query_scalar::<_, i64>(sql).bind(subject.as_str()).bind(generation.unwrap_or(0));
        if orphan.kind == OrphanKind::Snapshot {
            count = count.bind(provisioner);
        }
        Ok(count.fetch_one(&mut *self.read().await?).await? > 0)
    }
}

impl Tx {
    /// Its removal was asked for.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn note_orphan_removed(&mut self, provisioner: &str, id: &str, now: i64) -> Result<(), StoreError> {
        sqlx::query("update orphan set removed_at = $3 where provisioner = $1 and id = $2")
            .bind(provisioner)
            .bind(id)
            .bind(now)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

pub(super) fn orphan(row: &AnyRow) -> Result<OrphanRow, StoreError> {
    Ok(OrphanRow {
        provisioner: row.try_get("provisioner")?,
        orphan: json::read("orphan.body", &row.try_get::<String, _>("body")?)?,
        first_seen_at: row.try_get("first_seen_at")?,
    })
}
