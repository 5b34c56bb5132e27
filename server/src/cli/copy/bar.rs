//! How far something long has come, for people at a terminal: one line on standard error that is written over.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::cli::output::Output;
use crate::domain::template::quantity::display_bytes;

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
    pub fn set(&mut self, done: u64, total: u64) {
        self.counter.0.store(done, Ordering::Relaxed);
        self.total = Some(total).filter(|total| *total > 0);
        self.draw();
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

    fn draw(&mut self) {
        let now = Instant::now();
        let due = self.drawn.is_none_or(|drawn| now.duration_since(drawn) >= EVERY);
        if !self.on || !due || now.duration_since(self.began) < NOT_BEFORE {
            return;
        }
        self.drawn = Some(now);
        let line = told(self.counter.0.load(Ordering::Relaxed), self.total, now.duration_since(self.began));
        // Nobody left to tell is no failure.
        let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// "45 %, 12 MiB of 27 MiB, 5 MiB/s, 3 s left".
fn told(done: u64, total: Option<u64>, passed: Duration) -> String {
    let rate = done as f64 / passed.as_secs_f64().max(0.001);
    let speed = format!("{}/s", display_bytes(rate as u64));
    match total.filter(|total| *total > 0) {
        None => format!("{}, {speed}", display_bytes(done)),
        Some(total) => {
            let percent = done.min(total) * 100 / total;
            let left = match rate > 0.0 {
                true => format!(", {} s left", (total.saturating_sub(done) as f64 / rate).ceil()),
                false => String::new(),
            };
            format!("{percent} %, {} of {}, {speed}{left}", display_bytes(done), display_bytes(total))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_time_left_are_those_of_what_was_done_so_far() {
        let ten = Duration::from_secs(10);
        assert_eq!(told(10 << 20, Some(40 << 20), ten), "25 %, 10 MiB of 40 MiB, 1 MiB/s, 30 s left");
        assert_eq!(told(10 << 20, None, ten), "10 MiB, 1 MiB/s");
        assert!(!told(0, Some(1), ten).contains("left"));
    }
}
