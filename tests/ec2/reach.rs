//! Whom servers on Amazon reach, and who reaches them.

use std::collections::BTreeSet;
use std::time::Duration;

use ec2::Ec2;
use ec2::amazon::Rule;
use ec2::buckets::Bucket;
use fake_ec2::{Delays, Fault, Faults, Rules, Spread, TrueGroup};
use provisioners::conformance::{effect, server, settled};
use provisioners::{EnvironmentId, MachineState, Provisioner, ServerPlan, Step};
use tokio::time::sleep;

use super::amazon::{Account, INSTALLATION, config};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

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
    assert_closed(&own, "10.0.0.0/24");
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
        let group = truth.groups.iter().find(|group| group.name == name).expect("its group");
        assert_closed(group, "10.0.0.0/24");
    }
}

/// As behind a load balancer, whose addresses come and go.
#[tokio::test(start_paused = true)]
async fn servers_reach_a_portal_that_moves_and_stay() {
    let account = Account::new(fake_ec2::Fake::new(Rules::calm()));
    let environment = EnvironmentId::new("env");
    let portal = at(&account, "10.0.0.0/24").await;
    begin(&portal, &environment, 1).await;
    drop(portal);

    let _portal = at(&account, "10.0.7.0/24").await;
    while !lets_out(&account, "10.0.7.0/24") {
        sleep(SECOND).await;
    }
    let given = account.fake.counts().of("AuthorizeSecurityGroupEgress");
    sleep(HOUR).await;
    assert_eq!(account.fake.counts().of("AuthorizeSecurityGroupEgress"), given, "once is enough");
    assert_eq!(account.fake.truth().instances.len(), 1);
}

/// What was the portal's address once is somebody else's sooner or later, and a group has not room for all of them.
#[tokio::test(start_paused = true)]
async fn of_a_portal_that_never_stays_its_last_addresses_are_open_and_a_day_later_the_present_one_alone() {
    let account = Account::new(fake_ec2::Fake::new(Rules::calm()));
    let environment = EnvironmentId::new("env");
    let mut portal = at(&account, "10.0.0.0/24").await;
    begin(&portal, &environment, 1).await;
    for hour in 1..=72 {
        drop(portal);
        portal = at(&account, &format!("10.0.{hour}.0/24")).await;
        sleep(HOUR).await;
        for recent in hour - 8.min(hour)..=hour {
            assert!(lets_out(&account, &format!("10.0.{recent}.0/24")), "{recent} in hour {hour}: {:?}", own(&account));
        }
    }
    sleep(HOUR * 36).await;
    assert_closed(&own(&account), "10.0.72.0/24");
}

/// All environments want it at once, and nobody waits for it but their servers' next agents.
#[tokio::test(start_paused = true)]
async fn who_orders_when_the_portal_has_moved_does_not_wait_for_those_that_follow_it() {
    const ENVIRONMENTS: u64 = 150;
    let account = Account::new(fake_ec2::Fake::new(Rules { buckets: true, ..Rules::calm() }));
    let portal = at(&account, "10.0.0.0/24").await;
    for number in 0..ENVIRONMENTS {
        ask(&portal, &EnvironmentId::new(format!("a-{number:03}")), Step::CreateNetwork).await;
    }
    for number in 0..ENVIRONMENTS {
        account.until_network(&EnvironmentId::new(format!("a-{number:03}"))).await;
    }
    sleep(SECOND * 60).await;
    drop(portal);

    let given = || account.fake.counts().of("AuthorizeSecurityGroupEgress");
    let before = given();
    let portal = at(&account, "10.0.7.0/24").await;
    while given() < before + ENVIRONMENTS / 6 {
        sleep(SECOND / 20).await;
    }
    // By its name it is the last of all.
    let person = EnvironmentId::new("z");
    ask(&portal, &person, Step::CreateNetwork).await;
    account.until_network(&person).await;
    let followed = given() - before;
    assert!(followed < ENVIRONMENTS / 2, "{followed} of {ENVIRONMENTS} went before");
    while given() < before + ENVIRONMENTS + 1 {
        sleep(SECOND).await;
    }
}

