//! Volumes that begin with what a snapshot held: restore, clone and undelete, until they are over or all is as it was.

use super::environments::Refused;
use super::{EnvironmentRecord, Quota, Source, StoreError, Tx, id, timeline};
use crate::domain::drill;
use crate::domain::note::Note;
use crate::domain::plan::Turn;

/// What came of bringing a deleted environment back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undeleted {
    Done,
    /// Another one has its name now.
    NameTaken,
    /// There are as many as allowed.
    Quota {
        limit: i64,
    },
}

impl Tx {
    /// Prepares volumes that begin with what this snapshot has; `present` is the snapshot that keeps what there is now.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when somebody has deleted the snapshot.
    pub async fn begin_restore(
        &mut self,
        environment: &str,
        source: &Source,
        sizes: &[(String, u64)],
        present: Option<&str>,
        now: i64,
    ) -> Result<(), StoreError> {
        // Locks the row: it cannot be deleted between this and the commit.
        let there = sqlx::query("update snapshot set state = state where id = $1 and removal_requested_at is null")
            .bind(&source.snapshot)
            .execute(self.connection())
            .await?;
        if there.rows_affected() == 0 {
            return Err(StoreError::Stale);
        }
        for volume in &source.volumes {
            let size = sizes.iter().find(|(name, _)| *name == volume.name).map_or(0, |(_, size)| *size);
            sqlx::query(
                "insert into volume (id, environment_id, name, size_bytes, role, source_environment_id, \
                 source_snapshot_id, source_volume_id, created_at) values ($1, $2, $3, $4, 'incoming', $5, $6, $7, $8)",
            )
            .bind(id(now))
            .bind(environment)
            .bind(&volume.name)
            .bind(size as i64)
            .bind(&source.environment)
            .bind(&source.snapshot)
            .bind(volume.volume.as_str())
            .bind(now)
            .execute(self.connection())
            .await?;
        }
        sqlx::query("update environment set restoring_snapshot_id = $2, present_snapshot_id = $3 where id = $1")
            .bind(environment)
            .bind(&source.snapshot)
            .bind(present)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Brings a deleted environment back among the living, without servers or volumes: see [`Tx::begin_restore`]. Only after
    /// `Done` is there anything to commit.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn undelete(
        &mut self,
        record: &EnvironmentRecord,
        quota: Quota,
        now: i64,
    ) -> Result<Undeleted, StoreError> {
        let environment = &record.summary.id;
        // Orders at the same moment cannot pass.
        sqlx::query("update team set name = name where id = $1")
            .bind(&record.team_id)
            .execute(self.connection())
            .await?;
        let (team, owner, name) = (&record.team_id, &record.owner_id, &record.summary.name);
        match self.refused(team, owner, name, quota).await? {
            Some(Refused::NameTaken) => return Ok(Undeleted::NameTaken),
            Some(Refused::PersonQuota) => return Ok(Undeleted::Quota { limit: quota.per_person }),
            Some(Refused::TeamQuota) => return Ok(Undeleted::Quota { limit: quota.per_team }),
            None => {}
        }
        for statement in [
            "update environment set deleted_at = null, final_snapshot_id = null where id = $1",
            "update snapshot set expires_at = null where environment_id = $1",
        ] {
            sqlx::query(statement).bind(environment).execute(self.connection()).await?;
        }
        self.reschedule_drills(environment, Some(now + drill::WEEK_MS)).await?;
        Ok(Undeleted::Done)
    }

    /// Ends a restore or a change, one way or the other.
    pub(super) async fn turn(&mut self, environment: &str, turn: &Turn, now: i64) -> Result<(), StoreError> {
        let note = match turn {
            Turn::Changed => self.changed(environment, now).await?,
            Turn::Unchanged { reason } => self.unchanged(environment, reason).await?,
            Turn::Over => {
                sqlx::query(
                    "update volume set role = 'outgoing', delete_requested_at = $2, kept_in_snapshot_id = \
                     (select present_snapshot_id from environment where id = $1) \
                     where environment_id = $1 and role = 'current' and name in (select i.name from volume i \
                     where i.environment_id = $1 and i.role = 'incoming')",
                )
                .bind(environment)
                .bind(now)
                .execute(self.connection())
                .await?;
                sqlx::query("update volume set role = 'current' where environment_id = $1 and role = 'incoming'")
                    .bind(environment)
                    .execute(self.connection())
                    .await?;
                Note::new("restored", "The volumes hold what the snapshot held")
            }
            Turn::Back { reason } => {
                sqlx::query(
                    "update volume set role = 'outgoing', delete_requested_at = $2 \
                     where environment_id = $1 and role = 'incoming'",
                )
                .bind(environment)
                .bind(now)
                .execute(self.connection())
                .await?;
                Note::new("not_restored", format!("Not restored, all stays as it was: {reason}"))
            }
        };
        sqlx::query("update environment set restoring_snapshot_id = null, present_snapshot_id = null where id = $1")
            .bind(environment)
            .execute(self.connection())
            .await?;
        timeline::insert(self.connection(), environment, &note, None, now).await
    }

    /// Whether an environment is being given what it holds.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn is_being_copied(&mut self, snapshot: &str) -> Result<bool, StoreError> {
        let copied = sqlx::query("select 1 from volume where source_snapshot_id = $1 and role = 'incoming' limit 1")
            .bind(snapshot)
            .fetch_optional(self.connection())
            .await?;
        Ok(copied.is_some())
    }
}
