//! An Amazon without a network: the provisioner's client speaks to the fake by function calls, so that on a paused clock hours
//! pass in no time and a seed repeats everything. On the way a portal can be killed or a connection cut, at any moment.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use ec2::amazon::Amazon;
use ec2::config::{Config, SnapshotPolicy};
use ec2::quotas::Quotas;
use ec2::{Ec2, Now, Parts, PlaceError};
use fake_ec2::{Fake, carry};
use provisioners::{Architecture, EnvironmentId, Ledger, LedgerError, Page, PageChange, Secret};
use tokio::sync::Notify;

/// Of the fake's first account.
pub const ACCESS_KEY: &str = "AKIAFAKEOURS";
/// SHA-256 of the agents that a portal has.
pub const AGENTS: [(Architecture, &str); 2] = [
    (Architecture::X86, "abababababababababababababababababababababababababababababababab"),
    (Architecture::Arm64, "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"),
];
/// What everything of ours carries.
pub const INSTALLATION: &str = "0192-this-installation";

/// An account on the fake with the ledger of one portal after the other.
#[derive(Clone)]
pub struct Account {
    pub fake: Fake,
    pub ledger: Arc<Pages>,
    pub moments: Arc<Moments>,
    /// What everything of its portals carries.
    pub installation: String,
    pub region: String,
    /// The last call of each action that changes something.
    pub calls: Arc<Mutex<BTreeMap<String, Form>>>,
}

/// What may happen to a portal at each call and each write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The portal is no more. Each call and write has one moment right before it and one after it has happened, before
    /// anybody hears of it.
    Kill,
    /// The call or write breaks off there, and the portal lives on.
    Break,
    /// What is under way meets a bug of ours, and the portal lives on.
    Panic,
}

/// Counts the moments; trouble strikes at one of them.
#[derive(Default)]
pub struct Moments {
    passed: AtomicU64,
    armed: Mutex<Option<(u64, Trouble)>>,
    struck: AtomicBool,
    killed: Notify,
}

impl Moments {
    pub fn arm(&self, trouble: Trouble, at: u64) {
        self.passed.store(0, Ordering::SeqCst);
        self.struck.store(false, Ordering::SeqCst);
        *self.armed.lock().expect("a lock") = Some((at, trouble));
    }

    pub fn disarm(&self) {
        *self.armed.lock().expect("a lock") = None;
    }

    /// Whether trouble was met.
    pub fn struck(&self) -> bool {
        self.struck.load(Ordering::SeqCst)
    }

    /// Completes when the portal is killed.
    pub async fn killed(&self) {
        self.killed.notified().await;
    }

    /// `true`: what is under way breaks off. Does not return when the portal is killed here.
    async fn pass(&self) -> bool {
        let now = self.passed.fetch_add(1, Ordering::SeqCst);
        let armed = *self.armed.lock().expect("a lock");
        match armed {
            Some((at, trouble)) if at == now => {
                self.struck.store(true, Ordering::SeqCst);
                match trouble {
                    Trouble::Kill => {
                        self.killed.notify_one();
                        std::future::pending().await
                    }
                    Trouble::Break => true,
                    Trouble::Panic => panic!("a bug of ours"),
                }
            }
            // A dead portal does nothing more.
            Some((at, Trouble::Kill)) if now > at => std::future::pending().await,
            _ => false,
        }
    }
}

/// One provisioner's pages in a database in memory, which outlives portals.
#[derive(Default)]
pub struct Pages {
    provisioner: String,
    database: Arc<Mutex<BTreeMap<String, Own>>>,
    moments: Arc<Moments>,
}

/// By environment and key: version and body.
type Own = BTreeMap<(EnvironmentId, String), (i64, String)>;

fn pages_of(own: &Own, environments: &[EnvironmentId]) -> Vec<Page> {
    let of = |environment: &EnvironmentId| {
        let from = (environment.clone(), String::new());
        let pages = own.range(from..).take_while(|((of, _), _)| of == environment);
        let page = |((environment, key), (version, body)): (&(EnvironmentId, String), &(i64, String))| Page {
            environment: environment.clone(),
            key: key.clone(),
            version: *version,
            body: body.clone(),
        };
        pages.map(page).collect::<Vec<_>>()
    };
    environments.iter().flat_map(of).collect()
}

#[async_trait]
impl Ledger for Pages {
    async fn read(&self, environments: &[EnvironmentId]) -> Result<Vec<Page>, LedgerError> {
        let database = self.database.lock().expect("a lock");
        Ok(database.get(&self.provisioner).map(|own| pages_of(own, environments)).unwrap_or_default())
    }

