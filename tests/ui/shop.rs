//! The catalog as a shop: found while one types, quick with a thousand templates, and telling what is new.

use std::time::Instant;

use app::api::Role;
use reqwest::Method;
use serde_json::json;
use server::service::catalog::{SourceFile, refresh};
use tests::house::{PASSWORD, Plan};
use tests::{Browser, House, Outcome, Portal};

fn template(name: &str, more: &str) -> String {
    format!("name: {name}\nversion: \"1\"\ntitle: The {name}\nsummary: One of many.\ncategory: Tests\n{more}")
}

async fn ada(portal: &Portal) -> Outcome<Browser> {
    let browser = Browser::open().await?;
    browser.go(portal.setup_link.as_ref().ok_or("The portal printed no link for the first administrator.")?).await?;
    browser.fill("name", "ada").await?;
    browser.fill("password", PASSWORD).await?;
    browser.press("Create administrator").await?;
    browser.await_text("h1", "Catalog").await?;
    Ok(browser)
}

#[tokio::test]
async fn the_catalog_is_searched_while_one_types_and_the_address_says_what_is_shown() -> Outcome {
    let mut portal = Portal::start().await?;
    let browser = ada(&portal).await?;
    browser.page.execute("window.sameAsBefore = true", Vec::new()).await?;
    browser.page.active_element().await?;
    browser.type_keys("/").await?;
    browser.await_script("return document.activeElement.name === 'q'").await?;
    browser.type_keys("workers").await?;
    browser.await_script("return location.search === '?q=workers'").await?;
    browser.await_text(".found", "1 of 4 templates").await?;
    let state = "const field = document.activeElement; return [window.sameAsBefore, field.name, field.value, \
        field.selectionStart, document.getElementById('search-state').textContent]";
    let said = browser.page.execute(state, Vec::new()).await?;
    assert_eq!(said, json!([true, "q", "workers", 7, "1 of 4 templates found"]), "same page, focus, caret; announced");
    browser.type_keys("hop").await?;
    browser.await_text("h2", "Not on these shelves").await?;
    browser
        .await_script("return document.getElementById('search-state').textContent === 'No template matches'")
        .await?;

    // On and back: what was looked for is still there, in the field as in the results.
    browser.go(&portal.url("/?q=postgres")).await?;
    browser.fill("q", "queue").await?;
    browser.await_script("return location.search === '?q=queue'").await?;
    browser.click(".book a[href=\"/catalog/queue\"]").await?;
    browser.await_text("h1", "Queue").await?;
    browser.page.back().await?;
    browser.await_text(".found", "1 of 4 templates").await?;
    let shown = "return [location.search, document.getElementsByName('q')[0].value]";
    assert_eq!(browser.page.execute(shown, Vec::new()).await?, json!(["?q=queue", "queue"]));
    browser.page.forward().await?;
    browser.await_text("h1", "Queue").await?;

    // A portal that is away leaves a plain form and what was there.
    browser.page.back().await?;
    browser.await_text(".found", "1 of 4 templates").await?;
    portal.stop().await?;
    browser.fill("q", "site").await?;
    browser.await_text("#search-state", "does not answer").await?;
    browser.await_text(".book__title", "Queue").await?;
    portal.start_again().await?;
    browser.press("Find").await?;
    browser.await_text(".book__title", "Static site").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_i_and_my_team_ordered_lately_is_near_to_hand() -> Outcome {
    let house = House::open().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    let bob = house.guest("default", "bob", Role::User).await?;
    let shelves = async || -> Outcome<Vec<String>> {
        let page = ann.in_browser(Method::GET, "/").send().await?.text().await?;
        let parts = page.split("aria-labelledby=\"shelf-").skip(1);
        let shelf = |part: &str| {
            let end = part.find("</section>").unwrap_or(part.len());
            let names = part[..end].split("href=\"/catalog/").skip(1).filter_map(|rest| rest.split('"').next());
            format!("{}: {}", part.split('"').next().unwrap_or_default(), names.collect::<Vec<_>>().join(" "))
        };
        Ok(parts.map(shelf).collect())
    };
    assert_eq!(shelves().await?, ["featured: queue scratch"]);
    bob.order("queue", "one").await?;
    ann.order("site", "two").await?;
    ann.order("scratch", "three").await?;
    house.wait(11_000);
    assert_eq!(shelves().await?, ["mine: scratch site", "team: queue"]);
    let other = house.guest("other", "eve", Role::User).await?;
    house.stock("other").await?;
    let page = other.in_browser(Method::GET, "/").send().await?.text().await?;
    assert!(!page.contains("shelf-team") && !page.contains("shelf-mine"), "another team's orders are its own");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_tells_what_changed_since_the_one_before() -> Outcome {
    let plan = Plan { templates: vec![("shed.yaml", template("shed", "servers:\n  box: {}\n"))], ..Plan::default() };
    let house = House::built(plan).await?;
    let ann = house.resident("default", "ann", Role::User).await?;
    let more = "changes: A cellar for what is to be kept.\nparameters:\n  depth: {type: integer, default: 2}\n\
        servers:\n  box: {needs: [cellar]}\n  cellar: {}\nvolumes:\n  shelf: {size: 1 GiB, mounts: {cellar: /data}}\n";
    let second = template("shed", more).replace("version: \"1\"", "version: \"2\"");
    let file = SourceFile { name: "shed.yaml".into(), text: Ok(second) };
    refresh(house.store(), &house.team_id("default").await?, &[file], house.now()).await?;

    let detail = ann.get("/catalog/shed").await?.expect_success()?;
    let changes = ["New server cellar", "Server box: needs cellar", "New volume shelf", "New field “Depth”"];
    let newest = &detail["versions"][0];
    assert_eq!(newest["note"], "A cellar for what is to be kept.");
    let told: Vec<&str> = newest["changes"].as_array().into_iter().flatten().filter_map(|one| one.as_str()).collect();
    assert_eq!(told.len(), changes.len(), "{told:?}");
    assert!(changes.iter().all(|change| told.contains(change)), "{told:?}");
    assert_eq!(detail["versions"][1]["changes"], json!([]), "before the first there is nothing");

    let browser = Browser::open().await?;
    browser.go(&house.url("/sign-in?next=/catalog/shed")).await?;
    browser.fill("name", "ann").await?;
    browser.fill("password", PASSWORD).await?;
    browser.press("Sign in").await?;
    browser.await_text(".version__note", "A cellar for what is to be kept.").await?;
    for change in changes {
        browser.await_text(".version__changes", change).await?;
    }
    browser.page.execute("document.getElementById('versions').scrollIntoView()", Vec::new()).await?;
    browser.picture("template-versions").await?;
    Ok(())
}

/// A thousand templates are a folder like any other: found, paged, and no heavier than a page of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_templates_are_searched_as_quickly_as_four() -> Outcome {
    let house = House::open().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    let files: Vec<SourceFile> = (0..1000)
        .map(|number| {
            let more = format!("tags: [t{}]\nservers:\n  box: {{requires: [sh, python3]}}\n", number % 40);
            SourceFile { name: format!("{number}.yaml"), text: Ok(template(&format!("many-{number}"), &more)) }
        })
        .collect();
    refresh(house.store(), &house.team_id("default").await?, &files, house.now()).await?;
    let read = async |path: &str| -> Outcome<String> {
        Ok(ann.in_browser(Method::GET, path).send().await?.error_for_status()?.text().await?)
    };
    let first = read("/").await?;
    assert_eq!(first.matches("class=\"book\"").count(), 60);
    assert!(first.contains("Page 1 of 17"));
    assert!(first.len() < 250_000, "{} bytes", first.len());
    assert_eq!(read("/?q=many-77").await?.matches("class=\"book\"").count(), 11);
    assert_eq!(read("/?page=17").await?.matches("class=\"book\"").count(), 40);
    let begun = Instant::now();
    for _ in 0..20 {
        read("/?q=many-7").await?;
    }
    println!("a search among 1,000 templates: {:?}", begun.elapsed() / 20);
    Ok(())
}
