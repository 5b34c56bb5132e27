//! Log lines: those that are stored, new ones as they come, and all of them.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use app::api::{ApiError, LiveEvent, LogLine, LogSelection, State};
use app::portal::{Live, SignedIn};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use super::live::server_named;
use super::trouble::failed;
use super::{Service, access, environments};
use crate::domain::log::{Before, Selection, position};
use crate::store::{EnvironmentRecord, LogPlace, Store, log_line};

const MOST_LINES: u32 = 10_000;
/// Longest text searched for, in bytes.
const LONGEST_SEARCH: usize = 200;
/// Lines on their way to somebody who reads slowly.
const AHEAD: usize = 256;
/// Lines that come within this time come at once.
const AT_ONCE: Duration = Duration::from_millis(250);

pub(super) async fn logs(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    of: &LogSelection,
    tail: u32,
) -> Result<Vec<LogLine>, ApiError> {
    let (record, selection) = readable(service, by, environment, of, tail).await?;
    service.store.log_tail(&record.summary.id, &selection, tail as usize).await.map_err(failed)
}

pub(super) async fn follow(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    of: &LogSelection,
    tail: u32,
    most_at_once: Option<u32>,
) -> Result<Live<LogLine>, ApiError> {
    // Listened to first: what is stored while the tail is read comes twice, and is told apart by its position.
    let mut stored = service.hub.follow_logs();
    let mut changes = service.bell.subscribe();
    let (record, selection) = readable(service, by, environment, of, tail).await?;
    let id = record.summary.id.clone();
    let store = service.store.clone();
    let names = names(&record, &selection).into_iter().collect::<HashMap<String, String>>();
    let first = store.log_tail(&id, &selection, tail as usize).await.map_err(failed)?;
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
        let mut waiting = Waiting::new(most_at_once);
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
                () = waiting.due() => {
                    for line in waiting.take() {
                        if send.send(line).await.is_err() {
                            return;
                        }
                    }
                    continue;
                }
                () = send.closed() => return,
            };
            match batch {
                Ok(batch) => {
                    let Some(name) = names.get(batch.server.as_str()) else { continue };
                    for line in &batch.lines {
                        let line = log_line(name, batch.generation, line.clone());
                        if selection.matches(&line) && shown.is_new(&line) {
                            waiting.add(line);
                        }
                    }
                }
                // Too slow to keep up: what was missed is in the database.
                Err(RecvError::Lagged(_)) => {
                    let missed = store.log_tail(&id, &selection, MOST_LINES as usize).await.unwrap_or_default();
                    for line in missed {
                        if shown.is_new(&line) {
                            waiting.add(line);
                        }
                    }
                }
                Err(RecvError::Closed) => return,
            };
        }
    });
    Ok(Box::pin(ReceiverStream::new(lines)))
}

pub(super) async fn whole(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    of: &LogSelection,
) -> Result<Live<Result<LogLine, ApiError>>, ApiError> {
    let (record, selection) = readable(service, by, environment, of, 0).await?;
    let mut servers: Vec<Reading> = names(&record, &selection).into_iter().map(Reading::new).collect();
    let store = service.store.clone();
    let (send, lines) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        loop {
            match next_line(&store, &selection, &mut servers).await {
                Ok(None) => return,
                Ok(Some(line)) => {
                    if send.send(Ok(line)).await.is_err() {
                        return;
                    }
                }
                // Whoever reads it must learn that it is not all.
                Err(error) => return drop(send.send(Err(failed(error))).await),
            }
        }
    });
    Ok(Box::pin(ReceiverStream::new(lines)))
}

/// How far the log of one server was read: a few chunks are in memory, never all of it.
struct Reading {
    id: String,
    name: String,
    place: LogPlace,
    lines: VecDeque<LogLine>,
    ended: bool,
}

impl Reading {
    fn new((id, name): (String, String)) -> Self {
        Self { id, name, place: LogPlace::START, lines: VecDeque::new(), ended: false }
    }
}

/// The oldest line that no server's reading has passed yet.
async fn next_line(
    store: &Store,
    of: &Selection,
    servers: &mut [Reading],
) -> Result<Option<LogLine>, crate::store::StoreError> {
    for server in servers.iter_mut() {
        while server.lines.is_empty() && !server.ended {
            match store.log_after(&server.id, &server.name, server.place).await? {
                None => server.ended = true,
                Some((lines, place)) => {
                    server.place = place;
                    server.lines = lines.into_iter().filter(|line| of.matches(line)).collect();
                }
            }
        }
    }
    let oldest = servers.iter_mut().filter(|server| !server.lines.is_empty());
    let oldest = oldest.min_by_key(|server| server.lines.front().map(|line| line.at));
    Ok(oldest.and_then(|server| server.lines.pop_front()))
}

