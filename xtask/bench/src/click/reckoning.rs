//! Whose time it was. From click to ready, whatever passes while nothing else is under way is ours: no call that the order needs
//! is being answered, Amazon is not bringing about what was asked of it, and the server is not at its own work. Pure.

use std::time::{Duration, Instant};

/// Somebody else was at it.
#[derive(Clone, Debug)]
pub struct Others {
    pub from: Instant,
    pub to: Instant,
    /// What was so at its end.
    pub then: String,
}

/// Time of ours: it begins when something had come about, and ends when we had done what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ours {
    pub after: String,
    pub time: Duration,
}

/// What none of the others covers, in order.
pub fn ours(click: Instant, ready: Instant, mut others: Vec<Others>) -> Vec<Ours> {
    others.sort_by_key(|one| one.from);
    let mut gaps = Vec::new();
    let (mut until, mut after) = (click, "the click".to_owned());
    for one in others {
        if one.from > until {
            let end = one.from.min(ready);
            gaps.push(Ours { after: after.clone(), time: end.saturating_duration_since(until) });
        }
        if one.to > until {
            (until, after) = (one.to, one.then);
        }
    }
    gaps.push(Ours { after, time: ready.saturating_duration_since(until) });
    gaps.retain(|gap| !gap.time.is_zero());
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_what_passes_while_nobody_else_is_at_it() {
        let click = Instant::now();
        let at = |ms| click + Duration::from_millis(ms);
        let others = |from, to, then: &str| Others { from: at(from), to: at(to), then: then.to_owned() };
        // Two calls side by side, one that began before the click, one that ends after it is ready.
        let all = vec![others(20, 100, "a"), others(10, 60, "b"), others(130, 140, "c"), others(900, 1100, "late")];
        let gap = |after: &str, ms| Ours { after: after.to_owned(), time: Duration::from_millis(ms) };
        assert_eq!(ours(click, at(1000), all), [gap("the click", 10), gap("a", 30), gap("c", 760)]);
        assert_eq!(ours(click, at(5), Vec::new()), [gap("the click", 5)]);
    }
}
