//! From a template and an order's values to what the environment should consist of.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::expression::{Name, Text};
use super::model::{Count, Limits, Server, Size, Template, Volume, size_named};
use super::order::Values;
use crate::domain::topology::{MountSpec, OutputSpec, ServerSpec, Sharing, Topology, VolumeSpec};

/// Addresses are handed out in the order of the topology, the same in every generation: 10.66.0.10, .11, …, in a private
/// /24 network of each environment whose .1 is the gateway.
const FIRST_ADDRESS: [u8; 4] = [10, 66, 0, 10];

/// Compiles an order. The same input gives the same topology, always: nothing in it is made up.
pub fn compile(template: &Template, environment_name: &str, values: &Values, sharing: Sharing) -> Topology {
    let ordered = in_order_of_need(&template.servers);
    // Host names and addresses first: any server may be named by any other.
    let mut hosts: BTreeMap<&str, Vec<(String, Ipv4Addr)>> = BTreeMap::new();
    let [a, b, c, first] = FIRST_ADDRESS;
    let mut last = first;
    for server in &ordered {
        for name in host_names(server, count_of(server, values)) {
            hosts.entry(&server.name).or_default().push((name, Ipv4Addr::new(a, b, c, last)));
            last = last.saturating_add(1);
        }
    }
    let context = Context { template, environment_name, values, hosts: &hosts, sharing };
    Topology {
        servers: ordered.iter().flat_map(|server| context.servers(server)).collect(),
        volumes: template.volumes.iter().flat_map(|volume| context.volumes(volume)).collect(),
        outputs: template
            .outputs
            .iter()
            .map(|output| OutputSpec {
                name: output.name.clone(),
                title: output.title.clone(),
                value: context.text(&output.value, ""),
                sensitive: output.sensitive,
            })
            .collect(),
        schedules: template.schedules.clone(),
        snapshots: template.snapshots.clone(),
        park: template.park,
    }
}

/// As in the file, except that a server stands after those it needs. There is no cycle: reading refused it.
fn in_order_of_need(servers: &[Server]) -> Vec<&Server> {
    let mut waiting: Vec<&Server> = servers.iter().collect();
    let mut ordered: Vec<&Server> = Vec::new();
    while !waiting.is_empty() {
        let placed = |name: &String| ordered.iter().any(|server| server.name == *name);
        let next = waiting.iter().position(|server| server.needs.iter().all(placed)).unwrap_or(0);
        ordered.push(waiting.remove(next));
    }
    ordered
}

/// What the servers of an entry are called.
pub(super) fn host_names(server: &Server, count: u32) -> Vec<String> {
    match server.count {
        Count::Fixed(1) => vec![server.name.clone()],
        _ => (1..=count).map(|number| format!("{}-{number}", server.name)).collect(),
    }
}

/// What the volumes of an entry are called, given the host names of each server entry.
pub(super) fn volume_names(volume: &Volume, hosts: impl Fn(&str) -> Vec<String>) -> Vec<String> {
    if !volume.per_server {
        return vec![volume.name.clone()];
    }
    let hosts = volume.mounts.iter().flat_map(|(server, _)| hosts(server));
    hosts.map(|host| own_volume(volume, &host)).collect()
}

/// What they may be called at any place, also where each server gets a copy.
pub(super) fn all_names(volume: &Volume, hosts: impl Fn(&str) -> Vec<String>) -> Vec<String> {
    let attached: Vec<String> = volume.mounts.iter().flat_map(|(server, _)| hosts(server)).collect();
    let mut names = volume_names(volume, hosts);
    if !volume.per_server && attached.len() > 1 {
        names.extend(attached.iter().map(|host| own_volume(volume, host)));
    }
    names
}

fn count_of(server: &Server, values: &Values) -> u32 {
    match &server.count {
        Count::Fixed(count) => *count,
        Count::Parameter(name) => values.plain.get(name).and_then(|value| value.parse().ok()).unwrap_or(1),
    }
}

struct Context<'a> {
    template: &'a Template,
    environment_name: &'a str,
    values: &'a Values,
    /// Server entry → host names and addresses.
    hosts: &'a BTreeMap<&'a str, Vec<(String, Ipv4Addr)>>,
    sharing: Sharing,
}

