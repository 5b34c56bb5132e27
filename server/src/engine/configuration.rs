//! What a server should be, as its agent is told: the topology's entry with the order's parameters and secrets put in.

use std::collections::BTreeMap;

use agent::api::Config;
use provisioners::Secret;
use sha2::{Digest, Sha256};

use crate::domain::facts::Desired;
use crate::domain::template::parameter_variables;
use crate::keys::{InstallationKey, KeyError};
use crate::store::ServerConfiguration;

/// `None` when the server should not be running anything.
///
/// # Errors
/// [`KeyError::WrongKey`] when the order's secrets cannot be opened.
pub(super) fn config(key: &InstallationKey, server: &ServerConfiguration) -> Result<Option<Config>, KeyError> {
    if server.desired != Desired::Running {
        return Ok(None);
    }
    let secrets: BTreeMap<String, Secret> = match &server.sealed_secrets {
        Some(sealed) => key.unseal(&server.environment, sealed)?,
        None => BTreeMap::new(),
    };
    let spec = server.spec.with_secrets(&secrets);
    let revealed = || secrets.iter().map(|(name, secret)| (name.clone(), secret.reveal().to_owned()));
    let mut variables = parameter_variables(&server.parameters, &secrets);
    variables.insert("BOOKEND_ENVIRONMENT".to_owned(), server.environment_name.clone());
    variables.insert("BOOKEND_SERVER".to_owned(), spec.name.clone());
    variables.insert("BOOKEND_ADDRESS".to_owned(), spec.address.to_string());
    variables.extend(spec.variables);
    let mut config = Config {
        digest: String::new(),
        server: spec.name,
        environment: server.environment_name.clone(),
        variables,
        masked: revealed().map(|(_, value)| value).filter(|value| !value.is_empty()).collect(),
        parameters: server.parameters.clone().into_iter().chain(revealed()).collect(),
        requires: spec.requires,
        volumes: spec.mounts.into_iter().map(|mount| mount.path).collect(),
        setup: spec.setup,
        startup: spec.startup,
        services: spec.services,
        checks: spec.checks,
    };
    let text = serde_json::to_vec(&config).unwrap_or_default();
    config.digest = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Some(config))
}
