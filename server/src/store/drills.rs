//! Restore drills: when the next is due, what is under way, and what came of the last.

use app::api::{DrillReach, DrillResult, DrillView};
use sqlx::Row;

use super::{Store, StoreError, Tx, json};
use crate::domain::drill;

/// An environment whose drill may begin.
#[derive(Clone, Debug)]
pub struct DrillDue {
    pub environment: String,
    pub team: String,
}

/// The one drill under way.
#[derive(Clone, Debug)]
pub struct DrillUnderWay {
    pub environment: String,
    /// The environment it happens in.
    pub place: String,
    pub snapshot: String,
    pub began_at: i64,
    pub reach: DrillReach,
    /// What came of it is written down; its place is on its way out.
    pub ended: bool,
}

impl Tx {
    /// With a new environment: the first drill comes after a week.
    pub(super) async fn schedule_drills(&mut self, environment: &str, now: i64) -> Result<(), StoreError> {
        sqlx::query("insert into drill (environment_id, due_at, open) values ($1, $2, 0)")
            .bind(environment)
            .bind(now + drill::WEEK_MS)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// When the next one is due; `None`: never, as of what is deleted. Whoever asked for one asked in vain.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn reschedule_drills(&mut self, environment: &str, due_at: Option<i64>) -> Result<(), StoreError> {
        sqlx::query("update drill set due_at = $2, actor = null where environment_id = $1")
            .bind(environment)
            .bind(due_at)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// A person asks for one. Whether it is a new wish: nothing happens while one waits or is under way.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn want_drill(&mut self, environment: &str, actor: &str, now: i64) -> Result<bool, StoreError> {
        let wanted = sqlx::query(
            "update drill set due_at = $3, actor = $2 where environment_id = $1 and actor is null \
             and due_at is not null and open = 0",
        )
        .bind(environment)
        .bind(actor)
        .bind(now)
        .execute(self.connection())
        .await?;
        Ok(wanted.rows_affected() > 0)
    }

    /// The place was ordered in this transaction. False when another drill is under way: nothing is to be committed then.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn begin_drill(
        &mut self,
        environment: &str,
        place: &str,
        snapshot: &str,
        reach: DrillReach,
        now: i64,
    ) -> Result<bool, StoreError> {
        let begun = sqlx::query(
            "update drill set place_id = $2, snapshot_id = $3, reach = $4, began_at = $5, open = 1 where environment_id = $1 \
             and due_at <= $5 and not exists (select 1 from drill other where other.place_id is not null)",
        )
        .bind(environment)
        .bind(place)
        .bind(snapshot)
        .bind(reach.as_str())
        .bind(now)
        .execute(self.connection())
        .await?;
        Ok(begun.rows_affected() > 0)
    }

    /// What came of it. False when that is written down already.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn end_drill(&mut self, place: &str, failure: Option<&str>, now: i64) -> Result<bool, StoreError> {
        let ended = sqlx::query(
            "update drill set ended_at = $3, ended_snapshot_id = snapshot_id, failure = $2, actor = null, \
             due_at = case when due_at is null then null else $4 end, open = 0 where place_id = $1 and open = 1",
        )
        .bind(place)
        .bind(failure)
        .bind(now)
        .bind(now + drill::WEEK_MS)
        .execute(self.connection())
        .await?;
        Ok(ended.rows_affected() > 0)
    }

    /// Nothing is left of its place.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn clear_drill(&mut self, place: &str) -> Result<(), StoreError> {
        sqlx::query("update drill set place_id = null where place_id = $1")
            .bind(place)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

impl Store {
    /// Of one environment, as people see it; `weekly`: this portal begins drills by itself.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn drill(&self, environment: &str, weekly: bool) -> Result<DrillView, StoreError> {
        let row = sqlx::query(
            "select d.*, (select s.taken_at from snapshot s where s.id = d.ended_snapshot_id) as taken_at \
             from drill d where d.environment_id = $1",
        )
        .bind(environment)
        .fetch_optional(&mut *self.read().await?)
        .await?;
        let Some(row) = row else { return Ok(DrillView::default()) };
        let under_way = row.try_get::<i64, _>("open")? != 0;
        let asked: Option<String> = row.try_get("actor")?;
        let due_at: Option<i64> = row.try_get("due_at")?;
        let last = match (row.try_get("ended_at")?, row.try_get::<Option<String>, _>("ended_snapshot_id")?) {
            (Some(ended_at), Some(snapshot)) => Some(DrillResult {
                ended_at,
                snapshot,
                taken_at: row.try_get("taken_at")?,
                reach: json::word("a drill's reach", row.try_get("reach")?)?,
                failure: row.try_get("failure")?,
            }),
            _ => None,
        };
        Ok(DrillView {
            since: if under_way { row.try_get("began_at")? } else { due_at.filter(|_| asked.is_some()) },
            last,
            next_at: due_at.filter(|_| weekly && !under_way && asked.is_none()),
        })
    }

    /// The environment whose drill has been due for longest; those somebody asked for come first, and are the only ones
    /// unless `weekly`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn drill_due(&self, now: i64, weekly: bool) -> Result<Option<DrillDue>, StoreError> {
        let row = sqlx::query(
            "select d.environment_id, e.team_id from drill d join environment e on e.id = d.environment_id \
             where d.due_at <= $1 and d.place_id is null and (d.actor is not null or $2 = 1) \
             order by case when d.actor is null then 1 else 0 end, d.due_at limit 1",
        )
        .bind(now)
        .bind(i64::from(weekly))
        .fetch_optional(&mut *self.read().await?)
        .await?;
        row.map(|row| Ok(DrillDue { environment: row.try_get("environment_id")?, team: row.try_get("team_id")? }))
            .transpose()
    }

    /// # Errors
    /// When the database cannot be read.
    pub async fn drill_under_way(&self) -> Result<Option<DrillUnderWay>, StoreError> {
        let row = sqlx::query("select * from drill where place_id is not null")
            .fetch_optional(&mut *self.read().await?)
            .await?;
        row.map(|row| {
            Ok(DrillUnderWay {
                environment: row.try_get("environment_id")?,
                place: row.try_get("place_id")?,
                snapshot: row.try_get("snapshot_id")?,
                began_at: row.try_get("began_at")?,
                reach: json::word("a drill's reach", row.try_get("reach")?)?,
                ended: row.try_get::<i64, _>("open")? == 0,
            })
        })
        .transpose()
    }
}