impl Context<'_> {
    fn servers(&self, server: &Server) -> Vec<ServerSpec> {
        let Limits { cpu_millis, memory_bytes } = match &server.size {
            Size::Unlimited => Limits::default(),
            Size::Fixed(limits) => *limits,
            Size::Parameter(name) => {
                self.values.plain.get(name).and_then(|value| size_named(value)).unwrap_or_default()
            }
        };
        let variables = |variables: &[(String, Text)], own_name: &str| -> BTreeMap<String, String> {
            variables.iter().map(|(name, value)| (name.clone(), self.text(value, own_name))).collect()
        };
        let specification = |(name, address): &(String, Ipv4Addr)| ServerSpec {
            name: name.clone(),
            group: server.name.clone(),
            address: *address,
            image: server.image.clone(),
            alias: server.alias.clone(),
            architecture: server.architecture,
            cpu_millis,
            memory_bytes,
            internet: server.internet,
            spot: server.spot,
            needs: server.needs.iter().flat_map(|needed| self.host_names(needed)).collect(),
            mounts: self.mounts(server, name),
            variables: variables(&server.variables, name),
            requires: server.requires.clone(),
            setup: server.setup.clone(),
            startup: server.startup.clone(),
            before_snapshot: server.before_snapshot.clone(),
            after_snapshot: server.after_snapshot.clone(),
            services: server
                .services
                .iter()
                .map(|service| agent::api::Service {
                    name: service.name.clone(),
                    command: service.command.clone(),
                    directory: service.directory.clone(),
                    variables: variables(&service.variables, name),
                    restart: service.restart,
                    stop_timeout_ms: service.stop_timeout_ms,
                })
                .collect(),
            checks: server.checks.clone(),
            ports: server.ports.clone(),
        };
        self.hosts.get(server.name.as_str()).into_iter().flatten().map(specification).collect()
    }

    fn volumes(&self, volume: &Volume) -> Vec<VolumeSpec> {
        let names = match self.has_copies(volume) {
            true => self.attached(volume).map(|host| own_volume(volume, &host)).collect(),
            false => volume_names(volume, |server| self.host_names(server)),
        };
        names.into_iter().map(|name| VolumeSpec { name, size_bytes: volume.size_bytes }).collect()
    }

    fn mounts(&self, server: &Server, host: &str) -> Vec<MountSpec> {
        let mount = |volume: &Volume, path: &String| MountSpec {
            volume: match volume.per_server || self.has_copies(volume) {
                true => own_volume(volume, host),
                false => volume.name.clone(),
            },
            path: path.clone(),
            copy_of: self.has_copies(volume).then(|| volume.name.clone()),
        };
        let of_this_server = |volume: &'_ Volume| -> Vec<MountSpec> {
            volume.mounts.iter().filter(|(name, _)| *name == server.name).map(|(_, path)| mount(volume, path)).collect()
        };
        self.template.volumes.iter().flat_map(of_this_server).collect()
    }

    /// Several servers share it, and each has a copy.
    fn has_copies(&self, volume: &Volume) -> bool {
        self.sharing == Sharing::Copies && !volume.per_server && self.attached(volume).count() > 1
    }

    /// Host names of the servers it is attached to.
    fn attached(&self, volume: &Volume) -> impl Iterator<Item = String> {
        volume.mounts.iter().flat_map(|(server, _)| self.host_names(server))
    }

    fn host_names(&self, server: &str) -> Vec<String> {
        self.hosts.get(server).into_iter().flatten().map(|(name, _)| name.clone()).collect()
    }

    /// Everything put in but secrets, whose names stay.
    fn text(&self, text: &Text, own_name: &str) -> String {
        // Machines apart get their addresses when they start; their names are known now.
        let addresses = |server: &str| -> Vec<String> {
            match self.sharing {
                Sharing::Copies => self.host_names(server),
                Sharing::OneDisk => {
                    self.hosts.get(server).into_iter().flatten().map(|(_, address)| address.to_string()).collect()
                }
            }
        };
        let value = |name: &Name| match name {
            Name::Parameter(parameter) if self.values.secrets.contains_key(parameter) => None,
            Name::Parameter(parameter) => Some(self.values.plain.get(parameter).cloned().unwrap_or_default()),
            Name::Address(server) => Some(addresses(server).first().cloned().unwrap_or_default()),
            Name::Addresses(server) => Some(addresses(server).join(",")),
            Name::EnvironmentName => Some(self.environment_name.to_owned()),
            Name::OwnName => Some(own_name.to_owned()),
        };
        text.substitute(value).source()
    }
}

fn own_volume(volume: &Volume, host: &str) -> String {
    format!("{}-{host}", volume.name)
}
