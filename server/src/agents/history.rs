//! The last minutes of what a server used, small enough to keep for every server.

use std::collections::VecDeque;

use agent::api::Metrics;

/// Length of one stretch of time.
pub const STRETCH_MS: i64 = 10_000;
/// Ten minutes of them.
const KEPT: usize = 60;

/// The highest values within one stretch of time: a peak between two looks is not lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Number of the stretch since 1970.
    number: i64,
    pub cpu_millis: u64,
    pub memory_bytes: u64,
    pub disk_bytes: u64,
}

/// Stretches without a break: one in which nothing was heard begins anew.
#[derive(Clone, Debug, Default)]
pub struct History(VecDeque<Stretch>);

impl History {
    pub fn add(&mut self, sample: &Metrics) {
        let number = sample.at_ms.div_euclid(STRETCH_MS);
        let new = Stretch {
            number,
            cpu_millis: u64::from(sample.cpu_millis),
            memory_bytes: sample.memory_bytes,
            disk_bytes: sample.disk_bytes,
        };
        match self.0.back_mut() {
            Some(last) if last.number == number => {
                last.cpu_millis = last.cpu_millis.max(new.cpu_millis);
                last.memory_bytes = last.memory_bytes.max(new.memory_bytes);
                last.disk_bytes = last.disk_bytes.max(new.disk_bytes);
                return;
            }
            Some(last) if last.number + 1 == number => {}
            // The server was silent for a while, or its clock was set.
            _ => self.0.clear(),
        }
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(new);
    }

    pub fn stretches(&self) -> Vec<Stretch> {
        self.0.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seconds: i64, cpu_millis: u32) -> Metrics {
        Metrics { at_ms: seconds * 1000, cpu_millis, memory_bytes: 5, ..Metrics::default() }
    }

    #[test]
    fn a_stretch_keeps_its_peak_and_old_ones_go() {
        let mut history = History::default();
        for (second, cpu) in [(0, 10), (3, 900), (6, 20), (12, 30)] {
            history.add(&sample(second, cpu));
        }
        let cpu = |history: &History| history.stretches().iter().map(|one| one.cpu_millis).collect::<Vec<_>>();
        assert_eq!(cpu(&history), [900, 30]);
        (2..2_000).for_each(|stretch| history.add(&sample(stretch * 10, 40)));
        assert_eq!(cpu(&history), [40; KEPT]);
    }

    #[test]
    fn a_silence_is_not_drawn_over() {
        let mut history = History::default();
        for second in [0, 10, 20, 75, 80] {
            history.add(&sample(second, 1));
        }
        assert_eq!(history.stretches().len(), 2);
    }
}