    async fn read_others(&self, environments: &[EnvironmentId]) -> Result<Vec<Vec<Page>>, LedgerError> {
        let database = self.database.lock().expect("a lock");
        let others = database.iter().filter(|(name, _)| **name != self.provisioner);
        Ok(others.map(|(_, own)| pages_of(own, environments)).collect())
    }

    async fn environments(&self) -> Result<Vec<EnvironmentId>, LedgerError> {
        let database = self.database.lock().expect("a lock");
        let own = database.get(&self.provisioner).into_iter().flatten();
        let mut all: Vec<EnvironmentId> = own.map(|((of, _), _)| of.clone()).collect();
        all.dedup();
        Ok(all)
    }

    async fn write(&self, changes: &[PageChange]) -> Result<bool, LedgerError> {
        if self.moments.pass().await {
            return Err(LedgerError("the database went away before it".to_owned()));
        }
        let written = self.apply(changes);
        match self.moments.pass().await {
            true => Err(LedgerError("the database went away after it".to_owned())),
            false => Ok(written),
        }
    }
}

impl Pages {
    /// Each write has two of these moments.
    pub fn with(moments: Arc<Moments>) -> Self {
        Self { moments, ..Self::default() }
    }

    /// Those of another provisioner in the same database.
    pub fn of(&self, provisioner: &str) -> Self {
        let provisioner = provisioner.to_owned();
        Self { provisioner, database: self.database.clone(), moments: self.moments.clone() }
    }

    fn apply(&self, changes: &[PageChange]) -> bool {
        let mut database = self.database.lock().expect("a lock");
        let pages = database.entry(self.provisioner.clone()).or_default();
        let mut new = pages.clone();
        for change in changes {
            let at = (change.environment.clone(), change.key.clone());
            if new.get(&at).map_or(0, |(version, _)| *version) != change.from {
                return false;
            }
            match &change.body {
                Some(body) => drop(new.insert(at, (change.from + 1, body.clone()))),
                None => drop(new.remove(&at)),
            }
        }
        *pages = new;
        true
    }
}

impl Account {
    pub fn new(fake: Fake) -> Self {
        Self::of(fake, INSTALLATION)
    }

    /// Of an installation, beside which there may be others.
    pub fn of(fake: Fake, installation: &str) -> Self {
        let moments: Arc<Moments> = Arc::default();
        let ledger = Arc::new(Pages::with(moments.clone()));
        let (installation, region) = (installation.to_owned(), "eu-central-1".to_owned());
        Self { fake, ledger, moments, installation, region, calls: Arc::default() }
    }

    /// As another provisioner has it, of this name: with pages of its own in the same database.
    pub fn of_another(&self, provisioner: &str) -> Self {
        Self { ledger: Arc::new(self.ledger.of(provisioner)), ..self.clone() }
    }

    /// The same account in another region.
    pub fn in_region(&self, region: &str) -> Self {
        Self { region: region.to_owned(), ..self.of_another(region) }
    }

    /// A portal that starts now opens the provisioner.
    pub async fn open(&self) -> Ec2 {
        self.try_open().await.expect("a region that can be used")
    }

    /// # Errors
    /// When Amazon did not answer what it was asked first.
    pub async fn try_open(&self) -> Result<Ec2, PlaceError> {
        self.open_with(Config { region: self.region.clone(), ..config() }).await
    }

    pub async fn open_with(&self, config: Config) -> Result<Ec2, PlaceError> {
        let fake = self.fake.clone();
        let now = Arc::new(move || fake.now_ms());
        open(config, self.amazon(), self.ledger.clone(), &self.installation, now).await
    }

    /// A portal that has no others.
    pub async fn open_with_agents(&self, config: Config, agents: &[(Architecture, &str)]) -> Result<Ec2, PlaceError> {
        let fake = self.fake.clone();
        let now = Arc::new(move || fake.now_ms());
        let amazon = self.amazon();
        open_as(config, amazon, self.ledger.clone(), &self.installation, now, agents, "enrol").await
    }

    /// One of another age, which has servers begin with another script.
    pub async fn open_newer(&self) -> Result<Ec2, PlaceError> {
        let fake = self.fake.clone();
        let now = Arc::new(move || fake.now_ms());
        let (config, amazon) = (Config { region: self.region.clone(), ..config() }, self.amazon());
        open_as(config, amazon, self.ledger.clone(), &self.installation, now, &AGENTS, "newer").await
    }

