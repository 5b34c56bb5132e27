//! Hears from the cloud that it takes the machine back, and has the portal told at once: from the notice of a spot server to its
//! end there are two minutes, in which services end in order and another server takes its place.
//!
//! Source: "Spot Instance interruption notices", docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html:
//! `spot/instance-action` is absent until the notice, and to be looked at every 5 seconds.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::Server;

const EVERY: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(4);
const LARGEST: usize = 64 * 1024;

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Notice {
    /// RFC 3339, in UTC.
    time: String,
}

/// Looks at `metadata` (`http://169.254.169.254`) until there is a notice. A service that does not answer has said nothing.
pub(super) async fn listen(server: Arc<Server>, metadata: String) {
    loop {
        if let Ok(Ok(Some(notice))) = timeout(PATIENCE, ask(&metadata)).await {
            server.logs.say(&format!("the cloud takes this machine back at {}", notice.time));
            server.board.update(|facts| facts.ends_at = Some(notice.time));
            return;
        }
        sleep(EVERY).await;
    }
}

/// Each time with a session of its own: the machine may have stood still for longer than one lasts.
async fn ask(metadata: &str) -> io::Result<Option<Notice>> {
    let session = ("x-aws-ec2-metadata-token-ttl-seconds", "60");
    let (status, session) = request(metadata, Method::PUT, "/latest/api/token", session).await?;
    if status != StatusCode::OK {
        return Ok(None);
    }
    let session = String::from_utf8_lossy(&session);
    let session = ("x-aws-ec2-metadata-token", session.as_ref());
    let (status, body) = request(metadata, Method::GET, "/latest/meta-data/spot/instance-action", session).await?;
    Ok(if status == StatusCode::OK { serde_json::from_slice(&body).ok() } else { None })
}

async fn request(
    metadata: &str,
    method: Method,
    path: &str,
    (header, value): (&str, &str),
) -> io::Result<(StatusCode, Bytes)> {
    let uri: Uri = metadata.parse().map_err(io::Error::other)?;
    let host = uri.host().unwrap_or_default();
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let request = Request::builder().method(method).uri(path).header("host", host).header(header, value);
    let request = request.body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LARGEST).collect().await.map_err(io::Error::other)?;
        Ok((status, body.to_bytes()))
    };
    tokio::select! {
        answered = exchange => answered,
        ended = connection => Err(ended.err().map_or_else(|| io::ErrorKind::UnexpectedEof.into(), io::Error::other)),
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::HeaderMap;
    use axum::routing::{get, put};

    use super::*;

    /// As Amazon's answers, which want a session.
    async fn metadata(action: Option<&'static str>) -> String {
        let action = move |headers: HeaderMap| async move {
            match (headers.get("x-aws-ec2-metadata-token").is_some_and(|token| token == "session"), action) {
                (false, _) => (StatusCode::UNAUTHORIZED, ""),
                (true, None) => (StatusCode::NOT_FOUND, ""),
                (true, Some(action)) => (StatusCode::OK, action),
            }
        };
        let router = Router::new()
            .route("/latest/api/token", put(|| async { "session" }))
            .route("/latest/meta-data/spot/instance-action", get(action));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn a_machine_is_taken_back_when_its_cloud_says_so_and_not_before() {
        assert_eq!(ask(&metadata(None).await).await.unwrap(), None);
        let said = r#"{"action": "terminate", "time": "2026-11-20T17:02:00Z"}"#;
        let notice = Notice { time: "2026-11-20T17:02:00Z".to_owned() };
        assert_eq!(ask(&metadata(Some(said)).await).await.unwrap(), Some(notice));
        assert_eq!(ask(&metadata(Some("nonsense")).await).await.unwrap(), None);
        assert!(ask("http://127.0.0.1:1").await.is_err(), "nobody there has said nothing");
    }
}
