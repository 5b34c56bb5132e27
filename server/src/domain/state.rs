//! The label people see, what is waited for and what can be asked: derived from desire and observation, every time.

use agent::api::Phase;
use app::api::{Action, SnapshotReason, State};
use provisioners::MachineState;

use super::facts::{AgentLink, Desired, Facts, Failure, Server};
use super::plan::{Decision, RECONNECT_MS, Reason, plan};

/// One environment as people see it.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub state: State,
    /// In words that go after "waits for"; `None`: nothing is waited for.
    pub waiting_for: Option<String>,
    pub failure: Option<Failure>,
    /// In the topology's order.
    pub servers: Vec<ServerView>,
    /// What can be asked for, the most likely first.
    pub actions: Vec<Action>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ServerView {
    pub name: String,
    pub state: State,
    pub waiting_for: Option<String>,
    pub failure: Option<Failure>,
}

impl View {
    pub fn servers_ready(&self) -> usize {
        self.servers.iter().filter(|server| server.state == State::Ready).count()
    }
}

/// See the module.
pub fn derive(facts: &Facts, now: i64) -> View {
    let decision = plan(&facts.intent, &facts.topology, &facts.observed, now);
    derive_from(facts, &decision, now)
}

/// As [`derive`], of a plan that was made already.
pub fn derive_from(facts: &Facts, decision: &Decision, now: i64) -> View {
    let reasons: &[Reason] = match decision {
        Decision::Wait(waiting) => &waiting.reasons,
        _ => &[],
    };
    let failure = match decision {
        Decision::GiveUp(failure) => Some(failure.clone()),
        Decision::Settled => None,
        _ => facts.intent.failure.clone(),
    };
    let servers: Vec<ServerView> = facts
        .observed
        .servers
        .iter()
        .map(|server| server_view(facts, server, reasons, failure.as_ref(), now))
        .collect();
    let state = environment_state(facts, decision, &servers, failure.is_some());
    View { state, waiting_for: waiting_for(reasons), failure, servers, actions: actions(state, facts.intent.desired) }
}

/// Its agent says that nobody should wait for it any longer ([`Phase::Failed`]).
pub fn has_failed(server: &Server) -> bool {
    server.status.as_ref().is_some_and(|status| status.phase == Phase::Failed)
}

fn environment_state(facts: &Facts, decision: &Decision, servers: &[ServerView], failed: bool) -> State {
    let intent = &facts.intent;
    if intent.deleted_at.is_some() {
        return State::Deleted;
    }
    if failed {
        return State::Failed;
    }
    if (intent.restoring.is_some() || intent.changing.is_some()) && intent.desired != Desired::Deleted {
        return State::Preparing;
    }
    let settled = *decision == Decision::Settled;
    match intent.desired {
        Desired::Deleted if settled => State::Deleted,
        Desired::Deleted => State::Deleting,
        Desired::Parked if settled || is_down(facts) => State::Parked,
        Desired::Parked => State::Parking,
        Desired::Running if servers.iter().all(|server| server.state == State::Ready) => State::Ready,
        Desired::Running if intent.ready_at.is_some_and(|at| at >= intent.desired_at) => State::Repairing,
        Desired::Running if facts.observed.untouched() => State::Ordered,
        Desired::Running => {
            // The least advanced of those under way; ready ones wait for nobody.
            let under_way = servers.iter().map(|server| server.state).filter(|state| *state != State::Ready);
            let order = [State::Starting, State::SettingUp, State::Checking, State::Repairing];
            let least = under_way.filter_map(|state| order.iter().position(|one| *one == state)).min();
            match least {
                Some(position) => order[position],
                None if servers.iter().any(|server| server.state == State::Ready) => State::Starting,
                None => State::Preparing,
            }
        }
    }
}

/// Parked as far as anybody can tell; what still goes on is about snapshots.
fn is_down(facts: &Facts) -> bool {
    let observed = &facts.observed;
    observed.servers.iter().all(|server| server.is_gone() || server.is_asleep())
        && (observed.network.is_gone() || observed.servers.iter().any(Server::is_asleep))
        && facts.intent.restoring.is_none()
        && facts.intent.changing.is_none()
        && !observed.snapshots.iter().any(|snapshot| snapshot.reason == SnapshotReason::Park && snapshot.is_wanted())
}

