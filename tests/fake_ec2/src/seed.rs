//! Chance that can be repeated: every decision is a function of the seed and of what is decided.
//!
//! No generator is carried along, so that one more call somewhere does not change what happens everywhere else.

/// A number for a thing; any two differ as chance would have it.
pub fn dice(seed: u64, what: &str) -> u64 {
    let mut hash = mix(seed ^ 0x9e37_79b9_7f4a_7c15);
    for byte in what.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    mix(hash)
}

/// From `low` to `high`, both included.
pub fn between(seed: u64, what: &str, low: i64, high: i64) -> i64 {
    if high <= low {
        return low;
    }
    let span = high.abs_diff(low).saturating_add(1);
    low + i64::try_from(dice(seed, what) % span).unwrap_or(0)
}

/// True for `rate` of all things; `rate` from 0 to 1.
pub fn happens(seed: u64, what: &str, rate: f64) -> bool {
    rate > 0.0 && (dice(seed, what) >> 11) as f64 / (1u64 << 53) as f64 <= rate
}

/// splitmix64's finisher.
fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_holds_and_a_seed_repeats_it() {
        let happened = |seed| (0..10_000).filter(|n| happens(seed, &format!("call {n}"), 0.1)).collect::<Vec<_>>();
        assert!((900..1100).contains(&happened(1).len()));
        assert_eq!(happened(1), happened(1));
        assert_ne!(happened(1), happened(2));
        assert!((0..1000).all(|n| (5..=20).contains(&between(7, &n.to_string(), 5, 20))));
    }
}
