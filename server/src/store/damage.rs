//! Snapshots that the provisioner found damaged. A restore, a clone and a verification find it out; the row says so from the
//! next look on, whoever did, so that nothing more is begun with them.

use std::collections::BTreeSet;

use provisioners::{ObservedSnapshot, SnapshotState, VolumeSource};
use sqlx::Row;

use super::claims::Lease;
use super::{Store, StoreError, timeline};
use crate::domain::note::Note;

impl Store {
    /// Of what is seen of an environment's snapshots, writes down which are damaged and were not known to be. Those who keep a
    /// snapshot that another environment could not begin with are looked at; `unusable` is where such began.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`]; or the database's trouble.
    pub async fn found_damaged(
        &self,
        lease: &Lease,
        seen: &[ObservedSnapshot],
        unusable: &[VolumeSource],
        now: i64,
    ) -> Result<(), StoreError> {
        let environment = lease.environment().as_str();
        let damaged: Vec<(&str, &str)> = seen
            .iter()
            .filter_map(|snapshot| match &snapshot.state {
                SnapshotState::Damaged { reason } => Some((snapshot.snapshot.as_str(), reason.as_str())),
                _ => None,
            })
            .collect();
        let elsewhere: Vec<&VolumeSource> =
            unusable.iter().filter(|source| source.environment.as_str() != environment).collect();
        if damaged.is_empty() && elsewhere.is_empty() {
            return Ok(());
        }
        let mut news = Vec::new();
        for (snapshot, reason) in damaged {
            if self.is_complete(snapshot).await? {
                news.push((snapshot, reason));
            }
        }
        let mut keepers = BTreeSet::new();
        for source in elsewhere {
            if self.is_complete(source.snapshot.as_str()).await? {
                keepers.insert(source.environment.as_str());
            }
        }
        if !news.is_empty() {
            self.write_down(lease, &news, now).await?;
        }
        // Apart: whoever holds two environments at once may meet somebody who holds them the other way round.
        for keeper in keepers {
            let mut tx = self.write().await?;
            tx.touch(keeper, now).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    async fn write_down(&self, lease: &Lease, news: &[(&str, &str)], now: i64) -> Result<(), StoreError> {
        let environment = lease.environment().as_str();
        let mut tx = self.write().await?;
        tx.guard(lease, None).await?;
        for (snapshot, reason) in news {
            tx.snapshot_verified(snapshot, Some(reason), now).await?;
            let good: Option<String> = sqlx::query_scalar(
                "select id from snapshot where environment_id = $1 and state = 'complete' and removal_requested_at is null \
                 order by id desc limit 1",
            )
            .bind(environment)
            .fetch_optional(tx.connection())
            .await?;
            let instead =
                good.map_or("There is no other one".to_owned(), |good| format!("The newest good one is {good}"));
            let note = Note::new("snapshot_damaged", format!("A snapshot is damaged: {reason}. {instead}"));
            timeline::insert(tx.connection(), environment, &note, None, now).await?;
        }
        tx.commit().await
    }

    async fn is_complete(&self, snapshot: &str) -> Result<bool, StoreError> {
        let row = sqlx::query("select state from snapshot where id = $1")
            .bind(snapshot)
            .fetch_optional(&mut *self.read().await?)
            .await?;
        Ok(row.map(|row| row.try_get::<String, _>("state")).transpose()?.is_some_and(|state| state == "complete"))
    }
}
