//! The stories every provisioner must pass, told of the local one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use provisioners::conformance::{self, Trouble};
use tests::programs;

use super::place::LocalPlace;

/// Anybody who is not root.
const SOMEBODY: u32 = 54_321;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_outlives_everything_else() {
    conformance::a_snapshot_outlives_everything_else(&LocalPlace::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_is_refused_and_what_is_damaged_named() {
    conformance::a_damaged_snapshot_is_refused_and_what_is_damaged_named(&LocalPlace::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_and_come_back_one_by_one() {
    conformance::files_come_and_come_back_one_by_one(&LocalPlace::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_does_not_come_back() {
    conformance::a_damaged_file_does_not_come_back(&LocalPlace::new()).await;
}

/// The stories of data on a filesystem that copies whole trees at once.
#[tokio::test(flavor = "multi_thread")]
async fn data_on_btrfs_is_kept_as_well() {
    data_is_kept("btrfs", "btrfs subvolume").await;
}

/// The same where files share their blocks.
#[tokio::test(flavor = "multi_thread")]
async fn data_on_xfs_is_kept_as_well() {
    data_is_kept("xfs", "reflink").await;
}

async fn data_is_kept(filesystem: &str, method: &str) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("Only root can mount {filesystem}: this story is told where root runs the tests.");
        return;
    }
    let place = LocalPlace::on(filesystem);
    conformance::a_snapshot_outlives_everything_else(&place).await;
    conformance::a_damaged_snapshot_is_refused_and_what_is_damaged_named(&place).await;
    conformance::files_come_and_come_back_one_by_one(&place).await;
    conformance::a_damaged_file_does_not_come_back(&place).await;
    conformance::no_data_is_lost_to_trouble(&place, Trouble::Kill).await;
    conformance::no_data_is_lost_to_trouble(&place, Trouble::Fail).await;
    conformance::a_snapshot_is_taken_by(&place, method).await;
}

/// The stories above are told by whoever runs the tests. When that is root, an ordinary user tells the main ones again.
#[test]
fn an_ordinary_users_portal_does_the_same() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // Programs where that user can run them, whatever directory they were built in.
    let directory = tempfile::tempdir().expect("a directory");
    let (stories, agent) = (directory.path().join("stories"), directory.path().join("bookend-agent"));
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
    fs::copy(std::env::current_exe().expect("this program"), &stories).expect("a copy of this program");
    fs::copy(programs::dist().join("bookend-agent"), &agent).expect("a copy of the agent");
    fs::write(directory.path().join("bookend"), "").expect("a file");
    let told = [
        "provisioner::conformance::every_step_may_be_repeated",
        "provisioner::conformance::a_snapshot_outlives_everything_else",
        "provisioner::conformance::a_damaged_snapshot_is_refused_and_what_is_damaged_named",
        "provisioner::conformance::files_come_and_come_back_one_by_one",
        "provisioner::conformance::what_ends_by_itself_is_noticed_at_once",
        "provisioner::attack_30::attack_30_a_server_gains_no_privilege",
        "provisioner::attack_30::servers_reach_their_peers_by_name_and_no_other_environment",
    ];
    let mut command = Command::new(stories);
    command.args(told).arg("--exact").env("BOOKEND_DIST", directory.path()).current_dir("/");
    let output = command.uid(SOMEBODY).gid(SOMEBODY).output().expect("stories told by somebody");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("7 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
