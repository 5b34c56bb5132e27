//! Amazon's token buckets: how often an account may ask for what in a region, and for how many resources at once.
//!
//! From "Request throttling for the Amazon EC2 API" (EC2 developer guide): every action has a bucket of its own whose size
//! and refill go by its group; seven describes have a smaller one when they come with neither a filter nor a page size;
//! four actions also have a bucket of resources, emptied by as many tokens as the call touches instances. A call that is
//! refused takes nothing.

use std::collections::HashMap;

/// Thousandths of a token, so that refills need no fractions.
const TOKEN: i64 = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub most: i64,
    pub per_second: i64,
}

/// The bucket of requests of an action. `narrowed`: the call has a filter or a page size.
pub fn requests(action: &str, narrowed: bool) -> Size {
    let size = |most, per_second| Size { most, per_second };
    match action {
        "RunInstances" | "StartInstances" => size(5, 2),
        "CreateTags" | "DeleteTags" => size(100, 10),
        "TerminateInstances"
        | "CreateSnapshot"
        | "CreateSnapshots"
        | "DeleteSnapshot"
        | "CreateVolume"
        | "DeleteVolume"
        | "CreateNetworkInterface"
        | "DeleteNetworkInterface"
        | "ModifyInstanceMetadataOptions"
        | "ModifySnapshotAttribute" => size(100, 5),
        "DescribeInstances"
        | "DescribeInstanceStatus"
        | "DescribeNetworkInterfaces"
        | "DescribeSecurityGroups"
        | "DescribeSnapshots"
        | "DescribeSpotInstanceRequests"
        | "DescribeVolumes"
            if !narrowed =>
        {
            size(50, 10)
        }
        _ if is_describe(action) => size(100, 20),
        // Mutating actions, and those Amazon calls resource-intensive: the same size, and each its own bucket.
        _ => size(50, 5),
    }
}

/// The bucket of resources, for the four actions that have one.
pub fn resources(action: &str) -> Option<Size> {
    match action {
        "RunInstances" | "StartInstances" => Some(Size { most: 1000, per_second: 2 }),
        "TerminateInstances" | "StopInstances" => Some(Size { most: 1000, per_second: 20 }),
        _ => None,
    }
}

pub fn is_describe(action: &str) -> bool {
    ["Describe", "List", "Search", "Get"].iter().any(|prefix| action.starts_with(prefix))
}

/// The buckets of one account in one region.
#[derive(Clone, Debug, Default)]
pub struct Buckets {
    levels: HashMap<String, Level>,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    thousandths: i64,
    at_ms: i64,
}

impl Buckets {
    /// Takes a token for a call and one for each instance it is about; `false`: throttled. Others of the account leave so many
    /// percent.
    pub fn take(&mut self, action: &str, narrowed: bool, instances: i64, now_ms: i64, left: i64) -> bool {
        let size = requests(action, narrowed);
        let bucket = if is_describe(action) && !narrowed { format!("{action} unfiltered") } else { action.to_owned() };
        if !self.take_from(bucket, size, 1, now_ms, left) {
            return false;
        }
        match resources(action) {
            Some(size) => self.take_from(format!("{action} resources"), size, instances.max(1), now_ms, left),
            None => true,
        }
    }

    fn take_from(&mut self, bucket: String, size: Size, tokens: i64, now_ms: i64, left: i64) -> bool {
        let most = size.most * TOKEN * left / 100;
        let level = self.levels.entry(bucket).or_insert(Level { thousandths: most, at_ms: now_ms });
        let since = (now_ms - level.at_ms).max(0);
        // A token a second is a thousandth a millisecond.
        let refill = since.saturating_mul(size.per_second).saturating_mul(left) / 100;
        level.thousandths = level.thousandths.saturating_add(refill).min(most);
        level.at_ms = now_ms;
        let wanted = tokens * TOKEN;
        if level.thousandths < wanted {
            return false;
        }
        level.thousandths -= wanted;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_launches_at_once_then_two_a_second() {
        let mut buckets = Buckets::default();
        let taken =
            |buckets: &mut Buckets, at| (0..50).filter(|_| buckets.take("RunInstances", false, 1, at, 100)).count();
        assert_eq!(taken(&mut buckets, 0), 5);
        assert_eq!(taken(&mut buckets, 999), 1);
        assert_eq!(taken(&mut buckets, 2000), 3 - 1 + 1);
        assert_eq!(taken(&mut buckets, 60_000), 5);
    }

    #[test]
    fn a_thousand_instances_empty_the_bucket_of_resources() {
        let mut buckets = Buckets::default();
        assert!(buckets.take("RunInstances", false, 1000, 0, 100));
        assert!(!buckets.take("RunInstances", false, 1, 0, 100));
        assert!(buckets.take("RunInstances", false, 2, 1000, 100));
        assert!(buckets.take("TerminateInstances", false, 1000, 1000, 100));
        assert!(!buckets.take("TerminateInstances", false, 21, 2000, 100));
        assert!(buckets.take("TerminateInstances", false, 20, 2000, 100));
    }

    #[test]
    fn a_describe_without_a_filter_has_the_smaller_bucket() {
        let mut buckets = Buckets::default();
        let all = (0..200).filter(|_| buckets.take("DescribeInstances", false, 0, 0, 100)).count();
        let narrowed = (0..200).filter(|_| buckets.take("DescribeInstances", true, 0, 0, 100)).count();
        assert_eq!((all, narrowed), (50, 100));
    }
}
