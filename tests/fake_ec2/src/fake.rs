//! The cloud with a clock and a network around it.
//!
//! The clock is tokio's: on a paused runtime it is the test's, and hours pass in no time. Nothing runs in the background, so
//! nothing keeps such a clock from advancing by itself.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::bodies::Bodies;
use crate::buckets::is_describe;
use crate::cloud::{Answer, Census, Cloud, Counts, Pool, Touch, Truth, Unknown};
use crate::faults::{Fault, Faults};
use crate::iam::NoPolicy;
use crate::query::Request;
use crate::rules::{Lag, Rules};

/// The connection was closed before an answer came. Whether the request happened nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection was closed before an answer came")]
pub struct Lost;

/// Cheap to clone; all clones are the same Amazon.
#[derive(Clone)]
pub struct Fake {
    inner: Arc<Inner>,
}

struct Inner {
    cloud: Mutex<Cloud>,
    begun: Instant,
    start_ms: i64,
    /// How many times as fast as tokio's clock this one goes.
    speed: f64,
    ahead_ms: AtomicI64,
    /// Calls, and those that faults are for.
    number: AtomicU64,
    bodies: Option<Arc<Bodies>>,
    faulty: AtomicU64,
}

impl Fake {
    pub fn new(rules: Rules) -> Self {
        Self::with_speed(rules, 1.0)
    }

    pub fn with_speed(rules: Rules, speed: f64) -> Self {
        Self::with_bodies(rules, speed, None)
    }

