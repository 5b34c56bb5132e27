//! Times, and what is said of many.

use std::fmt;
use std::time::Duration;

#[derive(Default)]
pub struct Times(Vec<Duration>);

impl Times {
    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// The time that this share (0 to 1) of all did not exceed; nearest rank.
    pub fn quantile(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

impl FromIterator<Duration> for Times {
    fn from_iter<Items: IntoIterator<Item = Duration>>(times: Items) -> Self {
        Self(times.into_iter().collect())
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = |share: f64| self.quantile(share).as_secs_f64() * 1000.0;
        let [p50, p95, p99, most] = [0.50, 0.95, 0.99, 1.0].map(milliseconds);
        write!(
            f,
            "p50 {p50:8.1} ms   p95 {p95:8.1} ms   p99 {p99:8.1} ms   max {most:8.1} ms   ({} runs)",
            self.0.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_time_that_so_many_did_not_exceed() {
        let times: Times = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(times.quantile(0.50), Duration::from_millis(50));
        assert_eq!(times.quantile(0.99), Duration::from_millis(99));
        assert_eq!(times.quantile(1.0), Duration::from_millis(100));
        assert_eq!(Times::default().quantile(0.5), Duration::ZERO);
    }
}
