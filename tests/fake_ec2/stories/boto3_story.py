"""Amazon's own client for Python against the fake: it must parse every answer and agree with each fact.

Called with the endpoint. Ends with status 0 and the last line "boto3 agrees" when it does.
"""

import datetime
import sys
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, WaiterError

ENDPOINT = sys.argv[1]
ZONES = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
QUICK = {"Delay": 1, "MaxAttempts": 60}


def client(service, key="AKIAFAKEOURS", region="eu-central-1", token=None):
    """Without retries of its own: what is refused must be seen."""
    return boto3.client(
        service,
        endpoint_url=ENDPOINT,
        region_name=region,
        aws_access_key_id=key,
        aws_secret_access_key="any",
        aws_session_token=token,
        config=Config(retries={"total_max_attempts": 1}),
    )


ec2 = client("ec2")


def refused(code, call, **asked):
    try:
        call(**asked)
    except ClientError as error:
        found = error.response["Error"]["Code"]
        assert found == code, f"{code} was expected, not {error}"
        return error.response["ResponseMetadata"]["HTTPStatusCode"]
    raise AssertionError(f"{code} was expected, and it was done: {asked}")


def control(path):
    with urllib.request.urlopen(urllib.request.Request(ENDPOINT + "/_fake/" + path, method="POST"), timeout=10) as reply:
        assert reply.status == 200, reply.read()


def tagging(kind, **tags):
    return {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def tags_of(thing):
    return {tag["Key"]: tag["Value"] for tag in thing.get("Tags", [])}


def by_tag(key, *values):
    return [{"Name": f"tag:{key}", "Values": list(values)}]


def who_one_is():
    sts = client("sts")
    assert sts.get_caller_identity()["Account"] == "111122223333"
    role = {"RoleArn": "arn:aws:iam::444455556666:role/bookend", "RoleSessionName": "story"}
    assert refused("AccessDenied", sts.assume_role, **role) == 403
    assumed = sts.assume_role(**role, ExternalId="bookend-444455556666")["Credentials"]
    assert assumed["Expiration"] > datetime.datetime.now(datetime.timezone.utc)
    theirs = client("sts", key=assumed["AccessKeyId"], token=assumed["SessionToken"])
    assert theirs.get_caller_identity()["Account"] == "444455556666"
    assert refused("AuthFailure", client("ec2", key="AKIANOBODY").describe_vpcs) == 401


def what_can_be_had():
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    assert [zone["ZoneName"] for zone in zones] == ZONES
    assert {region["RegionName"] for region in ec2.describe_regions()["Regions"]} >= {"eu-central-1", "eu-west-1"}
    types = [kind for page in ec2.get_paginator("describe_instance_types").paginate(PaginationConfig={"PageSize": 10})
             for kind in page["InstanceTypes"]]
    assert len(types) == len({kind["InstanceType"] for kind in types}) > 50
    [micro] = [kind for kind in types if kind["InstanceType"] == "t3.micro"]
    assert micro["VCpuInfo"]["DefaultVCpus"] == 2 and micro["MemoryInfo"]["SizeInMiB"] == 1024
    assert micro["ProcessorInfo"]["SupportedArchitectures"] == ["x86_64"] and micro["HibernationSupported"] is True
    offered = ec2.describe_instance_type_offerings(
        LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": ["m7g.large"]}])
    assert [one["Location"] for one in offered["InstanceTypeOfferings"]] == ZONES[:2]
    images = ec2.describe_images(Owners=["136693071363"], Filters=[
        {"Name": "name", "Values": ["debian-12-amd64-*"]}, {"Name": "architecture", "Values": ["x86_64"]}])["Images"]
    assert len(images) == 3 and all(image["RootDeviceName"] == "/dev/xvda" for image in images)
    attributes = ec2.describe_account_attributes(AttributeNames=["default-vpc"])["AccountAttributes"]
    [vpc] = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    assert attributes[0]["AttributeValues"][0]["AttributeValue"] == vpc["VpcId"]
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
    assert sorted(subnet["AvailabilityZone"] for subnet in subnets) == ZONES
    assert [key["KeyName"] for key in ec2.describe_key_pairs()["KeyPairs"]] == ["operator"]
    newest = max(images, key=lambda image: image["CreationDate"])
    return newest["ImageId"], {subnet["AvailabilityZone"]: subnet for subnet in subnets}


def a_group():
    asked = dict(GroupName="story", Description="of the story", TagSpecifications=[tagging("security-group", env="1")])
    group = ec2.create_security_group(**asked)["GroupId"]
    refused("InvalidGroup.Duplicate", ec2.create_security_group, **asked)
    itself = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}]
    rules = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=itself)["SecurityGroupRules"]
    assert rules[0]["ReferencedGroupInfo"]["GroupId"] == group and rules[0]["IsEgress"] is False
    web = [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443,
            "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "the portal"}]}]
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=web)
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everything)
    [seen] = ec2.describe_security_groups(Filters=by_tag("env", "1"))["SecurityGroups"]
    assert seen["IpPermissions"][0]["UserIdGroupPairs"][0]["GroupId"] == group
    [out] = seen["IpPermissionsEgress"]
    assert (out["FromPort"], out["IpRanges"]) == (443, web[0]["IpRanges"])
    return group


