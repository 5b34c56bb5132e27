//! Attack 9: a disabled person's sessions, API tokens and open connections still work.

use app::api::Role;
use futures::StreamExt;
use reqwest::Method;
use serde_json::json;
use tests::{House, Outcome};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_disabled_loses_session_token_events_and_terminal_at_once_and_gets_none_back() -> Outcome {
    let house = House::open().await?;
    let boss = house.guest("default", "boss", Role::Administrator).await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    ann.order("scratch", "box").await?;
    ann.api()?.await_state("box", "ready").await?;
    let mut terminal = ann.websocket("/environments/box/servers/box/terminal?session=t1&cols=80&rows=24").await?;
    let mut events = ann.request(Method::GET, "/events").send().await?.error_for_status()?.bytes_stream();
    let browser = ann.in_browser(Method::GET, "/api/v1/events").send().await?.error_for_status()?;
    let mut browsers_events = browser.bytes_stream();
    assert_eq!(ann.get("/me").await?.status, 200);
    assert_eq!(ann.in_browser(Method::GET, "/api/v1/me").send().await?.status(), 200);

    let disabled = boss.request(Method::PATCH, "/people/ann").json(&json!({ "disabled": true })).send().await?;
    assert_eq!(disabled.status(), 200);

    assert_eq!(ann.get("/me").await?.status, 401);
    assert_eq!(ann.in_browser(Method::GET, "/api/v1/me").send().await?.status(), 401);
    // Each of these waits for its end: one that did not come would be waited for in vain.
    let mut closed_for_it = false;
    while let Some(Ok(message)) = terminal.next().await {
        if let Message::Close(Some(frame)) = message {
            closed_for_it = frame.reason.contains("signed in");
        }
    }
    assert!(closed_for_it);
    while let Some(Ok(_)) = events.next().await {}
    while let Some(Ok(_)) = browsers_events.next().await {}

    let enabled = boss.request(Method::PATCH, "/people/ann").json(&json!({ "disabled": false })).send().await?;
    assert_eq!(enabled.status(), 200);
    assert_eq!(ann.get("/me").await?.status, 401, "nothing from before comes back to life");
    assert_eq!(ann.in_browser(Method::GET, "/api/v1/me").send().await?.status(), 401);
    Ok(())
}
