//! Runs the errands of all environments with something under way, as fast as Amazon's buckets allow: looks, learns, asks,
//! writes down what came of it, and looks again. It holds nothing that matters: a portal that comes after reads the records
//! and goes on.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use provisioners::{EnvironmentId, LedgerError, ObservedEnvironment, SnapshotId};
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::Shared;
use super::amazon::Called;
use super::buckets::{Bucket, Paid};
use super::conclude::conclude;
use super::errand::{Call, Errand, Outcome, Turn, Turned};
use super::errands::errands;
use super::forget::{Forgotten, forget};
use super::look::Seen;
use super::perform::{self, MOST_AT_ONCE};
use super::records::Records;
use super::turn;

/// Between looks while something is under way: rarer and rarer as long as nothing changes.
const POLL: Duration = Duration::from_secs(1);
const RARE_POLL: Duration = Duration::from_secs(8);
/// Between looks at least so many times what one takes.
const LOOK_SHARE: u32 = 2;
/// What is asked for at the same moment comes together.
const GATHER: Duration = Duration::from_millis(5);
/// An errand that was done is not run again before Amazon had time to show it: it takes minutes at times, and asking again costs
/// tokens that others wait for.
const QUIET: Duration = Duration::from_secs(5 * 60);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// After so many of them in a row an operator should know.
const FAILURES_TOLD: u32 = 6;
/// Between looks at everything there is: for what comes late, and for what others did.
const PATROL: Duration = Duration::from_secs(5 * 60);
/// Calls under way at once.
const CALLS: usize = 64;

/// Which environments have something under way. Shared by whoever begins something and the driver.
#[derive(Default)]
pub struct Active {
    /// Those of which a schedule wants something: people's errands go first. Who forgets it treats all alike.
    patient: Mutex<HashSet<EnvironmentId>>,
    /// With how often each was begun, and whether the driver has yet to read it anew.
    environments: Mutex<BTreeMap<EnvironmentId, (u64, bool)>>,
    wake: Notify,
}

impl Active {
    /// Something was written about this environment.
    pub fn begin(&self, environment: &EnvironmentId) {
        let mut all = self.lock();
        let known = all.entry(environment.clone()).or_default();
        *known = (known.0 + 1, true);
        drop(all);
        self.wake.notify_one();
    }

    /// Something is asked for, by somebody who waits for it or by a schedule.
    pub fn ask(&self, environment: &EnvironmentId, by_schedule: bool) {
        let mut patient = self.patient.lock().unwrap_or_else(PoisonError::into_inner);
        if by_schedule {
            patient.insert(environment.clone());
        } else {
            patient.remove(environment);
        }
        drop(patient);
        self.begin(environment);
    }

