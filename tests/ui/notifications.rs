//! Notifications, and the tab's icon: how environments come along, for whoever looks elsewhere.

use app::api::Role;
use fantoccini::wd::WindowHandle;
use serde_json::json;
use tests::house::{PASSWORD, Plan};
use tests::{Browser, House, Outcome, Portal};

use super::signed_in;

/// The browser's own notifications, noted as they are shown.
const NOTE: &str = "window.told = []; const Real = Notification; window.Notification = class extends Real { \
    constructor(title, options) { super(title, options); this.onshow = () => window.told.push(title); window.last = this; } }";

/// A browser without a screen shows all its tabs at once: whether this one is looked at is said to it.
async fn looked_at(browser: &Browser, tab: &WindowHandle, seen: bool) -> Outcome {
    browser.page.switch_to_window(tab.clone()).await?;
    let script = format!(
        "Object.defineProperty(document, 'hidden', {{ configurable: true, get: () => {} }}); \
         document.dispatchEvent(new Event('visibilitychange'))",
        !seen
    );
    browser.page.execute(&script, Vec::new()).await?;
    let lock = "navigator.locks.query().then(({ held }) => held.some((lock) => lock.name === 'bookend-looked-at'))";
    if seen {
        browser.await_script(&format!("return {lock}")).await?;
    }
    Ok(())
}

/// What all these tabs were told together.
async fn told(browser: &Browser, tabs: &[WindowHandle]) -> Outcome<Vec<String>> {
    let mut all = Vec::new();
    for tab in tabs {
        browser.page.switch_to_window(tab.clone()).await?;
        let here: Vec<String> = serde_json::from_value(browser.page.execute("return window.told", Vec::new()).await?)?;
        all.extend(here);
    }
    Ok(all)
}

/// Waits until the tab that listens knows this of an environment.
async fn known(browser: &Browser, id: &str, state: &str) -> Outcome {
    let script = format!(
        "return JSON.parse(localStorage.getItem('bookend-known-of-ada') ?? '{{}}')[{id:?}]?.state === {state:?}"
    );
    browser.await_script(&script).await.map(drop)
}

