//! Amazon's calls, one function each: our words in, our words out, and what went wrong told apart by what may follow from it.
//!
//! The client's own retries are off: whether to ask again, with what token and when, is decided by who knows what the call is
//! for. Each call costs tokens ([`Paid`]).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::types::{self, Filter, ResourceType, Tag, TagSpecification};

use super::buckets::{Buckets, Group, Paid};
use super::records::Launch;
use super::tags::Tags;

/// Why a call brought nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Amazon decided against it; it did not happen.
    #[error("Amazon refused {call}: {message} ({code})")]
    Refused { call: &'static str, code: String, message: String },
    /// It did not happen, for we ask too fast.
    #[error("Amazon is asked too fast ({0})")]
    Throttled(&'static str),
    /// It may have happened.
    #[error("{call} brought no answer: {message}")]
    Unknown { call: &'static str, message: String },
}

impl CallError {
    pub fn code(&self) -> &str {
        match self {
            CallError::Refused { code, .. } => code,
            CallError::Throttled(_) | CallError::Unknown { .. } => "",
        }
    }
}

pub type Called<T> = Result<T, CallError>;

/// Codes that say "slower", of all that Amazon's services use.
const THROTTLED: [&str; 4] =
    ["RequestLimitExceeded", "ResourceLimitExceeded.Throttled", "Throttling", "ThrottlingException"];
/// Answers after which nobody knows.
const UNSURE: [&str; 5] = ["InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable", "RequestTimeout"];
/// For describes; Amazon's most.
const PAGE: i32 = 1000;

/// One account and region.
#[derive(Clone)]
pub struct Amazon {
    client: Client,
    pub buckets: Arc<Buckets>,
}

/// An instance as Amazon describes it, perhaps as it was minutes ago.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    pub id: String,
    pub token: String,
    pub launch_index: i32,
    pub state: InstanceState,
    /// Why it is no more, in Amazon's words.
    pub reason: String,
    pub instance_type: String,
    pub zone: String,
    pub address: Option<Ipv4Addr>,
    /// Amazon's ids of its volumes, and whether each is attached.
    pub volumes: Vec<(String, bool)>,
    pub tags: Tags,
    /// Unix milliseconds.
    pub launched_at: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstanceState {
    Pending,
    Running,
    Stopping,
    Stopped,
    ShuttingDown,
    Terminated,
}

#[derive(Clone, Debug, PartialEq)]
pub struct EbsVolume {
    pub id: String,
    pub state: VolumeState,
    pub zone: String,
    pub size_gib: i32,
    pub attached_to: Option<String>,
    pub tags: Tags,
    pub made_at: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeState {
    Creating,
    Available,
    InUse,
    Deleting,
    Failed,
}

#[derive(Clone, Debug, PartialEq)]
pub struct EbsSnapshot {
    pub id: String,
    pub volume: String,
    pub state: SnapshotState,
    /// Of a hundred.
    pub progress: u64,
    pub size_gib: i32,
    pub message: String,
    pub tags: Tags,
    pub made_at: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotState {
    Pending,
    Completed,
    Failed,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SecurityGroup {
    pub id: String,
    pub tags: Tags,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    pub id: String,
    pub zone: String,
    pub vpc: String,
    pub default_for_zone: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineImage {
    pub id: String,
    pub name: String,
    pub root_device: String,
    pub root_gib: Option<i32>,
    pub architecture: String,
    pub made_at: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeFacts {
    pub name: String,
    pub cpu_millis: u32,
    pub memory_bytes: u64,
    pub architectures: Vec<String>,
}

impl Amazon {
    pub fn new(client: Client) -> Self {
        Self { client, buckets: Arc::default() }
    }

    /// What carries all of these tags; a tag's values are alternatives, at most 200.
    pub async fn instances(&self, tags: &[(&str, &[String])]) -> Called<Vec<Instance>> {
        let mut found = Vec::new();
        let mut next = None;
        loop {
            let _ = self.describing().await;
            let call = self.client.describe_instances().set_filters(Some(filters(tags))).max_results(PAGE);
            let page = done("DescribeInstances", call.set_next_token(next).send().await)?;
            let described = page.reservations.unwrap_or_default().into_iter();
            found.extend(described.flat_map(|one| one.instances.unwrap_or_default()).filter_map(instance));
            next = page.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(found);
            }
        }
    }

    /// As [`instances`](Self::instances).
    pub async fn volumes(&self, tags: &[(&str, &[String])]) -> Called<Vec<EbsVolume>> {
        let mut found = Vec::new();
        let mut next = None;
        loop {
            let _ = self.describing().await;
            let call = self.client.describe_volumes().set_filters(Some(filters(tags))).max_results(PAGE);
            let page = done("DescribeVolumes", call.set_next_token(next).send().await)?;
            found.extend(page.volumes.unwrap_or_default().into_iter().filter_map(volume));
            next = page.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(found);
            }
        }
    }

    /// As [`instances`](Self::instances); our account's own.
    pub async fn snapshots(&self, tags: &[(&str, &[String])]) -> Called<Vec<EbsSnapshot>> {
        let mut found = Vec::new();
        let mut next = None;
        loop {
            let _ = self.describing().await;
            let call = self.client.describe_snapshots().owner_ids("self").set_filters(Some(filters(tags)));
            let page = done("DescribeSnapshots", call.max_results(PAGE).set_next_token(next).send().await)?;
            found.extend(page.snapshots.unwrap_or_default().into_iter().filter_map(snapshot));
            next = page.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(found);
            }
        }
    }

    /// As [`instances`](Self::instances).
    pub async fn security_groups(&self, tags: &[(&str, &[String])]) -> Called<Vec<SecurityGroup>> {
        let mut found = Vec::new();
        let mut next = None;
        loop {
            let _ = self.describing().await;
            let call = self.client.describe_security_groups().set_filters(Some(filters(tags))).max_results(PAGE);
            let page = done("DescribeSecurityGroups", call.set_next_token(next).send().await)?;
            let groups = page.security_groups.unwrap_or_default().into_iter();
            found.extend(
                groups.filter_map(|group| Some(SecurityGroup { id: group.group_id?, tags: plain(group.tags) })),
            );
            next = page.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(found);
            }
        }
    }

    /// The security group of this name in a VPC, as far as Amazon shows it yet.
    pub async fn security_group_named(&self, vpc: &str, name: &str) -> Called<Option<SecurityGroup>> {
        let _ = self.describing().await;
        let call = self.client.describe_security_groups();
        let call = call.filters(filter("vpc-id", &[vpc.to_owned()])).filters(filter("group-name", &[name.to_owned()]));
        let page = done("DescribeSecurityGroups", call.send().await)?;
        let first = page.security_groups.unwrap_or_default().into_iter().next();
        Ok(first.and_then(|group| Some(SecurityGroup { id: group.group_id?, tags: plain(group.tags) })))
    }

    /// These, or those of the region that are their zone's default, in the order of their zones.
    pub async fn subnets(&self, ids: &[String], vpc: Option<&str>) -> Called<Vec<Subnet>> {
        let _ = self.describing().await;
        let mut call = self.client.describe_subnets();
        match (ids, vpc) {
            ([], None) => call = call.filters(filter("default-for-az", &["true".to_owned()])),
            ([], Some(vpc)) => call = call.filters(filter("vpc-id", &[vpc.to_owned()])),
            (ids, _) => call = call.set_subnet_ids(Some(ids.to_vec())),
        }
        let page = done("DescribeSubnets", call.send().await)?;
        let subnet = |subnet: types::Subnet| {
            Some(Subnet {
                id: subnet.subnet_id?,
                zone: subnet.availability_zone?,
                vpc: subnet.vpc_id?,
                default_for_zone: subnet.default_for_az.unwrap_or_default(),
            })
        };
        let mut found: Vec<Subnet> = page.subnets.unwrap_or_default().into_iter().filter_map(subnet).collect();
        match ids {
            [] => found.sort_by(|one, other| one.zone.cmp(&other.zone)),
            ids => found.sort_by_key(|subnet| ids.iter().position(|id| *id == subnet.id)),
        }
        Ok(found)
    }

    /// Images of an owner whose names fit, the newest first.
    pub async fn images(&self, owner: &str, name: &str) -> Called<Vec<MachineImage>> {
        let _ = self.describing().await;
        let call = self.client.describe_images().owners(owner);
        let call = call.filters(filter("name", &[name.to_owned()])).filters(filter("state", &["available".to_owned()]));
        let page = done("DescribeImages", call.send().await)?;
        let image = |image: types::Image| {
            let root_device = image.root_device_name?;
            let mut disks = image.block_device_mappings.unwrap_or_default().into_iter();
            let root = disks.find(|disk| disk.device_name.as_ref() == Some(&root_device));
            Some(MachineImage {
                id: image.image_id?,
                name: image.name.unwrap_or_default(),
                root_gib: root.and_then(|root| root.ebs?.volume_size),
                root_device,
                architecture: image.architecture.map(|it| it.as_str().to_owned()).unwrap_or_default(),
                made_at: image.creation_date.unwrap_or_default(),
            })
        };
        let mut found: Vec<MachineImage> = page.images.unwrap_or_default().into_iter().filter_map(image).collect();
        found.sort_by(|one, other| (&other.made_at, &other.id).cmp(&(&one.made_at, &one.id)));
        Ok(found)
    }

    /// How large these types are.
    pub async fn instance_types(&self, names: &[String]) -> Called<Vec<TypeFacts>> {
        let mut found = Vec::new();
        for names in names.chunks(100) {
            let _ = self.describing().await;
            let names = names.iter().map(|name| types::InstanceType::from(name.as_str())).collect();
            let call = self.client.describe_instance_types().set_instance_types(Some(names));
            let page = done("DescribeInstanceTypes", call.send().await)?;
            found.extend(page.instance_types.unwrap_or_default().into_iter().filter_map(type_facts));
        }
        Ok(found)
    }

    pub async fn create_security_group(&self, paid: Paid, vpc: &str, name: &str, tags: &Tags) -> Called<String> {
        let call = self.client.create_security_group().vpc_id(vpc).group_name(name);
        let call = call
            .description("Servers of one Bookend environment")
            .tag_specifications(specification(ResourceType::SecurityGroup, tags));
        let made = self.paid(paid, done("CreateSecurityGroup", call.send().await))?;
        made.group_id.ok_or_else(|| nameless("CreateSecurityGroup"))
    }

    /// Lets the members of a group reach each other, and nobody else reach them.
    pub async fn allow_within(&self, paid: Paid, group: &str) -> Called<()> {
        let pair = types::UserIdGroupPair::builder().group_id(group).build();
        let all = types::IpPermission::builder().ip_protocol("-1").user_id_group_pairs(pair).build();
        let call = self.client.authorize_security_group_ingress().group_id(group).ip_permissions(all);
        self.paid(paid, done("AuthorizeSecurityGroupIngress", call.send().await)).map(drop)
    }

    pub async fn delete_security_group(&self, paid: Paid, group: &str) -> Called<()> {
        let call = self.client.delete_security_group().group_id(group);
        self.paid(paid, done("DeleteSecurityGroup", call.send().await)).map(drop)
    }

    /// All of a launch's servers, by launch index, or none. Exactly the same call each time, whoever makes it.
    pub async fn run_instances(&self, paid: Paid, launch: &Launch, user_data: &str) -> Called<Vec<String>> {
        let count = i32::try_from(launch.members.len()).unwrap_or(i32::MAX);
        let root = types::EbsBlockDevice::builder().encrypted(true).delete_on_termination(true);
        let root = root.volume_type(types::VolumeType::Gp3).set_volume_size(launch.root_gib).build();
        let root = types::BlockDeviceMapping::builder().device_name(&launch.root_device).ebs(root).build();
        let metadata = types::InstanceMetadataOptionsRequest::builder()
            .http_tokens(types::HttpTokensState::Required)
            .http_put_response_hop_limit(1)
            .http_endpoint(types::InstanceMetadataEndpointState::Enabled)
            .build();
        let profile = launch.instance_profile.as_ref();
        let profile = profile.map(|name| types::IamInstanceProfileSpecification::builder().name(name).build());
        let call = self.client.run_instances();
        let call = call
            .client_token(&launch.token)
            .image_id(&launch.image)
            .instance_type(types::InstanceType::from(launch.instance_type.as_str()))
            .min_count(count)
            .max_count(count)
            .subnet_id(&launch.subnet)
            .set_security_group_ids(Some(launch.groups.clone()))
            .block_device_mappings(root)
            .metadata_options(metadata)
            .set_iam_instance_profile(profile)
            .set_key_name(launch.key_pair.clone())
            .instance_initiated_shutdown_behavior(types::ShutdownBehavior::Terminate)
            .user_data(user_data)
            .tag_specifications(specification(ResourceType::Instance, &launch.tags))
            .tag_specifications(specification(ResourceType::Volume, &launch.tags))
            .tag_specifications(specification(ResourceType::NetworkInterface, &launch.tags));
        let made = self.paid(paid, done("RunInstances", call.send().await))?;
        let mut made: Vec<(i32, String)> = made
            .instances
            .unwrap_or_default()
            .into_iter()
            .filter_map(|one| Some((one.ami_launch_index.unwrap_or_default(), one.instance_id?)))
            .collect();
        made.sort();
        match made.len() == launch.members.len() {
            true => Ok(made.into_iter().map(|(_, id)| id).collect()),
            false => Err(nameless("RunInstances")),
        }
    }

    /// All of these or, when one of them is not known or protected, none; at most 1000.
    pub async fn terminate(&self, paid: Paid, instances: &[String]) -> Called<()> {
        let call = self.client.terminate_instances().set_instance_ids(Some(instances.to_vec()));
        self.paid(paid, done("TerminateInstances", call.send().await)).map(drop)
    }

    pub async fn create_volume(
        &self,
        paid: Paid,
        token: &str,
        zone: &str,
        size_gib: i32,
        from: Option<&str>,
        tags: &Tags,
    ) -> Called<String> {
        let call = self.client.create_volume().client_token(token).availability_zone(zone).size(size_gib);
        let call = call
            .set_snapshot_id(from.map(str::to_owned))
            .encrypted(true)
            .volume_type(types::VolumeType::Gp3)
            .tag_specifications(specification(ResourceType::Volume, tags));
        let made = self.paid(paid, done("CreateVolume", call.send().await))?;
        made.volume_id.ok_or_else(|| nameless("CreateVolume"))
    }

    pub async fn delete_volume(&self, paid: Paid, volume: &str) -> Called<()> {
        self.paid(paid, done("DeleteVolume", self.client.delete_volume().volume_id(volume).send().await)).map(drop)
    }

    /// `number` counts the disks of the instance, from 0.
    pub async fn attach_volume(&self, paid: Paid, volume: &str, instance: &str, number: usize) -> Called<()> {
        let device = format!("/dev/sd{}", char::from(b'f' + u8::try_from(number.min(20)).unwrap_or(20)));
        let call = self.client.attach_volume().volume_id(volume).instance_id(instance).device(device);
        self.paid(paid, done("AttachVolume", call.send().await)).map(drop)
    }

    /// The moment is fixed when this returns.
    pub async fn create_snapshot(&self, paid: Paid, volume: &str, tags: &Tags) -> Called<String> {
        let call = self.client.create_snapshot().volume_id(volume);
        let call = call.tag_specifications(specification(ResourceType::Snapshot, tags));
        let made = self.paid(paid, done("CreateSnapshot", call.send().await))?;
        made.snapshot_id.ok_or_else(|| nameless("CreateSnapshot"))
    }

    pub async fn delete_snapshot(&self, paid: Paid, snapshot: &str) -> Called<()> {
        let call = self.client.delete_snapshot().snapshot_id(snapshot);
        self.paid(paid, done("DeleteSnapshot", call.send().await)).map(drop)
    }

    pub async fn create_tags(&self, paid: Paid, resources: &[String], tags: &Tags) -> Called<()> {
        let call = self.client.create_tags().set_resources(Some(resources.to_vec())).set_tags(Some(listed(tags)));
        self.paid(paid, done("CreateTags", call.send().await)).map(drop)
    }

    async fn describing(&self) -> Paid {
        self.buckets.acquire(&[(Group::Describe, 1)]).await
    }

    /// Learns from a refusal that the bucket was emptier than thought.
    fn paid<T>(&self, paid: Paid, called: Called<T>) -> Called<T> {
        if let Err(CallError::Throttled(_)) = &called {
            self.buckets.refused(&paid);
        }
        called
    }
}

fn done<T, E: ProvideErrorMetadata + std::error::Error + 'static>(
    call: &'static str,
    sent: Result<T, SdkError<E>>,
) -> Called<T> {
    let error = match sent {
        Ok(answer) => return Ok(answer),
        Err(error) => error,
    };
    let unknown = |message: String| Err(CallError::Unknown { call, message });
    match &error {
        SdkError::ServiceError(refusal) => {
            let code = refusal.err().code().unwrap_or_default().to_owned();
            let message = refusal.err().message().unwrap_or_default().to_owned();
            if THROTTLED.contains(&code.as_str()) {
                return Err(CallError::Throttled(call));
            }
            if code.is_empty() || UNSURE.contains(&code.as_str()) {
                return unknown(format!("{message} {code}").trim().to_owned());
            }
            Err(CallError::Refused { call, code, message })
        }
        SdkError::ConstructionFailure(_) => {
            Err(CallError::Refused { call, code: "InvalidRequest".to_owned(), message: told(&error) })
        }
        _ => unknown(told(&error)),
    }
}

/// An error with its causes, in one line.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn nameless(call: &'static str) -> CallError {
    CallError::Unknown { call, message: "the answer does not say what was made".to_owned() }
}

fn filter(name: &str, values: &[String]) -> Filter {
    Filter::builder().name(name).set_values(Some(values.to_vec())).build()
}

fn filters(tags: &[(&str, &[String])]) -> Vec<Filter> {
    tags.iter().map(|(key, values)| filter(&format!("tag:{key}"), values)).collect()
}

fn listed(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

fn specification(kind: ResourceType, tags: &Tags) -> TagSpecification {
    TagSpecification::builder().resource_type(kind).set_tags(Some(listed(tags))).build()
}

fn plain(tags: Option<Vec<Tag>>) -> BTreeMap<String, String> {
    tags.unwrap_or_default().into_iter().filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default()))).collect()
}