/// Each is told other addresses when it asks for its own name, as with several load balancers.
#[tokio::test(start_paused = true)]
async fn two_portals_that_know_different_addresses_leave_each_others_open() {
    let account = Account::new(fake_ec2::Fake::new(Rules::calm()));
    let environment = EnvironmentId::new("env");
    let networks = ["10.0.0.0/24", "10.0.7.0/24"];
    let (one, _other) = (at(&account, networks[0]).await, at(&account, networks[1]).await);
    begin(&one, &environment, 1).await;
    while !networks.iter().all(|network| lets_out(&account, network)) {
        sleep(SECOND).await;
    }
    let changes = || {
        let counts = account.fake.counts();
        ["AuthorizeSecurityGroupEgress", "RevokeSecurityGroupEgress"].map(|action| counts.of(action))
    };
    let before = changes();
    for hour in 0..40 {
        sleep(HOUR).await;
        assert!(networks.iter().all(|network| lets_out(&account, network)), "{hour}: {:?}", own(&account));
    }
    assert_eq!(changes(), before);
}

/// The call that gave the rules happened, and nobody heard of it.
#[tokio::test(start_paused = true)]
async fn a_portal_that_moves_while_a_group_gets_its_rules_is_reached() {
    let account = Account::new(fake_ec2::Fake::new(Rules::calm()));
    let environment = EnvironmentId::new("env");
    let only = vec!["AuthorizeSecurityGroupEgress".to_owned()];
    account.fake.set_faults(Faults { at: [(1, Fault::ReplyLost)].into(), only, ..Faults::default() });
    let portal = at(&account, "10.0.0.0/24").await;
    ask(&portal, &environment, Step::CreateNetwork).await;
    while account.fake.counts().of("AuthorizeSecurityGroupEgress") == 0 {
        sleep(SECOND / 20).await;
    }
    drop(portal);
    assert!(lets_out(&account, "10.0.0.0/24"));

    let portal = at(&account, "10.0.7.0/24").await;
    begin(&portal, &environment, 1).await;
    assert!(lets_out(&account, "10.0.7.0/24"), "{:?}", own(&account));
    sleep(HOUR * 36).await;
    assert_closed(&own(&account), "10.0.7.0/24");
}

/// As when somebody's database lets an environment's servers in: Amazon does not delete a group that another one names.
#[tokio::test(start_paused = true)]
async fn an_environment_whose_group_somebody_refers_to_is_parked_and_resumed_and_its_group_goes_in_the_end() {
    let account = Account::new(fake_ec2::Fake::new(Rules::calm()));
    let environment = EnvironmentId::new("env");
    let portal = account.open().await;
    begin(&portal, &environment, 1).await;
    let (group, amazon) = (own(&account), account.amazon());
    let pay = async |action| amazon.buckets.acquire(&[(Bucket::Call(action), 1)]).await;
    let paid = pay("CreateSecurityGroup").await;
    let made = amazon.create_security_group(paid, &group.vpc, "database", "of somebody", &[].into()).await;
    let database = made.expect("a group");
    let members = [Rule::Members(group.id.clone())];
    amazon.allow_in(pay("AuthorizeSecurityGroupIngress").await, &database, &members).await.expect("a rule");

    park(&portal, &environment, 1).await;
    sleep(HOUR).await;
    assert_eq!(own(&account), group);
    begin(&portal, &environment, 2).await;
    sleep(HOUR).await;
    assert_eq!(own(&account), group, "the one that the database lets in");

    park(&portal, &environment, 2).await;
    amazon.delete_security_group(pay("DeleteSecurityGroup").await, &database).await.expect("nobody uses it");
    sleep(SECOND * 120).await;
    assert!(!account.fake.truth().groups.iter().any(|one| one.id == group.id && one.is_alive()));
}

