//! Obeying the park, resume, delete and snapshot rules of templates. A rule does what a person would: it changes what is
//! wanted.

use app::api::SnapshotReason;

use super::Shared;
use crate::domain::actions::change;
use crate::domain::facts::{Desired, Facts, Snapshot};
use crate::domain::schedule::{self, Upcoming};
use crate::store::{StoreError, Wanted};

/// At most so many at a time; the rest follow at once.
const BATCH: u32 = 100;

/// Carries out every rule that is due. What was missed while no portal was there is done once, unless a person has asked
/// for something since.
pub(super) async fn obey(shared: &Shared, now: i64) -> Result<(), StoreError> {
    loop {
        let due = shared.store.due_schedules(now, BATCH).await?;
        for environment in &due {
            match obey_one(shared, environment, now).await {
                // Somebody changed it at this moment; it is still due.
                Ok(()) | Err(StoreError::Stale) => {}
                Err(error) => return Err(error),
            }
        }
        if due.len() < BATCH as usize {
            return Ok(());
        }
    }
}

async fn obey_one(shared: &Shared, environment: &str, now: i64) -> Result<(), StoreError> {
    let mut tx = shared.store.write().await?;
    let Some(loaded) = tx.facts(environment).await? else { return Ok(()) };
    let facts = &loaded.facts;
    let is_due = |at: Option<i64>| at.filter(|at| *at <= now);
    if facts.intent.deleted_at.is_some() {
        tx.set_upcoming(environment, Upcoming::default()).await?;
        return tx.commit().await;
    }
    let takes = is_due(loaded.next_snapshot_at).is_some() && has_something_to_keep(facts);
    if takes {
        let reason = SnapshotReason::Schedule;
        tx.want_snapshot(&Wanted { environment, reason, label: "", actor: None }, now).await?;
        tx.touch(environment, now).await?;
    }
    if let Some(since) = is_due(loaded.next_event_at)
        && let Some((at, action)) = schedule::due(&facts.topology.schedules, since, now)
        && facts.intent.desired_at <= at
        && let Ok(mut change) = change(action.action(), facts, now)
    {
        change.note.message.push_str(", as its template's schedule says");
        tx.change_desire(environment, facts.intent.generation, &change, None, now).await?;
    }
    tx.set_upcoming(environment, schedule::upcoming(&facts.topology, facts.intent.snapshot_rule.as_ref(), now)).await?;
    tx.commit().await?;
    shared.bell.ring(environment);
    Ok(())
}

/// It runs, and no other snapshot is waiting to be taken already.
fn has_something_to_keep(facts: &Facts) -> bool {
    let Facts { intent, observed, .. } = facts;
    intent.desired == Desired::Running
        && intent.ready_at.is_some()
        && observed.current_volumes().any(|volume| volume.seen)
        && !observed.snapshots.iter().any(Snapshot::is_wanted)
}
