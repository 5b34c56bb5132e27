//! Logs: found, narrowed, taken away, and followed however many there are.

use serde_json::Value;
use tests::{Browser, Outcome, Portal, Setting};

use super::signed_in;

/// Says odd things once, writes 2,000 quiet lines, and from a word on 10,000 lines a second.
const TALKER: &str = r#"name: talker
version: "1"
title: Talker
summary: Talks.
category: Tests
servers:
  box:
    requires: [python3]
    startup: |
      cat > "$HOME/talk.py" <<'PYTHON'
      import os, sys, time
      print("2026-11-21 10:00:00 ERROR the <b>Shelf</b> is full & \033[31mred\033[0m")
      print("WARN a shelf may be nearly full; level of it: high")
      print("INFO \u202eright to left\u202c \u05d0\u05d1\u05d2 and \U0001f4da, " + "long " * 80)
      for number in range(2000): print(f"quiet line {number}")
      sys.stdout.flush()
      while not os.path.exists("/tmp/flood"): time.sleep(0.05)
      number, begun = 0, time.monotonic()
      while True:
          while number < (time.monotonic() - begun) * 10000:
              print(f"flood line {number}")
              number += 1
          sys.stdout.flush()
          time.sleep(0.01)
      PYTHON
    services:
      main: {command: PYTHONIOENCODING=utf-8 python3 -u "$HOME/talk.py"}
"#;

async fn talking() -> Outcome<(Portal, Browser)> {
    let folder = tempfile::Builder::new().prefix("bookend-test-templates-").tempdir()?;
    std::fs::write(folder.path().join("talker.yaml"), TALKER)?;
    let templates = folder.path().to_str().ok_or("a path that is no text")?;
    let portal = Setting::new()?.options(&["--templates", templates]).start().await?;
    let browser = signed_in(&portal).await?;
    let api = portal.person("ada").await?;
    api.order("talker", "talk").await?;
    api.await_state("talk", "ready").await?;
    // Until the last of the quiet lines is stored.
    browser.go(&portal.url("/environments/talk/logs")).await?;
    browser.await_text(".log", "quiet line 1999").await?;
    Ok((portal, browser))
}

async fn count(browser: &Browser, css: &str) -> Outcome<u64> {
    let script = format!("return document.querySelectorAll({css:?}).length");
    Ok(browser.page.execute(&script, Vec::new()).await?.as_u64().unwrap_or_default())
}