fn milliseconds(at: Option<aws_sdk_ec2::primitives::DateTime>) -> i64 {
    at.and_then(|at| at.to_millis().ok()).unwrap_or_default()
}

fn instance(described: types::Instance) -> Option<Instance> {
    use types::InstanceStateName as Name;
    let state = match described.state?.name? {
        Name::Pending => InstanceState::Pending,
        Name::Running => InstanceState::Running,
        Name::Stopping => InstanceState::Stopping,
        Name::Stopped => InstanceState::Stopped,
        Name::ShuttingDown => InstanceState::ShuttingDown,
        _ => InstanceState::Terminated,
    };
    let volumes = described.block_device_mappings.unwrap_or_default().into_iter().filter_map(|device| {
        let ebs = device.ebs?;
        Some((ebs.volume_id?, ebs.status == Some(types::AttachmentStatus::Attached)))
    });
    let reason = described.state_reason.and_then(|reason| reason.message).or(described.state_transition_reason);
    Some(Instance {
        id: described.instance_id?,
        token: described.client_token.unwrap_or_default(),
        launch_index: described.ami_launch_index.unwrap_or_default(),
        state,
        reason: reason.unwrap_or_default(),
        instance_type: described.instance_type.map(|it| it.as_str().to_owned()).unwrap_or_default(),
        zone: described.placement.and_then(|placement| placement.availability_zone).unwrap_or_default(),
        address: described.private_ip_address.and_then(|address| address.parse().ok()),
        volumes: volumes.collect(),
        tags: plain(described.tags),
        launched_at: milliseconds(described.launch_time),
    })
}

