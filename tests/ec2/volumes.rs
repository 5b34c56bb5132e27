//! Volumes whose making Amazon refuses, or nobody hears of.

use std::collections::BTreeMap;
use std::time::Duration;

use ec2::Ec2;
use fake_ec2::{Fake, Fault, Faults, Lag, Rules, TrueVolume};
use provisioners::conformance::{effect, settled};
use provisioners::{Effect, EnvironmentId, ProvisionError, Provisioner, RestoreState, Step, VolumeId, VolumePlan};

use super::amazon::{Account, config};

fn create() -> Step {
    let (id, name) = (VolumeId::new("data"), "data".to_owned());
    Step::CreateVolume { volume: VolumePlan { id, name, size_bytes: 1 << 30, from: None } }
}

fn ours(account: &Account) -> Vec<TrueVolume> {
    let all = account.fake.truth().volumes.into_iter();
    all.filter(|one| one.is_alive() && one.tags.contains_key("bookend:volume")).collect()
}

/// Why it cannot be had, if so.
async fn failure(portal: &Ec2, environment: &EnvironmentId) -> Option<String> {
    let observed = portal.observe(std::slice::from_ref(environment)).await.expect("an Amazon that answers");
    observed.into_iter().flat_map(|one| one.restoring).find_map(|one| match one.state {
        RestoreState::Failed { reason } => Some(reason),
        RestoreState::Copying(_) => None,
    })
}

/// Amazon has made it, shows it to nobody yet, and the answer was lost.
async fn made_unheard(account: &Account, portal: &Ec2, environment: &EnvironmentId) {
    account.fake.set_lag(Lag { describes_ms: 3_600_000, changes_ms: 0, wavering: false });
    let at = BTreeMap::from([(1, Fault::ReplyLost)]);
    account.fake.set_faults(Faults { at, only: vec!["CreateVolume".to_owned()], ..Faults::default() });
    assert_eq!(portal.request(&effect(environment, &create())).await, Ok(()));
    while ours(account).is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_nobody_heard_of_is_asked_for_as_it_was_whatever_an_operator_configures_since() {
    let account = Account::new(Fake::new(Rules::calm()));
    let environment = EnvironmentId::new("env");
    let portal = account.open().await;
    made_unheard(&account, &portal, &environment).await;
    drop(portal);
    let mut more = config();
    more.tags.insert("cost-center".to_owned(), "42".to_owned());
    let portal = account.open_with(more).await.expect("the same region");
    while account.fake.counts().of("CreateVolume") < 2 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for _ in 0..50 {
        assert_eq!(failure(&portal, &environment).await, None);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(ours(&account).len(), 1);
    assert_eq!(account.fake.counts().of("CreateVolume"), 2);
}

#[tokio::test(start_paused = true)]
async fn what_amazon_refused_comes_when_it_is_asked_for_again_with_the_permission_and_there_is_one_of_it() {
    let account = Account::new(Fake::new(Rules::calm()));
    let (portal, environment) = (account.open().await, EnvironmentId::new("env"));
    let asked = |call: i64| Effect { call, ..effect(&environment, &create()) };
    account.fake.set_denied(["CreateVolume"]);
    assert_eq!(portal.request(&asked(1)).await, Ok(()), "it is written down");
    settled(&portal, &environment).await;
    let why = failure(&portal, &environment).await.expect("it is told");
    assert!(why.contains("CreateVolume") && why.contains("`bookend doctor ec2` says what is missing"), "{why}");
    let repeated = portal.request(&asked(1)).await;
    assert_eq!(repeated, Err(ProvisionError::Rejected { message: why }), "the same request is answered alike");

    // Asked again too soon, by whoever, and another portal goes on.
    assert_eq!(portal.request(&asked(2)).await, Ok(()));
    settled(&portal, &environment).await;
    assert!(failure(&portal, &environment).await.is_some());
    drop(portal);
    account.fake.set_denied([]);
    let portal = account.open().await;
    assert_eq!(portal.request(&asked(3)).await, Ok(()));
    let observed = settled(&portal, &environment).await;
    assert_eq!((observed.volumes.len(), ours(&account).len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_came_of_a_call_that_nobody_heard_of_is_the_volume_whatever_was_refused_after_it() {
    let account = Account::new(Fake::new(Rules::calm()));
    let (portal, environment) = (account.open().await, EnvironmentId::new("env"));
    made_unheard(&account, &portal, &environment).await;
    account.fake.set_denied(["CreateVolume"]);
    while failure(&portal, &environment).await.is_none() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    account.fake.set_denied([]);
    assert_eq!(portal.request(&Effect { call: 2, ..effect(&environment, &create()) }).await, Ok(()));
    settled(&portal, &environment).await;
    assert_eq!((failure(&portal, &environment).await, ours(&account).len()), (None, 1));
}
