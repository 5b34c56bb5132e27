//! The environment's page: following what is under way, describing it, acting on it from several tabs, deleting it.

use serde_json::{Value, json};
use tests::{Api, Browser, Outcome, Portal, Setting};

const PASSWORD: &str = "a quiet corner by the window";

/// Its first server is set up when somebody says so; the second waits for it.
const PATIENT: &str = r#"name: patient
version: "1.0.0"
title: Patient
summary: Its first server is set up when somebody says so.
category: Trouble
servers:
  kitchen:
    size: {memory: 64 MiB}
    setup: until test -e /tmp/go; do sleep 0.1; done
  table:
    needs: [kitchen]
"#;

const DOOMED: &str = r#"name: doomed
version: "1.0.0"
title: Doomed
summary: Its set-up fails.
category: Trouble
servers:
  box:
    setup: |
      echo reading the list of guests
      cat /no/such/list
"#;

/// A portal with these two templates and the starter's scratch, a browser in which ada is signed in, and her client.
async fn ada() -> Outcome<(Portal, Browser, Api)> {
    let templates = tempfile::Builder::new().prefix("bookend-test-templates-").tempdir()?;
    std::fs::copy(
        concat!(env!("CARGO_MANIFEST_DIR"), "/../templates/scratch.yaml"),
        templates.path().join("scratch.yaml"),
    )?;
    std::fs::write(templates.path().join("patient.yaml"), PATIENT)?;
    std::fs::write(templates.path().join("doomed.yaml"), DOOMED)?;
    let folder = templates.path().to_str().ok_or("a path that is no text")?;
    let portal = Setting::new()?.options(&["--templates", folder]).start().await?;
    let browser = Browser::open().await?;
    browser.go(portal.setup_link.as_ref().ok_or("The portal printed no link for the first administrator.")?).await?;
    browser.fill("name", "ada").await?;
    browser.fill("password", PASSWORD).await?;
    browser.press("Create administrator").await?;
    browser.await_script("return location.pathname === '/'").await?;
    let api = portal.person("ada").await?;
    Ok((portal, browser, api))
}

async fn await_state(browser: &Browser, state: &str) -> Outcome {
    let badge = format!("return !!document.querySelector('.page-header .badge[data-state={state}]')");
    browser.await_script(&badge).await.map(drop)
}

/// Awaits that the page is alive, not only shown.
async fn open(browser: &Browser, portal: &Portal, path: &str) -> Outcome {
    browser.go(&portal.url(path)).await?;
    browser.await_script("return 'live' in document.documentElement.dataset").await.map(drop)
}

async fn describe(api: &Api, environment: &str, said: Value) -> Outcome {
    let path = format!("/environments/{environment}");
    api.send(reqwest::Method::PATCH, &path, Some(said)).await?.expect_success().map(drop)
}

