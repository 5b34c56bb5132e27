//! What a server should be, as its agent is told: the topology's entry with the order's parameters and secrets put in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

use agent::api::{Config, Peer, Shared};
use provisioners::Secret;
use sha2::{Digest, Sha256};

use super::device::device;
use crate::domain::facts::Desired;
use crate::domain::template::parameter_variables;
use crate::domain::topology::ServerSpec;
use crate::keys::{InstallationKey, KeyError};
use crate::store::ServerConfiguration;

/// Where the first shared volume of an environment is kept in step; the others follow. Syncthing's own port.
const FIRST_PORT: u16 = 22_000;

/// `None` when the server should not be running anything. `from`: where its agent says that it is.
///
/// # Errors
/// [`KeyError::WrongKey`] when the order's secrets cannot be opened.
pub(super) fn config(
    key: &InstallationKey,
    server: &ServerConfiguration,
    from: Option<Ipv4Addr>,
) -> Result<Option<Config>, KeyError> {
    if server.desired != Desired::Running {
        return Ok(None);
    }
    let secrets: BTreeMap<String, Secret> = match &server.sealed_secrets {
        Some(sealed) => key.unseal(&server.environment, sealed)?,
        None => BTreeMap::new(),
    };
    let spec = server.spec.with_secrets(&secrets);
    let address = address(server, from);
    let revealed = || secrets.iter().map(|(name, secret)| (name.clone(), secret.reveal().to_owned()));
    let mut variables = parameter_variables(&server.parameters, &secrets);
    variables.insert("BOOKEND_ENVIRONMENT".to_owned(), server.environment_name.clone());
    variables.insert("BOOKEND_SERVER".to_owned(), spec.name.clone());
    variables.insert("BOOKEND_ADDRESS".to_owned(), address.to_string());
    variables.extend(spec.variables);
    let shared = shared(key, server, address);
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
        shared,
        awaited: Vec::new(),
    };
    let text = serde_json::to_vec(&config).unwrap_or_default();
    config.digest = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    config.awaited = awaited(server, &config.shared);
    Ok(Some(config))
}

/// Where it is: as its agent says, for what is known may be where the one before it was; then as is known, then as was planned.
fn address(server: &ServerConfiguration, from: Option<Ipv4Addr>) -> Ipv4Addr {
    let known = server.servers.iter().find(|known| known.id == server.id).and_then(|known| known.address);
    from.or(known).unwrap_or(server.spec.address)
}

/// The server's copies of shared volumes, and who has the others.
fn shared(key: &InstallationKey, server: &ServerConfiguration, address: Ipv4Addr) -> Vec<Shared> {
    let name_of = |spec: &ServerSpec| -> Vec<(String, String)> {
        let copies = spec.mounts.iter().filter_map(|mount| Some((mount.copy_of.clone()?, mount.path.clone())));
        copies.collect()
    };
    let all: BTreeSet<String> =
        server.topology.servers.iter().flat_map(|spec| name_of(spec).into_iter().map(|(volume, _)| volume)).collect();
    let port_of = |volume: &String| {
        let number = all.iter().position(|other| other == volume).unwrap_or(0);
        FIRST_PORT.saturating_add(u16::try_from(number).unwrap_or(u16::MAX))
    };
    // Where nobody knew before where servers would be, and they may be elsewhere tomorrow: their names lead to them.
    let elsewhere = address != server.spec.address;
    let copies = name_of(&server.spec).into_iter().map(|(volume, path)| {
        let port = port_of(&volume);
        let place = |spec: &ServerSpec| match elsewhere {
            true => format!("{}:{port}", spec.name),
            false => SocketAddrV4::new(spec.address, port).to_string(),
        };
        let listen = if elsewhere { Ipv4Addr::UNSPECIFIED } else { server.spec.address };
        let others = server.topology.servers.iter().filter(|spec| spec.name != server.spec.name);
        let others = others.filter(|spec| spec.mounts.iter().any(|mount| mount.copy_of.as_ref() == Some(&volume)));
        let peers = others.filter_map(|spec| {
            let known = server.servers.iter().find(|known| known.name == spec.name)?;
            Some(Peer { server: spec.name.clone(), device: device(&key.device(&known.id)).id, address: place(spec) })
        });
        let own = device(&key.device(&server.id));
        Shared {
            peers: peers.collect(),
            volume,
            path,
            listen: SocketAddrV4::new(listen, port),
            device: own.id,
            certificate: own.certificate,
            key: own.key.reveal().to_owned(),
        }
    });
    copies.collect()
}

/// Those whose copies it has to be in step with first: they run, or come without waiting for this server.
fn awaited(server: &ServerConfiguration, shared: &[Shared]) -> Vec<String> {
    let peers: BTreeSet<&String> = shared.iter().flat_map(|copy| copy.peers.iter().map(|peer| &peer.server)).collect();
    let runs = |peer: &str| server.servers.iter().any(|known| known.name == peer && known.runs);
    let come = peers.into_iter().filter(|peer| runs(peer) || server.topology.comes_without(peer, &server.spec.name));
    come.cloned().collect()
}
