//! Attack 12: a prefilled deep link that orders with one click.

use app::api::Role;
use reqwest::Method;
use tests::{House, Outcome};

#[tokio::test(flavor = "multi_thread")]
async fn following_a_link_never_orders_or_changes_anything() -> Outcome {
    let house = House::open().await?;
    let ann = house.guest("default", "ann", Role::Administrator).await?;
    ann.order("scratch", "box").await?;
    ann.api()?.await_state("box", "ready").await?;
    let timeline = ann.get("/environments/box/timeline").await?.body;
    for link in [
        "/catalog/scratch?name=evil",
        "/catalog/scratch?name=evil&submit=1&order=1&action=order&confirm=yes",
        "/catalog/scratch?name=evil&_method=POST",
        "/catalog/scratch?from=box&name=evil&request_id=1&version=1.0.0&plain=&kept=true",
        "/catalog/scratch?preset=evil&defaults=true&name=evil",
        "/api/v1/catalog/scratch/draft?from=box",
        "/api/v1/environment-names/evil",
        "/environments/box?action=delete",
        "/environments/box?action=delete&confirm=box&_method=POST",
        "/api/v1/environments?template=scratch",
        "/profile?name=evil&action=create",
        "/people?name=evil&password=evil-password&role=administrator",
    ] {
        for method in [Method::GET, Method::HEAD] {
            let followed = ann.in_browser(method, link).header("x-http-method-override", "POST").send().await?;
            assert!(followed.status().as_u16() < 500, "{link}");
        }
    }
    assert_eq!(ann.environments().await?, 1);
    assert_eq!(ann.get("/environments/box/timeline").await?.body, timeline);
    assert_eq!(ann.get("/tokens").await?.body.as_array().map(Vec::len), Some(1));
    assert_eq!(ann.get("/people").await?.body.as_array().map(Vec::len), Some(1));
    Ok(())
}
