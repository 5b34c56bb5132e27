//! Portals that are killed while they export, repositories that go away, and those that cannot be used at all.

use std::fs;

use serde_json::Value;
use tests::{Outcome, Setting};

use super::{PASSWORD, WORDS, await_repository, exported, kept, place, portal_with, restic, sh};

const BYTES: usize = 48 * 1024 * 1024;

#[tokio::test]
async fn an_export_that_the_portal_was_killed_in_is_finished_and_there_once() -> Outcome {
    let (_home, folder) = place()?;
    let mut portal = portal_with(&folder).await?;
    let api = portal.administrator().await?;
    let script = format!("head -c {BYTES} /dev/urandom > /site/much");
    let snapshot = kept(&portal, &api, "shop", &script).await?;
    for _ in 0..2 {
        let is = |all: &Value| matches!(all[0]["export"]["state"].as_str(), Some("exporting" | "exported"));
        api.await_below("shop", "/snapshots", "exporting", is).await?;
        portal.crash().await?;
    }
    let view = exported(&portal, &api, "shop", &snapshot).await?;
    assert_eq!(view["export"]["state"], "exported", "{view:#}");
    restic(&folder, &["check", "--read-data"]).await?;
    let all = restic(&folder, &["snapshots", "--json", "--tag", &format!("snapshot={snapshot}")]).await?;
    let all: Value = serde_json::from_slice(&all.stdout)?;
    assert_eq!(all.as_array().map(Vec::len), Some(1), "{all:#}");
    api.act("shop", "delete").await?;
    Ok(())
}

#[tokio::test]
async fn a_repository_that_goes_away_is_told_in_words_and_harms_no_environment() -> Outcome {
    let (_home, folder) = place()?;
    let portal = portal_with(&folder).await?;
    let api = portal.administrator().await?;
    let elsewhere = folder.with_extension("away");
    fs::rename(&folder, &elsewhere)?;
    let snapshot = kept(&portal, &api, "shop", WORDS).await?;
    let failed = |all: &Value| all[0]["export"]["state"] == "failed";
    let all = api.await_below("shop", "/snapshots", "a failed export", failed).await?;
    let why = all[0]["export"]["failure"].as_str().unwrap_or_default();
    assert!(why.contains("there is no repository at") && why.contains("mounted"), "{why}");
    let told = |view: &Value| view["trouble"].as_str().is_some_and(|trouble| trouble.contains("no repository"));
    await_repository(&api, "in trouble", told).await?;
    assert_eq!(sh(&portal, &api, "shop", "cat /site/word").await?, "first\n");
    assert_eq!(api.environment("shop").await?["state"], "ready");

    fs::rename(&elsewhere, &folder)?;
    exported(&portal, &api, "shop", &snapshot).await?;
    await_repository(&api, "well", |view| view["trouble"].is_null() && view["exported"] == 1).await?;
    api.act("shop", "delete").await?;
    Ok(())
}

#[tokio::test]
async fn a_portal_that_cannot_use_its_repository_says_why_and_does_not_start() -> Outcome {
    let (home, folder) = place()?;
    let place = folder.display().to_string();
    drop(portal_with(&folder).await?);
    let with = |place: &str, password: &str| -> Outcome<Setting> {
        Ok(Setting::new()?.options(&["--repository", place]).variable("BOOKEND_REPOSITORY_PASSWORD", password))
    };
    let wrong = with(&place, "canary-wrong")?.refusal().await?;
    assert!(wrong.contains("the password does not open the repository") && !wrong.contains("canary"), "{wrong}");
    let none = with(&place, "")?.refusal().await?;
    assert!(none.contains("--repository-password-file"), "{none}");
    fs::write(home.path().join("file"), "")?;
    let other = with(&home.path().display().to_string(), PASSWORD)?.refusal().await?;
    assert!(other.contains("there is no repository at"), "{other}");
    let nowhere = with("/nowhere/at/all", PASSWORD)?.refusal().await?;
    assert!(nowhere.contains("/nowhere/at/all"), "{nowhere}");
    Ok(())
}
