//! What a server should be, as its agent is told: the topology's entry with the order's parameters and secrets put in.

use std::collections::BTreeMap;

use agent::api::Config;
use provisioners::Secret;
use sha2::{Digest, Sha256};

use crate::domain::facts::Desired;
use crate::domain::template::finish;
use crate::domain::topology::OutputSpec;
use crate::keys::{InstallationKey, KeyError};
use crate::store::{ServerConfiguration, StoreError};

/// Why a server's configuration cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// `None` when the server should not be running anything.
pub(super) fn config(key: &InstallationKey, server: &ServerConfiguration) -> Result<Option<Config>, KeyError> {
    if server.desired != Desired::Running {
        return Ok(None);
    }
    let secrets = match &server.sealed_secrets {
        Some(sealed) => key.unseal(&server.environment, sealed)?,
        None => BTreeMap::new(),
    };
    let put_in = |text: &str| finish(text, |name| secrets.get(name).map(|secret| secret.reveal().to_owned()));
    let spec = &server.spec;
    let mut parameters = server.parameters.clone();
    parameters.extend(secrets.iter().map(|(name, secret)| (name.clone(), secret.reveal().to_owned())));
    let mut variables: BTreeMap<String, String> = parameters
        .iter()
        .map(|(name, value)| (format!("BOOKEND_PARAM_{}", name.to_uppercase()), value.clone()))
        .collect();
    variables.insert("BOOKEND_ENVIRONMENT".to_owned(), server.environment_name.clone());
    variables.insert("BOOKEND_SERVER".to_owned(), spec.name.clone());
    variables.insert("BOOKEND_ADDRESS".to_owned(), spec.address.to_string());
    variables.extend(spec.variables.iter().map(|(name, value)| (name.clone(), put_in(value))));
    let mut services = spec.services.clone();
    for service in &mut services {
        for value in service.variables.values_mut() {
            *value = put_in(value);
        }
    }
    let mut config = Config {
        digest: String::new(),
        server: spec.name.clone(),
        environment: server.environment_name.clone(),
        variables,
        masked: secrets.values().map(|secret| secret.reveal().to_owned()).filter(|value| !value.is_empty()).collect(),
        parameters,
        requires: spec.requires.clone(),
        volumes: spec.mounts.iter().map(|mount| mount.path.clone()).collect(),
        setup: spec.setup.clone(),
        startup: spec.startup.clone(),
        services,
        checks: spec.checks.clone(),
    };
    let text = serde_json::to_vec(&config).unwrap_or_default();
    config.digest = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Some(config))
}

/// The outputs of an environment with its secrets put in; what is sensitive among them is the caller's to hide.
pub fn outputs(outputs: &[OutputSpec], secrets: &BTreeMap<String, Secret>) -> Vec<OutputSpec> {
    let put_in = |text: &str| finish(text, |name| secrets.get(name).map(|secret| secret.reveal().to_owned()));
    outputs.iter().map(|output| OutputSpec { value: put_in(&output.value), ..output.clone() }).collect()
}
