//! Snapshots that go to another place, seen by the engine: as many at a time as a place takes, told of as they go, tried again when they
//! fail, and gone with their snapshots.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use app::api::SnapshotCopyState;
use async_trait::async_trait;
use provisioners::{
    Capabilities, Copied, CopyRule, DataProgress, Effect, EnvironmentId, ObservedEnvironment, ObservedSnapshot,
    ProvisionError, Provisioner, SnapshotId, SnapshotOrigin, SnapshotPlan, SnapshotState,
};
use sqlx::Executor;
use tokio::sync::broadcast;

use super::{House, MORNING, shop};
use crate::engine::snapshot_copies::{Provisioners, look};

const HOUR: i64 = 60 * 60_000;

/// The place that has the snapshots, and the one that has the copies.
#[derive(Default)]
struct Cloud {
    name: &'static str,
    copies_to: Option<&'static str>,
    has: Mutex<BTreeMap<String, SnapshotState>>,
    asked: Mutex<Vec<String>>,
    away: Mutex<bool>,
}

impl Cloud {
    fn answers(&self) -> Result<(), ProvisionError> {
        match *self.away.lock().unwrap() {
            true => Err(ProvisionError::Unknown { message: "nobody answers".into() }),
            false => Ok(()),
        }
    }

    fn have(&self, snapshot: &str, state: SnapshotState) {
        self.has.lock().unwrap().insert(snapshot.to_owned(), state);
    }

    fn here(&self) -> Vec<String> {
        self.has.lock().unwrap().keys().cloned().collect()
    }
}

fn reading(doing: &str) -> SnapshotState {
    SnapshotState::Reading(DataProgress { doing: doing.into(), ..DataProgress::default() })
}

#[async_trait]
impl Provisioner for Cloud {
    fn name(&self) -> &str {
        self.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn observe(&self, environments: &[EnvironmentId]) -> Result<Vec<ObservedEnvironment>, ProvisionError> {
        self.answers()?;
        let snapshot = |(id, state): (&String, &SnapshotState)| ObservedSnapshot {
            snapshot: SnapshotId::new(id.clone()),
            call: 1,
            taken_at: MORNING,
            state: state.clone(),
            method: String::new(),
            contents: Vec::new(),
        };
        Ok(vec![ObservedEnvironment {
            environment: environments[0].clone(),
            network: false,
            servers: Vec::new(),
            volumes: Vec::new(),
            restoring: Vec::new(),
            snapshots: self.has.lock().unwrap().iter().map(snapshot).collect(),
        }])
    }

    async fn request(&self, _: &Effect) -> Result<(), ProvisionError> {
        Ok(())
    }

    async fn inventory(&self) -> Result<Vec<EnvironmentId>, ProvisionError> {
        Ok(Vec::new())
    }

    fn copy_rule(&self) -> Option<CopyRule> {
        self.copies_to.map(|to| CopyRule { to: to.to_owned(), which: Copied::All })
    }

    async fn snapshot_origin(&self, _: &EnvironmentId, id: &SnapshotId) -> Result<SnapshotOrigin, ProvisionError> {
        self.answers()?;
        let snapshot = SnapshotPlan { id: id.clone(), volumes: Vec::new() };
        Ok(SnapshotOrigin { snapshot, region: "here".into(), parts: Vec::new() })
    }

    async fn copy_snapshot(&self, _: &EnvironmentId, origin: &SnapshotOrigin) -> Result<(), ProvisionError> {
        self.answers()?;
        self.asked.lock().unwrap().push(origin.snapshot.id.to_string());
        self.have(origin.snapshot.id.as_str(), reading("0 % copied"));
        Ok(())
    }

    async fn remove_copy(&self, _: &EnvironmentId, snapshot: &SnapshotId) -> Result<(), ProvisionError> {
        self.answers()?;
        self.has.lock().unwrap().remove(snapshot.as_str());
        Ok(())
    }

    fn changes(&self) -> broadcast::Receiver<EnvironmentId> {
        broadcast::channel(1).1
    }
}

struct Story {
    house: House,
    environment: String,
    away: Arc<Cloud>,
    all: Provisioners,
}

impl Story {
    /// With so many snapshots, each of these volumes.
    async fn begin(snapshots: usize, volumes: usize) -> Story {
        let house = House::new().await;
        house.order("shop", shop()).await;
        let environment = house.show("shop").await.summary.id;
        let part = |number: usize| format!("{{\"volume\":\"v{number}\",\"name\":\"v{number}\"}}");
        let parts = (0..volumes).map(part).collect::<Vec<_>>().join(",");
        for number in 0..snapshots {
            let sql = format!(
                "insert into snapshot (id, environment_id, reason, label, state, volumes, contents, requested_at, taken_at, pinned) \
                 values ('s{number:02}', '{environment}', 'park', '', 'complete', '[{parts}]', '[]', {number}, 2, 0)"
            );
            let mut tx = house.store.write().await.unwrap();
            tx.connection().execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
            tx.commit().await.unwrap();
        }
        let home = Cloud { name: "local", copies_to: Some("dublin"), ..Cloud::default() };
        let away = Arc::new(Cloud { name: "dublin", ..Cloud::default() });
        let clouds: [Arc<dyn Provisioner>; 2] = [Arc::new(home), away.clone()];
        let all = clouds.into_iter().map(|one| (one.name().to_owned(), one)).collect();
        Story { house, environment, away, all }
    }

