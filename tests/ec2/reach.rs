//! Whom servers on Amazon reach, and who reaches them.

use std::collections::BTreeSet;
use std::time::Duration;

use fake_ec2::{Rules, TrueGroup};
use provisioners::conformance::{effect, server, settled};
use provisioners::{EnvironmentId, Provisioner, ServerPlan, Step};

use super::amazon::{Account, INSTALLATION, config};

#[tokio::test(start_paused = true)]
async fn a_server_reaches_its_environment_and_the_portal_and_the_internet_only_when_its_template_says_so() {
    let account = Account::new(fake_ec2::Fake::new(Rules::calm()));
    let portal = account.open().await;
    let environment = EnvironmentId::new("env");
    let closed = ServerPlan { mounts: Vec::new(), ..server("web", 1) };
    let open = ServerPlan { mounts: Vec::new(), internet: true, ..server("db", 1) };
    let mut steps = vec![Step::CreateNetwork];
    steps.extend([closed, open].map(|server| Step::StartServer { server: Box::new(server) }));
    for step in steps {
        assert_eq!(portal.request(&effect(&environment, &step)).await, Ok(()));
    }
    settled(&portal, &environment).await;

    let truth = account.fake.truth();
    let group = |name: &str| -> TrueGroup {
        let of_name = truth.groups.iter().find(|group| group.name == name && group.state == "here");
        of_name.unwrap_or_else(|| panic!("no group {name}")).clone()
    };
    let own = group("bookend-env");
    assert_closed(&own);
    let internet = group(&format!("bookend-internet-{INSTALLATION}"));
    assert_eq!(internet.rules, ["out all to 0.0.0.0/0"], "out only, and nobody in");
    let mut groups: Vec<BTreeSet<&str>> =
        truth.instances.iter().map(|instance| instance.groups.iter().map(String::as_str).collect()).collect();
    groups.sort_by_key(BTreeSet::len);
    let (own, internet) = (own.id.as_str(), internet.id.as_str());
    assert_eq!(groups, [BTreeSet::from([own]), BTreeSet::from([own, internet])]);
}

/// There Amazon refuses to take back several rules at once when one of them, here that of IPv6, was never given.
#[tokio::test(start_paused = true)]
async fn environments_in_a_network_that_somebody_made_are_closed_as_well() {
    let account = Account::new(fake_ec2::Fake::new(Rules { default_vpc: false, ..Rules::calm() }));
    account.amazon().security_groups(&[]).await.expect("a look");
    let mut config = config();
    config.vpc = account.fake.truth().groups.first().map(|group| group.vpc.clone());
    let portal = account.open_with(config).await.expect("a region that can be used");
    for environment in ["one", "two"] {
        let create = effect(&EnvironmentId::new(environment), &Step::CreateNetwork);
        assert_eq!(portal.request(&create).await, Ok(()));
        let name = format!("bookend-{environment}");
        account.until_network(&EnvironmentId::new(environment)).await;
        let truth = account.fake.truth();
        assert_closed(truth.groups.iter().find(|group| group.name == name).expect("its group"));
    }
}

/// As behind a load balancer, whose addresses come and go.
#[tokio::test(start_paused = true)]
async fn servers_reach_a_portal_that_moves_and_stay() {
    let account = Account::new(fake_ec2::Fake::new(Rules::calm()));
    let environment = EnvironmentId::new("env");
    let at = async |network: &str| {
        let mut config = config();
        config.portal_networks = vec![network.to_owned()];
        account.open_with(config).await.expect("a region that can be used")
    };
    let portal = at("10.0.0.0/24").await;
    let web = ServerPlan { mounts: Vec::new(), ..server("web", 1) };
    for step in [Step::CreateNetwork, Step::StartServer { server: Box::new(web) }] {
        assert_eq!(portal.request(&effect(&environment, &step)).await, Ok(()));
    }
    settled(&portal, &environment).await;
    drop(portal);

    let _portal = at("10.0.7.0/24").await;
    let rules = || -> Vec<String> {
        let groups = account.fake.truth().groups.into_iter();
        groups.filter(|group| group.name == "bookend-env").flat_map(|group| group.rules).collect()
    };
    while !rules().iter().any(|rule| rule == "out tcp 443-443 to 10.0.7.0/24") {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let given = account.fake.counts().of("AuthorizeSecurityGroupEgress");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(account.fake.counts().of("AuthorizeSecurityGroupEgress"), given, "once is enough");
    assert_eq!(account.fake.truth().instances.len(), 1);
}

/// Members reach each other and the portal, and that is all.
fn assert_closed(group: &TrueGroup) {
    let rules: BTreeSet<&str> = group.rules.iter().map(String::as_str).collect();
    let members = [format!("in all from {}", group.id), format!("out all to {}", group.id)];
    let wanted = [members[0].as_str(), members[1].as_str(), "out tcp 443-443 to 10.0.0.0/24"];
    assert_eq!(rules, BTreeSet::from(wanted));
}
