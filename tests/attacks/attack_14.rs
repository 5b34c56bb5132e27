//! Attack 14: names, notes, tags, timelines, parameters and log lines that are markup, script, right-to-left text, emoji or
//! endless. Shown in a real browser, they stay text in their own element: nothing runs, nothing sticks out.

use app::api::Role;
use reqwest::Method;
use serde_json::{Value, json};
use tests::house::{PASSWORD, Plan};
use tests::{Browser, Guest, House, Outcome};

/// Each would set `window.pwned` if it ran, or end its element early.
const TRICKS: [&str; 8] = [
    "<img src=x onerror=window.pwned=1>",
    "<script>window.pwned=2</script>",
    "</textarea></pre></td></li><svg onload=window.pwned=3>",
    "\"><input autofocus onfocus=window.pwned=4>",
    "' onmouseover='window.pwned=5",
    "{{constructor.constructor('window.pwned=6')()}}",
    "<!-- <a href=\"javascript:window.pwned=7\">x</a> -->",
    "\u{202e}gnirts\u{202c} مرحبا שלום 🙂👩\u{200d}👧",
];

/// Its set-up prints what it was given, line by line, and fails with it as its last words.
const ECHO: &str = r#"name: echo
version: "1"
title: Echo
summary: Says what it heard, and fails.
category: Trouble
parameters:
  words: {type: string, title: Words, multiline: true, max_length: 1000}
servers:
  box:
    setup: |
      printf '%s\n' "$BOOKEND_PARAM_WORDS" >&2
      exit 3
"#;

async fn said(guest: &Guest, environment: &str, change: &Value) -> Outcome<u16> {
    let request = guest.request(Method::PATCH, &format!("/environments/{environment}")).json(change);
    Ok(request.send().await?.status().as_u16())
}

/// Nothing of it ran or became an element, and the page is no wider than a phone.
async fn stays_text(browser: &Browser, house: &House, path: &str, words: &[&str]) -> Outcome {
    for width in [390, 1440] {
        browser.dress(width, "light").await?;
        browser.go(&house.url(path)).await?;
        browser
            .await_script(
                "return document.readyState === 'complete' && \
                 (!document.querySelector('leptos-island') || 'live' in document.documentElement.dataset)",
            )
            .await?;
        let shown = browser.page.execute("return document.body.innerText", Vec::new()).await?;
        let shown = shown.as_str().unwrap_or_default();
        for word in words {
            assert!(shown.contains(word), "{path} does not show {word:?}: {shown}");
        }
        let found = "return [window.pwned ?? null, \
            document.querySelectorAll('main :is(img, script:not([src]), [onerror], [onload], [onfocus], [onmouseover])').length, \
            document.querySelectorAll('a[href^=\"javascript\" i]').length, \
            Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth)]";
        let found = browser.page.execute(found, Vec::new()).await?;
        assert_eq!(found, json!([null, 0, 0, 0]), "{path} at {width}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_written_anywhere_is_shown_as_text_where_it_belongs() -> Outcome {
    let house = House::built(Plan { templates: vec![("echo.yaml", ECHO.to_string())], ..Plan::default() }).await?;
    let ann = house.resident("default", "ann", Role::User).await?;
    let endless = "x".repeat(300);
    let words = TRICKS.join("\n") + "\n" + &endless;
    let order = json!({ "template": "echo", "name": "shop", "parameters": { "words": words } });
    ann.post("/environments", &order).await?.expect_success()?;
    let api = ann.api()?;
    api.await_that("shop", "failed", |now| now["state"] == "failed").await?;

    // A name and a tag are narrow: none of it becomes one.
    for trick in TRICKS.iter().copied().chain([endless.as_str()]) {
        let order = json!({ "template": "echo", "name": trick, "parameters": { "words": "" } });
        assert_eq!(ann.post("/environments", &order).await?.status, 422, "{trick}");
        for change in [json!({ "name": trick }), json!({ "tags": [trick] })] {
            assert_eq!(said(&ann, "shop", &change).await?, 422, "{change}");
        }
    }
    // A note is anything; a tag may be of any script.
    let change = json!({ "note": words, "tags": ["مرحبا", "שלום", "größe", "x".repeat(40)] });
    assert_eq!(said(&ann, "shop", &change).await?, 200);

    let browser = Browser::open().await?;
    browser.go(&house.url("/sign-in")).await?;
    browser.fill("name", "ann").await?;
    browser.fill("password", PASSWORD).await?;
    browser.press("Sign in").await?;
    browser.await_script("return location.pathname === '/'").await?;
    let lines = ["<img src=x onerror=window.pwned=1>", "שלום"];
    stays_text(&browser, &house, "/environments/shop", &lines).await?;
    stays_text(&browser, &house, "/environments/shop/logs", &lines).await?;
    stays_text(&browser, &house, "/environments/shop/edit", &[]).await?;
    let kept = browser.page.execute("return document.querySelector('#note').value", Vec::new()).await?;
    assert!(kept.as_str().is_some_and(|kept| kept.contains(TRICKS[2])), "the form shows it as it is: {kept}");
    // A form that is refused shows what was typed, in its fields.
    let typed = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("name", TRICKS[3]), ("parameters.words", &words)])
        .finish();
    let refused = ann.in_browser(Method::POST, "/catalog/echo").body(typed);
    let refused = refused.header("content-type", "application/x-www-form-urlencoded").send().await?;
    assert_eq!(refused.status(), 422);
    let refused = refused.text().await?;
    assert!(refused.contains("&lt;img src=x") && !refused.contains("<img") && !refused.contains("<input autofocus"));
    stays_text(&browser, &house, "/environments", &["shop", "مرحبا"]).await?;
    for trick in TRICKS {
        let search: String = url::form_urlencoded::byte_serialize(trick.as_bytes()).collect();
        for path in
            [format!("/environments?search={search}"), format!("/environments/{search}"), format!("/?q={search}")]
        {
            stays_text(&browser, &house, &path, &[]).await?;
        }
    }
    assert!(
        !browser.complaints().await?.iter().any(|said| said.contains("Content Security Policy")),
        "nothing even tried"
    );
    api.act("shop", "delete").await.map(drop)
}
