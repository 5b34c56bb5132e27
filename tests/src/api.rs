//! A client of the portal's REST API, as a script would write one.

use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::Outcome;

/// How long an environment may take to settle. Only one that never will lets a story wait so long.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone)]
pub struct Api {
    http: Client,
    base: String,
    token: String,
}

/// Status and JSON body of an answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Value,
}

impl Api {
    pub fn new(portal: SocketAddr, token: &str) -> Outcome<Self> {
        // Fails when another story in this process was first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder().no_proxy().build()?;
        Ok(Self { http, base: format!("http://{portal}"), token: token.to_owned() })
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// Any request below `/api/v1`.
    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Outcome<Answer> {
        let mut request = self.http.request(method, format!("{}/api/v1{path}", self.base)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer(request.send().await?).await
    }

    pub async fn get(&self, path: &str) -> Outcome<Answer> {
        self.send(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Outcome<Answer> {
        self.send(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Outcome<Answer> {
        self.send(Method::PUT, path, Some(body)).await
    }

    /// Orders an environment; the answer must say that it is confirmed.
    pub async fn order(&self, template: &str, name: &str) -> Outcome<Value> {
        self.post("/environments", json!({ "template": template, "name": name })).await?.expect_success()
    }

    /// `park`, `resume`, `restart`, `retry`, `cancel` or `delete`.
    pub async fn act(&self, environment: &str, action: &str) -> Outcome<Value> {
        self.post(&format!("/environments/{environment}/{action}"), json!({})).await?.expect_success()
    }

    pub async fn environment(&self, environment: &str) -> Outcome<Value> {
        self.get(&format!("/environments/{environment}")).await?.expect_success()
    }

    /// Waits until the environment is in `state`. That it failed instead is an error.
    pub async fn await_state(&self, environment: &str, state: &str) -> Outcome<Value> {
        let now = self.await_that(environment, state, |now| now["state"] == state || now["state"] == "failed").await?;
        match now["state"] == state {
            true => Ok(now),
            false => Err(format!("{environment} failed instead of becoming {state}: {:#}", now["failure"]).into()),
        }
    }

    /// Waits until this is true of the environment, told of changes by the portal's events. `what` is for the error.
    pub async fn await_that(&self, environment: &str, what: &str, is: impl Fn(&Value) -> bool) -> Outcome<Value> {
        self.await_below(environment, "", what, is).await
    }

    /// The same of what the environment has at this path below it: `/snapshots`.
    pub async fn await_below(
        &self,
        environment: &str,
        path: &str,
        what: &str,
        is: impl Fn(&Value) -> bool,
    ) -> Outcome<Value> {
        let path = format!("/environments/{environment}{path}");
        match tokio::time::timeout(PATIENCE, self.follow_until(environment, &path, is)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let now = self.get(&path).await?.expect_success()?;
                Err(format!("{environment} did not become {what} in {PATIENCE:?}: {now:#}").into())
            }
        }
    }

    async fn follow_until(&self, environment: &str, path: &str, is: impl Fn(&Value) -> bool) -> Outcome<Value> {
        let address = format!("{}/api/v1/events?environment={environment}", self.base);
        let events = self.http.get(address).bearer_auth(&self.token).send().await?.error_for_status()?;
        // Subscribed before the first look: no change can fall in between.
        let mut events = events.bytes_stream();
        loop {
            let now = self.get(path).await?.expect_success()?;
            if is(&now) {
                return Ok(now);
            }
            events.next().await.ok_or("The portal ended its events.")??;
        }
    }
}

impl Answer {
    pub fn expect_success(self) -> Outcome<Value> {
        if self.status.is_success() {
            Ok(self.body)
        } else {
            Err(format!("The portal answered {}: {:#}", self.status, self.body).into())
        }
    }
}

pub(crate) async fn answer(response: Response) -> Outcome<Answer> {
    let status = response.status();
    let text = response.text().await?;
    let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(Value::String(text)) };
    Ok(Answer { status, body })
}
