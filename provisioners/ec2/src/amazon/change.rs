//! The calls that change something, each of which can be a rehearsal. Each is paid for beforehand: whether there is a token for it
//! decides whether it is made now.
//!
//! What Amazon's client has under way is large, and lies on the heap: several calls, one in another, would fill a stack.

use std::net::Ipv4Addr;

use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{self, ResourceType, TagSpecification};

use serde::{Deserialize, Serialize};

use super::{Amazon, CallError, Called, listed};
use crate::buckets::Paid;
use crate::records::{Launch, Volume};
use crate::tags::Tags;

/// What packets may come from or go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Members of a security group, whatever it is.
    Members(String),
    /// One TCP port in a network (CIDR).
    Port { network: String, port: u16 },
    /// Everywhere, whatever it is: what Amazon gives each new group for what goes out.
    Everything,
    /// The same for IPv6, in networks that have it.
    Everything6,
}

impl Rule {
    fn permission(&self) -> types::IpPermission {
        let all = types::IpPermission::builder().ip_protocol("-1");
        let four = |cidr: &str| types::IpRange::builder().cidr_ip(cidr).build();
        let six = |cidr: &str| types::Ipv6Range::builder().cidr_ipv6(cidr).build();
        match self {
            Rule::Members(group) => {
                all.user_id_group_pairs(types::UserIdGroupPair::builder().group_id(group).build()).build()
            }
            Rule::Everything => all.ip_ranges(four("0.0.0.0/0")).build(),
            Rule::Everything6 => all.ipv6_ranges(six("::/0")).build(),
            Rule::Port { network, port } => {
                let tcp = types::IpPermission::builder().ip_protocol("tcp");
                let tcp = tcp.from_port(i32::from(*port)).to_port(i32::from(*port));
                match network.contains(':') {
                    true => tcp.ipv6_ranges(six(network)).build(),
                    false => tcp.ip_ranges(four(network)).build(),
                }
            }
        }
    }
}

impl Amazon {
    pub async fn create_security_group(
        &self,
        paid: Paid,
        vpc: &str,
        name: &str,
        about: &str,
        tags: &Tags,
    ) -> Called<String> {
        let call = self.client.create_security_group().set_dry_run(self.dry_run).vpc_id(vpc).group_name(name);
        let call = call.description(about).tag_specifications(specification(ResourceType::SecurityGroup, tags));
        let made = self.answered("CreateSecurityGroup", &paid, Box::pin(call.send()).await)?;
        made.group_id.ok_or_else(|| nameless("CreateSecurityGroup"))
    }

    /// Lets these reach the members of a group.
    pub async fn allow_in(&self, paid: Paid, group: &str, rules: &[Rule]) -> Called<()> {
        let call = self.client.authorize_security_group_ingress().set_dry_run(self.dry_run).group_id(group);
        let call = call.set_ip_permissions(Some(rules.iter().map(Rule::permission).collect()));
        let called = self.answered("AuthorizeSecurityGroupIngress", &paid, Box::pin(call.send()).await);
        self.or_gone(called.map(drop), group).await
    }

    /// Lets the members of a group reach these.
    pub async fn allow_out(&self, paid: Paid, group: &str, rules: &[Rule]) -> Called<()> {
        let call = self.client.authorize_security_group_egress().set_dry_run(self.dry_run).group_id(group);
        let call = call.set_ip_permissions(Some(rules.iter().map(Rule::permission).collect()));
        let called = self.answered("AuthorizeSecurityGroupEgress", &paid, Box::pin(call.send()).await);
        self.or_gone(called.map(drop), group).await
    }

    /// Takes back that the members of a group reach these. In a default VPC those that the group does not have are passed over;
    /// in another one of them keeps all from being taken back (RevokeSecurityGroupIngress in the EC2 API reference).
    pub async fn forbid_out(&self, paid: Paid, group: &str, rules: &[Rule]) -> Called<()> {
        let call = self.client.revoke_security_group_egress().set_dry_run(self.dry_run).group_id(group);
        let call = call.set_ip_permissions(Some(rules.iter().map(Rule::permission).collect()));
        let called = self.answered("RevokeSecurityGroupEgress", &paid, Box::pin(call.send()).await);
        self.or_gone(called.map(drop), group).await
    }