def servers(image, subnets, group):
    asked = dict(
        ImageId=image, InstanceType="t3.micro", MinCount=2, MaxCount=2, ClientToken="story-1", KeyName="operator",
        SubnetId=subnets["eu-central-1a"]["SubnetId"], SecurityGroupIds=[group], UserData="#!/bin/sh\necho hello\n",
        IamInstanceProfile={"Name": "bookend"},
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        BlockDeviceMappings=[
            {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 12, "VolumeType": "gp3", "Encrypted": True}},
            {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 3, "VolumeType": "gp3", "Encrypted": True}},
        ],
        TagSpecifications=[tagging("instance", env="1", Name="web"), tagging("volume", env="1"),
                           tagging("network-interface", env="1")],
    )
    assert refused("DryRunOperation", ec2.run_instances, **asked, DryRun=True) == 412
    launched = ec2.run_instances(**asked)
    ids = [one["InstanceId"] for one in launched["Instances"]]
    assert len(set(ids)) == 2 and [one["AmiLaunchIndex"] for one in launched["Instances"]] == [0, 1]
    again = ec2.run_instances(**asked)
    assert [one["InstanceId"] for one in again["Instances"]] == ids
    assert again["ReservationId"] == launched["ReservationId"]
    refused("IdempotentParameterMismatch", ec2.run_instances, **{**asked, "MaxCount": 3})
    ec2.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig=QUICK)
    ec2.get_waiter("instance_status_ok").wait(InstanceIds=ids, WaiterConfig=QUICK)
    [reservation] = ec2.describe_instances(Filters=by_tag("env", "1"))["Reservations"]
    for one in reservation["Instances"]:
        assert one["State"] == {"Code": 16, "Name": "running"} and tags_of(one) == {"env": "1", "Name": "web"}
        assert one["PrivateIpAddress"].startswith("172.31.") and one["Placement"]["AvailabilityZone"] == ZONES[0]
        assert one["MetadataOptions"]["HttpTokens"] == "required" and one["ClientToken"] == "story-1"
        assert one["MetadataOptions"]["HttpPutResponseHopLimit"] == 1 and one["KeyName"] == "operator"
        assert one["IamInstanceProfile"]["Arn"].endswith(":instance-profile/bookend")
        assert [mapping["DeviceName"] for mapping in one["BlockDeviceMappings"]] == ["/dev/xvda", "/dev/sdf"]
        assert one["SecurityGroups"] == [{"GroupId": group, "GroupName": "story"}]
        assert isinstance(one["LaunchTime"], datetime.datetime)
    interfaces = ec2.describe_network_interfaces(Filters=by_tag("env", "1"))["NetworkInterfaces"]
    assert {one["Attachment"]["InstanceId"] for one in interfaces} == set(ids)
    data = ec2.describe_instance_attribute(InstanceId=ids[0], Attribute="userData")["UserData"]["Value"]
    assert data == "IyEvYmluL3NoCmVjaG8gaGVsbG8K"
    assert ids[0] in ec2.get_console_output(InstanceId=ids[0])["Output"]
    refused("InvalidAMIID.NotFound", ec2.run_instances, ImageId="ami-00000000000000000", MinCount=1, MaxCount=1)
    refused("InvalidInstanceID.Malformed", ec2.describe_instances, InstanceIds=["i-nope"])
    refused("InvalidInstanceID.NotFound", ec2.describe_instances, InstanceIds=["i-00000000000000000"])
    refused("InvalidParameterValue", ec2.describe_instances, Filters=[{"Name": "colour", "Values": ["x"]}])
    return ids


