//! Orders and lists.

use app::api::Role;
use provisioners::Architecture;
use reqwest::Method;
use serde_json::{Value, json};
use tests::house::Plan;
use tests::{House, Outcome};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_repeated_with_its_key_is_one_order_on_sqlite() -> Outcome {
    one_order(House::open().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_repeated_with_its_key_is_one_order_on_postgresql() -> Outcome {
    let Some(url) = tests::house::fresh_postgres().await? else { return Ok(()) };
    one_order(House::built(Plan { database_url: Some(url), ..Plan::default() }).await?).await
}

async fn one_order(house: House) -> Outcome {
    let ann = house.guest("default", "ann", Role::User).await?;
    let ben = house.guest("default", "ben", Role::User).await?;
    let order = |guest: &tests::Guest, key: &str, body: Value| {
        let request = guest.request(Method::POST, "/environments").header("idempotency-key", key).json(&body);
        request.send()
    };
    let nameless = json!({ "template": "scratch" });
    // At once: a double click, again and again.
    for round in 1..=20 {
        let key = format!("k{round}");
        let clicks = futures::future::join_all((0..4).map(|_| order(&ann, &key, nameless.clone()))).await;
        let mut ids = std::collections::BTreeSet::new();
        for click in clicks {
            let click = click?;
            assert_eq!(click.status(), 201, "round {round}");
            ids.insert(click.json::<Value>().await?["id"].to_string());
        }
        assert_eq!(ids.len(), 1, "round {round}");
    }
    assert_eq!(ann.environments().await?, 20);

    let other = order(&ann, "k1", json!({ "template": "scratch", "name": "other" })).await?;
    assert_eq!(other.status(), 409);
    assert_eq!(other.json::<Value>().await?["fields"][0]["field"], "idempotency-key");
    let bens = order(&ben, "k1", nameless).await?;
    assert_eq!(bens.status(), 201, "another person's key is another key");
    let odd = order(&ann, &"k".repeat(201), json!({ "template": "scratch" })).await?;
    assert_eq!(odd.status(), 422);
    assert_eq!(ann.environments().await?, 21);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_taken_once_in_a_team_and_free_in_another() -> Outcome {
    let house = House::open().await?;
    house.stock("other").await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    let eve = house.guest("other", "eve", Role::User).await?;
    let first =
        ann.request(Method::POST, "/environments").json(&json!({"template": "scratch", "name": "shop"})).send().await?;
    assert_eq!(first.headers()["location"], "/api/v1/environments/shop");
    let again = ann.post("/environments", &json!({"template": "scratch", "name": "shop"})).await?;
    assert_eq!((again.status.as_u16(), &again.body["fields"][0]["field"]), (409, &json!("name")));
    eve.order("scratch", "shop").await?;
    assert_eq!((ann.environments().await?, eve.environments().await?), (1, 1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_read_page_by_page_and_narrowed_down() -> Outcome {
    let house = House::open().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    let ben = house.guest("default", "ben", Role::User).await?;
    for name in ["a1", "a2", "a3"] {
        ann.order("scratch", name).await?;
    }
    ben.order("scratch", "b-1").await?;
    let names = |page: &Value| -> Vec<String> {
        page["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|item| Some(item["name"].as_str()?.to_string()))
            .collect()
    };
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = ann.get(&format!("/environments?limit=3{cursor}")).await?.expect_success()?;
        seen.extend(names(&page));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["b-1", "a3", "a2", "a1"], "newest first, each once");
    assert_eq!(names(&ann.get("/environments?owner=ben").await?.body), ["b-1"]);
    assert_eq!(names(&ann.get("/environments?search=B-").await?.body), ["b-1"]);
    assert_eq!(names(&ann.get("/environments?owner=nobody").await?.body), [] as [&str; 0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_environment_parked_again_stays_as_it_is_and_events_tell_of_changes() -> Outcome {
    let house = House::open().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    let api = ann.api()?;
    ann.order("scratch", "box").await?;
    // Told by events: a stream that said nothing would let this wait for ever.
    api.await_state("box", "ready").await?;
    assert_eq!(ann.exec("box", "box", &["sh", "-c", "printf hello; exit 7"]).await?, ("hello".into(), "7".into()));
    api.act("box", "park").await?;
    api.await_state("box", "parked").await?;
    let before = ann.get("/environments/box/timeline").await?.body;
    assert_eq!(api.act("box", "park").await?["state"], "parked");
    assert_eq!(ann.get("/environments/box/timeline").await?.body, before);
    let refused = ann.post("/environments/box/restart", &json!({})).await?;
    assert_eq!((refused.status.as_u16(), &refused.body["code"]), (409, &json!("conflict")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_the_same_at_the_same_moment_is_answered_alike() -> Outcome {
    let house = House::open().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    let api = ann.api()?;
    ann.order("scratch", "box").await?;
    for (action, reached) in [("park", "parked"), ("resume", "ready"), ("park", "parked"), ("resume", "ready")] {
        api.await_state("box", if reached == "parked" { "ready" } else { "parked" }).await?;
        let path = format!("/environments/box/{action}");
        let nothing = json!({});
        for answer in futures::future::join_all((0..8).map(|_| ann.post(&path, &nothing))).await {
            let answer = answer?;
            assert_eq!(answer.status, 202, "{action}: {}", answer.body);
        }
        api.await_state("box", reached).await?;
    }
    let timeline = ann.get("/environments/box/timeline?limit=200").await?.body;
    let parkings =
        timeline["items"].as_array().into_iter().flatten().filter(|event| event["kind"] == "parking").count();
    assert_eq!(parkings, 2, "{timeline:#}");
    Ok(())
}

/// What the order form begins with, for whoever builds their own.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_can_begin_with_the_last_one_a_preset_or_an_environment_and_never_with_a_secret() -> Outcome {
    let house = House::open().await?;
    house.stock("other").await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    let eve = house.guest("other", "eve", Role::User).await?;
    let draft = async |of: &tests::Guest, query: &str| of.get(&format!("/catalog/postgres-app/draft?{query}")).await;
    let first = draft(&ann, "").await?.expect_success()?;
    assert_eq!(first["source"], json!({ "from": "defaults" }));
    assert!(first["name"].as_str().is_some_and(|name| name.starts_with("postgres-app-")), "{first}");
    assert_eq!((&first["environments"], &first["environments_limit"]), (&json!(0), &json!(1000)));
    let preset = draft(&ann, "preset=private").await?.expect_success()?;
    assert_eq!(preset["values"], json!({ "protect": "true" }));

    let values = json!({ "protect": "true", "password": "hunter2", "max_connections": "50", "title": "Guests" });
    let order = json!({ "template": "postgres-app", "name": "mine", "parameters": values });
    ann.post("/environments", &order).await?.expect_success()?;
    for query in ["", "from=mine"] {
        let draft = draft(&ann, query).await?.expect_success()?;
        assert_eq!(draft["values"], json!({ "protect": "true", "title": "Guests" }), "{query}: {draft}");
    }
    let defaults = draft(&ann, "defaults=true").await?.expect_success()?;
    assert_eq!((&defaults["values"], &defaults["environments"]), (&json!({}), &json!(1)));
    assert_eq!(draft(&ann, "preset=nothing").await?.status, 404);
    assert_eq!(draft(&eve, "from=mine").await?.status, 404, "another team's environment is not there");
    assert_eq!(draft(&eve, "").await?.expect_success()?["source"], json!({ "from": "defaults" }));
    ann.order("scratch", "box").await?;
    assert_eq!(draft(&ann, "from=box").await?.body["fields"][0]["field"], "from");

    let free = async |of: &tests::Guest, name: &str| of.get(&format!("/environment-names/{name}")).await;
    for (of, name, is_free) in [(&ann, "mine", false), (&eve, "mine", true), (&ann, "other", true), (&ann, "No", false)]
    {
        let said = free(of, name).await?.expect_success()?;
        assert_eq!((&said["free"], said["message"].is_null()), (&json!(is_free), is_free), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_for_processors_that_this_machine_has_not_is_refused_before_anything_is_made() -> Outcome {
    let other = match Architecture::here() {
        Some(Architecture::Arm64) => Architecture::X86,
        _ => Architecture::Arm64,
    };
    let template = format!(
        "name: far\nversion: 1\ntitle: Far\nsummary: Elsewhere.\ncategory: C\nservers:\n  box: {{architecture: {other}}}\n"
    );
    let house = House::built(Plan { templates: vec![("far.yaml", template)], ..Plan::default() }).await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    let refused = ann.post("/environments", &json!({ "template": "far", "name": "mine" })).await?;
    let told = refused.body.to_string();
    assert!(refused.status.is_client_error(), "{told}");
    let words = format!("Its server “box” is to have an {other} processor, and this machine has an ");
    assert!(told.contains(&words), "{told}");
    let shown = ann.get("/catalog/far").await?.body;
    assert_eq!(shown["servers"][0]["architecture"], other.as_str(), "{shown:#}");
    assert_eq!(ann.get("/environments/mine").await?.status.as_u16(), 404);
    Ok(())
}
