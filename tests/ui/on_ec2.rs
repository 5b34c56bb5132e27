//! The main job on EC2, as whoever types `cargo xtask up --fake-ec2` finds it: the same pages, and servers that Amazon has.

use rustix::process::Signal;
use tests::tryout::{self, Tryout};
use tests::{Browser, Outcome};

use super::become_administrator;

#[tokio::test]
async fn a_person_orders_on_ec2_without_an_account_parks_resumes_and_finds_everything() -> Outcome {
    let mut tryout = Tryout::start().await?;
    let said = tryout.said()?;
    assert!(said.contains("comes up on “amazon”, a make-believe Amazon EC2 on this machine"), "{said}");
    let browser = become_administrator(tryout.setup_link.as_ref()).await?;

    // Three servers, which become ready before one's eyes.
    browser.click("a[href=\"/catalog/queue\"]").await?;
    browser.fill("name", "primes").await?;
    browser.press("Order 3 servers").await?;
    let page = tryout.url("/environments/primes");
    browser.await_script(&format!("return location.href === {page:?}")).await?;
    browser.page.execute("window.sameAsBefore = true", Vec::new()).await?;
    browser.picture("on-ec2-1-ordered").await?;
    await_state(&browser, "ready").await?;
    assert_eq!(browser.page.execute("return window.sameAsBefore", Vec::new()).await?, true, "the page was reloaded");
    browser.picture("on-ec2-2-ready").await?;
    let instances = tryout.ours("instances").await?;
    assert_eq!(instances.len(), 3, "{instances:#?}");
    let volumes = tryout.ours("volumes").await?;
    assert!(matches!(volumes.as_slice(), [one] if one["attached"][0].is_string()), "{volumes:#?}");

    // Through a port, and through the terminal.
    let app = "return document.querySelector('[aria-labelledby=server-web] a[target=_blank]')?.href";
    let app = browser.await_script(app).await?.as_str().ok_or("The button of the port leads nowhere.")?.to_owned();
    browser
        .in_new_tab(async || {
            browser.go(&app).await?;
            browser.await_text("h1", "Prime counter").await?;
            browser.fill("upto", "1000").await?;
            browser.press("Go").await?;
            browser.await_text("li", "168").await.map(drop)
        })
        .await?;
    browser.click("[aria-labelledby=server-queue] a[href$=\"/terminal\"]").await?;
    browser.await_text("#terminal-state", "Connected").await?;
    browser.type_keys("echo kept on a volume > /data/ink && echo $((6 * 7)) done\n").await?;
    browser.await_text(".xterm-rows", "42 done").await?;
    browser.picture("on-ec2-3-terminal").await?;

    // Parked: Amazon has the volume, and nothing that runs.
    browser.go(&page).await?;
    browser.press("Park").await?;
    await_state(&browser, "parked").await?;
    assert_eq!(tryout.ours("instances").await?, Vec::<serde_json::Value>::new());
    assert_eq!(tryout.ours("volumes").await?.len(), 1);

    // Resumed: other instances, and the data of before.
    browser.press("Resume").await?;
    await_state(&browser, "ready").await?;
    let resumed = tryout.ours("instances").await?;
    assert_eq!(resumed.len(), 3);
    assert!(resumed.iter().all(|one| instances.iter().all(|before| before["id"] != one["id"])), "{resumed:#?}");
    browser
        .in_new_tab(async || {
            browser.go(&app).await?;
            browser.await_text("li", "168").await.map(drop)
        })
        .await?;
    browser.click("[aria-labelledby=server-queue] a[href$=\"/terminal\"]").await?;
    browser.await_text("#terminal-state", "Connected").await?;
    browser.type_keys("cat /data/ink\n").await?;
    browser.await_text(".xterm-rows", "kept on a volume").await?;

    // Deleted: nothing is left of it.
    browser.go(&page).await?;
    browser.press("Delete…").await?;
    browser.fill("confirm", "primes").await?;
    browser.click("#confirm-delete button[type=submit]").await?;
    await_state(&browser, "deleted").await?;
    for kind in ["instances", "volumes", "groups"] {
        assert_eq!(tryout.ours(kind).await?, Vec::<serde_json::Value>::new(), "{kind}");
    }
    assert_eq!(browser.complaints().await?, Vec::<String>::new());

    // Ctrl-C ends all of it.
    assert!(tryout.end(Signal::INT).await?.success(), "{}", tryout.said()?);
    tryout.until_nothing_is_left().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_tried_out_ends_with_a_portal_that_is_killed() -> Outcome {
    let mut tryout = Tryout::start().await?;
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(tryout.provisioners())?.permissions());
    assert_eq!(mode & 0o777, 0o600);
    let api = tryout.person("root").await?;
    api.order("scratch", "box").await?;
    api.await_state("box", "ready").await?;
    assert!(tryout.processes().iter().any(|process| process.command.contains("bookend-agent")));

    // Whoever starts another one on the same port hears of it, and disturbs nothing.
    let home = tempfile::tempdir()?;
    let second = tryout::refused(home.path(), &tryout.address.to_string())?;
    let said = String::from_utf8(second.stderr)?;
    assert!(!second.status.success() && said.contains("choose another port with --listen"), "{said}");

    tryout.end(Signal::KILL).await?;
    tryout.until_nothing_is_left().await
}

async fn await_state(browser: &Browser, state: &str) -> Outcome {
    let badge = format!("return !!document.querySelector('.page-header .badge[data-state={state}]')");
    browser.await_script(&badge).await.map(drop)
}