#[tokio::test(start_paused = true)]
async fn an_environment_is_resumed_while_amazon_has_not_let_go_of_what_its_servers_had() {
    let delays = Delays { letting_go: Spread(600_000, 600_000), ..Delays::default() };
    let account = Account::new(fake_ec2::Fake::new(Rules { delays, ..Rules::calm() }));
    let environment = EnvironmentId::new("env");
    let portal = account.open().await;
    for generation in 1..4 {
        begin(&portal, &environment, generation).await;
        park(&portal, &environment, generation).await;
        sleep(SECOND * 60).await;
    }
    sleep(SECOND * 700).await;
    assert!(!account.fake.truth().groups.iter().any(|group| group.name == "bookend-env" && group.is_alive()));
}

/// As when somebody tidies up between two days.
#[tokio::test(start_paused = true)]
async fn a_group_that_somebody_deleted_is_made_again() {
    let account = Account::new(fake_ec2::Fake::new(Rules::calm()));
    let environment = EnvironmentId::new("env");
    let portal = account.open().await;
    begin(&portal, &environment, 1).await;
    let stop = Step::StopServer { server: web(1).id, generation: 1 };
    ask(&portal, &environment, stop).await;
    settled(&portal, &environment).await;
    let (group, amazon) = (own(&account), account.amazon());
    let paid = amazon.buckets.acquire(&[(Bucket::Call("DeleteSecurityGroup"), 1)]).await;
    amazon.delete_security_group(paid, &group.id).await.expect("nobody uses it");
    let is_there = async || settled(&portal, &environment).await.network;
    while is_there().await {
        sleep(SECOND * 60).await;
    }
    begin(&portal, &environment, 2).await;
    assert_closed(&own(&account), "10.0.0.0/24");
}

/// A portal that is found in this network alone.
async fn at(account: &Account, network: &str) -> Ec2 {
    let mut config = config();
    config.portal_networks = vec![network.to_owned()];
    account.open_with(config).await.expect("a region that can be used")
}

async fn ask(portal: &Ec2, environment: &EnvironmentId, step: Step) {
    assert_eq!(portal.request(&effect(environment, &step)).await, Ok(()), "{step:?}");
}

fn web(generation: i64) -> ServerPlan {
    ServerPlan { mounts: Vec::new(), ..server("web", generation) }
}

/// A network and a server that runs in it.
async fn begin(portal: &Ec2, environment: &EnvironmentId, generation: i64) {
    ask(portal, environment, Step::CreateNetwork).await;
    ask(portal, environment, Step::StartServer { server: Box::new(web(generation)) }).await;
    let observed = settled(portal, environment).await;
    let states: Vec<_> = observed.servers.iter().map(|server| &server.state).collect();
    assert_eq!(states, [&MachineState::Running], "{observed:?}");
}

/// Without its server, and the network is to go.
async fn park(portal: &Ec2, environment: &EnvironmentId, generation: i64) {
    ask(portal, environment, Step::StopServer { server: web(generation).id, generation }).await;
    settled(portal, environment).await;
    ask(portal, environment, Step::DeleteNetwork).await;
    assert!(!settled(portal, environment).await.network);
}

/// The environment's group.
fn own(account: &Account) -> TrueGroup {
    let mut groups = account.fake.truth().groups.into_iter();
    groups.find(|group| group.name == "bookend-env" && group.is_alive()).expect("a group")
}

fn lets_out(account: &Account, network: &str) -> bool {
    own(account).rules.contains(&format!("out tcp 443-443 to {network}"))
}

/// Members reach each other and the portal, and that is all.
fn assert_closed(group: &TrueGroup, portal: &str) {
    let rules: BTreeSet<&str> = group.rules.iter().map(String::as_str).collect();
    let members = [format!("in all from {}", group.id), format!("out all to {}", group.id)];
    let portal = format!("out tcp 443-443 to {portal}");
    assert_eq!(rules, BTreeSet::from([members[0].as_str(), members[1].as_str(), portal.as_str()]));
}
