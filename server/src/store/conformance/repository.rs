//! The portable repository: one worker at a time, and copies that are asked for, made, lost and forgotten.

use std::collections::BTreeSet;

use app::api::{ExportState, ExportView};
use sqlx::Executor;

use super::{Fixture, LEASE, NOW};
use crate::domain::repository::ExportPolicy;
use crate::store::{ExportedAs, RepositoryLease, RepositoryRules, StoreError};

const REPOSITORY: &str = "5helf";
const HOUR: i64 = 3_600_000;

fn rules(policy: ExportPolicy, now: i64) -> RepositoryRules {
    RepositoryRules { policy, forget_before: now - HOUR, look_before: 0 }
}

impl Fixture {
    async fn repository(&self) {
        self.store.open_repository(REPOSITORY, "/copies", false, "installation").await.unwrap();
    }

    /// A complete snapshot of an environment, made by hand.
    pub(super) async fn complete(&self, environment: &str, id: &str, reason: &str) {
        let statement = format!(
            "insert into snapshot (id, environment_id, reason, label, state, volumes, contents, requested_at, taken_at, pinned) \
             values ('{id}', '{environment}', '{reason}', '', 'complete', '[]', '[]', 1, 2, 0)"
        );
        let mut tx = self.store.write().await.unwrap();
        tx.connection().execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub(super) async fn removed(&self, id: &str, at: i64) {
        let statement = format!("update snapshot set removal_requested_at = {at}, removed_at = {at} where id = '{id}'");
        let mut tx = self.store.write().await.unwrap();
        tx.connection().execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn repository_claimed(&self, owner: &str, now: i64) -> Option<RepositoryLease> {
        self.store.claim_repository(REPOSITORY, owner, now, LEASE).await.unwrap()
    }

    /// Writes down what the policy asks for; the snapshots begun one after the other, each left as it is.
    async fn begun(&self, lease: &RepositoryLease, policy: ExportPolicy, now: i64) -> Option<String> {
        let mut tx = self.store.write().await.unwrap();
        tx.enlist_exports(lease, &rules(policy, now), now).await.unwrap();
        let begun = tx.begin_export(lease, now).await.unwrap();
        tx.commit().await.unwrap();
        begun.map(|next| next.snapshot)
    }

    async fn done(&self, lease: &RepositoryLease, snapshot: &str, now: i64) {
        let exported = ExportedAs { name: format!("name-of-{snapshot}"), bytes_total: 100, bytes_added: Some(40) };
        let mut tx = self.store.write().await.unwrap();
        tx.exported(lease, snapshot, &exported, now).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn export_of(&self, environment: &str, snapshot: &str) -> Option<ExportView> {
        self.store.exports(REPOSITORY, environment, NOW).await.unwrap().remove(snapshot)
    }
}

pub(super) async fn a_repository_is_worked_on_by_one_at_a_time_and_a_late_one_writes_nothing(at: Fixture) {
    at.repository().await;
    let environment = at.ordered("shop").await.summary.id;
    at.complete(&environment, "s1", "demand").await;
    assert!(at.store.repository_is_due(REPOSITORY, &rules(ExportPolicy::All, NOW), NOW).await.unwrap());
    let first = at.repository_claimed("one", NOW).await.unwrap();
    assert!(at.repository_claimed("two", NOW + 1).await.is_none(), "it is being worked on");
    assert!(!at.store.repository_is_due(REPOSITORY, &rules(ExportPolicy::All, NOW), NOW).await.unwrap());
    assert_eq!(at.begun(&first, ExportPolicy::All, NOW).await.as_deref(), Some("s1"));

    let later = NOW + LEASE.as_millis() as i64 + 1;
    let second = at.repository_claimed("two", later).await.unwrap();
    let mut tx = at.store.write().await.unwrap();
    let exported = ExportedAs { name: "late".into(), bytes_total: 1, bytes_added: None };
    assert!(matches!(tx.exported(&first, "s1", &exported, later).await, Err(StoreError::LeaseLost)));
    assert!(matches!(tx.keep_repository(&first, later, LEASE).await, Err(StoreError::LeaseLost)));
    drop(tx);
    // What the first had begun is begun again.
    assert_eq!(at.begun(&second, ExportPolicy::All, later).await.as_deref(), Some("s1"));
    at.done(&second, "s1", later).await;
    at.store.release_repository(&second).await.unwrap();
    let view = at.export_of(&environment, "s1").await.unwrap();
    assert_eq!((view.state, view.bytes_added), (ExportState::Exported, Some(40)));
    assert!(at.repository_claimed("one", later).await.is_some(), "it was let go");
}

pub(super) async fn a_policy_chooses_what_is_copied_and_people_may_ask_for_the_rest(at: Fixture) {
    at.repository().await;
    let environment = at.ordered("shop").await.summary.id;
    for (id, reason) in [("s1", "park"), ("s2", "demand"), ("s3", "delete")] {
        at.complete(&environment, id, reason).await;
    }
    let lease = at.repository_claimed("one", NOW).await.unwrap();
    assert_eq!(at.begun(&lease, ExportPolicy::None, NOW).await, None);
    for expected in ["s2", "s3"] {
        assert_eq!(at.begun(&lease, ExportPolicy::Kept, NOW).await.as_deref(), Some(expected));
        at.done(&lease, expected, NOW).await;
    }
    assert_eq!(at.begun(&lease, ExportPolicy::Kept, NOW).await, None);
    let mut tx = at.store.write().await.unwrap();
    tx.want_export(REPOSITORY, "s1", "anna", NOW).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(at.begun(&lease, ExportPolicy::None, NOW).await.as_deref(), Some("s1"));

    // One that failed waits, unless somebody asks for it.
    let mut tx = at.store.write().await.unwrap();
    tx.export_failed(&lease, "s1", "no room", NOW + HOUR).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(at.begun(&lease, ExportPolicy::None, NOW).await, None);
    let view = at.export_of(&environment, "s1").await.unwrap();
    assert_eq!(
        (view.state, view.failure.as_deref(), view.retry_at),
        (ExportState::Failed, Some("no room"), Some(NOW + HOUR))
    );
    let mut tx = at.store.write().await.unwrap();
    tx.want_export(REPOSITORY, "s1", "anna", NOW).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(at.begun(&lease, ExportPolicy::None, NOW).await.as_deref(), Some("s1"));
    // It goes from the list when it is deleted here before it was copied.
    at.removed("s1", NOW).await;
    assert_eq!(at.begun(&lease, ExportPolicy::All, NOW).await, None);
    assert_eq!(at.export_of(&environment, "s1").await, None);
}

pub(super) async fn a_copy_outlives_its_snapshot_for_a_time_and_a_lost_one_is_made_again(at: Fixture) {
    at.repository().await;
    let environment = at.ordered("shop").await.summary.id;
    at.complete(&environment, "s1", "demand").await;
    at.complete(&environment, "s2", "demand").await;
    let lease = at.repository_claimed("one", NOW).await.unwrap();
    for snapshot in ["s1", "s2"] {
        at.begun(&lease, ExportPolicy::All, NOW).await;
        at.done(&lease, snapshot, NOW).await;
    }
    at.removed("s1", NOW).await;
    let mut tx = at.store.write().await.unwrap();
    assert_eq!(tx.forgettable(&lease, NOW - 1).await.unwrap(), vec![], "its time is not over");
    assert_eq!(tx.forgettable(&lease, NOW).await.unwrap(), vec![("s1".into(), "name-of-s1".into())]);
    tx.forgotten(&lease, &["s1".to_owned()]).await.unwrap();
    tx.want_pruning(&lease, true).await.unwrap();
    assert!(tx.is_pruning_wanted(&lease).await.unwrap());
    assert_eq!(tx.forgettable(&lease, NOW).await.unwrap(), vec![]);

    // Somebody removed the other one there.
    assert_eq!(tx.compare_exports(&lease, &BTreeSet::new(), NOW).await.unwrap(), 1);
    tx.repository_looked_at(&lease, 0, 12, NOW).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(at.begun(&lease, ExportPolicy::None, NOW).await.as_deref(), Some("s2"));
    let mut tx = at.store.write().await.unwrap();
    tx.repository_in_trouble(&lease, "it is gone", NOW + HOUR, NOW).await.unwrap();
    tx.commit().await.unwrap();
    let standing = at.store.repository_standing(REPOSITORY).await.unwrap();
    assert_eq!(
        (standing.trouble.as_deref(), standing.stored_bytes, standing.exported),
        (Some("it is gone"), Some(12), 0)
    );
}
