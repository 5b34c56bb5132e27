//! Volumes and snapshots.

use std::time::Duration;

use fake_ec2::{Delays, Rules, Spread};

use crate::client::{Client, one};

#[tokio::test(start_paused = true)]
async fn a_volume_comes_to_an_instance_of_its_zone_and_leaves_it() {
    let amazon = Client::of(Rules { delays: Delays::lifelike(), ..Rules::calm() });
    let form = "AvailabilityZone=eu-central-1a&Size=5&VolumeType=gp3&Encrypted=true&ClientToken=v";
    let volume = amazon.does("CreateVolume", form).await.one("volumeId");
    assert_eq!(amazon.does("CreateVolume", form).await.one("volumeId"), volume);
    assert_eq!(amazon.refused("CreateVolume", &form.replace("Size=5", "Size=6")).await, "IdempotentParameterMismatch");
    assert_eq!(amazon.volume_state(&volume).await, "creating");
    let elsewhere = amazon.launch("Placement.AvailabilityZone=eu-central-1b").await;
    let here = amazon.launch("Placement.AvailabilityZone=eu-central-1a").await;
    let attach = |instance: &str, device: &str| format!("VolumeId={volume}&InstanceId={instance}&Device={device}");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(amazon.refused("AttachVolume", &attach(&here, "/dev/sdf")).await, "IncorrectState");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(amazon.refused("AttachVolume", &attach(&elsewhere, "/dev/sdf")).await, "InvalidVolume.ZoneMismatch");
    assert_eq!(amazon.refused("AttachVolume", &attach(&here, "/dev/xvda")).await, "InvalidParameterValue");
    assert_eq!(amazon.refused("AttachVolume", &attach(&here, "disk")).await, "InvalidParameterValue");
    assert_eq!(amazon.does("AttachVolume", &attach(&here, "/dev/sdf")).await.one("status"), "attaching");
    assert_eq!(amazon.refused("AttachVolume", &attach(&here, "/dev/sdg")).await, "VolumeInUse");
    assert_eq!(amazon.refused("DeleteVolume", &format!("VolumeId={volume}")).await, "VolumeInUse");
    let mine = format!("Filter.1.Name=attachment.instance-id&Filter.1.Value.1={here}");
    assert_eq!(amazon.does("DescribeVolumes", &mine).await.items("volumeSet").len(), 2);
    tokio::time::sleep(Duration::from_secs(5)).await;
    amazon.does("DetachVolume", &format!("VolumeId={volume}")).await;
    assert_eq!(amazon.volume_state(&volume).await, "in-use");
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(amazon.volume_state(&volume).await, "available");
    amazon.does("DeleteVolume", &format!("VolumeId={volume}")).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(amazon.refused("DescribeVolumes", &format!("VolumeId.1={volume}")).await, "InvalidVolume.NotFound");
}

