//! The least time that Amazon's published buckets leave anybody: for each bucket, what is needed beyond what it holds at the
//! beginning, at the rate at which it refills; the slowest of them, and what Amazon itself takes for the last thing, which of so many is
//! about the longest it ever takes.
//!
//! Needed are as few calls as anybody could make: one RunInstances for the servers of an environment (they share a security
//! group with nobody else), all terminations together, one call for each volume, attachment, security group and
//! kind of rule. Looking is
//! free.

use std::time::Duration;

use fake_ec2::{BucketSize, Delays, request_bucket, resource_bucket};

use crate::fleet::Fleet;

/// What a phase cannot be quicker than, and which bucket says so.
#[derive(Debug, PartialEq)]
pub struct Optimum {
    pub time: Duration,
    pub bucket: String,
}

/// Calls of one action, and the servers they are about together.
struct Need {
    action: &'static str,
    calls: usize,
    servers: usize,
}

fn need(action: &'static str, calls: usize) -> Need {
    Need { action, calls, servers: 0 }
}

pub fn start(fleet: &Fleet) -> Optimum {
    let each = fleet.environments;
    let launches = Need { action: "RunInstances", calls: each, servers: fleet.all_servers() };
    let needs = [
        need("CreateSecurityGroup", each),
        need("AuthorizeSecurityGroupIngress", each),
        need("AuthorizeSecurityGroupEgress", each),
        need("RevokeSecurityGroupEgress", each),
        need("CreateVolume", each),
        need("AttachVolume", each),
        launches,
    ];
    slowest(&needs, Delays::lifelike().pending.1)
}

pub fn park(fleet: &Fleet) -> Optimum {
    let servers = fleet.all_servers();
    let calls = servers.div_ceil(ec2::MOST_AT_ONCE);
    slowest(&[Need { action: "TerminateInstances", calls, servers }], Delays::lifelike().shutting_down.1)
}

pub fn delete(fleet: &Fleet) -> Optimum {
    slowest(&[need("DeleteVolume", fleet.environments), need("DeleteSecurityGroup", fleet.environments)], 0)
}

/// `afterwards_ms`: what the last one takes by itself.
fn slowest(needs: &[Need], afterwards_ms: i64) -> Optimum {
    let of = |need: &Need| {
        let servers =
            resource_bucket(need.action).map(|bucket| (format!("servers of {}", need.action), need.servers, bucket));
        let calls = (format!("calls of {}", need.action), need.calls, request_bucket(need.action, true));
        servers
            .into_iter()
            .chain([calls])
            .map(|(name, needed, bucket)| (name, seconds(needed, bucket)))
            .collect::<Vec<_>>()
    };
    let all = needs.iter().flat_map(of);
    let (bucket, longest) = all.max_by(|one, other| one.1.total_cmp(&other.1)).unwrap_or_default();
    let afterwards = Duration::from_millis(u64::try_from(afterwards_ms).unwrap_or(0));
    Optimum { time: Duration::from_secs_f64(longest) + afterwards, bucket }
}

fn seconds(needed: usize, bucket: BucketSize) -> f64 {
    let beyond = i64::try_from(needed).unwrap_or(i64::MAX).saturating_sub(bucket.most);
    beyond.max(0) as f64 / bucket.per_second as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_thousand_servers_wait_for_the_bucket_of_servers() {
        let fleet = Fleet { environments: 500, servers: 10 };
        let start = start(&fleet);
        assert_eq!((start.time, start.bucket.as_str()), (Duration::from_secs(2000 + 20), "servers of RunInstances"));
        assert_eq!(park(&fleet).time, Duration::from_secs(200 + 60));
        // 450 beyond the burst of 50, at 5 each second.
        assert_eq!(delete(&fleet).time, Duration::from_secs(90));
    }
}
