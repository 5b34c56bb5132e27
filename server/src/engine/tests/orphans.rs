//! What nobody owns, seen by the engine: told once, ended by policy alone, and never what a row counts on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use provisioners::{
    Capabilities, Effect, EnvironmentId, ObservedEnvironment, Orphan, OrphanKind, Orphans, ProvisionError, Provisioner,
};
use sqlx::Row;
use tempfile::TempDir;
use tokio::sync::broadcast;

use super::{House, MORNING, shop};
use crate::engine::orphans::{NotRemoved, look, remove};
use crate::store::{Store, sqlite_url};

const HOUR: i64 = 60 * 60_000;

/// A place that has what it is told to have.
#[derive(Default)]
struct Cloud {
    name: &'static str,
    has: Mutex<Vec<Orphan>>,
    removed: Mutex<Vec<String>>,
    silent: Mutex<bool>,
    left_out: Mutex<Option<String>>,
    /// Whoever asks waits for ever.
    hangs: bool,
    patient: bool,
}

#[async_trait]
impl Provisioner for Cloud {
    fn name(&self) -> &str {
        self.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn observe(&self, _: &[EnvironmentId]) -> Result<Vec<ObservedEnvironment>, ProvisionError> {
        Ok(Vec::new())
    }

    async fn request(&self, _: &Effect) -> Result<(), ProvisionError> {
        Ok(())
    }

    async fn inventory(&self) -> Result<Vec<EnvironmentId>, ProvisionError> {
        Ok(Vec::new())
    }

    async fn orphans(&self) -> Result<Orphans, ProvisionError> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        let left_out = self.left_out.lock().unwrap().clone();
        match *self.silent.lock().unwrap() {
            true => Err(ProvisionError::Unknown { message: "nobody answers".into() }),
            false => Ok(Orphans { found: self.has.lock().unwrap().clone(), left_out }),
        }
    }

    fn orphan_servers_end_after(&self) -> Option<Duration> {
        (!self.patient).then_some(Duration::from_secs(24 * 3600))
    }

    async fn remove_orphan(&self, orphan: &Orphan) -> Result<(), ProvisionError> {
        self.removed.lock().unwrap().push(orphan.id.clone());
        Ok(())
    }

    fn changes(&self) -> broadcast::Receiver<EnvironmentId> {
        broadcast::channel(1).1
    }
}

fn orphan(kind: OrphanKind, id: &str) -> Orphan {
    Orphan {
        kind,
        id: id.into(),
        environment: EnvironmentId::new("once"),
        subject: None,
        about: "t3.small in a zone".into(),
        made_at: Some(MORNING - 30 * 24 * HOUR),
        monthly_cents: Some(1518),
    }
}

fn one_of_each() -> Vec<Orphan> {
    let kinds = [OrphanKind::Server, OrphanKind::Volume, OrphanKind::Snapshot, OrphanKind::Network];
    kinds.into_iter().zip(["i-1", "vol-1", "snap-1", "sg-1"]).map(|(kind, id)| orphan(kind, id)).collect()
}

async fn store() -> (Store, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (Store::open(&sqlite_url(&directory.path().join("bookend.db"))).await.unwrap(), directory)
}

async fn ids(store: &Store) -> Vec<String> {
    store.orphans().await.unwrap().into_iter().map(|row| row.orphan.id).collect()
}

fn removed(cloud: &Cloud) -> Vec<String> {
    cloud.removed.lock().unwrap().clone()
}

#[tokio::test]
async fn a_server_that_nobody_owns_ends_a_day_after_it_was_first_seen_and_everything_else_waits_for_a_person() {
    let (store, _directory) = store().await;
    let cloud = Cloud { has: Mutex::new(one_of_each()), ..Cloud::default() };
    for hour in 0..24 {
        look(&store, &cloud, MORNING + hour * HOUR).await.unwrap();
        assert_eq!(ids(&store).await, ["i-1", "sg-1", "snap-1", "vol-1"]);
        assert_eq!(removed(&cloud), [] as [&str; 0], "after {hour} hours");
    }
    look(&store, &cloud, MORNING + 24 * HOUR).await.unwrap();
    assert_eq!(removed(&cloud), ["i-1"]);
    let audit = sqlx::query("select actor, action, target from audit_event");
    let audit = audit.fetch_all(&mut *store.read().await.unwrap()).await.unwrap();
    let said: Vec<[String; 3]> = audit.iter().map(|row| [row.get(0), row.get(1), row.get(2)]).collect();
    assert_eq!(said, [["orphan policy", "remove_leftover", "i-1"].map(str::to_owned)]);

    // It is shown for a while still, and is not asked for twice; then it is, for it is there.
    look(&store, &cloud, MORNING + 24 * HOUR + HOUR / 2).await.unwrap();
    assert_eq!((ids(&store).await.len(), removed(&cloud).len()), (3, 1));
    look(&store, &cloud, MORNING + 26 * HOUR).await.unwrap();
    assert_eq!(removed(&cloud), ["i-1", "i-1"]);

    // What is gone is forgotten; what comes back begins anew.
    cloud.has.lock().unwrap().clear();
    look(&store, &cloud, MORNING + 30 * HOUR).await.unwrap();
    assert_eq!(ids(&store).await, [] as [&str; 0]);
    *cloud.has.lock().unwrap() = one_of_each();
    look(&store, &cloud, MORNING + 31 * HOUR).await.unwrap();
    assert_eq!((ids(&store).await.len(), removed(&cloud).len()), (4, 2));
}

