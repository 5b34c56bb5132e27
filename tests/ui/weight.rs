//! What a page weighs for somebody who never came before: the site's files that a browser really loads for it.

use std::collections::BTreeSet;

use tests::{Browser, Outcome, Portal};

/// Script, wasm, style and fonts of one page together, compressed by brotli, in bytes.
const AT_MOST: usize = 200_000;

const ISLANDS_AWAKE: &str = "return document.readyState === 'complete' && \
    (!document.querySelector('leptos-island') || 'live' in document.documentElement.dataset)";
const LOADED: &str = "return performance.getEntriesByType('resource').map((entry) => new URL(entry.name).pathname)\
    .filter((path) => path.startsWith('/pkg/'))";

#[tokio::test]
async fn the_files_of_a_page_weigh_little_stay_in_the_cache_and_the_terminal_is_none_of_them() -> Outcome {
    let portal = Portal::start().await?;
    let browser = Browser::open().await?;
    browser.go(portal.setup_link.as_ref().ok_or("The portal printed no link for the first administrator.")?).await?;
    browser.fill("name", "ada").await?;
    browser.fill("password", "as light as a feather").await?;
    browser.press("Create administrator").await?;
    browser.await_script("return location.pathname === '/'").await?;
    portal.person("ada").await?.order("scratch", "leaf").await?;

    let client = reqwest::Client::builder().no_proxy().build()?;
    for (page, has_islands) in [
        ("/", false),
        ("/catalog/scratch", false),
        ("/profile", false),
        ("/environments", false),
        ("/environments/leaf", true),
        ("/environments/leaf/logs", true),
    ] {
        browser.go(&portal.url(page)).await?;
        browser.await_script(ISLANDS_AWAKE).await?;
        let loaded: BTreeSet<String> = serde_json::from_value(browser.page.execute(LOADED, Vec::new()).await?)?;

        let mut weight = 0;
        for file in &loaded {
            let answer =
                client.get(portal.url(file)).header("accept-encoding", "br").send().await?.error_for_status()?;
            let cached =
                answer.headers().get("cache-control").and_then(|value| value.to_str().ok()).unwrap_or_default();
            assert!(cached.contains("immutable"), "{file} of {page} is cached by {cached:?}");
            weight += answer.bytes().await?.len();
        }
        println!("{page}: {weight} bytes in {} files", loaded.len());
        assert!(weight <= AT_MOST, "{page} loads {weight} bytes: {loaded:#?}");
        for (kind, expected) in [(".css", true), (".js", true), (".woff2", true), (".wasm", has_islands)] {
            assert_eq!(loaded.iter().any(|file| file.ends_with(kind)), expected, "{kind} of {page}: {loaded:#?}");
        }
        assert!(!loaded.iter().any(|file| file.contains("xterm")), "{page} loads the terminal: {loaded:#?}");
    }
    assert_eq!(browser.complaints().await?, Vec::<String>::new());
    Ok(())
}
