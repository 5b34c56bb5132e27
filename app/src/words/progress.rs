//! How long what is under way takes: what is known, and no more.

use super::{about, bytes, span};
use crate::api::{ProgressView, WorkView};

/// "0 s", "12 s", "1 min 12 s": time as it passes.
pub fn passed(milliseconds: i64) -> String {
    let seconds = milliseconds.max(0) / 1000;
    if seconds < 60 { format!("{seconds} s") } else { span(seconds * 1000) }
}

/// "45 %, 12 MiB of 27 MiB, 5 MiB/s, 3 s left"; as much of it as is known. The rate is that of what was done so far.
pub fn far(work: &WorkView) -> String {
    let WorkView { passed_ms, done_bytes: done, total_bytes: total } = *work;
    let rate = u64::try_from(u128::from(done) * 1000 / u128::from(passed_ms.max(1))).unwrap_or(u64::MAX);
    match (total, rate) {
        (0, 0) => String::new(),
        (0, _) => format!("{}, {}/s", bytes(done), bytes(rate)),
        (total, _) => {
            let percent = u128::from(done.min(total)) * 100 / u128::from(total);
            let known = format!("{percent} %, {} of {}", bytes(done.min(total)), bytes(total));
            let seconds = total.saturating_sub(done).checked_div(rate).map(|left| left.saturating_add(1));
            let left = seconds.and_then(|seconds| i64::try_from(seconds).ok()?.checked_mul(1000));
            let left = left.map(|left| format!(", {}/s, {} left", bytes(rate), passed(left)));
            format!("{known}{}", left.unwrap_or_default())
        }
    }
}

/// What past ones tell of when it will have come about, against the time it has taken so far.
/// `goal`: "ready", "parked". `first`: past orders of the same template are what there is to tell from.
pub fn estimate(progress: &ProgressView, goal: &str, first: bool, now: i64) -> String {
    let so_far = now - progress.since;
    match (progress.usual_ms, progress.slow_ms) {
        (Some(usual), Some(slow)) if so_far > slow => {
            format!("Longer than usual, which is about {}: {} so far", about(usual), passed(so_far))
        }
        (Some(usual), _) => format!("Usually {goal} in about {}; {} so far", about(usual), passed(so_far)),
        (None, _) if first && goal == "ready" => format!("No past orders to tell from; {} so far", passed(so_far)),
        (None, _) => format!("{} so far", passed(so_far)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(usual: Option<(i64, i64)>, goal: &str, first: bool, so_far: i64) -> String {
        let (usual_ms, slow_ms) = usual.unzip();
        let progress = ProgressView { since: 1000, state_since: None, done: 1, total: 5, usual_ms, slow_ms };
        estimate(&progress, goal, first, 1000 + so_far)
    }

    #[test]
    fn an_estimate_says_what_past_ones_took_and_admits_when_it_takes_longer() {
        let past = Some((12_000, 20_000));
        assert_eq!(told(past, "ready", true, 5_400), "Usually ready in about 12 s; 5 s so far");
        assert_eq!(told(past, "parked", false, 20_000), "Usually parked in about 12 s; 20 s so far");
        assert_eq!(told(past, "ready", true, 72_000), "Longer than usual, which is about 12 s: 1 min 12 s so far");
    }

    #[test]
    fn rate_and_time_left_are_those_of_what_was_done_so_far() {
        let told = |done_bytes, total_bytes| far(&WorkView { passed_ms: 10_000, done_bytes, total_bytes });
        assert_eq!(told(10 << 20, 40 << 20), "25 %, 10 MiB of 40 MiB, 1 MiB/s, 31 s left");
        assert_eq!(told(10 << 20, 0), "10 MiB, 1 MiB/s");
        assert_eq!(told(0, 40 << 20), "0 %, 0 B of 40 MiB");
        assert_eq!(told(0, 0), "");
        assert!(told(u64::MAX, u64::MAX).starts_with("100 %"));
    }

    #[test]
    fn without_past_ones_nothing_is_promised() {
        assert_eq!(told(None, "ready", true, 900), "No past orders to tell from; 0 s so far");
        assert_eq!(told(None, "ready", false, 61_000), "1 min 1 s so far");
        assert_eq!(told(None, "deleted", true, 3_000), "3 s so far");
        assert_eq!(
            told(Some((500, 500)), "ready", true, -40),
            "Usually ready in about 0.5 s; 0 s so far",
            "no clock is exact"
        );
    }
}
