//! The stories every provisioner must pass, told of EC2: calmly, and on an Amazon as it is.

use fake_ec2::{Lag, Rules};
use provisioners::conformance::{self, Trouble};

use super::place::Ec2Place;

/// One that shows what was up to twenty seconds ago, and sometimes again what was before that.
fn past() -> Rules {
    Rules { lag: Lag { describes_ms: 20_000, changes_ms: 3_000, wavering: true }, ..Rules::calm() }
}

#[tokio::test(start_paused = true)]
async fn every_step_may_be_repeated() {
    conformance::every_step_may_be_repeated(&Ec2Place::new(Rules::calm())).await;
    conformance::every_step_may_be_repeated(&Ec2Place::new(past())).await;
}

#[tokio::test(start_paused = true)]
async fn every_step_survives_a_portal_killed_at_every_moment() {
    let place = Ec2Place::new(Rules::calm());
    let moments = conformance::every_step_survives_trouble_at_every_moment(&place, Trouble::Kill).await;
    assert!(moments > 80, "only {moments} moments: where have the others gone?");
}

#[tokio::test(start_paused = true)]
async fn every_step_survives_a_connection_cut_at_every_moment() {
    let place = Ec2Place::new(Rules::calm());
    conformance::every_step_survives_trouble_at_every_moment(&place, Trouble::Fail).await;
}

#[tokio::test(start_paused = true)]
async fn no_data_is_lost_with_a_portal_killed_at_every_moment_on_an_amazon_that_shows_the_past() {
    conformance::no_data_is_lost_to_trouble(&Ec2Place::new(past()), Trouble::Kill).await;
}

#[tokio::test(start_paused = true)]
async fn a_late_wish_neither_wakes_nor_suspends() {
    conformance::a_late_wish_neither_wakes_nor_suspends(&Ec2Place::new(Rules::calm())).await;
    conformance::a_late_wish_neither_wakes_nor_suspends(&Ec2Place::new(past())).await;
}

#[tokio::test(start_paused = true)]
async fn late_and_impossible_requests_change_nothing() {
    conformance::late_and_impossible_requests_change_nothing(&Ec2Place::new(Rules::calm())).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_dies_is_noticed_without_asking() {
    conformance::a_server_that_dies_is_noticed_without_asking(&Ec2Place::new(Rules::calm())).await;
    conformance::a_server_that_dies_is_noticed_without_asking(&Ec2Place::new(past())).await;
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_outlives_everything_else() {
    conformance::a_snapshot_outlives_everything_else(&Ec2Place::new(Rules::calm())).await;
    conformance::a_snapshot_outlives_everything_else(&Ec2Place::new(past())).await;
}
