use super::*;

async fn describe(at: &Fixture, environment: &str, description: Description<'_>) -> Described {
    let mut tx = at.store.write().await.unwrap();
    let described = tx.describe("t", environment, description).await.unwrap();
    if described == Described::Done {
        tx.commit().await.unwrap();
    }
    described
}

pub(super) async fn what_people_say_of_an_environment_is_kept_and_found(at: Fixture) {
    let (one, two) = (at.ordered("one").await, at.ordered("two").await);
    let (id, other) = (one.summary.id.as_str(), two.summary.id.as_str());
    assert_eq!((one.note.as_str(), one.summary.tags.len()), ("", 0));
    let tags = ["größe".to_owned(), "demo".to_owned(), "q_3".to_owned()];
    let all = Description { name: Some("first"), tags: Some(&tags), note: Some("<b>bold</b>\nnot 🙂") };
    assert_eq!(describe(&at, id, all).await, Described::Done);
    let known = at.store.environment("t", "first").await.unwrap().unwrap();
    assert_eq!(known.summary.id, id);
    assert_eq!(known.summary.tags, ["demo", "größe", "q_3"]);
    assert_eq!(known.note, "<b>bold</b>\nnot 🙂");
    assert!(at.store.environment("t", "one").await.unwrap().is_none());

    // What programs in its servers were told stays true for them, however often it is renamed.
    assert_eq!(describe(&at, id, Description { name: Some("again"), ..Description::default() }).await, Described::Done);
    let server = known.facts.observed.servers[0].id.to_string();
    let configuration = at.store.server_configuration(&server).await.unwrap().unwrap();
    assert_eq!(configuration.environment_name, "one");

    // A name is one environment's; the old one is free, and its own is no news.
    let called = |name| Description { name: Some(name), ..Description::default() };
    assert_eq!(describe(&at, other, called("again")).await, Described::NameTaken);
    assert_eq!(describe(&at, id, called("again")).await, Described::Done);
    assert_eq!(describe(&at, other, called("one")).await, Described::Done);

    // Found by a part of the name or of a tag, whose letters mean themselves.
    assert_eq!(
        describe(&at, other, Description { tags: Some(&["q93".into()]), ..Description::default() }).await,
        Described::Done
    );
    for (search, expected) in [
        ("aga", vec![id]),
        ("DEM", vec![id]),
        ("größe", vec![id]),
        ("q_", vec![id]),
        ("q9", vec![other]),
        ("%", vec![]),
    ] {
        let filter = EnvironmentFilter { search: search.into(), limit: 10, ..EnvironmentFilter::default() };
        let found = at.store.environments("t", &filter).await.unwrap().items;
        assert_eq!(found.iter().map(|found| found.id.as_str()).collect::<Vec<_>>(), expected, "{search}");
    }
    assert_eq!(describe(&at, id, Description { tags: Some(&[]), ..Description::default() }).await, Described::Done);
    assert!(at.store.environment("t", id).await.unwrap().unwrap().summary.tags.is_empty());

    let mut tx = at.store.write().await.unwrap();
    let gone = AssertSqlSafe(format!("update environment set deleted_at = 1 where id = '{id}'"));
    tx.connection().execute(gone).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(describe(&at, id, called("late")).await, Described::Deleted);
}
