//! How long what is under way takes: what is known, and no more.

use super::{about, span};
use crate::api::ProgressView;

/// "0 s", "12 s", "1 min 12 s": time as it passes.
pub fn passed(milliseconds: i64) -> String {
    let seconds = milliseconds.max(0) / 1000;
    if seconds < 60 { format!("{seconds} s") } else { span(seconds * 1000) }
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
