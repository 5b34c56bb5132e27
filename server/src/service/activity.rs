//! What goes on in a team: what is under way and what it takes still, what is stuck, what came of the rest.

use app::api::{Activity, ApiError, Blocker, EnvironmentSummary, Running, State};
use app::portal::SignedIn;

use super::Service;
use super::trouble::failed;
use crate::domain::state;
use crate::store::EnvironmentFilter;

/// What is under way, of all states.
const UNDER_WAY: [State; 8] = [
    State::Ordered,
    State::Preparing,
    State::Starting,
    State::SettingUp,
    State::Checking,
    State::Repairing,
    State::Parking,
    State::Deleting,
];
const AT_ONCE: u32 = 50;
const RESULTS: u32 = 30;
const BLOCKERS: usize = 5;

pub(super) async fn activity(service: &Service, by: &SignedIn) -> Result<Activity, ApiError> {
    let mut running = Vec::new();
    for environment in in_states(service, by, UNDER_WAY.to_vec()).await? {
        running.extend(look(service, by, environment).await?);
    }
    Ok(Activity {
        running,
        stuck: in_states(service, by, vec![State::Failed]).await?,
        results: service.store.results(&by.team_id, RESULTS).await.map_err(failed)?,
    })
}

async fn in_states(service: &Service, by: &SignedIn, states: Vec<State>) -> Result<Vec<EnvironmentSummary>, ApiError> {
    let filter = EnvironmentFilter { states, limit: AT_ONCE, ..EnvironmentFilter::default() };
    Ok(service.store.environments(&by.team_id, &filter).await.map_err(failed)?.items)
}

/// What this environment takes still; `None` when it is gone meanwhile.
async fn look(service: &Service, by: &SignedIn, environment: EnvironmentSummary) -> Result<Option<Running>, ApiError> {
    let found = service.store.environment(&by.team_id, &environment.id).await.map_err(failed)?;
    let Some(record) = found else { return Ok(None) };
    let view = state::derive(&record.facts, service.clock.now());
    let at_rest = |state: State| matches!(state, State::Ready | State::Parked | State::Deleted);
    let blocked_by = view.servers.into_iter().filter(|server| !at_rest(server.state)).take(BLOCKERS);
    Ok(Some(Running {
        since: record.facts.intent.desired_at,
        blocked_by: blocked_by
            .map(|server| Blocker { server: server.name, state: server.state, waiting_for: server.waiting_for })
            .collect(),
        environment,
    }))
}
