//! What one environment should consist of: a template version with an order's parameters filled in. Compiled once, when
//! ordered, and stored with the environment, so that a later change of the template cannot move ground under it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use agent::api::{Check, Script, Service};
use provisioners::{Architecture, Image, Secret};
use serde::{Deserialize, Serialize};

use super::template;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Topology {
    /// In an order in which every server stands after those it needs.
    pub servers: Vec<ServerSpec>,
    pub volumes: Vec<VolumeSpec>,
    pub outputs: Vec<OutputSpec>,
    pub schedules: Vec<Schedule>,
    #[serde(default)]
    pub snapshots: SnapshotRules,
    #[serde(default)]
    pub park: ParkMode,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerSpec {
    /// DNS label, unique: the template's name, with `-1`, `-2` … when its count is above one.
    pub name: String,
    /// Name of the template's server entry, shared by all of its count.
    pub group: String,
    pub address: Ipv4Addr,
    pub image: Image,
    /// As [`ServerPlan::alias`](provisioners::ServerPlan::alias).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// As [`ServerPlan::architecture`](provisioners::ServerPlan::architecture).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Architecture>,
    pub cpu_millis: Option<u32>,
    pub memory_bytes: Option<u64>,
    pub internet: bool,
    /// As [`ServerPlan::spot`](provisioners::ServerPlan::spot).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spot: bool,
    /// Names of servers that must be healthy first.
    pub needs: Vec<String>,
    pub mounts: Vec<MountSpec>,
    /// Environment variables, in the language of templates' expressions with everything put in but secrets: use them
    /// through [`ServerSpec::with_secrets`] only. The same holds for the variables of `services`.
    pub variables: BTreeMap<String, String>,
    pub requires: Vec<String>,
    pub setup: Option<Script>,
    pub startup: Option<Script>,
    /// Around every snapshot that is taken while the server runs: before it stands still, and after it runs again.
    #[serde(default)]
    pub before_snapshot: Option<Script>,
    #[serde(default)]
    pub after_snapshot: Option<Script>,
    pub services: Vec<Service>,
    pub checks: Vec<Check>,
    pub ports: Vec<PortSpec>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    pub volume: String,
    pub path: String,
    /// The volume is one of several copies of the template's volume of this name, which are kept in step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_of: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSpec {
    pub port: u16,
    pub title: String,
    /// Where the button leads: begins with `/`.
    pub path: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSpec {
    pub name: String,
    pub size_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputSpec {
    pub name: String,
    pub title: String,
    /// As [`ServerSpec::variables`]: use it through [`OutputSpec::with_secrets`] only.
    pub value: String,
    pub sensitive: bool,
}

/// Whether one volume can be attached to several servers, as a provisioner's capabilities say. Where not, each of them gets a
/// copy, and the copies are kept in step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    OneDisk,
    Copies,
}

impl Topology {
    /// How its servers share volumes; `None` when they share none.
    pub fn sharing(&self) -> Option<Sharing> {
        let mounts = || self.servers.iter().flat_map(|server| &server.mounts);
        if mounts().any(|mount| mount.copy_of.is_some()) {
            return Some(Sharing::Copies);
        }
        let attached = |volume: &String| mounts().filter(|mount| mount.volume == *volume).count();
        mounts().any(|mount| attached(&mount.volume) > 1).then_some(Sharing::OneDisk)
    }

    /// Whether `peer` starts also when `server` never becomes healthy, so that `server` may wait for it.
    pub fn comes_without(&self, peer: &str, server: &str) -> bool {
        let mut asked = vec![peer];
        let mut seen: Vec<&str> = Vec::new();
        while let Some(name) = asked.pop() {
            if name == server {
                return false;
            }
            if !seen.contains(&name) {
                seen.push(name);
                let needs = self.servers.iter().find(|spec| spec.name == name).map(|spec| spec.needs.as_slice());
                asked.extend(needs.unwrap_or_default().iter().map(String::as_str));
            }
        }
        true
    }
}

impl ServerSpec {
    /// Ready for the agent: the variables of the server and its services with the order's secrets put in. It holds them in
    /// the clear, so it goes into the agent's configuration and nowhere else.
    pub fn with_secrets(&self, secrets: &BTreeMap<String, Secret>) -> ServerSpec {
        let finished = |variables: &BTreeMap<String, String>| -> BTreeMap<String, String> {
            variables.iter().map(|(name, value)| (name.clone(), with_secrets(value, secrets))).collect()
        };
        let mut server = self.clone();
        server.variables = finished(&self.variables);
        for service in &mut server.services {
            service.variables = finished(&service.variables);
        }
        server
    }
}

impl OutputSpec {
    /// The text people read. With no secrets given, none is in it.
    pub fn with_secrets(&self, secrets: &BTreeMap<String, Secret>) -> String {
        with_secrets(&self.value, secrets)
    }
}

fn with_secrets(compiled: &str, secrets: &BTreeMap<String, Secret>) -> String {
    template::finish(compiled, |name| secrets.get(name).map(|secret| secret.reveal().to_owned()))
}

/// What is left of an environment while it is parked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParkMode {
    /// Its volumes.
    #[default]
    Volumes,
    /// A snapshot of its volumes; they are made again from it.
    Snapshot,
    /// Its servers with their disks, stopped, and its volumes.
    Stop,
    /// The same, and what was in its servers' memory.
    Hibernate,
}

impl ParkMode {
    pub const ALL: [ParkMode; 4] = [ParkMode::Volumes, ParkMode::Snapshot, ParkMode::Stop, ParkMode::Hibernate];

    /// As templates say it.
    pub fn as_str(self) -> &'static str {
        match self {
            ParkMode::Volumes => "volumes",
            ParkMode::Snapshot => "snapshot",
            ParkMode::Stop => "stop",
            ParkMode::Hibernate => "hibernate",
        }
    }

    /// Servers stay, and stand by.
    pub fn suspends(self) -> bool {
        matches!(self, ParkMode::Stop | ParkMode::Hibernate)
    }
}

