//! Stories of the hub: the real link over socket pairs to an agent's router, a directory that can be made to fail.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use agent::api::{Config, HostEntry, LogLine, Status};
use agent::link::{Hello, LinkError};
use app::portal::Channel;
use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::routing::{get, put};
use provisioners::{AgentGateway, EnvironmentId, ServerId};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;

/// What the database would hold.
#[derive(Default)]
struct Memory {
    lines: watch::Sender<Vec<(i64, u64)>>,
    gone: watch::Sender<Vec<i64>>,
    failures_left: AtomicU32,
    hosts: std::sync::Mutex<Vec<HostEntry>>,
}

#[async_trait]
impl AgentDirectory for Memory {
    async fn enrol(&self, hello: &Hello) -> Result<Enrolled, EnrolError> {
        match hello.session_key.as_str() {
            "good" => {
                let stored =
                    self.lines.borrow().iter().filter(|line| line.0 == hello.generation).map(|line| line.1).max();
                let config = Config { digest: "one".into(), ..Config::default() };
                let present = Present { config: Some(config), hosts: Vec::new() };
                let environment = "environment".into();
                Ok(Enrolled { environment, present, last_log_seq: stored.unwrap_or(0) })
            }
            _ => Err(EnrolError::Refused("the enrolment token is wrong or used".into())),
        }
    }
    async fn present(&self, _: &ServerId, _: i64, _: Option<Ipv4Addr>) -> Result<Present, DirectoryError> {
        let config = Config { digest: "one".into(), ..Config::default() };
        Ok(Present { config: Some(config), hosts: self.hosts.lock().unwrap().clone() })
    }
    async fn record_status(&self, _: &ServerId, _: i64, _: &Status) -> Result<(), DirectoryError> {
        Ok(())
    }
    async fn disconnected(&self, _: &ServerId, generation: i64) -> Result<(), DirectoryError> {
        self.gone.send_modify(|gone| gone.push(generation));
        Ok(())
    }
    async fn append_logs(&self, batches: &[LogBatch]) -> Result<(), DirectoryError> {
        let again = |left: u32| left.checked_sub(1);
        if self.failures_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, again).is_ok() {
            return Err("the disk is full".into());
        }
        let new = batches.iter().flat_map(|batch| batch.lines.iter().map(|line| (batch.generation, line.seq)));
        self.lines.send_modify(|lines| lines.extend(new));
        Ok(())
    }
}

/// An agent that has the log lines 1, 2, 3 and notes the digests of configurations it is given.
fn router(digests: watch::Sender<Vec<String>>) -> Router {
    #[derive(serde::Deserialize)]
    struct After {
        after: u64,
    }
    let logs = async |axum::extract::Query(After { after }): axum::extract::Query<After>| {
        let line = |seq| LogLine { seq, at_ms: 0, source: "api".into(), text: format!("line\0 {seq}") };
        let lines: String = (after + 1..=3).map(|seq| serde_json::to_string(&line(seq)).unwrap() + "\n").collect();
        let lines = futures::stream::once(async move { Ok::<_, std::convert::Infallible>(lines) });
        Body::from_stream(futures::StreamExt::chain(lines, futures::stream::pending()))
    };
    let configure = async move |axum::Json(config): axum::Json<Config>| {
        digests.send_modify(|digests| digests.push(config.digest));
        http::StatusCode::NO_CONTENT
    };
    Router::new()
        .route("/v1/logs", get(logs))
        .route(
            "/v1/reports",
            get(async || Body::from_stream(futures::stream::pending::<Result<String, std::io::Error>>())),
        )
        .route("/v1/config", put(configure))
}

fn dial(hub: &Hub, generation: i64, key: &str, router: Router) -> JoinHandle<LinkError> {
    let (agents, portals) = UnixStream::pair().unwrap();
    let hello = Hello::new("s", generation, key);
    hub.accepted(Box::new(portals));
    tokio::spawn(async move {
        let Err(ended) = agent::link::agent::serve(agents, &hello, &router, || {}).await;
        ended
    })
}

fn server() -> ServerId {
    ServerId::new("s")
}

