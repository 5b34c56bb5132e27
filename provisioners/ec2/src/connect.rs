//! A client for one account and region, with the credentials an operator named.

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
use super::quotas::Quotas;

/// For one call, answer included; after that nobody knows whether it happened.
const PATIENCE: Duration = Duration::from_secs(30);
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// What a session at Amazon is called in its logs.
const SESSION: &str = "bookend";

/// Nothing is asked yet.
pub async fn connect(config: &Config) -> Amazon {
    connect_as(config, None).await
}

/// As [`connect`], with these credentials in the place of the usual chain's.
pub async fn connect_as(config: &Config, credentials: Option<Credentials>) -> Amazon {
    let config = load(config, credentials).await;
    Amazon::new(Client::new(&config), config.credentials_provider())
}

/// To ask what the account may have at most.
pub async fn connect_quotas(config: &Config) -> Quotas {
    Quotas::new(aws_sdk_servicequotas::Client::new(&load(config, None).await))
}

async fn load(config: &Config, credentials: Option<Credentials>) -> SdkConfig {
    let http = Builder::new().tls_provider(tls::Provider::Rustls(CryptoMode::Ring)).build_https();
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_PATIENCE).operation_timeout(PATIENCE).build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(config.region.clone()))
        .http_client(http)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts);
    if let Some(credentials) = credentials {
        loader = loader.credentials_provider(credentials);
    }
    if let Some(profile) = &config.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(endpoint) = &config.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    let base = loader.load().await;
    match &config.assume_role {
        None => base,
        Some(role) => {
            let mut assume = AssumeRoleProvider::builder(&role.arn).session_name(SESSION).configure(&base);
            if let Some(external_id) = &role.external_id {
                assume = assume.external_id(external_id);
            }
            let provider = aws_sdk_ec2::config::SharedCredentialsProvider::new(assume.build().await);
            base.into_builder().credentials_provider(provider).build()
        }
    }
}
