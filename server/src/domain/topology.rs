//! What one environment should consist of: a template version with an order's parameters filled in. Compiled once, when
//! ordered, and stored with the environment, so that a later change of the template cannot move ground under it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use agent::api::{Check, Script, Service};
use provisioners::Image;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Topology {
    /// In an order in which every server stands after those it needs.
    pub servers: Vec<ServerSpec>,
    pub volumes: Vec<VolumeSpec>,
    pub outputs: Vec<OutputSpec>,
    pub schedules: Vec<Schedule>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerSpec {
    /// DNS label, unique: the template's name, with `-1`, `-2` … when its count is above one.
    pub name: String,
    /// Name of the template's server entry, shared by all of its count.
    pub group: String,
    pub address: Ipv4Addr,
    pub image: Image,
    pub cpu_millis: Option<u32>,
    pub memory_bytes: Option<u64>,
    pub internet: bool,
    /// Names of servers that must be healthy first.
    pub needs: Vec<String>,
    pub mounts: Vec<MountSpec>,
    /// Environment variables, names substituted except for secrets: those stay `${parameters.NAME}` until the agent's
    /// configuration is made.
    pub variables: BTreeMap<String, String>,
    pub requires: Vec<String>,
    pub setup: Option<Script>,
    pub startup: Option<Script>,
    pub services: Vec<Service>,
    pub checks: Vec<Check>,
    pub ports: Vec<PortSpec>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    pub volume: String,
    pub path: String,
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
    /// Names substituted except for secrets, as in [`ServerSpec::variables`].
    pub value: String,
    pub sensitive: bool,
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
