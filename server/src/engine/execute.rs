//! Doing what was recorded: everything side by side, except what must come after something else.

use std::time::Duration;

use futures::future::join_all;
use provisioners::{Effect, EnvironmentId, ProvisionError, Provisioner, Step};
use tokio::sync::watch;

use super::{Shared, freeze};
use crate::domain::facts::{Intent, Outcome};
use crate::domain::plan::Request;
use crate::store::{Answer, Recorded};

/// A provisioner that has not answered by then may or may not have done it.
const PATIENCE: Duration = Duration::from_secs(120);
/// A snapshot that was asked for so often has failed.
const SNAPSHOT_CALLS: i64 = 3;
/// Services that take long to end are waited for unless the person has changed their mind.
const WISH_INTERVAL: Duration = Duration::from_millis(250);
const FIRST_PAUSE_MS: i64 = 500;
const LONGEST_PAUSE_MS: i64 = 30_000;

/// Asks for all of these; `requests` and `recorded` go together by index. What comes of it is to be written down.
pub(super) async fn execute(
    shared: &Shared,
    provisioner: &dyn Provisioner,
    intent: &Intent,
    requests: &[Request],
    recorded: Vec<Recorded>,
) -> Vec<Answer> {
    let done: Vec<watch::Sender<Option<bool>>> = requests.iter().map(|_| watch::channel(None).0).collect();
    let steps = requests.iter().zip(&recorded).enumerate().map(|(index, (request, recorded))| {
        let before: Vec<_> = request.after.iter().map(|earlier| done[*earlier].subscribe()).collect();
        let done = &done[index];
        async move {
            let mut ready = true;
            for mut earlier in before {
                let accepted = earlier.wait_for(Option::is_some).await.is_ok_and(|accepted| *accepted == Some(true));
                ready &= accepted;
            }
            let answer = match (ready, &recorded.step()) {
                // A server that needs another one is stopped before it where that works out, and stopped in any case.
                (true, _) | (false, Step::StopServer { .. } | Step::SuspendServer { .. }) => {
                    one(shared, provisioner, intent, request, recorded).await
                }
                (false, _) => Answer {
                    token: recorded.token().clone(),
                    outcome: Outcome::Retryable,
                    message: Some("what it stands on is not there yet".to_owned()),
                    retry_at: shared.clock.now(),
                    frozen_ms: None,
                },
            };
            done.send_replace(Some(answer.outcome == Outcome::Accepted));
            answer
        }
    });
    join_all(steps).await
}

async fn one(
    shared: &Shared,
    provisioner: &dyn Provisioner,
    intent: &Intent,
    request: &Request,
    recorded: &Recorded,
) -> Answer {
    if let (Some(gently), Step::StopServer { server, .. } | Step::SuspendServer { server, .. }) =
        (&request.gently, recorded.step())
    {
        tokio::select! {
            () = shared.agents.stop(server, Duration::from_millis(gently.timeout_ms)) => {}
            () = another_wish(shared, recorded.environment(), intent.generation) => {}
        }
    }
    let enrolment = match recorded.step() {
        Step::StartServer { server } => Some(shared.key.enrolment(&server.id, server.generation)),
        _ => None,
    };
    let effect = Effect {
        token: recorded.token().clone(),
        environment: recorded.environment().clone(),
        step: recorded.step().clone(),
        call: recorded.attempts(),
        enrolment,
        by_schedule: intent.by_schedule,
    };
    let asked = async {
        tokio::time::timeout(PATIENCE, provisioner.request(&effect)).await.unwrap_or_else(|_| {
            let message = format!("the provisioner did not answer within {} seconds", PATIENCE.as_secs());
            Err(ProvisionError::Unknown { message })
        })
    };
    let (answer, frozen_ms) = match request.freeze.as_slice() {
        [] => (asked.await, None),
        servers => freeze::while_still(shared, servers, effect.token.as_str(), recorded.attempts(), asked).await,
    };
    let answer = match (recorded.step(), answer) {
        // Whoever waits for a snapshot hears soon that there is none.
        (
            Step::CreateSnapshot { .. },
            Err(ProvisionError::Retryable { message, .. } | ProvisionError::Unknown { message }),
        ) if recorded.tries() >= SNAPSHOT_CALLS => Err(ProvisionError::Rejected { message }),
        (_, answer) => answer,
    };
    if let (Step::WakeServer { server, .. }, Ok(())) = (recorded.step(), &answer) {
        // What its agent was told last is to stand by: it is told anew when it calls again.
        shared.agents.hang_up(server);
    }
    let now = shared.clock.now();
    let pause = |least: i64| now + least.max(pause_after(recorded.tries()));
    let (outcome, message, retry_at) = match answer {
        Ok(()) => (Outcome::Accepted, None, now),
        Err(ProvisionError::Retryable { message, after }) => {
            (Outcome::Retryable, Some(message), pause(i64::try_from(after.as_millis()).unwrap_or(LONGEST_PAUSE_MS)))
        }
        Err(ProvisionError::Rejected { message } | ProvisionError::Absent { message }) => {
            (Outcome::Rejected, Some(message), now)
        }
        Err(ProvisionError::Unknown { message }) => (Outcome::Unknown, Some(message), pause(0)),
    };
    Answer { token: effect.token, outcome, message, retry_at, frozen_ms }
}

/// Returns when something else is wanted of the environment than at this generation: nobody waits any longer then for
/// services that have been told to end.
async fn another_wish(shared: &Shared, environment: &EnvironmentId, generation: i64) {
    loop {
        tokio::time::sleep(WISH_INTERVAL).await;
        if let Ok(Some(current)) = shared.store.generation(environment.as_str()).await
            && current != generation
        {
            return;
        }
    }
}

/// Doubles with each call.
fn pause_after(calls: i64) -> i64 {
    let doublings = u32::try_from((calls - 1).clamp(0, 10)).unwrap_or(0);
    (FIRST_PAUSE_MS << doublings).min(LONGEST_PAUSE_MS)
}
