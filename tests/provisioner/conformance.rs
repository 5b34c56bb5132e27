//! The stories every provisioner must pass, told of the local one.

use provisioners::conformance::{self, Trouble};

use super::place::LocalPlace;

#[tokio::test(flavor = "multi_thread")]
async fn every_step_may_be_repeated() {
    conformance::every_step_may_be_repeated(&LocalPlace::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_survives_a_portal_killed_at_every_moment() {
    let moments = conformance::every_step_survives_trouble_at_every_moment(&LocalPlace::new(), Trouble::Kill).await;
    assert!(moments > 60, "only {moments} moments: where have the others gone?");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_survives_a_disk_that_is_full_at_every_moment() {
    conformance::every_step_survives_trouble_at_every_moment(&LocalPlace::new(), Trouble::Fail).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_by_itself_is_noticed_at_once() {
    conformance::what_ends_by_itself_is_noticed_at_once(&LocalPlace::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_and_impossible_requests_change_nothing() {
    conformance::late_and_impossible_requests_change_nothing(&LocalPlace::new()).await;
}