#[tokio::test]
async fn lines_are_stored_once_and_before_they_are_shown_although_the_database_fails_and_the_agent_comes_again() {
    let memory = Arc::new(Memory::default());
    memory.failures_left.store(2, Ordering::SeqCst);
    let hub = Hub::new(memory.clone());
    let mut shown = hub.follow_logs();
    let first = dial(&hub, 1, "good", router(watch::Sender::default()));
    let batch = shown.recv().await.unwrap();
    assert_eq!(*memory.lines.borrow(), [(1, 1), (1, 2), (1, 3)]);
    assert_eq!(batch.lines[0].text, "line 1", "a character a database refuses is gone");
    let digests = watch::Sender::default();
    let mut configured = digests.subscribe();
    dial(&hub, 1, "good", router(digests));
    first.await.unwrap();
    configured.wait_for(|digests: &Vec<String>| !digests.is_empty()).await.unwrap();
    assert!(hub.is_connected(&server()), "the newer connection took the place of the older");
    assert_eq!(memory.lines.borrow().len(), 3);
    assert!(memory.gone.borrow().is_empty(), "the server was never without a link");
}

#[tokio::test]
async fn attack_26_an_older_generation_cannot_take_the_place_of_a_newer_one_and_a_wrong_key_is_refused() {
    let hub = Hub::new(Arc::new(Memory::default()));
    let digests = watch::Sender::default();
    let mut configured = digests.subscribe();
    dial(&hub, 2, "good", router(digests));
    configured.wait_for(|digests: &Vec<String>| !digests.is_empty()).await.unwrap();
    dial(&hub, 1, "good", router(watch::Sender::default())).await.unwrap();
    let refusal = dial(&hub, 3, "stolen", router(watch::Sender::default())).await.unwrap();
    assert!(matches!(refusal, LinkError::Refused(_)));
    assert!(hub.is_connected(&server()));
}

#[tokio::test]
async fn a_server_whose_agent_went_away_is_noted_as_gone_and_cannot_be_opened() {
    let memory = Arc::new(Memory::default());
    let hub = Hub::new(memory.clone());
    let digests = watch::Sender::default();
    let mut configured = digests.subscribe();
    let agent = dial(&hub, 1, "good", router(digests));
    configured.wait_for(|digests: &Vec<String>| !digests.is_empty()).await.unwrap();
    assert!(matches!(hub.open(&server(), Channel::Port { port: 1 }).await, Err(OpenError::Declined(_))));
    agent.abort();
    memory.gone.subscribe().wait_for(|gone| gone == &[1]).await.unwrap();
    assert!(matches!(hub.open(&server(), Channel::Port { port: 1 }).await, Err(OpenError::NotConnected)));
    assert!(!hub.is_connected(&server()));

    let expecting = tokio::spawn({
        let hub = hub.clone();
        async move { hub.await_connection(&server(), Duration::from_secs(60)).await }
    });
    dial(&hub, 1, "good", router(watch::Sender::default()));
    expecting.await.unwrap();
    assert!(hub.is_connected(&server()), "whoever waits for it goes on when it is back");
}

#[tokio::test]
async fn an_agent_is_told_where_its_peers_are_when_it_comes_and_when_that_changes() {
    let memory = Arc::new(Memory::default());
    let hub = Hub::new(memory.clone());
    let told = watch::Sender::new(Vec::<Vec<HostEntry>>::new());
    let digests = watch::Sender::default();
    let mut heard = told.subscribe();
    let keep = {
        let told = told.clone();
        async move |axum::Json(hosts): axum::Json<agent::api::Hosts>| {
            told.send_modify(|told| told.push(hosts.hosts));
            http::StatusCode::NO_CONTENT
        }
    };
    let mut configured = digests.subscribe();
    dial(&hub, 1, "good", router(digests.clone()).route("/v1/hosts", put(keep)));
    configured.wait_for(|digests: &Vec<String>| !digests.is_empty()).await.unwrap();
    assert!(told.borrow().is_empty(), "all are where they were planned");
    let web = HostEntry { name: "web".into(), address: [10, 1, 2, 3].into() };
    *memory.hosts.lock().unwrap() = vec![web.clone()];
    hub.moved(&EnvironmentId::new("another"));
    hub.moved(&EnvironmentId::new("environment"));
    heard.wait_for(|told| *told == [[web.clone()]]).await.unwrap();
    assert_eq!(*digests.borrow(), ["one"], "the same configuration is sent once");
}