/// Lines that came and were not passed on yet. Of those that come at once the newest stay, and the first of them says how
/// many are missing.
struct Waiting {
    most: Option<usize>,
    lines: VecDeque<LogLine>,
    skipped: u64,
    passed_on: Option<Instant>,
}

impl Waiting {
    fn new(most: Option<u32>) -> Self {
        Self { most: most.map(|most| most.max(1) as usize), lines: VecDeque::new(), skipped: 0, passed_on: None }
    }

    fn add(&mut self, line: LogLine) {
        if self.most.is_some_and(|most| self.lines.len() >= most) {
            self.lines.pop_front();
            self.skipped += 1;
        }
        self.lines.push_back(line);
    }

    /// Ends when something is to be passed on: at once after a pause, then only every so often.
    async fn due(&self) {
        if self.lines.is_empty() {
            return std::future::pending().await;
        }
        if let (Some(_), Some(before)) = (self.most, self.passed_on) {
            tokio::time::sleep_until(before + AT_ONCE).await;
        }
    }

    fn take(&mut self) -> VecDeque<LogLine> {
        self.passed_on = Some(Instant::now());
        if let Some(first) = self.lines.front_mut() {
            first.skipped = std::mem::take(&mut self.skipped);
        }
        std::mem::take(&mut self.lines)
    }
}

/// Which lines somebody has: the last position of each server.
#[derive(Default)]
struct Shown(HashMap<String, (i64, u64)>);

impl Shown {
    fn is_new(&mut self, line: &LogLine) -> bool {
        let place = position(&line.position).unwrap_or_default();
        match self.0.get(&line.server) {
            Some(last) if place <= *last => false,
            _ => {
                self.0.insert(line.server.clone(), place);
                true
            }
        }
    }
}

/// Id and name of each server whose lines are asked for.
fn names(record: &EnvironmentRecord, of: &Selection) -> Vec<(String, String)> {
    let servers = record.facts.observed.servers.iter();
    let asked = servers.filter(|known| of.server.as_ref().is_none_or(|server| *server == known.name));
    asked.map(|known| (known.id.to_string(), known.name.clone())).collect()
}

/// The environment whose logs this person may read, and which of its lines are asked for.
async fn readable(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    of: &LogSelection,
    tail: u32,
) -> Result<(EnvironmentRecord, Selection), ApiError> {
    let record = environments::find(service, by, environment).await?;
    access::owner(by, &record)?;
    if tail > MOST_LINES {
        return Err(ApiError::field("tail", "is at most 10000"));
    }
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let server = match given(&of.server) {
        None => None,
        Some(server) => Some(server_named(&record, &server)?.name.clone()),
    };
    let search = given(&of.search);
    if search.as_ref().is_some_and(|search| search.len() > LONGEST_SEARCH) {
        return Err(ApiError::field("search", format!("is at most {LONGEST_SEARCH} bytes long")));
    }
    let before = match given(&of.before) {
        None => None,
        Some(text) => Some(Before::parse(&text).ok_or_else(|| ApiError::field("before", "is no place in a log"))?),
    };
    Ok((record, Selection { server, search, level: of.level, since: of.since, before }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64) -> LogLine {
        log_line("web", 1, agent::api::LogLine { seq: number, at_ms: 0, source: "main".into(), text: String::new() })
    }

    #[tokio::test]
    async fn of_a_flood_the_newest_lines_are_passed_on_and_how_many_were_not() {
        let mut waiting = Waiting::new(Some(3));
        (1..=10).for_each(|number| waiting.add(line(number)));
        waiting.due().await;
        let first = waiting.take();
        assert_eq!(first.iter().map(|line| line.position.as_str()).collect::<Vec<_>>(), ["1.8", "1.9", "1.10"]);
        assert_eq!(first.iter().map(|line| line.skipped).collect::<Vec<_>>(), [7, 0, 0]);
        waiting.add(line(11));
        waiting.due().await;
        assert_eq!(waiting.take()[0].skipped, 0);
    }

    #[tokio::test]
    async fn who_wants_every_line_gets_every_line_at_once() {
        let mut waiting = Waiting::new(None);
        for _ in 0..2 {
            (1..=500).for_each(|number| waiting.add(line(number)));
            waiting.due().await;
            assert_eq!(waiting.take().len(), 500);
        }
    }
}