    async fn look(&self, now: i64) -> BTreeSet<String> {
        look(&self.house.store, &self.all, now).await.unwrap()
    }

    async fn states(&self) -> Vec<(SnapshotCopyState, Option<String>)> {
        let copies = self.house.store.copies_of(&self.environment).await.unwrap();
        let copies: BTreeMap<_, _> = copies.into_iter().collect();
        copies.into_values().flatten().map(|copy| (copy.state, copy.doing.or(copy.failure))).collect()
    }
}

#[tokio::test]
async fn a_copy_is_told_of_as_it_goes_and_is_begun_anew_when_it_failed_or_was_lost() {
    let story = Story::begin(1, 1).await;
    let told = BTreeSet::from([story.environment.clone()]);
    assert_eq!(story.look(MORNING).await, told);
    assert_eq!(story.look(MORNING).await, told, "the first word of how far it is");
    assert_eq!(story.states().await, [(SnapshotCopyState::Copying, Some("0 % copied".into()))]);
    assert_eq!(story.look(MORNING).await, BTreeSet::new(), "nothing new");

    story.away.have("s00", SnapshotState::Failed { reason: "its key is not there".into() });
    story.look(MORNING).await;
    assert_eq!(story.states().await, [(SnapshotCopyState::Failed, Some("its key is not there".into()))]);
    assert_eq!(story.away.here(), [] as [&str; 0], "what there was of it is not paid for");
    story.look(MORNING + 1).await;
    assert_eq!(story.away.asked.lock().unwrap().len(), 1, "not at once");
    story.look(MORNING + HOUR).await;
    assert_eq!(story.states().await[0].0, SnapshotCopyState::Copying);

    // Somebody took it away; a place that is silent has lost nothing.
    story.away.has.lock().unwrap().clear();
    *story.away.away.lock().unwrap() = true;
    story.look(MORNING + HOUR).await;
    assert_eq!(story.states().await[0].0, SnapshotCopyState::Copying);
    *story.away.away.lock().unwrap() = false;
    story.look(MORNING + HOUR).await;
    story.look(MORNING + HOUR).await;
    assert_eq!(story.away.asked.lock().unwrap().len(), 3);
    story.away.have("s00", SnapshotState::Complete);
    story.look(MORNING + HOUR).await;
    assert_eq!(story.states().await, [(SnapshotCopyState::Complete, None)]);
}

#[tokio::test]
async fn no_more_are_on_their_way_than_a_place_takes_and_a_copy_goes_with_its_snapshot() {
    let story = Story::begin(12, 3).await;
    story.look(MORNING).await;
    assert_eq!(story.away.here().len(), 6, "six times three volumes");
    for id in story.away.here() {
        story.away.have(&id, SnapshotState::Complete);
    }
    story.look(MORNING).await;
    story.look(MORNING).await;
    assert_eq!(story.away.here().len(), 12);

    let mut tx = story.house.store.write().await.unwrap();
    tx.remove_snapshot("s00", MORNING).await.unwrap();
    tx.remove_snapshot("s11", MORNING).await.unwrap();
    tx.commit().await.unwrap();
    *story.away.away.lock().unwrap() = true;
    story.look(MORNING).await;
    assert_eq!((story.away.here().len(), story.states().await.len()), (12, 10), "it is asked again");
    *story.away.away.lock().unwrap() = false;
    story.look(MORNING + HOUR).await;
    assert_eq!(story.away.here().len(), 10);
}

#[tokio::test]
async fn a_snapshot_of_more_volumes_than_are_copied_at_a_time_has_its_turn_alone() {
    let story = Story::begin(2, 30).await;
    story.look(MORNING).await;
    assert_eq!(story.away.here(), ["s00"]);
}
