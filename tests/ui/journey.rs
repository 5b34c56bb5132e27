//! The main job, end to end: order two servers from the catalog, use them in every way, park, resume, find everything.

use tests::{Browser, Outcome, Portal, leftovers};

const ENVIRONMENT: &str = "library";
/// Long enough to be accepted, and typed nowhere else.
const PASSWORD: &str = "a quiet corner by the window";

#[tokio::test]
async fn a_person_orders_two_servers_uses_them_parks_them_and_finds_everything_where_it_was() -> Outcome {
    let portal = Portal::start().await?;
    let browser = Browser::open().await?;

    // The single-use link makes the first administrator and signs in.
    let link = portal.setup_link.as_ref().ok_or("The portal printed no link for the first administrator.")?;
    browser.go(link).await?;
    browser.fill("name", "ada").await?;
    browser.fill("password", PASSWORD).await?;
    browser.press("Create administrator").await?;

    // The catalog, and an order.
    browser.await_text("h1", "Catalog").await?;
    browser.picture("journey-0-catalog").await?;
    browser.click("a[href=\"/catalog/site\"]").await?;
    browser.fill("name", ENVIRONMENT).await?;
    browser.fill("parameters.heading", "Margins").await?;
    browser.press("Order 2 servers").await?;

    // It becomes ready before one's eyes: the same page, never loaded again.
    let page = portal.url(&format!("/environments/{ENVIRONMENT}"));
    browser.await_script(&format!("return location.href === {page:?}")).await?;
    browser.page.execute("window.sameAsBefore = true", Vec::new()).await?;
    browser.picture("journey-1-ordered").await?;
    await_state(&browser, "ready").await?;
    assert_eq!(browser.page.execute("return window.sameAsBefore", Vec::new()).await?, true, "the page was reloaded");
    browser.await_script("return document.title === 'library: ready · Bookend'").await?;
    browser.picture("journey-2-ready").await?;

    // Through a port, which opens in a tab of its own.
    let app = browser
        .await_script("return document.querySelector('[aria-labelledby=server-web] a[target=_blank]')?.href")
        .await?;
    let app = app.as_str().ok_or("The button of the port leads nowhere.")?.to_owned();
    browser
        .in_new_tab(async || {
            browser.go(&app).await?;
            browser.await_text("h1", "Margins").await?;
            browser.fill("text", "Page 42").await?;
            browser.press("Leave it").await?;
            browser.await_text("li", "Page 42").await?;
            browser.picture("journey-3-app").await
        })
        .await?;

    // Through the terminal.
    browser.click("[aria-labelledby=server-web] a[href$=\"/terminal\"]").await?;
    browser.await_text("#terminal-state", "Connected").await?;
    browser.type_keys("echo written by $(hostname) > /site/ink && echo $((6 * 7)) done\n").await?;
    browser.await_text(".xterm-rows", "42 done").await?;
    browser.picture("journey-4-terminal").await?;

    // Through the command line, as the same person.
    let api = portal.person("ada").await?;
    let read = ["exec", "library/api", "--", "cat", "/site/ink"];
    assert_eq!(said(portal.cli(&api, &read).await?)?, "written by web\n");
    let failed = portal.cli(&api, &["exec", "library/web", "--", "sh", "-c", "exit 7"]).await?;
    assert_eq!(failed.status.code(), Some(7), "the command's exit code is handed through");
    let listed = said(portal.cli(&api, &["list", "--json"]).await?)?;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&listed)?["items"][0]["state"], "ready");

    // Parked: the servers are gone, the place is kept.
    browser.go(&page).await?;
    browser.press("Park").await?;
    await_state(&browser, "parked").await?;
    browser.picture("journey-5-parked").await?;
    assert!(!portal.cli(&api, &read).await?.status.success(), "nothing runs on a parked server");

    // Resumed: the same names, the same data on both servers, the same page.
    browser.press("Resume").await?;
    await_state(&browser, "ready").await?;
    assert_eq!(said(portal.cli(&api, &read).await?)?, "written by web\n");
    assert_eq!(said(portal.cli(&api, &["exec", "library/web", "--", "cat", "/site/ink"]).await?)?, "written by web\n");
    browser
        .in_new_tab(async || {
            browser.go(&app).await?;
            browser.await_text("li", "Page 42").await.map(drop)
        })
        .await?;
    browser.picture("journey-6-resumed").await?;

    // Deleted: nothing is left of it.
    browser.press("Delete…").await?;
    browser.fill("confirm", ENVIRONMENT).await?;
    browser.click("#confirm-delete button[type=submit]").await?;
    await_state(&browser, "deleted").await?;
    assert_eq!(browser.complaints().await?, Vec::<String>::new());
    assert_eq!(leftovers::of_servers(&portal), Vec::new());
    Ok(())
}

async fn await_state(browser: &Browser, state: &str) -> Outcome {
    browser
        .await_script(&format!("return !!document.querySelector('.page-header .badge[data-state={state}]')"))
        .await?;
    Ok(())
}

/// Standard output of a command that must have worked.
fn said(output: std::process::Output) -> Outcome<String> {
    if !output.status.success() {
        let problem = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("The command ended with {}: {problem}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