    pub async fn delete_security_group(&self, paid: Paid, group: &str) -> Called<()> {
        let call = self.client.delete_security_group().set_dry_run(self.dry_run).group_id(group);
        let called = self.answered("DeleteSecurityGroup", &paid, Box::pin(call.send()).await);
        self.or_gone(called.map(drop), group).await
    }

    /// Exactly the same call each time, whoever makes it.
    fn launch_call(&self, launch: &Launch, user_data: &str) -> RunInstancesFluentBuilder {
        let count = i32::try_from(launch.members.len()).unwrap_or(i32::MAX);
        let root = types::EbsBlockDevice::builder().encrypted(true).delete_on_termination(true);
        let root = root.volume_type(types::VolumeType::Gp3).set_volume_size(launch.root_gib).build();
        let root = types::BlockDeviceMapping::builder().device_name(&launch.root_device).ebs(root).build();
        let metadata = types::InstanceMetadataOptionsRequest::builder()
            .http_tokens(types::HttpTokensState::Required)
            .http_put_response_hop_limit(1)
            .http_endpoint(types::InstanceMetadataEndpointState::Enabled)
            .build();
        let hibernation =
            launch.hibernates.then(|| types::HibernationOptionsRequest::builder().configured(true).build());
        // Taken back it is replaced by us, not by Amazon.
        let spot = types::SpotMarketOptions::builder()
            .spot_instance_type(types::SpotInstanceType::OneTime)
            .instance_interruption_behavior(types::InstanceInterruptionBehavior::Terminate);
        let market = types::InstanceMarketOptionsRequest::builder().market_type(types::MarketType::Spot);
        let market = launch.spot.then(|| market.spot_options(spot.build()).build());
        let profile = launch.instance_profile.as_ref();
        let profile = profile.map(|name| types::IamInstanceProfileSpecification::builder().name(name).build());
        let call = self
            .client
            .run_instances()
            .set_dry_run(self.dry_run)
            .client_token(&launch.token)
            .image_id(&launch.image)
            .instance_type(types::InstanceType::from(launch.instance_type.as_str()))
            .min_count(count)
            .max_count(count)
            .subnet_id(&launch.subnet)
            .set_security_group_ids(Some(launch.groups.clone()))
            .block_device_mappings(root)
            .metadata_options(metadata)
            .set_hibernation_options(hibernation)
            .set_instance_market_options(market)
            .set_iam_instance_profile(profile)
            .set_key_name(launch.key_pair.clone())
            .instance_initiated_shutdown_behavior(types::ShutdownBehavior::Terminate)
            .user_data(user_data)
            .tag_specifications(specification(ResourceType::Instance, &launch.tags))
            .tag_specifications(specification(ResourceType::Volume, &launch.tags))
            .tag_specifications(specification(ResourceType::NetworkInterface, &launch.tags));
        match launch.spot {
            true => call.tag_specifications(specification(ResourceType::SpotInstancesRequest, &launch.tags)),
            false => call,
        }
    }

    /// All of a launch's servers, by launch index, or none: how Amazon calls each, and where it will be.
    pub async fn run_instances(
        &self,
        paid: Paid,
        launch: &Launch,
        user_data: &str,
    ) -> Called<Vec<(String, Option<Ipv4Addr>)>> {
        let call = self.launch_call(launch, user_data);
        let made = self.answered("RunInstances", &paid, Box::pin(call.send()).await)?;
        let address = |one: &types::Instance| one.private_ip_address.as_ref()?.parse().ok();
        let mut made: Vec<(i32, String, Option<Ipv4Addr>)> = made
            .instances
            .unwrap_or_default()
            .into_iter()
            .filter_map(|one| Some((one.ami_launch_index.unwrap_or_default(), one.instance_id.clone()?, address(&one))))
            .collect();
        made.sort();
        match made.len() == launch.members.len() {
            true => Ok(made.into_iter().map(|(_, id, address)| (id, address)).collect()),
            false => Err(nameless("RunInstances")),
        }
    }

    /// All of these or, when one of them is not known or protected, none; at most 1000.
    pub async fn terminate(&self, paid: Paid, instances: &[String]) -> Called<()> {
        let call =
            self.client.terminate_instances().set_dry_run(self.dry_run).set_instance_ids(Some(instances.to_vec()));
        let called = self.answered("TerminateInstances", &paid, Box::pin(call.send()).await).map(drop);
        match instances {
            [one] => self.or_gone(called, one).await,
            _ => called,
        }
    }