    /// Something that all of them may have waited for has changed.
    pub fn wake(&self) {
        self.lock().values_mut().for_each(|known| *known = (known.0 + 1, true));
        self.wake.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<EnvironmentId, (u64, bool)>> {
        self.environments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<(EnvironmentId, u64)> {
        self.lock().iter().map(|(environment, (count, _))| (environment.clone(), *count)).collect()
    }

    /// Those that were begun since they were last taken.
    fn take_begun(&self) -> Vec<(EnvironmentId, u64)> {
        let mut all = self.lock();
        let begun = all.iter_mut().filter(|(_, (_, begun))| *begun);
        begun.map(|(environment, known)| (environment.clone(), std::mem::replace(known, (known.0, false)).0)).collect()
    }

    /// Unless something was begun meanwhile.
    fn end(&self, environment: &EnvironmentId, count: u64) -> bool {
        let mut all = self.lock();
        let same = all.get(environment).is_some_and(|known| known.0 == count);
        if same {
            all.remove(environment);
            self.patient.lock().unwrap_or_else(PoisonError::into_inner).remove(environment);
        }
        same
    }
}

/// What is known between passes; losing it costs a look.
#[derive(Default)]
struct Work {
    /// When this driver's life began, Unix milliseconds.
    began_at: i64,
    /// The last refresh found something else than the one before.
    news: bool,
    todo: BTreeMap<EnvironmentId, Vec<Errand>>,
    seen: HashMap<EnvironmentId, Seen>,
    told: HashMap<EnvironmentId, ObservedEnvironment>,
    busy: HashSet<String>,
    /// Until when, and how often it failed in a row.
    pauses: HashMap<String, (Instant, u32)>,
}

/// Everything under way, each with how often it was begun, and what a look at it shows.
struct Looked {
    began: Instant,
    environments: Vec<(EnvironmentId, u64)>,
    shown: Called<Arc<BTreeMap<EnvironmentId, Seen>>>,
}

/// Runs for as long as it is polled.
pub(super) async fn drive(shared: Arc<Shared>) {
    let mut work = Work { began_at: (shared.now)(), ..Work::default() };
    let mut calls: JoinSet<(Call, Outcome)> = JoinSet::new();
    // One at a time; nobody waits for it who has something to ask for.
    let mut looks: JoinSet<Looked> = JoinSet::new();
    let (mut look_at, mut soonest) = (Instant::now(), Instant::now());
    let mut poll = POLL;
    let mut patrol_at = Instant::now();
    loop {
        if Instant::now() >= patrol_at {
            match shared.ledger.environments().await {
                Ok(all) => all.iter().for_each(|environment| shared.active.begin(environment)),
                Err(error) => tracing::warn!(%error, "not everything on Amazon can be looked at; trying again"),
            }
            patrol_at = Instant::now() + PATROL;
        }
        let begun = shared.active.take_begun();
        if Instant::now() >= look_at && looks.is_empty() {
            let environments = shared.active.all();
            if !environments.is_empty() {
                looks.spawn(look(shared.clone(), environments));
            }
        }
        if let Err(error) = work.refresh(&shared, begun, None).await {
            tracing::warn!(%error, "what is under way on Amazon cannot be read; trying again");
            look_at = Instant::now() + POLL;
            tokio::time::sleep(POLL).await;
            continue;
        }
        let next = work.start(&shared, &mut calls);
        let idle = shared.active.lock().is_empty() || !looks.is_empty();
        let until = if idle { patrol_at } else { look_at };
        let until = next.map_or(until, |next| next.min(until)).min(patrol_at);
        // In one order, so that a seed repeats a story; what comes seldom first.
        tokio::select! {
            biased;
            Some(looked) = looks.join_next(), if !looks.is_empty() => {
                match work.take_in(&shared, looked).await {
                    Ok(took) => {
                        poll = if work.news { POLL } else { (poll * 5 / 4).min(RARE_POLL) };
                        // The more there is to see, the rarer: others ask, too.
                        soonest = Instant::now() + took * LOOK_SHARE;
                        look_at = soonest.max(Instant::now() + poll);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "what is under way on Amazon cannot be looked at; trying again");
                        look_at = Instant::now() + POLL;
                    }
                }
            }
            Some(done) = calls.join_next(), if !calls.is_empty() => {
                work.finish(&shared, done);
                while let Some(done) = calls.try_join_next() {
                    work.finish(&shared, done);
                }
            }
            () = shared.active.wake.notified() => {
                tokio::time::sleep(GATHER).await;
                poll = POLL;
                look_at = look_at.min(soonest.max(Instant::now() + POLL));
            }
            () = tokio::time::sleep_until(until) => {}
        }
    }
}

async fn look(shared: Arc<Shared>, environments: Vec<(EnvironmentId, u64)>) -> Looked {
    let began = Instant::now();
    let shown = shared.lookout.look(environments.iter().map(|(id, _)| id.clone())).await;
    Looked { began, environments, shown }
}

impl Work {
    /// Goes on from what a look shows; says how long it took.
    async fn take_in(
        &mut self,
        shared: &Arc<Shared>,
        looked: Result<Looked, JoinError>,
    ) -> Result<Duration, LedgerError> {
        let Looked { began, environments, shown } = looked.map_err(|error| LedgerError(error.to_string()))?;
        let shown = shown.map_err(|error| LedgerError(error.to_string()))?;
        self.refresh(shared, environments, Some(&shown)).await?;
        Ok(began.elapsed())
    }

