//! Calls that change something: each with the parameters it understands.

mod attach;
mod groups;
mod launch;
mod lifecycle;
mod market;
mod snapshots;
mod tags;
pub mod volumes;

pub use lifecycle::{end_at, release};

use super::call::Call;
use crate::problem::Problem;
use crate::query::Asked;
use crate::xml::Xml;

pub type Action = fn(&mut Call<'_>, &Asked<'_>, &mut Xml) -> Result<(), Problem>;

/// Top-level names; what is below them is read by the action.
const LAUNCH: &[&str] = &[
    "BlockDeviceMapping",
    "ClientToken",
    "DisableApiTermination",
    "EbsOptimized",
    "HibernationOptions",
    "IamInstanceProfile",
    "ImageId",
    "InstanceInitiatedShutdownBehavior",
    "InstanceMarketOptions",
    "InstanceType",
    "KeyName",
    "MaxCount",
    "MetadataOptions",
    "MinCount",
    "Monitoring",
    "NetworkInterface",
    "Placement",
    "PrivateIpAddress",
    "SecurityGroupId",
    "SubnetId",
    "TagSpecification",
    "UserData",
];

const VOLUME: &[&str] = &[
    "AvailabilityZone",
    "ClientToken",
    "Encrypted",
    "Iops",
    "KmsKeyId",
    "Size",
    "SnapshotId",
    "TagSpecification",
    "Throughput",
    "VolumeInitializationRate",
    "VolumeType",
];

const COPY: &[&str] = &[
    "Description",
    "DestinationRegion",
    "Encrypted",
    "KmsKeyId",
    "PresignedUrl",
    "SourceRegion",
    "SourceSnapshotId",
    "TagSpecification",
];

/// The older form of a rule has its parts beside the group's id.
const RULE: &[&str] = &[
    "CidrIp",
    "FromPort",
    "GroupId",
    "IpPermissions",
    "IpProtocol",
    "SecurityGroupRuleId",
    "TagSpecification",
    "ToPort",
];

pub fn action(name: &str) -> Option<(Action, &'static [&'static str])> {
    let found: (Action, &'static [&'static str]) = match name {
        "RunInstances" => (launch::run_instances, LAUNCH),
        "TerminateInstances" => (lifecycle::terminate, &["InstanceId"]),
        "StopInstances" => (lifecycle::stop, &["InstanceId", "Hibernate", "Force"]),
        "StartInstances" => (lifecycle::start, &["InstanceId"]),
        "RebootInstances" => (lifecycle::reboot, &["InstanceId"]),
        "ModifyInstanceAttribute" => {
            (lifecycle::modify, &["InstanceId", "Attribute", "Value", "DisableApiTermination", "UserData"])
        }
        "CancelSpotInstanceRequests" => (market::cancel, &["SpotInstanceRequestId"]),
        "CreateVolume" => (volumes::create, VOLUME),
        "DeleteVolume" => (volumes::delete, &["VolumeId"]),
        "AttachVolume" => (attach::attach, &["VolumeId", "InstanceId", "Device"]),
        "DetachVolume" => (attach::detach, &["VolumeId", "InstanceId", "Device", "Force"]),
        "CreateSnapshot" => (snapshots::create, &["VolumeId", "Description", "TagSpecification"]),
        "CreateSnapshots" => (
            snapshots::create_of_instance,
            &["InstanceSpecification", "Description", "TagSpecification", "CopyTagsFromSource"],
        ),
        "DeleteSnapshot" => (snapshots::delete, &["SnapshotId"]),
        "CopySnapshot" => (snapshots::copy, COPY),
        "EnableFastSnapshotRestores" => (snapshots::enable_fast, &["AvailabilityZone", "SourceSnapshotId"]),
        "DisableFastSnapshotRestores" => (snapshots::disable_fast, &["AvailabilityZone", "SourceSnapshotId"]),
        "CreateSecurityGroup" => (groups::create, &["GroupName", "GroupDescription", "VpcId", "TagSpecification"]),
        "DeleteSecurityGroup" => (groups::delete, &["GroupId", "GroupName"]),
        "AuthorizeSecurityGroupIngress" => (groups::authorize_ingress, RULE),
        "AuthorizeSecurityGroupEgress" => (groups::authorize_egress, RULE),
        "RevokeSecurityGroupIngress" => (groups::revoke_ingress, RULE),
        "RevokeSecurityGroupEgress" => (groups::revoke_egress, RULE),
        "CreateTags" => (tags::create, &["ResourceId", "Tag"]),
        "DeleteTags" => (tags::delete, &["ResourceId", "Tag"]),
        _ => return None,
    };
    Some(found)
}
