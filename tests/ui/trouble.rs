//! What people are spared: a portal that restarts, a session that ends, a slow phone network.

use fantoccini::Locator;
use reqwest::Client;
use serde_json::json;
use tests::{Browser, Outcome, Portal};

use super::{PASSWORD, signed_in};

async fn on_the_page_of(portal: &Portal, browser: &Browser, name: &str) -> Outcome {
    let api = portal.person("ada").await?;
    api.order("scratch", name).await?;
    api.await_state(name, "ready").await?;
    browser.go(&portal.url(&format!("/environments/{name}"))).await?;
    browser.await_text(".connection", "Live").await?;
    browser.page.execute("window.sameAsBefore = true", Vec::new()).await?;
    Ok(())
}

#[tokio::test]
async fn a_page_under_which_the_portal_restarts_says_so_heals_by_itself_and_is_current_afterwards() -> Outcome {
    let mut portal = Portal::start().await?;
    let browser = signed_in(&portal).await?;
    on_the_page_of(&portal, &browser, "steady").await?;
    for (action, state) in [("park", "parked"), ("resume", "ready")] {
        portal.stop().await?;
        browser.await_text(".connection", "Connection lost").await?;
        browser.picture("trouble-connection-lost").await?;
        portal.start_again().await?;
        portal.person("ada").await?.act("steady", action).await?;
        browser.await_text(".connection", "Live").await?;
        browser
            .await_script(&format!("return !!document.querySelector('.page-header .badge[data-state={state}]')"))
            .await?;
    }
    assert_eq!(browser.page.execute("return window.sameAsBefore", Vec::new()).await?, true, "the page was reloaded");
    Ok(())
}

#[tokio::test]
async fn a_session_that_ends_under_an_open_page_leads_to_signing_in_and_back_again() -> Outcome {
    let portal = Portal::start().await?;
    let browser = signed_in(&portal).await?;
    on_the_page_of(&portal, &browser, "patient").await?;
    let http = Client::builder().no_proxy().build()?;
    for page in ["/environments/patient", "/environments/patient/servers/box/terminal"] {
        browser.go(&portal.url(page)).await?;
        browser
            .await_script(
                "return [...document.querySelectorAll('.connection')].some((one) => one.dataset.connection === 'live')",
            )
            .await?;
        let cookie = browser.page.get_named_cookie("bookend_session").await?;
        let ended = http.delete(portal.url("/api/v1/session")).header("origin", portal.url(""));
        ended.header("cookie", format!("bookend_session={}", cookie.value())).send().await?.error_for_status()?;
        browser.await_script("return location.pathname === '/sign-in'").await?;
        browser.fill("name", "ada").await?;
        browser.fill("password", PASSWORD).await?;
        browser.click("main form button[type=submit]").await?;
        browser.await_script(&format!("return location.pathname === {page:?}")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn on_a_slow_phone_network_everything_arrives_and_impatience_orders_nothing_twice() -> Outcome {
    let portal = Portal::start().await?;
    let browser = signed_in(&portal).await?;
    browser.page.delete_all_cookies().await?;
    browser.dress(390, "light").await?;
    browser.devtools("Network.enable", json!({})).await?;
    browser.devtools("Network.setCacheDisabled", json!({ "cacheDisabled": true })).await?;
    let slow = json!({ "offline": false, "latency": 400, "downloadThroughput": 50_000, "uploadThroughput": 20_000 });
    browser.devtools("Network.emulateNetworkConditions", slow).await?;

    // Straight to a template: by way of signing in.
    browser.go(&portal.url("/catalog/scratch")).await?;
    browser.await_script("return location.pathname === '/sign-in'").await?;
    browser.fill("name", "ada").await?;
    browser.fill("password", PASSWORD).await?;
    browser.click("main form button[type=submit]").await?;
    browser
        .await_script("return location.pathname === '/catalog/scratch' && document.readyState === 'complete'")
        .await?;
    browser.fill("name", "patience").await?;
    let twice = "const button = [...document.querySelectorAll('main form button[type=submit]')].at(-1); \
        button.click(); setTimeout(() => button.click(), 50); setTimeout(() => button.click(), 150)";
    browser.page.execute(twice, Vec::new()).await?;
    browser.await_script("return location.pathname === '/environments/patience'").await?;
    browser.await_script("return !!document.querySelector('.page-header .badge[data-state=ready]')").await?;
    let page = browser.page.find(Locator::Css("h1")).await?.text().await?;
    assert_eq!(page, "patience");
    let api = portal.person("ada").await?;
    let list = api.get("/environments").await?.expect_success()?;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list:#}");
    // The catalog is read on the way back.
    browser.go(&portal.url("/")).await?;
    browser.await_text("h1", "Catalog").await?;
    assert_eq!(browser.complaints().await?, Vec::<String>::new());
    Ok(())
}