    /// Reads these anew.
    async fn refresh(
        &mut self,
        shared: &Arc<Shared>,
        environments: Vec<(EnvironmentId, u64)>,
        shown: Option<&BTreeMap<EnvironmentId, Seen>>,
    ) -> Result<(), LedgerError> {
        self.news = false;
        if environments.is_empty() {
            return Ok(());
        }
        let ids: Vec<EnvironmentId> = environments.iter().map(|(id, _)| id.clone()).collect();
        if let Some(shown) = shown {
            for id in &ids {
                self.seen.insert(id.clone(), shown.get(id).cloned().unwrap_or_default());
            }
        }
        // After the look: whatever it shows was written down before it was made.
        let (mut records, unreadable) = shared.records(&ids).await?;
        let now = (shared.now)();
        let place = shared.place();
        for (id, count) in environments {
            if let Some(error) = unreadable.get(&id) {
                tracing::warn!(%error, "an environment on Amazon stays as it is until somebody has put that right");
                // With the next patrol it is tried again.
                if shared.active.end(&id, count) {
                    self.forget(&id);
                }
                continue;
            }
            let records = records.remove(&id).unwrap_or_default();
            let Some(seen) = self.seen.get(&id) else {
                // Nobody has looked yet, from which nothing follows. Where no call can be under way that this life knows nothing
                // of, what is to be asked for need not wait for that.
                if self.told.contains_key(&id) || records.are_younger_than(self.began_at) {
                    let todo = errands(&id, &records, &Seen::default(), &shared.setting(place.as_deref()));
                    self.todo.insert(id, todo);
                }
                continue;
            };
            let records = shared.learnt(&id, records, seen).await?;
            shared.fasts.note(&id, &records);
            let there = conclude(&id, &records, seen, now);
            if self.told.get(&id) != Some(&there) {
                self.told.insert(id.clone(), there);
                self.news = true;
                // Nobody needs to listen.
                let _ = shared.changes.send(id.clone());
            }
            let todo = errands(&id, &records, seen, &shared.setting(place.as_deref()));
            if shown.is_some() && records.are_settled() && todo.is_empty() && shared.active.end(&id, count) {
                self.forget(&id);
                self.clear(shared, &id, &records).await?;
            } else {
                self.todo.insert(id, todo);
            }
        }
        Ok(())
    }

    /// Of what is over for so long that nothing of it can show any more, nothing is remembered.
    async fn clear(&mut self, shared: &Shared, id: &EnvironmentId, records: &Records) -> Result<(), LedgerError> {
        let now = (shared.now)();
        let is_over = records.are_over() && records.may_be_forgotten(now);
        if is_over {
            self.told.remove(id);
        }
        let forgotten = match is_over {
            true => Forgotten { pages: records.keys(), ..Forgotten::default() },
            false => forget(records, now),
        };
        shared.forget(id, forgotten).await.map(drop)
    }

    fn forget(&mut self, id: &EnvironmentId) {
        self.todo.remove(id);
        self.seen.remove(id);
    }

    /// Begins as many calls as may be begun now. Says when the next one may.
    fn start(&mut self, shared: &Arc<Shared>, calls: &mut JoinSet<(Call, Outcome)>) -> Option<Instant> {
        let now = Instant::now();
        let mut next: Option<Instant> = None;
        let mut later = |at: Instant| next = Some(next.map_or(at, |known| known.min(at)));
        let mut terminations = Vec::new();
        let mut turns: BTreeMap<Turn, Vec<Turned>> = BTreeMap::new();
        let mut empty: HashSet<Option<Bucket>> = HashSet::new();
        for (environment, todo, by_schedule) in in_turn(&self.todo, &shared.active) {
            for errand in todo {
                let name = errand.name(environment);
                if self.busy.contains(&name) {
                    continue;
                }
                if let Some((until, _)) = self.pauses.get(&name).filter(|(until, _)| *until > now) {
                    later(*until);
                    continue;
                }
                if let Errand::Terminate { server, instance } = errand {
                    terminations.push((environment.clone(), server.clone(), instance.clone()));
                    continue;
                }
                if let Errand::Turn { server, instance, turn, wish } = errand {
                    let (environment, server, instance) = (environment.clone(), server.clone(), instance.clone());
                    let turned = Turned { environment, server, instance, wish: *wish };
                    turns.entry(*turn).or_default().push(turned);
                    continue;
                }
                let costs = perform::costs(errand);
                if let Errand::Attach { guessed: Some(from), .. } = errand {
                    let wait = u64::try_from(from - (shared.now)()).unwrap_or(0);
                    if wait > 0 {
                        later(now + Duration::from_millis(wait));
                    }
                    // Guesses take what others leave.
                    if wait > 0 || !shared.amazon.buckets.are_half_full(&costs) {
                        continue;
                    }
                }
                // Nobody waits for it, and it is wanted for all environments at once.
                let may_wait = matches!(errand, Errand::FollowPortal { .. });
                if may_wait && !shared.amazon.buckets.are_half_full(&costs) {
                    continue;
                }
                let kind = costs.first().map(|(bucket, _)| *bucket);
                if empty.contains(&kind) || calls.len() >= CALLS {
                    continue;
                }
                let paid = match errand {
                    Errand::CopyForMove { token, .. } => {
                        let set = (environment.clone(), SnapshotId::new(token));
                        shared.amazon.snapshots.take(&set, 1, by_schedule)
                    }
                    _ => shared.amazon.buckets.take(&costs),
                };
                match paid {
                    Err(wait) => {
                        later(now + wait);
                        if matches!(errand, Errand::CopyForMove { .. }) {
                            // It has a place of its own, and was told when to come again.
                            let failures = self.pauses.get(&name).map_or(0, |(_, failures)| *failures);
                            self.pauses.insert(name, (now + wait, failures));
                        } else {
                            empty.insert(kind);
                        }
                    }
                    Ok(paid) => {
                        self.busy.insert(name);
                        spawn(shared, calls, Call::One(environment.clone(), errand.clone()), paid);
                    }
                }
            }
        }
        while !terminations.is_empty() {
            let mut batch: Vec<_> = terminations.drain(..terminations.len().min(MOST_AT_ONCE)).collect();
            match perform::at_once(&shared.amazon.buckets, "TerminateInstances", batch.len()) {
                Err(wait) => {
                    later(now + wait);
                    break;
                }
                Ok((count, paid)) => {
                    batch.truncate(count);
                    self.begin(shared, calls, Call::Terminate(batch), paid);
                }
            }
        }
        for (turn, mut waiting) in turns {
            while !waiting.is_empty() {
                let mut batch: Vec<_> = waiting.drain(..waiting.len().min(MOST_AT_ONCE)).collect();
                match perform::at_once(&shared.amazon.buckets, turn::action(turn), batch.len()) {
                    Err(wait) => {
                        later(now + wait);
                        break;
                    }
                    Ok((count, paid)) => {
                        batch.truncate(count);
                        self.begin(shared, calls, Call::Turn(turn, batch), paid);
                    }
                }
            }
        }
        next
    }

