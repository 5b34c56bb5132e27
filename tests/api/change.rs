//! Another size or template version on the volumes an environment has.

use app::api::Role;
use reqwest::Method;
use serde_json::{Value, json};
use tests::house::Plan;
use tests::{Guest, House, Outcome};

fn mill(version: &str, servers: &str, volumes: &str) -> String {
    format!(
        r#"
name: mill
version: "{version}"
title: Mill
summary: Grinds.
description: Grinds.
category: Test
parameters:
  stones: {{type: integer, title: Stones, min: 1, max: 3, default: 1}}
  password: {{type: secret, title: Password}}
servers:
  wheel:
    variables: {{PASSWORD: "${{parameters.password}}"}}
    services:
      turning: {{command: exec sleep 100000}}
{servers}
volumes:
{volumes}
"#
    )
}

const STONES: &str =
    "  stone:\n    count: ${parameters.stones}\n    services:\n      still: {command: exec sleep 100000}";
const FLOUR: &str = "  flour: {size: 1GiB, mounts: {wheel: /flour}}";
const MORE: &str = "  flour: {size: 2GiB, mounts: {wheel: /store}}\n  bran: {size: 1GiB, mounts: {wheel: /bran}}";
const OTHER: &str = "  grain: {size: 1GiB, mounts: {wheel: /grain}}";

async fn house() -> Outcome<House> {
    let templates = vec![("mill.yaml", mill("1", STONES, FLOUR))];
    House::built(Plan { templates, ..Plan::default() }).await
}

async fn change(guest: &Guest, change: Value) -> Outcome<(u16, Value)> {
    let answer = guest.request(Method::PATCH, "/environments/shop/order").json(&change).send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

async fn servers(guest: &Guest) -> Outcome<Vec<String>> {
    let shown = guest.get("/environments/shop").await?.body;
    let names = shown["servers"].as_array().into_iter().flatten();
    Ok(names.map(|server| server["name"].as_str().unwrap_or_default().to_owned()).collect())
}

async fn told(guest: &Guest, script: &str) -> Outcome<String> {
    Ok(guest.exec("shop", "wheel", &["sh", "-c", script]).await?.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_becomes_larger_and_another_version_and_keeps_its_data_and_secrets() -> Outcome {
    let house = house().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    let order = json!({ "template": "mill", "name": "shop", "parameters": { "password": "canary" } });
    ann.post("/environments", &order).await?.expect_success()?;
    ann.api()?.await_state("shop", "ready").await?;
    told(&ann, "echo ground > /flour/sack").await?;

    let (status, changing) = change(&ann, json!({ "parameters": { "stones": "3" } })).await?;
    assert_eq!((status, &changing["state"]), (202, &json!("preparing")), "{changing:#}");
    ann.api()?.await_state("shop", "ready").await?;
    assert_eq!(servers(&ann).await?, ["wheel", "stone-1", "stone-2", "stone-3"]);
    assert_eq!(told(&ann, "cat /flour/sack; echo $PASSWORD").await?, "ground\ncanary\n");
    let kept = ann.get("/environments/shop/snapshots").await?.body;
    assert_eq!(kept[0]["reason"], "change", "what there was is kept first: {kept:#}");

    // The next version mounts the volume elsewhere, has another, and needs no stones; parked, it becomes that just as well.
    house.publish("default", "mill.yaml", &mill("2", "", MORE)).await?;
    ann.api()?.act("shop", "park").await?;
    ann.api()?.await_state("shop", "parked").await?;
    assert_eq!(change(&ann, json!({ "version": "2" })).await?.0, 202);
    let is_second = |shown: &Value| shown["template_version"] == "2" && shown["state"] == "parked";
    ann.api()?.await_that("shop", "parked as version 2", is_second).await?;
    ann.api()?.act("shop", "resume").await?;
    ann.api()?.await_state("shop", "ready").await?;
    assert_eq!(servers(&ann).await?, ["wheel"]);
    assert_eq!(told(&ann, "cat /store/sack; ls /bran; echo $PASSWORD").await?, "ground\ncanary\n");
    ann.api()?.act("shop", "delete").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_lose_a_volume_is_refused_by_its_name_and_changes_nothing() -> Outcome {
    let house = house().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    let order = json!({ "template": "mill", "name": "shop", "parameters": { "password": "canary" } });
    ann.post("/environments", &order).await?.expect_success()?;
    let before = ann.api()?.await_state("shop", "ready").await?;
    house.publish("default", "mill.yaml", &mill("2", STONES, OTHER)).await?;
    let smaller = mill("3", STONES, &FLOUR.replace("1GiB", "512MiB"));
    house.publish("default", "mill.yaml", &smaller).await?;
    for (asked, status, says) in [
        (json!({ "version": "2" }), 409, "Volume flour would be lost"),
        (json!({ "version": "3" }), 409, "Volume flour would shrink from 1 GiB to 512 MiB"),
        (json!({ "version": "9" }), 404, "9"),
        (json!({ "parameters": { "stones": "4" } }), 422, ""),
        (json!({ "parameters": { "password": "" } }), 422, ""),
        (json!({ "versoin": "2" }), 422, ""),
    ] {
        let (answered, body) = change(&ann, asked.clone()).await?;
        let title = body["title"].as_str().unwrap_or_default();
        assert!(answered == status && title.contains(says), "{asked}: {answered} {body:#}");
    }
    let (status, same) = change(&ann, json!({ "version": "1", "parameters": { "stones": "1" } })).await?;
    assert_eq!((status, &same["state"]), (202, &json!("ready")), "it is that already");
    let after = ann.get("/environments/shop").await?.body;
    assert_eq!((&after["state"], &after["ready_at"]), (&json!("ready"), &before["ready_at"]));
    assert_eq!(ann.get("/environments/shop/snapshots").await?.body, json!([]));
    ann.api()?.act("shop", "delete").await?;
    Ok(())
}