    /// As [`terminate`](Self::terminate), for those that stand by from now on.
    pub async fn stop(&self, paid: Paid, instances: &[String], hibernate: bool) -> Called<()> {
        let call = self.client.stop_instances().set_dry_run(self.dry_run).set_instance_ids(Some(instances.to_vec()));
        let call = call.set_hibernate(hibernate.then_some(true));
        self.answered("StopInstances", &paid, Box::pin(call.send()).await).map(drop)
    }

    /// As [`terminate`](Self::terminate), for those that stand by no longer.
    pub async fn start(&self, paid: Paid, instances: &[String]) -> Called<()> {
        let call = self.client.start_instances().set_dry_run(self.dry_run).set_instance_ids(Some(instances.to_vec()));
        self.answered("StartInstances", &paid, Box::pin(call.send()).await).map(drop)
    }

    /// Exactly the same call each time, whoever makes it.
    pub async fn create_volume(&self, paid: Paid, volume: &Volume) -> Called<String> {
        let call = self.client.create_volume().set_dry_run(self.dry_run).client_token(&volume.token);
        let call = call
            .availability_zone(&volume.zone)
            .size(volume.size_gib)
            .set_snapshot_id(volume.from.clone())
            .set_volume_initialization_rate(volume.reading_rate)
            .encrypted(true)
            .volume_type(types::VolumeType::Gp3)
            .tag_specifications(specification(ResourceType::Volume, &volume.tags));
        let made = self.answered("CreateVolume", &paid, Box::pin(call.send()).await)?;
        made.volume_id.ok_or_else(|| nameless("CreateVolume"))
    }

    pub async fn delete_volume(&self, paid: Paid, volume: &str) -> Called<()> {
        let call = self.client.delete_volume().set_dry_run(self.dry_run).volume_id(volume);
        let called = self.answered("DeleteVolume", &paid, Box::pin(call.send()).await);
        self.or_gone(called.map(drop), volume).await
    }

    /// `number` counts the disks of the instance, from 0.
    pub async fn attach_volume(&self, paid: Paid, volume: &str, instance: &str, number: usize) -> Called<()> {
        let call = self
            .client
            .attach_volume()
            .set_dry_run(self.dry_run)
            .volume_id(volume)
            .instance_id(instance)
            .device(device(number));
        self.answered("AttachVolume", &paid, Box::pin(call.send()).await).map(drop)
    }

    /// The moment is fixed when this returns.
    pub async fn create_snapshot(&self, paid: Paid, volume: &str, tags: &Tags) -> Called<String> {
        let call = self.client.create_snapshot().set_dry_run(self.dry_run).volume_id(volume);
        let call = call.tag_specifications(specification(ResourceType::Snapshot, tags));
        let made = self.answered("CreateSnapshot", &paid, Box::pin(call.send()).await)?;
        made.snapshot_id.ok_or_else(|| nameless("CreateSnapshot"))
    }

    /// A copy, in this region, of a snapshot in another one (region and id); encrypted by this region's usual key. `now` is Unix
    /// milliseconds.
    pub async fn copy_snapshot(
        &self,
        paid: Paid,
        (region, snapshot): (&str, &str),
        tags: &Tags,
        now: i64,
    ) -> Called<String> {
        let call =
            self.client.copy_snapshot().set_dry_run(self.dry_run).source_region(region).source_snapshot_id(snapshot);
        // A rehearsal reads nothing.
        let may_read = match self.dry_run {
            Some(true) => None,
            _ => Some(self.may_read(region, snapshot, now).await?),
        };
        let call = call
            .set_destination_region(self.region().map(str::to_owned))
            .set_presigned_url(may_read)
            .encrypted(true)
            .tag_specifications(specification(ResourceType::Snapshot, tags));
        let made = self.answered("CopySnapshot", &paid, Box::pin(call.send()).await)?;
        made.snapshot_id.ok_or_else(|| nameless("CopySnapshot"))
    }

    pub async fn delete_snapshot(&self, paid: Paid, snapshot: &str) -> Called<()> {
        let call = self.client.delete_snapshot().set_dry_run(self.dry_run).snapshot_id(snapshot);
        let called = self.answered("DeleteSnapshot", &paid, Box::pin(call.send()).await);
        self.or_gone(called.map(drop), snapshot).await
    }

