//! My environments: sorted, narrowed, ticked, and asked for the same together.

use app::api::Role;
use reqwest::Method;
use serde_json::json;
use tests::house::PASSWORD;
use tests::{Browser, Guest, House, Outcome};

/// Posts the list's form as a browser without script does.
async fn post(guest: &Guest, fields: &[(&str, &str)]) -> Outcome<(u16, String)> {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = guest.in_browser(Method::POST, "/environments?sort=name").body(body);
    let answer = request.header("content-type", "application/x-www-form-urlencoded").send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn several_environments_are_parked_and_deleted_together_and_none_keeps_the_others_from_it() -> Outcome {
    let house = House::open().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    let ben = house.guest("default", "ben", Role::User).await?;
    for name in ["attic", "cellar"] {
        ann.order("scratch", name).await?;
    }
    ben.order("scratch", "bens").await?;
    for name in ["attic", "cellar"] {
        ann.api()?.await_state(name, "ready").await?;
    }
    ben.api()?.await_state("bens", "ready").await?;

    // First what it will do, and to which of them; nothing has happened yet.
    let all = [("environment", "attic"), ("environment", "bens"), ("environment", "gone"), ("environment", "cellar")];
    let park: Vec<_> = all.iter().copied().chain([("action", "park")]).collect();
    let (status, page) = post(&ann, &park).await?;
    assert_eq!(status, 200);
    for words in
        ["Park 2 environments?", "Takes the servers down", "only ben and administrators", "There is no environment"]
    {
        assert!(page.contains(words), "{words:?} is missing in {page}");
    }
    assert_eq!(ann.get("/environments/attic").await?.body["state"], "ready");

    let confirmed: Vec<_> = park.iter().copied().chain([("confirmed", "yes")]).collect();
    let (_, page) = post(&ann, &confirmed).await?;
    for words in ["Parking 2 of 4 environments", "belongs to ben", "There is no environment “gone”"] {
        assert!(page.contains(words), "{words:?} is missing in {page}");
    }
    for name in ["attic", "cellar"] {
        ann.api()?.await_state(name, "parked").await?;
    }
    assert_eq!(ben.get("/environments/bens").await?.body["state"], "ready", "it was let alone");

    // Deleting takes typing, and the wrong number deletes nothing.
    let delete = [("environment", "attic"), ("environment", "cellar"), ("action", "delete")];
    let (_, page) = post(&ann, &[&delete[..], &[("confirmed", "3")]].concat()).await?;
    assert!(page.contains("Type 2, or the word delete."), "{page}");
    assert_eq!(ann.get("/environments/attic").await?.body["state"], "parked");
    let (_, page) = post(&ann, &[&delete[..], &[("confirmed", "2")]].concat()).await?;
    assert!(page.contains("Deleting 2 environments"), "{page}");
    let (status, page) = post(&ann, &[("action", "park")]).await?;
    assert!(status == 200 && page.contains("Nothing was ticked"), "{page}");
    let (status, _) = post(&ann, &[("environment", "bens"), ("action", "explode")]).await?;
    assert_eq!(status, 422);

    // The same for programs.
    let wish = json!({ "action": "park", "environments": ["bens", "none", "bens"] });
    let answer = ben.post("/actions", &wish).await?.expect_success()?;
    assert_eq!(answer.as_array().map(Vec::len), Some(2));
    assert_eq!((&answer[0]["state"], &answer[0]["problem"]), (&json!("parking"), &json!(null)));
    assert_eq!(answer[1]["problem"]["status"], 404);
    ben.api()?.await_state("bens", "parked").await?;
    ben.api()?.act("bens", "delete").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_stays_current_keeps_its_ticks_and_remembers_how_it_is_to_look() -> Outcome {
    let house = House::open().await?;
    let ann = house.resident("default", "ann", Role::User).await?;
    ann.order("scratch", "one").await?;
    ann.api()?.await_state("one", "ready").await?;
    let browser = Browser::open().await?;
    browser.go(&house.url("/sign-in?next=%2Fenvironments%3Fsort%3Dname")).await?;
    browser.fill("name", "ann").await?;
    browser.fill("password", tests::house::PASSWORD).await?;
    browser.press("Sign in").await?;
    browser.await_text(".connection", "Live").await?;
    browser.click("input.tick[value=one]").await?;
    browser.await_text("[data-ticked]", "1 ticked").await?;

    // Another one arrives, and the first changes, without reload; the tick stays where it was.
    browser.page.execute("window.unreloaded = true", Vec::new()).await?;
    ann.order("scratch", "another").await?;
    browser.await_text(".row__link", "another").await?;
    ann.api()?.act("one", "park").await?;
    browser.await_text(".row:has(input[value=one]) .badge", "Parked").await?;
    let kept = "return window.unreloaded && document.querySelector('input[value=one]').checked \
        && !document.querySelector('input[value=another]').checked";
    browser.await_script(kept).await?;
    let names = "return [...document.querySelectorAll('.row__link')].map(one => one.textContent).join()";
    assert_eq!(browser.page.execute(names, Vec::new()).await?, "another,one");

    browser.press("Tick all 2 here").await?;
    browser.await_text("[data-ticked]", "2 ticked").await?;
    browser.press("Delete…").await?;
    browser.await_text("h1", "Delete 2 environments?").await?;
    browser.press("Leave them as they are").await?;

    browser.click("[aria-label='As cards']").await?;
    browser.await_text(".plate .row__link", "another").await?;
    browser.go(&house.url("/environments")).await?;
    browser.await_text(".plate .row__link", "one").await?;
    assert_eq!(browser.complaints().await?, Vec::<String>::new());
    for name in ["one", "another"] {
        ann.api()?.act(name, "delete").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn among_ten_thousand_environments_the_one_looked_for_is_a_few_letters_away() -> Outcome {
    let house = House::open().await?;
    let ann = house.resident("default", "ann", Role::User).await?;
    let model = ann.order("scratch", "model").await?;
    ann.api()?.await_state("model", "ready").await?;
    ann.api()?.act("model", "park").await?;
    ann.api()?.await_state("model", "parked").await?;
    let model = model["id"].as_str().ok_or("an environment without an id")?;
    tests::copies::write(&house.data_directory(), model, 0..10_000).await?;

    let browser = Browser::open().await?;
    browser.go(&house.url("/sign-in")).await?;
    browser.fill("name", "ann").await?;
    browser.fill("password", PASSWORD).await?;
    browser.press("Sign in").await?;
    browser.await_text("h1", "Catalog").await?;
    browser.go(&house.url("/environments?view=table&sort=name")).await?;
    let names = "return [...document.querySelectorAll('.row__link')].map((one) => one.textContent)";
    let first: Vec<String> = serde_json::from_value(browser.page.execute(names, Vec::new()).await?)?;
    assert!(first.is_sorted() && first[0] == "copy-0" && first.len() <= 100, "one page of them: {first:?}");
    browser.press("Next page").await?;
    browser.await_script("return location.search.includes('cursor')").await?;
    let second: Vec<String> = serde_json::from_value(browser.page.execute(names, Vec::new()).await?)?;
    assert!(second.is_sorted() && second[0] > first[first.len() - 1], "the next in the same order: {second:?}");

    // Found among all, not among those on the page; what is ticked there is what is there.
    browser.go(&house.url("/environments?view=table")).await?;
    browser.fill("search", "copy-9999").await?;
    browser.press("Find").await?;
    browser.await_script("return location.search.includes('search=copy-9999')").await?;
    assert_eq!(browser.page.execute(names, Vec::new()).await?, json!(["copy-9999"]));
    browser.press("Tick all 1 here").await?;
    browser.press("Resume…").await?;
    browser.await_text("h1", "Resume 1 environment?").await?;
    browser.press("Leave them as they are").await?;

    // And by the palette, from any page.
    browser.go(&house.url("/profile")).await?;
    browser.click(".find").await?;
    browser.await_script("return document.activeElement.matches('.palette input')").await?;
    browser.type_keys("copy-9998").await?;
    browser.await_text(".palette__title", "copy-9998").await?;
    assert_eq!(browser.complaints().await?, Vec::<String>::new());
    Ok(())
}
