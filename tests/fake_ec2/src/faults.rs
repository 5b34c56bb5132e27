//! What goes wrong between a client and Amazon, chosen by a test and changeable while it runs.

use std::collections::BTreeMap;

use crate::seed::{between, happens};

/// Something that goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 500 InternalError; nothing happened.
    Refused,
    /// 503 Unavailable; nothing happened.
    Unavailable,
    /// The connection breaks before Amazon has the request.
    RequestLost,
    /// It happened, and the connection breaks before the answer is there.
    ReplyLost,
    /// It happened, and the answer is 500 InternalError all the same.
    HappenedYetRefused,
    /// It happens now, and once more after so many milliseconds: the network delivered it twice.
    Twice(i64),
    /// The answer takes so many milliseconds.
    Delayed(i64),
}

/// Which calls meet a fault. The same seed and the same order of calls bring the same faults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// What happens to the call of this number; the first call is number 1. Counted are the calls that `only` lets through.
    pub at: BTreeMap<u64, Fault>,
    /// Shares of all calls, 0 to 1.
    pub refused: f64,
    pub request_lost: f64,
    pub reply_lost: f64,
    pub twice: f64,
    pub delayed: f64,
    /// Actions that faults are for; empty: all.
    pub only: Vec<String>,
}

impl Faults {
    /// Something of everything; `rate` is the share of calls that each of the five meets.
    pub fn everywhere(rate: f64) -> Self {
        Self { refused: rate, request_lost: rate, reply_lost: rate, twice: rate, delayed: rate, ..Self::default() }
    }

    pub fn concerns(&self, action: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == action)
    }

    /// What happens to a call; `number` counts from 1.
    pub fn of(&self, seed: u64, number: u64) -> Option<Fault> {
        if let Some(fault) = self.at.get(&number) {
            return Some(*fault);
        }
        let happens = |what: &str, rate| happens(seed, &format!("{what} {number}"), rate);
        if happens("refused", self.refused) {
            return Some(if number.is_multiple_of(2) { Fault::Refused } else { Fault::Unavailable });
        }
        if happens("request lost", self.request_lost) {
            return Some(Fault::RequestLost);
        }
        if happens("reply lost", self.reply_lost) {
            return Some(if number.is_multiple_of(3) { Fault::HappenedYetRefused } else { Fault::ReplyLost });
        }
        if happens("twice", self.twice) {
            return Some(Fault::Twice(between(seed, &format!("again {number}"), 100, 30_000)));
        }
        happens("delayed", self.delayed).then(|| Fault::Delayed(between(seed, &format!("late {number}"), 500, 20_000)))
    }
}
