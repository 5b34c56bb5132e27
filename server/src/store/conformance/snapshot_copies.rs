//! Copies of snapshots at other provisioners, and what counts on them.

use app::api::{SnapshotCopyState, SnapshotCopyView};
use provisioners::{Copied, EnvironmentId, Ledger, Orphan, OrphanKind, PageChange};

use super::{Fixture, NOW};
use crate::store::{CopyNews, CopyStage, OpenCopy, StoredLedger};

impl Fixture {
    async fn open_copies(&self, now: i64) -> Vec<(String, CopyStage)> {
        let open = self.store.open_copies("dublin", now).await.unwrap();
        open.into_iter().map(|copy| (copy.snapshot, copy.stage)).collect()
    }

    async fn open_copy(&self, snapshot: &str, now: i64) -> OpenCopy {
        let open = self.store.open_copies("dublin", now).await.unwrap();
        open.into_iter().find(|copy| copy.snapshot == snapshot).unwrap()
    }

    async fn news(&self, copy: &OpenCopy, news: CopyNews) {
        self.store.note_copy("dublin", copy, &news, NOW).await.unwrap();
    }

    async fn copy_of(&self, environment: &str, snapshot: &str) -> Option<SnapshotCopyView> {
        self.store.copies_of(environment).await.unwrap().remove(snapshot).map(|mut copies| copies.remove(0))
    }

    async fn counts(&self, provisioner: &str, snapshot: &str) -> bool {
        let orphan = Orphan {
            kind: OrphanKind::Snapshot,
            id: "snap-1".into(),
            environment: EnvironmentId::new("whose"),
            subject: Some((snapshot.to_owned(), None)),
            about: String::new(),
            made_at: None,
            monthly_cents: None,
        };
        self.store.counts_on(provisioner, &orphan).await.unwrap()
    }
}

pub(super) async fn a_snapshot_is_copied_as_its_rule_says_and_its_copy_goes_with_it(at: Fixture) {
    let environment = at.ordered("shop").await.summary.id;
    at.complete(&environment, "s1", "park").await;
    at.complete(&environment, "s2", "demand").await;
    let home = at.store.environment("t", "shop").await.unwrap().unwrap().provisioner;
    assert_eq!(at.store.enlist_copies("another", "dublin", Copied::All, NOW).await.unwrap(), 0, "of others");
    assert_eq!(at.store.enlist_copies(&home, "dublin", Copied::Kept, NOW).await.unwrap(), 1);
    assert_eq!(at.open_copies(NOW).await, [("s2".to_owned(), CopyStage::Wanted)]);
    assert_eq!(at.store.enlist_copies(&home, "dublin", Copied::All, NOW + 1).await.unwrap(), 1);
    assert_eq!(at.store.enlist_copies(&home, "dublin", Copied::All, NOW + 2).await.unwrap(), 0, "once");

    // What is under way comes first and is told of; a late word of another portal counts for nothing.
    let (first, second) = (at.open_copy("s1", NOW).await, at.open_copy("s2", NOW).await);
    assert_eq!((first.environment.as_str(), first.home.as_str()), (environment.as_str(), home.as_str()));
    at.news(&first, CopyNews::Copying { doing: Some("45 % copied".into()) }).await;
    at.news(&first, CopyNews::Failed { reason: "late".into(), retry_at: NOW }).await;
    assert_eq!(at.open_copies(NOW).await[0], ("s1".to_owned(), CopyStage::Copying));
    assert_eq!(at.copy_of(&environment, "s1").await.unwrap().doing.as_deref(), Some("45 % copied"));

    // What failed is tried again when it is time.
    at.news(&second, CopyNews::Copying { doing: None }).await;
    let second = at.open_copy("s2", NOW).await;
    at.news(&second, CopyNews::Failed { reason: "no room".into(), retry_at: NOW + 100 }).await;
    assert_eq!(at.open_copies(NOW + 99).await.len(), 1);
    assert_eq!(at.open_copies(NOW + 100).await[1], ("s2".to_owned(), CopyStage::Failed));
    let view = at.copy_of(&environment, "s2").await.unwrap();
    let failed = (SnapshotCopyState::Failed, Some("no room"), Some(NOW + 100));
    assert_eq!((view.state, view.failure.as_deref(), view.retry_at), failed);

    let first = at.open_copy("s1", NOW).await;
    at.news(&first, CopyNews::Complete).await;
    assert_eq!(at.open_copies(NOW).await, []);
    let complete = at.store.complete_copies(&environment).await.unwrap();
    assert_eq!(complete.into_iter().collect::<Vec<_>>(), [("dublin".to_owned(), vec!["s1".to_owned()])]);
    // As long as home remembers nothing of it, what is found under another name may be it.
    assert_eq!((at.counts("dublin", "s1").await, at.counts("paris", "s1").await), (true, true));
    let ledger = StoredLedger { store: at.store.clone(), provisioner: home.clone() };
    let (environment_id, key) = (EnvironmentId::new(environment.clone()), "snapshot/s1".to_owned());
    let page = PageChange { environment: environment_id, key, from: 0, body: Some("{}".to_owned()) };
    assert_eq!(ledger.write(&[page]).await, Ok(true));
    assert_eq!((at.counts("dublin", "s1").await, at.counts("paris", "s1").await), (true, false));

    // It goes with its snapshot, and is counted on until it is gone.
    at.removed("s1", NOW + 5).await;
    at.store.expire_copies().await.unwrap();
    let gone = at.open_copy("s1", NOW).await;
    assert_eq!((gone.stage, at.copy_of(&environment, "s1").await), (CopyStage::Removing, None));
    assert_eq!((at.counts("dublin", "s1").await, at.counts(&home, "s1").await), (true, false));
    at.news(&gone, CopyNews::Waits { reason: "it is away".into(), retry_at: NOW + 50 }).await;
    assert_eq!(at.open_copies(NOW + 49).await, []);
    at.news(&at.open_copy("s1", NOW + 50).await, CopyNews::Gone).await;
    assert!(!at.counts("dublin", "s1").await);
}
