//! One activation: from a claimed environment to one that is settled, waits, or has been given up.

use std::time::{Duration, Instant};

use app::api::State;
use provisioners::{EnvironmentId, Provisioner, RestoreState, VolumeSource};

use super::{Shared, execute};
use crate::domain::facts::{
    Facts, Failure, Intent, Observed, Server, Snapshot, Standing, Volume, VolumeRole, actual_address,
};
use crate::domain::log::Selection;
use crate::domain::note::Note;
use crate::domain::plan::{Decision, Reason, Waiting, plan};
use crate::domain::retention;
use crate::domain::state::{View, derive_from};
use crate::domain::topology::ParkMode;
use crate::store::{Lease, Loaded, Settlement, StoreError};

/// Doing and looking again this often in one activation; then others have their turn.
const ROUNDS: usize = 20;
/// What there is could not be read: again after this long.
const BLIND: Duration = Duration::from_secs(3);
/// An answer, whatever it says.
const QUICK: Duration = Duration::from_secs(1);
/// Lines of log that go with a failure.
const FAILURE_LINES: usize = 20;

pub(super) async fn attend(shared: &Shared, lease: &Lease) {
    let environment = lease.environment();
    let mut due_after = 0;
    for _ in 0..ROUNDS {
        match round(shared, lease).await {
            Ok(Next::Again) => due_after = 0,
            Ok(Next::Done) => {
                shared.bell.tell(environment.as_str());
                return;
            }
            // Somebody wants something else now: look again. Should that never end, not at once.
            Err(StoreError::Stale) => due_after = BLIND.as_millis() as i64,
            Err(StoreError::LeaseLost) => return,
            Err(error) => {
                tracing::error!(%environment, %error, "an environment could not be worked on; it will be tried again");
                let now = shared.clock.now();
                let due_at = now + BLIND.as_millis() as i64;
                if let Err(error) = shared.store.release(lease, "the database", now, due_at).await {
                    tracing::warn!(%environment, %error, "it will be due when its lease ends");
                }
                return;
            }
        }
    }
    let now = shared.clock.now();
    if let Err(error) = shared.store.release(lease, "its next turn", now, now + due_after).await {
        tracing::warn!(%environment, %error, "it will be due when its lease ends");
    }
}

enum Next {
    Again,
    Done,
}

async fn round(shared: &Shared, lease: &Lease) -> Result<Next, StoreError> {
    let environment = lease.environment();
    let mut loaded = shared.store.facts(environment.as_str()).await?.ok_or(StoreError::NotFound)?;
    let before = loaded.facts.observed.clone();
    let now = shared.clock.now();
    let Some(provisioner) = shared.provisioners.get(&loaded.provisioner) else {
        let waiting_for = format!("the provisioner {}, which this portal does not have", loaded.provisioner);
        shared.store.release(lease, &waiting_for, now, now + 60_000).await?;
        return Ok(Next::Done);
    };
    loaded.facts.observed.believe_agents();
    let is_ready = agents_say_it_is_ready(&loaded, now);
    if !before.untouched() && !is_ready {
        if let Err((why, until)) = shared.sight.may_look(provisioner.name(), now) {
            shared.store.release(lease, &format!("a look at its servers: {why}"), now, until).await?;
            return Ok(Next::Done);
        }
        let began = Instant::now();
        match provisioner.observe(std::slice::from_ref(environment)).await {
            Ok(seen) => {
                shared.sight.saw(provisioner.name());
                for seen in seen.iter().filter(|seen| seen.environment == *environment) {
                    let observed = &mut loaded.facts.observed;
                    observed.update(seen);
                    shared.store.found_damaged(lease, &seen.snapshots, &unusable(observed), now).await?;
                }
            }
            Err(error) => {
                let now = shared.clock.now();
                let until = match began.elapsed() < QUICK {
                    // It may be about this environment alone, and keeps nobody busy.
                    true => now + BLIND.as_millis() as i64,
                    false => shared.sight.saw_nothing(provisioner.name(), error.to_string(), now),
                };
                shared.store.release(lease, &format!("a look at its servers: {error}"), now, until).await?;
                return Ok(Next::Done);
            }
        }
    }
    let facts = &loaded.facts;
    let decision = plan(&facts.intent, &facts.topology, &facts.observed, now);
    let decision = in_turn(provisioner.as_ref(), environment, &facts.intent, decision, now).await;
    if let Decision::Do(work) = &decision {
        // What is being replaced is not ready any more, however well it looked a moment ago.
        let label = match derive_from(&work.renewed(facts), &decision, now).state {
            State::Ordered => State::Preparing,
            // A state that lasts is told with the observation it stands on, and with what follows from reaching it.
            label if label.is_settled() => loaded.state,
            label => label,
        };
        let recorded = shared.store.record(lease, facts.intent.generation, label, work, now).await?;
        shared.bell.tell(environment.as_str());
        let answers = execute::execute(shared, provisioner.as_ref(), &facts.intent, &work.requests, recorded).await;
        if !answers.is_empty() {
            shared.store.answer(lease, &answers, shared.clock.now()).await?;
        }
        return Ok(Next::Again);
    }
    let decision = with_lines(shared, environment.as_str(), decision).await;
    let view = derive_from(facts, &decision, now);
    let mut settlement = settlement(&loaded, &before, &decision, &view, now);
    if is_ready {
        settlement.due_at = Some(now);
    }
    let generation = facts.intent.generation;
    if view.state == State::Deleted {
        facts.observed.servers.iter().for_each(|server| shared.agents.forget(&server.id));
    }
    shared.store.settle(lease, generation, &settlement, now).await?;
    let before = before.servers.iter().map(|server| actual_address(&server.machines));
    if before.ne(facts.observed.servers.iter().map(|server| actual_address(&server.machines))) {
        shared.agents.moved(environment);
    }
    Ok(Next::Done)
}

