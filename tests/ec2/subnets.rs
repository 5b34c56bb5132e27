//! Subnets that an operator names: tried in the order in which they are written, of one network, one in each zone.

use std::collections::BTreeSet;

use ec2::Ec2;
use ec2::config::Config;
use fake_ec2::{Fake, Rules};
use provisioners::conformance::{effect, server, settled};
use provisioners::{EnvironmentId, Provisioner, ServerPlan, Step};

use super::amazon::{Account, config};

const ACCOUNT: &str = "111122223333";

/// Those of the network that there is, by their zones: c, b, a, which no turning makes of the alphabet.
async fn written(account: &Account) -> Vec<String> {
    let mut subnets = account.amazon().subnets(&[], None).await.expect("subnets");
    subnets.reverse();
    subnets.into_iter().map(|subnet| subnet.id).collect()
}

/// Orders a server of one type, and tells the subnet that it is in.
async fn order(account: &Account, portal: &Ec2, name: &str) -> String {
    let environment = EnvironmentId::new(name);
    let plan = ServerPlan { mounts: Vec::new(), ..server("web", 1) };
    for step in [Step::CreateNetwork, Step::StartServer { server: Box::new(plan) }] {
        assert_eq!(portal.request(&effect(&environment, &step)).await, Ok(()));
    }
    settled(portal, &environment).await;
    let truth = account.fake.truth();
    let found = truth.live_instances("bookend:environment", name).next();
    found.unwrap_or_else(|| panic!("no server of {name}")).subnet.clone()
}

#[tokio::test(start_paused = true)]
async fn where_one_is_full_the_next_one_that_is_written_is_tried() {
    let account = Account::new(Fake::new(Rules::calm()));
    let subnets = written(&account).await;
    let portal = account.open_with(Config { subnets: subnets.clone(), ..config() }).await.expect("three subnets");
    let zone_of =
        |subnet: &str| account.fake.truth().instances.into_iter().find(|one| one.subnet == subnet).map(|one| one.zone);
    let full =
        |zone: &str| ["t3.small", "t3a.small"].iter().for_each(|kind| account.fake.set_capacity(kind, zone, Some(0)));
    // Whichever an environment begins in, those after it follow, and after the last the first.
    let first = order(&account, &portal, "env").await;
    let at = subnets.iter().position(|subnet| *subnet == first).expect("one of those that were written");
    let mut had = vec![first.clone()];
    for number in 1..subnets.len() {
        full(&zone_of(had.last().expect("one")).expect("a zone"));
        let environment = EnvironmentId::new("env");
        let plan = ServerPlan { mounts: Vec::new(), ..server(&format!("web-{number}"), 1) };
        let start = Step::StartServer { server: Box::new(plan) };
        assert_eq!(portal.request(&effect(&environment, &start)).await, Ok(()));
        settled(&portal, &environment).await;
        let truth = account.fake.truth();
        let newest = truth.live_instances("bookend:environment", "env").map(|one| one.subnet.clone());
        had.extend(newest.filter(|subnet| !had.contains(subnet)).collect::<Vec<_>>());
    }
    let wanted: Vec<String> = subnets.iter().cycle().skip(at).take(subnets.len()).cloned().collect();
    assert_eq!(had, wanted);
}

#[tokio::test(start_paused = true)]
async fn of_those_that_are_written_the_first_of_each_zone_has_servers_and_no_other() {
    let account = Account::new(Fake::new(Rules::calm()));
    let usual = written(&account).await;
    let more = account.fake.add_subnet(ACCOUNT, "eu-central-1a", false).expect("an account that was used");
    // Before the other one of its zone, or after it.
    for (subnets, without) in [
        (vec![more.clone(), usual[1].clone(), usual[2].clone()], usual[2].clone()),
        (vec![usual[1].clone(), usual[2].clone(), more.clone()], more),
    ] {
        let portal = account.open_with(Config { subnets: subnets.clone(), ..config() }).await.expect("subnets");
        let mut had = BTreeSet::new();
        for number in 0..12 {
            had.insert(order(&account, &portal, &format!("{without}-{number}")).await);
        }
        let wanted: BTreeSet<String> = subnets.into_iter().filter(|subnet| *subnet != without).collect();
        assert_eq!(had, wanted);
    }
}

#[tokio::test(start_paused = true)]
async fn those_of_two_networks_are_refused_at_the_start_for_servers_could_not_reach_each_other() {
    let account = Account::new(Fake::new(Rules::calm()));
    let usual = written(&account).await;
    let apart = account.fake.add_subnet(ACCOUNT, "eu-central-1b", true).expect("an account that was used");
    let subnets = vec![usual[0].clone(), apart.clone()];
    let told = account.open_with(Config { subnets, ..config() }).await.map(drop).expect_err("two networks").to_string();
    assert!(told.contains(&usual[0]) && told.contains(&apart) && told.contains("of different VPCs"), "{told}");
    let alone = Config { subnets: vec![apart], ..config() };
    account.open_with(alone).await.map(drop).expect("one network is as good as the other");
}
