//! The REST API, seen from the command line.

use std::time::Duration;

use app::api::ApiError;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Upgraded, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::credentials;
use super::failure::{Failure, exit};

const DEFAULT_URL: &str = "http://127.0.0.1:3000";
/// For a request that is answered at once; streams have none.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
}

impl Client {
    /// The portal that is named, or the one signed in to; the token of the environment, or the stored one when it is this
    /// portal's: a token never goes to another place.
    pub fn new(url: Option<&str>) -> Result<Self, Failure> {
        let stored = credentials::load();
        let address = url
            .filter(|url| !url.is_empty())
            .or(stored.as_ref().map(|stored| stored.url.as_str()))
            .unwrap_or(DEFAULT_URL);
        let base = portal_address(address)?;
        let stored = stored.filter(|stored| portal_address(&stored.url).is_ok_and(|known| known == base));
        let given = std::env::var("BOOKEND_TOKEN").ok().filter(|token| !token.is_empty());
        Self::with_token(base, given.or(stored.map(|stored| stored.token)))
    }

    pub fn with_token(base: Url, token: Option<String>) -> Result<Self, Failure> {
        // Only the first call of a process counts; a second provider is not wanted anyway.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("bookend/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none())
            .http1_only();
        if base.scheme() == "http" {
            // Reading the system's certificates takes longer than the whole rest.
            builder = builder.tls_certs_only([]);
        }
        if is_this_machine(&base) {
            // Proxies are for places further away, whatever the environment says.
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| Failure::local(super::chain(&error)))?;
        Ok(Self { http, base, token })
    }

    pub fn base(&self) -> &Url {
        &self.base
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<T, Failure> {
        let request = self.request(Method::GET, path)?.query(query).timeout(ANSWER_WITHIN);
        read(self.send(request).await?).await
    }

    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
        headers: &[(&str, &str)],
    ) -> Result<T, Failure> {
        let mut request = self.request(Method::POST, path)?.json(body).timeout(ANSWER_WITHIN);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(self.send(request).await?).await
    }

    pub async fn patch<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<T, Failure> {
        read(self.send(self.request(Method::PATCH, path)?.json(body).timeout(ANSWER_WITHIN)).await?).await
    }

    pub async fn put<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<T, Failure> {
        read(self.send(self.request(Method::PUT, path)?.json(body).timeout(ANSWER_WITHIN)).await?).await
    }

    pub async fn delete(&self, path: &[&str], query: &[(&str, &str)]) -> Result<(), Failure> {
        self.send(self.request(Method::DELETE, path)?.query(query).timeout(ANSWER_WITHIN)).await.map(drop)
    }

    /// An answer that goes on: server-sent events.
    pub async fn stream(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Response, Failure> {
        self.send(self.request(Method::GET, path)?.query(query).header("accept", "text/event-stream")).await
    }

    pub async fn websocket(&self, path: &[&str], query: &[(&str, &str)]) -> Result<WebSocketStream<Upgraded>, Failure> {
        let key = generate_key();
        let request = self
            .request(Method::GET, path)?
            .query(query)
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key);
        let response = self.send(request).await?;
        let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT).is_some_and(|accept| {
            response.status() == StatusCode::SWITCHING_PROTOCOLS
                && accept.as_bytes() == derive_accept_key(key.as_bytes()).as_bytes()
        });
        if !accepted {
            return Err(Failure::local(format!("{} does not answer as a portal does", self.base))
                .detail("Is there a proxy in between that does not pass WebSockets on?"));
        }
        let stream = response.upgrade().await.map_err(|error| self.unreachable(&error))?;
        Ok(WebSocketStream::from_raw_socket(stream, Role::Client, None).await)
    }

    pub fn request(&self, method: Method, path: &[&str]) -> Result<RequestBuilder, Failure> {
        let mut url = self.base.clone();
        // Each part is one segment, whatever characters are in it.
        url.path_segments_mut()
            .map_err(|()| Failure::usage(format!("{} is no address of a portal", self.base)))?
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(path);
        let request = self.http.request(method, url);
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }

    /// The answer, when it is a good one.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        if status.is_redirection() {
            return Err(Failure::local(format!("{} sends us elsewhere; give the portal's own address", self.base)));
        }
        let text = response.text().await.unwrap_or_default();
        let error = serde_json::from_str::<ApiError>(&text);
        let mut failure = match error {
            Ok(error) => Failure::from(error),
            Err(_) => {
                let words = status.canonical_reason().unwrap_or("an answer without meaning");
                Failure::from(ApiError {
                    status: status.as_u16(),
                    code: "unexpected".into(),
                    title: format!("{} answered {} ({words})", self.base, status.as_u16()),
                    detail: None,
                    fields: Vec::new(),
                })
            }
        };
        if failure.exit == exit::NOT_SIGNED_IN {
            let detail = match &self.token {
                None => "Run `bookend login`, or set BOOKEND_TOKEN to an API token.",
                Some(_) => "The API token is not, or no longer, good for this portal: run `bookend login` again.",
            };
            failure = failure.detail(detail);
        }
        Err(failure)
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut innermost: &dyn std::error::Error = error;
        while let Some(cause) = innermost.source() {
            innermost = cause;
        }
        if !error.is_connect() {
            return Failure::answer_lost(format!("the portal at {} gave no answer: {innermost}", self.base));
        }
        Failure::unreachable(format!("the portal at {} cannot be reached: {innermost}", self.base))
            .detail("Is it running, and is this its address (--url, BOOKEND_URL)?")
    }
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T, Failure> {
    let text =
        response.text().await.map_err(|error| Failure::answer_lost(format!("the answer was cut off: {error}")))?;
    let text = if text.is_empty() { "null" } else { &text };
    serde_json::from_str(text).map_err(|error| {
        Failure::local(format!("the portal's answer is not understood: {error}"))
            .detail("Are this program and the portal of the same version?")
    })
}

fn is_this_machine(base: &Url) -> bool {
    let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Reads a portal's address.
pub fn portal_address(text: &str) -> Result<Url, Failure> {
    let wrong = |why: &str| Failure::usage(format!("“{text}” is no address of a portal: {why}"));
    let mut url = Url::parse(text).map_err(|_| wrong("write it like https://bookend.example.com"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("it begins with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("leave out everything but scheme, host and port"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}