def capacity(image):
    asked = dict(ImageId=image, InstanceType="m5.xlarge", MinCount=2, MaxCount=3,
                 Placement={"AvailabilityZone": ZONES[1]})
    control(f"capacity?type=m5.xlarge&zone={ZONES[1]}&free=1")
    assert refused("InsufficientInstanceCapacity", ec2.run_instances, **asked) == 500
    control(f"capacity?type=m5.xlarge&zone={ZONES[1]}&free=any")
    refused("Unsupported", ec2.run_instances, **{**asked, "Placement": {"AvailabilityZone": ZONES[2]},
                                                 "InstanceType": "m7g.large", "ImageId": arm_image()})


def arm_image():
    return ec2.describe_images(Owners=["amazon"], Filters=[{"Name": "architecture", "Values": ["arm64"]}])["Images"][0][
        "ImageId"]


def pages(image):
    asked = dict(ImageId=image, InstanceType="t3.nano", MinCount=23, MaxCount=23,
                 TagSpecifications=[tagging("instance", fleet="1")])
    ids = {one["InstanceId"] for one in ec2.run_instances(**asked)["Instances"]}
    seen = []
    for page in ec2.get_paginator("describe_instances").paginate(
            Filters=by_tag("fleet", "1"), PaginationConfig={"PageSize": 5}):
        found = [one["InstanceId"] for reservation in page["Reservations"] for one in reservation["Instances"]]
        assert len(found) <= 5
        seen += found
    assert len(seen) == 23 and set(seen) == ids
    tags = [tag for page in ec2.get_paginator("describe_tags").paginate(
        Filters=[{"Name": "key", "Values": ["fleet"]}], PaginationConfig={"PageSize": 7}) for tag in page["Tags"]]
    assert {tag["ResourceId"] for tag in tags} == ids and {tag["ResourceType"] for tag in tags} == {"instance"}
    ec2.terminate_instances(InstanceIds=sorted(ids))
    ec2.get_waiter("instance_terminated").wait(InstanceIds=sorted(ids), WaiterConfig=QUICK)


def volumes(instance):
    asked = dict(AvailabilityZone=ZONES[0], Size=4, VolumeType="gp3", Encrypted=True, ClientToken="volume-1",
                 TagSpecifications=[tagging("volume", data="1")])
    volume = ec2.create_volume(**asked)["VolumeId"]
    assert ec2.create_volume(**asked)["VolumeId"] == volume
    refused("IdempotentParameterMismatch", ec2.create_volume, **{**asked, "Size": 5})
    ec2.get_waiter("volume_available").wait(VolumeIds=[volume], WaiterConfig=QUICK)
    elsewhere = ec2.create_volume(AvailabilityZone=ZONES[1], Size=1)["VolumeId"]
    ec2.get_waiter("volume_available").wait(VolumeIds=[elsewhere], WaiterConfig=QUICK)
    at = dict(InstanceId=instance, Device="/dev/sdg")
    refused("InvalidVolume.ZoneMismatch", ec2.attach_volume, VolumeId=elsewhere, **at)
    ec2.attach_volume(VolumeId=volume, **at)
    ec2.get_waiter("volume_in_use").wait(VolumeIds=[volume], WaiterConfig=QUICK)
    refused("VolumeInUse", ec2.delete_volume, VolumeId=volume)
    refused("InvalidParameterValue", ec2.attach_volume, VolumeId=elsewhere, InstanceId=instance, Device="sdz")
    [seen] = ec2.describe_volumes(Filters=by_tag("data", "1"))["Volumes"]
    assert seen["Attachments"][0]["InstanceId"] == instance and seen["Attachments"][0]["Device"] == "/dev/sdg"
    assert (seen["Size"], seen["Encrypted"], seen["VolumeType"], seen["Iops"]) == (4, True, "gp3", 3000)
    attached = ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [instance]}])["Volumes"]
    assert len(attached) == 3
    ec2.delete_volume(VolumeId=elsewhere)
    ec2.get_waiter("volume_deleted").wait(VolumeIds=[elsewhere], WaiterConfig=QUICK)
    refused("InvalidVolume.NotFound", ec2.describe_volumes, VolumeIds=[elsewhere])
    return volume


