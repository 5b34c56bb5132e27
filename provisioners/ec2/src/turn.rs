//! Servers that stand by and wake: what StopInstances and StartInstances do. Neither takes a client token, and both change
//! nothing when they are repeated; so it is written down that one of them may have been asked for before it is, and what comes
//! of it is what Amazon shows.

use provisioners::LedgerError;

use super::Shared;
use super::amazon::CallError;
use super::buckets::{Bucket, Paid};
use super::errand::{Outcome, Turn, Turned};
use super::records::{Phase, Record, Rest, Server};

/// A server that has just begun to run cannot hibernate yet; after so long it is stopped without.
const HIBERNATION_PATIENCE_MS: i64 = 5 * 60_000;

/// What Amazon calls it.
pub fn action(turn: Turn) -> &'static str {
    match turn {
        Turn::Sleep { .. } => "StopInstances",
        Turn::Wake => "StartInstances",
    }
}

/// All of a batch, or, when one of them keeps the others from it, each for itself.
pub(super) async fn perform(shared: &Shared, turn: Turn, batch: &[Turned], paid: Paid) -> Result<Outcome, LedgerError> {
    let mut begun = Vec::new();
    for one in batch {
        if change(shared, one, |server, rest| begin(turn, server.launch_shown, rest)).await? {
            begun.push(one.clone());
        }
    }
    let mut rest = vec![(begun.as_slice(), Some(paid))];
    let mut outcome = Outcome::Done;
    while let Some((batch, paid)) = rest.pop() {
        if batch.is_empty() {
            continue;
        }
        let paid = match paid {
            Some(paid) => paid,
            None => shared.amazon.buckets.acquire(&[(Bucket::Call(action(turn)), 1)]).await,
        };
        let instances: Vec<String> = batch.iter().map(|one| one.instance.clone()).collect();
        let called = match turn {
            Turn::Sleep { hibernate } => shared.amazon.stop(paid, &instances, hibernate).await,
            Turn::Wake => shared.amazon.start(paid, &instances).await,
        };
        match (called, batch) {
            (Ok(()), _) => accepted(shared, batch).await?,
            (Err(CallError::Refused { .. }), [_, _, ..]) => {
                let (first, second) = batch.split_at(batch.len() / 2);
                rest.extend([(second, None), (first, None)]);
            }
            (Err(error @ CallError::Refused { .. }), [one]) => {
                if !refused(shared, turn, one, &error).await? {
                    outcome = Outcome::Again(error.to_string());
                }
            }
            (Err(error), _) => outcome = Outcome::Again(error.to_string()),
        }
    }
    Ok(outcome)
}

/// Says that the call may have been made; `false` when it is not wanted any more.
fn begin(turn: Turn, launched: i64, rest: &mut Rest) -> bool {
    let (from, to) = match turn {
        Turn::Sleep { .. } => ([Phase::Awake, Phase::Asleep].contains(&rest.phase) && rest.asleep, Phase::Falling),
        Turn::Wake => (rest.phase == Phase::Asleep && !rest.asleep, Phase::Rising),
    };
    if from {
        (rest.phase, rest.accepted_at, rest.launched) = (to, None, launched);
    }
    from || rest.phase == to
}

async fn accepted(shared: &Shared, batch: &[Turned]) -> Result<(), LedgerError> {
    let now = (shared.now)();
    for one in batch {
        let accept = |server: &mut Server, rest: &mut Rest| {
            let under_way = [Phase::Falling, Phase::Rising].contains(&rest.phase);
            if under_way {
                rest.accepted_at = Some(now);
                server.trouble = None;
            }
            under_way
        };
        change(shared, one, accept).await?;
    }
    Ok(())
}

/// It did not happen; says whether the record tells now how to go on.
async fn refused(shared: &Shared, turn: Turn, one: &Turned, error: &CallError) -> Result<bool, LedgerError> {
    let now = (shared.now)();
    match (turn, error.code()) {
        // It is between two states, or a moment ago was.
        (_, "IncorrectInstanceState" | "IncorrectState" | "InvalidInstanceID.NotFound") => Ok(false),
        (Turn::Sleep { hibernate: true }, code) => {
            let late = |rest: &Rest| now >= rest.asked_at + HIBERNATION_PATIENCE_MS;
            let never = code == "UnsupportedHibernationConfiguration";
            change(shared, one, |_, rest| {
                let without = rest.hibernate && (never || late(rest));
                rest.hibernate &= !without;
                without
            })
            .await
        }
        (Turn::Sleep { .. }, _) => {
            tracing::warn!(%error, "a server on Amazon cannot be stopped; trying again");
            let since = |server: &Server| server.rest.as_ref().map_or(i64::MAX, |rest| rest.asked_at);
            shared.tell(&one.environment, &one.server, error, since).await?;
            Ok(false)
        }
        (Turn::Wake, _) => {
            let failure = match error.is_for_want_of_room() {
                true => format!("Amazon has no room for it where its disks are: {}", error.plain()),
                false => error.plain(),
            };
            change(shared, one, |server, rest| {
                let refused = rest.phase == Phase::Rising;
                if refused {
                    rest.phase = Phase::Asleep;
                    server.failure = (!rest.asleep).then(|| failure.clone());
                }
                refused
            })
            .await
        }
    }
}

/// Changes what is remembered of a server that is not to go; `false` when there is nothing to change.
async fn change(
    shared: &Shared,
    one: &Turned,
    change: impl Fn(&mut Server, &mut Rest) -> bool,
) -> Result<bool, LedgerError> {
    shared
        .change(&one.environment, |records| {
            let kept = records.servers.get(&one.server).filter(|kept| kept.record.stop_at.is_none())?;
            let mut record = kept.record.clone();
            let mut rest = record.rest.take()?;
            let changed = change(&mut record, &mut rest);
            record.rest = Some(rest);
            changed.then(|| (kept.version, Record::Server(Box::new(record))))
        })
        .await
}
