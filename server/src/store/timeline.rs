//! What happened to an environment, told to people in order.

use std::collections::BTreeMap;

use app::api::{Happened, Page, TimelineEvent};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::{Store, StoreError, Tx, id};
use crate::domain::note::Note;
use crate::domain::progress::TURNS;

impl Tx {
    /// Appends one event. `actor` is a sign-in name; `None` when Bookend did it by itself.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn add_event(
        &mut self,
        environment: &str,
        note: &Note,
        actor: Option<&str>,
        now: i64,
    ) -> Result<(), StoreError> {
        insert(self.connection(), environment, note, actor, now).await
    }
}

pub(super) async fn insert(
    connection: &mut AnyConnection,
    environment: &str,
    note: &Note,
    actor: Option<&str>,
    now: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into timeline_event (id, environment_id, at, kind, message, server, actor, team_id) \
         values ($1, $2, $3, $4, $5, $6, $7, (select team_id from environment where id = $2))",
    )
    .bind(id(now))
    .bind(environment)
    .bind(now)
    .bind(note.kind)
    .bind(&note.message)
    .bind(note.server.as_deref())
    .bind(actor)
    .execute(connection)
    .await?;
    Ok(())
}

impl Store {
    /// Newest first; `cursor` is the `next` of the page before.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn timeline(
        &self,
        environment: &str,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<TimelineEvent>, StoreError> {
        let rows = sqlx::query(
            "select id, at, kind, message, server, actor from timeline_event \
             where environment_id = $1 and id < $2 order by id desc limit $3",
        )
        .bind(environment)
        .bind(cursor.unwrap_or("~"))
        .bind(i64::from(limit) + 1)
        .fetch_all(&mut *self.read().await?)
        .await?;
        let items = rows.iter().map(event).collect::<Result<Vec<_>, _>>()?;
        Ok(super::page(items, limit, |event: &TimelineEvent| event.id.clone()))
    }

    /// When what was wanted changed and when it came about ([`TURNS`]): kind and time of the last hundred, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn turns(&self, environment: &str) -> Result<Vec<(String, i64)>, StoreError> {
        let kinds = TURNS.map(|kind| format!("'{kind}'")).join(", ");
        let rows = sqlx::query(AssertSqlSafe(format!(
            "select kind, at from timeline_event where environment_id = $1 and kind in ({kinds}) order by id desc limit 100"
        )))
        .bind(environment)
        .fetch_all(&mut *self.read().await?)
        .await?;
        rows.iter().map(|row| Ok((row.try_get("kind")?, row.try_get("at")?))).collect()
    }

    /// As [`turns`](Self::turns), since a time, of the newest twenty environments that a team made from a template's version at a
    /// provisioner; of each the oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn turns_of_version(
        &self,
        team_id: &str,
        version_id: &str,
        provisioner: &str,
        since: i64,
    ) -> Result<Vec<Vec<(String, i64)>>, StoreError> {
        let kinds = TURNS.map(|kind| format!("'{kind}'")).join(", ");
        let rows = sqlx::query(AssertSqlSafe(format!(
            "select event.environment_id, event.kind, event.at from timeline_event event join \
             (select id from environment where team_id = $1 and template_version_id = $2 and provisioner = $3 \
             order by id desc limit 20) made on made.id = event.environment_id \
             where event.at >= $4 and event.kind in ({kinds}) order by event.environment_id, event.id"
        )))
        .bind(team_id)
        .bind(version_id)
        .bind(provisioner)
        .bind(since)
        .fetch_all(&mut *self.read().await?)
        .await?;
        let mut all = BTreeMap::<String, Vec<(String, i64)>>::new();
        for row in &rows {
            let turn = (row.try_get("kind")?, row.try_get("at")?);
            all.entry(row.try_get("environment_id")?).or_default().push(turn);
        }
        Ok(all.into_values().collect())
    }

    /// How long the newest twenty orders since a time, of a team from a template's version at a provisioner, took to become ready,
    /// milliseconds.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn first_starts(
        &self,
        team_id: &str,
        version_id: &str,
        provisioner: &str,
        since: i64,
    ) -> Result<Vec<i64>, StoreError> {
        let took = sqlx::query_scalar(
            "select first_ready_at - created_at from environment where team_id = $1 and template_version_id = $2 \
             and provisioner = $3 and created_at >= $4 and first_ready_at is not null order by id desc limit 20",
        );
        let took = took.bind(team_id).bind(version_id).bind(provisioner).bind(since);
        Ok(took.fetch_all(&mut *self.read().await?).await?)
    }

    /// What came of things in a team lately, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn results(&self, team_id: &str, limit: u32) -> Result<Vec<Happened>, StoreError> {
        let rows = sqlx::query(
            "select event.id, event.at, event.kind, event.message, event.server, event.actor, \
             environment.id as environment_id, environment.name as environment \
             from timeline_event event join environment on environment.id = event.environment_id \
             where event.team_id = $1 and event.kind in ('ready', 'drift_repaired', 'parked', 'deleted', 'failed', \
             'drill_failed', 'snapshot_damaged') \
             order by event.id desc limit $2",
        )
        .bind(team_id)
        .bind(i64::from(limit))
        .fetch_all(&mut *self.read().await?)
        .await?;
        let happened = |row: &AnyRow| {
            Ok(Happened {
                event: event(row)?,
                environment_id: row.try_get("environment_id")?,
                environment: row.try_get("environment")?,
            })
        };
        rows.iter().map(happened).collect()
    }
}

fn event(row: &AnyRow) -> Result<TimelineEvent, StoreError> {
    Ok(TimelineEvent {
        id: row.try_get("id")?,
        at: row.try_get("at")?,
        kind: row.try_get("kind")?,
        message: row.try_get("message")?,
        server: row.try_get("server")?,
        actor: row.try_get("actor")?,
    })
}
