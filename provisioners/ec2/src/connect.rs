//! A client for one account and region, with the credentials an operator named.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::Credentials;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, tls};

use super::amazon::Amazon;
use super::config::Config;
use super::profile::OfProfile;
use super::queue::Queue;
use super::quotas::Quotas;

/// For one call, answer included; after that nobody knows whether it happened.
const PATIENCE: Duration = Duration::from_secs(30);
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// What a session at Amazon is called in its logs.
const SESSION: &str = "bookend";

/// Connections that know of each other: those of one account and region have Amazon's buckets in common.
#[derive(Default)]
pub struct Connections(BTreeMap<Whose, Arc<Queue>>);

/// What decides on account and region. Two roles or profiles may be of one account all the same; then each counts for itself, and
/// learns from Amazon's refusals that there is less than it thought.
type Whose = (String, Option<String>, Option<String>, Option<String>);

impl Connections {
    /// As [`connect`].
    pub async fn connect(&mut self, config: &Config) -> Amazon {
        let role = config.assume_role.as_ref().map(|role| role.arn.clone());
        let whose = (config.region.clone(), config.endpoint.clone(), config.profile.clone(), role);
        let snapshots = self.0.entry(whose).or_default().clone();
        connect(config).await.sharing(snapshots)
    }
}

/// Nothing is asked yet.
pub async fn connect(config: &Config) -> Amazon {
    connect_as(config, None).await
}

/// As [`connect`], with these credentials in the place of the usual chain's.
pub async fn connect_as(config: &Config, credentials: Option<Credentials>) -> Amazon {
    let found = load(config, credentials).await;
    let mut own = aws_sdk_ec2::config::Builder::from(&found);
    if let Some(endpoint) = &config.endpoint {
        own = own.endpoint_url(endpoint);
    }
    Amazon::new(Client::from_conf(own.build()), found.credentials_provider())
}

/// To ask what the account may have at most.
pub async fn connect_quotas(config: &Config) -> Quotas {
    connect_quotas_as(config, None).await
}

/// As [`connect_quotas`], with these credentials in the place of the usual chain's.
pub async fn connect_quotas_as(config: &Config, credentials: Option<Credentials>) -> Quotas {
    let mut own = aws_sdk_servicequotas::config::Builder::from(&load(config, credentials).await);
    if let Some(endpoint) = &config.endpoints.service_quotas {
        own = own.endpoint_url(endpoint);
    }
    Quotas::new(aws_sdk_servicequotas::Client::from_conf(own.build()))
}

/// Whose region, credentials and patience; each service has an endpoint of its own.
async fn load(config: &Config, credentials: Option<Credentials>) -> SdkConfig {
    let http = Builder::new().tls_provider(tls::Provider::Rustls(CryptoMode::Ring)).build_https();
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_PATIENCE).operation_timeout(PATIENCE).build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(config.region.clone()))
        .http_client(http.clone())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts);
    if let Some(profile) = &config.profile {
        loader = loader.profile_name(profile).credentials_provider(OfProfile::new(profile, &config.region, http));
    }
    if let Some(credentials) = credentials {
        loader = loader.credentials_provider(credentials);
    }
    let base = loader.load().await;
    match &config.assume_role {
        None => base,
        Some(role) => {
            let mut asks = base.clone().into_builder();
            asks.set_endpoint_url(config.endpoints.sts.clone().or(base.endpoint_url().map(str::to_owned)));
            let mut assume = AssumeRoleProvider::builder(&role.arn).session_name(SESSION).configure(&asks.build());
            if let Some(external_id) = &role.external_id {
                assume = assume.external_id(external_id);
            }
            let provider = aws_sdk_ec2::config::SharedCredentialsProvider::new(assume.build().await);
            base.into_builder().credentials_provider(provider).build()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tables_of_one_account_and_region_wait_for_the_same_tokens() {
        let config = |region: &str| {
            let text = format!(
                "[ec2.one]\nregion = \"{region}\"\nimages.host = {{ owner = \"amazon\", name = \"a\" }}\n\
                 sizes = [{{ types = [\"t3.small\"] }}]\n"
            );
            crate::config::read(&text).unwrap().remove("one").unwrap()
        };
        let mut connections = Connections::default();
        let mut buckets = async |config: &Config| connections.connect(config).await.buckets;
        let small = buckets(&config("eu-central-1")).await;
        let gpu = Config { sizes: Vec::new(), ..config("eu-central-1") };
        assert!(Arc::ptr_eq(&small, &buckets(&gpu).await));
        assert!(!Arc::ptr_eq(&small, &buckets(&config("eu-west-1")).await), "another region");
        let another = Config { profile: Some("another".to_owned()), ..config("eu-central-1") };
        assert!(!Arc::ptr_eq(&small, &buckets(&another).await), "another account");
    }
}
