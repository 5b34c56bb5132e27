//! Copies of snapshots at other provisioners: which are wanted, how far they are, which are to go.
//!
//! What is done here may be done by two portals at once: asking a place twice for the same copy is harmless, and what one of them
//! found a copy to be is written only where nobody else has written since.

use std::collections::{BTreeMap, HashMap};

use app::api::{SnapshotCopyState, SnapshotCopyView};
use provisioners::{Copied, SnapshotVolume};
use sqlx::Row;
use sqlx::any::AnyRow;

use super::repository::asked_for;
use super::snapshots::is_being_read;
use super::{Store, StoreError, json};
use crate::domain::repository::ExportPolicy;

/// A copy about which something is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenCopy {
    pub snapshot: String,
    pub environment: String,
    /// The provisioner whose snapshot it is.
    pub home: String,
    /// Wanted and failed ones are to be begun now.
    pub stage: CopyStage,
    /// Parts that are copied one by one.
    pub volumes: usize,
    pub doing: Option<String>,
    pub failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyStage {
    Wanted,
    Copying,
    Failed,
    Removing,
}

impl CopyStage {
    fn as_str(self) -> &'static str {
        match self {
            CopyStage::Wanted => "wanted",
            CopyStage::Copying => "copying",
            CopyStage::Failed => "failed",
            CopyStage::Removing => "removing",
        }
    }
}

/// What became of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyNews {
    /// How far it is, in words.
    Copying {
        doing: Option<String>,
    },
    Complete,
    Failed {
        reason: String,
        retry_at: i64,
    },
    /// As before, but for why it is not further yet.
    Waits {
        reason: String,
        retry_at: i64,
    },
    /// It is to be begun anew.
    Lost,
    /// Nothing is left of it.
    Gone,
}

