//! What goes wrong: late sight, throttling, lost and doubled calls, other people.

use std::time::Duration;

use fake_ec2::{Fault, Faults, Lag, Rules};

use crate::client::Client;

#[tokio::test(start_paused = true)]
async fn what_was_just_made_may_not_be_seen_yet_and_is_seen_in_the_end() {
    let lag = Lag { describes_ms: 300_000, changes_ms: 0, wavering: true };
    let amazon = Client::of(Rules { lag, ..Rules::calm() });
    let mut unseen = 0;
    let mut ids = Vec::new();
    for _ in 0..30 {
        let id = amazon.launch("").await;
        let reply = amazon.call("DescribeInstances", &format!("InstanceId.1={id}")).await;
        unseen += usize::from(reply.status == 400 && reply.one("Code") == "InvalidInstanceID.NotFound");
        ids.push(id);
    }
    assert!(unseen > 15, "{unseen}");
    tokio::time::sleep(Duration::from_secs(301)).await;
    for id in &ids {
        assert_eq!(amazon.state_of(id).await, "running");
    }
    // What ends is seen running for a while, too.
    amazon.does("TerminateInstances", &format!("InstanceId.1={}", ids[0])).await;
    tokio::time::sleep(Duration::from_secs(301)).await;
    assert_eq!(amazon.state_of(&ids[0]).await, "terminated");
}