#[tokio::test]
async fn lines_are_found_by_their_words_and_level_earlier_ones_are_a_link_away_and_all_can_be_taken_along() -> Outcome {
    let (portal, browser) = talking().await?;
    // Search: where it stands is marked, and what is written is shown as it is written.
    browser.fill("search", "shelf").await?;
    browser.press("Search").await?;
    browser.await_text(".log", "the <b>Shelf</b> is full & red").await?;
    assert_eq!((count(&browser, ".log__line").await?, count(&browser, ".log mark").await?), (2, 2));
    assert_eq!(count(&browser, ".log b, .log img").await?, 0, "a line became part of the page");
    assert_eq!(browser.await_text("mark", "Shelf").await?, "Shelf");
    browser.picture("logs-search").await?;

    // Level: applies as soon as it is chosen, and the address carries it.
    browser.page.find(fantoccini::Locator::Css("[name=level]")).await?.select_by_value("error").await?;
    browser
        .await_script("return location.search.includes('level=error') && document.readyState === 'complete'")
        .await?;
    assert_eq!(count(&browser, ".log__line").await?, 1);
    browser.go(&portal.url("/environments/talk/logs?level=warn")).await?;
    assert_eq!(count(&browser, ".log__line[data-level=error]").await?, 1);
    assert_eq!(count(&browser, ".log__line").await?, 2);
    browser.go(&portal.url("/environments/talk/logs?search=no+such+thing")).await?;
    browser.await_text(".log-empty", "No stored line is like that").await?;

    // Earlier lines, page after page, none twice and none left out.
    browser.go(&portal.url("/environments/talk/logs?search=quiet+line")).await?;
    let mut seen: Vec<String> = Vec::new();
    loop {
        let script = "return [...document.querySelectorAll('.log__text')].map((one) => one.textContent)";
        let shown: Vec<String> = serde_json::from_value(browser.page.execute(script, Vec::new()).await?)?;
        seen.splice(0..0, shown);
        if count(&browser, ".log__earlier").await? == 0 {
            break;
        }
        let before = browser.page.current_url().await?;
        browser.press("Earlier lines").await?;
        browser
            .await_script(&format!(
                "return location.href !== {:?} && document.readyState === 'complete'",
                before.as_str()
            ))
            .await?;
    }
    assert_eq!(seen, (0..2000).map(|number| format!("quiet line {number}")).collect::<Vec<_>>());
    browser.press("To the newest lines").await?;
    browser.await_text(".log", "quiet line 1999").await?;

    // Download: everything that is stored, as text; the same by the command line for whoever wants a part.
    let api = portal.person("ada").await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let whole = http.get(portal.url("/api/v1/environments/talk/logs/download?server=box")).bearer_auth(api.token());
    let whole = whole.send().await?.error_for_status()?;
    assert_eq!(whole.headers()["content-disposition"], "attachment; filename=\"talk-box.log\"");
    let whole = whole.text().await?;
    assert!(whole.lines().next().is_some_and(|line| line.starts_with("20") && line.contains("Z box/")), "{whole}");
    let quiet = whole.lines().filter(|line| line.contains(" box/main quiet line ")).count();
    assert_eq!(quiet, 2000);
    let part = portal.cli(&api, &["logs", "talk", "--search", "SHELF", "--level", "warn", "--since", "1h"]).await?;
    let part = String::from_utf8(part.stdout)?;
    assert_eq!(part.lines().count(), 2, "{part}");
    assert_eq!(browser.complaints().await?, Vec::<String>::new());
    Ok(())
}

/// Memory in use by the portal, in MiB.
fn memory(portal: &Portal) -> Outcome<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", portal.process_id().ok_or("no portal")?))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no memory")?;
    Ok(line.split_whitespace().next().ok_or("no number")?.parse::<u64>()? / 1024)
}

#[tokio::test]
async fn ten_thousand_lines_a_second_leave_the_page_usable_and_say_how_many_were_skipped() -> Outcome {
    let (portal, browser) = talking().await?;
    let before = memory(&portal)?;
    let api = portal.person("ada").await?;
    let begin = ["exec", "-T", "talk/box", "--", "touch", "/tmp/flood"];
    assert!(portal.cli(&api, &begin).await?.status.success());
    // Followed until 60,000 lines have gone by.
    let number =
        "Number([...document.querySelectorAll('.log__text')].at(-1)?.textContent.match(/flood line (\\d+)/)?.[1] ?? 0)";
    browser.await_script(&format!("return {number} > 60000")).await?;
    let said = browser.await_text(".log__skipped", "lines came too quickly to be shown").await?;
    assert!(
        said.split_whitespace().next().is_some_and(|count| count.parse::<u64>().is_ok_and(|count| count > 0)),
        "{said}"
    );
    assert!(count(&browser, "#log-lines > *").await? <= 2000, "the page keeps within its bound");
    browser.picture("logs-flood").await?;

    // It can still be used: who stops following stands still, and other pages come.
    browser.click(".log-tools input").await?;
    let script = "return document.querySelector('.log').scrollTop";
    let place = browser.page.execute(script, Vec::new()).await?;
    assert_ne!(place, Value::from(0));
    browser
        .in_new_tab(async || {
            for (page, heading) in [("/", "Catalog"), ("/environments/talk", "talk"), ("/profile", "ada")] {
                browser.go(&portal.url(page)).await?;
                browser.await_text("h1", heading).await?;
            }
            Ok(())
        })
        .await?;
    let grown = memory(&portal)?.saturating_sub(before);
    assert!(grown < 200, "the portal has grown by {grown} MiB");
    api.act("talk", "delete").await?;
    Ok(())
}
