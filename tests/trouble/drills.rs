//! Restore drills: whether what is kept can be brought up, found out before it has to be.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tests::{Api, Outcome, Portal, Setting, leftovers};

/// Milliseconds between a confirmed request and SIGKILL.
const MOMENTS: [u64; 5] = [0, 20, 90, 300, 800];

/// Healthy with its data and its secret only.
const VAULT: &str = r#"name: vault
version: "1"
title: Vault
summary: Healthy with its data and its secret only.
category: Tests
parameters:
  word: {type: secret, title: Word}
servers:
  keeper:
    setup: test -e /data/word || printf %s "$BOOKEND_PARAM_WORD" > /data/word
    checks:
      same: {exec: 'test "$(cat /data/word)" = "$BOOKEND_PARAM_WORD"', interval: 1s, start_timeout: 5s}
volumes:
  data: {size: 1 GiB, mounts: {keeper: /data}}
"#;

struct Vault {
    portal: Portal,
    api: Api,
    id: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_snapshot_is_brought_up_where_nobody_can_enter_whenever_the_portal_is_killed() -> Outcome {
    let mut vault = Vault::start().await?;
    let before = vault.api.environment(&vault.id).await?;
    assert_eq!(before["drill"]["last"], Value::Null);
    assert!(before["drill"]["next_at"].as_i64() > before["created_at"].as_i64(), "{before:#}");
    assert_eq!(vault.ask().await?.status, 409, "there is no snapshot yet");
    vault.take().await?;
    for moment in MOMENTS {
        let asked_at = vault.ask().await?.expect_success()?["drill"]["since"].as_i64();
        tokio::time::sleep(Duration::from_millis(moment)).await;
        vault.portal.crash().await?;
        let last = vault.drilled().await?;
        assert_eq!(last["failure"], Value::Null, "killed after {moment} ms");
        assert_eq!(last["reach"], "ready");
        assert!(last["ended_at"].as_i64() >= asked_at, "{last:#}");
        vault.is_alone().await?;
    }
    for query in ["", "?state=deleted"] {
        let all = vault.api.get(&format!("/environments{query}")).await?.expect_success()?;
        let names: Vec<&Value> = all["items"].as_array().into_iter().flatten().map(|one| &one["name"]).collect();
        assert!(names.iter().all(|name| *name == "vault"), "nobody sees where it happens: {names:?}");
    }
    let after = vault.api.environment(&vault.id).await?;
    assert_eq!((&after["state"], &after["servers"][0]["generation"]), (&json!("ready"), &json!(1)), "it ran on");
    let told = vault.api.get(&format!("/environments/{}/timeline", vault.id)).await?.expect_success()?;
    let told = told["items"].as_array().into_iter().flatten().filter(|event| event["kind"] == "drill_passed").count();
    assert_eq!(told, MOMENTS.len(), "each is told once");
    vault.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_of_what_is_damaged_or_does_not_come_up_fails_with_the_reason_and_touches_nothing() -> Outcome {
    let vault = Vault::start().await?;
    vault.exec("echo something else > /data/word").await?;
    vault.take().await?;
    let failed = vault.cli().await?;
    assert_eq!(failed.status.code(), Some(6));
    let said = String::from_utf8(failed.stderr)?;
    assert!(said.contains("keeper") && said.contains("same"), "the server and the check: {said}");
    vault.is_alone().await?;

    vault.exec("printf %s open-sesame > /data/word").await?;
    vault.take().await?;
    let passed = vault.cli().await?;
    assert!(passed.status.success(), "{}", String::from_utf8_lossy(&passed.stderr));
    vault.is_alone().await?;

    vault.take().await?;
    let newest = vault.newest().await?;
    let id = newest["id"].as_str().ok_or("a snapshot without an id")?;
    let kept = vault.portal.data_directory().join("local/snapshots").join(&vault.id).join(id);
    let word = find(&kept, "word").ok_or("the snapshot has no word")?;
    fs::write(&word, "open-sesamE")?;
    let damaged = vault.cli().await?;
    let said = String::from_utf8(damaged.stderr)?;
    assert_eq!(damaged.status.code(), Some(6), "{said}");
    assert!(said.contains("word"), "what is damaged is named: {said}");
    assert_eq!(vault.api.environment(&vault.id).await?["state"], "ready");
    assert_eq!(vault.exec("cat /data/word").await?, "open-sesame");
    vault.is_alone().await?;
    vault.end().await
}

impl Vault {
    async fn start() -> Outcome<Vault> {
        let portal = Setting::new()?.template("vault", VAULT)?.start().await?;
        let api = portal.administrator().await?;
        let order = json!({ "template": "vault", "name": "vault", "parameters": { "word": "open-sesame" } });
        let ordered = api.post("/environments", order).await?.expect_success()?;
        let id = ordered["id"].as_str().ok_or("The order has no id.")?.to_owned();
        api.await_state(&id, "ready").await?;
        Ok(Vault { portal, api, id })
    }

    async fn exec(&self, script: &str) -> Outcome<String> {
        let place = format!("{}/keeper", self.id);
        let output = self.portal.cli(&self.api, &["exec", &place, "--", "sh", "-c", script]).await?;
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout)?.trim().to_owned()),
            false => Err(format!("{script}: {}", String::from_utf8_lossy(&output.stderr)).into()),
        }
    }

    async fn take(&self) -> Outcome {
        let path = format!("/environments/{}/snapshots", self.id);
        let taken = self.api.post(&path, json!({})).await?.expect_success()?;
        let complete = |all: &Value| all[0]["id"] == taken["id"] && all[0]["state"] == "complete";
        self.api.await_below(&self.id, "/snapshots", "complete", complete).await.map(drop)
    }

    async fn newest(&self) -> Outcome<Value> {
        let all = self.api.get(&format!("/environments/{}/snapshots", self.id)).await?.expect_success()?;
        Ok(all[0].clone())
    }

    async fn ask(&self) -> Outcome<tests::api::Answer> {
        self.api.post(&format!("/environments/{}/drill", self.id), json!({})).await
    }

    /// What came of the drill under way.
    async fn drilled(&self) -> Outcome<Value> {
        let over = |now: &Value| now["drill"]["since"].is_null();
        Ok(self.api.await_that(&self.id, "drilled", over).await?["drill"]["last"].clone())
    }

    async fn cli(&self) -> Outcome<std::process::Output> {
        self.portal.cli(&self.api, &["snapshot", "drill", "vault", "--wait", "--timeout", "120"]).await
    }

    /// Nothing is left of the place: its volumes, its network, its servers. Nobody is told when that is so.
    async fn is_alone(&self) -> Outcome {
        let environments = self.portal.data_directory().join("local/environments");
        let alone = async {
            while fs::read_dir(&environments)?.count() > 1
                || leftovers::servers(&leftovers::of_servers(&self.portal)) > 1
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Outcome::Ok(())
        };
        let patience = Duration::from_secs(60);
        tokio::time::timeout(patience, alone).await.map_err(|_| "something is left of the drill's place")?
    }

    async fn end(self) -> Outcome {
        self.api.act(&self.id, "delete").await?;
        self.api.await_state(&self.id, "deleted").await?;
        assert_eq!(leftovers::of_servers(&self.portal), Vec::new());
        Ok(())
    }
}

/// A file of this name below a folder.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).find_map(|path| match path.is_dir() {
        true => find(&path, name),
        false => path.file_name().is_some_and(|own| own == name).then_some(path),
    })
}
