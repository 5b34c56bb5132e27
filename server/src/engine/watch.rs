//! Noticing what changes by itself: a provisioner's hints at once, and a look over everything now and then, because hints
//! may be lost. Looking is cheap (one observation for many environments, no writing); only what needs work becomes due.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use provisioners::{EnvironmentId, Provisioner};
use tokio::sync::broadcast::error::RecvError;

use super::Shared;
use crate::domain::plan::{Decision, plan};
use crate::domain::state::derive_from;
use crate::store::StoreError;

const LOOK_OVER: Duration = Duration::from_secs(30);

pub(super) async fn watch(shared: Arc<Shared>, provisioner: Arc<dyn Provisioner>) {
    let mut hints = provisioner.changes();
    let mut rounds = tokio::time::interval(LOOK_OVER);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let mut all = false;
        let mut changed = BTreeSet::new();
        tokio::select! {
            _ = rounds.tick() => all = true,
            hint = hints.recv() => match hint {
                Ok(environment) => { changed.insert(environment); }
                Err(RecvError::Lagged(_)) => all = true,
                Err(RecvError::Closed) => return,
            },
        }
        while let Ok(environment) = hints.try_recv() {
            changed.insert(environment);
        }
        let looked = async {
            if all {
                changed.extend(everything(&shared, provisioner.as_ref()).await?);
            }
            let changed: Vec<EnvironmentId> = changed.into_iter().collect();
            // All of them at once: a cloud is asked as often for thousands as for a few.
            look(&shared, provisioner.as_ref(), &changed).await
        };
        if let Err(error) = looked.await {
            tracing::warn!(%error, "the engine could not look for changes; it will look again");
        }
    }
}

/// What should be there, and what is there.
async fn everything(shared: &Shared, provisioner: &dyn Provisioner) -> Result<Vec<EnvironmentId>, StoreError> {
    let mut all = shared.store.living_environments(provisioner.name()).await?;
    match provisioner.inventory().await {
        Ok(found) => all.extend(found),
        Err(error) => tracing::warn!(%error, "the provisioner could not say what it has"),
    }
    Ok(all)
}

async fn look(
    shared: &Shared,
    provisioner: &dyn Provisioner,
    environments: &[EnvironmentId],
) -> Result<(), StoreError> {
    if environments.is_empty() {
        return Ok(());
    }
    let seen = match provisioner.observe(environments).await {
        Ok(seen) => {
            shared.sight.saw(provisioner.name());
            seen
        }
        Err(error) => {
            tracing::warn!(%error, "the provisioner could not be observed");
            return Ok(());
        }
    };
    let now = shared.clock.now();
    for seen in seen {
        let environment = seen.environment.as_str();
        // One that the database does not know is not ours to touch.
        let Some(mut loaded) = shared.store.facts(environment).await? else { continue };
        // Of one that is elsewhere a place has copies of snapshots at most, and says nothing of how it is.
        if loaded.provisioner != provisioner.name() {
            continue;
        }
        loaded.facts.observed.update(&seen);
        let facts = &loaded.facts;
        let decision = plan(&facts.intent, &facts.topology, &facts.observed, now);
        let label = derive_from(facts, &decision, now).state;
        let new_failure = matches!(decision, Decision::GiveUp(_)) && facts.intent.failure.is_none();
        if matches!(decision, Decision::Do(_)) || new_failure || label != loaded.state {
            let mut tx = shared.store.write().await?;
            tx.touch(environment, now).await?;
            tx.commit().await?;
            shared.bell.wake();
        }
    }
    Ok(())
}
