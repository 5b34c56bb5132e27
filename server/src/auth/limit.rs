//! How often signing in may fail before it has to wait: decided here, counted by the store.
//!
//! Attempts are counted *before* the password is looked at and struck out when it was right, so that a thousand guesses
//! sent at once are no better than a thousand sent one after the other.

use std::net::{IpAddr, Ipv6Addr};

/// Failures are forgotten after this time.
pub const WINDOW_MS: i64 = 15 * 60 * 1000;

/// What is limited, and how many failures it may have within the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    pub subject: String,
    pub failures: i64,
}

/// The limits one attempt falls under: the name's, and those of where it came from.
pub fn limits(counted_as: &str, from: Option<IpAddr>) -> Vec<Limit> {
    let name = Limit { subject: format!("name {counted_as}"), failures: 10 };
    let address = from.map(|address| Limit { subject: format!("address {}", network(address)), failures: 50 });
    std::iter::once(name).chain(address).collect()
}

/// One count per IPv4 address and per IPv6 /64: a household has 2⁶⁴ of those.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

/// In words, for the person who has to wait.
pub fn wait_in_words(milliseconds: i64) -> String {
    match (milliseconds + 59_999) / 60_000 {
        ..=1 => "Try again in a minute.".to_string(),
        minutes => format!("Try again in {minutes} minutes."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_neighbourhood_counts_as_one_and_mapped_ipv4_as_ipv4() {
        let subject = |address: &str| limits("ann", Some(address.parse().unwrap()))[1].subject.clone();
        assert_eq!(subject("2001:db8:1:2:3::4"), subject("2001:db8:1:2:ffff::1"));
        assert_ne!(subject("2001:db8:1:2::1"), subject("2001:db8:1:3::1"));
        assert_eq!(subject("::ffff:192.0.2.7"), subject("192.0.2.7"));
    }

    #[test]
    fn the_wait_is_never_said_to_be_nothing() {
        assert_eq!(wait_in_words(1), "Try again in a minute.");
        assert_eq!(wait_in_words(61_000), "Try again in 2 minutes.");
    }
}
