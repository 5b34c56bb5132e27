//! One moment for all servers: each runs what its template wants done before, all stand still, and only then is the snapshot
//! taken; then all go on. A message that was read from one server can never be in the snapshot without its cause on another.
//!
//! Whatever happens to this portal meanwhile, every server goes on by itself after [`HOLD`]. Whether it did too early is
//! asked at the thaw: what was taken meanwhile is then worth nothing, and is refused.

use std::future::Future;
use std::time::{Duration, Instant};

use agent::api;
use agent::link::portal::CallError;
use futures::future::join_all;
use provisioners::ProvisionError;

use super::Shared;
use crate::agents::FreezeError;
use crate::domain::plan::Freeze;

/// A server stands still for so long at most.
const HOLD: Duration = Duration::from_secs(60);
/// On top of the time that a server's own script may take.
const PATIENCE: Duration = Duration::from_secs(35);
/// An agent whose connection broke off has called again by then, or is known to be away.
const RECONNECTION: Duration = Duration::from_secs(1);

/// Does `take` while all these servers stand still; says for how long they did, in milliseconds. `name` and `call` make the
/// freeze's id, so that a thaw that comes late ends no later one.
pub(super) async fn while_still(
    shared: &Shared,
    servers: &[Freeze],
    name: &str,
    call: i64,
    take: impl Future<Output = Result<(), ProvisionError>>,
) -> (Result<(), ProvisionError>, Option<i64>) {
    let id = format!("{name}-{call}");
    let freezing = servers.iter().map(|server| freeze(shared, server, &id));
    let refusals: Vec<Refusal> = join_all(freezing).await.into_iter().filter_map(Result::err).collect();
    let since = Instant::now();
    let taken = match refusals.as_slice() {
        [] => take.await,
        refusals => Err(together(refusals)),
    };
    let frozen_ms = i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX);
    // All of them, also those that refused: nobody knows what became of a question without an answer.
    let went_on: Vec<String> =
        join_all(servers.iter().map(|server| thaw(shared, server, &id))).await.into_iter().flatten().collect();
    let taken = match (taken, went_on.as_slice()) {
        (Ok(()), [_, ..]) => Err(ProvisionError::Rejected { message: went_on.join("; ") }),
        (taken, _) => taken,
    };
    let frozen_ms = taken.is_ok().then_some(frozen_ms);
    (taken, frozen_ms)
}

/// Why a server does not stand still.
struct Refusal {
    message: String,
    /// Nothing but its connection was missing, as for a moment after this portal or its network was away.
    unconnected: bool,
}

fn together(refusals: &[Refusal]) -> ProvisionError {
    let messages: Vec<&str> = refusals.iter().map(|refusal| refusal.message.as_str()).collect();
    let message = messages.join("; ");
    match refusals.iter().all(|refusal| refusal.unconnected) {
        true => ProvisionError::Retryable { message, after: RECONNECTION },
        false => ProvisionError::Rejected { message },
    }
}

async fn freeze(shared: &Shared, server: &Freeze, id: &str) -> Result<(), Refusal> {
    let scripts = server.before.iter().map(|script| Duration::from_millis(script.timeout_ms)).sum::<Duration>();
    let freeze = api::Freeze {
        id: id.to_owned(),
        hold_ms: HOLD.as_millis() as u64,
        before: server.before.clone(),
        after: server.after.clone(),
    };
    let frozen = shared.agents.freeze(&server.server, &freeze, scripts + PATIENCE).await;
    frozen.map_err(|error| Refusal {
        unconnected: matches!(error, FreezeError::NotConnected | FreezeError::Failed(CallError::Link(_))),
        message: format!("{} could not be held still: {error}", server.name),
    })
}

/// Says why what was taken is worth nothing, if it is.
async fn thaw(shared: &Shared, server: &Freeze, id: &str) -> Option<String> {
    let scripts = server.after.iter().map(|script| Duration::from_millis(script.timeout_ms)).sum::<Duration>();
    let thaw = api::Thaw { id: id.to_owned() };
    match shared.agents.thaw(&server.server, &thaw, scripts + PATIENCE).await {
        Ok(thawed) => {
            if let Some(failure) = &thawed.after_failure {
                tracing::warn!(server = %server.server, failure, "what was to be done after a snapshot failed");
            }
            (!thawed.held).then(|| format!("{} did not stand still all the time", server.name))
        }
        Err(error) => Some(format!("whether {} stood still is not known: {error}", server.name)),
    }
}
