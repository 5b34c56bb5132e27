use super::*;
use crate::domain::note::Note;

/// Orders, the first of which was the longest ago; each with its state and after how long it was first ready.
async fn past(at: &Fixture, version: &str, orders: &[(&str, Option<i64>)]) {
    for (state, took) in orders {
        let id = id(NOW);
        let new = NewEnvironment {
            id: id.clone(),
            template_version_id: version.into(),
            ..at.new_environment(&format!("e{}", &id[24..]), "p")
        };
        assert_eq!(at.order(&new, None, PLENTY).await, Ordered::Created);
        let took = took.map_or("null".to_owned(), |took| format!("created_at + {took}"));
        let sql = format!("update environment set state = '{state}', first_ready_at = {took} where id = '{id}'");
        let mut tx = at.store.write().await.unwrap();
        tx.connection().execute(AssertSqlSafe(sql)).await.unwrap();
        tx.commit().await.unwrap();
    }
}

pub(super) async fn past_orders_tell_how_long_a_template_takes_and_how_often_it_comes(at: Fixture) {
    let mut tx = at.store.write().await.unwrap();
    for row in [
        "insert into template_version (id, template_id, version, digest, source, created_at) \
         values ('tv2', 'tp', '2', 'x', '', 0)",
        "insert into template (id, team_id, name, created_at) values ('tq', 't', 'mill', 0)",
        "insert into template_version (id, template_id, version, digest, source, created_at) \
         values ('tw', 'tq', '1', '', '', 0)",
    ] {
        tx.connection().execute(row).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(at.store.template_records("t").await.unwrap().len(), 0, "nothing is known before the first order");

    // Time to ready ends with the first readiness, whatever comes after it.
    let record = at.ordered("one").await;
    for later in [700, 90_000] {
        let lease = at.claimed(NOW + later).await;
        let ready = Settlement { ready_at: Some(NOW + later), ..settlement(0, Some(NOW + later)) };
        at.store.settle(&lease, 1, &ready, NOW + later).await.unwrap();
    }
    let known = at.store.template_records("t").await.unwrap()["tp"].clone();
    assert_eq!((known.ready_p50_ms, known.ready_p95_ms), (Some(700), Some(700)));
    assert_eq!((known.orders, known.decided, known.became_ready), (1, 1, 1), "{}", record.summary.name);
    assert_eq!(known.last_ordered_at, NOW);

    // What is on its way is an order, and neither a success nor a failure; both versions are the same template.
    past(&at, "tv", &[("failed", None), ("deleted", None), ("starting", None), ("deleted", Some(100))]).await;
    past(&at, "tv2", &[("ready", Some(300)), ("parked", Some(200))]).await;
    past(&at, "tw", &[("failed", None)]).await;
    let known = at.store.template_records("t").await.unwrap();
    let shop = &known["tp"];
    assert_eq!((shop.orders, shop.decided, shop.became_ready), (7, 6, 4));
    assert_eq!((shop.ready_p50_ms, shop.ready_p95_ms), (Some(200), Some(700)));
    let mill = &known["tq"];
    assert_eq!((mill.orders, mill.decided, mill.became_ready, mill.ready_p50_ms), (1, 1, 0, None));
    assert!(at.store.template_records("other").await.unwrap().is_empty(), "another team's orders are not told");

    // Only the last hundred count.
    past(&at, "tv", &[("ready", Some(50)); 100]).await;
    let shop = at.store.template_records("t").await.unwrap()["tp"].clone();
    assert_eq!((shop.orders, shop.decided, shop.became_ready), (107, 100, 100));
    assert_eq!((shop.ready_p50_ms, shop.ready_p95_ms), (Some(50), Some(50)));
}

pub(super) async fn how_long_coming_back_took_is_told_by_what_happened_lately_to_the_like(at: Fixture) {
    let happened = async |environment: &str, kind: &'static str, at_ms: i64| {
        let mut tx = at.store.write().await.unwrap();
        tx.add_event(environment, &Note::new(kind, ""), None, NOW + at_ms).await.unwrap();
        tx.commit().await.unwrap();
    };
    let (one, two) = (at.ordered("one").await.summary.id, at.ordered("two").await.summary.id);
    let elsewhere = NewEnvironment { provisioner: "frankfurt".into(), ..at.new_environment("three", "p") };
    assert_eq!(at.order(&elsewhere, None, PLENTY).await, Ordered::Created);
    for (environment, kind, at_ms) in [
        (&one, "resuming", 100),
        (&two, "resuming", 120),
        (&two, "ready", 150),
        (&one, "server_ready", 160),
        (&one, "ready", 170),
        (&elsewhere.id, "resuming", 180),
    ] {
        happened(environment, kind, at_ms).await;
    }
    let turns = async |version: &str, provisioner: &str, since: i64| {
        at.store.turns_of_version("t", version, provisioner, NOW + since).await.unwrap()
    };
    let turn = |kind: &str, at_ms: i64| (kind.to_owned(), NOW + at_ms);
    let both = turns("tv", "local", 1).await;
    assert_eq!(both.len(), 2);
    assert!(both.contains(&vec![turn("resuming", 100), turn("ready", 170)]), "{both:?}");
    assert!(both.contains(&vec![turn("resuming", 120), turn("ready", 150)]), "{both:?}");
    assert_eq!(turns("tv", "local", 160).await, [[turn("ready", 170)]], "what is older does not count");
    assert_eq!(turns("tv", "frankfurt", 1).await, [[turn("resuming", 180)]], "another place is another matter");
    assert!(turns("other", "local", 1).await.is_empty());

    // Where nothing came back, first starts tell the most.
    past(&at, "tv", &[("ready", Some(70)), ("failed", None), ("ready", Some(50))]).await;
    let starts = async |version: &str, provisioner: &str, since: i64| {
        at.store.first_starts("t", version, provisioner, since).await.unwrap()
    };
    assert_eq!(starts("tv", "local", 0).await, [50, 70], "the newest first");
    assert!(starts("tv", "local", NOW * 2).await.is_empty(), "what is older does not count");
    assert!(starts("tv", "frankfurt", 0).await.is_empty(), "it was not ready yet");
}

