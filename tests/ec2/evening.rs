//! The evening: a schedule wants snapshots of more volumes than Amazon lets be taken in a minute, and somebody wants one, too.

use std::collections::BTreeMap;
use std::time::Duration;

use ec2::Ec2;
use fake_ec2::{Fake, Rules};
use futures::future::join_all;
use provisioners::conformance::{effect, settled};
use provisioners::{EnvironmentId, Provisioner, SnapshotId, SnapshotPlan, SnapshotVolume, Step, VolumeId, VolumePlan};
use tokio::time::Instant;

use super::amazon::Account;

const SCHEDULED: usize = 60;
const VOLUMES: usize = 10;

fn volumes(environment: &EnvironmentId) -> impl Iterator<Item = VolumeId> {
    (0..VOLUMES).map(move |number| VolumeId::new(format!("{environment}-{number}")))
}

async fn create_volumes(portal: &Ec2, environment: &EnvironmentId) {
    for id in volumes(environment) {
        let volume = VolumePlan { name: id.to_string(), id, size_bytes: 1 << 30, from: None };
        assert_eq!(portal.request(&effect(environment, &Step::CreateVolume { volume })).await, Ok(()));
    }
    settled(portal, environment).await;
}

/// As the engine does it; says how long the call took during which servers stand still, and when it was over.
async fn keep(portal: &Ec2, environment: &EnvironmentId, by_schedule: bool) -> (Duration, Instant) {
    let named = |volume: VolumeId| SnapshotVolume { name: volume.to_string(), volume };
    let volumes = volumes(environment).map(named).collect();
    let id = SnapshotId::new(format!("{environment}-evening"));
    let step = Step::CreateSnapshot { snapshot: SnapshotPlan { id, volumes } };
    while let Err(wait) = portal.admit(environment, &step, by_schedule).await {
        tokio::time::sleep(wait).await;
    }
    let began = Instant::now();
    assert_eq!(portal.request(&effect(environment, &step)).await, Ok(()));
    (began.elapsed(), Instant::now())
}

#[tokio::test(start_paused = true)]
async fn nobody_stands_still_for_others_snapshots_and_who_asks_for_one_waits_for_no_schedule() {
    let account = Account::new(Fake::new(Rules::calm()));
    let portal = account.open().await;
    let scheduled: Vec<_> = (0..SCHEDULED).map(|number| EnvironmentId::new(format!("a-{number:02}"))).collect();
    // By its name it is the last of all.
    let person = EnvironmentId::new("z");
    join_all(scheduled.iter().chain([&person]).map(|environment| create_volumes(&portal, environment))).await;

    let by_person = async {
        // All the others wait already.
        tokio::time::sleep(Duration::from_secs(1)).await;
        keep(&portal, &person, false).await
    };
    let by_schedule = join_all(scheduled.iter().map(|environment| keep(&portal, environment, true)));
    let (by_schedule, (stood_still, over)) = tokio::join!(by_schedule, by_person);

    assert!(stood_still < Duration::from_secs(5), "{stood_still:?}");
    let longest = by_schedule.iter().map(|(stood_still, _)| *stood_still).max().unwrap_or_default();
    assert!(longest < Duration::from_secs(5), "servers go on by themselves after a minute: {longest:?}");
    let before = by_schedule.iter().filter(|(_, when)| *when < over).count();
    assert!(before < SCHEDULED / 3, "{before} of {SCHEDULED} went before");

    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let environments = |one: fake_ec2::TrueSnapshot| one.tags.get("bookend:environment").cloned();
    for environment in account.fake.truth().snapshots.into_iter().filter_map(environments) {
        *taken.entry(environment).or_default() += 1;
    }
    assert_eq!((taken.len(), taken.values().all(|count| *count == VOLUMES)), (SCHEDULED + 1, true), "{taken:?}");
    assert_eq!(account.fake.counts().all_throttled(), 0);
}
