//! Snapshots, and volumes that begin with what one held.

use app::api::{Action, SnapshotReason, SnapshotState as Standing, State};
use provisioners::{
    Manifest, ObservedSnapshot, SnapshotContent, SnapshotId, SnapshotPlan, SnapshotState, Step, VolumeId,
};

use super::{Fixture, NOW, PLENTY, asking, settlement};
use crate::domain::facts::{Outcome, VolumeRole};
use crate::domain::plan::{Turn, Work};
use crate::domain::topology::{ParkMode, Topology};
use crate::store::{Answer, Lease, Needed, Settlement, SnapshotRecord, StoreError, Undeleted, Wanted};

const TWO_WEEKS_MS: i64 = 14 * 24 * 3_600_000;

impl Fixture {
    async fn wanted(&self, environment: &str, reason: SnapshotReason) -> String {
        let mut tx = self.store.write().await.unwrap();
        let wanted = Wanted { environment, reason, label: "mine", actor: Some("anna") };
        let snapshot = tx.want_snapshot(&wanted, NOW).await.unwrap().snapshot;
        tx.touch(environment, NOW).await.unwrap();
        tx.commit().await.unwrap();
        snapshot
    }

    async fn newest(&self, environment: &str) -> SnapshotRecord {
        self.store.snapshots(environment).await.unwrap().remove(0)
    }

    /// The engine finds it so, with its data read.
    async fn found_complete(&self, environment: &str, lease: &Lease, generation: i64, snapshot: &SnapshotRecord) {
        let hints = self.store.facts(environment).await.unwrap().unwrap().hints;
        let contents = snapshot.contents.iter().map(|volume| SnapshotContent {
            volume: volume.volume.clone(),
            name: volume.name.clone(),
            manifest: Some(Manifest { digest: "d".repeat(64), files: 3, bytes: 7, ..Manifest::default() }),
        });
        let seen = ObservedSnapshot {
            snapshot: SnapshotId::new(&snapshot.view.id),
            call: 1,
            taken_at: NOW + 1,
            state: SnapshotState::Complete,
            method: "copy".into(),
            contents: contents.collect(),
        };
        let settlement = Settlement { snapshots: vec![seen], ..settlement(hints, Some(NOW)) };
        self.store.settle(lease, generation, &settlement, NOW + 2).await.unwrap();
    }

    /// An environment whose one volume was seen.
    async fn used(&self, name: &str) -> (String, VolumeId) {
        let record = self.ordered(name).await;
        let volume = record.facts.observed.volumes[0].id.clone();
        let lease = self.claimed(NOW).await;
        let settlement = Settlement { volumes_seen: vec![volume.clone()], ..settlement(0, Some(NOW)) };
        self.store.settle(&lease, 1, &settlement, NOW).await.unwrap();
        (record.summary.id, volume)
    }
}

pub(super) async fn a_snapshot_is_written_down_from_wish_to_manifest(at: Fixture) {
    let (environment, volume) = at.used("shop").await;
    let id = at.wanted(&environment, SnapshotReason::Demand).await;
    let open = at.store.facts(&environment).await.unwrap().unwrap().facts.observed.snapshots;
    assert_eq!((open.len(), open[0].volumes[0].volume.clone(), open[0].is_wanted()), (1, volume, true));
    let lease = at.claimed(NOW).await;
    let plan = SnapshotPlan { id: open[0].id.clone(), volumes: open[0].volumes.clone() };
    let work = asking(Step::CreateSnapshot { snapshot: plan });
    let recorded = at.store.record(&lease, 1, State::Ready, &work, NOW).await.unwrap().pop().unwrap();
    let answer = Answer {
        token: recorded.token().clone(),
        outcome: Outcome::Accepted,
        message: None,
        retry_at: NOW,
        frozen_ms: Some(12),
    };
    at.store.answer(&lease, &[answer], NOW).await.unwrap();
    at.found_complete(&environment, &lease, 1, &at.newest(&environment).await).await;
    let found = at.newest(&environment).await.view;
    assert_eq!((found.id, found.state, found.frozen_ms), (id.clone(), Standing::Complete, Some(12)));
    assert_eq!((found.taken_at, found.volumes[0].files, found.volumes[0].bytes), (Some(NOW + 1), 3, 7));
    assert!(at.store.facts(&environment).await.unwrap().unwrap().facts.observed.snapshots.is_empty(), "all is done");

    let mut tx = at.store.write().await.unwrap();
    tx.change_snapshot(&id, None, Some(true)).await.unwrap();
    tx.commit().await.unwrap();
    let pinned = at.newest(&environment).await.view;
    assert_eq!((pinned.pinned, pinned.label.as_str()), (true, "mine"));
}

