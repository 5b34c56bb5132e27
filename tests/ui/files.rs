//! Files of volumes and snapshots in the browser: walked through, put there, compared, brought back.

use app::api::Role;
use fantoccini::Locator;
use serde_json::{Value, json};
use tests::house::PASSWORD;
use tests::{Browser, House, Outcome};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_puts_a_file_into_a_volume_and_brings_an_older_one_back() -> Outcome {
    let house = House::open().await?;
    let ann = house.resident("default", "ann", Role::User).await?;
    ann.order("site", "shop").await?;
    ann.api()?.await_state("shop", "ready").await?;
    let script = "mkdir /site/notes; echo first > /site/notes/word; ln -s /etc/passwd /site/notes/link; \
        echo x > \"/site/notes/<b>bold\"";
    ann.exec("shop", "api", &["sh", "-c", script]).await?;
    ann.post("/environments/shop/snapshots", &json!({ "label": "Before" })).await?.expect_success()?;
    let complete = |all: &Value| all[0]["state"] == "complete";
    ann.api()?.await_below("shop", "/snapshots", "complete", complete).await?;

    let browser = Browser::open().await?;
    browser.go(&house.url("/sign-in?next=%2Fenvironments%2Fshop")).await?;
    browser.fill("name", "ann").await?;
    browser.fill("password", PASSWORD).await?;
    browser.press("Sign in").await?;
    browser.await_text("h1", "shop").await?;
    browser.press("Files").await?;
    browser.await_text("h1", "Files").await?;
    browser.press("notes").await?;
    browser.await_text(".files__path", "notes").await?;
    browser.await_text(".files__name", "<b>bold").await?;
    browser.await_text(".files__name", "→ /etc/passwd").await?;

    let place = tempfile::tempdir()?;
    std::fs::write(place.path().join("word"), "second")?;
    let file = place.path().join("word").display().to_string();
    let choose = async || -> Outcome { Ok(browser.page.find(Locator::Css("#file")).await?.send_keys(&file).await?) };
    choose().await?;
    browser.press("Upload").await?;
    browser.await_text(".notice", "There is already a “notes/word”").await?;
    choose().await?;
    browser.click("[name=replace]").await?;
    browser.press("Upload").await?;
    browser.await_text(".notice", "word is uploaded").await?;
    assert_eq!(ann.exec("shop", "api", &["cat", "/site/notes/word"]).await?.0, "second");

    // As slow as a line can be, so that there is time to change one's mind.
    std::fs::write(place.path().join("large"), vec![b'x'; 4 << 20])?;
    let slow = json!({ "offline": false, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 128 << 10 });
    browser.devtools("Network.enable", json!({})).await?;
    browser.devtools("Network.emulateNetworkConditions", slow).await?;
    let large = place.path().join("large").display().to_string();
    browser.page.find(Locator::Css("#file")).await?.send_keys(&large).await?;
    browser.press("Upload").await?;
    browser.await_text(".files__going", "left").await?;
    browser.picture("upload-under-way").await?;
    browser.press("Cancel").await?;
    browser.await_text(".files__going", "Cancelled").await?;
    let fast = json!({ "offline": false, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
    browser.devtools("Network.emulateNetworkConditions", fast).await?;
    assert_eq!(ann.exec("shop", "api", &["ls", "/site/notes"]).await?.0, "<b>bold\nlink\nword\n");

    // The way back is in the page's head, and the form at its end.
    browser.page.execute("scrollTo(0, 0)", Vec::new()).await?;
    browser.press("Snapshots").await?;
    browser.await_text("h1", "Snapshots").await?;
    browser.click(".snapshot__label summary").await?;
    browser.click(".snapshot__label input[name=label]").await?;
    browser.type_keys(" lunch").await?;
    browser.press("Save").await?;
    browser.await_text(".list__name", "Before lunch").await?;
    browser.press("Verify").await?;
    browser.await_text(".notice", "The snapshot is what was taken").await?;
    browser.press("Until now").await?;
    browser.await_text("h1", "Compare").await?;
    browser.await_text(".compare__change", "notes/word").await?;

    browser.press("Snapshots").await?;
    browser.click(".snapshot__looks a").await?;
    browser.await_text("h1", "Files").await?;
    browser.press("notes").await?;
    browser.await_text(".files__path", "notes").await?;
    browser.click(".files__row:last-child summary").await?;
    browser.press("Replace what is there").await?;
    browser.await_text(".notice", "word is back").await?;
    assert_eq!(ann.exec("shop", "api", &["cat", "/site/notes/word"]).await?.0, "first\n");
    // The form that was refused told of it with its status, which browsers write down.
    let others: Vec<_> = browser.complaints().await?.into_iter().filter(|one| !one.contains("409")).collect();
    assert_eq!(others, Vec::<String>::new());
    ann.api()?.act("shop", "delete").await?;
    Ok(())
}