    /// Has volumes that begin with these snapshots in these zones be at full speed at once; repeated, it changes nothing. What is
    /// refused of it is told of the first that was.
    pub async fn enable_fast_restores(&self, paid: Paid, snapshots: &[String], zones: &[String]) -> Called<()> {
        let call = self.client.enable_fast_snapshot_restores().set_dry_run(self.dry_run);
        let call = call.set_source_snapshot_ids(Some(snapshots.to_vec()));
        let call = call.set_availability_zones(Some(zones.to_vec()));
        let answer = self.answered("EnableFastSnapshotRestores", &paid, Box::pin(call.send()).await)?;
        let mut refused = answer.unsuccessful().iter().flat_map(|one| one.fast_snapshot_restore_state_errors());
        let Some(error) = refused.find_map(|one| one.error()) else { return Ok(()) };
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let (code, message) = (text(error.code()), text(error.message()));
        Err(CallError::Refused { call: "EnableFastSnapshotRestores", code, message })
    }

    /// The end of that. What is refused of it alone was not on, or a look shows that it is.
    pub async fn disable_fast_restores(&self, paid: Paid, snapshots: &[String], zones: &[String]) -> Called<()> {
        let call = self.client.disable_fast_snapshot_restores().set_dry_run(self.dry_run);
        let call = call.set_source_snapshot_ids(Some(snapshots.to_vec()));
        let call = call.set_availability_zones(Some(zones.to_vec()));
        self.answered("DisableFastSnapshotRestores", &paid, Box::pin(call.send()).await).map(drop)
    }

    pub async fn create_tags(&self, paid: Paid, resources: &[String], tags: &Tags) -> Called<()> {
        let call = self
            .client
            .create_tags()
            .set_dry_run(self.dry_run)
            .set_resources(Some(resources.to_vec()))
            .set_tags(Some(listed(tags)));
        self.answered("CreateTags", &paid, Box::pin(call.send()).await).map(drop)
    }
}

impl Amazon {
    /// What is gone has no tags any more. So who may change only what is tagged (as by the policy that the doctor prints) hears of it
    /// that this is not allowed; it is looked for then, and told as what is not there is told to everybody else.
    async fn or_gone(&self, called: Called<()>, id: &str) -> Called<()> {
        match called {
            Err(CallError::Refused { call, code, message })
                if code == "UnauthorizedOperation"
                    && self.dry_run.is_none()
                    && Box::pin(self.shows(id)).await == Ok(false) =>
            {
                let code = match id.split('-').next() {
                    Some("i") => "InvalidInstanceID.NotFound",
                    Some("vol") => "InvalidVolume.NotFound",
                    Some("snap") => "InvalidSnapshot.NotFound",
                    _ => "InvalidGroup.NotFound",
                };
                Err(CallError::Refused { call, code: code.to_owned(), message })
            }
            called => called,
        }
    }
}

fn nameless(call: &'static str) -> CallError {
    CallError::Unknown { call, message: "the answer does not say what was made".to_owned() }
}

fn specification(kind: ResourceType, tags: &Tags) -> TagSpecification {
    TagSpecification::builder().resource_type(kind).set_tags(Some(listed(tags))).build()
}

/// The name of an instance's disk, which only has to be another one for each ("Device names for volumes on Amazon EC2 instances").
fn device(number: usize) -> String {
    let letter = |from: u8, number: usize| char::from(from + u8::try_from(number % 26).unwrap_or(0));
    match number.checked_sub(21) {
        None => format!("/dev/sd{}", letter(b'f', number)),
        Some(rest) if rest < 26 => format!("/dev/xvdb{}", letter(b'a', rest)),
        Some(rest) => format!("/dev/xvdc{}", letter(b'a', rest)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_disk_of_an_instance_has_a_name_of_its_own() {
        assert_eq!(
            [0, 20, 21, 46, 47, 72].map(device),
            ["/dev/sdf", "/dev/sdz", "/dev/xvdba", "/dev/xvdbz", "/dev/xvdca", "/dev/xvdcz"]
        );
        assert_eq!((0..73).map(device).collect::<BTreeSet<_>>().len(), 73);
    }
}
