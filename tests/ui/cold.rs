//! Until what a new volume holds was read in from its snapshot, its environment's page says that first reads are slow.

use serde_json::json;
use tests::Outcome;
use tests::tryout::Tryout;

use super::become_administrator;

const CELLAR: &str = r#"
name: cellar
version: "1.0.0"
title: Cellar
summary: A server with a volume.
category: Basics
servers:
  box: {}
volumes:
  barrel: {size: 1 GiB, mounts: {box: /barrel}}
"#;

#[tokio::test]
async fn the_page_of_a_copy_on_ec2_says_how_far_its_data_is_read_in() -> Outcome {
    // Long enough to be looked at.
    let tryout = Tryout::offering("cellar", CELLAR, &[("FAKE_EC2_READING", "3600")]).await?;
    let browser = become_administrator(tryout.setup_link.as_ref()).await?;
    let api = tryout.person("ada").await?;
    api.order("cellar", "old").await?;
    api.await_state("old", "ready").await?;
    let copy = json!({ "template": "cellar", "name": "new", "data": { "environment": "old" } });
    api.post("/environments", copy).await?.expect_success()?;
    api.await_state("new", "ready").await?;

    browser.go(&tryout.url("/environments/new")).await?;
    let word = "its data is still being read in from its snapshot (";
    browser.await_text("[aria-labelledby=volumes]", word).await?;
    browser.page.execute("document.querySelector('[aria-labelledby=volumes]').scrollIntoView()", Vec::new()).await?;
    for (width, theme) in [(390, "dark"), (1440, "light")] {
        browser.dress(width, theme).await?;
        browser.picture(&format!("cold-volume-{width}-{theme}")).await?;
    }
    let old = api.environment("old").await?;
    assert!(old["volumes"][0]["standing"].is_null(), "what began empty is never slow: {old:#}");
    assert_eq!(browser.complaints().await?, Vec::<String>::new());
    Ok(())
}
