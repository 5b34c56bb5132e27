//! Snapshots that are copied to another region: one copy, whatever happens to the portal and to the calls on their way, from which
//! environments begin there, and which goes with its snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ec2::Ec2;
use fake_ec2::{Fake, Faults, Lag, Rules, TrueSnapshot};
use provisioners::conformance::{effect, settled};
use provisioners::{
    EnvironmentId, OrphanKind, Orphans, ProvisionError, Provisioner, SnapshotId, SnapshotOrigin, SnapshotPlan,
    SnapshotState, SnapshotVolume, Step, VolumeId, VolumePlan, VolumeSource,
};

use super::amazon::{Account, Pages, Trouble};
use super::seeds::{Told, seeds};

const AWAY: &str = "eu-west-1";
/// Longer than Amazon takes to show anything, and a record to be believed.
const LONG: Duration = Duration::from_secs(45 * 60);
/// Nothing takes longer than this here, or it will never be.
const PATIENCE: Duration = Duration::from_secs(6 * 3600);

/// An environment with a snapshot at home, and the account in another region.
struct Story {
    home: Account,
    away: Account,
    environment: EnvironmentId,
    origin: SnapshotOrigin,
}

fn plan(name: &str, from: Option<VolumeSource>) -> VolumePlan {
    VolumePlan { id: VolumeId::new(name), name: name.to_owned(), size_bytes: 3 << 30, from }
}

impl Story {
    async fn begin(rules: Rules, volumes: usize) -> Story {
        let home = Account::new(Fake::new(rules));
        let (away, environment) = (home.in_region(AWAY), EnvironmentId::new("kept-twice"));
        let portal = home.open().await;
        let names: Vec<String> = (0..volumes).map(|number| format!("data-{number}")).collect();
        for name in &names {
            ask(&portal, &environment, Step::CreateVolume { volume: plan(name, None) }).await;
        }
        let kept = |name: &String| SnapshotVolume { volume: VolumeId::new(name.clone()), name: name.clone() };
        let snapshot = SnapshotPlan { id: kept_id(), volumes: names.iter().map(kept).collect() };
        ask(&portal, &environment, Step::CreateSnapshot { snapshot }).await;
        let origin = portal.snapshot_origin(&environment, &kept_id()).await.expect("it is complete");
        assert_eq!((origin.region.as_str(), origin.parts.len()), ("eu-central-1", volumes));
        Story { home, away, environment, origin }
    }