/// What a place lets only so many ask for at a time is waited for like all else: nothing stands still meanwhile, and no worker
/// is kept busy.
async fn in_turn(
    provisioner: &dyn Provisioner,
    environment: &EnvironmentId,
    intent: &Intent,
    decision: Decision,
    now: i64,
) -> Decision {
    let Decision::Do(work) = &decision else { return decision };
    for request in &work.requests {
        if let Err(wait) = provisioner.admit(environment, &request.step, intent.by_schedule).await {
            let reason = Reason { server: None, text: "its turn among all that are kept now".to_owned() };
            let until = now.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
            return Decision::Wait(Waiting { reasons: vec![reason], until });
        }
    }
    decision
}

/// With all there was when it was last looked at, nothing but their agents' word was missing. People hear it before the next look,
/// which may take a second where a cloud is asked.
fn agents_say_it_is_ready(loaded: &Loaded, now: i64) -> bool {
    let facts = &loaded.facts;
    let decision = plan(&facts.intent, &facts.topology, &facts.observed, now);
    let nothing_to_do = matches!(decision, Decision::Settled | Decision::Wait(_));
    nothing_to_do && loaded.state != State::Ready && derive_from(facts, &decision, now).state == State::Ready
}

/// What volumes were to begin with and could not.
fn unusable(observed: &Observed) -> Vec<VolumeSource> {
    let failed = |volume: &&Volume| matches!(volume.restore, Some(RestoreState::Failed { .. }));
    observed.volumes.iter().filter(failed).filter_map(|volume| volume.source.clone()).collect()
}

/// A failure that comes without the lines that matter gets the last ones of its server's log.
async fn with_lines(shared: &Shared, environment: &str, decision: Decision) -> Decision {
    let Decision::GiveUp(mut failure) = decision else { return decision };
    if let (Some(server), true) = (&failure.server, failure.lines.is_empty()) {
        match shared.store.log_tail(environment, &Selection::of_server(server), FAILURE_LINES).await {
            Ok(lines) => failure.lines = lines.into_iter().map(|line| line.text).collect(),
            Err(error) => tracing::warn!(environment, %error, "a failure is told without the last lines of its log"),
        }
    }
    Decision::GiveUp(failure)
}

