//! How much may be asked of Amazon now: the token buckets it publishes, mirrored, so that we wait here rather than be refused
//! there. One set for an account and region, whoever asks.
//!
//! Source of the sizes: "Request throttling for the Amazon EC2 API", docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html.
//! An account may have less, and others use it too: each refusal makes the bucket it came from slower, and it recovers over
//! minutes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Describe calls that name filters or ids, or are paginated.
    Describe,
    RunInstances,
    StartInstances,
    StopInstances,
    TerminateInstances,
    CreateVolume,
    CreateSnapshot,
    CreateSnapshots,
    CreateTags,
    /// Every other change.
    Mutating,
    /// Servers that begin to run by RunInstances.
    Launched,
    /// Servers that begin to run by StartInstances.
    Started,
    Stopped,
    Terminated,
}

/// Tokens there are at most, and how many come back each second.
fn published(group: Group) -> (f64, f64) {
    match group {
        Group::Describe => (100.0, 20.0),
        Group::RunInstances | Group::StartInstances => (5.0, 2.0),
        Group::StopInstances | Group::TerminateInstances => (100.0, 5.0),
        Group::CreateVolume | Group::CreateSnapshot | Group::CreateSnapshots => (100.0, 5.0),
        Group::CreateTags => (100.0, 10.0),
        Group::Mutating => (50.0, 5.0),
        Group::Launched | Group::Started => (1000.0, 2.0),
        Group::Stopped | Group::Terminated => (1000.0, 20.0),
    }
}

/// The slowest that refusals make a bucket, as a part of its published rate.
const SLOWEST: f64 = 0.1;
/// What one refusal leaves of the rate, and what comes back of it each second.
const AFTER_REFUSAL: f64 = 0.7;
const RECOVERY: f64 = 0.005;

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    /// Of the published rate, between [`SLOWEST`] and 1.
    pace: f64,
    at: Instant,
}

/// Tokens that were taken for one call. Who has none cannot call.
#[derive(Debug, PartialEq, Eq)]
pub struct Paid(Vec<(Group, u32)>);

/// See the module.
#[derive(Debug, Default)]
pub struct Buckets {
    buckets: Mutex<BTreeMap<Group, Bucket>>,
}

impl Buckets {
    /// Takes tokens from all of these buckets, or from none.
    ///
    /// # Errors
    /// How long to wait until there may be enough.
    pub fn take(&self, wanted: &[(Group, u32)]) -> Result<Paid, Duration> {
        let now = Instant::now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut longest = Duration::ZERO;
        for (group, count) in wanted {
            let (most, rate) = published(*group);
            let bucket = refilled(&mut buckets, *group, now);
            // More than it ever holds is let through when it is full.
            let missing = f64::from(*count).min(most) - bucket.tokens;
            if missing > 1e-9 {
                longest = longest.max(Duration::from_secs_f64(missing / (rate * bucket.pace)));
            }
        }
        if !longest.is_zero() {
            return Err(longest.max(Duration::from_millis(1)));
        }
        for (group, count) in wanted {
            refilled(&mut buckets, *group, now).tokens -= f64::from(*count);
        }
        Ok(Paid(wanted.to_vec()))
    }

    /// As [`take`](Self::take), waiting for as long as it takes.
    pub async fn acquire(&self, wanted: &[(Group, u32)]) -> Paid {
        loop {
            match self.take(wanted) {
                Ok(paid) => return paid,
                Err(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    /// How many of the one there are now, between nothing and all.
    pub fn there_are(&self, group: Group) -> u32 {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        // Truncation is what is meant: a part of a token is none.
        refilled(&mut buckets, group, Instant::now()).tokens.max(0.0) as u32
    }

    /// Amazon refused a call for asking too fast.
    pub fn refused(&self, paid: &Paid) {
        let now = Instant::now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        for (group, _) in &paid.0 {
            let bucket = refilled(&mut buckets, *group, now);
            bucket.tokens = bucket.tokens.min(0.0);
            bucket.pace = (bucket.pace * AFTER_REFUSAL).max(SLOWEST);
        }
    }
}

fn refilled(buckets: &mut BTreeMap<Group, Bucket>, group: Group, now: Instant) -> &mut Bucket {
    let (most, rate) = published(group);
    let bucket = buckets.entry(group).or_insert(Bucket { tokens: most, pace: 1.0, at: now });
    let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
    bucket.tokens = (bucket.tokens + passed * rate * bucket.pace).min(most);
    bucket.pace = (bucket.pace + passed * RECOVERY).min(1.0);
    bucket.at = now;
    bucket
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_and_the_rest_at_the_published_rate() {
        let buckets = Buckets::default();
        let began = Instant::now();
        for _ in 0..5 {
            buckets.acquire(&[(Group::RunInstances, 1), (Group::Launched, 10)]).await;
        }
        assert!(began.elapsed() < Duration::from_millis(1));
        for _ in 0..10 {
            buckets.acquire(&[(Group::RunInstances, 1), (Group::Launched, 10)]).await;
        }
        let took = began.elapsed().as_secs_f64();
        assert!((4.9..5.2).contains(&took), "ten more at two each second took {took} s");
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_had_as_a_whole_takes_nothing() {
        let buckets = Buckets::default();
        assert!(buckets.take(&[(Group::Launched, 1000)]).is_ok());
        let wait = buckets.take(&[(Group::RunInstances, 1), (Group::Launched, 10)]).unwrap_err();
        assert!(wait >= Duration::from_secs(4), "{wait:?}");
        assert_eq!(buckets.there_are(Group::RunInstances), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_slow_a_bucket_down_and_it_recovers() {
        let buckets = Buckets::default();
        let wanted = [(Group::CreateTags, 10)];
        for _ in 0..3 {
            buckets.refused(&Paid(wanted.to_vec()));
        }
        let slow = buckets.take(&wanted).unwrap_err();
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert!(buckets.take(&[(Group::CreateTags, 100)]).is_ok());
        let quick = buckets.take(&wanted).unwrap_err();
        assert!(slow > quick * 2, "{slow:?} then {quick:?}");
    }
}
