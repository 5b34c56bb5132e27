//! What operators look at: intentions that have not come to pass, environments that once were.

use super::{Store, StoreError, columns};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectRow {
    pub environment_id: String,
    pub environment: String,
    pub step: String,
    /// Name of the server or volume.
    pub subject: Option<String>,
    pub outcome: String,
    pub message: Option<String>,
    pub attempts: i64,
    pub retry_at: i64,
    pub recorded_at: i64,
}

columns!(EffectRow { environment_id, environment, step, subject, outcome, message, attempts, retry_at, recorded_at });

impl Store {
    /// `SQLite` or `PostgreSQL`.
    pub fn kind(&self) -> &'static str {
        if self.writer.is_sqlite() { "SQLite" } else { "PostgreSQL" }
    }

    /// What is asked for and not done in a team's environments, the oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn effects_in_flight(&self, team_id: &str, limit: u32) -> Result<Vec<EffectRow>, StoreError> {
        Ok(sqlx::query_as(
            "select e.id as environment_id, e.name as environment, f.step, \
             coalesce((select s.name from server s where s.id = f.subject_id), \
                 (select v.name from volume v where v.id = f.subject_id)) as subject, \
             f.outcome, f.message, f.attempts, f.retry_at, f.recorded_at \
             from effect f join environment e on e.id = f.environment_id \
             where f.outcome in ('recorded', 'retryable', 'unknown') and e.team_id = $1 \
             order by f.recorded_at, f.token limit $2",
        )
        .bind(team_id)
        .bind(i64::from(limit))
        .fetch_all(&mut *self.read().await?)
        .await?)
    }

    /// Whether an environment of this id was ever known, of whatever team; and if so, when it was deleted.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn was_deleted(&self, environment: &str) -> Result<Option<Option<i64>>, StoreError> {
        let found: Option<(Option<i64>,)> = sqlx::query_as("select deleted_at from environment where id = $1")
            .bind(environment)
            .fetch_optional(&mut *self.read().await?)
            .await?;
        Ok(found.map(|(deleted_at,)| deleted_at))
    }
}
