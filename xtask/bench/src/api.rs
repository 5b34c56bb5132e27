//! The few requests of the REST API that placing orders takes.

use std::io::{BufRead, BufReader};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;

use crate::Outcome;

#[derive(Clone)]
pub struct Api {
    agent: Agent,
    base: String,
    authorization: String,
}

impl Api {
    pub fn new(address: &str, token: &str) -> Self {
        let config = Agent::config_builder().http_status_as_error(false).max_idle_connections_per_host(64);
        Self {
            agent: config.build().new_agent(),
            base: format!("{address}/api/v1"),
            authorization: format!("Bearer {token}"),
        }
    }

    /// HOST:PORT.
    pub fn authority(&self) -> &str {
        self.base.trim_start_matches("http://").trim_end_matches("/api/v1")
    }

    /// Value of the header.
    pub fn authorization(&self) -> &str {
        &self.authorization
    }

    /// Waits until it is in this state, asking ten times a second.
    pub fn await_state(&self, name: &str, state: &str) -> Outcome<()> {
        for _ in 0..600 {
            let now = self.environment(name)?;
            if now["state"] == state {
                return Ok(());
            }
            if now["state"] == "failed" {
                return Err(format!("{name} failed: {}", now["failure"]));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(format!("{name} did not become {state}."))
    }

    /// Orders; returns the environment as confirmed.
    pub fn order(&self, template: &str, name: &str) -> Outcome<Value> {
        self.post("/environments", json!({ "template": template, "name": name }))
    }

    pub fn environment(&self, name: &str) -> Outcome<Value> {
        self.get(&format!("/environments/{name}"))
    }

    pub fn park(&self, name: &str) -> Outcome<Value> {
        self.post(&format!("/environments/{name}/park"), json!({}))
    }

    pub fn resume(&self, name: &str) -> Outcome<Value> {
        self.post(&format!("/environments/{name}/resume"), json!({}))
    }

    pub fn delete(&self, name: &str) -> Outcome<Value> {
        self.post(&format!("/environments/{name}/delete"), json!({}))
    }

    /// All environments that are not deleted.
    pub fn environments(&self) -> Outcome<Vec<Value>> {
        let mut all = Vec::new();
        let mut page = self.get("/environments?limit=200")?;
        loop {
            all.extend(page["items"].as_array().cloned().unwrap_or_default());
            let Some(cursor) = page["next"].as_str() else { return Ok(all) };
            page = self.get(&format!("/environments?limit=200&cursor={cursor}"))?;
        }
    }

    /// Ids of environments as the portal says that they have changed.
    pub fn changes(&self) -> Outcome<Receiver<String>> {
        let request = self.agent.get(format!("{}/events", self.base)).header("Authorization", &self.authorization);
        let answer = request.call().map_err(|error| format!("Cannot listen to events: {error}"))?;
        if !answer.status().is_success() {
            return Err(format!("The portal answered {} to listening to its events.", answer.status()));
        }
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(answer.into_body().into_reader()).lines().map_while(Result::ok) {
                let event: Value = line
                    .strip_prefix("data:")
                    .map_or(Value::Null, |data| serde_json::from_str(data).unwrap_or_default());
                if let Some(id) = event["id"].as_str()
                    && sender.send(id.to_owned()).is_err()
                {
                    return;
                }
            }
        });
        Ok(receiver)
    }

    fn get(&self, path: &str) -> Outcome<Value> {
        let request = self.agent.get(format!("{}{path}", self.base)).header("Authorization", &self.authorization);
        let answer = request.config().timeout_global(Some(Duration::from_secs(60))).build().call();
        understood(path, answer)
    }

    fn post(&self, path: &str, body: Value) -> Outcome<Value> {
        let request = self.agent.post(format!("{}{path}", self.base)).header("Authorization", &self.authorization);
        let request = request.header("Content-Type", "application/json");
        let answer = request.config().timeout_global(Some(Duration::from_secs(60))).build().send(body.to_string());
        understood(path, answer)
    }
}

fn understood(path: &str, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Outcome<Value> {
    let mut answer = answer.map_err(|error| format!("{path}: {error}"))?;
    let text = answer.body_mut().read_to_string().map_err(|error| format!("{path}: {error}"))?;
    if !answer.status().is_success() {
        return Err(format!("{path}: the portal answered {}: {text}", answer.status()));
    }
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).map_err(|error| format!("{path}: {error}: {text}"))
}
