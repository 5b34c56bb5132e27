//! What nobody owns at a provisioner, and what the database knows better.

use provisioners::{EnvironmentId, Orphan, OrphanKind};

use super::{Fixture, NOW};

fn orphan(id: &str, kind: OrphanKind, subject: Option<(String, Option<i64>)>) -> Orphan {
    Orphan {
        kind,
        id: id.to_owned(),
        environment: EnvironmentId::new("gone"),
        subject,
        about: "t3.small".to_owned(),
        made_at: Some(NOW - 1000),
        monthly_cents: Some(1518),
    }
}

pub(super) async fn what_nobody_owns_is_counted_from_when_it_was_first_seen(at: Fixture) {
    let store = &at.store;
    assert!(store.claim_orphan_look("frankfurt", NOW, NOW + 900).await.unwrap());
    assert!(!store.claim_orphan_look("frankfurt", NOW, NOW + 900).await.unwrap(), "one of two portals looks");
    assert!(store.claim_orphan_look("dublin", NOW, NOW + 900).await.unwrap());
    let (one, two) = (orphan("i-1", OrphanKind::Server, None), orphan("vol-2", OrphanKind::Volume, None));
    let new = store.write_orphans("frankfurt", std::slice::from_ref(&one), NOW).await.unwrap();
    assert_eq!(new, std::slice::from_ref(&one));
    let new = store.write_orphans("frankfurt", &[one.clone(), two.clone()], NOW + 50).await.unwrap();
    assert_eq!(new, std::slice::from_ref(&two));
    let seen = async || {
        let all = store.orphans().await.unwrap();
        all.into_iter().map(|row| (row.orphan.id, row.first_seen_at)).collect::<Vec<_>>()
    };
    assert_eq!(seen().await, [("i-1".to_owned(), NOW), ("vol-2".to_owned(), NOW + 50)]);

    // What was removed is shown no more, for as long as the place may show it still.
    let mut tx = store.write().await.unwrap();
    tx.note_orphan_removed("frankfurt", "i-1", NOW + 60).await.unwrap();
    tx.commit().await.unwrap();
    store.write_orphans("frankfurt", &[one.clone(), two.clone()], NOW + 70).await.unwrap();
    assert_eq!(seen().await, [("vol-2".to_owned(), NOW + 50)]);
    assert!(store.orphan("frankfurt", "i-1").await.unwrap().is_none());
    let late = NOW + 2 * 3_600_000;
    store.write_orphans("frankfurt", &[one, two], late).await.unwrap();
    assert_eq!(seen().await.len(), 2, "it is there still: somebody has to look");

    store.write_orphan_trouble("frankfurt", "no answer").await.unwrap();
    let looks = store.orphan_looks().await.unwrap();
    let looks: Vec<_> =
        looks.iter().map(|look| (look.provisioner.as_str(), look.looked_at, look.trouble.as_deref())).collect();
    assert_eq!(looks, [("dublin", None, None), ("frankfurt", Some(late), Some("no answer"))]);
    assert_eq!(store.write_orphans("frankfurt", &[], late).await.unwrap(), []);
    assert_eq!(seen().await, []);
}

pub(super) async fn what_two_provisioners_find_is_shown_once_and_nothing_of_those_that_are_gone(at: Fixture) {
    let store = &at.store;
    for name in ["small", "gpu"] {
        assert!(store.claim_orphan_look(name, NOW, NOW + 900).await.unwrap());
    }
    let one = [orphan("snap-1", OrphanKind::Snapshot, None)];
    assert_eq!(store.write_orphans("small", &one, NOW).await.unwrap(), one);
    assert_eq!(store.write_orphans("gpu", &one, NOW + 1).await.unwrap(), []);
    assert_eq!(store.count_orphans().await.unwrap(), 1);
    store.forget_orphans_but_of(&["gpu", "local"]).await.unwrap();
    assert_eq!(store.count_orphans().await.unwrap(), 0);
    assert_eq!(store.orphan_looks().await.unwrap().len(), 1);
    assert_eq!(store.write_orphans("gpu", &one, NOW + 2).await.unwrap(), one, "who has the same account shows it now");
}

pub(super) async fn what_was_told_of_is_not_told_again_for_as_long_as_it_is_there(at: Fixture) {
    const DAY: i64 = 24 * 3_600_000;
    let store = &at.store;
    let both = [orphan("i-1", OrphanKind::Server, None), orphan("vol-2", OrphanKind::Volume, None)];
    store.write_orphans("frankfurt", &both, NOW).await.unwrap();
    let untold = async || {
        let rows = store.orphans_to_alert().await.unwrap();
        rows.into_iter().map(|row| row.orphan.id).collect::<Vec<_>>()
    };
    assert_eq!(untold().await, ["i-1", "vol-2"]);
    assert!(store.claim_alert(NOW, NOW + 60).await.unwrap());
    assert!(!store.claim_alert(NOW + 59, NOW + 120).await.unwrap(), "another portal sends it");
    store.note_alerted(&["i-1"], NOW + 1).await.unwrap();
    assert_eq!(untold().await, ["vol-2"]);
    assert!(store.claim_alert(NOW + 1, NOW + 60).await.unwrap(), "the turn is over");
    assert_eq!(store.note_alert_failed(NOW + 2, |failures| i64::from(failures) + 7).await.unwrap(), 7);
    assert!(!store.claim_alert(NOW + 8, NOW + 60).await.unwrap());
    assert!(store.claim_alert(NOW + 9, NOW + 60).await.unwrap());
    assert_eq!(store.note_alert_failed(NOW + 9, |failures| i64::from(failures) + 7).await.unwrap(), 8);
    // Half a year later: what is there still is known, what was gone is news.
    store.note_alerted(&["vol-2"], NOW + 10).await.unwrap();
    store.write_orphans("frankfurt", &both[..1], NOW + 180 * DAY).await.unwrap();
    store.note_alerted(&[], NOW + 180 * DAY).await.unwrap();
    store.write_orphans("frankfurt", &both, NOW + 181 * DAY).await.unwrap();
    assert_eq!(untold().await, ["vol-2"]);
}

pub(super) async fn what_a_row_still_counts_on_is_nobodys_orphan(at: Fixture) {
    let environment = at.ordered("shop").await;
    let id = environment.summary.id.clone();
    let observed = &environment.facts.observed;
    let (server, volume) = (observed.servers[0].id.to_string(), observed.volumes[0].id.to_string());
    let counts = async |kind: OrphanKind, subject: &str, generation: Option<i64>| {
        let orphan = orphan("i-1", kind, Some((subject.to_owned(), generation)));
        at.store.counts_on("local", &orphan).await.unwrap()
    };
    assert!(counts(OrphanKind::Server, &server, Some(1)).await);
    assert!(!counts(OrphanKind::Server, &server, Some(2)).await, "another incarnation");
    assert!(counts(OrphanKind::Volume, &volume, None).await);
    assert!(counts(OrphanKind::Network, &id, None).await);
    for kind in [OrphanKind::Server, OrphanKind::Volume, OrphanKind::Snapshot, OrphanKind::Network] {
        assert!(!counts(kind, "nothing-of-this-database", Some(1)).await, "{kind:?}");
    }
    assert!(!at.store.counts_on("local", &orphan("i-1", OrphanKind::Server, None)).await.unwrap());
}
