//! One agent's link, from its greeting to its end.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agent::api::{Config, Failure, HostEntry, Hosts, LogLine, Phase, Report, Status};
use agent::link::portal::{self, Connection, Lines};
use agent::link::{LinkError, VERSION};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use provisioners::{Duplex, EnvironmentId, ServerId};
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};

use super::history::History;
use super::hub::{Link, Shared};
use super::{EnrolError, Enrolled, LogBatch, Present};

/// Metrics come every three seconds; an agent silent for this long is gone, whatever its connection says.
const SILENCE: Duration = Duration::from_secs(20);
/// Where servers are may be found out by another portal, which tells nobody here.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// As the API promises; an agent that sends longer ones has them cut.
const MAX_LINE: usize = 16 * 1024;
const MAX_SOURCE: usize = 64;

/// Asks who calls, then keeps the link going until it ends. `permit` is given back once the caller is known.
pub(super) async fn run(shared: Arc<Shared>, stream: Box<dyn Duplex>, permit: OwnedSemaphorePermit) {
    // Before anything is read: what changes meanwhile is told.
    let moves = shared.moves.subscribe();
    let Some((agent, enrolled, connection)) = welcome(&shared, stream).await else { return };
    drop(permit);
    let Some((link, after)) = agent.take_over(connection, enrolled.last_log_seq) else { return };
    tracing::debug!(server = %agent.server, agent.generation, "agent connected");
    let ended = tokio::select! {
        Err(ended) = agent.tell(&link, enrolled, moves) => Err(ended),
        ended = agent.read_reports(&link) => ended,
        ended = agent.read_logs(&link, after) => ended,
        () = link.connection.closed() => Err(LinkError::Closed),
    };
    link.connection.close();
    if let Err(error) = ended {
        tracing::debug!(server = %agent.server, agent.generation, %error, "agent disconnected");
    }
    agent.leave(&link).await;
}

/// `None` when the caller was sent away.
async fn welcome(shared: &Arc<Shared>, stream: Box<dyn Duplex>) -> Option<(Agent, Enrolled, Connection)> {
    let caller = portal::receive(stream).await.inspect_err(|error| tracing::debug!(%error, "no greeting")).ok()?;
    let hello = &caller.hello;
    let server = ServerId::new(hello.server.clone());
    let decision = if hello.version == VERSION {
        shared.directory.enrol(hello).await
    } else {
        Err(EnrolError::Refused(format!("agent and portal do not speak the same version ({VERSION})")))
    };
    match decision {
        Ok(enrolled) => {
            let agent = Agent { shared: shared.clone(), server, generation: hello.generation, from: hello.address };
            let connection = caller.accept().await.ok()?;
            Some((agent, enrolled, connection))
        }
        Err(EnrolError::Refused(reason)) => {
            tracing::warn!(server = ?hello.server, generation = hello.generation, reason, "agent refused");
            caller.refuse(reason).await.ok();
            None
        }
        Err(error @ EnrolError::Unavailable(_)) => {
            tracing::warn!(%error, "an agent has to call again");
            None
        }
    }
}

/// Whose link it is.
struct Agent {
    shared: Arc<Shared>,
    server: ServerId,
    generation: i64,
    /// [`agent::link::Hello::address`].
    from: Option<Ipv4Addr>,
}