def snapshots(instance, volume):
    one = ec2.create_snapshot(VolumeId=volume, Description="one", TagSpecifications=[tagging("snapshot", set="1")])
    assert one["State"] in ("pending", "completed") and tags_of(one) == {"set": "1"}
    ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[one["SnapshotId"]], WaiterConfig=QUICK)
    several = ec2.create_snapshots(
        InstanceSpecification={"InstanceId": instance, "ExcludeBootVolume": True}, CopyTagsFromSource="volume",
        TagSpecifications=[tagging("snapshot", set="2")])["Snapshots"]
    assert sorted(snapshot["VolumeSize"] for snapshot in several) == [3, 4]
    assert len({snapshot["StartTime"] for snapshot in several}) == 1
    ids = [snapshot["SnapshotId"] for snapshot in several]
    ec2.get_waiter("snapshot_completed").wait(SnapshotIds=ids, WaiterConfig=QUICK)
    found = ec2.describe_snapshots(OwnerIds=["self"], Filters=by_tag("set", "2"))["Snapshots"]
    assert sorted(snapshot["SnapshotId"] for snapshot in found) == sorted(ids)
    assert all(snapshot["Progress"] == "100%" for snapshot in found)
    assert any(tags_of(snapshot).get("data") == "1" for snapshot in found)
    refused("InvalidParameterValue", ec2.create_volume, AvailabilityZone=ZONES[1], SnapshotId=one["SnapshotId"], Size=1)
    restored = ec2.create_volume(AvailabilityZone=ZONES[1], SnapshotId=one["SnapshotId"])
    assert (restored["Size"], restored["Encrypted"], restored["SnapshotId"]) == (4, True, one["SnapshotId"])
    zones = dict(AvailabilityZones=[ZONES[1]], SourceSnapshotIds=[one["SnapshotId"]])
    assert ec2.enable_fast_snapshot_restores(**zones)["Successful"][0]["AvailabilityZone"] == ZONES[1]
    assert len(ec2.describe_fast_snapshot_restores()["FastSnapshotRestores"]) == 1
    ec2.disable_fast_snapshot_restores(**zones)
    west = client("ec2", region="eu-west-1")
    source = dict(SourceRegion="eu-central-1", SourceSnapshotId=one["SnapshotId"])
    copy = west.copy_snapshot(**source)["SnapshotId"]
    west.get_waiter("snapshot_completed").wait(SnapshotIds=[copy], WaiterConfig=QUICK)
    assert west.describe_snapshots(SnapshotIds=[copy])["Snapshots"][0]["Encrypted"]
    # What is encrypted is read with the address that this client signs by itself, and not with any other.
    wrong = west.copy_snapshot(PresignedUrl="https://ec2.eu-central-1.amazonaws.com/?Action=CopySnapshot", **source)
    try:
        west.get_waiter("snapshot_completed").wait(SnapshotIds=[wrong["SnapshotId"]], WaiterConfig=QUICK)
        raise AssertionError("it was copied all the same")
    except WaiterError as error:
        assert error.last_response["Snapshots"][0]["State"] == "error", error
    golden = [snapshot for snapshot in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
              if snapshot["Description"].startswith("Created by CreateImage")]
    refused("InvalidSnapshot.InUse", ec2.delete_snapshot, SnapshotId=golden[0]["SnapshotId"])
    for snapshot in [one["SnapshotId"], *ids]:
        ec2.delete_snapshot(SnapshotId=snapshot)
    refused("InvalidSnapshot.NotFound", ec2.describe_snapshots, SnapshotIds=ids)