#[tokio::test]
async fn a_policy_may_be_to_wait_for_ever() {
    let (store, _directory) = store().await;
    let cloud = Cloud { has: Mutex::new(one_of_each()), patient: true, ..Cloud::default() };
    for day in 0..30 {
        look(&store, &cloud, MORNING + day * 24 * HOUR).await.unwrap();
    }
    assert_eq!((ids(&store).await.len(), removed(&cloud).len()), (4, 0));
}

#[tokio::test]
async fn of_several_portals_one_looks_and_a_silent_place_changes_nothing() {
    let (store, _directory) = store().await;
    let cloud = Cloud { has: Mutex::new(one_of_each()), ..Cloud::default() };
    look(&store, &cloud, MORNING).await.unwrap();
    *cloud.silent.lock().unwrap() = true;
    // Somebody has just looked.
    look(&store, &cloud, MORNING + 1000).await.unwrap();
    assert_eq!(store.orphan_looks().await.unwrap()[0].trouble, None);
    look(&store, &cloud, MORNING + HOUR).await.unwrap();
    let told = store.orphan_looks().await.unwrap().remove(0);
    assert!(told.trouble.is_some_and(|why| why.contains("nobody answers")) && told.looked_at == Some(MORNING));
    assert_eq!(ids(&store).await.len(), 4, "what was seen is not gone because nobody answers");
}

#[tokio::test]
async fn what_a_place_can_say_nothing_about_is_told_beside_what_it_found() {
    let (store, _directory) = store().await;
    let left_out = Mutex::new(Some("a page cannot be read".to_owned()));
    let cloud = Cloud { has: Mutex::new(one_of_each()), left_out, ..Cloud::default() };
    look(&store, &cloud, MORNING).await.unwrap();
    let told = store.orphan_looks().await.unwrap().remove(0);
    assert_eq!((told.trouble.as_deref(), told.looked_at), (Some("a page cannot be read"), Some(MORNING)));
    assert_eq!(ids(&store).await.len(), 4);
    *cloud.left_out.lock().unwrap() = None;
    look(&store, &cloud, MORNING + HOUR).await.unwrap();
    assert_eq!(store.orphan_looks().await.unwrap()[0].trouble, None);
}

#[tokio::test]
async fn a_place_that_does_not_answer_keeps_nobody_from_hearing_of_what_others_have() {
    let mut house = House::new().await;
    house.engine = None;
    let silent = Cloud { name: "a silent one", hangs: true, ..Cloud::default() };
    let other = Cloud { name: "beside it", has: Mutex::new(one_of_each()), ..Cloud::default() };
    house.start_with(vec![Arc::new(silent), Arc::new(other)]).await;
    let found = async {
        while ids(&house.store).await.len() < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found).await.expect("it is told at once");
}

#[tokio::test]
async fn what_a_row_counts_on_is_no_orphan_however_little_its_place_remembers() {
    let house = House::new().await;
    house.order("shop", shop()).await;
    let (store, id) = (&house.store, house.show("shop").await.summary.id);
    let of = async |sql: &'static str| -> String {
        sqlx::query(sql).fetch_one(&mut *store.read().await.unwrap()).await.unwrap().get(0)
    };
    let (server, volume) = (of("select id from server").await, of("select id from volume").await);
    let subject = |kind: OrphanKind, name: &str, subject: &str, generation: Option<i64>| Orphan {
        subject: Some((subject.to_owned(), generation)),
        ..orphan(kind, name)
    };
    let counted = [
        subject(OrphanKind::Server, "i-now", &server, Some(1)),
        subject(OrphanKind::Volume, "vol-now", &volume, None),
        subject(OrphanKind::Network, "sg-now", &id, None),
    ];
    let stray = [
        subject(OrphanKind::Server, "i-later", &server, Some(7)),
        subject(OrphanKind::Volume, "vol-other", "nowhere", None),
        subject(OrphanKind::Snapshot, "snap-other", "nowhere", None),
    ];
    let cloud = Cloud { has: Mutex::new([counted.clone(), stray].concat()), ..Cloud::default() };
    look(store, &cloud, MORNING).await.unwrap();
    assert_eq!(ids(store).await, ["i-later", "snap-other", "vol-other"]);
    for one in &counted {
        assert!(matches!(remove(store, &cloud, one, MORNING).await, Err(NotRemoved::Owned)), "{one:?}");
    }
    assert_eq!(removed(&cloud), [] as [&str; 0]);
}
