//! What a person sees and does, in a real browser on a real portal.

mod cold;
mod copies;
mod dress;
mod elsewhere;
mod environment;
mod environments;
mod files;
mod full_speed;
mod journey;
mod logs;
mod notifications;
mod on_ec2;
mod operator;
mod order;
mod orphans;
mod pages;
mod palette;
mod parking;
mod profile;
mod regions;
mod shop;
mod snapshots;
mod terminal;
mod trouble;
mod weight;
mod without_script;

use tests::{Browser, Outcome, Portal};

/// What `ada` signs in with.
pub const PASSWORD: &str = "a quiet corner by the window";

/// A browser in which `ada`, the portal's first administrator, has signed in.
pub async fn signed_in(portal: &Portal) -> Outcome<Browser> {
    become_administrator(portal.setup_link.as_ref()).await
}

/// The same by the link that a portal printed.
pub async fn become_administrator(link: Option<&String>) -> Outcome<Browser> {
    let browser = Browser::open().await?;
    browser.go(link.ok_or("The portal printed no link for the first administrator.")?).await?;
    browser.fill("name", "ada").await?;
    browser.fill("password", PASSWORD).await?;
    browser.press("Create administrator").await?;
    browser.await_text("h1", "Catalog").await?;
    Ok(browser)
}

/// On a phone and on a desk, in both themes.
pub async fn pictures(browser: &Browser, name: &str) -> Outcome {
    for (width, theme) in [(390, "light"), (390, "dark"), (1440, "dark"), (1440, "light")] {
        browser.dress(width, theme).await?;
        browser.picture(&format!("{name}-{width}-{theme}")).await?;
    }
    Ok(())
}