fn volume(described: types::Volume) -> Option<EbsVolume> {
    use types::VolumeState as State;
    let state = match described.state? {
        State::Creating => VolumeState::Creating,
        State::Available => VolumeState::Available,
        State::InUse => VolumeState::InUse,
        State::Deleting | State::Deleted => VolumeState::Deleting,
        _ => VolumeState::Failed,
    };
    Some(EbsVolume {
        id: described.volume_id?,
        state,
        zone: described.availability_zone.unwrap_or_default(),
        size_gib: described.size.unwrap_or_default(),
        attached_to: described.attachments.unwrap_or_default().into_iter().find_map(|one| one.instance_id),
        tags: plain(described.tags),
        made_at: milliseconds(described.create_time),
    })
}

fn snapshot(described: types::Snapshot) -> Option<EbsSnapshot> {
    let state = match described.state? {
        types::SnapshotState::Completed => SnapshotState::Completed,
        types::SnapshotState::Error => SnapshotState::Failed,
        _ => SnapshotState::Pending,
    };
    let progress = described.progress.unwrap_or_default();
    Some(EbsSnapshot {
        id: described.snapshot_id?,
        volume: described.volume_id.unwrap_or_default(),
        state,
        progress: progress.trim_end_matches('%').parse().unwrap_or_default(),
        size_gib: described.volume_size.unwrap_or_default(),
        message: described.state_message.unwrap_or_default(),
        tags: plain(described.tags),
        made_at: milliseconds(described.start_time),
    })
}

fn type_facts(described: types::InstanceTypeInfo) -> Option<TypeFacts> {
    let cpus = described.v_cpu_info.and_then(|info| info.default_v_cpus)?;
    let mebibytes = described.memory_info.and_then(|info| info.size_in_mib)?;
    let architectures = described.processor_info.and_then(|info| info.supported_architectures).unwrap_or_default();
    Some(TypeFacts {
        name: described.instance_type?.as_str().to_owned(),
        cpu_millis: u32::try_from(cpus).ok()?.saturating_mul(1000),
        memory_bytes: u64::try_from(mebibytes).ok()? << 20,
        architectures: architectures.iter().map(|it| it.as_str().to_owned()).collect(),
    })
}
