//! Attack 20: line ends that begin a header or a log line of their own.

use app::api::Role;
use reqwest::Method;
use serde_json::json;
use tests::{Outcome, Portal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(flavor = "multi_thread")]
async fn no_value_becomes_a_header_of_its_own() -> Outcome {
    let house = tests::House::open().await?;
    let ann = house.guest("default", "ann", Role::Administrator).await?;
    ann.order("scratch", "box").await?;
    let injected = "%0d%0aset-cookie:%20injected=1%0d%0a%0d%0a<script>";
    for path in [
        format!("/sign-in?next=/{injected}"),
        format!("/open/box/box/80?path=/{injected}"),
        format!("/open/{injected}/box/80"),
        format!("/environments/{injected}"),
        format!("/api/v1/environments/{injected}"),
        format!("/catalog/{injected}"),
        format!("/setup/{injected}"),
    ] {
        let answer = ann.in_browser(Method::GET, &path).send().await?;
        assert!(
            answer.headers().get("set-cookie").is_none_or(|set| !set.to_str().unwrap_or_default().contains("injected"))
        );
        assert!(answer.status().as_u16() < 500, "{path}: {}", answer.status());
    }
    let name = "box\r\nset-cookie: injected=1";
    let refused = ann.post("/environments", &json!({ "template": "scratch", "name": name })).await?;
    assert_eq!(refused.status, 422);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_writes_a_line_of_its_own_into_the_log() -> Outcome {
    let portal = tests::Setting::new()?.variable("RUST_LOG", "debug").start().await?;
    let api = portal.administrator().await?;
    let forged = "%0a2026-01-01T00:00:00Z%20ERROR%20forged%1b[2J";
    api.get(&format!("/environments/{forged}")).await?;
    api.get(&format!("/environments?owner={forged}")).await?;
    api.post("/session", json!({ "name": "x\n2026-01-01T00:00:00Z ERROR forged", "password": "y\nforged" })).await?;
    raw(&portal, "GET /api/v1/a\u{1b}[2Jforged HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
    raw(&portal, "GET / HTTP/1.1\r\nHost: evil\u{1b}[2Jforged\r\n\r\n").await?;
    let log = portal.log();
    assert!(!log.contains('\u{1b}'), "an escape sequence reached the log");
    for line in log.lines().filter(|line| line.contains("forged")) {
        assert!(!line.starts_with("2026-01-01"), "{line}");
    }
    assert!(!log.contains("y\nforged"));
    Ok(())
}

/// Bytes as they are; whatever comes back is dropped.
async fn raw(portal: &Portal, request: &str) -> Outcome {
    let mut stream = tokio::net::TcpStream::connect(portal.address).await?;
    stream.write_all(request.as_bytes()).await?;
    stream.shutdown().await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(())
}
