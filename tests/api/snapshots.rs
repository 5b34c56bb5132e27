//! What volumes hold, kept and brought back.

use app::api::Role;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Guest, House, Outcome};

/// The newest snapshot, once it is this; that it failed instead is an error.
async fn newest(guest: &Guest, environment: &str, state: &str) -> Outcome<Value> {
    let is = |all: &Value| all[0]["state"] == state || all[0]["state"] == "failed";
    let all = guest.api()?.await_below(environment, "/snapshots", state, is).await?;
    match all[0]["state"] == state {
        true => Ok(all[0].clone()),
        false => Err(format!("it failed instead of becoming {state}: {:#}", all[0]).into()),
    }
}

async fn read(guest: &Guest, environment: &str) -> Outcome<String> {
    Ok(guest.exec(environment, "api", &["cat", "/site/word"]).await?.0)
}

async fn write(guest: &Guest, environment: &str, word: &str) -> Outcome {
    guest.exec(environment, "api", &["sh", "-c", "echo \"$0\" > /site/word", word]).await.map(drop)
}

async fn restore(guest: &Guest, environment: &str, snapshot: &str) -> Outcome<(u16, Value)> {
    let path = format!("/environments/{environment}/restore");
    let answer = guest.post(&path, &json!({ "snapshot": snapshot })).await?;
    Ok((answer.status.as_u16(), answer.body))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_snapshot_held_comes_back_and_the_restore_itself_can_be_undone() -> Outcome {
    let house = House::open().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    ann.order("site", "shop").await?;
    ann.api()?.await_state("shop", "ready").await?;
    write(&ann, "shop", "first").await?;
    let taken = ann.post("/environments/shop/snapshots", &json!({ "label": "before the demo" })).await?;
    assert_eq!((taken.status.as_u16(), &taken.body["state"]), (202, &json!("wanted")));
    let first = newest(&ann, "shop", "complete").await?;
    assert_eq!(first["id"], taken.body["id"]);
    assert!(first["frozen_ms"].as_i64().is_some(), "both servers ran, so both stood still: {first:#}");
    assert!(first["volumes"][0]["files"].as_u64() > Some(0) && first["volumes"][0]["digest"].is_string(), "{first:#}");

    write(&ann, "shop", "second").await?;
    let (status, restoring) = restore(&ann, "shop", first["id"].as_str().unwrap_or_default()).await?;
    assert_eq!((status, &restoring["state"]), (202, &json!("preparing")), "{restoring:#}");
    ann.api()?.await_state("shop", "ready").await?;
    assert_eq!(read(&ann, "shop").await?, "first\n");

    // What there was before is the newest snapshot now.
    let present = newest(&ann, "shop", "complete").await?;
    assert_eq!(present["reason"], "restore");
    assert_eq!(restore(&ann, "shop", "latest").await?.0, 202);
    ann.api()?.await_state("shop", "ready").await?;
    assert_eq!(read(&ann, "shop").await?, "second\n");
    ann.api()?.act("shop", "delete").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn parking_keeps_a_snapshot_and_what_was_deleted_comes_back_as_it_was() -> Outcome {
    let house = House::open().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    let ordered = ann.order("site", "shop").await?;
    let id = ordered["id"].as_str().ok_or("an environment without an id")?.to_owned();
    ann.api()?.await_state("shop", "ready").await?;
    write(&ann, "shop", "kept").await?;
    ann.api()?.act("shop", "park").await?;
    ann.api()?.await_state("shop", "parked").await?;
    let parked = newest(&ann, "shop", "complete").await?;
    assert_eq!((&parked["reason"], &parked["frozen_ms"]), (&json!("park"), &json!(null)), "nothing ran: {parked:#}");
    ann.api()?.act("shop", "delete").await?;
    ann.api()?.await_state(&id, "deleted").await?;
    let last = newest(&ann, &id, "complete").await?;
    assert_eq!(last["reason"], "delete");
    assert!(last["expires_at"].as_i64() > Some(house.now() + 13 * 24 * 3_600_000), "{last:#}");

    // While another has the name there is no way back; then there is.
    ann.order("scratch", "shop").await?;
    let (status, refused) = restore(&ann, &id, "latest").await?;
    assert_eq!(status, 409, "{refused:#}");
    ann.api()?.await_state("shop", "ready").await?;
    let other = ann.request(Method::PATCH, "/environments/shop").json(&json!({ "name": "mill" })).send().await?;
    assert_eq!(other.status(), 200);
    assert_eq!(restore(&ann, &id, "latest").await?.0, 202);
    ann.api()?.await_state("shop", "ready").await?;
    assert_eq!(ann.get("/environments/shop").await?.body["id"], id.as_str(), "it is the same environment");
    assert_eq!(read(&ann, "shop").await?, "kept\n");
    for name in ["shop", "mill"] {
        ann.api()?.act(name, "delete").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_final_snapshot_goes_when_its_time_is_over_and_a_pinned_one_stays() -> Outcome {
    const FIFTEEN_DAYS_MS: i64 = 15 * 24 * 3_600_000;
    let house = House::open().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    let mut ids = Vec::new();
    for name in ["gone", "pinned"] {
        let id = ann.order("site", name).await?["id"].as_str().ok_or("no id")?.to_owned();
        ann.api()?.await_state(name, "ready").await?;
        ann.api()?.act(name, "delete").await?;
        ann.api()?.await_state(&id, "deleted").await?;
        newest(&ann, &id, "complete").await?;
        ids.push(id);
    }
    let pin = ann.request(Method::PATCH, &format!("/environments/{}/snapshots/latest", ids[1]));
    assert_eq!(pin.json(&json!({ "pinned": true })).send().await?.status(), 200);
    house.wait(FIFTEEN_DAYS_MS);
    let ben = house.guest("default", "ben", Role::User).await?;
    // Whatever is asked for makes the engine look around.
    ben.order("scratch", "box").await?;
    ben.api()?.await_state("box", "ready").await?;
    let left = async |id: &str| -> Outcome<usize> {
        let all = ben.get(&format!("/environments/{id}/snapshots")).await?.expect_success()?;
        Ok(all.as_array().map_or(0, Vec::len))
    };
    assert_eq!((left(&ids[0]).await?, left(&ids[1]).await?), (0, 1));
    ben.api()?.act("box", "delete").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_or_brought_back_is_said_and_changes_nothing() -> Outcome {
    let house = House::open().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    ann.order("scratch", "box").await?;
    ann.api()?.await_state("box", "ready").await?;
    let refused = ann.post("/environments/box/snapshots", &json!({})).await?;
    assert_eq!(refused.status, 409);
    assert!(refused.body["detail"].as_str().unwrap_or_default().contains("Servers are disposable"), "{}", refused.body);
    let odd = ann.post("/environments/box/snapshots", &json!({ "label": "x".repeat(101) })).await?;
    assert_eq!((odd.status.as_u16(), &odd.body["fields"][0]["field"]), (422, &json!("label")));
    assert_eq!(restore(&ann, "box", "latest").await?.0, 404);
    assert_eq!(restore(&ann, "box", "' or 1=1 --").await?.0, 404);
    assert_eq!(ann.get("/environments/box").await?.body["state"], "ready");
    ann.api()?.act("box", "delete").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_says_when_snapshots_are_taken_by_themselves_and_the_template_when_nobody_does() -> Outcome {
    const DAY_MS: i64 = 24 * 3_600_000;
    let house = House::open().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    ann.order("site", "shop").await?;
    ann.api()?.await_state("shop", "ready").await?;
    let rule = async |rule: Value| -> Outcome<(u16, Value)> {
        let answer = ann.request(Method::PUT, "/environments/shop/snapshot-rule").json(&rule).send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    };
    let before = ann.get("/environments/shop").await?.body["snapshot_rule"].clone();
    assert_eq!((&before["rule"], &before["words"]), (&json!("template"), &json!(null)), "it has none: {before:#}");

    let (status, wrong) = rule(json!({ "rule": "at", "cron": "61 * * * *", "time_zone": "Mars/Olympus" })).await?;
    let fields: Vec<&Value> = wrong["fields"].as_array().into_iter().flatten().map(|one| &one["field"]).collect();
    assert_eq!((status, fields), (422, vec![&json!("cron"), &json!("time_zone")]), "{wrong:#}");
    assert_eq!(ann.get("/environments/shop").await?.body["snapshot_rule"], before);

    let (status, set) = rule(json!({ "rule": "at", "cron": "30 12 * * *", "time_zone": "Europe/Berlin" })).await?;
    assert_eq!((status, &set["snapshot_rule"]["words"]), (200, &json!("at 12:30 every day (Europe/Berlin)")));
    assert!(set["snapshot_rule"]["next_at"].as_i64() > Some(house.now()), "{set:#}");
    house.wait(DAY_MS);
    let taken = newest(&ann, "shop", "complete").await?;
    assert_eq!((&taken["reason"], &taken["actor"]), (&json!("schedule"), &json!(null)));

    let (_, never) = rule(json!({ "rule": "never" })).await?;
    assert_eq!((&never["snapshot_rule"]["rule"], &never["snapshot_rule"]["next_at"]), (&json!("never"), &json!(null)));
    let (_, back) = rule(json!({ "rule": "template" })).await?;
    assert_eq!(back["snapshot_rule"], before);
    ann.api()?.act("shop", "delete").await?;
    Ok(())
}
