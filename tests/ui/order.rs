//! The order form: it helps while it is filled in, remembers, and loses nothing.

use std::time::Duration;

use app::api::Role;
use reqwest::Method;
use serde_json::{Value, json};
use tests::house::{PASSWORD, Plan};
use tests::{Browser, Guest, House, Outcome, Portal};

const WORKSHOP: &str = r#"name: workshop
version: "1.0.0"
title: Workshop
summary: Asks for a little of everything.
category: Tests
parameters:
  motto: {type: string, title: Motto, pattern: "[^<>]*", max_length: 40, default: Quiet}
  code: {type: string, title: Code, pattern: "(?i)[a-z]{2}\\d", default: ab1}
  benches: {type: integer, title: Benches, min: 1, max: 4, default: 2}
  lit: {type: boolean, title: Lit, default: false}
  key: {type: secret, title: Key, when: {lit: true}}
presets:
  bright: {title: Bright, help: With lights., values: {lit: true, benches: 4}}
servers:
  box: {}
"#;

async fn workshop() -> Outcome<(House, Guest)> {
    let scratch = include_str!("../../templates/scratch.yaml");
    let templates = vec![("workshop.yaml", WORKSHOP.to_owned()), ("scratch.yaml", scratch.into())];
    let house = House::built(Plan { templates, ..Plan::default() }).await?;
    let ann = house.resident("default", "ann", Role::User).await?;
    Ok((house, ann))
}

async fn sign_in(browser: &Browser, house: &House, path: &str) -> Outcome {
    browser.go(&house.url(path)).await?;
    browser.fill("name", "ann").await?;
    browser.fill("password", PASSWORD).await?;
    browser.press("Sign in").await
}

/// Makes so many copies of an environment, for which nothing runs.
async fn fill_up(house: &House, like: &str, copies: u32) -> Outcome {
    let sql = format!(
        "with recursive number (n) as (select 1 union all select n + 1 from number where n < {copies}) \
         insert into environment (id, team_id, owner_id, name, template_version_id, provisioner, parameters, topology, desired, \
         generation, desired_at, state, network_observed, servers_ready, servers_total, created_at, lease_until, fence, hints) \
         select 'copy-' || n, team_id, owner_id, 'copy-' || n, template_version_id, provisioner, parameters, topology, desired, \
         generation, desired_at, state, 0, 0, servers_total, created_at, 0, 0, 0 from environment, number where name = '{like}'"
    );
    let mut tx = house.store().write().await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(tx.connection()).await?;
    Ok(tx.commit().await?)
}

/// What is in the field of this name.
async fn value(browser: &Browser, field: &str) -> Outcome<Value> {
    let script = format!(
        "const field = [...document.getElementsByName({field:?})].at(-1); \
         return field.type === 'checkbox' ? field.checked : field.value"
    );
    Ok(browser.page.execute(&script, Vec::new()).await?)
}