#[tokio::test]
async fn whoever_looks_elsewhere_is_told_once_and_whoever_looks_here_is_not() -> Outcome {
    let portal = Portal::start().await?;
    let browser = signed_in(&portal).await?;
    let api = portal.person("ada").await?;
    let origin = portal.url("");
    let granted = json!({ "origin": origin, "permission": { "name": "notifications" }, "setting": "granted" });

    // Nobody is asked before they ask for it: the offer stands where something is under way, and in the profile.
    browser.go(&portal.url("/profile")).await?;
    browser.await_text("[data-notify]", "This browser can tell you").await?;
    browser.devtools("Browser.setPermission", granted).await?;
    browser.press("Notify me").await?;
    browser.await_text("[data-notify]", "Stop notifying me").await?;
    let mut tabs = vec![browser.page.window().await?];
    browser.page.execute(NOTE, Vec::new()).await?;
    for _ in 0..2 {
        let tab = browser.page.new_window(true).await?.handle;
        browser.page.switch_to_window(tab.clone()).await?;
        browser.go(&portal.url("/environments")).await?;
        browser.page.execute(NOTE, Vec::new()).await?;
        tabs.push(tab);
    }
    for tab in &tabs {
        looked_at(&browser, tab, false).await?;
    }
    browser.page.switch_to_window(tabs[0].clone()).await?;
    let nobody =
        "return navigator.locks.query().then(({ held }) => !held.some((lock) => lock.name === 'bookend-looked-at'))";
    browser.await_script(nobody).await?;

    let ordered = api.order("scratch", "first").await?;
    let id = ordered["id"].as_str().unwrap_or_default().to_owned();
    known(&browser, &id, "ready").await?;
    browser.await_script("return window.told.length > 0").await?;
    assert_eq!(told(&browser, &tabs).await?, ["first is ready"], "one notification, not one for each tab");

    // Looked at, a page says it itself.
    looked_at(&browser, &tabs[0], true).await?;
    let ordered = api.order("scratch", "second").await?;
    known(&browser, ordered["id"].as_str().unwrap_or_default(), "ready").await?;
    assert_eq!(told(&browser, &tabs).await?, ["first is ready"]);

    // A click leads there.
    browser.page.switch_to_window(tabs[0].clone()).await?;
    browser.page.execute("setTimeout(() => window.last.dispatchEvent(new Event('click')))", Vec::new()).await?;
    browser.await_script("return location.pathname === '/environments/first'").await?;
    assert_eq!(browser.complaints().await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_looks_elsewhere_hears_of_the_schedule_before_and_after_it_takes_the_servers_down() -> Outcome {
    const AHEAD_MS: i64 = 5 * 60_000;
    let now = House::open().await?.now();
    let at = jiff::Timestamp::from_millisecond(now + AHEAD_MS)?.to_zoned(jiff::tz::TimeZone::UTC);
    let nightly = format!(
        "name: nightly\nversion: \"1.0.0\"\ntitle: Nightly\nsummary: Goes to bed early.\ncategory: Basics\n\
         servers: {{box: {{}}}}\nschedules: {{time_zone: UTC, park: \"{} {} * * *\"}}\n",
        at.minute(),
        at.hour()
    );
    let house = House::built(Plan { templates: vec![("nightly.yaml", nightly)], ..Plan::default() }).await?;
    let ann = house.resident("default", "ann", Role::User).await?;
    let browser = Browser::open().await?;
    let granted = json!({ "origin": house.origin(), "permission": { "name": "notifications" }, "setting": "granted" });
    browser.devtools("Browser.setPermission", granted).await?;
    browser.go(&house.url("/sign-in")).await?;
    browser.page.execute(NOTE, Vec::new()).await?;
    browser.fill("name", "ann").await?;
    browser.fill("password", PASSWORD).await?;
    browser.press("Sign in").await?;
    browser.await_text("h1", "Catalog").await?;
    browser.page.execute(NOTE, Vec::new()).await?;
    looked_at(&browser, &browser.page.window().await?, false).await?;
    let told = async |words: &str| {
        browser.await_script(&format!("return window.told.some((title) => title.startsWith({words:?}))")).await
    };

    ann.order("nightly", "shop").await?;
    told("shop is parked at ").await?;
    // Time passes, for the portal and for the browser.
    browser.page.execute(&format!("const then = Date.now; Date.now = () => then() + {AHEAD_MS}"), Vec::new()).await?;
    house.wait(AHEAD_MS);
    told("shop was parked by its schedule").await?;
    Ok(())
}

#[tokio::test]
async fn the_tabs_icon_shows_the_state() -> Outcome {
    let portal = Portal::start().await?;
    let browser = signed_in(&portal).await?;
    let api = portal.person("ada").await?;
    api.order("scratch", "box").await?;
    browser.go(&portal.url("/environments/box")).await?;
    let icon = "return document.querySelector('link[rel=icon]').dataset.state";
    browser.await_script(&format!("{icon} === 'ready'")).await?;
    let drawn = "return new Promise((done) => { const image = new Image(); image.onload = () => done(image.width > 0); \
        image.onerror = () => done(false); image.src = document.querySelector('link[rel=icon]').href; })";
    assert_eq!(browser.page.execute(drawn, Vec::new()).await?, true, "the icon is a picture");
    let ready = browser.page.execute("return document.querySelector('link[rel=icon]').href", Vec::new()).await?;
    api.act("box", "park").await?;
    browser.await_script(&format!("{icon} === 'parked'")).await?;
    assert_ne!(browser.page.execute("return document.querySelector('link[rel=icon]').href", Vec::new()).await?, ready);
    Ok(())
}
