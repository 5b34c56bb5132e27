//! Where a person left off, on machines that really run: what one server writes arrives at the other, and what both held at one
//! moment comes back into them, into a copy of them, and when they were deleted.

use serde_json::{Value, json};
use tests::tryout::Tryout;
use tests::{Api, Outcome};

const DESK: &str = r#"
name: desk
version: "1.0.0"
title: Desk
summary: Two servers that share a volume, and one of which has its own.
category: Basics
servers:
  one:
    services:
      clerk: {command: echo the clerk of $BOOKEND_SERVER is here; exec sleep 1000000}
  two: {}
volumes:
  files: {size: 1 GiB, mounts: {one: /files, two: /files}}
  notes: {size: 1 GiB, mounts: {one: /notes}}
"#;

/// Notes first: whoever sees the file may rely on the note.
async fn write(tryout: &Tryout, api: &Api, word: &str) -> Outcome {
    let words = format!("echo {word} > /notes/word && sync && echo {word} > /files/word");
    tryout.run(api, "desk/one", &words).await?;
    let arrives = format!("timeout 120 sh -c 'until grep -qsx {word} /files/word; do sleep 0.1; done'");
    tryout.run(api, "desk/two", &arrives).await.map(drop)
}

/// What both servers of an environment have.
async fn read(tryout: &Tryout, api: &Api, environment: &str) -> Outcome<[String; 2]> {
    let one = tryout.run(api, &format!("{environment}/one"), "cat /notes/word /files/word").await?;
    Ok([one, tryout.run(api, &format!("{environment}/two"), "cat /files/word").await?])
}

fn words(word: &str) -> [String; 2] {
    [format!("{word}\n{word}\n"), format!("{word}\n")]
}

#[tokio::test]
async fn what_two_servers_share_and_hold_comes_back_into_them_into_a_copy_and_after_all_was_deleted() -> Outcome {
    let tryout = Tryout::offering("desk", DESK, &[]).await?;
    let api = tryout.person("root").await?;
    let desk = api.order("desk", "desk").await?;
    let id = desk["id"].as_str().ok_or("It has no id.")?;
    api.await_state("desk", "ready").await?;
    let line = |logs: &Value| logs.to_string().contains("the clerk of one is here");
    api.await_below("desk", "/logs", "the words of its service", line).await?;
    write(&tryout, &api, "early").await?;
    let early = api.post("/environments/desk/snapshots", json!({})).await?.expect_success()?;
    let complete = |all: &Value| all[0]["state"] == "complete";
    api.await_below("desk", "/snapshots", "complete", complete).await?;
    write(&tryout, &api, "late").await?;

    let data = json!({ "environment": "desk", "snapshot": early["id"] });
    let order = json!({ "template": "desk", "name": "copy", "data": data });
    let copy = api.post("/environments", order).await?.expect_success()?;
    api.await_state("copy", "ready").await?;
    assert_eq!(read(&tryout, &api, "copy").await?, words("early"));
    assert_eq!(read(&tryout, &api, "desk").await?, words("late"), "it ran on");

    let back = json!({ "snapshot": early["id"] });
    api.post("/environments/desk/restore", back).await?.expect_success()?;
    let restored = |now: &Value| now["state"] == "ready" && now["servers"][0]["generation"] != 1;
    api.await_that("desk", "ready with what it was", restored).await?;
    assert_eq!(read(&tryout, &api, "desk").await?, words("early"));
    write(&tryout, &api, "last").await?;

    api.act("desk", "delete").await?;
    api.await_state(id, "deleted").await?;
    api.act("copy", "delete").await?;
    api.await_state(copy["id"].as_str().ok_or("It has no id.")?, "deleted").await?;
    for kind in ["instances", "volumes", "groups"] {
        assert_eq!(tryout.ours(kind).await?, Vec::<Value>::new(), "nothing is paid for but snapshots");
    }
    let back = json!({ "snapshot": "latest" });
    api.post(&format!("/environments/{id}/restore"), back).await?.expect_success()?;
    api.await_state(id, "ready").await?;
    assert_eq!(read(&tryout, &api, id).await?, words("last"));
    Ok(())
}