fn settlement(loaded: &Loaded, before: &Observed, decision: &Decision, view: &View, now: i64) -> Settlement {
    let observed = &loaded.facts.observed;
    let changed = observed.servers.iter().zip(&before.servers).filter(|(now, before)| now.machines != before.machines);
    let became = |state: State| view.state == state && loaded.state != state;
    let network = &observed.network;
    let news = observed.snapshots.iter().filter(|snapshot| !snapshot.removal_requested);
    let news = news.filter_map(|snapshot| snapshot.seen.as_ref().filter(|_| snapshot.is_news()));
    let snapshots: Vec<_> = news.cloned().collect();
    // Nobody takes them any more; what may be there of them is to go.
    let abandons = became(State::Deleted) && observed.snapshots.iter().any(Snapshot::is_wanted);
    Settlement {
        state: view.state,
        waiting_for: view.waiting_for.clone(),
        failure: view.failure.clone(),
        servers_ready: view.servers_ready(),
        ready_at: became(State::Ready).then_some(now),
        deleted_at: became(State::Deleted).then_some(now),
        undelete_until: Some(retention::undelete_until(now, &loaded.facts.topology.snapshots)),
        due_at: match decision {
            // What is written down about them now decides what comes next.
            _ if !snapshots.is_empty() || abandons => Some(now),
            Decision::Wait(waiting) => Some(waiting.until.max(now + 1)),
            _ => None,
        },
        hints: loaded.hints,
        network_observed: network.present || (network.seen && network.created > network.deleted),
        observed: changed.map(|(server, _)| (server.id.clone(), server.machines.clone())).collect(),
        volumes_seen: observed.new_volumes().map(|volume| volume.id.clone()).collect(),
        volumes_gone: observed
            .volumes
            .iter()
            .filter(|volume| volume.role == VolumeRole::Outgoing && volume.is_gone())
            .map(|volume| volume.id.clone())
            .collect(),
        snapshots,
        snapshots_gone: observed
            .snapshots
            .iter()
            .filter(|snapshot| snapshot.removal_requested && snapshot.is_gone())
            .map(|snapshot| snapshot.id.clone())
            .collect(),
        notes: note(loaded, view, now).into_iter().collect(),
    }
}

/// What people are told when an environment comes to rest in another state.
fn note(loaded: &Loaded, view: &View, now: i64) -> Option<Note> {
    if view.state == loaded.state {
        return None;
    }
    let intent = &loaded.facts.intent;
    let name = &intent.name;
    match (view.state, &view.failure) {
        (State::Ready, _) if loaded.state == State::Repairing => {
            Some(Note::new("drift_repaired", "Everything is healthy again"))
        }
        (State::Ready, _) => {
            let took = (now - intent.desired_at).max(0);
            let took = if took < 1000 { format!("{took} ms") } else { format!("{:.1} s", took as f64 / 1000.0) };
            Some(Note::new("ready", format!("{name} is ready after {took}")))
        }
        (State::Parked, _) if loaded.facts.observed.servers.iter().any(Server::is_asleep) => {
            Some(Note::new("parked", format!("{name} is parked; its servers are stopped, and its volumes are kept")))
        }
        (State::Parked, _) => Some(Note::new("parked", format!("{name} is parked; {}", kept(&loaded.facts)))),
        (State::Deleted, _) => Some(Note::new("deleted", format!("{name} is deleted"))),
        (State::Failed, Some(Failure { server, step, cause, .. })) => {
            let message = format!("Gave up: {step}: {cause}");
            Some(match server {
                Some(server) => Note::about("failed", server, message),
                None => Note::new("failed", message),
            })
        }
        _ => None,
    }
}

/// What is left of the volumes of an environment that is parked now.
fn kept(facts: &Facts) -> &'static str {
    let by_snapshot = facts.topology.park == ParkMode::Snapshot;
    let has_volumes = facts.observed.current_volumes().any(|volume| volume.seen);
    match &facts.intent.parked_in {
        Some(kept) if kept.snapshot.standing != Standing::Failed => "its volumes are kept in a snapshot",
        _ if by_snapshot && has_volumes => "no snapshot could take its volumes' place, so they stay",
        _ => "its volumes are kept",
    }
}