pub(super) async fn a_replaced_volume_goes_only_when_what_it_held_is_safe(at: Fixture) {
    let (environment, old) = at.used("shop").await;
    at.wanted(&environment, SnapshotReason::Demand).await;
    let lease = at.claimed(NOW).await;
    let from = at.newest(&environment).await;
    at.found_complete(&environment, &lease, 1, &from).await;

    let present = at.wanted(&environment, SnapshotReason::Restore).await;
    let mut tx = at.store.write().await.unwrap();
    tx.begin_restore(&environment, &from.source(&environment), &[("data".into(), 5)], Some(&present), NOW)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let facts = at.store.facts(&environment).await.unwrap().unwrap().facts;
    let restoring = facts.intent.restoring.unwrap();
    assert_eq!(restoring.present.unwrap().standing, Standing::Wanted);
    let roles: Vec<VolumeRole> = facts.observed.volumes.iter().map(|volume| volume.role).collect();
    assert!(roles.contains(&VolumeRole::Current) && roles.contains(&VolumeRole::Incoming), "{roles:?}");

    let lease = at.claimed(NOW).await;
    let turned = Work { turn: Some(Turn::Over), ..Work::default() };
    at.store.record(&lease, 1, State::Preparing, &turned, NOW).await.unwrap();
    let facts = at.store.facts(&environment).await.unwrap().unwrap().facts;
    let current: Vec<_> = facts.observed.current_volumes().collect();
    assert_eq!((current.len(), current[0].size_bytes, facts.intent.restoring.is_none()), (1, 5, true));
    assert_eq!(current[0].source.as_ref().unwrap().volume, old);
    let work = asking(Step::DeleteVolume { volume: old });
    let early = at.store.record(&lease, 1, State::Preparing, &work, NOW).await;
    assert!(matches!(early, Err(StoreError::Stale)), "what it holds is nowhere else yet: {early:?}");
    at.found_complete(&environment, &lease, 1, &at.newest(&environment).await).await;
    let lease = at.claimed(NOW + 5).await;
    assert_eq!(at.store.record(&lease, 1, State::Ready, &work, NOW).await.unwrap().len(), 1);
}

pub(super) async fn what_was_deleted_can_come_back_until_its_snapshot_expires(at: Fixture) {
    let (environment, volume) = at.used("shop").await;
    at.change(&environment, Action::Delete).await;
    let lease = at.claimed(NOW).await;
    let work = asking(Step::DeleteVolume { volume: volume.clone() });
    let early = at.store.record(&lease, 2, State::Deleting, &work, NOW).await;
    assert!(matches!(early, Err(StoreError::Stale)), "the final snapshot is not taken yet: {early:?}");
    let last = at.newest(&environment).await;
    assert_eq!(last.view.reason, SnapshotReason::Delete);
    at.found_complete(&environment, &lease, 2, &last).await;
    let lease = at.claimed(NOW + 5).await;
    assert_eq!(at.store.record(&lease, 2, State::Deleting, &work, NOW).await.unwrap().len(), 1);
    let hints = at.store.facts(&environment).await.unwrap().unwrap().hints;
    let gone = Settlement {
        state: State::Deleted,
        ready_at: None,
        deleted_at: Some(NOW),
        undelete_until: Some(NOW + TWO_WEEKS_MS),
        ..settlement(hints, None)
    };
    at.store.settle(&lease, 2, &gone, NOW).await.unwrap();
    assert_eq!(at.newest(&environment).await.view.expires_at, Some(NOW + TWO_WEEKS_MS));

    let record = at.store.environment("t", &environment).await.unwrap().unwrap();
    let undelete = async |quota| {
        let mut tx = at.store.write().await.unwrap();
        let undeleted = tx.undelete(&record, quota, NOW).await.unwrap();
        if undeleted == Undeleted::Done {
            tx.commit().await.unwrap();
        }
        undeleted
    };
    assert_eq!(at.store.expire_snapshots(NOW + TWO_WEEKS_MS - 1).await.unwrap(), 0);
    let none = crate::store::Quota { per_person: 0, per_team: 9 };
    assert_eq!(undelete(none).await, Undeleted::Quota { limit: 0 });
    let other = at.new_environment("shop", "q");
    at.order(&other, None, PLENTY).await;
    assert_eq!(undelete(PLENTY).await, Undeleted::NameTaken);
    at.change(&other.id, Action::Delete).await;
    let lease = at.claimed(NOW + 5).await;
    let hints = at.store.facts(&other.id).await.unwrap().unwrap().hints;
    let gone = Settlement {
        state: State::Deleted,
        ready_at: None,
        deleted_at: Some(NOW),
        undelete_until: Some(NOW + TWO_WEEKS_MS),
        ..settlement(hints, None)
    };
    at.store.settle(&lease, 2, &gone, NOW).await.unwrap();
    assert_eq!(undelete(PLENTY).await, Undeleted::Done);
    let back = at.newest(&environment).await.view;
    assert_eq!(back.expires_at, None, "it is an ordinary one again");
    assert_eq!(at.store.expire_snapshots(NOW + 2 * TWO_WEEKS_MS).await.unwrap(), 0);
}

