//! Servers in as far as the portal meets them: whatever runs on the fake boots for a while, and then its agent calls. The link is
//! the agent's own, WebSocket, greeting and yamux; behind it nothing is set up, and each step takes as long as is said here.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use agent::api::{Config, Metrics, Phase, Report, Status};
use agent::link::{Identity, agent::stay_linked};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fake_ec2::{Fake, Spread, TrueInstance};
use futures::stream;
use tokio::sync::watch;

/// From where Amazon says that it runs to the agent's call, in milliseconds.
pub const BOOT: Spread = Spread(5_000, 10_000);
/// From configuration and volumes to the last check that passes.
pub const WORK: Duration = Duration::from_secs(1);
/// Between looks at what runs.
const GLANCE: Duration = Duration::from_millis(10);
/// As the agent's own.
const METRICS: Duration = Duration::from_secs(3);

/// The moments of one server's life.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    pub runs: Instant,
    pub calls: Instant,
    /// It knows what it is to be.
    pub configured: Instant,
    /// The last of its volumes is at it.
    pub attached: Instant,
    /// Its last word.
    pub healthy: Instant,
    /// The same on the calendar, in Unix milliseconds.
    pub healthy_ms: u64,
}

/// Lives that came as far as to be healthy, by the environment's name. Cheap to clone.
#[derive(Clone, Default)]
pub struct Lives(Arc<Mutex<BTreeMap<String, Life>>>);

impl Lives {
    pub fn of(&self, environment: &str) -> Option<Life> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(environment).copied()
    }

    fn add(&self, environment: &str, life: Life) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(environment.to_owned(), life);
    }
}

/// Plays the agents of all servers that come. Never ends.
pub async fn play_all(fake: Fake, lives: Lives) {
    let mut known = BTreeSet::new();
    loop {
        let truth = fake.truth();
        for instance in truth.instances.into_iter().filter(|one| one.state == "running") {
            if known.insert(instance.id.clone()) {
                tokio::spawn(play(fake.clone(), instance, Instant::now(), lives.clone()));
            }
        }
        tokio::time::sleep(GLANCE).await;
    }
}

async fn play(fake: Fake, instance: TrueInstance, runs: Instant, lives: Lives) {
    let Some(identity) = identity(&instance) else {
        eprintln!("{} does not say who it is", instance.id);
        return;
    };
    let disks: Vec<String> = identity.disks.iter().map(|disk| disk.volume.clone()).collect();
    let attached = tokio::spawn(until_attached(fake, instance.id.clone(), disks));
    let boot = u64::try_from(BOOT.of(1, &instance.id)).unwrap_or(0);
    tokio::time::sleep_until((runs + Duration::from_millis(boot)).into()).await;
    let calls = Instant::now();
    let (configured, mut configuration) = watch::channel(None);
    let status = watch::Sender::new(Status::default());
    let router = router(Arc::new(Served { configured, status: status.clone() }));
    let linked = watch::Sender::new(false);
    let key = format!("{:0>43}", instance.id);
    let served = stay_linked(identity, &key, router, &linked, || {});
    let work = async {
        let config = match configuration.wait_for(Option::is_some).await {
            Ok(config) => config.clone().unwrap_or_default(),
            Err(_) => return,
        };
        let configured = Instant::now();
        let say =
            |phase| status.send_replace(Status { config: Some(config.digest.clone()), phase, ..Status::default() });
        say(Phase::Mounting);
        let Ok(attached) = attached.await else { return };
        say(Phase::Checking);
        tokio::time::sleep(WORK).await;
        let (healthy, healthy_ms) = (Instant::now(), unix_ms());
        lives.add(&config.environment, Life { runs, calls, configured, attached, healthy, healthy_ms });
        say(Phase::Healthy);
        std::future::pending().await
    };
    tokio::select! {
        refusal = served => eprintln!("The portal refuses {}: {refusal}", instance.id),
        () = work => {}
    }
}

async fn until_attached(fake: Fake, instance: String, disks: Vec<String>) -> Instant {
    loop {
        let truth = fake.truth();
        let there = truth.instances.iter().find(|one| one.id == instance).map(|one| &one.volumes);
        if there.is_some_and(|there| disks.iter().all(|disk| there.contains(disk))) {
            return Instant::now();
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// As its user data has it, without running that.
fn identity(instance: &TrueInstance) -> Option<Identity> {
    let script = String::from_utf8(STANDARD.decode(instance.user_data.as_ref()?).ok()?).ok()?;
    let (_, quoted) = script.split_once(&format!("\n{}) identity='", instance.launch_index))?;
    let (json, _) = quoted.split_once("' ;;\n")?;
    serde_json::from_str(&json.replace(r"'\''", "'")).ok()
}

struct Served {
    configured: watch::Sender<Option<Config>>,
    status: watch::Sender<Status>,
}

fn router(served: Arc<Served>) -> Router {
    Router::new()
        .route("/v1/config", put(configure))
        .route("/v1/hosts", put(|| async { StatusCode::NO_CONTENT }))
        .route("/v1/reports", get(reports))
        .route("/v1/logs", get(|| async { Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()) }))
        .route("/v1/stop", post(|| async { StatusCode::NO_CONTENT }))
        .with_state(served)
}

async fn configure(State(served): State<Arc<Served>>, Json(config): Json<Config>) -> StatusCode {
    served.configured.send_replace(Some(config));
    StatusCode::NO_CONTENT
}

/// The status at once and whenever it changes, and now and then a sign of life.
async fn reports(State(served): State<Arc<Served>>) -> Body {
    let mut status = served.status.subscribe();
    status.mark_changed();
    Body::from_stream(stream::unfold(status, |mut status| async {
        let report = tokio::select! {
            changed = status.changed() => {
                changed.ok()?;
                Report::Status(status.borrow_and_update().clone())
            }
            () = tokio::time::sleep(METRICS) => Report::Metrics(Metrics::default()),
        };
        let mut line = serde_json::to_vec(&report).ok()?;
        line.push(b'\n');
        Some((Ok::<_, Infallible>(line), status))
    }))
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