fn server_view(facts: &Facts, server: &Server, reasons: &[Reason], failure: Option<&Failure>, now: i64) -> ServerView {
    let own_failure = failure.filter(|failure| failure.server.as_deref() == Some(server.name.as_str())).cloned();
    let state = match facts.intent.desired {
        _ if own_failure.is_some() => State::Failed,
        Desired::Running => running_state(server, now),
        Desired::Parked if server.is_gone() || server.is_asleep() => State::Parked,
        Desired::Parked => State::Parking,
        Desired::Deleted if server.is_gone() => State::Deleted,
        Desired::Deleted => State::Deleting,
    };
    let own_reasons: Vec<Reason> =
        reasons.iter().filter(|reason| reason.server.as_deref() == Some(server.name.as_str())).cloned().collect();
    ServerView { name: server.name.clone(), state, waiting_for: waiting_for(&own_reasons), failure: own_failure }
}

fn running_state(server: &Server, now: i64) -> State {
    if server.started < server.generation {
        return match (server.attempts, server.machines.is_empty()) {
            (0, true) => State::Ordered,
            (0, false) => State::Starting,
            _ => State::Repairing,
        };
    }
    if server.machines.is_empty() && server.stop(server.generation).latest.is_some() {
        // It was taken down; the next one is still to come.
        return State::Ordered;
    }
    match server.machine().map(|machine| &machine.state) {
        _ if server.is_to_be_woken() => return State::Starting,
        Some(MachineState::Starting { .. }) => return State::Starting,
        None if !server.seen => return State::Starting,
        Some(MachineState::Running) => {}
        _ => return State::Repairing,
    }
    let phase = server.status.as_ref().map(|status| status.phase);
    match (server.link, phase) {
        // One that woke a moment ago has not said anything yet.
        (AgentLink::LostSince(since), Some(_)) if now >= since + RECONNECT_MS => State::Repairing,
        (AgentLink::Never, _) | (_, None | Some(Phase::Idle)) => State::Starting,
        (_, Some(Phase::Mounting | Phase::CatchingUp | Phase::SettingUp | Phase::StartingUp)) => State::SettingUp,
        (_, Some(Phase::Checking)) => State::Checking,
        (_, Some(Phase::Healthy)) => State::Ready,
        (_, Some(Phase::Unhealthy)) => State::Repairing,
        (_, Some(Phase::Failed)) => State::Failed,
    }
}

/// At most three things, each once.
fn waiting_for(reasons: &[Reason]) -> Option<String> {
    let mut texts: Vec<&str> = Vec::new();
    for reason in reasons {
        if !texts.contains(&reason.text.as_str()) {
            texts.push(&reason.text);
        }
    }
    match texts.as_slice() {
        [] => None,
        [first, second, third, rest @ ..] if !rest.is_empty() => {
            Some(format!("{first}; {second}; {third}; and {} more", rest.len()))
        }
        texts => Some(texts.join("; ")),
    }
}

/// Every state that lasts has an action.
fn actions(state: State, desired: Desired) -> Vec<Action> {
    use Action::*;
    match state {
        State::Ordered | State::Preparing | State::Starting | State::SettingUp | State::Checking => {
            vec![Cancel, Restart, Park, Delete]
        }
        State::Ready => vec![Park, Restart, Delete],
        State::Repairing => vec![Retry, Restart, Park, Delete],
        State::Parking => vec![Cancel, Force, Delete],
        State::Parked => vec![Resume, Delete],
        State::Deleting => vec![Retry, Force],
        State::Failed => match desired {
            Desired::Running => vec![Retry, Park, Delete],
            Desired::Parked => vec![Retry, Resume, Delete],
            Desired::Deleted => vec![Retry, Force],
        },
        State::Deleted => Vec::new(),
    }
}
