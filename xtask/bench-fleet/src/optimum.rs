//! The least time that Amazon leaves anybody. Its published buckets: for each, what is needed beyond what it holds at the
//! beginning, at the rate at which it refills; the slowest of them counts. And what Amazon itself takes, which of so many is about
//! the longest it ever takes: until a new security group can be named in a call, until the last server runs or is gone, and for
//! the answers to calls of which one needs the other's.
//!
//! Needed are as few calls as anybody could make: one RunInstances for the servers of an environment (they share a security
//! group with nobody else), all terminations together, one call for each volume, attachment, security group and
//! kind of rule. Looking is
//! free.

use std::time::Duration;

use fake_ec2::{BucketSize, Delays, Rules, request_bucket, resource_bucket};

use crate::fleet::Fleet;

/// What a phase cannot be quicker than, and which bucket says so.
#[derive(Debug, PartialEq)]
pub struct Optimum {
    pub time: Duration,
    pub bucket: String,
}

/// Calls of one action, the servers they are about together, and what Amazon takes after the last of them, in milliseconds.
struct Need {
    action: &'static str,
    calls: usize,
    servers: usize,
    after_ms: i64,
}

pub fn start(fleet: &Fleet) -> Optimum {
    let (each, after_ms) = (fleet.environments, Delays::lifelike().pending.1);
    let need = |action| Need { action, calls: each, servers: 0, after_ms };
    let needs = [
        need("CreateSecurityGroup"),
        need("AuthorizeSecurityGroupIngress"),
        need("AuthorizeSecurityGroupEgress"),
        need("RevokeSecurityGroupEgress"),
        need("CreateVolume"),
        Need { servers: fleet.all_servers(), ..need("RunInstances") },
        Need { after_ms: 0, ..need("AttachVolume") },
    ];
    // The group, its rules, the servers, a volume.
    slowest(&needs, Rules::lifelike(1).lag.changes_ms, 4)
}

pub fn stop(fleet: &Fleet) -> Optimum {
    all_together("StopInstances", fleet, Delays::lifelike().stopping.1)
}

pub fn park(fleet: &Fleet) -> Optimum {
    all_together("TerminateInstances", fleet, Delays::lifelike().shutting_down.1)
}

fn all_together(action: &'static str, fleet: &Fleet, after_ms: i64) -> Optimum {
    let servers = fleet.all_servers();
    slowest(&[Need { action, calls: servers.div_ceil(ec2::MOST_AT_ONCE), servers, after_ms }], 0, 1)
}

pub fn delete(fleet: &Fleet) -> Optimum {
    let need = |action, after_ms| Need { action, calls: fleet.environments, servers: 0, after_ms };
    // A volume takes as long to go as to come.
    let needs = [need("DeleteVolume", Delays::lifelike().volume_creating.1), need("DeleteSecurityGroup", 0)];
    slowest(&needs, 0, 1)
}

/// `before_ms`: the first moment at which the last call can be made, whatever is in the buckets. `answers` have to be waited for
/// one after the other, each as long as they take on average.
fn slowest(needs: &[Need], before_ms: i64, answers: i64) -> Optimum {
    let of = |need: &Need| {
        let servers =
            resource_bucket(need.action).map(|bucket| (format!("servers of {}", need.action), need.servers, bucket));
        let calls = (format!("calls of {}", need.action), need.calls, request_bucket(need.action, true));
        let buckets = servers.into_iter().chain([calls]);
        let takes = |needed, bucket| milliseconds(needed, bucket).max(before_ms) + need.after_ms;
        buckets.map(|(name, needed, bucket)| (takes(needed, bucket), name)).collect::<Vec<_>>()
    };
    let (longest, bucket) = needs.iter().flat_map(of).max().unwrap_or_default();
    let latency = Rules::lifelike(1).latency;
    let time = longest + answers * (latency.0 + latency.1) / 2;
    Optimum { time: Duration::from_millis(u64::try_from(time).unwrap_or(0)), bucket }
}

fn milliseconds(needed: usize, bucket: BucketSize) -> i64 {
    let beyond = i64::try_from(needed).unwrap_or(i64::MAX).saturating_sub(bucket.most);
    beyond.max(0).saturating_mul(1000) / bucket.per_second
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_thousand_servers_wait_for_the_bucket_of_servers() {
        let fleet = Fleet { environments: 500, servers: 10 };
        let start = start(&fleet);
        assert_eq!((start.time.as_secs(), start.bucket.as_str()), (2000 + 20, "servers of RunInstances"));
        assert_eq!(stop(&fleet).time.as_secs(), 200 + 60);
        assert_eq!(park(&fleet).time.as_secs(), 200 + 60);
        // 450 beyond the burst of 50, at 5 each second.
        assert_eq!(delete(&fleet).time.as_secs(), 90);
    }

    #[test]
    fn a_small_fleet_waits_for_what_amazon_takes_itself() {
        let fleet = Fleet { environments: 5, servers: 2 };
        assert_eq!(start(&fleet).time.as_secs(), 10 + 20);
        assert_eq!(delete(&fleet).time.as_secs(), 5);
    }
}
