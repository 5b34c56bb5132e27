//! Environments that begin with a copy of what another's volumes hold.

use app::api::Role;
use serde_json::{Value, json};
use tests::house::Plan;
use tests::{Guest, House, Outcome};

async fn clone(guest: &Guest, name: &str, data: Value) -> Outcome<(u16, Value)> {
    let order = json!({ "template": "site", "name": name, "data": data });
    let answer = guest.post("/environments", &order).await?;
    Ok((answer.status.as_u16(), answer.body))
}

async fn read(guest: &Guest, environment: &str) -> Outcome<String> {
    Ok(guest.exec(environment, "api", &["cat", "/site/word"]).await?.0)
}

async fn write(guest: &Guest, environment: &str, word: &str) -> Outcome {
    guest.exec(environment, "api", &["sh", "-c", "echo \"$0\" > /site/word", word]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_begins_with_what_is_there_now_or_was_at_an_earlier_moment() -> Outcome {
    let house = House::open().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    ann.order("site", "shop").await?;
    ann.api()?.await_state("shop", "ready").await?;
    write(&ann, "shop", "early").await?;
    let early = ann.post("/environments/shop/snapshots", &json!({})).await?.body;
    let complete = |all: &Value| all[0]["state"] == "complete";
    ann.api()?.await_below("shop", "/snapshots", "complete", complete).await?;
    write(&ann, "shop", "late").await?;

    let (status, now) = clone(&ann, "now", json!({ "environment": "shop" })).await?;
    assert_eq!(status, 201, "{now:#}");
    let (status, then) = clone(&ann, "then", json!({ "environment": "shop", "snapshot": early["id"] })).await?;
    assert_eq!(status, 201, "{then:#}");
    for (name, word) in [("now", "late\n"), ("then", "early\n")] {
        ann.api()?.await_state(name, "ready").await?;
        assert_eq!(read(&ann, name).await?, word);
    }
    assert_eq!(ann.get("/environments/shop").await?.body["state"], "ready", "it ran on");
    let kept = ann.get("/environments/shop/snapshots").await?.body;
    assert_eq!((&kept[0]["reason"], &kept[0]["label"]), (&json!("clone"), &json!("for now")));

    // Deleting the one takes nothing from the other; a clone of what is deleted is a clone of its last moment.
    let id = ann.get("/environments/shop").await?.body["id"].as_str().unwrap_or_default().to_owned();
    ann.api()?.act("shop", "delete").await?;
    ann.api()?.await_state(&id, "deleted").await?;
    assert_eq!(read(&ann, "now").await?, "late\n");
    let (status, heir) = clone(&ann, "heir", json!({ "environment": id, "snapshot": "latest" })).await?;
    assert_eq!(status, 201, "{heir:#}");
    ann.api()?.await_state("heir", "ready").await?;
    assert_eq!(read(&ann, "heir").await?, "late\n");
    for name in ["now", "then", "heir"] {
        ann.api()?.act(name, "delete").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_cloned_is_said_and_orders_nothing() -> Outcome {
    let house = House::open().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    ann.order("site", "shop").await?;
    ann.api()?.await_state("shop", "ready").await?;
    for (data, status) in [
        (json!({ "environment": "nothing" }), 404),
        (json!({ "environment": "shop", "snapshot": "latest" }), 404),
        (json!({ "environment": "shop", "snapshot": "../x" }), 404),
        (json!({ "environment": "shop", "other": 1 }), 422),
    ] {
        assert_eq!(clone(&ann, "copy", data.clone()).await?.0, status, "{data}");
    }
    // Another template has no place for what its volume holds.
    let order = json!({ "template": "scratch", "name": "copy", "data": { "environment": "shop" } });
    let refused = ann.post("/environments", &order).await?;
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert!(
        refused.body["title"].as_str().unwrap_or_default().contains("volume site holds would be lost"),
        "{}",
        refused.body
    );
    assert_eq!(ann.environments().await?, 1);
    ann.api()?.act("shop", "delete").await?;
    Ok(())
}

const MOODY: &str = r#"
name: moody
version: "1.0.0"
title: Moody
summary: What it holds is kept only when it likes.
category: Basics
servers:
  api:
    before_snapshot: test ! -e /site/refuse || { echo "not now"; exit 1; }
volumes:
  site:
    size: 1 GiB
    mounts: {api: /site}
"#;

/// What was to be its beginning could not be taken: that is the copy's trouble, and not the one's that it was to be a copy of.
#[tokio::test(flavor = "multi_thread")]
async fn a_clone_that_could_not_begin_keeps_the_one_it_was_to_be_of_from_nothing() -> Outcome {
    let house = House::built(Plan { templates: vec![("moody.yaml", MOODY.to_owned())], ..Plan::default() }).await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    ann.order("moody", "shop").await?;
    ann.api()?.await_state("shop", "ready").await?;
    ann.exec("shop", "api", &["touch", "/site/refuse"]).await?;
    let order = json!({ "template": "moody", "name": "copy", "data": { "environment": "shop" } });
    assert_eq!(ann.post("/environments", &order).await?.status.as_u16(), 201);
    ann.api()?.await_state("copy", "failed").await?;
    for (action, state) in [("park", "parked"), ("resume", "ready")] {
        ann.api()?.act("shop", action).await?;
        ann.api()?.await_state("shop", state).await?;
    }
    ann.api()?.act("copy", "delete").await?;
    Ok(())
}
