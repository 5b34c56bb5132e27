//! What people and schedules want of an environment. Changing a desire is all that park, resume, restart, delete, retry,
//! cancel and force do; the engine does the rest.

use app::api::SnapshotReason;
use sqlx::Row;

use super::snapshots::Wanted;
use super::{Store, StoreError, Tx, json};
use crate::domain::actions::{Change, Keep};
use crate::domain::schedule::Upcoming;
use crate::domain::topology::OwnRule;

impl Tx {
    /// Writes a change of desire that was decided on facts of this generation. `actor`: who wants it; `None`: a schedule does,
    /// and what people want goes before it.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when somebody changed it first: read the facts again.
    pub async fn change_desire(
        &mut self,
        environment: &str,
        generation: i64,
        change: &Change,
        actor: Option<&str>,
        now: i64,
    ) -> Result<(), StoreError> {
        let connection = self.connection();
        let changed = sqlx::query(
            "update environment set desired = $3, generation = generation + 1, desired_at = $4, failure = null, \
             state = $5, forced = $6, by_schedule = $7, waiting_for = null, hints = hints + 1, due_at = $4, \
             parked_snapshot_id = case when $3 = 'parked' then parked_snapshot_id end \
             where id = $1 and generation = $2",
        )
        .bind(environment)
        .bind(generation)
        .bind(change.desired.as_str())
        .bind(now)
        .bind(change.label.as_str())
        .bind(i64::from(change.forced))
        .bind(i64::from(actor.is_none()))
        .execute(&mut *connection)
        .await?;
        if changed.rows_affected() == 0 {
            return Err(StoreError::Stale);
        }
        sqlx::query("update server set attempts = 0, retry_at = 0 where environment_id = $1")
            .bind(environment)
            .execute(&mut *connection)
            .await?;
        sqlx::query("update effect set tries = 0, retry_at = 0 where environment_id = $1")
            .bind(environment)
            .execute(&mut *connection)
            .await?;
        for server in &change.renew {
            sqlx::query(
                "update server set generation = generation + 1, healthy_at = null, disconnected_at = null where id = $1",
            )
            .bind(server.as_str())
            .execute(&mut *connection)
            .await?;
        }
        if change.delete_volumes {
            sqlx::query(
                "update volume set delete_requested_at = $2 where environment_id = $1 and delete_requested_at is null",
            )
            .bind(environment)
            .bind(now)
            .execute(&mut *connection)
            .await?;
        }
        let wanted = |reason: SnapshotReason| Wanted { environment, reason, label: "", actor };
        match &change.keep {
            Keep::AsBefore => {}
            Keep::Nothing => self.set_final_snapshot(environment, None).await?,
            Keep::In(reason) => {
                let snapshot = self.want_snapshot(&wanted(*reason), now).await?;
                if *reason == SnapshotReason::Delete {
                    self.set_final_snapshot(environment, Some(&snapshot.snapshot)).await?;
                }
            }
            Keep::InsteadOfVolumes => {
                let snapshot = self.want_snapshot(&wanted(SnapshotReason::Park), now).await?;
                self.set_parked_snapshot(environment, &snapshot.snapshot).await?;
            }
            Keep::Already(snapshot) => self.set_parked_snapshot(environment, snapshot.as_str()).await?,
        }
        self.add_event(environment, &change.note, actor, now).await
    }

    /// When the next scheduled action and snapshot are due.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn set_upcoming(&mut self, environment: &str, upcoming: Upcoming) -> Result<(), StoreError> {
        let set =
            "update environment set next_event_at = $2, next_event_action = $3, next_snapshot_at = $4 where id = $1";
        sqlx::query(set)
            .bind(environment)
            .bind(upcoming.event.map(|(at, _)| at))
            .bind(upcoming.event.map(|(_, action)| action.as_str()))
            .bind(upcoming.snapshot_at)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// When snapshots of it are taken by themselves from now on; `None`: as its template says.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn set_snapshot_rule(
        &mut self,
        environment: &str,
        rule: Option<&OwnRule>,
        next_at: Option<i64>,
    ) -> Result<(), StoreError> {
        sqlx::query("update environment set snapshot_rule = $2, next_snapshot_at = $3 where id = $1")
            .bind(environment)
            .bind(rule.map(|rule| json::write("a snapshot rule", rule)).transpose()?)
            .bind(next_at)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Something about this environment may have changed: the engine should look at it. It is due since somebody asked for
    /// it: what was begun is finished before something newer is begun.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn touch(&mut self, environment: &str, now: i64) -> Result<(), StoreError> {
        sqlx::query(
            "update environment set hints = hints + 1, due_at = case when desired_at < $2 then desired_at else $2 end \
             where id = $1",
        )
        .bind(environment)
        .bind(now)
        .execute(self.connection())
        .await?;
        Ok(())
    }
}

impl Store {
    /// How often what is wanted of this environment has changed; `None`: there is no such environment.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn generation(&self, environment: &str) -> Result<Option<i64>, StoreError> {
        let generation = sqlx::query_scalar("select generation from environment where id = $1")
            .bind(environment)
            .fetch_optional(&mut *self.read().await?)
            .await?;
        Ok(generation)
    }

    /// Environments whose scheduled action is due, the longest overdue first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn due_schedules(&self, now: i64, limit: u32) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query(
            "select id from (select id, next_event_at as at from environment where next_event_at <= $1 \
             union select id, next_snapshot_at as at from environment where next_snapshot_at <= $1) due \
             group by id order by min(at), id limit $2",
        )
        .bind(now)
        .bind(i64::from(limit))
        .fetch_all(&mut *self.read().await?)
        .await?;
        rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
    }
}
