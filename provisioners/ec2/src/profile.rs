//! Credentials of a profile that an operator names, and of nothing else: the usual chain would take those of the environment first,
//! and two tables with two profiles would be of one account.

use aws_config::Region;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result, future};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

/// See the module. Its files are read anew each time: who rotates keys need not start the portal again.
#[derive(Debug)]
pub(super) struct OfProfile {
    name: String,
    region: Region,
    http: SharedHttpClient,
}

impl OfProfile {
    pub(super) fn new(name: &str, region: &str, http: SharedHttpClient) -> Self {
        Self { name: name.to_owned(), region: Region::new(region.to_owned()), http }
    }

    async fn credentials(&self) -> Result {
        let around = ProviderConfig::default().with_region(Some(self.region.clone()));
        let around = around.with_http_client(self.http.clone());
        let found = ProfileFileCredentialsProvider::builder().configure(&around).profile_name(&self.name).build();
        found.provide_credentials().await.map_err(|error| match error {
            CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => self.wrong(&error),
            error => error,
        })
    }

    fn wrong(&self, error: &CredentialsError) -> CredentialsError {
        let why =
            std::error::Error::source(error).map_or_else(|| "it has no credentials".to_owned(), ToString::to_string);
        let name = &self.name;
        CredentialsError::invalid_configuration(format!(
            "`profile` is {name:?}, with which nothing can be asked: {why}. Write one with credentials that is in ~/.aws/config or \
             ~/.aws/credentials of who runs the portal, or where AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE say"
        ))
    }
}

impl ProvideCredentials for OfProfile {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}
