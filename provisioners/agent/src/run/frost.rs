//! Freezing and thawing: the server's part of a consistent snapshot.
//!
//! One freeze at a time, named by the portal. A timer of its own ends each: a portal that goes away leaves no server
//! standing still. Filesystems on disks of their own stand still as well, once nobody writes to them any more, so that what was
//! written is on the disk. While it is frozen nothing is started here and no health check is judged, and time that passed frozen does
//! not count against anybody's time limit.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Server;
use super::apply::{self, Interrupted};
use super::disks::still::{self, Still};
use super::processes::{self, Stopped};
use crate::api::{Freeze, Frozen, Script, Thaw, Thawed};

/// Sources of the hooks' log lines.
pub(super) const BEFORE: &str = "before_snapshot";
pub(super) const AFTER: &str = "after_snapshot";
const LONGEST_HOLD: Duration = Duration::from_secs(600);

#[derive(Default)]
pub(super) struct Frost {
    state: Mutex<State>,
    frozen: watch::Sender<bool>,
    /// Freezes and hooks, one after the other.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    present: Option<Present>,
    /// The freeze in preparation, and what calls it off.
    preparing: Option<(String, CancellationToken)>,
    /// What became of the one before, with the hook that is still to be run.
    last: Option<(String, Thawed, Option<Script>)>,
    /// Ids that were thawed before they were frozen, the newest last.
    called_off: Vec<String>,
    /// Time frozen so far, the present freeze left out, and how often.
    passed: Duration,
    count: u64,
}

struct Present {
    id: String,
    since: Instant,
    stopped: Vec<Stopped>,
    /// Filesystems on disks of their own.
    still: Option<Still>,
    /// Once everything stands still.
    answer: Option<Frozen>,
    after: Option<Script>,
}

/// A point in time, and how long the server had been frozen by then.
#[derive(Clone, Copy)]
pub(super) struct Clock(Instant, Duration);

/// See [`Freeze`].
///
/// # Errors
/// Why nothing stands still, in words.
pub(super) async fn freeze(server: Arc<Server>, wish: Freeze) -> Result<Frozen, String> {
    let frost = &server.frost;
    let _turn = frost.turn.lock().await;
    let off = CancellationToken::new();
    {
        let mut state = frost.state();
        if let Some(present) = state.present.as_ref().filter(|present| present.id == wish.id)
            && let Some(answer) = &present.answer
        {
            return Ok(answer.clone());
        }
        let over = state.last.as_ref().is_some_and(|(id, ..)| *id == wish.id);
        if over || state.called_off.contains(&wish.id) {
            return Err("this freeze is over already".to_owned());
        }
        state.preparing = Some((wish.id.clone(), off.clone()));
    }
    frost.end_present(false);
    run_pending_hook(&server).await;

    let started = Instant::now();
    let prepared = run_hook(&server, BEFORE, wish.before.as_ref(), &off).await;
    let before_ms = milliseconds(started.elapsed());
    // The more is on the disks already, the shorter everything stands still.
    server.disks.write_out().await;
    let prepared =
        prepared.and_then(|()| if off.is_cancelled() { Err("it was called off".to_owned()) } else { Ok(()) });
    let frozen = match prepared {
        Ok(()) => stand_still(&server, &wish, before_ms).await,
        Err(reason) => Err(reason),
    };
    frost.state().preparing = None;
    if frozen.is_err()
        && wish.before.is_some()
        && let Err(failure) = run_hook(&server, AFTER, wish.after.as_ref(), &CancellationToken::new()).await
    {
        server.logs.say(&failure);
    }
    frozen
}

async fn stand_still(server: &Arc<Server>, wish: &Freeze, before_ms: u64) -> Result<Frozen, String> {
    let frost = &server.frost;
    let hold = Duration::from_millis(wish.hold_ms).min(LONGEST_HOLD);
    let since = Instant::now();
    {
        let mut state = frost.state();
        state.count += 1;
        let id = wish.id.clone();
        let after = wish.after.clone();
        state.present = Some(Present { id, since, stopped: Vec::new(), still: None, answer: None, after });
    }
    frost.frozen.send_replace(true);
    let stopped = stop(server, hold, since).await;
    let mut state = frost.state();
    // Called off meanwhile: whoever did that could not know what was stopped.
    let Some(present) = state.present.as_mut().filter(|present| present.id == wish.id) else {
        drop(state);
        if let Ok((stopped, still)) = stopped {
            drop(still);
            processes::go_on(&stopped);
        }
        return Err("it was called off".to_owned());
    };
    match stopped {
        Err(reason) => {
            state.passed += since.elapsed();
            state.present = None;
            drop(state);
            frost.frozen.send_replace(false);
            Err(reason)
        }
        Ok((stopped, still)) => {
            let processes = u32::try_from(stopped.len()).unwrap_or(u32::MAX);
            let stopping_ms = milliseconds(since.elapsed());
            let frozen = Frozen { id: wish.id.clone(), before_ms, stopping_ms, processes };
            present.stopped = stopped;
            present.still = still;
            present.answer = Some(frozen.clone());
            drop(state);
            tokio::spawn(thaw_when_nobody_does(server.clone(), wish.id.clone(), since + hold));
            Ok(frozen)
        }
    }
}

/// Stops all processes, then the filesystems they wrote to.
async fn stop(server: &Server, hold: Duration, since: Instant) -> Result<(Vec<Stopped>, Option<Still>), String> {
    let stopped = processes::stop_all(hold / 2).await?;
    let left = hold.saturating_sub(since.elapsed());
    match still::hold(server.disks.filesystems(), left).await {
        Ok(still) => Ok((stopped, still)),
        Err(reason) => {
            processes::go_on(&stopped);
            Err(reason)
        }
    }
}

