//! Placing orders and waiting for what comes of them.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::TEMPLATE;
use crate::Outcome;
use crate::portal::{PATIENCE, Portal};
use crate::processes::{self, Memory};
use crate::times::Times;

/// Orders that are placed by so many people side by side.
const PEOPLE: usize = 16;

pub struct Together {
    /// From the first order sent to the last environment ready.
    pub all_ready: Duration,
    /// From confirmed to ready, by the portal's own clock.
    pub each: Times,
    pub memory: Memory,
}

/// Orders one environment, waits until it is ready, and deletes it again; the time until it was ready.
pub fn order_until_ready(portal: &Portal, changes: &Receiver<String>, name: &str) -> Outcome<Duration> {
    let begun = Instant::now();
    let ordered = portal.api.order(TEMPLATE, name)?;
    portal.await_state(changes, &ordered, "ready")?;
    let took = begun.elapsed();
    portal.api.delete(name)?;
    portal.await_state(changes, &ordered, "deleted")?;
    Ok(took)
}

/// Places `count` orders side by side and waits until all are ready; then deletes them.
pub fn order_at_once(portal: &Portal, template: &str, count: usize) -> Outcome<Together> {
    let begun = Instant::now();
    let all = place_at_once(portal, template, count)?;
    let all_ready = begun.elapsed();
    let memory = processes::memory(portal);
    let each = all.iter().filter_map(|one| Some(one["ready_at"].as_u64()? - one["created_at"].as_u64()?));
    let each = each.map(Duration::from_millis).collect();
    for number in 0..count {
        portal.api.delete(&format!("many-{number}"))?;
    }
    await_all(portal, "deleted", 0)?;
    Ok(Together { all_ready, each, memory })
}

/// Places `count` orders side by side and waits until all are ready.
pub fn place_at_once(portal: &Portal, template: &str, count: usize) -> Outcome<Vec<Value>> {
    let others = portal.api.environments()?.len();
    let placed: Vec<Outcome<()>> = std::thread::scope(|scope| {
        let people: Vec<_> = (0..PEOPLE)
            .map(|person| {
                scope.spawn(move || {
                    let mine = (person..count).step_by(PEOPLE);
                    mine.map(|number| portal.api.order(template, &format!("many-{number}")))
                        .try_for_each(|order| order.map(drop))
                })
            })
            .collect();
        people.into_iter().map(|person| person.join().unwrap_or_else(|_| Err("a panic".into()))).collect()
    });
    placed.into_iter().collect::<Outcome<()>>()?;
    await_all(portal, "ready", others + count)
}

/// Waits until `count` environments, and no others, are there, all in `state`. Looks five times a second: asking after each
/// of many events would be a load of its own.
fn await_all(portal: &Portal, state: &str, count: usize) -> Outcome<Vec<Value>> {
    let patience = Instant::now() + PATIENCE;
    loop {
        let mut all = portal.api.environments()?;
        all.retain(|one| one["state"] != "deleted");
        if let Some(failed) = all.iter().find(|one| one["state"] == "failed") {
            let name = failed["name"].as_str().unwrap_or_default();
            return Err(format!("{name} failed: {}", portal.api.environment(name)?["failure"]));
        }
        if all.len() == count && all.iter().all(|one| one["state"] == state) {
            return Ok(all);
        }
        if Instant::now() > patience {
            let reached = all.iter().filter(|one| one["state"] == state).count();
            return Err(format!("Of {count} environments only {reached} became {state}."));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
