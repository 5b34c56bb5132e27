//! Obeying the park, resume and delete rules of templates. A rule does what a person would: it changes what is wanted.

use super::Shared;
use crate::domain::actions::change;
use crate::domain::schedule;
use crate::store::StoreError;

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
    let Some(since) = loaded.next_event_at.filter(|since| *since <= now) else { return Ok(()) };
    let deleted = facts.intent.deleted_at.is_some();
    let rules = if deleted { &[][..] } else { &facts.topology.schedules };
    if let Some((at, action)) = schedule::due(rules, since, now)
        && facts.intent.desired_at <= at
        && let Ok(mut change) = change(action.action(), facts, now)
    {
        change.note.message.push_str(", as its template's schedule says");
        tx.change_desire(environment, facts.intent.generation, &change, None, now).await?;
    }
    tx.set_next_event(environment, schedule::next(rules, now)).await?;
    tx.commit().await?;
    shared.bell.ring(environment);
    Ok(())
}