async fn thaw_when_nobody_does(server: Arc<Server>, id: String, at: Instant) {
    tokio::time::sleep_until(at).await;
    if server.frost.end(&id, false) {
        server.logs.say("nobody ended the freeze in time: everything goes on, and the snapshot is void");
        let _turn = server.frost.turn.lock().await;
        run_pending_hook(&server).await;
    }
}

/// See [`Thaw`].
pub(super) async fn thaw(server: Arc<Server>, wish: Thaw) -> Thawed {
    let frost = &server.frost;
    frost.call_off(&wish.id);
    frost.end(&wish.id, true);
    let _turn = frost.turn.lock().await;
    run_pending_hook(&server).await;
    let state = frost.state();
    let known = state.last.as_ref().filter(|(id, ..)| *id == wish.id);
    known.map_or(Thawed { held: false, frozen_ms: 0, after_failure: None }, |(_, thawed, _)| thawed.clone())
}

/// Runs the hook that the last thaw left to be run, once. The caller has the turn.
async fn run_pending_hook(server: &Arc<Server>) {
    let pending = server.frost.state().last.as_mut().and_then(|(id, _, hook)| Some((id.clone(), hook.take()?)));
    let Some((id, hook)) = pending else { return };
    if let Err(failure) = run_hook(server, AFTER, Some(&hook), &CancellationToken::new()).await {
        server.logs.say(&failure);
        if let Some((last, thawed, _)) = &mut server.frost.state().last
            && *last == id
        {
            thawed.after_failure = Some(failure);
        }
    }
}

async fn run_hook(
    server: &Arc<Server>,
    source: &str,
    script: Option<&Script>,
    off: &CancellationToken,
) -> Result<(), String> {
    let Some(script) = script else { return Ok(()) };
    match apply::run_script(server, &server.variables(), source, script, off).await {
        Ok(_) => Ok(()),
        Err(Interrupted::Cancelled) => Err("it was called off".to_owned()),
        Err(Interrupted::Failed(failure)) => {
            let last = failure.lines.last().map(|line| format!(": {line}")).unwrap_or_default();
            Err(format!("the hook {source} failed: {}{last}", failure.cause))
        }
    }
}

impl Frost {
    /// Returns when nothing is frozen. What is started right after, without waiting for anything between, is seen by the next
    /// freeze.
    pub(super) async fn thawed(&self) {
        self.frozen.subscribe().wait_for(|frozen| !frozen).await.ok();
    }

    /// How often the server was frozen so far.
    pub(super) fn count(&self) -> u64 {
        self.state().count
    }

    pub(super) fn clock(&self) -> Clock {
        Clock(Instant::now(), self.time_frozen())
    }

    /// Time since then, without that spent frozen.
    pub(super) fn since(&self, clock: Clock) -> Duration {
        clock.0.elapsed().saturating_sub(self.time_frozen().saturating_sub(clock.1))
    }

    /// Sleeps for this long, not counting time spent frozen.
    pub(super) async fn sleep(&self, duration: Duration) {
        let clock = self.clock();
        while let Some(left) = duration.checked_sub(self.since(clock)).filter(|left| !left.is_zero()) {
            sleep(left).await;
            self.thawed().await;
        }
    }

    /// Ends whatever freeze there is: the server is to stop.
    pub(super) fn break_off(&self, server: &Server) {
        let preparing = self.state().preparing.as_ref().map(|(id, _)| id.clone());
        preparing.iter().for_each(|id| self.call_off(id));
        if self.end_present(false) {
            server.logs.say("the freeze was ended because the server is to stop");
        }
    }

    /// A freeze of this id that has not happened yet does not.
    fn call_off(&self, id: &str) {
        const REMEMBERED: usize = 64;
        let mut state = self.state();
        let frozen = state.present.as_ref().is_some_and(|present| present.id == id && present.answer.is_some());
        let over = state.last.as_ref().is_some_and(|(last, ..)| last == id);
        if frozen || over || state.called_off.iter().any(|other| other == id) {
            return;
        }
        if let Some((_, off)) = state.preparing.as_ref().filter(|(preparing, _)| preparing == id) {
            off.cancel();
        }
        state.called_off.push(id.to_owned());
        let excess = state.called_off.len().saturating_sub(REMEMBERED);
        state.called_off.drain(..excess);
    }

    fn end_present(&self, held: bool) -> bool {
        let id = self.state().present.as_ref().map(|present| present.id.clone());
        id.is_some_and(|id| self.end(&id, held))
    }

    /// Ends the freeze of this id, if there is one. Whether there was.
    fn end(&self, id: &str, held: bool) -> bool {
        let mut state = self.state();
        let Some(present) = state.present.take_if(|present| present.id == id) else { return false };
        let stood_still = present.still.is_none_or(Still::end);
        processes::go_on(&present.stopped);
        let frozen = present.since.elapsed();
        state.passed += frozen;
        let held = held && stood_still && present.answer.is_some();
        let thawed = Thawed { held, frozen_ms: milliseconds(frozen), after_failure: None };
        // Where it never stood still, whoever prepared it runs the hook.
        let hook = present.after.filter(|_| present.answer.is_some());
        state.last = Some((present.id, thawed, hook));
        drop(state);
        self.frozen.send_replace(false);
        true
    }

    fn time_frozen(&self) -> Duration {
        let state = self.state();
        state.passed + state.present.as_ref().map_or(Duration::ZERO, |present| present.since.elapsed())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