def a_life(ids, group):
    first, second = ids
    ec2.create_tags(Resources=ids, Tags=[{"Key": "late", "Value": "yes"}])
    ec2.delete_tags(Resources=[second], Tags=[{"Key": "late"}])
    [found] = ec2.describe_instances(Filters=by_tag("late", "yes"))["Reservations"]
    assert [one["InstanceId"] for one in found["Instances"]] == [first]
    ec2.reboot_instances(InstanceIds=ids)
    stopping = ec2.stop_instances(InstanceIds=[second])["StoppingInstances"][0]
    assert stopping["PreviousState"]["Name"] == "running"
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[second], WaiterConfig=QUICK)
    ec2.modify_instance_attribute(InstanceId=second, UserData={"Value": b"#!/bin/sh\n"})
    ec2.start_instances(InstanceIds=[second])
    ec2.get_waiter("instance_running").wait(InstanceIds=[second], WaiterConfig=QUICK)
    ec2.modify_instance_attribute(InstanceId=first, DisableApiTermination={"Value": True})
    refused("OperationNotPermitted", ec2.terminate_instances, InstanceIds=[first])
    ec2.modify_instance_attribute(InstanceId=first, DisableApiTermination={"Value": False})
    refused("InvalidInstanceID.NotFound", ec2.terminate_instances, InstanceIds=[first, "i-00000000000000000"])
    refused("DependencyViolation", ec2.delete_security_group, GroupId=group)
    ending = ec2.terminate_instances(InstanceIds=ids)["TerminatingInstances"]
    assert {one["InstanceId"] for one in ending} == set(ids)
    ec2.get_waiter("instance_terminated").wait(InstanceIds=ids, WaiterConfig=QUICK)
    try:
        ec2.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig=QUICK)
        raise AssertionError("An instance that has ended is not awaited.")
    except WaiterError:
        pass
    ec2.delete_security_group(GroupId=group)
    refused("InvalidGroup.NotFound", ec2.describe_security_groups, GroupIds=[group])


def what_stays(volume):
    """Data outlives servers, and roots do not."""
    ec2.get_waiter("volume_available").wait(VolumeIds=[volume], WaiterConfig=QUICK)
    data = ec2.describe_volumes(Filters=by_tag("env", "1"))["Volumes"]
    assert [one["Size"] for one in data] == [3, 3] and all(one["State"] == "available" for one in data)
    for one in [volume, *(one["VolumeId"] for one in data)]:
        ec2.delete_volume(VolumeId=one)


def spot(image):
    market = {"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "one-time"}}
    [one] = ec2.run_instances(ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1,
                              InstanceMarketOptions=market)["Instances"]
    assert one["InstanceLifecycle"] == "spot"
    ec2.get_waiter("instance_running").wait(InstanceIds=[one["InstanceId"]], WaiterConfig=QUICK)
    control(f"interrupt?id={one['InstanceId']}&notice_ms=0")
    ec2.get_waiter("instance_terminated").wait(InstanceIds=[one["InstanceId"]], WaiterConfig=QUICK)
    [request] = ec2.describe_spot_instance_requests()["SpotInstanceRequests"]
    assert (request["InstanceId"], request["State"]) == (one["InstanceId"], "closed")


def main():
    who_one_is()
    image, subnets = what_can_be_had()
    group = a_group()
    ids = servers(image, subnets, group)
    capacity(image)
    pages(image)
    volume = volumes(ids[0])
    snapshots(ids[0], volume)
    a_life(ids, group)
    what_stays(volume)
    spot(image)
    print("boto3 agrees")


main()
