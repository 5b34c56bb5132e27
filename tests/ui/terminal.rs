//! The terminal: shells side by side, and what happens to them when the page or the portal goes away.

use fantoccini::key::Key;
use serde_json::json;
use tests::{Browser, Outcome, Portal};

use super::signed_in;

const SCREEN: &str = ".console__screen:not([hidden]) .xterm-rows";

async fn reading_room() -> Outcome<(Portal, Browser)> {
    let portal = Portal::start().await?;
    let browser = signed_in(&portal).await?;
    let api = portal.person("ada").await?;
    api.order("site", "reading-room").await?;
    api.await_state("reading-room", "ready").await?;
    browser.go(&portal.url("/environments/reading-room/servers/web/terminal")).await?;
    connected(&browser).await?;
    Ok((portal, browser))
}

async fn connected(browser: &Browser) -> Outcome {
    browser.await_text("#terminal-state", "Connected").await?;
    Ok(())
}

/// The tabs' labels, the selected one with a star.
async fn tabs(browser: &Browser) -> Outcome<String> {
    let script = "return [...document.querySelectorAll('[role=tab]')].map((tab) => tab.firstChild.data + \
        (tab.getAttribute('aria-selected') === 'true' ? '*' : '')).join(', ')";
    Ok(browser.page.execute(script, Vec::new()).await?.as_str().unwrap_or_default().to_owned())
}

async fn focused_on(browser: &Browser, css: &str) -> Outcome {
    browser.await_script(&format!("return document.activeElement.matches({css:?})")).await?;
    Ok(())
}