#[tokio::test]
async fn what_is_under_way_is_followed_like_a_parcel_and_the_bar_never_goes_back() -> Outcome {
    let (portal, browser, api) = ada().await?;
    api.order("patient", "dinner").await?;
    open(&browser, &portal, "/environments/dinner").await?;
    await_state(&browser, "setting_up").await?;
    let bar = "const bar = document.querySelector('[role=progressbar]');";
    browser.await_script(&format!("{bar} return bar?.ariaValueText === '3 of 9 steps'")).await?;
    browser.await_text(".track [aria-current=step]", "Setting up").await?;
    browser.await_text("[aria-labelledby=server-kitchen] .steps", "Step 2 of 4, for").await?;
    browser.await_text("[aria-labelledby=server-table] .waiting", "kitchen to be healthy").await?;
    browser.await_text(".progress__words", "No past orders to tell from; ").await?;
    // The seconds pass before one's eyes, and are not read out.
    let words = browser.await_script("return document.querySelector('.progress__words').textContent").await?;
    browser.await_script(&format!("return document.querySelector('.progress__words').textContent !== {words}")).await?;
    let told = browser
        .await_script("return [...document.querySelectorAll('main [role=status]')].map(one => one.textContent).join()")
        .await?;
    assert!(!told.as_str().unwrap_or_default().contains("so far"), "{told}");

    let watch = format!(
        "{bar} window.seen = [+bar.ariaValueNow]; new MutationObserver(() => {{ const bar = \
         document.querySelector('[role=progressbar]'); if (bar) window.seen.push(+bar.ariaValueNow) }})\
         .observe(document.querySelector('main'), {{ subtree: true, childList: true, attributes: true }})"
    );
    browser.page.execute(&watch, Vec::new()).await?;
    let go = portal.cli(&api, &["exec", "dinner/kitchen", "--", "touch", "/tmp/go"]).await?;
    assert!(go.status.success(), "{go:?}");
    await_state(&browser, "ready").await?;
    let seen: Vec<i64> = serde_json::from_value(browser.page.execute("return window.seen", Vec::new()).await?)?;
    assert!(seen.windows(2).all(|pair| pair[0] <= pair[1]), "the bar went back: {seen:?}");
    let left = browser.page.execute("return !!document.querySelector('.track, .progress')", Vec::new()).await?;
    assert_eq!(left, false, "what has arrived is not on its way");

    // What it uses is drawn as it goes, and said.
    browser.await_script("return !!document.querySelector('[aria-labelledby=server-kitchen] .sparkline')").await?;
    browser.await_text("[aria-labelledby=server-kitchen] .gauges", "of 64 MiB").await?;
    browser.await_text("[aria-labelledby=server-kitchen] .gauges", "Peak ").await?;

    // The next one is held against this one.
    api.order("patient", "supper").await?;
    open(&browser, &portal, "/environments/supper").await?;
    browser.await_text(".progress__words", "sually").await?;
    for environment in ["dinner", "supper"] {
        api.act(environment, "delete").await?;
    }
    assert_eq!(browser.complaints().await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_page_follows_its_environment_to_another_name_and_shows_what_is_said_about_it() -> Outcome {
    let (portal, browser, api) = ada().await?;
    api.order("scratch", "shop").await?;
    api.await_state("shop", "ready").await?;
    open(&browser, &portal, "/environments/shop").await?;
    browser.page.execute("window.sameAsBefore = true", Vec::new()).await?;

    // In another tab, by the form.
    browser
        .in_new_tab(async || {
            browser.go(&portal.url("/environments/shop")).await?;
            browser.press("Name, tags and note").await?;
            browser.fill("name", "store").await?;
            browser.fill("tags", "Demo, q3").await?;
            browser.fill("note", "For the **demo**.\n<img src=x onerror=alert(1)>").await?;
            browser.press("Save").await?;
            browser.await_script("return location.pathname === '/environments/store'").await?;
            browser.await_text("[aria-labelledby=note] strong", "demo").await.map(drop)
        })
        .await?;
    browser.await_script("return location.pathname === '/environments/store'").await?;
    browser.await_script("return document.title.startsWith('store: ')").await?;
    browser.await_text("h1", "store").await?;
    browser.await_text(".tags", "demo").await?;
    browser.await_text("[aria-labelledby=note]", "For the demo.").await?;
    browser.await_text(".timeline", "Renamed from shop to store").await?;
    assert_eq!(browser.page.execute("return window.sameAsBefore", Vec::new()).await?, true, "the page was reloaded");
    browser.page.refresh().await?;
    browser.await_text("h1", "store").await?;

    // A name that is none is told at its field, with what was typed still there.
    browser.go(&portal.url("/environments/store/edit")).await?;
    browser.fill("tags", "two <b>words</b>").await?;
    browser.press("Save").await?;
    browser.await_text("#tags-note", "is none: letters").await?;
    let typed = browser.page.execute("return document.querySelector('#tags').value", Vec::new()).await?;
    assert_eq!(typed, "two <b>words</b>");

    // Who clicks a tag finds the others that have it.
    api.order("scratch", "other").await?;
    describe(&api, "other", json!({ "tags": ["demo"] })).await?;
    open(&browser, &portal, "/environments/store").await?;
    browser.press("demo").await?;
    browser.await_text(".rows", "other").await?;
    browser.await_text(".rows", "store").await?;
    for environment in ["store", "other"] {
        api.act(environment, "delete").await?;
    }
    assert_eq!(browser.complaints().await?.iter().filter(|said| !said.contains("422")).count(), 0);
    Ok(())
}

#[tokio::test]
async fn an_environment_is_deleted_by_typing_its_name_and_a_stale_tab_is_told_what_is() -> Outcome {
    let (portal, browser, api) = ada().await?;
    api.order("scratch", "shop").await?;
    api.await_state("shop", "ready").await?;
    open(&browser, &portal, "/environments/shop").await?;
    await_state(&browser, "ready").await?;

    // This tab hears nothing until somebody acts in it; meanwhile the environment is parked from elsewhere.
    let deaf = "const ask = window.fetch; let deaf = true; window.fetch = (address, how) => { \
        if (how?.method === 'POST') deaf = false; return deaf ? Promise.reject(new Error('deaf')) : ask(address, how) }";
    browser.page.execute(deaf, Vec::new()).await?;
    api.act("shop", "park").await?;
    api.await_state("shop", "parked").await?;
    browser.press("Restart").await?;
    browser.await_text(".notice", "“shop” is parked").await?;
    browser.await_text(".notice", "you can resume").await?;
    await_state(&browser, "parked").await?;

    // Not by a wrong name; by the right one.
    browser.press("Delete…").await?;
    browser.fill("confirm", "shops").await?;
    browser.click("#confirm-delete button[type=submit]").await?;
    browser.await_script("return document.querySelector('[name=confirm]').matches(':invalid')").await?;
    assert_eq!(api.environment("shop").await?["state"], "parked");
    browser.fill("confirm", "shop").await?;
    browser.click("#confirm-delete button[type=submit]").await?;
    await_state(&browser, "deleted").await
}

#[tokio::test]
async fn a_failure_tells_its_step_cause_and_lines_and_has_the_one_button_for_it() -> Outcome {
    let (portal, browser, api) = ada().await?;
    api.order("doomed", "lost").await?;
    api.await_state("lost", "failed").await?;
    open(&browser, &portal, "/environments/lost").await?;
    for words in ["on box", "/no/such/list", "reading the list of guests", "What to do:"] {
        browser.await_text(".environment__status .failure", words).await?;
    }
    let buttons = "return [...document.querySelectorAll('main button[type=submit]')]\
        .filter(button => button.textContent.includes('Try again')).map(button => !!button.closest('.failure'))";
    assert_eq!(browser.await_script(buttons).await?, json!([true]), "one button, where the failure is told");
    browser.press("Try again").await?;
    browser.await_text(".timeline", "Trying again").await?;
    api.await_state("lost", "failed").await?;
    await_state(&browser, "failed").await?;
    api.act("lost", "delete").await.map(drop)
}