    /// As the engine does, again and again, until the copy is complete.
    async fn copied(&self, portal: &Ec2) {
        let by = tokio::time::Instant::now() + PATIENCE;
        loop {
            match portal.copy_snapshot(&self.environment, &self.origin).await {
                Ok(()) | Err(ProvisionError::Retryable { .. } | ProvisionError::Unknown { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            match self.state(portal).await {
                Some(SnapshotState::Complete) => return,
                Some(SnapshotState::Reading(_)) | None => {}
                other => panic!("{other:?}"),
            }
            assert!(tokio::time::Instant::now() < by, "it is never complete");
            tokio::time::sleep(Duration::from_secs(15)).await;
        }
    }

    /// How the copy stands; `None`: there is none, or it cannot be seen now.
    async fn state(&self, portal: &Ec2) -> Option<SnapshotState> {
        let seen = portal.observe(std::slice::from_ref(&self.environment)).await.ok()?.remove(0);
        assert!(!seen.network && seen.servers.is_empty() && seen.volumes.is_empty(), "{seen:?}");
        seen.snapshots.into_iter().next().map(|snapshot| snapshot.state)
    }

    /// What there really is in the other region.
    fn copies(&self) -> Vec<TrueSnapshot> {
        let truth = self.home.fake.truth();
        let ours = |one: &TrueSnapshot| one.region == AWAY && one.is_alive() && one.copy_of.is_some();
        truth.snapshots.into_iter().filter(ours).collect()
    }

    /// Copies that there are or were.
    fn ever_made(&self) -> usize {
        let truth = self.home.fake.truth();
        truth.snapshots.iter().filter(|one| one.region == AWAY && one.copy_of.is_some()).count()
    }

    /// One of each part, and no other.
    fn assert_one_of_each(&self) {
        let copies = self.copies();
        let of: BTreeMap<&str, &str> =
            copies.iter().map(|one| (one.copy_of.as_deref().unwrap_or(""), one.state.as_str())).collect();
        let expected: BTreeMap<&str, &str> =
            self.origin.parts.iter().map(|(_, id)| (id.as_str(), "completed")).collect();
        assert_eq!((of, copies.len()), (expected, self.origin.parts.len()));
    }
}

fn kept_id() -> SnapshotId {
    SnapshotId::new("kept")
}

async fn ask(portal: &Ec2, environment: &EnvironmentId, step: Step) {
    assert_eq!(portal.request(&effect(environment, &step)).await, Ok(()), "{step:?}");
    settled(portal, environment).await;
}

#[tokio::test(start_paused = true)]
async fn an_environment_in_another_region_begins_with_the_copy_and_the_copy_goes_with_its_snapshot() {
    let story = Story::begin(Rules::calm(), 2).await;
    let portal = story.away.open().await;
    story.copied(&portal).await;
    story.assert_one_of_each();
    let tags = &story.copies()[0].tags;
    let tag = |key: &str| tags.get(key).map(String::as_str);
    assert_eq!((tag("bookend:environment"), tag("bookend:snapshot")), (Some("kept-twice"), Some("kept")));

    let clone = EnvironmentId::new("begun-there");
    let (environment, snapshot) = (story.environment.clone(), kept_id());
    let from = VolumeSource { environment, snapshot, volume: VolumeId::new("data-1") };
    ask(&portal, &clone, Step::CreateVolume { volume: plan("theirs", Some(from)) }).await;
    let truth = story.home.fake.truth();
    let volume = truth.volumes.iter().find(|one| one.region == AWAY).expect("a volume there");
    let begun = story.copies().into_iter().find(|copy| Some(&copy.id) == volume.snapshot.as_ref()).expect("a copy");
    assert_eq!(begun.copy_of.as_ref(), Some(&story.origin.parts[1].1));

    portal.remove_copy(&story.environment, &kept_id()).await.expect("it is accepted");
    tokio::time::sleep(LONG).await;
    assert_eq!((story.copies(), story.state(&portal).await), (vec![], None));
    let there = |one: &&TrueSnapshot| one.is_alive() && story.origin.parts.iter().any(|(_, id)| *id == one.id);
    assert_eq!(story.home.fake.truth().snapshots.iter().filter(there).count(), 2, "what was copied stays");

    // And may be copied again.
    story.copied(&portal).await;
    story.assert_one_of_each();
}

#[tokio::test(start_paused = true)]
async fn there_is_one_copy_with_a_portal_killed_or_a_connection_cut_at_every_moment() {
    let past = Rules { lag: Lag { describes_ms: 20_000, changes_ms: 0, wavering: true }, ..Rules::calm() };
    for trouble in [Trouble::Kill, Trouble::Break] {
        let mut moments = 0;
        loop {
            let story = Story::begin(past.clone(), 1).await;
            let portal = story.away.open().await;
            story.away.moments.arm(trouble, moments);
            tokio::select! {
                () = story.copied(&portal) => {}
                () = story.away.moments.killed() => {}
            }
            let struck = story.away.moments.struck();
            drop(portal);
            story.away.moments.disarm();
            let next = story.away.open().await;
            story.copied(&next).await;
            tokio::time::sleep(LONG).await;
            story.assert_one_of_each();
            assert_eq!(story.ever_made(), 1, "none was made beside it, not even for a while: moment {moments}");
            if !struck {
                break;
            }
            moments += 1;
        }
        assert!(moments >= 8, "only {moments} moments: where have the others gone?");
    }
}

#[tokio::test(start_paused = true)]
async fn there_is_one_copy_on_an_amazon_where_everything_goes_wrong() {
    for seed in seeds(1..=3) {
        let _told = Told(seed);
        let story = Story::begin(Rules { seed, lag: Lag::default(), ..Rules::lifelike(seed) }, 3).await;
        story.home.fake.set_lag(Rules::lifelike(seed).lag);
        story.home.fake.set_faults(Faults::everywhere(0.25));
        let portal = loop {
            if let Ok(portal) = story.away.try_open().await {
                break portal;
            }
        };
        story.copied(&portal).await;
        story.home.fake.set_faults(Faults::default());
        tokio::time::sleep(LONG).await;
        story.assert_one_of_each();
        assert_eq!(portal.orphans().await, Ok(Orphans::default()), "seed {seed}");
        portal.remove_copy(&story.environment, &kept_id()).await.expect("it is accepted");
        tokio::time::sleep(LONG).await;
        assert_eq!(story.copies(), vec![], "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn more_than_amazon_copies_at_a_time_wait_for_their_turn() {
    let mut rules = Rules::calm();
    rules.delays.snapshot = fake_ec2::Spread(60_000, 60_000);
    let story = Story::begin(rules, 30).await;
    let portal = story.away.open().await;
    story.copied(&portal).await;
    story.assert_one_of_each();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_copied_says_why_and_leaves_nothing() {
    let mut story = Story::begin(Rules::calm(), 1).await;
    story.origin.parts[0].1 = "snap-0123456789abcdef0".to_owned();
    let portal = story.away.open().await;
    portal.copy_snapshot(&story.environment, &story.origin).await.expect("it is accepted");
    tokio::time::sleep(Duration::from_secs(30)).await;
    match story.state(&portal).await {
        Some(SnapshotState::Failed { reason }) => {
            assert!(
                reason.ends_with("(InvalidSnapshot.NotFound). Are both provisioners of the same account?"),
                "{reason}"
            );
        }
        other => panic!("{other:?}"),
    }
    portal.remove_copy(&story.environment, &kept_id()).await.expect("it is accepted");
    tokio::time::sleep(LONG).await;
    assert_eq!((story.copies(), story.state(&portal).await), (vec![], None));
    assert!(portal.snapshot_origin(&story.environment, &kept_id()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_no_row_names_is_an_orphan_that_waits_for_a_person() {
    let story = Story::begin(Rules::calm(), 1).await;
    let portal = story.away.open().await;
    story.copied(&portal).await;
    tokio::time::sleep(LONG).await;
    assert_eq!(portal.orphans().await, Ok(Orphans::default()));
    drop(portal);

    let lost = Account { ledger: Arc::new(Pages::default()), ..story.away.clone() };
    let portal = lost.open().await;
    tokio::time::sleep(LONG).await;
    let found = portal.orphans().await.expect("an answer").found;
    let [orphan] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((orphan.kind, orphan.subject.clone()), (OrphanKind::Snapshot, Some(("kept".to_owned(), None))));
    story.assert_one_of_each();
    portal.remove_orphan(orphan).await.expect("it goes");
    assert_eq!(story.copies(), vec![]);
}