/// When snapshots are taken by themselves, and how long those stay that nobody asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRules {
    /// While it runs; cron of five fields.
    pub take: Option<String>,
    /// IANA name; days, weeks and months are counted in it too.
    pub time_zone: String,
    pub keep: Keep,
}

/// What an environment's owner says in place of [`SnapshotRules::take`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnRule {
    /// `None`: never by themselves.
    pub take: Option<String>,
    pub time_zone: String,
}

/// How many snapshots stay: the newest, and the newest of each of the last days, weeks and months that have any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    pub last: usize,
    pub daily: usize,
    pub weekly: usize,
    pub monthly: usize,
    /// Those of a deleted environment, in days.
    pub deleted_days: i64,
}

impl Default for Keep {
    fn default() -> Keep {
        Keep { last: 5, daily: 0, weekly: 0, monthly: 0, deleted_days: 14 }
    }
}

/// A rule obeyed by the engine: at each time the cron expression names in that zone, the action is desired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    pub action: ScheduledAction,
    /// Five fields, as croner reads them.
    pub cron: String,
    /// IANA name.
    pub time_zone: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduledAction {
    Park,
    Resume,
    Delete,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_who_waits_for_them() {
        let server = |name: &str, needs: &[&str]| {
            let mut spec = crate::domain::fixtures::server(name);
            spec.needs = needs.iter().map(|need| (*need).to_owned()).collect();
            spec
        };
        let servers = vec![server("db", &[]), server("api", &["db"]), server("web", &["api"]), server("other", &[])];
        let topology = Topology { servers, ..Topology::default() };
        assert!(topology.comes_without("db", "web") && topology.comes_without("other", "db"));
        assert!(!topology.comes_without("api", "db") && !topology.comes_without("web", "db"), "by way of others too");
    }
}
