//! In the browser: another environment that begins with a copy, and one that becomes another size.

use app::api::Role;
use serde_json::Value;
use tests::house::PASSWORD;
use tests::{Browser, House, Outcome};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_copies_an_environment_and_gives_it_more_workers() -> Outcome {
    let house = House::open().await?;
    let ann = house.resident("default", "ann", Role::User).await?;
    ann.order("queue", "primes").await?;
    ann.api()?.await_state("primes", "ready").await?;
    let browser = Browser::open().await?;
    browser.go(&house.url("/sign-in?next=%2Fenvironments%2Fprimes%2Fsnapshots")).await?;
    browser.fill("name", "ann").await?;
    browser.fill("password", PASSWORD).await?;
    browser.press("Sign in").await?;
    browser.await_text("h1", "Snapshots").await?;

    browser.press("Copy it as it is now").await?;
    browser.await_text(".notice", "A copy of primes").await?;
    browser.picture("copy").await?;
    browser.fill("name", "twin").await?;
    browser.fill("owner", "nobody-at-all").await?;
    browser.click("#order-button").await?;
    browser.await_text(".field__wrong", "is nobody of your team").await?;
    browser.await_text(".notice", "A copy of primes").await?;
    browser.fill("owner", "").await?;
    browser.click("#order-button").await?;
    browser.await_script("return location.pathname === '/environments/twin'").await?;
    ann.api()?.await_state("twin", "ready").await?;
    let timeline = ann.get("/environments/twin/timeline").await?.body.to_string();
    assert!(timeline.contains("begin with a copy of what primes held"), "{timeline}");

    browser.go(&house.url("/environments/twin/edit")).await?;
    browser.press("Change its values or size").await?;
    browser.await_text(".notice", "Change twin").await?;
    browser.picture("change").await?;
    browser.fill("parameters.workers", "2").await?;
    browser.click("#order-button").await?;
    browser.await_script("return location.pathname === '/environments/twin'").await?;
    let two = |shown: &Value| shown["parameters"]["workers"] == "2" && shown["state"] == "ready";
    let changed = ann.api()?.await_that("twin", "ready with two workers", two).await?;
    assert_eq!(changed["servers_total"], 4);
    // The one refusal, and nothing else.
    let complaints = browser.complaints().await?;
    assert!(complaints.len() == 1 && complaints[0].contains("422"), "{complaints:#?}");
    for name in ["primes", "twin"] {
        ann.api()?.act(name, "delete").await?;
    }
    Ok(())
}
