//! What goes on by itself: log lines and changes, for as long as somebody looks.

use std::collections::HashMap;

use app::api::{ApiError, LiveEvent, LogLine, State};
use app::portal::{Live, SignedIn};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::trouble::{failed, no_such};
use super::{Service, access, environments};
use crate::store::EnvironmentRecord;

const MOST_LINES: u32 = 10_000;
/// Lines or events on their way to somebody who reads slowly.
const AHEAD: usize = 256;

pub(super) async fn logs(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    server: Option<&str>,
    tail: u32,
) -> Result<Vec<LogLine>, ApiError> {
    let (record, server) = readable(service, by, environment, server, tail).await?;
    service.store.log_tail(&record.summary.id, server.as_deref(), tail as usize).await.map_err(failed)
}

pub(super) async fn follow_logs(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    server: Option<&str>,
    tail: u32,
) -> Result<Live<LogLine>, ApiError> {
    // Listened to first: what is stored while the tail is read comes twice, and is told apart by its position.
    let mut stored = service.hub.follow_logs();
    let mut changes = service.bell.subscribe();
    let (record, server) = readable(service, by, environment, server, tail).await?;
    let id = record.summary.id.clone();
    let store = service.store.clone();
    let names: HashMap<String, String> = record
        .facts
        .observed
        .servers
        .iter()
        .filter(|known| server.as_ref().is_none_or(|server| *server == known.name))
        .map(|known| (known.id.to_string(), known.name.clone()))
        .collect();
    let first = store.log_tail(&id, server.as_deref(), tail as usize).await.map_err(failed)?;
    let team = by.team_id.clone();
    let (send, lines) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let mut shown = Shown::default();
        for line in first {
            shown.is_new(&line);
            if send.send(line).await.is_err() {
                return;
            }
        }
        // With no tail asked for, everything from now on counts as new.
        loop {
            let batch = tokio::select! {
                batch = stored.recv() => batch,
                change = changes.recv() => match change {
                    Ok(LiveEvent::Environment { id: changed }) if changed != id => continue,
                    Ok(LiveEvent::Catalog) => continue,
                    Err(RecvError::Closed) => return,
                    _ => match store.environment(&team, &id).await {
                        Ok(Some(record)) if record.summary.state != State::Deleted => continue,
                        Ok(_) => return,
                        Err(_) => continue,
                    },
                },
                () = send.closed() => return,
            };
            let fresh: Vec<LogLine> = match batch {
                Ok(batch) => match names.get(batch.server.as_str()) {
                    Some(name) => batch.lines.iter().map(|line| as_shown(name, batch.generation, line)).collect(),
                    None => continue,
                },
                // Too slow to keep up: what was missed is in the database.
                Err(RecvError::Lagged(_)) => {
                    store.log_tail(&id, server.as_deref(), MOST_LINES as usize).await.unwrap_or_default()
                }
                Err(RecvError::Closed) => return,
            };
            for line in fresh {
                if shown.is_new(&line) && send.send(line).await.is_err() {
                    return;
                }
            }
        }
    });
    Ok(Box::pin(ReceiverStream::new(lines)))
}

/// Which lines somebody has: the last position of each server.
#[derive(Default)]
struct Shown(HashMap<String, (i64, u64)>);

impl Shown {
    fn is_new(&mut self, line: &LogLine) -> bool {
        let parts = line.position.split_once('.');
        let position = parts.and_then(|(generation, seq)| Some((generation.parse().ok()?, seq.parse().ok()?)));
        let position: (i64, u64) = position.unwrap_or_default();
        match self.0.get(&line.server) {
            Some(last) if position <= *last => false,
            _ => {
                self.0.insert(line.server.clone(), position);
                true
            }
        }
    }
}

fn as_shown(server: &str, generation: i64, line: &agent::api::LogLine) -> LogLine {
    LogLine {
        position: format!("{generation}.{}", line.seq),
        at: line.at_ms,
        server: server.to_string(),
        source: line.source.clone(),
        text: line.text.clone(),
    }
}

/// The environment whose logs this person may read, and the server's name.
async fn readable(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    server: Option<&str>,
    tail: u32,
) -> Result<(EnvironmentRecord, Option<String>), ApiError> {
    let record = environments::find(service, by, environment).await?;
    access::owner(by, &record)?;
    if tail > MOST_LINES {
        return Err(ApiError::field("tail", "is at most 10000"));
    }
    let server = match server.filter(|server| !server.is_empty()) {
        None => None,
        Some(server) => Some(server_named(&record, server)?.name.clone()),
    };
    Ok((record, server))
}

/// A server of this environment, by name or id.
///
/// # Errors
/// 404 that lists those there are.
pub(super) fn server_named<'a>(
    record: &'a EnvironmentRecord,
    server: &str,
) -> Result<&'a crate::domain::facts::Server, ApiError> {
    let servers = &record.facts.observed.servers;
    servers.iter().find(|known| known.name == server || known.id.as_str() == server).ok_or_else(|| {
        let known: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
        no_such("server", server).with_detail(format!("“{}” has {}.", record.summary.name, known.join(", ")))
    })
}

/// Changes of the person's team, or of one environment. A stream that cannot keep up ends: whoever reads it begins anew, and
/// reads everything again.
pub(super) async fn events(
    service: &Service,
    by: &SignedIn,
    environment: Option<&str>,
) -> Result<Live<LiveEvent>, ApiError> {
    let mut changes = service.bell.subscribe();
    let only = match environment {
        Some(environment) => Some(environments::find(service, by, environment).await?.summary.id),
        None => None,
    };
    let (store, team) = (service.store.clone(), by.team_id.clone());
    let (send, events) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        // Whether an environment is the team's; it never becomes another's.
        let mut known: HashMap<String, bool> = HashMap::new();
        loop {
            let event = tokio::select! {
                event = changes.recv() => event,
                () = send.closed() => return,
            };
            let Ok(event) = event else { return };
            let seen = match (&event, &only) {
                (LiveEvent::Catalog, only) => only.is_none(),
                (LiveEvent::Environment { id }, Some(only)) => id == only,
                (LiveEvent::Environment { id }, None) => match known.get(id) {
                    Some(seen) => *seen,
                    None => {
                        let Ok(owning_team) = store.team_of_environment(id).await else { return };
                        let seen = owning_team.as_deref() == Some(&team);
                        known.insert(id.clone(), seen);
                        seen
                    }
                },
            };
            if seen && send.send(event).await.is_err() {
                return;
            }
        }
    });
    Ok(Box::pin(ReceiverStream::new(events)))
}