impl Agent {
    /// Becomes the server's one link and says after which log line to go on; `None` when a newer generation is there.
    fn take_over(&self, connection: Connection, stored_seq: u64) -> Option<(Link, u64)> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let link = Link { connection, number: NUMBER.fetch_add(1, Ordering::Relaxed) };
        let mut servers = self.shared.lock();
        let known = servers.entry(self.server.clone()).or_default();
        if known.generation > self.generation {
            link.connection.close();
            return None;
        }
        if known.generation < self.generation {
            known.generation = self.generation;
            known.metrics = None;
            known.history = History::default();
            known.last_log_seq = 0;
        }
        known.last_log_seq = known.last_log_seq.max(stored_seq);
        if let Some(older) = known.link.replace(link.clone()) {
            older.connection.close();
        }
        let last_log_seq = known.last_log_seq;
        drop(servers);
        self.shared.arrivals.notify_waiters();
        Some((link, last_log_seq))
    }

    async fn leave(&self, link: &Link) {
        {
            let mut servers = self.shared.lock();
            let Some(known) = servers.get_mut(&self.server) else { return };
            if known.link.as_ref().is_none_or(|present| present.number != link.number) {
                return;
            }
            known.link = None;
        }
        self.until_done("note that the agent is gone", || {
            self.shared.directory.disconnected(&self.server, self.generation)
        })
        .await;
    }

    /// Tells what the server should be and where its peers are, and again whenever that is something else. While a generation
    /// lives its configuration changes only where its agent did not say itself where it is.
    async fn tell(
        &self,
        link: &Link,
        enrolled: Enrolled,
        mut moves: broadcast::Receiver<EnvironmentId>,
    ) -> Result<Infallible, LinkError> {
        let environment = EnvironmentId::new(enrolled.environment);
        let mut told = Present::default();
        let mut present = enrolled.present;
        let mut looked_again = false;
        loop {
            if present.hosts != told.hosts {
                self.put_hosts(link, present.hosts.clone()).await?;
            }
            let digest = |present: &Present| present.config.as_ref().map(|config| config.digest.clone());
            if digest(&present) != digest(&told)
                && let Some(config) = present.config.clone()
            {
                self.put_config(link, config).await?;
            }
            told = present;
            tokio::select! {
                () = until_moved(&mut moves, &environment) => {}
                () = tokio::time::sleep(LOOK_AGAIN), if !told.hosts.is_empty() || !looked_again => looked_again = true,
            }
            let look = || self.shared.directory.present(&self.server, self.generation, self.from);
            present = self.until_done("find out where servers are", look).await;
        }
    }

    async fn put_hosts(&self, link: &Link, hosts: Vec<HostEntry>) -> Result<(), LinkError> {
        let body = serde_json::to_vec(&Hosts { hosts }).map_err(std::io::Error::other)?;
        let response = link.connection.request(request(Method::PUT, "/v1/hosts", body)).await?;
        let status = response.status();
        if status != StatusCode::NO_CONTENT {
            // It says why in its own log.
            tracing::warn!(server = %self.server, %status, "the agent does not take the names of its peers");
        }
        Ok(())
    }

    async fn put_config(&self, link: &Link, config: Config) -> Result<(), LinkError> {
        let body = serde_json::to_vec(&config).map_err(std::io::Error::other)?;
        let response = link.connection.request(request(Method::PUT, "/v1/config", body)).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(());
        }
        let answer = Limited::new(response.into_body(), 4096).collect().await;
        let answer = answer.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
        tracing::warn!(server = %self.server, answer, "the agent does not take its configuration");
        let failure = Failure {
            step: "configuration".into(),
            cause: answer,
            lines: Vec::new(),
            remedy: "Correct the template, or order with other parameters.".into(),
        };
        let status =
            Status { config: Some(config.digest), phase: Phase::Failed, failure: Some(failure), ..Status::default() };
        self.record(&status).await;
        Ok(())
    }

    /// Keeps the newest status durable and the newest metrics in memory.
    async fn read_reports(&self, link: &Link) -> Result<(), LinkError> {
        let response = link.connection.request(request(Method::GET, "/v1/reports", Vec::new())).await?;
        let mut reports: Lines<Report> = Lines::new(response);
        let (newest, mut to_record) = watch::channel(Status::default());
        let read = async {
            loop {
                let batch = tokio::time::timeout(SILENCE, reports.next()).await.map_err(|_| LinkError::Timeout)??;
                if batch.is_empty() {
                    return Err(LinkError::Closed);
                }
                for report in batch {
                    match report {
                        Report::Status(status) => drop(newest.send_replace(status)),
                        Report::Metrics(metrics) => {
                            if let Some(known) = self.shared.lock().get_mut(&self.server)
                                && known.generation == self.generation
                            {
                                known.history.add(&metrics);
                                known.metrics = Some(metrics);
                            }
                        }
                    }
                }
            }
        };
        let record = async {
            while to_record.changed().await.is_ok() {
                let status = to_record.borrow_and_update().clone();
                self.record(&status).await;
            }
        };
        tokio::select! {
            ended = read => ended,
            () = record => Err(LinkError::Closed),
        }
    }

    /// Hands new lines to the writer.
    async fn read_logs(&self, link: &Link, after: u64) -> Result<(), LinkError> {
        let path = format!("/v1/logs?after={after}");
        let response = link.connection.request(request(Method::GET, &path, Vec::new())).await?;
        let mut incoming: Lines<LogLine> = Lines::new(response);
        loop {
            let lines = incoming.next().await?;
            if lines.is_empty() {
                return Err(LinkError::Closed);
            }
            // The place is taken first, so that what is noted as handed over is handed over, whenever this is dropped.
            let place = self.shared.log_writer.reserve().await.map_err(|_| LinkError::Closed)?;
            let mut servers = self.shared.lock();
            let Some(known) = servers.get_mut(&self.server) else { return Err(LinkError::Closed) };
            if known.link.as_ref().is_none_or(|present| present.number != link.number) {
                return Err(LinkError::Closed);
            }
            let lines = in_order(lines, known.last_log_seq);
            if let Some(last) = lines.last() {
                known.last_log_seq = last.seq;
                place.send(LogBatch { server: self.server.clone(), generation: self.generation, lines });
            }
        }
    }

    async fn record(&self, status: &Status) {
        self.until_done("record a status", || {
            self.shared.directory.record_status(&self.server, self.generation, status)
        })
        .await;
    }

    /// Tries until the database answers.
    async fn until_done<T, F>(&self, attempt: &str, mut call: impl FnMut() -> F) -> T
    where
        F: Future<Output = Result<T, super::DirectoryError>>,
    {
        let mut delay = FIRST_RETRY;
        loop {
            match call().await {
                Ok(value) => return value,
                Err(error) => tracing::warn!(server = %self.server, %error, "cannot {attempt}; trying again"),
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(LONGEST_RETRY);
        }
    }
}

async fn until_moved(moves: &mut broadcast::Receiver<EnvironmentId>, environment: &EnvironmentId) {
    loop {
        match moves.recv().await {
            Ok(moved) if moved == *environment => return,
            Ok(_) => {}
            Err(broadcast::error::RecvError::Lagged(_)) => return,
            // The hub is gone, and soon this link is.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// A request to an agent; only made of our own words, so it can be made.
pub(super) fn request(method: Method, path: &str, body: Vec<u8>) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::from(body));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(http::header::HOST, http::HeaderValue::from_static("agent"));
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    request
}

/// The lines that are new, each within the limits an honest agent keeps.
fn in_order(lines: Vec<LogLine>, after: u64) -> Vec<LogLine> {
    let mut last = after;
    let mut kept = Vec::with_capacity(lines.len());
    for mut line in lines {
        if line.seq <= last || i64::try_from(line.seq).is_err() {
            continue;
        }
        last = line.seq;
        tidy(&mut line.text, MAX_LINE);
        tidy(&mut line.source, MAX_SOURCE);
        kept.push(line);
    }
    kept
}

/// Control characters could confuse a terminal, and a database refuses some of them.
fn tidy(text: &mut String, limit: usize) {
    text.truncate(text.floor_char_boundary(limit));
    text.retain(|character| character == '\t' || !character.is_control());
}
