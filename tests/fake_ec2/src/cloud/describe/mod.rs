//! Calls that only look.

mod machines;
mod offers;
pub mod show;
mod things;

use super::act::Action;

const BY_ID: [&str; 3] = ["Filter", "MaxResults", "NextToken"];

pub fn action(name: &str) -> Option<(Action, &'static [&'static str])> {
    let found: (Action, &'static [&'static str]) = match name {
        "DescribeInstances" => (machines::instances, &["InstanceId", "Filter", "MaxResults", "NextToken"]),
        "DescribeInstanceStatus" => {
            (machines::statuses, &["InstanceId", "IncludeAllInstances", "Filter", "MaxResults", "NextToken"])
        }
        "DescribeInstanceAttribute" => (machines::attribute, &["InstanceId", "Attribute"]),
        "DescribeSpotInstanceRequests" => {
            (machines::spot_requests, &["SpotInstanceRequestId", "Filter", "MaxResults", "NextToken"])
        }
        "GetConsoleOutput" => (machines::console, &["InstanceId", "Latest"]),
        "DescribeVolumes" => (things::volumes, &["VolumeId", "Filter", "MaxResults", "NextToken"]),
        "DescribeVolumeStatus" => (things::statuses, &["VolumeId", "Filter", "MaxResults", "NextToken"]),
        "DescribeSnapshots" => {
            (things::snapshots, &["SnapshotId", "Owner", "RestorableBy", "Filter", "MaxResults", "NextToken"])
        }
        "DescribeFastSnapshotRestores" => (things::fast_restores, &BY_ID),
        "DescribeSecurityGroups" => (things::groups, &["GroupId", "GroupName", "Filter", "MaxResults", "NextToken"]),
        "DescribeNetworkInterfaces" => {
            (things::interfaces, &["NetworkInterfaceId", "Filter", "MaxResults", "NextToken"])
        }
        "DescribeTags" => (things::tags, &BY_ID),
        "DescribeVpcs" => (things::vpcs, &["VpcId", "Filter", "MaxResults", "NextToken"]),
        "DescribeSubnets" => (things::subnets, &["SubnetId", "Filter", "MaxResults", "NextToken"]),
        "DescribeKeyPairs" => (things::key_pairs, &["KeyName", "KeyPairId", "IncludePublicKey", "Filter"]),
        "DescribeImages" => (
            offers::images,
            &["ImageId", "Owner", "ExecutableBy", "IncludeDeprecated", "Filter", "MaxResults", "NextToken"],
        ),
        "DescribeInstanceTypes" => (offers::types, &["InstanceType", "Filter", "MaxResults", "NextToken"]),
        "DescribeInstanceTypeOfferings" => (offers::offerings, &["LocationType", "Filter", "MaxResults", "NextToken"]),
        "DescribeAvailabilityZones" => (offers::zones, &["ZoneName", "ZoneId", "AllAvailabilityZones", "Filter"]),
        "DescribeRegions" => (offers::regions, &["RegionName", "AllRegions", "Filter"]),
        "GetEbsDefaultKmsKeyId" => (offers::default_key, &[]),
        "DescribeAccountAttributes" => (offers::account_attributes, &["AttributeName"]),
        _ => return None,
    };
    Some(found)
}
