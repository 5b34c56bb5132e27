//! The calls that look: what there is, perhaps as it was minutes ago.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::describe_volume_status::builders::DescribeVolumeStatusFluentBuilder;
use aws_sdk_ec2::types::{self, Filter};
use serde::{Deserialize, Serialize};

use super::{Amazon, Called, plain};
use crate::buckets::Bucket;
use crate::tags::Tags;

/// Amazon's most.
const PAGE: i32 = 1000;
/// The same of fast snapshot restores.
const FAST_PAGE: i32 = 200;

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
    /// It had all of its data when it was made.
    pub fast_restored: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeState {
    Creating,
    Available,
    InUse,
    Deleting,
    Failed,
}

/// How far a volume is read in from its snapshot, as far as Amazon tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    pub percent: Option<i64>,
    pub seconds_left: Option<i64>,
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

/// How far a snapshot is from where volumes begin with it at full speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FastState {
    Enabling,
    Optimizing,
    Enabled,
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
    pub free_addresses: i32,
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
    /// Its servers can hibernate.
    pub hibernates: bool,
}

/// Amazon's most for servers that hibernate, with Linux.
const MOST_HIBERNATED: u64 = 150 << 30;

impl Amazon {
    /// What carries all of these tags; a tag's values are alternatives, all values together at most 200.
    pub async fn instances(&self, tags: &[(&str, &[String])]) -> Called<Vec<Instance>> {
        let call = self.client.describe_instances().set_filters(Some(filters(tags))).max_results(PAGE);
        let ask = |next| call.clone().set_next_token(next).send();
        let pages = self.pages("DescribeInstances", ask, |page| page.next_token.clone()).await?;
        let reservations = pages.into_iter().flat_map(|page| page.reservations.unwrap_or_default());
        Ok(reservations.flat_map(|one| one.instances.unwrap_or_default()).filter_map(instance).collect())
    }

    /// As [`instances`](Self::instances).
    pub async fn volumes(&self, tags: &[(&str, &[String])]) -> Called<Vec<EbsVolume>> {
        let call = self.client.describe_volumes().set_filters(Some(filters(tags))).max_results(PAGE);
        let ask = |next| call.clone().set_next_token(next).send();
        let pages = self.pages("DescribeVolumes", ask, |page| page.next_token.clone()).await?;
        Ok(pages.into_iter().flat_map(|page| page.volumes.unwrap_or_default()).filter_map(volume).collect())
    }

    /// How far each of these volumes is read in; what Amazon tells nothing about is not in the answer. Refused as a whole when it
    /// does not know one of them.
    pub async fn readings(&self, volumes: &[String]) -> Called<BTreeMap<String, Reading>> {
        self.volume_statuses(self.client.describe_volume_status().set_volume_ids(Some(volumes.to_vec()))).await
    }

    /// Whether that may be asked at all.
    pub async fn may_ask_for_readings(&self) -> Called<()> {
        self.volume_statuses(self.client.describe_volume_status().max_results(5)).await.map(drop)
    }

    async fn volume_statuses(&self, call: DescribeVolumeStatusFluentBuilder) -> Called<BTreeMap<String, Reading>> {
        let page = self.look("DescribeVolumeStatus", call.send()).await?;
        let told = page.volume_statuses.unwrap_or_default().into_iter().filter_map(|one| {
            let details = one.initialization_status_details?;
            let seconds_left = details.estimated_time_to_complete_in_seconds;
            Some((one.volume_id?, Reading { percent: details.progress, seconds_left }))
        });
        Ok(told.collect())
    }

    /// As [`instances`](Self::instances); our account's own.
    pub async fn snapshots(&self, tags: &[(&str, &[String])]) -> Called<Vec<EbsSnapshot>> {
        let call = self.client.describe_snapshots().owner_ids("self").set_filters(Some(filters(tags)));
        let ask = |next| call.clone().max_results(PAGE).set_next_token(next).send();
        let pages = self.pages("DescribeSnapshots", ask, |page| page.next_token.clone()).await?;
        Ok(pages.into_iter().flat_map(|page| page.snapshots.unwrap_or_default()).filter_map(snapshot).collect())
    }

    /// All fast snapshot restores of the account that are on, or about to be, by snapshot and zone.
    pub async fn fast_restores(&self) -> Called<BTreeMap<(String, String), FastState>> {
        let on = ["enabling", "optimizing", "enabled"].map(str::to_owned);
        let call = self.client.describe_fast_snapshot_restores().filters(filter("state", &on)).max_results(FAST_PAGE);
        let ask = |next| call.clone().set_next_token(next).send();
        let pages = self.pages("DescribeFastSnapshotRestores", ask, |page| page.next_token.clone()).await?;
        let found = pages.into_iter().flat_map(|page| page.fast_snapshot_restores.unwrap_or_default());
        Ok(found.filter_map(fast_restore).collect())
    }

