//! Environments that are parked by snapshot: their volumes go, and are made again from it. Whatever happens meanwhile, every
//! byte is in one of the two.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::Outcome;

use super::kept::{MOMENTS, Pair};

const BY_SNAPSHOT: &str = "park: snapshot\n";

#[tokio::test(flavor = "multi_thread")]
async fn whenever_the_portal_is_killed_while_volumes_go_or_come_every_byte_is_there_again() -> Outcome {
    let mut pair = Pair::with(BY_SNAPSHOT).await?;
    let sum = pair.exec("right", "head -c 2000000 /dev/urandom > /data/bytes && sha256sum /data/bytes").await?;
    for moment in MOMENTS {
        let (word, pause) = (format!("kept-{moment}"), Duration::from_millis(moment));
        pair.write(&word).await?;
        pair.api.act(&pair.id, "park").await?;
        tokio::time::sleep(pause).await;
        pair.portal.crash().await?;
        pair.put_away().await.map_err(|problem| format!("park, killed after {moment} ms: {problem}"))?;
        assert_eq!(pair.volumes_on_disk(), Vec::<PathBuf>::new(), "park, killed after {moment} ms");

        pair.api.act(&pair.id, "resume").await?;
        tokio::time::sleep(pause).await;
        pair.portal.crash().await?;
        pair.reads(&word).await.map_err(|problem| format!("resume, killed after {moment} ms: {problem}"))?;
        assert_eq!(pair.exec("right", "sha256sum /data/bytes").await?, sum, "resume, killed after {moment} ms");
    }
    // Who changes their mind at any moment has what they had.
    for moment in MOMENTS {
        let word = format!("minded-{moment}");
        pair.write(&word).await?;
        pair.api.act(&pair.id, "park").await?;
        tokio::time::sleep(Duration::from_millis(moment)).await;
        // Before it is parked that is called so, and afterwards otherwise.
        if pair.api.act(&pair.id, "cancel").await.is_err() {
            pair.api.act(&pair.id, "resume").await?;
        }
        pair.reads(&word).await.map_err(|problem| format!("resumed after {moment} ms: {problem}"))?;
    }
    pair.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_in_a_snapshot_is_read_copied_and_changed_from_there_and_nobody_may_delete_it() -> Outcome {
    let pair = Pair::with(BY_SNAPSHOT).await?;
    pair.write("early").await?;
    let early = pair.take().await?;
    let early = pair.ended(&early).await?;
    pair.write("calm").await?;
    pair.park().await?;
    let kept = pair.newest().await?;
    assert_eq!((&kept["reason"], &kept["state"]), (&json!("park"), &json!("complete")), "{kept:#}");
    let path = |rest: &str| format!("/environments/{}{rest}", pair.id);

    let its_own = path(&format!("/snapshots/{}", kept["id"].as_str().unwrap_or_default()));
    let refused = pair.api.send(Method::DELETE, &its_own, None).await?;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.body.to_string().contains("nowhere else"), "{}", refused.body);
    let refused = pair.api.post(&path("/snapshots"), json!({})).await?;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.body.to_string().contains("in a snapshot already"), "{}", refused.body);
    let listed = pair.api.get(&path("/volumes/left/files")).await?.expect_success()?;
    assert_eq!((&listed["snapshot"], &listed["entries"][1]["path"]), (&kept["id"], &json!("word")), "{listed:#}");
    let brought_back = json!({ "path": "word", "snapshot": early["id"] });
    let refused = pair.api.post(&path("/volumes/left/restore"), brought_back).await?;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.body);
    assert!(refused.body.to_string().contains("Resume it first"), "{}", refused.body);

    // A copy begins with it, and another moment takes its place.
    let order = json!({ "template": "pair", "name": "copy", "data": { "environment": pair.id } });
    let copy = pair.api.post("/environments", order).await?.expect_success()?;
    pair.api.await_state("copy", "ready").await?;
    let read = pair.portal.cli(&pair.api, &["exec", "copy/left", "--", "cat", "/data/word"]).await?;
    assert_eq!(String::from_utf8(read.stdout)?.trim(), "calm");
    pair.api.act("copy", "delete").await?;
    pair.api.await_state(copy["id"].as_str().unwrap_or_default(), "deleted").await?;

    pair.restore(early["id"].as_str()).await?.expect_success()?;
    pair.api.await_that(&pair.id, "restored", |now| now["state"] == "parked").await?;
    pair.put_away().await?;
    pair.api.act(&pair.id, "resume").await?;
    pair.reads("early").await?;

    // Deleted while it is parked so, it comes back from there.
    pair.write("late").await?;
    pair.park().await?;
    pair.api.act(&pair.id, "delete").await?;
    pair.api.await_state(&pair.id, "deleted").await?;
    pair.restore(None).await?.expect_success()?;
    pair.reads("late").await?;
    pair.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_is_told_of_and_another_one_can_be_gone_back_to() -> Outcome {
    let pair = Pair::with(BY_SNAPSHOT).await?;
    pair.write("early").await?;
    let early = pair.take().await?;
    let early = pair.ended(&early).await?;
    pair.write("late").await?;
    pair.park().await?;
    let kept = pair.newest().await?;
    let snapshots = pair.portal.data_directory().join("local/snapshots").join(&pair.id);
    for volume in fs::read_dir(snapshots.join(kept["id"].as_str().unwrap_or_default()).join("volumes"))? {
        let word = volume?.path().join("word");
        let time = fs::metadata(&word)?.modified()?;
        fs::write(&word, "LATE\n")?;
        fs::File::open(&word)?.set_modified(time)?;
    }
    pair.api.act(&pair.id, "resume").await?;
    let now = pair.api.await_that(&pair.id, "failed", |now| now["state"] == "failed").await?;
    let told = now["failure"].to_string();
    assert!(told.contains("damaged") && told.contains("earlier snapshot"), "{told}");
    pair.restore(early["id"].as_str()).await?.expect_success()?;
    pair.reads("early").await?;
    pair.end().await
}

impl Pair {
    async fn park(&self) -> Outcome {
        self.api.act(&self.id, "park").await?;
        self.put_away().await
    }

    /// Parked, and every volume is in a snapshot alone.
    async fn put_away(&self) -> Outcome {
        let away = |volume: &Value| volume["standing"] == "in a snapshot";
        let is =
            |now: &Value| now["state"] == "parked" && now["volumes"].as_array().is_some_and(|all| all.iter().all(away));
        self.api.await_that(&self.id, "parked without its volumes", is).await.map(drop)
    }

    fn volumes_on_disk(&self) -> Vec<PathBuf> {
        let place = self.portal.data_directory().join("local/environments").join(&self.id).join("volumes");
        fs::read_dir(place).into_iter().flatten().flatten().map(|volume| volume.path()).collect()
    }
}
