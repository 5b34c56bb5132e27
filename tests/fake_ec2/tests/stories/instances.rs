//! Instances: launching exactly as many as were asked for, and their life.

use std::time::Duration;

use fake_ec2::{Delays, Rules};

use crate::client::{Client, one};

#[tokio::test(start_paused = true)]
async fn the_same_token_and_request_return_the_same_instances_until_one_of_them_has_terminated() {
    let amazon = Client::of(Rules { delays: Delays::lifelike(), ..Rules::calm() });
    let image = amazon.image("x86_64").await;
    let form = format!("ImageId={image}&InstanceType=t3.micro&MinCount=2&MaxCount=2&ClientToken=order-1");
    let first = amazon.does("RunInstances", &form).await;
    assert_eq!(first.all("name").iter().filter(|state| *state == "pending").count(), 2);
    tokio::time::sleep(Duration::from_secs(30)).await;
    let second = amazon.does("RunInstances", &form).await;
    assert_eq!(first.all("instanceId"), second.all("instanceId"));
    assert_eq!(first.one("reservationId"), second.one("reservationId"));
    assert!(second.body.contains("running") && !second.body.contains("pending"));

    let ids = first.all("instanceId");
    let one = ids.iter().find(|id| id.starts_with("i-")).expect("an instance");
    amazon.does("TerminateInstances", &format!("InstanceId.1={one}")).await;
    let ending = amazon.does("RunInstances", &form).await;
    assert_eq!(ending.all("instanceId"), ids);
    assert!(ending.body.contains("shutting-down") && ending.body.contains("running"));
    for later in [60, 2 * 3600] {
        tokio::time::sleep(Duration::from_secs(later)).await;
        assert_eq!(amazon.refused("RunInstances", &form).await, "IdempotentInstanceTerminated");
    }
    let other = form.replace("MinCount=2", "MinCount=1");
    assert_eq!(amazon.refused("RunInstances", &other).await, "IdempotentParameterMismatch");
    assert_eq!(amazon.fake.truth().instances.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_with_another_request_is_a_mismatch_and_one_of_a_failed_call_is_still_good() {
    let amazon = Client::calm();
    let image = amazon.image("x86_64").await;
    let form = |kind: &str| format!("ImageId={image}&InstanceType={kind}&MinCount=1&MaxCount=1&ClientToken=t");
    amazon.fake.set_capacity("t3.micro", "eu-central-1a", Some(0));
    let narrow = form("t3.micro") + "&Placement.AvailabilityZone=eu-central-1a";
    assert_eq!(amazon.refused("RunInstances", &narrow).await, "InsufficientInstanceCapacity");
    amazon.fake.set_capacity("t3.micro", "eu-central-1a", Some(1));
    amazon.does("RunInstances", &narrow).await;
    assert_eq!(
        amazon.refused("RunInstances", &(narrow.clone() + "&KeyName=operator")).await,
        "IdempotentParameterMismatch"
    );
    assert_eq!(amazon.fake.truth().instances.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_zonal_where_the_request_names_a_zone() {
    let amazon = Client::calm();
    let first = amazon.launch("ClientToken=t&Placement.AvailabilityZone=eu-central-1a").await;
    let second = amazon.launch("ClientToken=t&Placement.AvailabilityZone=eu-central-1b").await;
    assert_ne!(first, second);
    assert_eq!(amazon.launch("ClientToken=t&Placement.AvailabilityZone=eu-central-1a").await, first);
}

#[tokio::test(start_paused = true)]
async fn an_instance_goes_through_its_states_and_is_shown_for_an_hour_after_its_end() {
    let amazon = Client::of(Rules { delays: Delays::lifelike(), ..Rules::calm() });
    let id = amazon.launch("").await;
    assert_eq!(amazon.state_of(&id).await, "pending");
    tokio::time::sleep(Duration::from_secs(21)).await;
    assert_eq!(amazon.state_of(&id).await, "running");
    let instance = format!("InstanceId.1={id}");
    amazon.does("StopInstances", &instance).await;
    assert_eq!(amazon.state_of(&id).await, "stopping");
    assert_eq!(amazon.refused("StartInstances", &instance).await, "IncorrectInstanceState");
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(amazon.state_of(&id).await, "stopped");
    amazon.does("StartInstances", &instance).await;
    tokio::time::sleep(Duration::from_secs(21)).await;
    assert_eq!(amazon.state_of(&id).await, "running");
    amazon.does("TerminateInstances", &instance).await;
    assert_eq!(amazon.state_of(&id).await, "shutting-down");
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(amazon.state_of(&id).await, "terminated");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(amazon.refused("DescribeInstances", &instance).await, "InvalidInstanceID.NotFound");
}

#[tokio::test(start_paused = true)]
async fn one_bad_id_fails_the_whole_call_and_a_protected_instance_its_zone() {
    let amazon = Client::calm();
    let here = amazon.launch("Placement.AvailabilityZone=eu-central-1a").await;
    let protected = amazon.launch("Placement.AvailabilityZone=eu-central-1a&DisableApiTermination=true").await;
    let there = amazon.launch("Placement.AvailabilityZone=eu-central-1b").await;
    let bad = format!("InstanceId.1={here}&InstanceId.2=i-0123456789abcdef0");
    assert_eq!(amazon.refused("TerminateInstances", &bad).await, "InvalidInstanceID.NotFound");
    assert_eq!(amazon.refused("TerminateInstances", "InstanceId.1=i-x").await, "InvalidInstanceID.Malformed");
    assert_eq!(amazon.state_of(&here).await, "running");
    let all = format!("InstanceId.1={here}&InstanceId.2={protected}&InstanceId.3={there}");
    assert_eq!(amazon.refused("TerminateInstances", &all).await, "OperationNotPermitted");
    assert_eq!(amazon.state_of(&here).await, "running");
    assert_eq!(amazon.state_of(&there).await, "terminated");
    amazon.does("ModifyInstanceAttribute", &format!("InstanceId={protected}&DisableApiTermination.Value=false")).await;
    amazon.does("TerminateInstances", &format!("InstanceId.1={here}&InstanceId.2={protected}")).await;
    assert_eq!(amazon.state_of(&protected).await, "terminated");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_refused_with_amazons_codes() {
    let amazon = Client::calm();
    let (intel, arm) = (amazon.image("x86_64").await, amazon.image("arm64").await);
    let one = |rest: &str| format!("MinCount=1&MaxCount=1&{rest}");
    for (rest, code) in [
        (format!("ImageId={arm}&InstanceType=t3.micro"), "InvalidParameterValue"),
        (format!("ImageId={intel}&InstanceType=t9.huge"), "InvalidParameterValue"),
        ("ImageId=ami-0123456789abcdef0&InstanceType=t3.micro".to_owned(), "InvalidAMIID.NotFound"),
        (format!("ImageId={arm}&InstanceType=m7g.large&Placement.AvailabilityZone=eu-central-1c"), "Unsupported"),
        (format!("ImageId={intel}&InstanceType=t3.micro&KeyName=nobody"), "InvalidKeyPair.NotFound"),
        (
            format!("ImageId={intel}&InstanceType=t3.micro&SecurityGroupId.1=sg-0123456789abcdef0"),
            "InvalidGroup.NotFound",
        ),
        (format!("ImageId={intel}&InstanceType=t3.micro&UserData=%21"), "InvalidUserData.Malformed"),
        (format!("ImageId={intel}&InstanceType=t3.micro&UserData={}", "QUFB".repeat(5500)), "InvalidParameterValue"),
        (format!("ImageId={intel}&InstanceType=t3.micro&Sevrer=1"), "UnknownParameter"),
        (
            format!(
                "ImageId={intel}&InstanceType=t3.micro&TagSpecification.1.ResourceType=instance\
                 &TagSpecification.1.Tag.1.Key=aws:x&TagSpecification.1.Tag.1.Value=1"
            ),
            "InvalidParameterValue",
        ),
        (
            format!("ImageId={intel}&InstanceType=t3.micro&HibernationOptions.Configured=true"),
            "UnsupportedHibernationConfiguration",
        ),
    ] {
        assert_eq!(amazon.refused("RunInstances", &one(&rest)).await, code, "{rest}");
    }
    amazon.fake.set_vcpu_limit(Some(4));
    let three = format!("ImageId={intel}&InstanceType=t3.micro&MinCount=3&MaxCount=3");
    assert_eq!(amazon.refused("RunInstances", &three).await, "VcpuLimitExceeded");
    let some = format!("ImageId={intel}&InstanceType=t3.micro&MinCount=1&MaxCount=3");
    assert_eq!(amazon.does("RunInstances", &some).await.all("imageId").len(), 2);
    assert_eq!(amazon.fake.truth().instances.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_tells_what_is_allowed_and_does_nothing() {
    let amazon = Client::calm();
    let image = amazon.image("x86_64").await;
    let form = format!("ImageId={image}&InstanceType=t3.micro&MinCount=1&MaxCount=1&DryRun=true");
    let reply = amazon.call("RunInstances", &form).await;
    assert_eq!((reply.status, reply.one("Code").as_str()), (412, "DryRunOperation"));
    amazon.fake.set_denied(["RunInstances"]);
    let reply = amazon.call("RunInstances", &form).await;
    assert_eq!((reply.status, reply.one("Code").as_str()), (403, "UnauthorizedOperation"));
    assert!(amazon.fake.truth().instances.is_empty());
}

#[tokio::test(start_paused = true)]
async fn pages_hold_every_instance_once_and_filters_find_by_tag() {
    let amazon = Client::calm();
    let image = amazon.image("x86_64").await;
    let tagged = |color: &str| {
        format!(
            "ImageId={image}&InstanceType=t3.micro&MinCount=12&MaxCount=12&TagSpecification.1.ResourceType=instance\
             &TagSpecification.1.Tag.1.Key=color&TagSpecification.1.Tag.1.Value={color}"
        )
    };
    amazon.does("RunInstances", &tagged("red")).await;
    amazon.does("RunInstances", &tagged("green")).await;
    let mut seen = Vec::new();
    let mut next = String::new();
    loop {
        let form = format!("Filter.1.Name=tag:color&Filter.1.Value.1=red&MaxResults=5{next}");
        let page = amazon.does("DescribeInstances", &form).await;
        let ids: Vec<String> =
            page.within("instancesSet").iter().flat_map(|set| crate::client::all(set, "imageId")).collect();
        seen.extend(page.all("privateIpAddress"));
        assert!(ids.len() <= 5);
        match page.one("nextToken") {
            token if token.is_empty() => break,
            token => next = format!("&NextToken={token}"),
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 12);
    let wild =
        "Filter.1.Name=tag:color&Filter.1.Value.1=gr*&Filter.2.Name=instance-state-name&Filter.2.Value.1=running";
    assert_eq!(amazon.does("DescribeInstances", wild).await.all("imageId").len(), 12);
    assert_eq!(
        amazon.refused("DescribeInstances", "Filter.1.Name=colour&Filter.1.Value.1=x").await,
        "InvalidParameterValue"
    );
    assert_eq!(amazon.refused("DescribeInstances", "MaxResults=4").await, "InvalidParameterValue");
    let many: String = (1..=201).map(|n| format!("&Filter.1.Value.{n}=x")).collect();
    assert_eq!(amazon.refused("DescribeInstances", &format!("Filter.1.Name=tag:a{many}")).await, "FilterLimitExceeded");
}

#[tokio::test(start_paused = true)]
async fn a_spot_instance_is_taken_back_two_minutes_after_it_was_said() {
    let amazon = Client::calm();
    let id = amazon.launch("InstanceMarketOptions.MarketType=spot").await;
    amazon.fake.interrupt(&id, Duration::from_secs(120)).expect("a spot instance");
    tokio::time::sleep(Duration::from_secs(119)).await;
    assert_eq!(amazon.state_of(&id).await, "running");
    let requests = amazon.does("DescribeSpotInstanceRequests", "").await;
    assert!(requests.body.contains("marked-for-termination"));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let reply = amazon.does("DescribeInstances", &format!("InstanceId.1={id}")).await;
    assert_eq!(one(&reply.within("stateReason")[0], "code"), "Server.SpotInstanceTermination");
    assert!(amazon.fake.interrupt(&id, Duration::ZERO).is_err());
}
