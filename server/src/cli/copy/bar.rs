//! How far something long has come, for people at a terminal: one line on standard error that is written over.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use app::api::WorkView;
use app::words::far;

use crate::cli::output::Output;

/// Written over this often.
const EVERY: Duration = Duration::from_millis(200);
/// What is over before is not worth a word.
const NOT_BEFORE: Duration = Duration::from_millis(600);

/// Counts; what it has counted is shown while somebody waits. Its line goes with it.
pub struct Bar {
    counter: Arc<Counter>,
    total: Option<u64>,
    began: Instant,
    drawn: Option<Instant>,
    on: bool,
}

#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Bar {
    pub fn new(total: Option<u64>, output: Output) -> Self {
        let on = std::io::stderr().is_terminal() && !output.json;
        Self { counter: Arc::default(), total, began: Instant::now(), drawn: None, on }
    }

    pub fn counter(&self) -> Arc<Counter> {
        Arc::clone(&self.counter)
    }

    pub fn add(&mut self, bytes: u64) {
        self.counter.add(bytes);
        self.draw();
    }

    /// What somebody else has counted.
    pub fn show(&mut self, work: &WorkView) {
        if self.on && work.passed_ms >= NOT_BEFORE.as_millis() as u64 {
            self.drawn = Some(Instant::now());
            self.write(&far(work));
        }
    }

    /// Shows how it comes along for as long as it takes.
    pub async fn while_going<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(EVERY) => self.draw(),
            }
        }
    }

    fn write(&self, line: &str) {
        // Nobody left to tell is no failure.
        let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
    }

    fn draw(&mut self) {
        let now = Instant::now();
        let due = self.drawn.is_none_or(|drawn| now.duration_since(drawn) >= EVERY);
        if !self.on || !due || now.duration_since(self.began) < NOT_BEFORE {
            return;
        }
        self.drawn = Some(now);
        let passed_ms = u64::try_from(now.duration_since(self.began).as_millis()).unwrap_or(u64::MAX);
        let done_bytes = self.counter.0.load(Ordering::Relaxed);
        self.write(&far(&WorkView { passed_ms, done_bytes, total_bytes: self.total.unwrap_or(0) }));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
