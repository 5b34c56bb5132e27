//! A template that was read and found good: every name in it means something, every default fits its type.

use agent::api::{Check, Restart, Script};
use app::api::{ParameterSpec, Preset};
use provisioners::{Architecture, Image};

use super::expression::Text;
use crate::domain::topology::{ParkMode, PortSpec, Schedule, SnapshotRules};

#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    pub name: String,
    /// As the curator wrote it.
    pub version: String,
    pub title: String,
    pub summary: String,
    /// Markdown.
    pub description: String,
    pub icon: Option<String>,
    pub category: String,
    pub tags: Vec<String>,
    pub maintainer: Option<String>,
    /// Where its environments are; `None`: where the portal usually has them.
    pub provisioner: Option<String>,
    /// On the catalog's first shelf.
    pub featured: bool,
    /// What is new in this version, in the curator's words.
    pub changes: Option<String>,
    pub parameters: Vec<ParameterSpec>,
    /// Answers that go together; each value fits its parameter.
    pub presets: Vec<Preset>,
    /// At least one.
    pub servers: Vec<Server>,
    pub volumes: Vec<Volume>,
    pub outputs: Vec<Output>,
    pub schedules: Vec<Schedule>,
    pub snapshots: SnapshotRules,
    pub park: ParkMode,
}

/// An entry of `servers`: one server, or `count` of the same kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    pub name: String,
    pub count: Count,
    pub size: Size,
    pub image: Image,
    /// What it is made from where the provisioner has images of its own, by the name its operator gave that; absent: the usual one.
    pub alias: Option<String>,
    /// What its processors must be; absent: what is usual where it is.
    pub architecture: Option<Architecture>,
    pub internet: bool,
    /// Cheaper where there is such a thing, and taken back at any time.
    pub spot: bool,
    /// Names of other entries; there is no cycle.
    pub needs: Vec<String>,
    pub requires: Vec<String>,
    pub variables: Vec<(String, Text)>,
    pub setup: Option<Script>,
    pub startup: Option<Script>,
    /// Around every snapshot that is taken while the server runs.
    pub before_snapshot: Option<Script>,
    pub after_snapshot: Option<Script>,
    pub services: Vec<Service>,
    pub checks: Vec<Check>,
    pub ports: Vec<PortSpec>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    pub name: String,
    pub command: String,
    pub directory: Option<String>,
    pub variables: Vec<(String, Text)>,
    pub restart: Restart,
    pub stop_timeout_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Count {
    Fixed(u32),
    /// The value of this integer parameter.
    Parameter(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Size {
    Unlimited,
    Fixed(Limits),
    /// The value of this choice parameter names one of [`SIZES`].
    Parameter(String),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub cpu_millis: Option<u32>,
    pub memory_bytes: Option<u64>,
}

const fn limits(cpu_millis: u32, memory_mib: u64) -> Limits {
    Limits { cpu_millis: Some(cpu_millis), memory_bytes: Some(memory_mib << 20) }
}

/// Sizes that have a name.
pub const SIZES: [(&str, Limits); 5] = [
    ("tiny", limits(250, 256)),
    ("small", limits(500, 512)),
    ("medium", limits(1000, 2048)),
    ("large", limits(2000, 4096)),
    ("xlarge", limits(4000, 8192)),
];

pub fn size_named(name: &str) -> Option<Limits> {
    SIZES.iter().find(|(known, _)| *known == name).map(|(_, limits)| *limits)
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    pub name: String,
    pub size_bytes: u64,
    /// Server entry → absolute path in it.
    pub mounts: Vec<(String, String)>,
    /// Each server has its own instead of all sharing one.
    pub per_server: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    pub name: String,
    pub title: String,
    pub value: Text,
    pub sensitive: bool,
}

impl Template {
    pub fn parameter(&self, name: &str) -> Option<&ParameterSpec> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }

    /// Whether an order may leave everything to the defaults.
    pub fn asks_nothing(&self) -> bool {
        let mut applying: Vec<(&str, &str)> = Vec::new();
        for parameter in &self.parameters {
            let applies =
                parameter.when.as_ref().is_none_or(|when| applying.contains(&(&when.parameter, &when.equals)));
            match &parameter.default {
                Some(default) if applies => applying.push((&parameter.name, default)),
                None if applies => return false,
                _ => {}
            }
        }
        true
    }
}
