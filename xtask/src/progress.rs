//! What is being done, for whoever waits: one line that moves while parts are under way, one line per finished part, and a
//! table of times at the end.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::Outcome;

/// Without a terminal a line that moves would flood a log: say something this often instead.
const QUIET_INTERVAL: Duration = Duration::from_secs(30);

pub struct Progress {
    state: Arc<Mutex<State>>,
    ended: Arc<AtomicBool>,
    ticker: Option<JoinHandle<()>>,
}

struct State {
    begun: Instant,
    terminal: bool,
    running: Vec<Running>,
    finished: Vec<Finished>,
}

struct Running {
    title: &'static str,
    since: Instant,
    detail: String,
}

struct Finished {
    title: &'static str,
    took: Duration,
    failed: bool,
    remark: String,
}

impl Progress {
    pub fn begin() -> Self {
        let state = Arc::new(Mutex::new(State {
            begun: Instant::now(),
            terminal: std::io::stderr().is_terminal(),
            running: Vec::new(),
            finished: Vec::new(),
        }));
        let ended = Arc::new(AtomicBool::new(false));
        let ticker = std::thread::spawn({
            let (state, ended) = (state.clone(), ended.clone());
            move || tick(&state, &ended)
        });
        Self { state, ended, ticker: Some(ticker) }
    }

    /// Does one part of the work. `work` may describe where it is through the [`Part`] it is given.
    pub fn part<T>(&self, title: &'static str, work: impl FnOnce(&Part) -> Outcome<T>) -> Outcome<T> {
        let since = Instant::now();
        {
            let mut state = lock(&self.state);
            state.running.push(Running { title, since, detail: String::new() });
            if !state.terminal {
                eprintln!("… {title}");
            }
        }
        let outcome = work(&Part { progress: self, title });
        let mut state = lock(&self.state);
        state.running.retain(|running| running.title != title);
        let took = since.elapsed();
        let remark = if outcome.is_ok() { "done" } else { "failed" };
        state.say(&format!("{} {title} ({remark} in {})", if outcome.is_ok() { "✓" } else { "✗" }, spoken(took)));
        state.finished.push(Finished { title, took, failed: outcome.is_err(), remark: remark.to_owned() });
        outcome
    }

    /// Notes that a part had nothing to do.
    pub fn fresh(&self, title: &'static str, why: &str) {
        lock(&self.state).finished.push(Finished {
            title,
            took: Duration::ZERO,
            failed: false,
            remark: why.to_owned(),
        });
    }

    /// The table of times; ends the moving line.
    pub fn end(mut self) -> String {
        self.stop();
        let state = lock(&self.state);
        let width = state.finished.iter().map(|part| part.title.chars().count()).max().unwrap_or(0).max(5);
        let mut table = String::new();
        for Finished { title, took, remark, .. } in &state.finished {
            let time = if took.is_zero() { "–".to_owned() } else { spoken(*took) };
            let _ = writeln!(table, "  {title:<width$}  {time:>8}  {remark}");
        }
        let _ = write!(table, "  {:<width$}  {:>8}", "total", spoken(state.begun.elapsed()));
        table
    }

    fn stop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(ticker) = self.ticker.take() {
            ticker.thread().unpark();
            let _ = ticker.join();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A part under way.
pub struct Part<'a> {
    progress: &'a Progress,
    title: &'static str,
}

impl Part<'_> {
    /// Where it is now, in a few words.
    pub fn at(&self, detail: &str) {
        let mut state = lock(&self.progress.state);
        if let Some(running) = state.running.iter_mut().find(|running| running.title == self.title) {
            running.detail = detail.to_owned();
        }
    }

    /// Whether something done at the same time has failed, so that going on is of no use.
    pub fn others_failed(&self) -> bool {
        lock(&self.progress.state).finished.iter().any(|part| part.failed)
    }
}

impl State {
    fn say(&self, line: &str) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
        eprintln!("{line}");
    }

    fn moving_line(&self) -> String {
        let parts: Vec<String> = self
            .running
            .iter()
            .map(|running| {
                let time = spoken(running.since.elapsed());
                if running.detail.is_empty() {
                    format!("{} {time}", running.title)
                } else {
                    format!("{} {time} ({})", running.title, running.detail)
                }
            })
            .collect();
        format!("… {}", parts.join(" · "))
    }
}

fn tick(state: &Mutex<State>, ended: &AtomicBool) {
    let mut last_said = Instant::now();
    while !ended.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(500));
        let state = lock(state);
        if state.running.is_empty() {
            continue;
        }
        if state.terminal {
            let line: String = state.moving_line().chars().take(110).collect();
            eprint!("\r\x1b[K{line}");
            let _ = std::io::stderr().flush();
        } else if last_said.elapsed() >= QUIET_INTERVAL {
            eprintln!("{}", state.moving_line());
            last_said = Instant::now();
        }
    }
    let state = lock(state);
    if state.terminal {
        eprint!("\r\x1b[K");
    }
}

/// A panic elsewhere must not silence the rest: what is shown may then be stale, and nothing depends on it.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn spoken(time: Duration) -> String {
    match time.as_secs() {
        0..10 => format!("{:.1} s", time.as_secs_f32()),
        seconds @ 10..60 => format!("{seconds} s"),
        seconds => format!("{} m {:02} s", seconds / 60, seconds % 60),
    }
}