#[tokio::test(start_paused = true)]
async fn when_an_instance_ends_its_root_goes_with_it_and_its_data_becomes_available() {
    let amazon = Client::of(Rules { delays: Delays::lifelike(), ..Rules::calm() });
    let instance = amazon
        .launch(
            "Placement.AvailabilityZone=eu-central-1a&BlockDeviceMapping.1.DeviceName=/dev/sdf\
             &BlockDeviceMapping.1.Ebs.VolumeSize=3&TagSpecification.1.ResourceType=volume\
             &TagSpecification.1.Tag.1.Key=of&TagSpecification.1.Tag.1.Value=us",
        )
        .await;
    tokio::time::sleep(Duration::from_secs(21)).await;
    let volumes = amazon.fake.truth().instances[0].volumes.clone();
    assert_eq!(volumes.len(), 2);
    amazon.does("TerminateInstances", &format!("InstanceId.1={instance}")).await;
    assert_eq!(amazon.volume_state(&volumes[1]).await, "in-use");
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(amazon.volume_state(&volumes[1]).await, "available");
    assert_eq!(
        amazon.refused("DescribeVolumes", &format!("VolumeId.1={}", volumes[0])).await,
        "InvalidVolume.NotFound"
    );
    let ours = amazon.does("DescribeVolumes", "Filter.1.Name=tag:of&Filter.1.Value.1=us").await;
    assert_eq!(ours.items("volumeSet").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_is_held_lets_go_only_by_force() {
    let amazon = Client::calm();
    let instance = amazon.launch("Placement.AvailabilityZone=eu-central-1a").await;
    let volume = amazon.does("CreateVolume", "AvailabilityZone=eu-central-1a&Size=1").await.one("volumeId");
    amazon.does("AttachVolume", &format!("VolumeId={volume}&InstanceId={instance}&Device=/dev/sdf")).await;
    amazon.fake.set_stuck([volume.clone()]);
    amazon.does("DetachVolume", &format!("VolumeId={volume}")).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(amazon.volume_state(&volume).await, "in-use");
    amazon.does("DetachVolume", &format!("VolumeId={volume}&Force=true")).await;
    assert_eq!(amazon.volume_state(&volume).await, "available");
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_holds_the_moment_it_was_accepted_and_can_be_used_once_it_is_complete() {
    let amazon =
        Client::of(Rules { delays: Delays { snapshot: Spread(60_000, 60_000), ..Delays::default() }, ..Rules::calm() });
    let volume = amazon.does("CreateVolume", "AvailabilityZone=eu-central-1a&Size=10").await.one("volumeId");
    let accepted = amazon.fake.now_ms();
    let snapshot = amazon.does("CreateSnapshot", &format!("VolumeId={volume}")).await.one("snapshotId");
    tokio::time::sleep(Duration::from_secs(30)).await;
    let pending = amazon.does("DescribeSnapshots", "Owner.1=self&Filter.1.Name=status&Filter.1.Value.1=pending").await;
    assert_eq!(pending.one("progress"), "50%");
    let restore = format!("AvailabilityZone=eu-central-1b&SnapshotId={snapshot}");
    assert_eq!(amazon.refused("CreateVolume", &restore).await, "IncorrectState");
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(amazon.snapshot_state(&snapshot).await, "completed");
    assert_eq!(amazon.refused("CreateVolume", &(restore.clone() + "&Size=9")).await, "InvalidParameterValue");
    let restored = amazon.does("CreateVolume", &restore).await;
    assert_eq!((restored.one("size").as_str(), restored.one("availabilityZone").as_str()), ("10", "eu-central-1b"));
    let truth = amazon.fake.truth();
    assert_eq!(truth.snapshots.iter().find(|one| one.id == snapshot).map(|one| one.started_ms), Some(accepted));
    amazon.does("DeleteSnapshot", &format!("SnapshotId={snapshot}")).await;
    assert_eq!(amazon.refused("DeleteSnapshot", &format!("SnapshotId={snapshot}")).await, "InvalidSnapshot.NotFound");
}

#[tokio::test(start_paused = true)]
async fn all_volumes_of_an_instance_are_kept_in_one_call() {
    let amazon = Client::calm();
    let instance = amazon
        .launch(
            "BlockDeviceMapping.1.DeviceName=/dev/sdf&BlockDeviceMapping.1.Ebs.VolumeSize=3\
             &BlockDeviceMapping.2.DeviceName=/dev/sdg&BlockDeviceMapping.2.Ebs.VolumeSize=4\
             &TagSpecification.1.ResourceType=volume&TagSpecification.1.Tag.1.Key=a&TagSpecification.1.Tag.1.Value=b",
        )
        .await;
    let form = format!(
        "InstanceSpecification.InstanceId={instance}&InstanceSpecification.ExcludeBootVolume=true\
         &CopyTagsFromSource=volume&TagSpecification.1.ResourceType=snapshot&TagSpecification.1.Tag.1.Key=set\
         &TagSpecification.1.Tag.1.Value=7"
    );
    let taken = amazon.does("CreateSnapshots", &form).await;
    let sizes: Vec<String> = taken.items("snapshotSet").iter().map(|item| one(item, "volumeSize")).collect();
    assert_eq!(sizes, ["3", "4"]);
    let both = "Filter.1.Name=tag:set&Filter.1.Value.1=7&Filter.2.Name=tag:a&Filter.2.Value.1=b";
    let found = amazon.does("DescribeSnapshots", both).await.items("snapshotSet");
    assert_eq!(found.len(), 2);
    assert_eq!(one(&found[0], "startTime"), one(&found[1], "startTime"));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_of_an_image_stays_and_copies_go_to_other_regions() {
    let amazon = Client::calm();
    let own = amazon.does("DescribeSnapshots", "Owner.1=self").await.one("snapshotId");
    assert_eq!(amazon.refused("DeleteSnapshot", &format!("SnapshotId={own}")).await, "InvalidSnapshot.InUse");
    let west = amazon.region("eu-west-1");
    let form = format!("SourceRegion=eu-central-1&SourceSnapshotId={own}&Encrypted=true");
    let copy = west.does("CopySnapshot", &form).await.one("snapshotId");
    assert_eq!(west.snapshot_state(&copy).await, "completed");
    assert_eq!(amazon.refused("DescribeSnapshots", &format!("SnapshotId.1={copy}")).await, "InvalidSnapshot.NotFound");
    let theirs = west.key("AKIAFAKETHEIRS", None);
    assert_eq!(theirs.refused("CopySnapshot", &form).await, "InvalidSnapshot.NotFound");
    let pair = format!("AvailabilityZone.1=eu-west-1a&SourceSnapshotId.1={copy}");
    west.does("EnableFastSnapshotRestores", &pair).await;
    let restored = west.does("CreateVolume", &format!("AvailabilityZone=eu-west-1a&SnapshotId={copy}")).await;
    assert_eq!(restored.one("fastRestored"), "true");
    west.does("DisableFastSnapshotRestores", &pair).await;
    assert!(west.does("DescribeFastSnapshotRestores", "").await.items("fastSnapshotRestoreSet").is_empty());
}
