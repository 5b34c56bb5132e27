//! The first administrator, signing in and out, tokens.

use app::api::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::house::PASSWORD;
use tests::{House, Outcome};

const DAY: i64 = 24 * 3600 * 1000;

async fn sign_in(house: &House, name: &str, password: &str) -> Outcome<reqwest::Response> {
    let credentials = json!({ "name": name, "password": password });
    Ok(house.http.post(house.url("/api/v1/session")).json(&credentials).send().await?)
}

/// `NAME=VALUE` of the cookie an answer sets.
fn cookie(response: &reqwest::Response) -> Outcome<String> {
    let set = response.headers().get("set-cookie").ok_or("no cookie was set")?.to_str()?;
    assert!(set.contains("; HttpOnly") && set.contains("; SameSite=Lax") && set.contains("; Path=/"), "{set}");
    Ok(set.split(';').next().unwrap_or_default().to_string())
}

async fn me(house: &House, cookie: &str) -> Outcome<StatusCode> {
    Ok(house.http.get(house.url("/api/v1/me")).header("cookie", cookie).send().await?.status())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_administrator_is_made_by_a_link_that_works_once() -> Outcome {
    let house = House::open().await?;
    let link = house.setup_link().ok_or("no link was made")?;
    let secret = link.rsplit('/').next().unwrap_or_default();
    let path = house.url(&format!("/api/v1/setup/{secret}"));
    assert_eq!(house.http.get(&path).send().await?.status(), 204);
    assert_eq!(house.http.get(house.url("/api/v1/setup/invented")).send().await?.status(), 404);
    let short = house.http.post(&path).json(&json!({"name": "Ann", "password": "short"})).send().await?;
    assert_eq!(short.status(), 422, "a refused form does not use the link up");
    let made = house.http.post(&path).json(&json!({"name": "Ann", "password": PASSWORD})).send().await?;
    assert_eq!(made.status(), 200);
    assert_eq!(me(&house, &cookie(&made)?).await?, 200);
    let again = house.http.post(&path).json(&json!({"name": "eve", "password": PASSWORD})).send().await?;
    assert_eq!(again.status(), 404);
    assert_eq!(sign_in(&house, "ANN ", PASSWORD).await?.status(), 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sign_in_is_a_new_session_and_ends_the_one_before() -> Outcome {
    let house = House::open().await?;
    let ann = house.resident("default", "ann", Role::User).await?;
    let wrong = sign_in(&house, "ann", "wrong password").await?;
    let nobody = sign_in(&house, "nobody", "wrong password").await?;
    assert_eq!((wrong.status(), nobody.status()), (StatusCode::UNAUTHORIZED, StatusCode::UNAUTHORIZED));
    assert_eq!(wrong.text().await?, nobody.text().await?, "whether a person exists is not told");

    let credentials = json!({ "name": "ann", "password": PASSWORD });
    let response = ann.in_browser(Method::POST, "/api/v1/session").json(&credentials).send().await?;
    let fresh = cookie(&response)?;
    assert_ne!(fresh, ann.cookie());
    assert_eq!(me(&house, &ann.cookie()).await?, 401);
    assert_eq!(me(&house, &fresh).await?, 200);

    let origin = house.origin();
    let out = house.http.delete(house.url("/api/v1/session")).header("cookie", &fresh).header("origin", origin);
    assert_eq!(out.send().await?.status(), 204);
    assert_eq!(me(&house, &fresh).await?, 401);
    Ok(())
}

/// Attack 8: a session that outlives what it should.
#[tokio::test(flavor = "multi_thread")]
async fn attack_08_a_session_ends_when_it_is_idle_and_ends_for_certain() -> Outcome {
    let house = House::open().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    let ben = house.guest("default", "ben", Role::User).await?;
    house.wait(3 * DAY - 60_000);
    assert_eq!(me(&house, &ann.cookie()).await?, 200);
    house.wait(2 * 60_000);
    assert_eq!(me(&house, &ben.cookie()).await?, 401, "idle for three days");
    for _ in 0..5 {
        house.wait(2 * DAY);
        assert_eq!(me(&house, &ann.cookie()).await?, 200, "in use");
    }
    house.wait(DAY + 60_000);
    assert_eq!(me(&house, &ann.cookie()).await?, 401, "fourteen days are all there are");
    assert_eq!(ann.get("/me").await?.status, 200, "the token was made without an end");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_once_and_useless_once_revoked_or_expired() -> Outcome {
    let house = House::open().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    let made = ann.post("/tokens", &json!({ "name": "ci", "expires_in_days": 1 })).await?.expect_success()?;
    let token = made["token"].as_str().ok_or("no token")?;
    assert!(token.starts_with("bkd_"));
    let with = |token: &str| house.http.get(house.url("/api/v1/me")).bearer_auth(token).send();
    assert_eq!(with(token).await?.status(), 200);
    let list = ann.get("/tokens").await?.body;
    assert!(!list.to_string().contains(token));
    house.wait(DAY + 1000);
    assert_eq!(with(token).await?.status(), 401);

    let second = ann.post("/tokens", &json!({ "name": "ci" })).await?.expect_success()?;
    let token = second["token"].as_str().ok_or("no token")?;
    assert_eq!(with(token).await?.status(), 200);
    let path = format!("/tokens/{}", second["id"].as_str().unwrap_or_default());
    assert_eq!(ann.request(Method::DELETE, &path).send().await?.status(), 204);
    assert_eq!(with(token).await?.status(), 401, "at once, though it was just seen");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_made_beside_a_running_portal_works_at_once_and_is_audited() -> Outcome {
    let house = House::open().await?;
    let output = tokio::process::Command::new(tests::programs::bookend())
        .args(["token", "create", "--user", "robot", "--data-dir"])
        .arg(house.data_directory())
        .env_remove("BOOKEND_DATABASE_URL")
        .output()
        .await?;
    let token = String::from_utf8(output.stdout)?;
    let me: Value = house.http.get(house.url("/api/v1/me")).bearer_auth(token.trim()).send().await?.json().await?;
    assert_eq!((&me["name"], &me["role"]), (&json!("robot"), &json!("administrator")));
    let audited: Vec<(String, String)> = sqlx::query_as("select actor, action from audit_event where target = 'robot'")
        .fetch_all(&mut *house.store().read().await?)
        .await?;
    assert_eq!(audited, [("command line".to_string(), "create_token".to_string())]);
    Ok(())
}