    fn begin(&mut self, shared: &Arc<Shared>, calls: &mut JoinSet<(Call, Outcome)>, call: Call, paid: Paid) {
        self.busy.extend(call.errands().into_iter().map(|(_, name)| name));
        spawn(shared, calls, call, paid);
    }

    fn finish(&mut self, shared: &Shared, done: Result<(Call, Outcome), tokio::task::JoinError>) {
        let (call, outcome) = match done {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(%error, "a call to Amazon was given up");
                return;
            }
        };
        let now = Instant::now();
        for (environment, name) in call.errands() {
            self.busy.remove(&name);
            match &outcome {
                Outcome::Done => {
                    self.pauses.insert(name, (now + QUIET, 0));
                }
                Outcome::Changed => {
                    self.pauses.remove(&name);
                }
                Outcome::TooEarly(pause) => {
                    self.pauses.insert(name, (now + *pause, 0));
                }
                Outcome::Again(why) => {
                    let failures = self.pauses.get(&name).map_or(0, |(_, failures)| *failures) + 1;
                    let pause = (FIRST_PAUSE * 2u32.pow(failures.min(7) - 1)).min(LONGEST_PAUSE);
                    if failures == FAILURES_TOLD {
                        tracing::warn!(%environment, errand = name, why, "Amazon refuses it again and again; trying on");
                    }
                    tracing::debug!(%environment, errand = name, why, failures, "asked again later");
                    self.pauses.insert(name, (now + pause, failures));
                }
            }
            shared.active.begin(&environment);
        }
        if self.pauses.len() > 10_000 {
            self.pauses.retain(|_, (until, _)| *until > now);
        }
    }
}

/// What people wait for first, before what a schedule wants: tokens are few.
fn in_turn<'a>(
    todo: &'a BTreeMap<EnvironmentId, Vec<Errand>>,
    active: &Active,
) -> Vec<(&'a EnvironmentId, &'a Vec<Errand>, bool)> {
    let patient = active.patient.lock().unwrap_or_else(PoisonError::into_inner);
    let all = todo.iter().map(|(environment, todo)| (environment, todo, patient.contains(environment)));
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|(_, _, by_schedule)| *by_schedule);
    all
}

/// Whatever breaks off is under way no more, and nothing else is.
fn spawn(shared: &Arc<Shared>, calls: &mut JoinSet<(Call, Outcome)>, call: Call, paid: Paid) {
    let shared = shared.clone();
    calls.spawn(async move {
        let performed = AssertUnwindSafe(perform::perform(&shared, &call, paid)).catch_unwind().await;
        let outcome = performed.unwrap_or_else(|_| {
            tracing::error!(errands = ?call.errands(), "a call to Amazon broke off: this is a bug");
            Outcome::Again("it broke off".to_owned())
        });
        (call, outcome)
    });
}
