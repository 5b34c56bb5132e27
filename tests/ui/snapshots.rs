//! Snapshots in the browser: taken, restored, and a deleted environment brought back.

use app::api::Role;
use tests::house::PASSWORD;
use tests::{Browser, House, Outcome};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_goes_back_to_an_earlier_moment_and_brings_back_what_was_deleted() -> Outcome {
    let house = House::open().await?;
    let ann = house.resident("default", "ann", Role::User).await?;
    let id = ann.order("site", "shop").await?["id"].as_str().ok_or("an environment without an id")?.to_owned();
    ann.api()?.await_state("shop", "ready").await?;
    let write = async |word: &str| ann.exec("shop", "api", &["sh", "-c", "echo \"$0\" > /site/word", word]).await;
    write("first").await?;
    let browser = Browser::open().await?;
    browser.go(&house.url("/sign-in?next=%2Fenvironments%2Fshop")).await?;
    browser.fill("name", "ann").await?;
    browser.fill("password", PASSWORD).await?;
    browser.press("Sign in").await?;
    browser.await_text("h1", "shop").await?;
    browser.press("Snapshots").await?;
    browser.await_text("h1", "Snapshots").await?;
    browser.fill("label", "Before <b>the demo</b>").await?;
    browser.press("Take a snapshot").await?;
    browser.await_text(".notice", "A snapshot is being taken").await?;
    // Without reload, as everywhere.
    browser.await_text(".badge", "Complete").await?;
    browser.await_text(".list__more", "servers stood still for").await?;

    write("second").await?;
    browser.click(".snapshot__restore summary").await?;
    browser.press("Restore").await?;
    browser.await_script("return location.pathname === '/environments/shop'").await?;
    ann.api()?.await_state("shop", "ready").await?;
    assert_eq!(ann.exec("shop", "api", &["cat", "/site/word"]).await?.0, "first\n");

    ann.api()?.act("shop", "delete").await?;
    ann.api()?.await_state(&id, "deleted").await?;
    browser.go(&house.url(&format!("/environments/{id}/snapshots"))).await?;
    browser.await_text(".list__name", "Before it was deleted").await?;
    browser.click(".snapshot__restore summary").await?;
    browser.press("Bring it back").await?;
    browser.await_script("return location.pathname === '/environments/shop'").await?;
    ann.api()?.await_state("shop", "ready").await?;
    assert_eq!(ann.exec("shop", "api", &["cat", "/site/word"]).await?.0, "first\n");
    assert_eq!(browser.complaints().await?, Vec::<String>::new());
    ann.api()?.act("shop", "delete").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_has_a_restore_drilled_and_says_when_snapshots_are_taken() -> Outcome {
    let house = House::open().await?;
    let ann = house.resident("default", "ann", Role::User).await?;
    ann.order("site", "shop").await?;
    ann.api()?.await_state("shop", "ready").await?;
    let browser = Browser::open().await?;
    browser.go(&house.url("/sign-in?next=%2Fenvironments%2Fshop%2Fsnapshots")).await?;
    browser.fill("name", "ann").await?;
    browser.fill("password", PASSWORD).await?;
    browser.press("Sign in").await?;
    browser.await_text("h1", "Snapshots").await?;
    browser.press("Take a snapshot").await?;
    browser.await_text(".badge", "Complete").await?;

    browser.press("Drill now").await?;
    browser.await_text(".notice", "A restore drill has begun").await?;
    // Without reload.
    browser.await_text("[data-key=drill] .badge", "Restore drilled").await?;
    browser.go(&house.url("/environments/shop")).await?;
    browser.await_text(".environment__crumbs .badge", "Restore drilled").await?;

    browser.go(&house.url("/environments/shop/snapshots")).await?;
    browser.await_text("[data-key=rule]", "as its template says").await?;
    browser.click(".snapshot__rule summary").await?;
    assert_eq!(browser.complaints().await?, Vec::<String>::new());
    browser.fill("cron", "at noon").await?;
    browser.press("Save").await?;
    browser.await_text(".field", "five fields").await?;
    let refused = browser.complaints().await?;
    assert!(refused.iter().all(|said| said.contains("422")), "{refused:?}");
    browser.fill("cron", "0 12 * * MON-FRI").await?;
    browser.fill("time_zone", "Europe/Berlin").await?;
    browser.press("Save").await?;
    browser.await_text("[data-key=rule]", "Taken at 12:00 on weekdays (Europe/Berlin), by its own rule").await?;
    assert_eq!(browser.complaints().await?, Vec::<String>::new());
    ann.api()?.act("shop", "delete").await?;
    Ok(())
}
