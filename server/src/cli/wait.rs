//! `--wait`: until an environment is what was asked for, told of changes by the portal and not by asking again and again.
//! A portal that is restarted meanwhile is waited for.

use std::time::{Duration, Instant};

use app::api::{EnvironmentDetail, State};

use super::arguments::WaitArguments;
use super::client::Client;
use super::events::Events;
use super::failure::{Failure, exit};
use super::output::Output;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Ready,
    Parked,
    Deleted,
    /// Whatever it comes to rest in, except a failure.
    Settled,
}

/// Without any news the environment is read again after this long all the same: a lost event costs time, no more.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What it is in the end; `None` when it is deleted and nothing is left to show.
pub async fn until(
    client: &Client,
    environment: &str,
    target: Target,
    wait: &WaitArguments,
    output: Output,
) -> Result<Option<EnvironmentDetail>, Failure> {
    let watching = watch(client, environment, target, output);
    let Some(seconds) = wait.timeout else { return watching.await };
    match tokio::time::timeout(Duration::from_secs(seconds), watching).await {
        Ok(result) => result,
        Err(_) => Err(Failure::environment(format!("“{environment}” was not there after {seconds} seconds"))
            .detail(format!("What is under way goes on: `bookend show {environment}` says how far it is."))),
    }
}

async fn watch(
    client: &Client,
    environment: &str,
    target: Target,
    output: Output,
) -> Result<Option<EnvironmentDetail>, Failure> {
    let began = Instant::now();
    let mut told = String::new();
    let mut pause = Duration::from_millis(200);
    loop {
        let lost = match follow(client, environment, target, began, &mut told, output).await {
            Err(failure) if failure.exit == exit::UNREACHABLE => failure,
            Ok(Some(result)) => return result,
            // The stream ended: the portal is going down, or was.
            Ok(None) => Failure::unreachable("the portal has closed the connection"),
            Err(failure) if failure.exit == exit::NOT_FOUND && target == Target::Deleted => return Ok(None),
            Err(failure) => return Err(failure),
        };
        if let Some(error) = lost.error {
            let text = format!("{}; trying again", error.title);
            if told != text {
                output.progress(&text);
                told = text;
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Until it is decided, or the stream of events ends (`None`).
async fn follow(
    client: &Client,
    environment: &str,
    target: Target,
    began: Instant,
    told: &mut String,
    output: Output,
) -> Result<Option<Result<Option<EnvironmentDetail>, Failure>>, Failure> {
    // Listening before the first look: no change can fall in between.
    let mut events = Events::of(client.stream(&["events"], &[("environment", environment)]).await?);
    loop {
        let detail: EnvironmentDetail = client.get(&["environments", environment], &[]).await?;
        let doing = match &detail.summary.waiting_for {
            Some(what) => format!("{}: waiting for {what}", detail.summary.state),
            None => detail.summary.state.to_string(),
        };
        if *told != doing {
            let line = format!("{:6.1} s  {doing}", began.elapsed().as_secs_f32());
            // How far something has come is said again and again.
            if doing.contains(" %") {
                output.passing(&line)
            } else {
                output.progress(&line)
            }
            *told = doing;
        }
        if let Some(decided) = judge(detail, target) {
            return Ok(Some(decided.map(Some)));
        }
        match tokio::time::timeout(LOOK_AGAIN, events.next()).await {
            Ok(Ok(None)) => return Ok(None),
            Ok(Err(failure)) => return Err(failure),
            Ok(Ok(Some(_))) | Err(_) => {}
        }
    }
}

/// `None` while it is not decided.
fn judge(detail: EnvironmentDetail, target: Target) -> Option<Result<EnvironmentDetail, Failure>> {
    let state = detail.summary.state;
    let reached = match target {
        Target::Ready => state == State::Ready,
        Target::Parked => state == State::Parked,
        Target::Deleted => state == State::Deleted,
        Target::Settled => state.is_settled() && state != State::Failed,
    };
    if reached {
        return Some(Ok(detail));
    }
    let name = &detail.summary.name;
    match (state, target) {
        (State::Failed, _) => Some(Err(failed(&detail))),
        (State::Deleted, _) | (State::Parked, Target::Ready) => {
            Some(Err(Failure::environment(format!("“{name}” is {state} instead; somebody else wanted that meanwhile"))))
        }
        _ => None,
    }
}

fn failed(detail: &EnvironmentDetail) -> Failure {
    let name = &detail.summary.name;
    let Some(failure) = &detail.failure else { return Failure::environment(format!("“{name}” has failed")) };
    let place = failure.server.as_ref().map(|server| format!(" on {server}")).unwrap_or_default();
    let lines: String = failure.lines.iter().map(|line| format!("\n  | {line}")).collect();
    Failure::environment(format!("“{name}” has failed at {}{place}: {}", failure.step, failure.cause))
        .detail(format!("{}{lines}", failure.remedy))
}
