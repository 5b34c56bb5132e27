//! Snapshots whose data went bad on the disk: whoever finds it out, everybody is told, and nothing is lost by it.

use std::fs;
use std::path::PathBuf;

use app::api::Role;
use serde_json::{Value, json};
use tests::{Guest, House, Outcome};

async fn write(guest: &Guest, word: &str) -> Outcome {
    guest.exec("shop", "api", &["sh", "-c", "echo \"$0\" > /site/word", word]).await.map(drop)
}

async fn read(guest: &Guest) -> Outcome<String> {
    Ok(guest.exec("shop", "api", &["cat", "/site/word"]).await?.0)
}

/// A snapshot that holds this word; its id.
async fn taken(guest: &Guest, word: &str) -> Outcome<String> {
    write(guest, word).await?;
    let taken = guest.post("/environments/shop/snapshots", &json!({})).await?.expect_success()?;
    let complete = |all: &Value| all[0]["state"] == "complete";
    guest.api()?.await_below("shop", "/snapshots", "complete", complete).await?;
    Ok(taken["id"].as_str().ok_or("a snapshot without an id")?.to_owned())
}

/// Writes something else where a snapshot keeps the word, as long and of the same time: only reading it tells.
fn tamper(house: &House, snapshot: &str) -> Outcome {
    let mut kept: Vec<PathBuf> = Vec::new();
    for environment in fs::read_dir(house.data_directory().join("local/snapshots"))? {
        let volumes = environment?.path().join(snapshot).join("volumes");
        if volumes.is_dir() {
            kept.extend(fs::read_dir(volumes)?.flatten().map(|volume| volume.path().join("word")));
        }
    }
    let [word] = &kept[..] else { return Err(format!("one copy of the word, and not {kept:?}").into()) };
    let (content, time) = (fs::read(word)?, fs::metadata(word)?.modified()?);
    fs::write(word, content.iter().map(|byte| byte ^ 1).collect::<Vec<_>>())?;
    Ok(fs::File::open(word)?.set_modified(time)?)
}

fn named<'a>(all: &'a Value, snapshot: &str) -> &'a Value {
    all.as_array().into_iter().flatten().find(|one| one["id"] == snapshot).unwrap_or(&Value::Null)
}

async fn await_damaged(guest: &Guest, snapshot: &str) -> Outcome<Value> {
    let is = |all: &Value| named(all, snapshot)["state"] == "damaged";
    guest.api()?.await_below("shop", "/snapshots", "damaged", is).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_a_restore_or_a_clone_finds_damaged_is_called_damaged_from_then_on() -> Outcome {
    let house = House::open().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    ann.order("site", "shop").await?;
    ann.api()?.await_state("shop", "ready").await?;
    let (first, second, third) = (taken(&ann, "one").await?, taken(&ann, "two").await?, taken(&ann, "three").await?);
    write(&ann, "now").await?;
    tamper(&house, &first)?;
    tamper(&house, &third)?;

    let restore = |snapshot: &str| json!({ "snapshot": snapshot });
    ann.post("/environments/shop/restore", &restore(&third)).await?.expect_success()?;
    let all = await_damaged(&ann, &third).await?;
    let why = named(&all, &third)["failure"].as_str().unwrap_or_default();
    assert!(why.contains("word"), "{why}");
    ann.api()?.await_state("shop", "ready").await?;
    assert_eq!(read(&ann).await?, "now\n", "all stays as it was");
    // The restore has kept what there was, so that is the newest once it is read.
    let kept = |all: &Value| all[0]["reason"] == "restore" && all[0]["state"] == "complete";
    let all = ann.api()?.await_below("shop", "/snapshots", "kept", kept).await?;
    let newest = all[0]["id"].as_str().unwrap_or_default().to_owned();
    let told = |timeline: &Value, words: &str| {
        let mut all = timeline["items"].as_array().into_iter().flatten();
        all.any(|one| one.to_string().contains("snapshot_damaged") && one.to_string().contains(words))
    };
    let timeline = ann.get("/environments/shop/timeline?limit=50").await?.body;
    let good = [&newest, &second].into_iter().any(|good| told(&timeline, &format!("The newest good one is {good}")));
    assert!(good, "{timeline:#}");
    let refused = ann.post("/environments/shop/restore", &restore(&third)).await?;
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert!(refused.body.to_string().contains(&newest), "{}", refused.body);
    let page = ann.in_browser(reqwest::Method::GET, "/environments/shop/snapshots").send().await?.text().await?;
    assert!(page.to_lowercase().contains("damaged"), "the page says so");

    // A clone finds out about what another environment keeps.
    let order = json!({ "template": "site", "name": "copy", "data": { "environment": "shop", "snapshot": first } });
    ann.post("/environments", &order).await?.expect_success()?;
    let failed = ann.api()?.await_that("copy", "failed", |now| now["state"] == "failed").await?;
    assert!(failed["failure"].to_string().contains("damaged"), "{failed:#}");
    await_damaged(&ann, &first).await?;

    // What was not touched comes back.
    ann.post("/environments/shop/restore", &restore(&second)).await?.expect_success()?;
    let restored = |timeline: &Value| timeline["items"].to_string().contains("\"restored\"");
    ann.api()?.await_below("shop", "/timeline?limit=50", "restored", restored).await?;
    ann.api()?.await_state("shop", "ready").await?;
    assert_eq!(read(&ann).await?, "two\n");
    ann.api()?.act("copy", "delete").await?;
    ann.api()?.act("shop", "delete").await?;
    Ok(())
}
