//! Forgetting what was deleted here long ago, freeing what only that needed, and looking at what there is.

use std::collections::BTreeSet;

use repository::{Error, SnapshotId};

use super::attend::{Far, Subject, apart, attend};
use super::{Shared, Step};
use crate::store::{RepositoryLease, StoreError};

/// Does one thing of it. `None`: there is nothing to do. `changed`: something was brought there since it was looked at.
pub(super) async fn tidy(shared: &Shared, lease: &RepositoryLease, changed: bool) -> Result<Option<Step>, StoreError> {
    let now = shared.clock.now();
    let rules = shared.open.rules(now);
    let mut tx = shared.store.write().await?;
    let forgettable = tx.forgettable(lease, rules.forget_before).await?;
    let prune = tx.is_pruning_wanted(lease).await?;
    drop(tx);
    let looked_at = shared.store.repository_standing(lease.repository()).await?.looked_at;
    if !forgettable.is_empty() {
        return forget(shared, lease, forgettable).await.map(Some);
    }
    if prune {
        return self::prune(shared, lease).await.map(Some);
    }
    match changed || looked_at.is_none_or(|at| at <= rules.look_before) {
        true => look(shared, lease).await.map(Some),
        false => Ok(None),
    }
}

async fn forget(
    shared: &Shared,
    lease: &RepositoryLease,
    forgettable: Vec<(String, String)>,
) -> Result<Step, StoreError> {
    let (snapshots, names): (Vec<String>, Vec<String>) = forgettable.into_iter().unzip();
    let forgotten = during(shared, lease, move |repository| {
        // What somebody else has removed there would keep all of them from being removed.
        let there: BTreeSet<SnapshotId> = repository.list()?.found.into_iter().map(|found| found.id).collect();
        let names: Vec<SnapshotId> = names.into_iter().map(SnapshotId).filter(|name| there.contains(name)).collect();
        repository.forget(&names)
    });
    if let Err(error) = forgotten.await? {
        return Ok(trouble(&error));
    }
    let mut tx = shared.store.write().await?;
    tx.forgotten(lease, &snapshots).await?;
    tx.want_pruning(lease, true).await?;
    tx.commit().await?;
    Ok(Step::Done)
}

async fn prune(shared: &Shared, lease: &RepositoryLease) -> Result<Step, StoreError> {
    let pruned = match during(shared, lease, |repository| repository.prune()).await? {
        Ok(pruned) => pruned,
        Err(error) => return Ok(trouble(&error)),
    };
    tracing::info!(bytes_freed = pruned.bytes_freed, "the repository is pruned");
    let mut tx = shared.store.write().await?;
    tx.want_pruning(lease, false).await?;
    tx.commit().await?;
    look(shared, lease).await
}

async fn look(shared: &Shared, lease: &RepositoryLease) -> Result<Step, StoreError> {
    let seen = during(shared, lease, |repository| Ok((repository.list()?, repository.stored_bytes()?)));
    let (listed, stored_bytes) = match seen.await? {
        Ok(seen) => seen,
        Err(error) => return Ok(trouble(&error)),
    };
    // One of ours is not there, then, and goes there once more.
    for (snapshot, error) in &listed.damaged {
        tracing::warn!(%snapshot, %error, "a snapshot in the repository is damaged");
    }
    let now = shared.clock.now();
    let there: BTreeSet<String> = listed.found.into_iter().map(|found| found.id.0).collect();
    let mut tx = shared.store.write().await?;
    let missing = tx.compare_exports(lease, &there, now).await?;
    tx.repository_looked_at(lease, there.len() as u64, stored_bytes, now).await?;
    tx.commit().await?;
    if missing > 0 {
        tracing::warn!(missing, "snapshots that had been exported are not in the repository any more");
    }
    Ok(Step::Done)
}

async fn during<T: Send + 'static>(
    shared: &Shared,
    lease: &RepositoryLease,
    work: impl FnOnce(&repository::Repository) -> Result<T, Error> + Send + 'static,
) -> Result<Result<T, Error>, StoreError> {
    let repository = shared.open.repository.clone();
    let watcher = (repository::Watcher::silent(), std::sync::Arc::new(Far::default()));
    attend(shared, lease, &Subject::Upkeep, watcher, apart(move || work(&repository))).await
}

fn trouble(error: &Error) -> Step {
    match error {
        Error::Cancelled => Step::Done,
        error => Step::Trouble(error.to_string()),
    }
}
