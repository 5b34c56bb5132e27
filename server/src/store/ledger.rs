//! The pages that provisioners keep (see [`provisioners::Ledger`]). What is in them is theirs.

use async_trait::async_trait;
use provisioners::{EnvironmentId, Ledger, LedgerError, Page, PageChange};
use sqlx::Row;

use super::{Store, StoreError};

/// Environments that one statement asks for.
const AT_ONCE: usize = 100;

/// The ledger of one provisioner in this database.
pub struct StoredLedger {
    pub store: Store,
    /// Its name.
    pub provisioner: String,
}

#[async_trait]
impl Ledger for StoredLedger {
    async fn read(&self, environments: &[EnvironmentId]) -> Result<Vec<Page>, LedgerError> {
        self.store.ledger_pages(&self.provisioner, environments).await.map_err(told)
    }

    async fn read_others(&self, environments: &[EnvironmentId]) -> Result<Vec<Vec<Page>>, LedgerError> {
        let others = self.store.ledger_provisioners().await.map_err(told)?;
        let mut all = Vec::new();
        for other in others.iter().filter(|other| **other != self.provisioner) {
            all.push(self.store.ledger_pages(other, environments).await.map_err(told)?);
        }
        Ok(all)
    }

    async fn environments(&self) -> Result<Vec<EnvironmentId>, LedgerError> {
        self.store.ledger_environments(&self.provisioner).await.map_err(told)
    }

    async fn write(&self, changes: &[PageChange]) -> Result<bool, LedgerError> {
        self.store.change_ledger(&self.provisioner, changes).await.map_err(told)
    }
}

fn told(error: StoreError) -> LedgerError {
    LedgerError(error.to_string())
}

impl Store {
    async fn ledger_pages(&self, provisioner: &str, environments: &[EnvironmentId]) -> Result<Vec<Page>, StoreError> {
        let mut pages = Vec::new();
        let mut connection = self.read().await?;
        for some in environments.chunks(AT_ONCE) {
            let places: Vec<String> = (0..some.len()).map(|index| format!("${}", index + 2)).collect();
            let sql = format!(
                "select environment_id, page, version, body from ledger_page \
                 where provisioner = $1 and environment_id in ({}) order by environment_id, page",
                places.join(", ")
            );
            let mut query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(provisioner);
            for environment in some {
                query = query.bind(environment.as_str());
            }
            for row in query.fetch_all(&mut *connection).await? {
                pages.push(Page {
                    environment: EnvironmentId::new(row.try_get::<String, _>("environment_id")?),
                    key: row.try_get("page")?,
                    version: row.try_get("version")?,
                    body: row.try_get("body")?,
                });
            }
        }
        Ok(pages)
    }

    /// Those of tables that are not in the file any more, too.
    async fn ledger_provisioners(&self) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query_scalar("select distinct provisioner from ledger_page order by provisioner");
        Ok(rows.fetch_all(&mut *self.read().await?).await?)
    }

    async fn ledger_environments(&self, provisioner: &str) -> Result<Vec<EnvironmentId>, StoreError> {
        let rows = sqlx::query_scalar::<_, String>(
            "select distinct environment_id from ledger_page where provisioner = $1 order by environment_id",
        );
        let found = rows.bind(provisioner).fetch_all(&mut *self.read().await?).await?;
        Ok(found.into_iter().map(EnvironmentId::new).collect())
    }

    async fn change_ledger(&self, provisioner: &str, changes: &[PageChange]) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        for change in changes {
            let query = match (&change.body, change.from) {
                (Some(body), 0) => sqlx::query(
                    "insert into ledger_page (provisioner, environment_id, page, version, body) \
                     values ($1, $2, $3, 1, $4) on conflict do nothing",
                )
                .bind(provisioner)
                .bind(change.environment.as_str())
                .bind(&change.key)
                .bind(body),
                (Some(body), from) => sqlx::query(
                    "update ledger_page set version = version + 1, body = $5 \
                     where provisioner = $1 and environment_id = $2 and page = $3 and version = $4",
                )
                .bind(provisioner)
                .bind(change.environment.as_str())
                .bind(&change.key)
                .bind(from)
                .bind(body),
                (None, from) => sqlx::query(
                    "delete from ledger_page \
                     where provisioner = $1 and environment_id = $2 and page = $3 and version = $4",
                )
                .bind(provisioner)
                .bind(change.environment.as_str())
                .bind(&change.key)
                .bind(from),
            };
            // Dropped without a commit, what was changed before it is undone.
            if query.execute(tx.connection()).await?.rows_affected() != 1 {
                return Ok(false);
            }
        }
        tx.commit().await?;
        Ok(true)
    }
}