    /// As [`instances`](Self::instances).
    pub async fn security_groups(&self, tags: &[(&str, &[String])]) -> Called<Vec<SecurityGroup>> {
        let call = self.client.describe_security_groups().set_filters(Some(filters(tags))).max_results(PAGE);
        let ask = |next| call.clone().set_next_token(next).send();
        let pages = self.pages("DescribeSecurityGroups", ask, |page| page.next_token.clone()).await?;
        Ok(pages.into_iter().flat_map(|page| page.security_groups.unwrap_or_default()).filter_map(group).collect())
    }

    /// Of those of these security groups that there are, their VPCs.
    pub async fn networks_of_groups(&self, ids: &[String]) -> Called<BTreeMap<String, String>> {
        let call = self.client.describe_security_groups().filters(filter("group-id", ids)).max_results(PAGE);
        let page = self.look("DescribeSecurityGroups", call.send()).await?;
        let found = page.security_groups.unwrap_or_default().into_iter();
        Ok(found.filter_map(|group| Some((group.group_id?, group.vpc_id?))).collect())
    }

    /// The security group of this name in a VPC, as far as Amazon shows it yet.
    pub async fn security_group_named(&self, vpc: &str, name: &str) -> Called<Option<SecurityGroup>> {
        let call = self.client.describe_security_groups();
        let call = call.filters(filter("vpc-id", &[vpc.to_owned()])).filters(filter("group-name", &[name.to_owned()]));
        let page = self.look("DescribeSecurityGroups", call.send()).await?;
        Ok(page.security_groups.unwrap_or_default().into_iter().find_map(group))
    }

    /// Whether there is an instance, a volume, a snapshot or a security group of ours with this id, as far as is shown.
    pub async fn shows(&self, id: &str) -> Called<bool> {
        let by = |name| filter(name, &[id.to_owned()]);
        match id.split('-').next() {
            Some("i") => {
                let call = self.client.describe_instances().filters(by("instance-id"));
                Ok(self.look("DescribeInstances", call.send()).await?.reservations.is_some_and(|all| !all.is_empty()))
            }
            Some("vol") => {
                let call = self.client.describe_volumes().filters(by("volume-id"));
                Ok(self.look("DescribeVolumes", call.send()).await?.volumes.is_some_and(|all| !all.is_empty()))
            }
            Some("snap") => {
                let call = self.client.describe_snapshots().owner_ids("self").filters(by("snapshot-id"));
                Ok(self.look("DescribeSnapshots", call.send()).await?.snapshots.is_some_and(|all| !all.is_empty()))
            }
            _ => Ok(!self.networks_of_groups(&[id.to_owned()]).await?.is_empty()),
        }
    }

    /// The key that volumes are encrypted with when none is named, by its ARN; `None`: Amazon's own, which everybody may use.
    pub async fn default_key(&self) -> Called<Option<String>> {
        let call = self.client.get_ebs_default_kms_key_id();
        let page = self.look("GetEbsDefaultKmsKeyId", call.send()).await?;
        Ok(page.kms_key_id.filter(|key| !key.ends_with("alias/aws/ebs")))
    }

    /// These, or those of the region that are their zone's default, in the order of their zones.
    pub async fn subnets(&self, ids: &[String], vpc: Option<&str>) -> Called<Vec<Subnet>> {
        let mut call = self.client.describe_subnets();
        match (ids, vpc) {
            ([], None) => call = call.filters(filter("default-for-az", &["true".to_owned()])),
            ([], Some(vpc)) => call = call.filters(filter("vpc-id", &[vpc.to_owned()])),
            (ids, _) => call = call.set_subnet_ids(Some(ids.to_vec())),
        }
        let page = self.look("DescribeSubnets", call.send()).await?;
        let mut found: Vec<Subnet> = page.subnets.unwrap_or_default().into_iter().filter_map(subnet).collect();
        match ids {
            // Of several in a zone it is the same one every time.
            [] => found.sort_by(|one, other| (&one.zone, &one.id).cmp(&(&other.zone, &other.id))),
            ids => found.sort_by_key(|subnet| ids.iter().position(|id| *id == subnet.id)),
        }
        Ok(found)
    }

    /// Images of an owner whose names fit, the newest first.
    pub async fn images(&self, owner: &str, name: &str) -> Called<Vec<MachineImage>> {
        let call = self.client.describe_images().owners(owner);
        let call = call.filters(filter("name", &[name.to_owned()])).filters(filter("state", &["available".to_owned()]));
        let page = self.look("DescribeImages", call.send()).await?;
        let mut found: Vec<MachineImage> = page.images.unwrap_or_default().into_iter().filter_map(image).collect();
        found.sort_by(|one, other| (&other.made_at, &other.id).cmp(&(&one.made_at, &one.id)));
        Ok(found)
    }

