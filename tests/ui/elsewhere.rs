//! In the browser: what is kept in one region begins anew in another.

use std::time::{SystemTime, UNIX_EPOCH};

use fake_ec2::{Fake, Rules};
use serde_json::{Value, json};
use tests::Outcome;

use super::regions::portal_on;
use super::{pictures, signed_in};

const AWAY: &str = "eu-west-1";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_in_one_region_begins_anew_in_another_with_the_copy_of_it() -> Outcome {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let fake = Fake::new(Rules { start_ms: i64::try_from(now)?, ..Rules::calm() });
    let portal = portal_on(&fake, "snapshots.copy_to = \"dublin\"", &[("shelf", "frankfurt")]).await?;
    let browser = signed_in(&portal).await?;
    let api = portal.person("ada").await?;
    let ordered = api.order("shelf", "first").await?;
    let id = ordered["id"].as_str().ok_or("it has no id")?.to_owned();
    let runs = |region: &str| fake.truth().instances.iter().any(|one| one.region == region && one.state == "running");
    // Its servers come after its volumes.
    api.await_that("first", "started", |_| runs("eu-central-1")).await?;
    let clone = |snapshot: Option<&str>, at: &str| {
        let data = json!({ "environment": id, "snapshot": snapshot, "at": at });
        json!({ "template": "shelf", "name": "second", "data": data })
    };
    let refused = api.post("/environments", clone(None, "dublin")).await?;
    assert_eq!(refused.status, 409, "{:#}", refused.body);
    let refused = api.post("/environments", clone(Some("latest"), "paris")).await?;
    assert_eq!(refused.status, 422, "{:#}", refused.body);

    api.act("first", "park").await?;
    api.await_state("first", "parked").await?;
    api.post("/environments/first/snapshots", json!({ "label": "to go far" })).await?.expect_success()?;
    let complete = |all: &Value| all[0]["copies"][0]["state"] == "complete";
    let kept = api.await_below(&id, "/snapshots", "copied", complete).await?;
    assert_eq!(kept[0]["copies"][0]["provisioner"], "dublin");
    let snapshot = kept[0]["id"].as_str().ok_or("it has no id")?;
    let shown = portal.cli(&api, &["snapshot", "show", &id, snapshot]).await?;
    let shown = String::from_utf8(shown.stdout)?;
    assert!(shown.contains("to dublin, complete since "), "{shown}");

    // Beside the snapshot stands where there is a copy, and from there it is ordered.
    browser.go(&portal.url("/environments/first/snapshots")).await?;
    browser.await_text("main", "Copied to dublin").await?;
    pictures(&browser, "copied-elsewhere").await?;
    browser.click("a[href*=\"at=dublin\"]").await?;
    browser.await_text(".notice", "A copy of first, at dublin").await?;
    browser.fill("name", "second").await?;
    pictures(&browser, "order-elsewhere").await?;
    browser.click("#order-button").await?;
    browser.await_script("return location.pathname === '/environments/second'").await?;
    let copies: Vec<_> = fake.truth().snapshots.into_iter().filter(|one| one.copy_of.is_some()).collect();
    assert_eq!(copies.len(), 1);
    let begun = || fake.truth().volumes.into_iter().find(|one| one.snapshot.as_ref() == Some(&copies[0].id));
    api.await_that("second", "begun in the other region", |_| begun().is_some() && runs(AWAY)).await?;
    assert_eq!(begun().map(|volume| volume.region), Some(AWAY.to_owned()));
    assert_eq!(browser.complaints().await?, Vec::<String>::new());
    Ok(())
}
