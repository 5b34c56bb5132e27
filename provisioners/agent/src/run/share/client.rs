//! Syncthing's REST API, over a unix socket that only this server's own user can open.

use std::path::PathBuf;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// Of one answer, in bytes: a thousand events fit.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// Answers wait while the server stands still; no call has a time limit of its own.
pub(super) struct Client {
    pub(super) socket: PathBuf,
    pub(super) key: String,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("Syncthing cannot be reached: {0}")]
    Unreachable(#[from] std::io::Error),
    #[error("Syncthing broke off: {0}")]
    Broken(#[from] hyper::Error),
    #[error("Syncthing does not answer as expected: {0}")]
    Odd(String),
    #[error("Syncthing answers {0}")]
    Refused(StatusCode),
}

impl Client {
    pub(super) async fn get(&self, path: &str) -> Result<Value, CallError> {
        let answer = self.ask(Method::GET, path).await?;
        serde_json::from_slice(&answer).map_err(|error| CallError::Odd(error.to_string()))
    }

    pub(super) async fn post(&self, path: &str) -> Result<(), CallError> {
        self.ask(Method::POST, path).await.map(drop)
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Bytes, CallError> {
        let stream = UnixStream::connect(&self.socket).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(format!("/rest/{path}"));
        let request = request.header(http::header::HOST, "localhost").header("x-api-key", &self.key);
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| CallError::Odd(error.to_string()))?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        if !status.is_success() {
            return Err(CallError::Refused(status));
        }
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        Ok(body.map_err(|error| CallError::Odd(error.to_string()))?.to_bytes())
    }
}
