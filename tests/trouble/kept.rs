//! Data in trouble: portals killed at any moment of keeping it and bringing it back, wishes that come at once, and what
//! stands in the way. Nothing is lost, nothing is mixed, and it is said what is the matter.

use std::fs;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection};
use tests::{Api, Outcome, Portal, Setting, leftovers};

/// Milliseconds between a confirmed request and SIGKILL.
pub(super) const MOMENTS: [u64; 8] = [0, 4, 9, 16, 28, 50, 90, 300];

/// Two servers, each with a volume of its own, which always get the same word.
const PAIR: &str = r#"name: pair
version: "1"
title: Pair
summary: Two servers with a volume each.
category: Tests
servers:
  left: {}
  right:
    before_snapshot: test ! -e "$HOME/refuse" || { echo "not now"; exit 1; }
volumes:
  left: {size: 1 GiB, mounts: {left: /data}}
  right: {size: 1 GiB, mounts: {right: /data}}
"#;

pub(super) struct Pair {
    pub portal: Portal,
    pub api: Api,
    pub id: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_the_portal_is_killed_data_that_is_kept_comes_back_and_nothing_is_left_over() -> Outcome {
    let mut pair = Pair::start().await?;
    for moment in MOMENTS {
        let pause = Duration::from_millis(moment);
        let (kept, lost) = (format!("kept-{moment}"), format!("lost-{moment}"));
        pair.write(&kept).await?;
        let taken = pair.take().await?;
        tokio::time::sleep(pause).await;
        pair.portal.crash().await?;
        let taken = pair.ended(&taken).await?;
        assert_eq!(taken["state"], "complete", "killed after {moment} ms: {taken:#}");
        pair.write(&lost).await?;

        pair.restore(taken["id"].as_str()).await?.expect_success()?;
        tokio::time::sleep(pause).await;
        pair.portal.crash().await?;
        pair.reads(&kept).await.map_err(|problem| format!("restore, killed after {moment} ms: {problem}"))?;

        pair.api.act(&pair.id, "delete").await?;
        tokio::time::sleep(pause).await;
        pair.portal.crash().await?;
        pair.api.await_state(&pair.id, "deleted").await?;
        assert_eq!(leftovers::of_servers(&pair.portal), Vec::new(), "deleted, killed after {moment} ms");
        let environment = pair.portal.data_directory().join("local/environments").join(&pair.id);
        assert!(!environment.exists(), "volumes are left, killed after {moment} ms");
        let last = pair.newest().await?;
        assert_eq!((&last["reason"], &last["state"]), (&json!("delete"), &json!("complete")), "{last:#}");

        pair.restore(None).await?.expect_success()?;
        tokio::time::sleep(pause).await;
        pair.portal.crash().await?;
        pair.reads(&kept).await.map_err(|problem| format!("undelete, killed after {moment} ms: {problem}"))?;
        assert_eq!(leftovers::servers(&leftovers::of_servers(&pair.portal)), 2, "killed after {moment} ms");
    }
    pair.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_restores_at_once_one_is_done_and_the_other_refused() -> Outcome {
    let pair = Pair::start().await?;
    let mut moments = Vec::new();
    for word in ["one", "two"] {
        pair.write(word).await?;
        let taken = pair.take().await?;
        moments.push((word, pair.ended(&taken).await?["id"].clone()));
    }
    for _ in 0..4 {
        pair.write("three").await?;
        let (one, two) = tokio::join!(pair.restore(moments[0].1.as_str()), pair.restore(moments[1].1.as_str()));
        let answers = [one?, two?];
        let done: Vec<usize> = (0..2).filter(|at| answers[*at].status.is_success()).collect();
        let [done] = done[..] else { return Err(format!("{answers:#?}").into()) };
        let refused = &answers[1 - done];
        assert_eq!(refused.status, StatusCode::CONFLICT, "{refused:?}");
        pair.reads(moments[done].0).await?;
    }
    pair.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_park_during_a_snapshot_and_a_delete_during_a_restore_lose_nothing() -> Outcome {
    let pair = Pair::start().await?;
    pair.write("calm").await?;
    let taken = pair.take().await?;
    pair.api.act(&pair.id, "park").await?;
    pair.api.await_state(&pair.id, "parked").await?;
    let taken = pair.ended(&taken).await?;
    assert_eq!(taken["state"], "complete", "{taken:#}");
    pair.api.act(&pair.id, "resume").await?;
    pair.reads("calm").await?;

    pair.write("hasty").await?;
    pair.restore(taken["id"].as_str()).await?.expect_success()?;
    pair.api.act(&pair.id, "delete").await?;
    pair.api.await_state(&pair.id, "deleted").await?;
    // Nobody saw the restore end: what is kept is what the servers last had, or what they were to have, as a whole.
    pair.restore(None).await?.expect_success()?;
    pair.api.await_state(&pair.id, "ready").await?;
    let word = pair.exec("left", "cat /data/word").await?;
    assert!(["calm", "hasty"].contains(&word.as_str()), "{word}");
    pair.reads(&word).await?;
    pair.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_to_stand_still_costs_the_snapshot_and_nothing_else() -> Outcome {
    let pair = Pair::start().await?;
    pair.write("calm").await?;
    pair.exec("right", "touch \"$HOME/refuse\"").await?;
    let refused = pair.take().await?;
    let refused = pair.ended(&refused).await?;
    let why = refused["failure"].as_str().unwrap_or_default();
    assert_eq!(refused["state"], "failed");
    assert!(why.contains("right") && why.contains("not now"), "{refused:#}");
    assert_eq!(pair.api.environment(&pair.id).await?["state"], "ready", "it runs on");
    assert_eq!(pair.restore(refused["id"].as_str()).await?.status, StatusCode::CONFLICT);
    pair.write("still here").await?;
    pair.exec("right", "rm \"$HOME/refuse\"").await?;
    let taken = pair.take().await?;
    assert_eq!(pair.ended(&taken).await?["state"], "complete");
    pair.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_whose_directory_is_missing_is_named_and_not_made_anew_until_it_is_back() -> Outcome {
    let pair = Pair::start().await?;
    pair.write("calm").await?;
    pair.api.act(&pair.id, "park").await?;
    let now = pair.api.await_state(&pair.id, "parked").await?;
    let volume = now["volumes"].as_array().into_iter().flatten().find(|volume| volume["name"] == "right");
    let volume = volume.and_then(|volume| volume["id"].as_str()).ok_or("a volume is missing")?;
    let place = pair.portal.data_directory().join("local/environments").join(&pair.id).join("volumes").join(volume);
    let away = pair.portal.scratch().join("away");
    fs::rename(&place, &away)?;

    pair.api.act(&pair.id, "resume").await?;
    let failed = |now: &Value| now["state"] == "failed";
    let now = pair.api.await_that(&pair.id, "failed", failed).await?;
    let told = now["failure"].to_string();
    assert!(told.contains("volume right") && told.contains("Bring the data back"), "{told}");
    assert!(!place.exists(), "an empty volume took its place");
    let kept = pair.take().await?;
    assert!(kept.is_null() || pair.ended(&kept).await?["state"] == "failed");

    fs::rename(&away, &place)?;
    pair.api.act(&pair.id, "retry").await?;
    pair.reads("calm").await?;
    pair.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_with_a_volume_that_its_environment_no_longer_has_is_refused_by_its_name() -> Outcome {
    let mut pair = Pair::start().await?;
    pair.write("calm").await?;
    let taken = pair.take().await?;
    let taken = pair.ended(&taken).await?;
    pair.api.act(&pair.id, "park").await?;
    pair.api.await_state(&pair.id, "parked").await?;
    // As a version of the template without the volume would leave it.
    pair.portal.stop().await?;
    sqlx::any::install_default_drivers();
    let database = pair.portal.data_directory().join("bookend.db");
    let mut database = AnyConnection::connect(&format!("sqlite:{}", database.display())).await?;
    let lost = "update environment set topology = replace(topology, '\"name\":\"right\",\"size_bytes\"', \
                '\"name\":\"other\",\"size_bytes\"') where id = $1";
    assert_eq!(sqlx::query(lost).bind(pair.id.as_str()).execute(&mut database).await?.rows_affected(), 1);
    database.close().await?;
    pair.portal.start_again().await?;
    let refused = pair.restore(taken["id"].as_str()).await?;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    let said = refused.body.to_string();
    assert!(said.contains("right") && said.contains("other"), "both are named: {said}");
    assert_eq!(pair.api.environment(&pair.id).await?["state"], "parked", "nothing has changed");
    Ok(())
}

impl Pair {
    async fn start() -> Outcome<Pair> {
        Pair::with("").await
    }

    /// With these lines in its template.
    pub async fn with(lines: &str) -> Outcome<Pair> {
        let portal = Setting::new()?.template("pair", &format!("{PAIR}{lines}"))?.start().await?;
        let api = portal.administrator().await?;
        let ordered = api.order("pair", "pair").await?;
        let id = ordered["id"].as_str().ok_or("The order has no id.")?.to_owned();
        api.await_state(&id, "ready").await?;
        Ok(Pair { portal, api, id })
    }

    /// What a script says on a server, without white space around it.
    pub async fn exec(&self, server: &str, script: &str) -> Outcome<String> {
        let place = format!("{}/{server}", self.id);
        let output = self.portal.cli(&self.api, &["exec", &place, "--", "sh", "-c", script]).await?;
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout)?.trim().to_owned()),
            false => Err(format!("{script} on {server}: {}", String::from_utf8_lossy(&output.stderr)).into()),
        }
    }

    pub async fn write(&self, word: &str) -> Outcome {
        self.api.await_state(&self.id, "ready").await?;
        for server in ["left", "right"] {
            self.exec(server, &format!("echo '{word}' > /data/word && sync /data/word")).await?;
        }
        Ok(())
    }

    /// Once it is ready, both servers have this word.
    pub async fn reads(&self, word: &str) -> Outcome {
        self.api.await_state(&self.id, "ready").await?;
        let read = [self.exec("left", "cat /data/word").await?, self.exec("right", "cat /data/word").await?];
        match read == [word, word] {
            true => Ok(()),
            false => Err(format!("{read:?} instead of {word}").into()),
        }
    }

    /// What the portal answers: the snapshot, or nothing where it refuses.
    pub async fn take(&self) -> Outcome<Value> {
        let answer = self.api.post(&format!("/environments/{}/snapshots", self.id), json!({})).await?;
        match answer.status {
            StatusCode::CONFLICT => Ok(Value::Null),
            _ => answer.expect_success(),
        }
    }

    /// The same snapshot, once nothing more becomes of it.
    pub async fn ended(&self, snapshot: &Value) -> Outcome<Value> {
        let find = |all: &Value| all.as_array().into_iter().flatten().find(|one| one["id"] == snapshot["id"]).cloned();
        let over = |all: &Value| find(all).is_none_or(|one| one["state"] != "wanted" && one["state"] != "reading");
        let all = self.api.await_below(&self.id, "/snapshots", "over", over).await?;
        find(&all).ok_or_else(|| format!("{} is not among {all:#}", snapshot["id"]).into())
    }

    pub async fn newest(&self) -> Outcome<Value> {
        let all = self.api.get(&format!("/environments/{}/snapshots", self.id)).await?.expect_success()?;
        Ok(all[0].clone())
    }

    pub async fn restore(&self, snapshot: Option<&str>) -> Outcome<tests::api::Answer> {
        self.api.post(&format!("/environments/{}/restore", self.id), json!({ "snapshot": snapshot })).await
    }

    pub async fn end(self) -> Outcome {
        self.api.act(&self.id, "delete").await?;
        self.api.await_state(&self.id, "deleted").await?;
        assert_eq!(leftovers::of_servers(&self.portal), Vec::new());
        Ok(())
    }
}