/// What stands below the field as wrong with it.
fn wrong(field: &str) -> String {
    format!("[id='{field}-note'] .field__wrong")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_value_is_told_at_its_field_while_it_is_typed_and_forgiven_when_it_is_right() -> Outcome {
    let (house, ann) = workshop().await?;
    ann.order("scratch", "taken").await?;
    let browser = Browser::open().await?;
    sign_in(&browser, &house, "/sign-in?next=/catalog/workshop").await?;
    browser.await_text("h1", "Workshop").await?;

    browser.fill("parameters.motto", "<b>").await?;
    browser.await_text(&wrong("parameters.motto"), "should match the pattern `[^<>]*`").await?;
    let about = "const field = document.getElementById('parameters.motto'); \
        return [field.getAttribute('aria-invalid'), field.getAttribute('aria-describedby'), document.activeElement.id]";
    let said = browser.page.execute(about, Vec::new()).await?;
    assert_eq!(said, json!(["true", "parameters.motto-note", "parameters.motto"]));
    browser.picture("order-wrong").await?;

    browser.fill("parameters.benches", "9").await?;
    browser.await_text(&wrong("parameters.benches"), "should be a whole number from 1 to 4").await?;
    browser.fill("name", "taken").await?;
    browser.await_text(&wrong("name"), "is taken; choose another").await?;
    browser.fill("name", "No Name").await?;
    browser.await_text(&wrong("name"), "should be small letters").await?;

    // Sent nevertheless, it goes nowhere but to the first of them.
    browser.click("#order-button").await?;
    browser.await_script("return document.activeElement.id === 'name'").await?;
    assert_eq!(ann.environments().await?, 1);

    // A pattern that only the portal understands is left to it.
    browser.fill("name", "free").await?;
    browser.fill("parameters.motto", "Onward").await?;
    browser.fill("parameters.benches", "3").await?;
    browser.fill("parameters.code", "?").await?;
    browser.await_script("return !document.querySelector('.field__wrong')").await?;
    browser.click("#order-button").await?;
    browser.await_text(&wrong("parameters.code"), "should match the pattern").await?;
    assert_eq!(value(&browser, "parameters.motto").await?, "Onward", "what was right is kept");

    // What is hidden is not asked for; what is shown is.
    browser.fill("parameters.code", "XY7").await?;
    browser.click("input[role=switch]").await?;
    browser.click("#order-button").await?;
    browser.await_text(&wrong("parameters.key"), "needs a value").await?;
    browser.click("input[role=switch]").await?;
    browser.click("#order-button").await?;
    browser.await_script("return location.pathname === '/environments/free'").await?;
    let severe: Vec<String> = browser.complaints().await?;
    assert!(severe.iter().all(|said| said.contains("422")), "{severe:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_form_begins_with_a_free_name_and_what_was_ordered_last() -> Outcome {
    let (house, ann) = workshop().await?;
    let browser = Browser::open().await?;
    sign_in(&browser, &house, "/sign-in?next=/catalog/workshop").await?;
    let name = value(&browser, "name").await?;
    assert!(name.as_str().is_some_and(|name| name.starts_with("workshop-")), "{name}");
    assert_eq!(value(&browser, "parameters.benches").await?, "2");

    let order = json!({ "template": "workshop", "name": "mine",
        "parameters": { "benches": "3", "lit": "true", "key": "hunter2" } });
    ann.post("/environments", &order).await?.expect_success()?;
    browser.go(&house.url("/catalog/workshop")).await?;
    browser.await_text(".order__starts", "Filled in as in your last order, mine,").await?;
    assert_eq!(value(&browser, "parameters.benches").await?, "3");
    assert_eq!(value(&browser, "parameters.lit").await?, true);
    assert_eq!(value(&browser, "parameters.key").await?, "", "a secret is never shown again");
    browser.picture("order-last").await?;

    browser.press("Defaults").await?;
    browser.await_text(".order__starts", "the template’s own defaults").await?;
    assert_eq!(value(&browser, "parameters.benches").await?, "2");
    browser.press("Bright").await?;
    browser.await_text(".order__starts", "With lights.").await?;
    assert_eq!(value(&browser, "parameters.benches").await?, "4");
    assert_eq!(value(&browser, "parameters.lit").await?, true);
    browser.picture("order-preset").await?;

    // As a colleague's environment was ordered; never with its secrets.
    let bob = house.guest("default", "bob", Role::User).await?;
    let order = json!({ "template": "workshop", "name": "bobs", "parameters": { "motto": "By the book" } });
    bob.post("/environments", &order).await?.expect_success()?;
    browser.go(&house.url("/catalog/workshop?from=bobs")).await?;
    browser.await_text(".order__starts", "Filled in as bobs was ordered").await?;
    assert_eq!(value(&browser, "parameters.motto").await?, "By the book");

    // A link with values means the same for everybody; one whose source is gone says so.
    browser.go(&house.url("/catalog/workshop?parameters.motto=Hi")).await?;
    assert_eq!(value(&browser, "parameters.motto").await?, "Hi");
    assert_eq!(value(&browser, "parameters.benches").await?, "2");
    browser.go(&house.url("/catalog/workshop?preset=gone")).await?;
    browser.await_text(".notice", "There is no preset of “workshop” “gone”").await?;
    assert_eq!(ann.environments().await?, 2, "no link ordered anything");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_asks_nothing_is_ordered_with_one_click_and_a_double_click_is_one_order() -> Outcome {
    let (house, ann) = workshop().await?;
    let browser = Browser::open().await?;
    sign_in(&browser, &house, "/sign-in").await?;
    browser.await_text("h1", "Catalog").await?;
    // Both clicks before the first answer.
    let twice = "const button = document.querySelector('form[action=\"/catalog/scratch\"] button'); \
        fetch(button.form.action, { method: 'POST', body: new URLSearchParams(new FormData(button.form)) }); button.click()";
    browser.page.execute(twice, Vec::new()).await?;
    browser.await_script("return location.pathname.startsWith('/environments/scratch-')").await?;
    browser.await_text(".page-header", "scratch-").await?;
    // The other click's request has been answered when the same one is answered again.
    assert_eq!(ann.environments().await?, 1);
    Ok(())
}

/// Also when there is no script.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_while_the_form_is_filled_in_costs_nothing_that_was_typed() -> Outcome {
    let (house, ann) = workshop().await?;
    let browser = Browser::open().await?;
    sign_in(&browser, &house, "/sign-in?next=/catalog/workshop").await?;
    browser.await_text("h1", "Workshop").await?;
    browser.fill("name", "patience").await?;
    browser.fill("parameters.motto", "Ünd noch & einmal").await?;
    browser.click("input[role=switch]").await?;
    browser.fill("parameters.key", "hunter2").await?;
    house.wait(server::auth::identity::SESSION_MS + 1);
    browser.click("#order-button").await?;
    browser.await_text("h1", "Sign in").await?;
    let address = browser.page.current_url().await?.to_string();
    assert!(!address.contains("hunter2"), "{address}");
    browser.fill("name", "ann").await?;
    browser.fill("password", PASSWORD).await?;
    browser.press("Sign in").await?;
    browser.await_text(".notice", "Here is what you had typed").await?;
    assert_eq!(value(&browser, "name").await?, "patience");
    assert_eq!(value(&browser, "parameters.motto").await?, "Ünd noch & einmal");
    assert_eq!(value(&browser, "parameters.lit").await?, true);
    assert_eq!(value(&browser, "parameters.key").await?, "");
    let kept = browser.page.execute("return JSON.stringify(Object.entries(sessionStorage))", Vec::new()).await?;
    assert!(!kept.as_str().unwrap_or_default().contains("hunter2"), "{kept}");
    browser.picture("order-kept").await?;

    let form = [("plain", "motto"), ("name", "paper"), ("parameters.motto", "Ink"), ("parameters.key", "hunter2")];
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = ann.in_browser(Method::POST, "/catalog/workshop").body(body);
    let answer = request.header("content-type", "application/x-www-form-urlencoded").send().await?;
    let location = answer.headers()["location"].to_str()?;
    let expected = "/sign-in?next=%2Fcatalog%2Fworkshop%3Fkept%3Dtrue%26name%3Dpaper%26parameters.motto%3DInk";
    assert_eq!((answer.status().as_u16(), location), (303, expected));
    Ok(())
}

/// Too long for an address: it waits in the browser.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_text_too_survives_the_end_of_the_session() -> Outcome {
    let page = "name: essay\nversion: \"1\"\ntitle: Essay\nsummary: Long.\ncategory: Tests\nparameters:\n  \
        text: {type: string, multiline: true, max_length: 9000, default: \"\"}\nservers:\n  box: {}\n";
    let house = House::built(Plan { templates: vec![("essay.yaml", page.into())], ..Plan::default() }).await?;
    house.resident("default", "ann", Role::User).await?;
    let browser = Browser::open().await?;
    sign_in(&browser, &house, "/sign-in?next=/catalog/essay").await?;
    browser.await_text("h1", "Essay").await?;
    let fill = "document.getElementById('parameters.text').value = 'line\\n'.repeat(1500)";
    browser.page.execute(fill, Vec::new()).await?;
    house.wait(server::auth::identity::SESSION_MS + 1);
    browser.click("#order-button").await?;
    browser.await_text("h1", "Sign in").await?;
    browser.fill("name", "ann").await?;
    browser.fill("password", PASSWORD).await?;
    browser.press("Sign in").await?;
    browser.await_text(".notice", "Here is what you had typed").await?;
    browser.await_script("return document.getElementById('parameters.text').value === 'line\\n'.repeat(1500)").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_as_many_environments_as_allowed_is_told_before_the_click() -> Outcome {
    let (house, ann) = workshop().await?;
    ann.order("scratch", "first").await?;
    let read = async || ann.in_browser(Method::GET, "/catalog/scratch").send().await?.text().await;
    assert!(!read().await?.contains("as many as one person may have"));
    fill_up(&house, "first", 999).await?;
    let page = read().await?;
    assert!(page.contains("You have 1000 environments, as many as one person may have"), "{page}");
    let refused = ann.post("/environments", &json!({ "template": "scratch", "name": "one-more" })).await?;
    assert_eq!(refused.status, 409, "what the page says is so: {}", refused.body);
    Ok(())
}

/// A real process, so that the portal can go away under the page.
#[tokio::test]
async fn the_form_works_on_while_the_portal_is_away_and_the_name_is_judged_when_it_is_back() -> Outcome {
    let mut portal = Portal::start().await?;
    let browser = Browser::open().await?;
    browser.go(portal.setup_link.as_ref().ok_or("The portal printed no link for the first administrator.")?).await?;
    browser.fill("name", "ada").await?;
    browser.fill("password", PASSWORD).await?;
    browser.press("Create administrator").await?;
    browser.click("a[href=\"/catalog/queue\"]").await?;
    browser.await_text("h1", "Queue").await?;
    portal.stop().await?;
    browser.fill("name", "Away").await?;
    browser.await_text(&wrong("name"), "should be small letters").await?;
    browser.fill("parameters.workers", "99").await?;
    browser.await_text(&wrong("parameters.workers"), "from 1 to 8").await?;
    portal.start_again().await?;
    browser.fill("name", "back").await?;
    browser.fill("parameters.workers", "1").await?;
    browser.click("#order-button").await?;
    browser.await_script("return location.pathname === '/environments/back'").await?;
    let api = portal.person("ada").await?;
    tokio::time::timeout(Duration::from_secs(120), api.act("back", "delete")).await??;
    Ok(())
}
