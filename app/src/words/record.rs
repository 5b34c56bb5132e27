//! How past orders of a template went, in a few words. Nothing is said where nothing is known.

use super::span;
use crate::api::TemplateRecord;

/// "0.4 s", "12 s", "1 min 12 s": a duration nobody needs in milliseconds.
pub fn about(milliseconds: i64) -> String {
    match milliseconds {
        ms if ms < 1_000 => format!("0.{} s", ((ms.max(0) + 50) / 100).clamp(1, 9)),
        ms => span(ms),
    }
}

/// "usually ready in 0.4 s".
pub fn usual_time(record: &TemplateRecord) -> Option<String> {
    record.ready_p50_ms.map(|took| format!("usually ready in {}", about(took)))
}

/// "98 of the last 100 orders became ready".
pub fn success(record: &TemplateRecord) -> Option<String> {
    let TemplateRecord { decided, became_ready, .. } = *record;
    match (decided, became_ready) {
        (0, _) => None,
        (1, 1) => Some("its one order became ready".into()),
        (1, _) => Some("its one order did not become ready".into()),
        (all, ready) if all == ready => Some(format!("all of the last {all} orders became ready")),
        (all, ready) => Some(format!("{ready} of the last {all} orders became ready")),
    }
}

/// With a capital letter at its beginning.
pub fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(decided: u64, became_ready: u64, p50: Option<i64>) -> TemplateRecord {
        TemplateRecord {
            orders: decided,
            last_ordered_at: 0,
            decided,
            became_ready,
            ready_p50_ms: p50,
            ready_p95_ms: p50,
        }
    }

    #[test]
    fn what_is_usual_is_said_without_needless_digits() {
        let said = [0, 12, 349, 350, 999, 4_250, 72_000].map(about);
        assert_eq!(said, ["0.1 s", "0.1 s", "0.3 s", "0.4 s", "0.9 s", "4.2 s", "1 min 12 s"]);
        assert_eq!(usual_time(&record(2, 2, Some(400))).as_deref(), Some("usually ready in 0.4 s"));
    }

    #[test]
    fn nothing_is_said_of_a_template_that_nobody_has_seen_run() {
        assert_eq!((usual_time(&record(0, 0, None)), success(&record(0, 0, None))), (None, None));
        let said = [(1, 1), (1, 0), (7, 7), (100, 98)].map(|(decided, ready)| success(&record(decided, ready, None)));
        let expected = [
            "its one order became ready",
            "its one order did not become ready",
            "all of the last 7 orders became ready",
            "98 of the last 100 orders became ready",
        ];
        assert_eq!(said.map(Option::unwrap), expected);
    }
}
