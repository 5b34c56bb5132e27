//! The morning: schedules bring back more than Amazon lets start at once, and somebody orders.

use std::time::Duration;

use fake_ec2::{Fake, Rules};
use provisioners::conformance::{effect, server};
use provisioners::{Effect, EnvironmentId, Provisioner, ServerId, ServerPlan, Step};

use super::amazon::Account;

/// More than Amazon lets security groups be made at once, too.
const SCHEDULED: usize = 80;

#[tokio::test(start_paused = true)]
async fn who_orders_in_the_morning_does_not_wait_for_what_schedules_bring_back() {
    let account = Account::new(Fake::new(Rules::calm()));
    let portal = account.open().await;
    let ask = async |environment: &EnvironmentId, by_schedule: bool| {
        let web =
            ServerPlan { id: ServerId::new(format!("{environment}-web")), mounts: Vec::new(), ..server("web", 1) };
        for step in [Step::CreateNetwork, Step::StartServer { server: Box::new(web) }] {
            let asked = Effect { by_schedule, ..effect(environment, &step) };
            assert_eq!(portal.request(&asked).await, Ok(()));
        }
    };
    for number in 0..SCHEDULED {
        ask(&EnvironmentId::new(format!("a-{number:02}")), true).await;
    }
    // By its name it is the last of all.
    let person = EnvironmentId::new("z");
    ask(&person, false).await;

    let started = || account.fake.truth().instances;
    let of = |one: &fake_ec2::TrueInstance| one.tags.get("bookend:environment").cloned().unwrap_or_default();
    while !started().iter().any(|one| of(one) == person.as_str()) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let before = started().len() - 1;
    assert!(before < SCHEDULED / 2, "{before} of {SCHEDULED} went before");
    while started().len() <= SCHEDULED {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
