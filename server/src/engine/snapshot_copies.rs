//! Brings snapshots to other provisioners, where a provisioner's rule asks for that ([`Provisioner::copy_rule`]), and has the copies go
//! with their snapshots.
//!
//! A copy is a row before anybody is asked for it, and each step may be repeated by another process: whoever was killed is
//! followed by the next look. No environment waits for its copies, and nothing that goes wrong with one harms it. What fails is tried
//! again ever more rarely, for as long as the snapshot is there; a copy that is to go is asked to until its place accepts it.
//!
//! Deliberately absent: looking at a complete copy again. Whoever begins with one that somebody took away in a cloud's console is told
//! so then.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use provisioners::{EnvironmentId, ProvisionError, Provisioner, SnapshotId, SnapshotState};
use tokio::time::sleep;

use super::Shared;
use crate::domain::repository::pause_after;
use crate::store::{CopyNews, CopyStage, OpenCopy, Store, StoreError};

/// Between looks.
const TICK: Duration = Duration::from_secs(5);
/// Volumes that are on their way to one place at the same time: Amazon takes as many for a region.
const MOST_AT_ONCE: usize = 20;

pub(super) type Provisioners = BTreeMap<String, Arc<dyn Provisioner>>;

pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        match look(&shared.store, &shared.provisioners, shared.clock.now()).await {
            Ok(changed) => changed.iter().for_each(|environment| shared.bell.tell(environment)),
            Err(error) => tracing::warn!(%error, "copies of snapshots could not be attended to; trying again"),
        }
        sleep(TICK).await;
    }
}

/// Says of which environments there is something new to tell.
pub(super) async fn look(store: &Store, all: &Provisioners, now: i64) -> Result<BTreeSet<String>, StoreError> {
    for provisioner in all.values() {
        if let Some(rule) = provisioner.copy_rule() {
            store.enlist_copies(provisioner.name(), &rule.to, rule.which, now).await?;
        }
    }
    store.expire_copies().await?;
    let mut changed = BTreeSet::new();
    for to in all.values() {
        let copies = store.open_copies(to.name(), now).await?;
        let standing = standing(to.as_ref(), &copies).await;
        let mut on_their_way: usize =
            copies.iter().filter(|copy| copy.stage == CopyStage::Copying).map(|copy| copy.volumes).sum();
        for copy in copies {
            let news = match copy.stage {
                CopyStage::Removing => remove(to.as_ref(), &copy, now).await,
                CopyStage::Copying => seen(to.as_ref(), &copy, standing.as_ref(), now).await,
                // A large one has its turn when there is no other.
                CopyStage::Wanted | CopyStage::Failed
                    if on_their_way > 0 && on_their_way + copy.volumes > MOST_AT_ONCE =>
                {
                    None
                }
                CopyStage::Wanted | CopyStage::Failed => {
                    on_their_way += copy.volumes;
                    Some(begin(all, to.as_ref(), &copy, now).await)
                }
            };
            if let Some(news) = news {
                store.note_copy(to.name(), &copy, &news, now).await?;
                changed.insert(copy.environment);
            }
        }
    }
    Ok(changed)
}

type Standing = HashMap<String, SnapshotState>;

/// How those stand that are under way, by the ids of their snapshots; `None` when the place does not say.
async fn standing(to: &dyn Provisioner, copies: &[OpenCopy]) -> Option<Standing> {
    let under_way = copies.iter().filter(|copy| copy.stage == CopyStage::Copying);
    let environments: BTreeSet<EnvironmentId> =
        under_way.map(|copy| EnvironmentId::new(copy.environment.clone())).collect();
    if environments.is_empty() {
        return None;
    }
    let environments: Vec<EnvironmentId> = environments.into_iter().collect();
    match to.observe(&environments).await {
        Ok(seen) => {
            let snapshots = seen.into_iter().flat_map(|seen| seen.snapshots);
            Some(snapshots.map(|snapshot| (snapshot.snapshot.to_string(), snapshot.state)).collect())
        }
        Err(error) => {
            tracing::warn!(provisioner = to.name(), %error, "how far copies of snapshots are is not known now");
            None
        }
    }
}

async fn begin(all: &Provisioners, to: &dyn Provisioner, copy: &OpenCopy, now: i64) -> CopyNews {
    let (environment, snapshot) = ids(copy);
    let begun = async {
        let home = all.get(&copy.home).ok_or_else(|| ProvisionError::Rejected {
            message: format!("it is at “{}”, which this portal does not have", copy.home),
        })?;
        let origin = home.snapshot_origin(&environment, &snapshot).await?;
        to.copy_snapshot(&environment, &origin).await
    };
    match begun.await {
        Ok(()) => CopyNews::Copying { doing: None },
        Err(ProvisionError::Retryable { message, .. } | ProvisionError::Unknown { message }) => {
            CopyNews::Waits { reason: message, retry_at: later(copy, now) }
        }
        Err(error) => CopyNews::Failed { reason: error.to_string(), retry_at: later(copy, now) },
    }
}

/// `None`: nothing is known anew.
async fn seen(to: &dyn Provisioner, copy: &OpenCopy, standing: Option<&Standing>, now: i64) -> Option<CopyNews> {
    match standing?.get(&copy.snapshot) {
        Some(SnapshotState::Complete) => Some(CopyNews::Complete),
        Some(SnapshotState::Taking(progress) | SnapshotState::Reading(progress)) => {
            let doing = Some(progress.doing.clone());
            (doing != copy.doing).then_some(CopyNews::Copying { doing })
        }
        Some(SnapshotState::Failed { reason } | SnapshotState::Damaged { reason }) => {
            // It is begun anew; what there is of this one would be paid for.
            let removed = remove(to, copy, now).await;
            matches!(removed, Some(CopyNews::Gone))
                .then(|| CopyNews::Failed { reason: reason.clone(), retry_at: later(copy, now) })
        }
        None => Some(CopyNews::Lost),
    }
}

async fn remove(to: &dyn Provisioner, copy: &OpenCopy, now: i64) -> Option<CopyNews> {
    let (environment, snapshot) = ids(copy);
    match to.remove_copy(&environment, &snapshot).await {
        Ok(()) => Some(CopyNews::Gone),
        Err(error) => Some(CopyNews::Waits { reason: error.to_string(), retry_at: later(copy, now) }),
    }
}

fn ids(copy: &OpenCopy) -> (EnvironmentId, SnapshotId) {
    (EnvironmentId::new(copy.environment.clone()), SnapshotId::new(copy.snapshot.clone()))
}

fn later(copy: &OpenCopy, now: i64) -> i64 {
    now + i64::try_from(pause_after(copy.failures.saturating_add(1)).as_millis()).unwrap_or(i64::MAX)
}
