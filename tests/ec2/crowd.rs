//! An account that others use, too, and people who have a hand in it: calls are refused though they should pass, and one refusal
//! keeps nothing else from going on.

use std::collections::BTreeSet;
use std::time::Duration;

use ec2::Ec2;
use fake_ec2::{Fake, Rules, TrueInstance};
use provisioners::conformance::{effect, server};
use provisioners::{EnvironmentId, Provisioner, ServerId, ServerPlan, Step};
use tokio::time::sleep;

use super::amazon::{Account, config};

const CROWD: usize = 60;

fn environments() -> impl Iterator<Item = EnvironmentId> {
    (0..CROWD).map(|number| EnvironmentId::new(format!("env-{number:02}")))
}

async fn ask(portal: &Ec2, environment: &EnvironmentId, step: Step) {
    assert_eq!(portal.request(&effect(environment, &step)).await, Ok(()));
}

/// A network, and a server without volumes in it.
async fn start(portal: &Ec2, environment: &EnvironmentId) {
    let plan = ServerPlan { id: web(environment), mounts: Vec::new(), ..server("web", 1) };
    ask(portal, environment, Step::CreateNetwork).await;
    ask(portal, environment, Step::StartServer { server: Box::new(plan) }).await;
}

fn web(environment: &EnvironmentId) -> ServerId {
    ServerId::new(format!("{environment}-web"))
}

async fn stop(portal: &Ec2, environment: &EnvironmentId) {
    ask(portal, environment, Step::StopServer { server: web(environment), generation: 1 }).await;
}

fn running(account: &Account) -> Vec<TrueInstance> {
    account.fake.truth().instances.into_iter().filter(|one| one.state == "running").collect()
}

async fn until_running(account: &Account, how_many: usize) {
    while running(account).len() != how_many {
        sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn where_others_use_most_of_what_the_account_may_ask_for_all_servers_come_and_go_and_few_calls_are_refused() {
    let account = Account::new(Fake::new(Rules { buckets: true, others_percent: 60, ..Rules::calm() }));
    let portal = account.open().await;
    for environment in environments() {
        start(&portal, &environment).await;
    }
    until_running(&account, CROWD).await;
    let counts = account.fake.counts();
    assert!(counts.all_throttled() > 0, "this account has less than what is published");
    assert!(counts.all_throttled() < CROWD as u64, "asked for slower after a refusal: {:?}", counts.throttled);
    assert_eq!(account.fake.truth().instances.len(), CROWD, "a refused launch brings nothing");

    for environment in environments() {
        stop(&portal, &environment).await;
    }
    until_running(&account, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_somebody_protected_keeps_no_other_from_ending_and_ends_when_it_may() {
    let account = Account::new(Fake::new(Rules::calm()));
    let portal = account.open().await;
    for environment in environments() {
        start(&portal, &environment).await;
    }
    until_running(&account, CROWD).await;
    let protected = running(&account).swap_remove(CROWD / 2).id;
    account.fake.set_protected(&protected, true);
    for environment in environments() {
        stop(&portal, &environment).await;
    }
    until_running(&account, 1).await;
    assert_eq!(running(&account)[0].id, protected);
    let whose = environments().find(|one| running(&account)[0].tags["bookend:environment"] == one.as_str());
    let whose = [whose.expect("one of them")];
    let mut trouble = None;
    while trouble.is_none() {
        sleep(Duration::from_secs(5)).await;
        let seen = portal.observe(&whose).await.expect("an answer");
        trouble = seen[0].servers[0].trouble.clone();
    }
    assert!(trouble.is_some_and(|trouble| trouble.contains("OperationNotPermitted")), "whoever waits is told why");
    account.fake.set_protected(&protected, false);
    until_running(&account, 0).await;
}

/// One that Amazon will not stop, as it has ended meanwhile, is in the same call as all the others.
#[tokio::test(start_paused = true)]
async fn a_server_that_somebody_ended_keeps_no_other_from_standing_by_and_waking() {
    let account = Account::new(Fake::new(Rules::calm()));
    let portal = account.open().await;
    for environment in environments() {
        start(&portal, &environment).await;
    }
    until_running(&account, CROWD).await;
    let all: Vec<EnvironmentId> = environments().collect();
    portal.observe(&all).await.expect("that they run");
    let ended = running(&account).swap_remove(CROWD / 2).id;
    let amazon = account.amazon();
    amazon.terminate(amazon.buckets.acquire(&[]).await, std::slice::from_ref(&ended)).await.expect("it ends");
    let turn = |environment: &EnvironmentId, wish: i64, down: bool| match down {
        true => Step::SuspendServer { server: web(environment), generation: 1, wish, hibernate: false },
        false => Step::WakeServer { server: web(environment), generation: 1, wish },
    };
    for environment in environments() {
        ask(&portal, &environment, turn(&environment, 1, true)).await;
    }
    until_running(&account, 0).await;
    let stopped = || account.fake.truth().instances.into_iter().filter(|one| one.state == "stopped").count();
    while stopped() != CROWD - 1 {
        sleep(Duration::from_secs(1)).await;
    }
    assert!(account.fake.counts().of("StopInstances") < CROWD as u64 / 2, "the others go together");
    for environment in environments() {
        ask(&portal, &environment, turn(&environment, 2, false)).await;
    }
    until_running(&account, CROWD - 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_type_is_taken_in_the_zones_that_have_it() {
    let missing =
        vec![('a', "t3".to_owned()), ('a', "t3a".to_owned()), ('b', "t3".to_owned()), ('b', "t3a".to_owned())];
    let account = Account::new(Fake::new(Rules { missing, ..Rules::calm() }));
    let portal = account.open_with(config()).await.expect("a region that can be used");
    for environment in environments() {
        start(&portal, &environment).await;
    }
    until_running(&account, CROWD).await;
    let zones: BTreeSet<String> = running(&account).into_iter().map(|one| one.zone).collect();
    assert_eq!(zones, BTreeSet::from(["eu-central-1c".to_owned()]));
}