impl Store {
    /// Writes down which snapshots of one provisioner are to be at another, too; how many are new.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn enlist_copies(&self, from: &str, to: &str, which: Copied, now: i64) -> Result<u64, StoreError> {
        let asked_for = asked_for(match which {
            Copied::All => ExportPolicy::All,
            Copied::Kept => ExportPolicy::Kept,
        });
        let missing = format!(
            "from snapshot s join environment e on e.id = s.environment_id \
             where e.provisioner = $1 and s.state = 'complete' and {asked_for} and not exists \
             (select 1 from snapshot_copy c where c.snapshot_id = s.id and c.provisioner = $2)"
        );
        let any = sqlx::query(sqlx::AssertSqlSafe(format!("select 1 {missing} limit 1"))).bind(from).bind(to);
        if any.fetch_optional(&mut *self.read().await?).await?.is_none() {
            return Ok(0);
        }
        let mut tx = self.write().await?;
        let new = sqlx::query(sqlx::AssertSqlSafe(format!(
            "insert into snapshot_copy (snapshot_id, provisioner, state, requested_at, failures, retry_at) \
             select s.id, $2, 'wanted', $3, 0, 0 {missing}"
        )));
        let new = new.bind(from).bind(to).bind(now).execute(tx.connection()).await?;
        tx.commit().await?;
        Ok(new.rows_affected())
    }

    /// Copies whose snapshots are to go are to go, too.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn expire_copies(&self) -> Result<(), StoreError> {
        let due = format!(
            "select c.snapshot_id from snapshot_copy c join snapshot s on s.id = c.snapshot_id \
             where s.removal_requested_at is not null and c.state <> 'removing' and not {}",
            is_being_read("s")
        );
        if sqlx::query(sqlx::AssertSqlSafe(due.clone())).fetch_optional(&mut *self.read().await?).await?.is_none() {
            return Ok(());
        }
        let mut tx = self.write().await?;
        let sql = format!("update snapshot_copy set state = 'removing', retry_at = 0 where snapshot_id in ({due})");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(tx.connection()).await?;
        tx.commit().await
    }

    /// Those of a provisioner about which something is to be done now, what is under way first, then the oldest wish.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn open_copies(&self, provisioner: &str, now: i64) -> Result<Vec<OpenCopy>, StoreError> {
        let rows = sqlx::query(
            "select c.snapshot_id, c.state, c.doing, c.failures, s.environment_id, s.volumes, e.provisioner as home \
             from snapshot_copy c join snapshot s on s.id = c.snapshot_id join environment e on e.id = s.environment_id \
             where c.provisioner = $1 and c.state <> 'complete' and (c.state = 'copying' or c.retry_at <= $2) \
             order by case c.state when 'copying' then 0 when 'removing' then 1 else 2 end, c.requested_at, c.snapshot_id limit 200",
        );
        let rows = rows.bind(provisioner).bind(now).fetch_all(&mut *self.read().await?).await?;
        rows.iter().map(open).collect()
    }

    /// What a provisioner said of a copy that was at this stage, unless somebody else has written it down.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn note_copy(
        &self,
        provisioner: &str,
        copy: &OpenCopy,
        news: &CopyNews,
        now: i64,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let at = "where snapshot_id = $1 and provisioner = $2 and state = $3";
        let set = match news {
            CopyNews::Gone => None,
            CopyNews::Copying { .. } => Some("state = 'copying', failure = null, doing = $4"),
            CopyNews::Complete => {
                Some("state = 'complete', failure = null, failures = 0, doing = null, completed_at = $4")
            }
            CopyNews::Failed { .. } => {
                Some("state = 'failed', doing = null, failures = failures + 1, retry_at = $4, failure = $5")
            }
            CopyNews::Waits { .. } => Some("failures = failures + 1, retry_at = $4, failure = $5"),
            CopyNews::Lost => Some("state = 'wanted', doing = null, retry_at = $4"),
        };
        let sql = match set {
            Some(set) => format!("update snapshot_copy set {set} {at}"),
            None => format!("delete from snapshot_copy {at}"),
        };
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
        query = query.bind(&copy.snapshot).bind(provisioner).bind(copy.stage.as_str());
        query = match news {
            CopyNews::Gone => query,
            CopyNews::Copying { doing } => query.bind(doing),
            CopyNews::Complete | CopyNews::Lost => query.bind(now),
            CopyNews::Failed { reason, retry_at } | CopyNews::Waits { reason, retry_at } => {
                query.bind(*retry_at).bind(reason)
            }
        };
        query.execute(tx.connection()).await?;
        tx.commit().await
    }

    /// How it stands with the copies of an environment's snapshots, by the snapshots' ids.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn copies_of(&self, environment: &str) -> Result<HashMap<String, Vec<SnapshotCopyView>>, StoreError> {
        let rows = sqlx::query(
            "select c.* from snapshot_copy c join snapshot s on s.id = c.snapshot_id \
             where s.environment_id = $1 and c.state <> 'removing' order by c.provisioner",
        );
        let rows = rows.bind(environment).fetch_all(&mut *self.read().await?).await?;
        let mut copies: HashMap<String, Vec<SnapshotCopyView>> = HashMap::new();
        for row in &rows {
            copies.entry(row.try_get("snapshot_id")?).or_default().push(view(row)?);
        }
        Ok(copies)
    }

    /// Complete copies of an environment's snapshots: which there are at which provisioner.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn complete_copies(&self, environment: &str) -> Result<BTreeMap<String, Vec<String>>, StoreError> {
        let mut by_provisioner: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (snapshot, copies) in self.copies_of(environment).await? {
            for copy in copies.into_iter().filter(|copy| copy.state == SnapshotCopyState::Complete) {
                by_provisioner.entry(copy.provisioner).or_default().push(snapshot.clone());
            }
        }
        Ok(by_provisioner)
    }
}

fn open(row: &AnyRow) -> Result<OpenCopy, StoreError> {
    let state: String = row.try_get("state")?;
    let volumes: Vec<SnapshotVolume> = json::read("a snapshot's volumes", &row.try_get::<String, _>("volumes")?)?;
    let stages = [CopyStage::Wanted, CopyStage::Copying, CopyStage::Failed, CopyStage::Removing];
    Ok(OpenCopy {
        snapshot: row.try_get("snapshot_id")?,
        environment: row.try_get("environment_id")?,
        home: row.try_get("home")?,
        stage: stages.into_iter().find(|stage| stage.as_str() == state).unwrap_or(CopyStage::Wanted),
        volumes: volumes.len(),
        doing: row.try_get("doing")?,
        failures: u32::try_from(row.try_get::<i64, _>("failures")?).unwrap_or(u32::MAX),
    })
}

fn view(row: &AnyRow) -> Result<SnapshotCopyView, StoreError> {
    let state: SnapshotCopyState = json::word("a copy's state", row.try_get("state")?)?;
    let failed = state == SnapshotCopyState::Failed;
    Ok(SnapshotCopyView {
        provisioner: row.try_get("provisioner")?,
        state,
        doing: row.try_get("doing")?,
        failure: row.try_get("failure")?,
        retry_at: failed.then(|| row.try_get("retry_at")).transpose()?,
        completed_at: row.try_get("completed_at")?,
    })
}
