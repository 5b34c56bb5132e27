//! Instances.

use std::borrow::Cow;
use std::sync::Arc;

use super::kept::Course;
use super::shelf::{Resource, Tags};

/// For so long Amazon shows instances that are no more.
pub const SHOWN_AFTER_ITS_END_MS: i64 = 3_600_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceState {
    Pending,
    Running,
    ShuttingDown,
    Terminated,
    Stopping,
    Stopped,
}

impl InstanceState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }

    pub fn code(self) -> i64 {
        match self {
            Self::Pending => 0,
            Self::Running => 16,
            Self::ShuttingDown => 32,
            Self::Terminated => 48,
            Self::Stopping => 64,
            Self::Stopped => 80,
        }
    }

    /// Whether it takes part of capacity and limits.
    pub fn takes_capacity(self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }

    pub fn is_over(self) -> bool {
        matches!(self, Self::ShuttingDown | Self::Terminated)
    }
}

/// What all instances of one launch have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    pub reservation: String,
    pub image: String,
    pub instance_type: String,
    pub architecture: String,
    pub vcpus: u32,
    pub key_name: Option<String>,
    pub client_token: Option<String>,
    pub profile: Option<Profile>,
    pub groups: Vec<(String, String)>,
    pub zone: String,
    pub subnet: String,
    pub vpc: String,
    pub root_device: String,
    pub metadata: Metadata,
    pub hibernation: bool,
    pub ebs_optimized: bool,
    pub monitoring: bool,
    pub market: Market,
    pub shutdown: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    pub arn: String,
    pub id: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    pub tokens: String,
    pub hop_limit: i64,
    pub endpoint: String,
    pub tags: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Market {
    OnDemand,
    /// With what happens on interruption: `terminate`, `stop`, `hibernate`.
    Spot {
        interruption: String,
    },
}

impl Market {
    pub fn is_spot(&self) -> bool {
        matches!(self, Market::Spot { .. })
    }
}

#[derive(Clone, Debug)]
pub struct Instance {
    pub id: String,
    pub launch: Arc<Launch>,
    pub index: usize,
    /// When it was launched, and again at each start.
    pub launched_ms: i64,
    pub private_ip: String,
    pub interface: String,
    pub course: Course<InstanceState>,
    /// Why it is no longer running: code and message.
    pub reason: Option<(String, String)>,
    pub tags: Tags,
    /// Ids of the volumes that are or were attached.
    pub volumes: Vec<String>,
    pub protected: bool,
    pub user_data: Option<Arc<str>>,
    pub spot_request: Option<String>,
    /// When Amazon takes the spot instance back, once it has said so.
    pub interrupted_at_ms: Option<i64>,
    pub impaired: bool,
    /// When its status checks pass.
    pub checked_ms: i64,
}

impl Instance {
    pub fn state(&self, at_ms: i64) -> InstanceState {
        self.course.at(at_ms)
    }

    pub fn private_name(&self, region: &str) -> String {
        let host = self.private_ip.replace('.', "-");
        match region {
            "us-east-1" => format!("ip-{host}.ec2.internal"),
            _ => format!("ip-{host}.{region}.compute.internal"),
        }
    }

    pub fn is_spot(&self) -> bool {
        self.launch.market.is_spot()
    }
}

impl Resource for Instance {
    const PREFIX: &'static str = "i-";
    const FILTERS: &'static [&'static str] = &[
        "instance-id",
        "instance-state-name",
        "instance-state-code",
        "instance-type",
        "image-id",
        "architecture",
        "availability-zone",
        "subnet-id",
        "vpc-id",
        "private-ip-address",
        "network-interface.network-interface-id",
        "instance.group-id",
        "group-id",
        "instance.group-name",
        "group-name",
        "key-name",
        "client-token",
        "reservation-id",
        "launch-index",
        "instance-lifecycle",
        "spot-instance-request-id",
        "iam-instance-profile.arn",
        "metadata-options.http-tokens",
        "block-device-mapping.volume-id",
        "root-device-type",
        "launch-time",
        "tenancy",
        "hypervisor",
        "platform",
    ];
    const INDEXED: &'static [&'static str] = &[
        "instance-id",
        "client-token",
        "reservation-id",
        "private-ip-address",
        "instance.group-id",
        "network-interface.network-interface-id",
    ];

    fn id(&self) -> &str {
        &self.id
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }

    fn is_visible(&self, at_ms: i64) -> bool {
        self.course.when(InstanceState::Terminated).is_none_or(|ended| at_ms < ended + SHOWN_AFTER_ITS_END_MS)
    }

    fn values<'a>(&'a self, filter: &str, at_ms: i64, values: &mut Vec<Cow<'a, str>>) {
        let launch = &self.launch;
        let has_address = self.state(at_ms) != InstanceState::Terminated;
        match filter {
            "instance-id" => values.push(Cow::from(&self.id)),
            "instance-state-name" => values.push(Cow::from(self.state(at_ms).name())),
            "instance-state-code" => values.push(Cow::from(self.state(at_ms).code().to_string())),
            "instance-type" => values.push(Cow::from(&launch.instance_type)),
            "image-id" => values.push(Cow::from(&launch.image)),
            "architecture" => values.push(Cow::from(&launch.architecture)),
            "availability-zone" => values.push(Cow::from(&launch.zone)),
            "subnet-id" if has_address => values.push(Cow::from(&launch.subnet)),
            "vpc-id" if has_address => values.push(Cow::from(&launch.vpc)),
            "private-ip-address" if has_address => values.push(Cow::from(&self.private_ip)),
            "network-interface.network-interface-id" if has_address => values.push(Cow::from(&self.interface)),
            "instance.group-id" | "group-id" => values.extend(launch.groups.iter().map(|(id, _)| Cow::from(id))),
            "instance.group-name" | "group-name" => {
                values.extend(launch.groups.iter().map(|(_, name)| Cow::from(name)));
            }
            "key-name" => values.extend(launch.key_name.as_deref().map(Cow::from)),
            "client-token" => values.extend(launch.client_token.as_deref().map(Cow::from)),
            "reservation-id" => values.push(Cow::from(&launch.reservation)),
            "launch-index" => values.push(Cow::from(self.index.to_string())),
            "instance-lifecycle" if self.is_spot() => values.push(Cow::from("spot")),
            "spot-instance-request-id" => values.extend(self.spot_request.as_deref().map(Cow::from)),
            "iam-instance-profile.arn" => values.extend(launch.profile.iter().map(|profile| Cow::from(&profile.arn))),
            "metadata-options.http-tokens" => values.push(Cow::from(&launch.metadata.tokens)),
            "block-device-mapping.volume-id" => values.extend(self.volumes.iter().map(Cow::from)),
            "root-device-type" => values.push(Cow::from("ebs")),
            "launch-time" => values.push(Cow::from(crate::time::iso(self.launched_ms))),
            "tenancy" => values.push(Cow::from("default")),
            "hypervisor" => values.push(Cow::from("nitro")),
            _ => {}
        }
    }
}
