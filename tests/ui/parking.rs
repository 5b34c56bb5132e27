//! What parking keeps, costs and how long the way back is: told where somebody decides, and while it is so.

use tests::tryout::Tryout;
use tests::{Browser, Outcome};

use super::{become_administrator, pictures};

/// Two servers that are stopped and not taken away: 8 GiB of disk each, and 3 GiB of volumes.
const WORKSHOP: &str = r#"
name: workshop
version: "1.0.0"
title: Workshop
summary: A bench and a shelf that stand by when they are parked.
category: Basics
park: stop
servers:
  bench: {}
  shelf: {}
volumes:
  plans: {size: 1 GiB, mounts: {bench: /plans}}
  wood: {size: 2 GiB, mounts: {shelf: /wood}}
"#;

const KEEPS: &str = "Parked, its servers are stopped on their own disks; its volumes (3 GiB), names and settings stay.";
/// 19 GiB at $0.08.
const COSTS: &str =
    "While parked it costs about $1.52 a month, and about $0.05 a month for each GiB that its snapshots hold.";
const RESUMES: &str = "Coming back starts the same servers; nothing is set up anew.";
/// Before anybody has had one, and before anybody has resumed one.
const NOBODY_KNOWS: &str = "None was ready here lately, so nobody knows how long that is.";
const ONE_WAS_ORDERED: &str = "A new order, which is more to do, took about ";

#[tokio::test]
async fn whoever_parks_on_ec2_knows_before_and_meanwhile_what_stays_what_it_costs_and_how_long_the_way_back_is()
-> Outcome {
    let tryout = Tryout::offering("workshop", WORKSHOP, &[]).await?;
    let browser = become_administrator(tryout.setup_link.as_ref()).await?;

    // Where it is ordered.
    browser.click("a[href=\"/catalog/workshop\"]").await?;
    browser.await_text("#parked", KEEPS).await?;
    browser.await_text("#parked", COSTS).await?;
    browser.await_text("#parked", &format!("{RESUMES} {NOBODY_KNOWS}")).await?;
    browser.await_text("#order", COSTS).await?;
    pictures(&browser, "parking-1-template").await?;
    browser.page.execute("document.querySelector('#parked').scrollIntoView({ block: 'center' })", Vec::new()).await?;
    browser.picture("parking-1-template-below").await?;
    browser.fill("name", "shop").await?;
    browser.press("Order 2 servers").await?;

    // Where it is parked, and while it is.
    await_state(&browser, "ready").await?;
    let whole = format!("{KEEPS} {COSTS} {RESUMES} {ONE_WAS_ORDERED}");
    browser.await_text(".actions__consequence", &whole).await?;
    pictures(&browser, "parking-2-ready").await?;
    browser.press("Park").await?;
    await_state(&browser, "parked").await?;
    browser.await_text(".environment__sentence", &whole).await?;
    pictures(&browser, "parking-3-stopped").await?;

    // Once it has come back, what that took is known.
    browser.press("Resume").await?;
    await_state(&browser, "ready").await?;
    browser.await_text(".actions__consequence", "Coming back took about ").await?;
    let api = tryout.person("ada").await?;
    let told = api.environment("shop").await?;
    assert_eq!((&told["park"]["mode"], &told["park"]["monthly_cents"]), (&"stop".into(), &152.into()));
    assert!(told["park"]["resume_ms"].as_i64().is_some_and(|took| took > 0), "{told:#}");
    assert_eq!(browser.complaints().await?, Vec::<String>::new());
    Ok(())
}

/// Each of the other ways: what it is called in templates, what stays, what that costs, and what is done on the way back. One server
/// with 8 GiB of disk of its own, 2 GiB of memory to keep, and 1 GiB of a volume.
const OTHERS: [(&str, &str, &str, &str); 3] = [
    (
        "volumes",
        "Parked, its servers are gone; its volume (1 GiB), names and settings stay.",
        "While parked it costs about $0.08 a month, and about $0.05 a month for each GiB that its snapshots hold.",
        "Coming back takes as long as a new order.",
    ),
    (
        "snapshot",
        "Parked, its servers and volumes are gone; what its volumes hold is in a snapshot, names and settings stay.",
        "While parked it costs about $0.05 a month for each GiB that its snapshots hold.",
        "Coming back takes as long as a new order, and its volumes have to be made again.",
    ),
    (
        "hibernate",
        "Parked, its servers are stopped on their own disks, with what is in their memory; its volume (1 GiB), names and \
         settings stay.",
        "While parked it costs about $0.88 a month, and about $0.05 a month for each GiB that its snapshots hold.",
        "Coming back starts the same servers; nothing is set up anew.",
    ),
];

#[tokio::test]
async fn whichever_way_a_template_parks_its_pages_say_what_stays_what_it_costs_and_how_long_the_way_back_is() -> Outcome
{
    let template = |mode: &str| {
        format!(
            "name: {mode}\nversion: \"1.0.0\"\ntitle: {mode}\nsummary: A bench.\ncategory: Basics\npark: {mode}\n\
             servers: {{bench: {{}}}}\nvolumes:\n  plans: {{size: 1 GiB, mounts: {{bench: /plans}}}}\n"
        )
    };
    let texts = OTHERS.map(|(mode, ..)| (mode, template(mode)));
    let catalog: Vec<(&str, &str)> = texts.iter().map(|(mode, text)| (*mode, text.as_str())).collect();
    let tryout = Tryout::offering_all(&catalog, &[]).await?;
    let browser = become_administrator(tryout.setup_link.as_ref()).await?;
    let api = tryout.person("ada").await?;
    for (mode, keeps, costs, back) in OTHERS {
        browser.go(&tryout.url(&format!("/catalog/{mode}"))).await?;
        for text in [keeps, costs, back, NOBODY_KNOWS] {
            browser.await_text("#parked", text).await?;
        }
        api.order(mode, mode).await?;
        api.await_state(mode, "ready").await?;
        let id = api.environment(mode).await?["id"].as_str().unwrap_or_default().to_owned();
        let page = tryout.url(&format!("/environments/{id}"));
        browser.go(&page).await?;
        let order = if mode == "hibernate" { ONE_WAS_ORDERED } else { "A new order took about " };
        browser.await_text(".actions__consequence", &format!("{keeps} {costs} {back} {order}")).await?;
        browser.press("Park").await?;
        await_state(&browser, "parked").await?;
        browser.await_text(".environment__sentence", &format!("{keeps} {costs} {back} {order}")).await?;
        browser.press("Resume").await?;
        await_state(&browser, "ready").await?;
        browser.await_text(".actions__consequence", "Coming back took about ").await?;
    }
    assert_eq!(browser.complaints().await?, Vec::<String>::new());
    Ok(())
}

/// Whole pages in both themes, on a phone and on a desk.
async fn await_state(browser: &Browser, state: &str) -> Outcome {
    let badge = format!("return !!document.querySelector('.page-header .badge[data-state={state}]')");
    browser.await_script(&badge).await.map(drop)
}
