//! Wall and CPU seconds of what this process and its children do.

use std::time::{Duration, Instant};

/// What something took.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    pub wall: Duration,
    /// User and system time of this process and of children that have ended, in hundredths of a second (proc(5)).
    pub cpu: Duration,
}

pub struct Meter {
    began: Instant,
    cpu: Duration,
}

impl Meter {
    pub fn start() -> Self {
        Self { began: Instant::now(), cpu: cpu() }
    }

    pub fn stop(self) -> Taken {
        Taken { wall: self.began.elapsed(), cpu: cpu().saturating_sub(self.cpu) }
    }
}

fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field, the program's name, may hold spaces.
    let fields: Vec<u64> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect())
        .unwrap_or_default();
    // utime, stime, cutime, cstime are fields 14 to 17.
    let ticks: u64 = fields.get(11..15).unwrap_or_default().iter().sum();
    Duration::from_millis(ticks * 10)
}