pub(super) async fn a_person_is_told_of_their_own_last_orders_and_of_names_that_are_taken(at: Fixture) {
    let mut tx = at.store.write().await.unwrap();
    for row in [
        "insert into template_version (id, template_id, version, digest, source, created_at) \
         values ('tv2', 'tp', '2', 'x', '', 0)",
        "insert into template (id, team_id, name, created_at) values ('tq', 't', 'mill', 0)",
        "insert into template_version (id, template_id, version, digest, source, created_at) \
         values ('tw', 'tq', '1', '', '', 0)",
    ] {
        tx.connection().execute(row).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert!(at.store.ordered_lately("p").await.unwrap().is_empty());
    assert_eq!(at.store.last_order("p", "tp").await.unwrap(), None);

    for (name, owner, version, size) in
        [("first", "p", "tv", "1"), ("second", "p", "tv2", "2"), ("theirs", "q", "tv2", "3"), ("flour", "q", "tw", "4")]
    {
        let new = NewEnvironment {
            template_version_id: version.into(),
            parameters: BTreeMap::from([("size".into(), size.into())]),
            ..at.new_environment(name, owner)
        };
        assert_eq!(at.order(&new, None, PLENTY).await, Ordered::Created);
    }
    let last = at.store.last_order("p", "tp").await.unwrap().unwrap();
    assert_eq!((last.environment.as_str(), last.parameters["size"].as_str()), ("second", "2"), "of any version");
    assert_eq!(at.store.last_order("p", "tq").await.unwrap(), None, "another person's order is not theirs");
    assert_eq!(at.store.ordered_lately("p").await.unwrap().into_keys().collect::<Vec<_>>(), ["tp"]);
    assert_eq!(at.store.ordered_lately("q").await.unwrap().len(), 2);

    // What is deleted is still an order, but takes neither a name nor a place.
    assert_eq!(at.store.environments_of("p", 10).await.unwrap(), 2);
    assert_eq!(at.store.environments_of("p", 1).await.unwrap(), 1, "counted no further than asked");
    assert!(at.store.is_name_taken("t", "second").await.unwrap());
    assert!(!at.store.is_name_taken("other", "second").await.unwrap());
    let mut tx = at.store.write().await.unwrap();
    tx.connection().execute("update environment set deleted_at = 1 where name = 'second'").await.unwrap();
    tx.commit().await.unwrap();
    assert!(!at.store.is_name_taken("t", "second").await.unwrap());
    assert_eq!(at.store.environments_of("p", 10).await.unwrap(), 1);
    assert_eq!(at.store.last_order("p", "tp").await.unwrap().unwrap().environment, "second");
}
