//! Groups, interfaces, and tags.

use std::time::Duration;

use fake_ec2::{Delays, Rules};

use crate::client::{Client, one};

#[tokio::test(start_paused = true)]
async fn a_group_is_there_once_and_stays_while_an_interface_uses_it() {
    let amazon = Client::of(Rules { delays: Delays::lifelike(), ..Rules::calm() });
    let form = "GroupName=env-1&GroupDescription=of+env-1&TagSpecification.1.ResourceType=security-group\
                &TagSpecification.1.Tag.1.Key=env&TagSpecification.1.Tag.1.Value=1";
    let group = amazon.does("CreateSecurityGroup", form).await.one("groupId");
    assert_eq!(amazon.refused("CreateSecurityGroup", form).await, "InvalidGroup.Duplicate");
    let itself = format!("GroupId={group}&IpPermissions.1.IpProtocol=-1&IpPermissions.1.Groups.1.GroupId={group}");
    amazon.does("AuthorizeSecurityGroupIngress", &itself).await;
    assert_eq!(amazon.refused("AuthorizeSecurityGroupIngress", &itself).await, "InvalidPermission.Duplicate");
    let out = format!("GroupId={group}&IpPermissions.1.IpProtocol=-1&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0");
    amazon.does("RevokeSecurityGroupEgress", &out).await;
    // In a default VPC what is not there is passed over.
    amazon.does("RevokeSecurityGroupEgress", &out).await;
    let truth = amazon.fake.truth();
    let ours = truth.groups.iter().find(|one| one.id == group).expect("our group");
    assert_eq!(ours.rules, [format!("in all from {group}")]);

    let instance = amazon.launch(&format!("SecurityGroupId.1={group}")).await;
    let delete = format!("GroupId={group}");
    assert_eq!(amazon.refused("DeleteSecurityGroup", &delete).await, "DependencyViolation");
    amazon.does("TerminateInstances", &format!("InstanceId.1={instance}")).await;
    assert_eq!(amazon.refused("DeleteSecurityGroup", &delete).await, "DependencyViolation");
    tokio::time::sleep(Duration::from_secs(81)).await;
    amazon.does("DeleteSecurityGroup", &delete).await;
    assert_eq!(amazon.refused("DeleteSecurityGroup", &delete).await, "InvalidGroup.NotFound");
    amazon.does("CreateSecurityGroup", form).await;
}

#[tokio::test(start_paused = true)]
async fn a_group_has_sixty_rules_in_each_direction_and_each_once() {
    let amazon = Client::calm();
    let group = amazon.does("CreateSecurityGroup", "GroupName=env-1&GroupDescription=of+env-1").await.one("groupId");
    let to = |third: usize| {
        format!(
            "IpPermissions.{third}.IpProtocol=tcp&IpPermissions.{third}.FromPort=443\
        &IpPermissions.{third}.ToPort=443&IpPermissions.{third}.IpRanges.1.CidrIp=10.0.{third}.0/24"
        )
    };
    let many = |count| (1..=count).map(to).collect::<Vec<_>>().join("&");
    let full = "RulesPerSecurityGroupLimitExceeded";
    // One lets everything out from the beginning.
    assert_eq!(amazon.refused("AuthorizeSecurityGroupEgress", &format!("GroupId={group}&{}", many(60))).await, full);
    amazon.does("AuthorizeSecurityGroupEgress", &format!("GroupId={group}&{}", many(59))).await;
    assert_eq!(amazon.refused("AuthorizeSecurityGroupEgress", &format!("GroupId={group}&{}", to(60))).await, full);
    amazon.does("AuthorizeSecurityGroupIngress", &format!("GroupId={group}&{}", many(60))).await;
    let twice = format!("GroupId={group}&{}&{}", to(1), to(2).replace("10.0.2.0", "10.0.1.0"));
    assert_eq!(amazon.refused("AuthorizeSecurityGroupIngress", &twice).await, "InvalidPermission.Duplicate");
}

#[tokio::test(start_paused = true)]
async fn addresses_come_from_the_subnet_and_tags_are_put_on_interfaces() {
    let amazon = Client::calm();
    let subnets = amazon.does("DescribeSubnets", "Filter.1.Name=default-for-az&Filter.1.Value.1=true").await;
    let subnets = subnets.items("subnetSet");
    assert_eq!(subnets.len(), 3);
    let (subnet, zone) = (one(&subnets[1], "subnetId"), one(&subnets[1], "availabilityZone"));
    let tagged = "TagSpecification.1.ResourceType=network-interface&TagSpecification.1.Tag.1.Key=env\
                  &TagSpecification.1.Tag.1.Value=1";
    let instance = amazon.launch(&format!("SubnetId={subnet}&{tagged}")).await;
    let found = amazon.does("DescribeNetworkInterfaces", "Filter.1.Name=tag:env&Filter.1.Value.1=1").await;
    assert_eq!(found.one("instanceId"), instance);
    assert_eq!(found.one("availabilityZone"), zone);
    let prefix = one(&subnets[1], "cidrBlock").split('.').take(2).collect::<Vec<_>>().join(".");
    assert!(found.one("privateIpAddress").starts_with(&prefix));
    let network = amazon.does("DescribeVpcs", "Filter.1.Name=is-default&Filter.1.Value.1=true").await;
    assert_eq!(network.one("cidrBlock"), "172.31.0.0/16");
}

#[tokio::test(start_paused = true)]
async fn tags_are_put_on_all_or_none_and_fifty_are_enough() {
    let amazon = Client::calm();
    let instance = amazon.launch("").await;
    let bad = format!("ResourceId.1={instance}&ResourceId.2=vol-0123456789abcdef0&Tag.1.Key=a&Tag.1.Value=b");
    assert_eq!(amazon.refused("CreateTags", &bad).await, "InvalidVolume.NotFound");
    let fifty: String = (1..=50).map(|n| format!("&Tag.{n}.Key=k{n}&Tag.{n}.Value=v")).collect();
    amazon.does("CreateTags", &format!("ResourceId.1={instance}{fifty}")).await;
    let one_more = format!("ResourceId.1={instance}&Tag.1.Key=another&Tag.1.Value=x");
    assert_eq!(amazon.refused("CreateTags", &one_more).await, "TagLimitExceeded");
    let tags = "Filter.1.Name=resource-type&Filter.1.Value.1=instance";
    assert_eq!(amazon.does("DescribeTags", tags).await.items("tagSet").len(), 50);
    let first = amazon.does("DescribeTags", &format!("{tags}&MaxResults=30")).await;
    let rest = amazon.does("DescribeTags", &format!("{tags}&MaxResults=30&NextToken={}", first.one("nextToken"))).await;
    assert_eq!(first.items("tagSet").len() + rest.items("tagSet").len(), 50);
    let other_value = format!("ResourceId.1={instance}&Tag.1.Key=k1&Tag.1.Value=not+it&Tag.2.Key=k2");
    amazon.does("DeleteTags", &other_value).await;
    let truth = amazon.fake.truth();
    assert!(truth.instances[0].tags.contains_key("k1") && !truth.instances[0].tags.contains_key("k2"));
}