pub(super) async fn volumes_are_put_away_only_in_a_complete_snapshot_which_then_stays(at: Fixture) {
    let (environment, old) = at.used("shop").await;
    let record = at.store.environment("t", &environment).await.unwrap().unwrap();
    let topology = Topology { park: ParkMode::Snapshot, ..record.facts.topology };
    let mut tx = at.store.write().await.unwrap();
    let update = sqlx::query("update environment set topology = $2 where id = $1").bind(&environment);
    update.bind(serde_json::to_string(&topology).unwrap()).execute(tx.connection()).await.unwrap();
    tx.commit().await.unwrap();
    let facts = async || at.store.facts(&environment).await.unwrap().unwrap().facts;
    let put_away =
        |volume: &VolumeId| Work { turn: Some(Turn::PutAway { volumes: vec![volume.clone()] }), ..Work::default() };
    let needed = async |snapshot: &str| at.store.write().await.unwrap().is_needed(snapshot).await.unwrap();

    at.change(&environment, Action::Park).await;
    let kept = at.newest(&environment).await;
    let parked_in = facts().await.intent.parked_in.unwrap();
    assert_eq!((parked_in.snapshot.standing, parked_in.volumes), (Standing::Wanted, vec![old.clone()]));
    assert_eq!(needed(&kept.view.id).await, Some(Needed::InPlaceOfVolumes), "from the moment it is wanted");
    let lease = at.claimed(NOW).await;
    let early = at.store.record(&lease, 2, State::Parked, &put_away(&old), NOW).await;
    assert!(matches!(early, Err(StoreError::Stale)), "it is not complete: {early:?}");
    at.found_complete(&environment, &lease, 2, &kept).await;
    // Something else is still to be made of the volumes.
    let another = at.wanted(&environment, SnapshotReason::Demand).await;
    let lease = at.claimed(NOW + 5).await;
    let early = at.store.record(&lease, 2, State::Parked, &put_away(&old), NOW).await;
    assert!(matches!(early, Err(StoreError::Stale)), "another snapshot is wanted: {early:?}");
    let mut tx = at.store.write().await.unwrap();
    tx.remove_snapshot(&another, NOW).await.unwrap();
    tx.commit().await.unwrap();

    at.store.record(&lease, 2, State::Parked, &put_away(&old), NOW).await.unwrap();
    let away = facts().await;
    let next = away.observed.current_volumes().next().unwrap().clone();
    let source = next.put_away_in().unwrap();
    assert_eq!((source.snapshot.as_str(), &source.volume), (kept.view.id.as_str(), &old));
    let gone = asking(Step::DeleteVolume { volume: old.clone() });
    assert_eq!(at.store.record(&lease, 2, State::Parked, &gone, NOW).await.unwrap().len(), 1);
    let mut tx = at.store.write().await.unwrap();
    tx.remove_snapshot(&kept.view.id, NOW).await.unwrap();
    tx.commit().await.unwrap();
    let removal = asking(Step::DeleteSnapshot { snapshot: SnapshotId::new(&kept.view.id) });
    let refused = at.store.record(&lease, 2, State::Parked, &removal, NOW).await;
    assert!(matches!(refused, Err(StoreError::Stale)), "whoever asked for it, it is all there is: {refused:?}");
    let mut tx = at.store.write().await.unwrap();
    let past = sqlx::query("update snapshot set removal_requested_at = null, expires_at = $2 where id = $1");
    past.bind(&kept.view.id).bind(NOW).execute(tx.connection()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(at.store.expire_snapshots(NOW + 1).await.unwrap(), 0, "nor does time take it");

    // Until it is there again, and in use, that is so; then the snapshot is one among others.
    at.change(&environment, Action::Cancel).await;
    assert_eq!(facts().await.intent.parked_in, None);
    assert_eq!(needed(&kept.view.id).await, Some(Needed::InPlaceOfVolumes), "the volume is still to be made");
    let lease = at.claimed(NOW + 60_000).await;
    let hints = at.store.facts(&environment).await.unwrap().unwrap().hints;
    let seen = Settlement { volumes_seen: vec![next.id.clone()], ..settlement(hints, Some(NOW)) };
    at.store.settle(&lease, 3, &seen, NOW).await.unwrap();
    assert_eq!(needed(&kept.view.id).await, None);
    assert_eq!(facts().await.observed.put_away_in(), None);
}