    /// Until servers of this environment could be launched into its network.
    pub async fn until_network(&self, environment: &EnvironmentId) {
        let is_made = |page: &Page| {
            let body: serde_json::Value = serde_json::from_str(&page.body).expect("a page");
            page.key == "network" && body["group"].is_string()
        };
        while !self.ledger.read(std::slice::from_ref(environment)).await.expect("a ledger").iter().any(is_made) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The client as the provisioner has it, but for the network.
    pub fn amazon(&self) -> Amazon {
        let credentials = SharedCredentialsProvider::new(Credentials::new(ACCESS_KEY, "secret", None, None, "test"));
        let config = aws_sdk_ec2::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .credentials_provider(credentials.clone())
            .http_client(self.wire())
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .build();
        Amazon::new(aws_sdk_ec2::Client::from_conf(config), Some(credentials))
    }

    fn wire(&self) -> Wire {
        Wire { fake: self.fake.clone(), moments: self.moments.clone(), calls: self.calls.clone() }
    }

    /// What the last call of an action that changes something said.
    pub fn last(&self, action: &str) -> Form {
        self.calls.lock().expect("a lock").get(action).cloned().unwrap_or_default()
    }

    pub fn quotas(&self) -> Quotas {
        let config = aws_sdk_servicequotas::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new(ACCESS_KEY, "secret", None, None, "test"))
            .http_client(self.wire())
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .build();
        Quotas::new(aws_sdk_servicequotas::Client::from_conf(config))
    }
}

/// A portal's provisioner, whatever its client speaks to.
///
/// # Errors
/// When Amazon did not answer what it was asked first.
pub async fn open(
    config: Config,
    amazon: Amazon,
    ledger: Arc<Pages>,
    installation: &str,
    now: Now,
) -> Result<Ec2, PlaceError> {
    open_as(config, amazon, ledger, installation, now, &AGENTS, "enrol").await
}

/// `word`: what its tokens begin with, which are in the script that servers begin with.
async fn open_as(
    config: Config,
    amazon: Amazon,
    ledger: Arc<Pages>,
    installation: &str,
    now: Now,
    agents: &[(Architecture, &str)],
    word: &'static str,
) -> Result<Ec2, PlaceError> {
    let agents = agents.iter().map(|(architecture, sha256)| (*architecture, (*sha256).to_owned())).collect();
    let portal = config.portal("https://bookend.example.com".to_owned(), agents, None);
    let parts = Parts {
        name: "frankfurt".to_owned(),
        config,
        amazon,
        ledger,
        installation: installation.to_owned(),
        portal,
        enrolments: Arc::new(move |server, generation| Secret::new(format!("{word} {server} {generation}"))),
        now,
    };
    Ec2::open(parts).await
}

/// One size, in three zones.
pub fn config() -> Config {
    let text = r#"
        [ec2.frankfurt]
        region = "eu-central-1"
        images.host = { owner = "amazon", name = "al2023-ami-2023.*-x86_64" }
        sizes = [{ types = ["t3.small", "t3a.small"] }, { types = ["m6i.large"] }]
        portal_networks = ["10.0.0.0/24"]
        tags.team = "stories"
    "#;
    ec2::config::read(text).expect("a good file").remove("frankfurt").expect("its table")
}

/// The same, whose operator lets people keep snapshots warm.
pub fn keeps_warm() -> Config {
    let snapshots = SnapshotPolicy { fast_restore: true, ..SnapshotPolicy::default() };
    Config { snapshots: Some(snapshots), ..config() }
}

/// What a call says, by the names of Amazon's protocol.
pub type Form = BTreeMap<String, String>;

#[derive(Clone)]
struct Wire {
    fake: Fake,
    moments: Arc<Moments>,
    calls: Arc<Mutex<BTreeMap<String, Form>>>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl HttpClient for Wire {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Wire { fake, moments, calls } = self.clone();
        HttpConnectorFuture::new(async move {
            let cut = |when: &str| ConnectorError::io(format!("the connection was cut {when}").into());
            let looks = request.body().bytes().is_some_and(|body| body.starts_with(b"Action=Describe"));
            if let Some(body) = request.body().bytes().filter(|_| !looks) {
                let form: Form = url::form_urlencoded::parse(body).into_owned().collect();
                let action = form.get("Action").cloned().unwrap_or_default();
                calls.lock().expect("a lock").insert(action, form);
            }
            // A look that breaks off is as good as none; only what changes something has moments.
            if !looks && moments.pass().await {
                return Err(cut("on the way there"));
            }
            let answer = carry(&fake, request).await;
            if !looks && moments.pass().await {
                return Err(cut("on the way back"));
            }
            answer
        })
    }
}
