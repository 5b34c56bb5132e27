//! What people decide about themselves: where they are signed in, their password, their time zone.

use app::api::Role;
use reqwest::Method;
use serde_json::{Value, json};
use tests::house::PASSWORD;
use tests::{Browser, House, Outcome};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_their_sessions_and_an_ended_one_loses_its_way_in_at_once() -> Outcome {
    let house = House::open().await?;
    let ann = house.resident("default", "ann", Role::User).await?;
    ann.order("scratch", "attic").await?;
    ann.api()?.await_state("attic", "ready").await?;
    let elsewhere = Browser::open().await?;
    elsewhere.go(&house.url("/sign-in?next=%2Fenvironments")).await?;
    elsewhere.fill("name", "ann").await?;
    elsewhere.fill("password", PASSWORD).await?;
    elsewhere.press("Sign in").await?;
    elsewhere.await_text(".connection", "Live").await?;

    // Told by the other one: what browser, from where, and which is this one.
    let session = |path: &'static str| ann.in_browser(Method::GET, path);
    let sessions: Value = session("/api/v1/sessions").send().await?.json().await?;
    let told: Vec<(&Value, &Value)> =
        sessions.as_array().into_iter().flatten().map(|one| (&one["browser"], &one["current"])).collect();
    assert_eq!(told.len(), 2, "{sessions}");
    assert!(told.contains(&(&json!("Chrome on Linux"), &json!(false))), "{sessions}");
    assert!(told.contains(&(&Value::Null, &json!(true))), "{sessions}");
    let page = session("/profile").send().await?.text().await?;
    assert!(page.contains("Chrome on Linux") && page.contains("this one") && page.contains("127.0.0.1"), "{page}");
    assert!(!sessions.to_string().contains(&ann.session), "a session is never named by its secret");

    let ben = house.guest("default", "ben", Role::Administrator).await?;
    let id = sessions.as_array().into_iter().flatten().find(|one| one["current"] == false).ok_or("two sessions")?["id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let others = ben.request(Method::DELETE, &format!("/sessions/{id}")).send().await?;
    assert_eq!(others.status(), 404, "nobody ends another's session");

    let body = format!("end={id}");
    let form = ann.in_browser(Method::POST, "/profile/sessions").body(body);
    let ended = form.header("content-type", "application/x-www-form-urlencoded").send().await?;
    assert_eq!(ended.headers()["location"], "/profile?done=session");
    // The tab that stood open has lost its stream, asks, and is shown to the door.
    elsewhere.await_script("return location.pathname === '/sign-in'").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_changed_by_who_knows_it_and_every_other_session_ends() -> Outcome {
    let house = House::open().await?;
    let ann = house.resident("default", "ann", Role::User).await?;
    let sign_in = |password: &'static str| {
        let credentials = json!({ "name": "ann", "password": password });
        house.http.post(house.url("/api/v1/session")).json(&credentials).send()
    };
    let other = sign_in(PASSWORD).await?;
    let other = other.headers()["set-cookie"].to_str()?.split(';').next().unwrap_or_default().to_owned();
    let with_other = || house.http.get(house.url("/api/v1/me")).header("cookie", other.clone()).send();
    assert_eq!(with_other().await?.status(), 200);

    let change = async |old: &str, new: &str| {
        let request = ann.in_browser(Method::PUT, "/api/v1/me/password");
        request.json(&json!({ "old": old, "new": new })).send().await.map(|answer| answer.status().as_u16())
    };
    assert_eq!(change("not the one", "another quiet corner").await?, 422);
    assert_eq!(change(PASSWORD, "short").await?, 422);
    assert_eq!(with_other().await?.status(), 200, "nothing was changed");
    assert_eq!(change(PASSWORD, "another quiet corner").await?, 204);
    assert_eq!(with_other().await?.status(), 401);
    assert_eq!(ann.in_browser(Method::GET, "/api/v1/me").send().await?.status(), 200, "this one goes on");
    assert_eq!(sign_in(PASSWORD).await?.status(), 401);
    assert_eq!(sign_in("another quiet corner").await?.status(), 200);
    // Guessing here is limited as it is at the door.
    for _ in 0..10 {
        change("a wild guess", "another quiet corner").await?;
    }
    assert_eq!(change("a wild guess", "another quiet corner").await?, 429);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn exact_times_are_told_in_the_time_zone_a_person_chose() -> Outcome {
    let house = House::open().await?;
    let ann = house.resident("default", "ann", Role::User).await?;
    let zone = |name: &str| {
        let form = ann.in_browser(Method::POST, "/profile/time-zone").body(format!("time_zone={name}"));
        form.header("content-type", "application/x-www-form-urlencoded").send()
    };
    assert_eq!(zone("Mars/Olympus").await?.status(), 422);
    assert!(ann.in_browser(Method::GET, "/profile").send().await?.text().await?.contains(" UTC\""));
    assert_eq!(zone("Asia/Kolkata").await?.headers()["location"], "/profile?done=time-zone");
    let page = ann.in_browser(Method::GET, "/profile").send().await?.text().await?;
    assert!(page.contains(" IST\"") && page.contains("data-zone=\"Asia/Kolkata\""), "{page}");
    assert_eq!(ann.get("/me").await?.body["time_zone"], "Asia/Kolkata");

    // Also where script tells it, and the browser itself is somewhere else.
    let browser = Browser::open().await?;
    browser.go(&house.url("/sign-in?next=%2Fprofile")).await?;
    browser.fill("name", "ann").await?;
    browser.fill("password", PASSWORD).await?;
    browser.press("Sign in").await?;
    browser.await_text("h1", "ann").await?;
    let point = "const time = document.querySelector('time'); \
        time.dispatchEvent(new PointerEvent('pointerover', { bubbles: true })); return time.title.includes('GMT+5:30')";
    browser.await_script(point).await?;
    Ok(())
}
