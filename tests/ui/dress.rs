//! How pages look to who wants less motion, and on paper.

use app::api::Role;
use tests::house::PASSWORD;
use tests::{Browser, House, Outcome};

/// Whatever moves for longer than 10 ms: running animations, and transitions that would.
const MOVING: &str = "const long = (times) => times.split(',').some((time) => \
    parseFloat(time) * (time.includes('ms') ? 1 : 1000) > 10); \
    const running = document.getAnimations().filter((one) => one.effect.getComputedTiming().duration > 10); \
    const waiting = [...document.querySelectorAll('*')].filter((one) => long(getComputedStyle(one).transitionDuration)); \
    return [...running.map((one) => one.animationName ?? 'a transition'), ...waiting.map((one) => one.className)]";
const SHOWN: &str = "return [...document.querySelectorAll('.site-header, .skip-link, .toolbar, .many, .tick, .connection')] \
    .filter((one) => one.checkVisibility()).map((one) => one.className)";

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_less_motion_sees_none_and_paper_shows_what_is_said_without_its_buttons() -> Outcome {
    let house = House::open().await?;
    let ann = house.resident("default", "ann", Role::User).await?;
    ann.order("scratch", "attic").await?;
    ann.api()?.await_state("attic", "ready").await?;
    let browser = Browser::open().await?;
    browser.go(&house.url("/sign-in")).await?;
    browser.fill("name", "ann").await?;
    browser.fill("password", PASSWORD).await?;
    browser.press("Sign in").await?;
    browser.await_text("h1", "Catalog").await?;
    browser.show_on("screen", true).await?;
    for path in ["/components", "/", "/environments?view=cards", "/activity", "/environments/attic"] {
        browser.go(&house.url(path)).await?;
        browser.await_script("return document.readyState === 'complete'").await?;
        let moving = browser.page.execute(MOVING, Vec::new()).await?;
        assert_eq!(moving, serde_json::json!([]), "{path} moves");
    }
    browser.show_on("print", false).await?;
    for path in ["/environments?view=table", "/environments?view=cards", "/components"] {
        browser.go(&house.url(path)).await?;
        browser.await_script("return document.readyState === 'complete'").await?;
        let shown = browser.page.execute(SHOWN, Vec::new()).await?;
        assert_eq!(shown, serde_json::json!([]), "{path} shows on paper");
    }
    browser.picture("components-print").await?;
    ann.api()?.act("attic", "delete").await?;
    Ok(())
}
