//! The least time that Amazon leaves anybody. Its published buckets: for each, what is needed beyond what it holds at the
//! beginning, at the rate at which it refills; the slowest of them counts. And what Amazon itself takes: until the last call can
//! be made at all, after it, and for the answers to calls of which one needs the other's.

use std::time::Duration;

use crate::buckets::{Size, requests, resources};
use crate::rules::{Delays, Rules};

/// What cannot be quicker, and which bucket says so.
#[derive(Debug, PartialEq)]
pub struct Optimum {
    pub time: Duration,
    pub bucket: String,
}

/// Calls of one action, the servers they are about together, and what Amazon takes after the last of them, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    pub action: &'static str,
    pub calls: usize,
    pub servers: usize,
    pub after_ms: i64,
}

/// Of environments, each with a volume, and all their servers together. `own_ms`: what a server takes after it runs; `answers` as in
/// [`optimum`].
pub fn optimum_of_start(environments: usize, servers: usize, own_ms: i64, answers: i64) -> Optimum {
    let after_ms = Delays::lifelike().pending.1 + own_ms;
    let need = |action| Need { action, calls: environments, servers: 0, after_ms };
    let needs = [
        need("CreateSecurityGroup"),
        need("AuthorizeSecurityGroupIngress"),
        need("AuthorizeSecurityGroupEgress"),
        need("RevokeSecurityGroupEgress"),
        need("CreateVolume"),
        Need { servers, ..need("RunInstances") },
        Need { after_ms: own_ms, ..need("AttachVolume") },
    ];
    optimum(&needs, Rules::lifelike(1).lag.changes_ms, answers)
}

/// `before_ms`: the first moment at which the last call can be made, whatever is in the buckets. `answers` have to be waited for
/// one after the other, each as long as they take on average.
pub fn optimum(needs: &[Need], before_ms: i64, answers: i64) -> Optimum {
    let of = |need: &Need| {
        let servers =
            resources(need.action).map(|bucket| (format!("servers of {}", need.action), need.servers, bucket));
        let calls = (format!("calls of {}", need.action), need.calls, requests(need.action, true));
        let buckets = servers.into_iter().chain([calls]);
        let takes = |needed, bucket| milliseconds(needed, bucket).max(before_ms) + need.after_ms;
        buckets.map(|(name, needed, bucket)| (takes(needed, bucket), name)).collect::<Vec<_>>()
    };
    let (longest, bucket) = needs.iter().flat_map(of).max().unwrap_or_default();
    let latency = Rules::lifelike(1).latency;
    let time = longest + answers * (latency.0 + latency.1) / 2;
    Optimum { time: Duration::from_millis(u64::try_from(time).unwrap_or(0)), bucket }
}

fn milliseconds(needed: usize, bucket: Size) -> i64 {
    let beyond = i64::try_from(needed).unwrap_or(i64::MAX).saturating_sub(bucket.most);
    beyond.max(0).saturating_mul(1000) / bucket.per_second
}