    /// How large these types are.
    pub async fn instance_types(&self, names: &[String]) -> Called<Vec<TypeFacts>> {
        let mut found = Vec::new();
        for names in names.chunks(100) {
            let names = names.iter().map(|name| types::InstanceType::from(name.as_str())).collect();
            let call = self.client.describe_instance_types().set_instance_types(Some(names));
            let page = self.look("DescribeInstanceTypes", call.send()).await?;
            found.extend(page.instance_types.unwrap_or_default().into_iter().filter_map(type_facts));
        }
        Ok(found)
    }

    /// Which of these types are offered in which zones.
    pub async fn offerings(&self, names: &[String]) -> Called<Vec<(String, String)>> {
        let call = self.client.describe_instance_type_offerings().max_results(PAGE);
        let call = call.location_type(types::LocationType::AvailabilityZone).filters(filter("instance-type", names));
        let ask = |next| call.clone().set_next_token(next).send();
        let pages = self.pages("DescribeInstanceTypeOfferings", ask, |page| page.next_token.clone()).await?;
        let offerings = pages.into_iter().flat_map(|page| page.instance_type_offerings.unwrap_or_default());
        Ok(offerings.filter_map(|one| Some((one.instance_type?.as_str().to_owned(), one.location?))).collect())
    }

    /// One describe, when its bucket has a token for it.
    async fn look<T, E: ProvideErrorMetadata + std::error::Error + 'static>(
        &self,
        call: &'static str,
        sent: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> Called<T> {
        let paid = self.buckets.acquire(&[(Bucket::Describe(call), 1)]).await;
        self.answered(call, &paid, sent.await)
    }

    /// A describe page by page, to its end.
    async fn pages<T, E, F>(
        &self,
        call: &'static str,
        ask: impl Fn(Option<String>) -> F,
        next: impl Fn(&T) -> Option<String>,
    ) -> Called<Vec<T>>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        F: Future<Output = Result<T, SdkError<E>>>,
    {
        let mut pages = Vec::new();
        let mut token = None;
        loop {
            let page = self.look(call, ask(token)).await?;
            token = next(&page).filter(|token| !token.is_empty());
            pages.push(page);
            if token.is_none() {
                return Ok(pages);
            }
        }
    }
}

fn filter(name: &str, values: &[String]) -> Filter {
    Filter::builder().name(name).set_values(Some(values.to_vec())).build()
}

fn filters(tags: &[(&str, &[String])]) -> Vec<Filter> {
    tags.iter().map(|(key, values)| filter(&format!("tag:{key}"), values)).collect()
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
        fast_restored: described.fast_restored.unwrap_or_default(),
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

fn fast_restore(described: types::DescribeFastSnapshotRestoreSuccessItem) -> Option<((String, String), FastState)> {
    let state = match described.state? {
        types::FastSnapshotRestoreStateCode::Enabling => FastState::Enabling,
        types::FastSnapshotRestoreStateCode::Optimizing => FastState::Optimizing,
        types::FastSnapshotRestoreStateCode::Enabled => FastState::Enabled,
        _ => return None,
    };
    Some(((described.snapshot_id?, described.availability_zone?), state))
}

fn type_facts(described: types::InstanceTypeInfo) -> Option<TypeFacts> {
    let cpus = described.v_cpu_info.and_then(|info| info.default_v_cpus)?;
    let mebibytes = described.memory_info.and_then(|info| info.size_in_mib)?;
    let memory_bytes = u64::try_from(mebibytes).ok()? << 20;
    let architectures = described.processor_info.and_then(|info| info.supported_architectures).unwrap_or_default();
    Some(TypeFacts {
        name: described.instance_type?.as_str().to_owned(),
        cpu_millis: u32::try_from(cpus).ok()?.saturating_mul(1000),
        memory_bytes,
        hibernates: described.hibernation_supported.unwrap_or_default() && memory_bytes <= MOST_HIBERNATED,
        architectures: architectures.iter().map(|it| it.as_str().to_owned()).collect(),
    })
}

fn group(described: types::SecurityGroup) -> Option<SecurityGroup> {
    Some(SecurityGroup { id: described.group_id?, tags: plain(described.tags) })
}

fn subnet(described: types::Subnet) -> Option<Subnet> {
    Some(Subnet {
        id: described.subnet_id?,
        zone: described.availability_zone?,
        vpc: described.vpc_id?,
        default_for_zone: described.default_for_az.unwrap_or_default(),
        free_addresses: described.available_ip_address_count.unwrap_or_default(),
    })
}

fn image(described: types::Image) -> Option<MachineImage> {
    let root_device = described.root_device_name?;
    let mut disks = described.block_device_mappings.unwrap_or_default().into_iter();
    let root = disks.find(|disk| disk.device_name.as_ref() == Some(&root_device));
    Some(MachineImage {
        id: described.image_id?,
        name: described.name.unwrap_or_default(),
        root_gib: root.and_then(|root| root.ebs?.volume_size),
        root_device,
        architecture: described.architecture.map(|it| it.as_str().to_owned()).unwrap_or_default(),
        made_at: described.creation_date.unwrap_or_default(),
    })
}
