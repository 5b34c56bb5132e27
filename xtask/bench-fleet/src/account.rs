//! One account on the fake, and the provisioner as a portal opens it, with a ledger that is as good as a database and takes
//! no time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region};
use ec2::amazon::Amazon;
use ec2::{Ec2, Parts};
use fake_ec2::{Fake, Wire};
use provisioners::{Architecture, EnvironmentId, Ledger, LedgerError, Page, PageChange, Secret};

/// The key of the fake's first account.
pub const ACCESS_KEY: &str = "AKIAFAKEOURS";

pub const REGION: &str = "eu-central-1";

const CONFIG: &str = r#"
    [ec2.frankfurt]
    region = "eu-central-1"
    images.host = { owner = "amazon", name = "al2023-ami-2023.*-x86_64" }
    sizes = [{ types = ["t3.small"] }]
    portal_networks = ["10.0.0.0/24"]
"#;

/// # Errors
/// When the fake does not offer what the provisioner needs.
pub async fn open(fake: &Fake) -> Result<Ec2, String> {
    let mut configs = ec2::config::read(CONFIG).map_err(|error| error.to_string())?;
    let config = configs.remove("frankfurt").ok_or("The bench's configuration lacks its table.")?;
    let clock = fake.clone();
    let parts = Parts {
        name: "frankfurt".to_owned(),
        amazon: Amazon::new(client(fake), None),
        ledger: Arc::new(Pages::default()),
        installation: "0192-bench".to_owned(),
        portal: config.portal(
            "https://bookend.example.com".to_owned(),
            [(Architecture::X86, "ab".repeat(32))].into(),
            None,
        ),
        config,
        enrolments: Arc::new(|server, generation| Secret::new(format!("enrol {server} {generation}"))),
        now: Arc::new(move || clock.now_ms()),
    };
    Ec2::open(parts).await.map_err(|error| error.to_string())
}

/// Amazon's own client.
pub fn client(fake: &Fake) -> Client {
    let config = aws_sdk_ec2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(ACCESS_KEY, "secret", None, None, "bench"))
        .http_client(Wire(fake.clone()))
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .build();
    Client::from_conf(config)
}

/// By key: version and body.
type Own = BTreeMap<String, (i64, String)>;

#[derive(Default)]
struct Pages(Mutex<BTreeMap<EnvironmentId, Own>>);

#[async_trait]
impl Ledger for Pages {
    async fn read(&self, environments: &[EnvironmentId]) -> Result<Vec<Page>, LedgerError> {
        let pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |environment: &EnvironmentId| {
            let own = pages.get(environment).into_iter().flatten();
            let page = |(key, (version, body)): (&String, &(i64, String))| Page {
                environment: environment.clone(),
                key: key.clone(),
                version: *version,
                body: body.clone(),
            };
            own.map(page).collect::<Vec<_>>()
        };
        Ok(environments.iter().flat_map(of).collect())
    }

    async fn read_others(&self, _: &[EnvironmentId]) -> Result<Vec<Vec<Page>>, LedgerError> {
        Ok(Vec::new())
    }

    async fn environments(&self) -> Result<Vec<EnvironmentId>, LedgerError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect())
    }

    async fn write(&self, changes: &[PageChange]) -> Result<bool, LedgerError> {
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let version = |change: &PageChange| {
            let page = pages.get(&change.environment).and_then(|own| own.get(&change.key));
            page.map_or(0, |(version, _)| *version)
        };
        if changes.iter().any(|change| version(change) != change.from) {
            return Ok(false);
        }
        for change in changes {
            let own = pages.entry(change.environment.clone()).or_default();
            match &change.body {
                Some(body) => drop(own.insert(change.key.clone(), (change.from + 1, body.clone()))),
                None => drop(own.remove(&change.key)),
            }
        }
        pages.retain(|_, own| !own.is_empty());
        Ok(true)
    }
}
