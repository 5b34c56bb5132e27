//! In the browser, by REST and by the command line: a snapshot is kept warm for a while, its price said before.

use std::time::{SystemTime, UNIX_EPOCH};

use fake_ec2::{Delays, Fake, Rules, Spread};
use serde_json::{Value, json};
use tests::Outcome;

use super::regions::portal_on;
use super::{pictures, signed_in};

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_kept_at_full_speed_for_hours_that_are_paid_for_and_ended_by_a_click() -> Outcome {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let delays = Delays { fast_restore: Spread(20_000, 20_000), ..Delays::default() };
    let fake = Fake::new(Rules { start_ms: i64::try_from(now)?, delays, ..Rules::calm() });
    let more = "snapshots.fast_restore = true\nvolume_initialization_mib_per_second = 200\n\
                prices.volume_initialization_gib = 0.36";
    let portal = portal_on(&fake, more, &[("frankfurt", "frankfurt"), ("dublin", "dublin")]).await?;
    let browser = signed_in(&portal).await?;
    let api = portal.person("ada").await?;
    // What does not run keeps its volumes.
    for name in ["frankfurt", "dublin"] {
        api.order(name, name).await?;
        let volume = |region: &str| fake.truth().volumes.iter().any(|one| one.region == region);
        let region = if name == "dublin" { "eu-west-1" } else { "eu-central-1" };
        api.await_that(name, "begun", |_| volume(region)).await?;
        api.act(name, "park").await?;
        api.await_state(name, "parked").await?;
        api.post(&format!("/environments/{name}/snapshots"), json!({ "label": "gold" })).await?.expect_success()?;
        api.await_below(name, "/snapshots", "complete", |all: &Value| all[0]["state"] == "complete").await?;
    }
    let warm = "/environments/frankfurt/snapshots/latest/warm";
    for hours in [0, 169] {
        let refused = api.put(warm, json!({ "hours": hours })).await?;
        assert_eq!(refused.status, 422, "{:#}", refused.body);
    }
    let refused = api.put("/environments/dublin/snapshots/latest/warm", json!({ "hours": 1 })).await?;
    assert_eq!(refused.status, 409);
    let detail = refused.body["detail"].as_str().unwrap_or_default();
    assert_eq!(detail, "An administrator can allow it: `snapshots.fast_restore = true` in [ec2.dublin].");
    assert_eq!(fake.truth().fast_restores, vec![]);

    // What it costs is said before.
    browser.go(&portal.url("/environments/frankfurt/snapshots")).await?;
    let reads = "What is restored or copied from a snapshot is read in at 200 MiB a second; Amazon asks about $0.36 for each GiB.";
    browser.await_text("main", reads).await?;
    browser.click(".snapshot__forms details:has(select[name=hours]) summary").await?;
    browser.await_text("main", "Amazon asks for about $0.75 an hour, and for one hour at least.").await?;
    browser.await_text("select[name=hours]", "4 hours, $3.00").await?;
    pictures(&browser, "full-speed-offered").await?;
    browser.click("button[value=warm]").await?;
    browser.await_text(".notice", "The snapshot is being got ready").await?;
    browser.await_text("main", "; $0.75 an hour").await?;
    browser.await_text("main", "getting ready (optimising)").await?;
    pictures(&browser, "full-speed-preparing").await?;
    let ready = |all: &Value| all[0]["warmth"]["state"] == "ready";
    let kept = api.await_below("frankfurt", "/snapshots", "warm", ready).await?;
    let on = fake.truth().fast_restores;
    assert_eq!((on.len(), kept[0]["warmth"]["zones"][0].as_str()), (1, on.first().map(|one| one.zone.as_str())));
    assert!(kept[0]["begins"].is_null(), "at full speed it is not read in: {kept:#}");
    let zone = &on[0].zone;
    browser.await_text("main", &format!("Back at full speed in {zone}; $0.75 an hour")).await?;
    pictures(&browser, "full-speed").await?;

    let said = async |more: &[&str]| -> Outcome<String> {
        let mut arguments = vec!["snapshot", "warm", "frankfurt", "latest"];
        arguments.extend(more);
        Ok(String::from_utf8(portal.cli(&api, &arguments).await?.stdout)?)
    };
    let longer = said(&["--hours", "2"]).await?;
    assert!(longer.contains("back at full speed in eu-central-1"), "{longer}");
    assert!(longer.trim_end().ends_with("about $0.75 an hour"), "{longer}");
    browser.click("button[value=cool]").await?;
    browser.await_text(".notice", "It is being ended").await?;
    api.await_that("frankfurt", "ended", |_| fake.truth().fast_restores.is_empty()).await?;
    let ended = said(&["--off"]).await?;
    assert!(ended.contains("being ended in eu-central-1"), "{ended}");
    let kept = api.get("/environments/frankfurt/snapshots").await?.expect_success()?;
    assert_eq!(kept[0]["warmth"]["state"], "ending");
    assert_eq!(browser.complaints().await?, Vec::<String>::new());
    Ok(())
}
