//! Attack 19: SQL in filters and sorts.

use app::api::Role;
use reqwest::Method;
use tests::{House, Outcome};

const SQL: [&str; 8] = [
    "' or '1'='1",
    "'; drop table environment; --",
    "x' union select id, name, password_hash from person --",
    "%' escape '%",
    "\\",
    "%",
    "_",
    "$1",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_is_text_to_look_for_and_never_a_statement() -> Outcome {
    let house = House::open().await?;
    house.stock("other").await?;
    let ann = house.guest("default", "ann", Role::Administrator).await?;
    let eve = house.guest("other", "eve", Role::User).await?;
    ann.order("scratch", "mine").await?;
    eve.order("scratch", "theirs").await?;
    for sql in SQL {
        for field in ["search", "owner", "state", "cursor"] {
            let answer = ann.request(Method::GET, "/environments").query(&[(field, sql)]).send().await?;
            let status = answer.status().as_u16();
            let body = answer.text().await?;
            assert!(status == 200 || status == 422, "{field}={sql}: {status} {body}");
            assert!(
                !body.contains("theirs") && !body.contains("mine\"") && !body.contains("argon2"),
                "{field}={sql}: {body}"
            );
        }
        let path: String = url::form_urlencoded::byte_serialize(sql.as_bytes()).collect();
        for path in
            [format!("/environments/{path}"), format!("/catalog/{path}"), format!("/environments/{path}/timeline")]
        {
            assert_eq!(ann.get(&path.replace('+', "%20")).await?.status, 404, "{path}");
        }
        assert_eq!(
            ann.request(Method::DELETE, &format!("/tokens/{}", path.replace('+', "%20"))).send().await?.status(),
            404
        );
    }
    assert_eq!(ann.get("/environments?sort=name;drop%20table%20person").await?.status, 422);
    assert_eq!(ann.environments().await?, 1, "nothing was dropped");
    assert_eq!(eve.environments().await?, 1);
    Ok(())
}