#[tokio::test]
async fn shells_on_several_servers_stand_side_by_side_survive_a_reload_and_end_with_their_tab() -> Outcome {
    let (portal, browser) = reading_room().await?;
    browser.await_script("return document.title === 'web in reading-room · Bookend'").await?;
    browser.type_keys("who=first; echo $$ > /tmp/first; echo on-$(hostname)-$who\n").await?;
    browser.await_text(SCREEN, "on-web-first").await?;

    browser.click("[popovertarget=new-terminal]").await?;
    browser.click("[data-new=api]").await?;
    connected(&browser).await?;
    browser.type_keys("echo on-$(hostname)\n").await?;
    browser.await_text(SCREEN, "on-api").await?;
    browser.await_script("return location.pathname === '/environments/reading-room/servers/api/terminal'").await?;
    assert_eq!(browser.page.execute("return document.title", Vec::new()).await?, "api in reading-room · Bookend");
    browser.click("[popovertarget=new-terminal]").await?;
    browser.click("[data-new=web]").await?;
    connected(&browser).await?;
    assert_eq!(tabs(&browser).await?, "web, api, web 2*");
    browser.await_text(SCREEN, "bookend@web").await?;
    browser.picture("terminal-tabs").await?;

    // By keyboard: out of the screen, along the tabs, and round.
    browser.type_keys(&Key::F6.to_string()).await?;
    focused_on(&browser, "[role=tab][aria-selected=true]").await?;
    browser.type_keys(&Key::Right.to_string()).await?;
    assert_eq!(tabs(&browser).await?, "web*, api, web 2");
    browser.await_text(SCREEN, "on-web-first").await?;

    // A reload: the same tabs, the same shells with all that is set in them.
    browser.page.refresh().await?;
    connected(&browser).await?;
    assert_eq!(tabs(&browser).await?, "web*, api, web 2");
    browser.await_text(SCREEN, "on-web-first").await?;
    browser.type_keys("echo again-$who\n").await?;
    browser.await_text(SCREEN, "again-first").await?;

    // A closed tab ends its shell.
    browser.type_keys(&Key::F6.to_string()).await?;
    browser.type_keys(&Key::Delete.to_string()).await?;
    browser.await_text(SCREEN, "on-api").await?;
    assert_eq!(tabs(&browser).await?, "api*, web 2");
    let api = portal.person("ada").await?;
    let gone = "while kill -0 $(cat /tmp/first) 2>/dev/null; do sleep 0.05; done; echo gone";
    let said = portal.cli(&api, &["exec", "-T", "reading-room/web", "--", "sh", "-c", gone]).await?;
    assert_eq!(String::from_utf8_lossy(&said.stdout), "gone\n");
    assert_eq!(browser.complaints().await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_portal_that_restarts_under_an_open_terminal_comes_back_with_the_screen_and_the_shell_as_they_were() -> Outcome
{
    let (mut portal, browser) = reading_room().await?;
    // Asks the terminal where its cursor is, as many programs do: the answer is not to be given twice.
    browser
        .type_keys("kept=safe; printf 'a screen %s\\n' worth-keeping; printf '\\033[6n'; read -rsd R place\n")
        .await?;
    browser.await_text(SCREEN, "a screen worth-keeping").await?;
    browser.page.execute("window.sameAsBefore = true", Vec::new()).await?;
    for orderly in [true, false] {
        if orderly {
            portal.stop().await?
        } else {
            portal.kill().await?
        }
        browser.await_text("#terminal-state", "Connection lost").await?;
        assert!(browser.page.find(fantoccini::Locator::Css(SCREEN)).await?.text().await?.contains("worth-keeping"));
        portal.start_again().await?;
        connected(&browser).await?;
        browser.await_text(SCREEN, "a screen worth-keeping").await?;
        let word = if orderly { "first" } else { "second" };
        browser.type_keys(&format!("echo $kept-{word}\n")).await?;
        browser.await_text(SCREEN, &format!("safe-{word}")).await?;
    }
    let shown = browser.page.find(fantoccini::Locator::Css(SCREEN)).await?.text().await?;
    assert!(!shown.contains("not found") && !shown.contains(";1R"), "something was typed by the screen: {shown}");
    assert_eq!(browser.page.execute("return window.sameAsBefore", Vec::new()).await?, true, "the page was reloaded");
    Ok(())
}

#[tokio::test]
async fn text_is_copied_and_pasted_however_long_and_the_screen_follows_the_window() -> Outcome {
    let (portal, browser) = reading_room().await?;
    let rights = json!({ "origin": portal.url(""), "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
    browser.devtools("Browser.grantPermissions", rights).await?;
    browser.type_keys("echo copy-$((40 + 2))\n").await?;
    browser.await_text(SCREEN, "copy-42").await?;
    // A double click takes the word.
    let script = "const row = [...document.querySelectorAll('.console__screen:not([hidden]) .xterm-rows > div')]\
        .find((row) => row.textContent.startsWith('copy-42')).getBoundingClientRect(); return [row.x + 10, row.y + 5]";
    let place: [f64; 2] = serde_json::from_value(browser.page.execute(script, Vec::new()).await?)?;
    for (kind, count) in [("mousePressed", 1), ("mouseReleased", 1), ("mousePressed", 2), ("mouseReleased", 2)] {
        let mouse = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": count });
        browser.devtools("Input.dispatchMouseEvent", mouse).await?;
    }
    let chord = |letter: &str| format!("{}{}{letter}", char::from(Key::Control), char::from(Key::Shift));
    browser.type_keys(&chord("c")).await?;
    browser.await_script("return navigator.clipboard.readText().then((text) => text.startsWith('copy-42'))").await?;

    // 300 KB of lines, as a paste: all of it arrives, in order.
    browser.type_keys("stty -echo; echo now-pas''te; md5sum; stty echo\n").await?;
    browser.await_text(SCREEN, "now-paste").await?;
    let paste = "const lines = Array.from({ length: 30000 }, (_, at) => `line ${at}`).join('\\n') + '\\n'; \
        const data = new DataTransfer(); data.setData('text/plain', lines); \
        document.activeElement.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true }))";
    browser.page.execute(paste, Vec::new()).await?;
    browser.type_keys(&format!("{}d", char::from(Key::Control))).await?;
    let text: String = (0..30_000).map(|at| format!("line {at}\n")).collect();
    let api = portal.person("ada").await?;
    let mut sum = portal.client_command(&api, &["exec", "-T", "reading-room/web", "--", "md5sum"]);
    let mut sum = sum.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn()?;
    let mut input = sum.stdin.take().ok_or("no input")?;
    tokio::io::AsyncWriteExt::write_all(&mut input, text.as_bytes()).await?;
    drop(input);
    let expected = String::from_utf8(sum.wait_with_output().await?.stdout)?;
    browser.await_text(SCREEN, expected.split_whitespace().next().ok_or("no sum")?).await?;

    browser.dress(390, "light").await?;
    browser.type_keys("echo narrow-$(tput cols)\n").await?;
    let narrow = browser.await_text(SCREEN, "narrow-").await?;
    let columns = narrow.rsplit("narrow-").next().and_then(|rest| rest.split_whitespace().next()?.parse::<u32>().ok());
    assert!(columns.is_some_and(|columns| (30..70).contains(&columns)), "{narrow}");
    // What a phone's keyboard has not.
    browser.type_keys("echo by-arrow\n").await?;
    browser.click("[data-key=up]").await?;
    browser.click("[data-control]").await?;
    browser.type_keys("a").await?;
    browser.type_keys("echo front; \n").await?;
    browser.await_text(SCREEN, "front\nby-arrow").await?;
    browser.picture("terminal-phone").await?;
    Ok(())
}
