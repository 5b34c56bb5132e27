//! Volumes that begin with what a snapshot held: restore, clone and undelete, until they are over or all is as it was, and parks by
//! snapshot.

use provisioners::VolumeId;

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

/// Why a snapshot cannot go now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needed {
    /// An environment is being given what it holds.
    Copied,
    /// An environment is parked in it.
    InPlaceOfVolumes,
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
            Turn::PutAway { volumes } => self.put_away(environment, volumes, now).await?,
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
                // All of them are there: from now on they may be used.
                sqlx::query(
                    "update volume set role = 'current', observed_at = coalesce(observed_at, $2) \
                     where environment_id = $1 and role = 'incoming'",
                )
                .bind(environment)
                .bind(now)
                .execute(self.connection())
                .await?;
                // Parked, they hold what the snapshot holds until something else is wanted.
                sqlx::query(
                    "update environment set parked_snapshot_id = restoring_snapshot_id \
                     where id = $1 and parked_snapshot_id is not null",
                )
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

    /// The snapshot an environment is parked in takes the place of these volumes.
    async fn put_away(&mut self, environment: &str, volumes: &[VolumeId], now: i64) -> Result<Note, StoreError> {
        // Locks the row: it cannot be deleted between this and the commit. Nor may the last snapshot of a volume be wanted still.
        let kept: Option<String> = sqlx::query_scalar(
            "update snapshot set state = state where state = 'complete' and removal_requested_at is null \
             and id = (select parked_snapshot_id from environment where id = $1 and desired = 'parked') \
             and not exists (select 1 from snapshot other where other.environment_id = $1 and other.state = 'wanted' \
             and other.removal_requested_at is null) returning id",
        )
        .bind(environment)
        .fetch_optional(self.connection())
        .await?;
        let kept = kept.ok_or(StoreError::Stale)?;
        for volume in volumes {
            let gone = sqlx::query(
                "update volume set role = 'outgoing', delete_requested_at = $3, kept_in_snapshot_id = $4 \
                 where id = $1 and environment_id = $2 and role = 'current'",
            )
            .bind(volume.as_str())
            .bind(environment)
            .bind(now)
            .bind(&kept)
            .execute(self.connection())
            .await?;
            if gone.rows_affected() == 0 {
                return Err(StoreError::Stale);
            }
            // One that was made from this snapshot and never used since is in it under the name it had then.
            sqlx::query(
                "insert into volume (id, environment_id, name, size_bytes, role, source_environment_id, source_snapshot_id, \
                 source_volume_id, created_at) select $2, environment_id, name, size_bytes, 'current', \
                 case when source_snapshot_id = $3 then source_environment_id else environment_id end, $3, \
                 case when source_snapshot_id = $3 then source_volume_id else id end, $4 from volume where id = $1",
            )
            .bind(volume.as_str())
            .bind(id(now))
            .bind(&kept)
            .bind(now)
            .execute(self.connection())
            .await?;
        }
        Ok(Note::new("put_away", "The snapshot is complete: the volumes go, and are made again from it on resume"))
    }

    /// Whether something is being given what it holds, or it is what is left of volumes that were put away.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn is_needed(&mut self, snapshot: &str) -> Result<Option<Needed>, StoreError> {
        let parked = sqlx::query(
            "select 1 from volume where source_snapshot_id = $1 and role = 'current' and observed_at is null \
             union all select 1 from environment where parked_snapshot_id = $1 limit 1",
        )
        .bind(snapshot)
        .fetch_optional(self.connection())
        .await?;
        if parked.is_some() {
            return Ok(Some(Needed::InPlaceOfVolumes));
        }
        let copied = sqlx::query("select 1 from volume where source_snapshot_id = $1 and role = 'incoming' limit 1")
            .bind(snapshot)
            .fetch_optional(self.connection())
            .await?;
        Ok(copied.map(|_| Needed::Copied))
    }
}
