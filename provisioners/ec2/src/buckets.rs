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

/// What is counted together: every action has a bucket of its own, and some a second one for the servers they are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bucket {
    /// Calls of a describe that name filters or ids, or are paginated.
    Describe(&'static str),
    /// Calls of an action that changes something.
    Call(&'static str),
    /// Servers that such calls are about.
    Servers(&'static str),
}

/// Tokens there are at most, and how many come back each second.
fn published(bucket: Bucket) -> (f64, f64) {
    match bucket {
        Bucket::Describe(_) => (100.0, 20.0),
        Bucket::Call("RunInstances" | "StartInstances") => (5.0, 2.0),
        Bucket::Call("CreateTags") => (100.0, 10.0),
        Bucket::Call("TerminateInstances" | "CreateVolume" | "DeleteVolume" | "CreateSnapshot" | "DeleteSnapshot") => {
            (100.0, 5.0)
        }
        Bucket::Call(_) => (50.0, 5.0),
        Bucket::Servers("RunInstances" | "StartInstances") => (1000.0, 2.0),
        Bucket::Servers(_) => (1000.0, 20.0),
    }
}

/// How many tokens come back each second when Amazon refuses nothing.
pub fn in_a_second(bucket: Bucket) -> u32 {
    published(bucket).1 as u32
}

/// The slowest that refusals make a bucket, as a part of its published rate.
const SLOWEST: f64 = 0.1;
/// What one refusal leaves of the rate, and what comes back of it each second.
const AFTER_REFUSAL: f64 = 0.7;
const RECOVERY: f64 = 0.005;

/// A call that leaves now may arrive sooner than one before it: a full bucket is thought to begin to refill so much later.
const LEEWAY: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug)]
struct Level {
    tokens: f64,
    /// Of the published rate, between [`SLOWEST`] and 1.
    pace: f64,
    at: Instant,
}

/// Tokens that were taken for one call. Who has none cannot call.
#[derive(Debug, PartialEq, Eq)]
pub struct Paid(Vec<(Bucket, u32)>);

impl Paid {
    /// What was taken for several calls together, one for each, in the order it was wanted.
    pub fn apart<const CALLS: usize>(self) -> [Paid; CALLS] {
        std::array::from_fn(|call| Paid(self.0.get(call).copied().into_iter().collect()))
    }

