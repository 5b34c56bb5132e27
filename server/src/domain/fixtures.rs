//! Topologies for tests, told by what matters about them: `topology([server("db").mounting(&["data"])])`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use provisioners::Image;

use super::topology::{MountSpec, ServerSpec, Topology, VolumeSpec};

/// These servers, at 10.0.0.2 and on, with every volume that one of them mounts.
pub fn topology<const SERVERS: usize>(servers: [ServerSpec; SERVERS]) -> Topology {
    let mut topology = Topology::default();
    for (number, server) in (2..).zip(servers) {
        for mount in &server.mounts {
            let volume = VolumeSpec { name: mount.volume.clone(), size_bytes: 1 << 30 };
            if !topology.volumes.contains(&volume) {
                topology.volumes.push(volume);
            }
        }
        topology.servers.push(ServerSpec { address: Ipv4Addr::new(10, 0, 0, number), ..server });
    }
    topology
}

/// A server that does nothing and needs nothing.
pub fn server(name: &str) -> ServerSpec {
    ServerSpec {
        name: name.into(),
        group: name.into(),
        address: Ipv4Addr::UNSPECIFIED,
        image: Image::Host,
        alias: None,
        architecture: None,
        cpu_millis: None,
        memory_bytes: None,
        internet: false,
        spot: false,
        needs: Vec::new(),
        mounts: Vec::new(),
        variables: BTreeMap::new(),
        requires: Vec::new(),
        setup: None,
        startup: None,
        before_snapshot: None,
        after_snapshot: None,
        services: Vec::new(),
        checks: Vec::new(),
        ports: Vec::new(),
    }
}

impl ServerSpec {
    pub fn needing(mut self, servers: &[&str]) -> ServerSpec {
        self.needs.extend(servers.iter().map(|name| (*name).to_owned()));
        self
    }

    /// Each volume below its own name.
    pub fn mounting(mut self, volumes: &[&str]) -> ServerSpec {
        self.mounts.extend(volumes.iter().map(|name| MountSpec {
            volume: (*name).to_owned(),
            path: format!("/{name}"),
            copy_of: None,
        }));
        self
    }
}