#[tokio::test(start_paused = true)]
async fn buckets_refuse_what_comes_too_fast_and_count_it() {
    let amazon = Client::of(Rules { buckets: true, ..Rules::calm() });
    let image = amazon.image("x86_64").await;
    let form = format!("ImageId={image}&InstanceType=t3.micro&MinCount=1&MaxCount=1");
    let mut refused = 0;
    for _ in 0..8 {
        let reply = amazon.call("RunInstances", &form).await;
        refused += usize::from(reply.status == 503 && reply.one("Code") == "RequestLimitExceeded");
    }
    assert_eq!(refused, 3);
    assert_eq!(amazon.fake.counts().throttled["RunInstances"], 3);
    // The other account and the other region have buckets of their own.
    amazon.region("eu-west-1").call("RunInstances", &form).await;
    assert_eq!(amazon.fake.counts().throttled["RunInstances"], 3);
    tokio::time::sleep(Duration::from_secs(1)).await;
    amazon.does("RunInstances", &form).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_leaves_what_happened_and_the_token_finds_it_again() {
    let amazon = Client::calm();
    let image = amazon.image("x86_64").await;
    let form = format!("ImageId={image}&InstanceType=t3.micro&MinCount=1&MaxCount=1&ClientToken=once");
    let faults = |fault| Faults { at: [(1, fault)].into(), only: vec!["RunInstances".to_owned()], ..Faults::default() };
    amazon.fake.set_faults(faults(Fault::RequestLost));
    assert!(amazon.try_call("RunInstances", &form).await.is_err());
    assert!(amazon.fake.truth().instances.is_empty());
    for fault in [Fault::Refused, Fault::Unavailable] {
        amazon.fake.set_faults(faults(fault));
        assert!(amazon.call("RunInstances", &form).await.status >= 500);
        assert!(amazon.fake.truth().instances.is_empty());
    }
    amazon.fake.set_faults(faults(Fault::ReplyLost));
    assert!(amazon.try_call("RunInstances", &form).await.is_err());
    assert_eq!(amazon.fake.truth().instances.len(), 1);
    let found = amazon.does("RunInstances", &form).await.one("instanceId");
    assert_eq!(amazon.fake.truth().instances[0].id, found);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_token_that_is_delivered_twice_happens_twice() {
    let amazon = Client::calm();
    let at = [(1, Fault::Twice(5_000))].into();
    amazon.fake.set_faults(Faults { at, only: vec!["RunInstances".to_owned()], ..Faults::default() });
    amazon.launch("").await;
    assert_eq!(amazon.fake.truth().instances.len(), 1);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(amazon.fake.truth().instances.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn with_everything_going_wrong_a_token_buys_one_server_and_a_seed_repeats_the_day() {
    let mut days = Vec::new();
    for seed in [3, 3, 4] {
        let amazon = Client::of(Rules::lifelike(seed));
        let image = amazon.image("x86_64").await;
        amazon.fake.set_faults(Faults::everywhere(0.2));
        let mut told = Vec::new();
        for order in 0..20 {
            let form = format!(
                "ImageId={image}&InstanceType=t3.micro&MinCount=1&MaxCount=1&ClientToken=order-{order}\
                 &Placement.AvailabilityZone=eu-central-1a"
            );
            loop {
                match amazon.try_call("RunInstances", &form).await {
                    Ok(reply) if reply.status == 200 => break told.push(reply.one("instanceId")),
                    _ => tokio::time::sleep(Duration::from_millis(700)).await,
                }
            }
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        let mut there: Vec<String> = amazon.fake.truth().instances.into_iter().map(|one| one.id).collect();
        let calls = amazon.fake.counts().of("RunInstances");
        assert!(calls > 20, "{calls}");
        days.push((told.clone(), calls));
        told.sort();
        there.sort();
        assert_eq!(told, there);
    }
    assert_eq!(days[0], days[1]);
    assert_ne!(days[0], days[2]);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_reply_takes_its_time_and_what_it_tells_has_happened() {
    let amazon = Client::calm();
    amazon.fake.set_faults(Faults { at: [(1, Fault::Delayed(20_000))].into(), ..Faults::default() });
    let begun = tokio::time::Instant::now();
    let hung_up = tokio::time::timeout(
        Duration::from_secs(3),
        amazon.call("CreateVolume", "AvailabilityZone=eu-central-1a&Size=1"),
    );
    assert!(hung_up.await.is_err());
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    assert_eq!(amazon.fake.truth().volumes.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_is_not_known_gets_nothing_and_a_role_needs_its_external_id() {
    let amazon = Client::calm();
    let reply = amazon.key("AKIANOBODY", None).call("DescribeInstances", "").await;
    assert_eq!((reply.status, reply.one("Code").as_str()), (401, "AuthFailure"));
    let role = "RoleArn=arn:aws:iam::444455556666:role/bookend&RoleSessionName=portal";
    let reply = amazon.call("AssumeRole", role).await;
    assert_eq!((reply.status, reply.one("Code").as_str()), (403, "AccessDenied"));
    assert_eq!(amazon.refused("AssumeRole", &format!("{role}&ExternalId=bookend-111122223333")).await, "AccessDenied");
    let session = amazon.does("AssumeRole", &format!("{role}&ExternalId=bookend-444455556666")).await;
    let theirs = amazon.key(&session.one("AccessKeyId"), Some(&session.one("SessionToken")));
    assert_eq!(theirs.does("GetCallerIdentity", "").await.one("Account"), "444455556666");
    let id = theirs.launch("").await;
    assert_eq!(amazon.refused("DescribeInstances", &format!("InstanceId.1={id}")).await, "InvalidInstanceID.NotFound");
    assert_eq!(amazon.refused("TerminateInstances", &format!("InstanceId.1={id}")).await, "InvalidInstanceID.NotFound");
    let without_token = amazon.key(&session.one("AccessKeyId"), None);
    assert_eq!(without_token.refused("DescribeInstances", "").await, "AuthFailure");
    tokio::time::sleep(Duration::from_secs(3601)).await;
    assert_eq!(theirs.refused("DescribeInstances", "").await, "RequestExpired");
}

#[tokio::test(start_paused = true)]
async fn among_a_hundred_thousand_resources_of_others_ours_are_found_at_once() {
    let amazon = Client::calm();
    let planted = amazon.fake.plant_foreign(100_000, 7, &["bookend:installation", "bookend:environment"]);
    assert_eq!(planted.len(), 100_000);
    let tag = "TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=bookend:installation\
               &TagSpecification.1.Tag.1.Value=ours";
    let id = amazon.launch(tag).await;
    let found = amazon.does("DescribeInstances", "Filter.1.Name=tag:bookend:installation&Filter.1.Value.1=ours").await;
    assert_eq!(found.all("imageId").len(), 1);
    amazon.does("TerminateInstances", &format!("InstanceId.1={id}")).await;
    assert_eq!(amazon.fake.touches_of(&id).len(), 1);
    assert!(planted.iter().all(|id| amazon.fake.touches_of(id).is_empty()));
    // Some carry our key with another value.
    let keyed =
        amazon.fake.truth().instances.iter().filter(|one| one.tags.contains_key("bookend:installation")).count();
    assert!(keyed > 1000, "{keyed}");
}