    /// What was taken for many calls of one kind, one for each.
    pub fn singly(self) -> impl Iterator<Item = Paid> {
        self.0.into_iter().flat_map(|(bucket, count)| (0..count).map(move |_| Paid(vec![(bucket, 1)])))
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Buckets {
    levels: Mutex<BTreeMap<Bucket, Level>>,
}

impl Buckets {
    /// Takes tokens from all of these buckets, or from none.
    ///
    /// # Errors
    /// How long to wait until there may be enough.
    pub fn take(&self, wanted: &[(Bucket, u32)]) -> Result<Paid, Duration> {
        let now = Instant::now();
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let mut longest = Duration::ZERO;
        for (bucket, count) in wanted {
            let (most, rate) = published(*bucket);
            let level = refilled(&mut levels, *bucket, now);
            // More than it ever holds is let through when it is full.
            let missing = f64::from(*count).min(most) - level.tokens;
            if missing > 1e-9 {
                longest = longest.max(Duration::from_secs_f64(missing / (rate * level.pace)));
            }
        }
        if !longest.is_zero() {
            return Err(longest.max(Duration::from_millis(1)));
        }
        for (bucket, count) in wanted {
            let level = refilled(&mut levels, *bucket, now);
            if level.tokens >= published(*bucket).0 {
                level.at = now + LEEWAY;
            }
            level.tokens -= f64::from(*count);
        }
        Ok(Paid(wanted.to_vec()))
    }

    /// As [`take`](Self::take), waiting for as long as it takes.
    pub async fn acquire(&self, wanted: &[(Bucket, u32)]) -> Paid {
        loop {
            match self.take(wanted) {
                Ok(paid) => return paid,
                Err(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    /// For a call that was not made after all.
    pub fn give_back(&self, paid: Paid) {
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        for (bucket, count) in paid.0 {
            let level = refilled(&mut levels, bucket, Instant::now());
            level.tokens = (level.tokens + f64::from(count)).min(published(bucket).0);
        }
    }

    /// How many of the one there are now, between nothing and all.
    pub fn there_are(&self, bucket: Bucket) -> u32 {
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        // Truncation is what is meant: a part of a token is none.
        refilled(&mut levels, bucket, Instant::now()).tokens.max(0.0) as u32
    }

    /// Whoever is in no hurry leaves the rest to those who are.
    pub fn are_half_full(&self, wanted: &[(Bucket, u32)]) -> bool {
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        wanted.iter().all(|(bucket, _)| refilled(&mut levels, *bucket, now).tokens * 2.0 >= published(*bucket).0)
    }

    /// Amazon refused a call for asking too fast. Which of its buckets was empty it does not say: the one we thought nearest to
    /// that.
    pub fn refused(&self, paid: &Paid) {
        let now = Instant::now();
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lasts = |bucket: Bucket| refilled(&mut levels, bucket, now).tokens / published(bucket).1;
        let left = paid.0.iter().map(|(bucket, _)| (lasts(*bucket), *bucket));
        let Some((_, emptiest)) = left.min_by(|one, other| one.0.total_cmp(&other.0)) else { return };
        let level = refilled(&mut levels, emptiest, now);
        level.tokens = level.tokens.min(0.0);
        level.pace = (level.pace * AFTER_REFUSAL).max(SLOWEST);
    }
}

fn refilled(levels: &mut BTreeMap<Bucket, Level>, bucket: Bucket, now: Instant) -> &mut Level {
    let (most, rate) = published(bucket);
    let level = levels.entry(bucket).or_insert(Level { tokens: most, pace: 1.0, at: now });
    let passed = now.saturating_duration_since(level.at).as_secs_f64();
    level.tokens = (level.tokens + passed * rate * level.pace).min(most);
    level.pace = (level.pace + passed * RECOVERY).min(1.0);
    level.at = level.at.max(now);
    level
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_and_the_rest_at_the_published_rate() {
        let buckets = Buckets::default();
        let began = Instant::now();
        for _ in 0..5 {
            buckets.acquire(&[(Bucket::Call("RunInstances"), 1), (Bucket::Servers("RunInstances"), 10)]).await;
        }
        assert!(began.elapsed() < Duration::from_millis(1));
        for _ in 0..10 {
            buckets.acquire(&[(Bucket::Call("RunInstances"), 1), (Bucket::Servers("RunInstances"), 10)]).await;
        }
        let took = began.elapsed().as_secs_f64();
        assert!((5.4..5.7).contains(&took), "ten more at two each second, once it refills, took {took} s");
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_had_as_a_whole_takes_nothing() {
        let buckets = Buckets::default();
        assert!(buckets.take(&[(Bucket::Servers("RunInstances"), 1000)]).is_ok());
        let wait =
            buckets.take(&[(Bucket::Call("RunInstances"), 1), (Bucket::Servers("RunInstances"), 10)]).unwrap_err();
        assert!(wait >= Duration::from_secs(4), "{wait:?}");
        assert_eq!(buckets.there_are(Bucket::Call("RunInstances")), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_put_down_to_the_bucket_that_is_nearly_empty() {
        let buckets = Buckets::default();
        let (calls, servers) = (Bucket::Call("RunInstances"), Bucket::Servers("RunInstances"));
        let taken: Vec<_> = (0..5).filter_map(|_| buckets.take(&[(calls, 1), (servers, 10)]).ok()).collect();
        buckets.refused(&taken[4]);
        assert_eq!((buckets.there_are(calls), buckets.there_are(servers)), (0, 950));
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(buckets.take(&[(calls, 1), (servers, 950)]).is_ok(), "the other one is as fast as before");
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_slow_a_bucket_down_and_it_recovers() {
        let buckets = Buckets::default();
        let wanted = [(Bucket::Call("CreateTags"), 10)];
        for _ in 0..3 {
            buckets.refused(&Paid(wanted.to_vec()));
        }
        let slow = buckets.take(&wanted).unwrap_err();
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert!(buckets.take(&[(Bucket::Call("CreateTags"), 100)]).is_ok());
        let quick = buckets.take(&wanted).unwrap_err();
        assert!(slow > quick * 2, "{slow:?} then {quick:?}");
    }
}
