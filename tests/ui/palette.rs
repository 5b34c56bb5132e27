//! The palette: from anywhere to any page or action, by keyboard alone.

use app::api::Role;
use fantoccini::key::Key;
use tests::{Browser, House, Outcome};

const SELECTED: &str = "return document.querySelector('.palette [aria-selected=true] .palette__title')?.textContent";

#[tokio::test(flavor = "multi_thread")]
async fn a_few_letters_lead_to_any_page_or_action_and_what_changes_something_asks_first() -> Outcome {
    let house = House::open().await?;
    let ann = house.resident("default", "ann", Role::User).await?;
    ann.order("scratch", "attic").await?;
    ann.api()?.await_state("attic", "ready").await?;
    let browser = Browser::open().await?;
    browser.go(&house.url("/sign-in")).await?;
    browser.fill("name", "ann").await?;
    browser.fill("password", tests::house::PASSWORD).await?;
    browser.press("Sign in").await?;
    browser.await_text("h1", "Catalog").await?;
    browser.await_script("return document.querySelector('.find')?.checkVisibility()").await?;

    let control_k = format!("{}k", char::from(Key::Control));
    browser.type_keys(&control_k).await?;
    browser.await_text(".palette__title", "attic").await?;
    browser.type_keys("actv").await?;
    browser.await_script(&format!("{SELECTED} === 'Activity'")).await?;
    browser.type_keys(&char::from(Key::Enter).to_string()).await?;
    browser.await_text("h1", "Activity").await?;

    // Where one has been comes first; arrows move, Escape leaves everything as it was.
    browser.type_keys(&control_k).await?;
    browser.await_script(&format!("{SELECTED} === 'Activity'")).await?;
    browser.type_keys(&char::from(Key::Down).to_string()).await?;
    browser.await_script("return document.activeElement.getAttribute('aria-activedescendant') === 'palette-1'").await?;
    browser.type_keys(&char::from(Key::Escape).to_string()).await?;
    browser.await_script("return !document.querySelector('dialog.palette').open").await?;

    // The theme changes at once.
    browser.click(".find").await?;
    browser.await_text(".palette__title", "attic").await?;
    browser.type_keys("dark").await?;
    browser.await_script(&format!("{SELECTED} === 'Dark theme'")).await?;
    browser.picture("palette-light").await?;
    browser.type_keys(&char::from(Key::Enter).to_string()).await?;
    browser.await_script("return document.documentElement.dataset.theme === 'dark'").await?;

    // What changes something leads to the page that says what it will do.
    browser.type_keys(&control_k).await?;
    browser.await_text(".palette__title", "attic").await?;
    browser.type_keys("park attic").await?;
    browser.await_script(&format!("{SELECTED} === 'Park attic…'")).await?;
    browser.dress(390, "dark").await?;
    browser.picture("palette-dark-390").await?;
    browser.type_keys(&char::from(Key::Enter).to_string()).await?;
    browser.await_text("h1", "Park 1 environment?").await?;
    assert_eq!(ann.get("/environments/attic").await?.body["state"], "ready");
    browser.press("Park 1 environment").await?;
    browser.await_text(".notice__title", "Parking 1 environment").await?;
    ann.api()?.await_state("attic", "parked").await?;
    assert_eq!(browser.complaints().await?, Vec::<String>::new());

    // What it offers is this person's own.
    let ben = house.guest("default", "ben", Role::User).await?;
    let offered = ben.in_browser(reqwest::Method::GET, "/palette").send().await?.text().await?;
    assert!(!offered.contains("attic") && !offered.contains("/people"), "{offered}");
    let nobody = house.http.get(house.url("/palette")).send().await?;
    assert_eq!(nobody.headers()["location"], "/sign-in?next=%2Fpalette");
    ann.api()?.act("attic", "delete").await?;
    Ok(())
}