    /// With instances that really run.
    pub fn with_bodies(rules: Rules, speed: f64, bodies: Option<Bodies>) -> Self {
        let start_ms = rules.start_ms;
        let inner = Inner {
            cloud: Mutex::new(Cloud::new(rules)),
            begun: Instant::now(),
            start_ms,
            speed: if speed > 0.0 { speed } else { 1.0 },
            ahead_ms: AtomicI64::new(0),
            number: AtomicU64::new(0),
            bodies: bodies.map(Arc::new),
            faulty: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Unix milliseconds on this Amazon's clock.
    pub fn now_ms(&self) -> i64 {
        let passed = self.inner.begun.elapsed().as_secs_f64() * 1000.0 * self.inner.speed;
        self.inner.start_ms + passed as i64 + self.inner.ahead_ms.load(Ordering::SeqCst)
    }

    /// Moves the clock on. Not for tests on a paused clock: they advance tokio's.
    pub fn advance(&self, ms: i64) {
        self.inner.ahead_ms.fetch_add(ms.max(0), Ordering::SeqCst);
    }

    /// Answers one HTTP request, as long as it takes and with whatever goes wrong on the way. A future that is dropped is a
    /// client that hung up: what had happened until then has happened.
    ///
    /// # Errors
    /// [`Lost`] when the client is left without an answer.
    pub async fn answer(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, Lost> {
        let (head, body) = request.into_parts();
        let request = Request::read(&head.headers, head.uri.query(), &body);
        let (latency_ms, fault) = self.fate(&request);
        self.sleep(latency_ms / 2).await;
        let act = |request: &Request| {
            let now_ms = self.now_ms();
            self.cloud().answer(now_ms, request)
        };
        let follows = !is_describe(request.action());
        let answer = match fault {
            None => act(&request),
            Some(Fault::Refused) => self.cloud().trouble(false),
            Some(Fault::Unavailable) => self.cloud().trouble(true),
            Some(Fault::RequestLost) => return Err(Lost),
            Some(Fault::ReplyLost) => {
                act(&request);
                self.follow().await;
                self.sleep(latency_ms / 2).await;
                return Err(Lost);
            }
            Some(Fault::HappenedYetRefused) => {
                act(&request);
                self.cloud().trouble(false)
            }
            Some(Fault::Twice(after_ms)) => {
                let answer = act(&request);
                let at_ms = self.now_ms() + after_ms;
                self.cloud().deliver_again(at_ms, request);
                answer
            }
            Some(Fault::Delayed(by_ms)) => {
                let answer = act(&request);
                self.sleep(by_ms).await;
                answer
            }
        };
        if follows {
            self.follow().await;
        }
        self.sleep(latency_ms / 2).await;
        Ok(reply(answer))
    }

    /// Brings bodies to what is true now, where there are any.
    pub async fn follow(&self) {
        let Some(bodies) = self.inner.bodies.clone() else { return };
        let fake = self.clone();
        // What is true is asked where it is acted on: two that follow at a time come one after the other.
        let followed = tokio::task::spawn_blocking(move || bodies.follow(|| fake.truth())).await;
        if let Err(error) = followed {
            eprintln!("fake-ec2: bodies could not follow: {error}");
        }
    }

    /// Milliseconds a call takes, and what goes wrong with it.
    fn fate(&self, request: &Request) -> (i64, Option<Fault>) {
        let number = self.inner.number.fetch_add(1, Ordering::SeqCst) + 1;
        let cloud = self.cloud();
        let rules = cloud.rules();
        let latency_ms = rules.latency.of(rules.seed, &format!("latency {number}"));
        if !rules.faults.concerns(request.action()) {
            return (latency_ms, None);
        }
        let faulty = self.inner.faulty.fetch_add(1, Ordering::SeqCst) + 1;
        (latency_ms, rules.faults.of(rules.seed, faulty))
    }

    async fn sleep(&self, ms: i64) {
        if let Some(ms) = u64::try_from(ms).ok().filter(|ms| *ms > 0) {
            tokio::time::sleep(Duration::from_secs_f64(ms as f64 / 1000.0 / self.inner.speed)).await;
        }
    }

    /// A panic while it was held left a whole model behind: every change is made after all checks.
    fn cloud(&self) -> MutexGuard<'_, Cloud> {
        self.inner.cloud.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything there is, as it really is.
    pub fn truth(&self) -> Truth {
        let now_ms = self.now_ms();
        self.cloud().truth(now_ms)
    }

    pub fn census(&self) -> Census {
        let now_ms = self.now_ms();
        self.cloud().census(now_ms)
    }

    pub fn counts(&self) -> Counts {
        self.cloud().counts()
    }

    /// Every resource a mutating call named, in the order of the calls.
    pub fn touches(&self) -> Vec<Touch> {
        self.cloud().touches()
    }

    pub fn touches_of(&self, id: &str) -> Vec<Touch> {
        self.cloud().touches_of(id)
    }

    /// Plants resources of others into all accounts; returns their ids. `keys`: tag keys that many of them have, too, with
    /// values that are not ours.
    pub fn plant_foreign(&self, count: usize, seed: u64, keys: &[&str]) -> Vec<String> {
        let now_ms = self.now_ms();
        self.cloud().plant_foreign(now_ms, count, seed, keys)
    }

    /// From now on; calls are counted from 1 again.
    pub fn set_faults(&self, faults: Faults) {
        self.inner.faulty.store(0, Ordering::SeqCst);
        self.cloud().set_faults(faults);
    }

    /// How many more on-demand instances of a type there are in a zone; `None`: as many as one likes.
    pub fn set_capacity(&self, instance_type: &str, zone: &str, free: Option<u32>) {
        let pool = Pool { instance_type: instance_type.to_owned(), zone: zone.to_owned(), spot: false };
        self.cloud().set_capacity(pool, free);
    }

    /// The same of spot instances.
    pub fn set_spot_capacity(&self, instance_type: &str, zone: &str, free: Option<u32>) {
        let pool = Pool { instance_type: instance_type.to_owned(), zone: zone.to_owned(), spot: true };
        self.cloud().set_capacity(pool, free);
    }

    /// Somebody has this instance protected from being ended, or not any more.
    pub fn set_protected(&self, instance: &str, protected: bool) {
        let now = self.now_ms();
        self.cloud().set_protected(now, instance, protected);
    }

    pub fn set_denied<'a>(&self, actions: impl IntoIterator<Item = &'a str>) {
        let actions: BTreeSet<String> = actions.into_iter().map(str::to_owned).collect();
        self.cloud().set_denied(actions);
    }

    /// What this access key, or the role of this ARN, may do, by a policy in JSON; `None`: everything.
    ///
    /// # Errors
    /// When the policy is not understood.
    pub fn set_policy(&self, principal: &str, policy: Option<&str>) -> Result<(), NoPolicy> {
        self.cloud().set_policy(principal, policy)
    }

    /// The most that anybody may do, whatever their own policies say: a service control policy in JSON; `None`: everything.
    ///
    /// # Errors
    /// When the policy is not understood.
    pub fn set_organization(&self, policy: Option<&str>) -> Result<(), NoPolicy> {
        self.cloud().set_organization(policy)
    }

    pub fn set_vcpu_limit(&self, limit: Option<u32>) {
        self.cloud().set_vcpu_limit(limit);
    }

    /// What Service Quotas tells of one of the limits that no launch meets, by its code.
    pub fn set_quota(&self, code: &str, limit: u32) {
        self.cloud().set_quota(code, limit);
    }

    /// Instance profiles that there are not; any other there is.
    pub fn set_unknown_profiles<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        self.cloud().set_unknown_profiles(names.into_iter().map(str::to_owned).collect());
    }

    /// One more subnet in a zone of an account that has called already, in its VPC or in one of its own; its id.
    pub fn add_subnet(&self, account: &str, zone: &str, of_another_vpc: bool) -> Option<String> {
        self.cloud().add_subnet(account, zone, of_another_vpc)
    }

    /// Never further back than the rules said at the beginning.
    pub fn set_lag(&self, lag: Lag) {
        self.cloud().set_lag(lag);
    }

    /// Volumes that do not let go of their instance unless forced.
    pub fn set_stuck(&self, volumes: impl IntoIterator<Item = String>) {
        self.cloud().set_stuck(volumes);
    }

    /// These are left out of all describes, as if they were not there.
    pub fn set_hidden(&self, ids: impl IntoIterator<Item = String>) {
        self.cloud().set_hidden(ids);
    }

    /// Amazon takes a spot instance back, after so long.
    ///
    /// # Errors
    /// When there is no such running spot instance.
    pub fn interrupt(&self, id: &str, notice: Duration) -> Result<(), Unknown> {
        let now_ms = self.now_ms();
        self.cloud().interrupt(now_ms, id, i64::try_from(notice.as_millis()).unwrap_or(i64::MAX))
    }

    /// A snapshot that is not complete yet never will be.
    ///
    /// # Errors
    /// When there is no such pending snapshot.
    pub fn fail_snapshot(&self, id: &str) -> Result<(), Unknown> {
        let now_ms = self.now_ms();
        self.cloud().fail_snapshot(now_ms, id)
    }

    /// An instance ends by itself.
    ///
    /// # Errors
    /// When there is no such instance.
    pub fn lose_instance(&self, id: &str) -> Result<(), Unknown> {
        let now_ms = self.now_ms();
        self.cloud().lose_instance(now_ms, id)
    }
}

fn reply(answer: Answer) -> http::Response<Bytes> {
    let mut response = http::Response::new(Bytes::from(answer.body));
    *response.status_mut() =
        http::StatusCode::from_u16(answer.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let kind = http::HeaderValue::from_static(answer.kind);
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}
