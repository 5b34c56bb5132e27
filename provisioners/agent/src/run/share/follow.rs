//! How one copy stands: asked again whenever Syncthing tells that something has happened.
//!
//! When a copy has heard everything from another one is not to be read from Syncthing: nothing may be lacking simply because
//! nothing was heard yet. So a file is put into the copy, the mark. When the other one announces that it has the mark too,
//! everything that it had before has been announced as well, for announcements come in order.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;

use super::client::{CallError, Client};
use super::home;
use crate::api::{Config, Conflict, Peer, Shared};
use crate::run::Server;
use crate::run::frost::Clock;
use crate::run::lines::plain;

/// A server that stays out of reach for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// It has only just been started.
const KNOCK: Duration = Duration::from_millis(50);
/// Once the copy is in step, changes are not told more often than this.
const CALM: Duration = Duration::from_secs(1);
/// The longest that Syncthing may take to say that nothing happened; in seconds.
const QUIET_S: u64 = 60;
const EVENTS: &str = "StateChanged,FolderSummary,FolderErrors,RemoteIndexUpdated,LocalIndexUpdated,ItemFinished,\
                      DeviceConnected,DeviceDisconnected,LocalChangeDetected";
/// Syncthing gives the version that is put aside a name with this in it.
const CONFLICT: &str = ".sync-conflict-";
const CONFLICTS_TOLD: usize = 20;
const LONGEST_PATH: usize = 300;

/// How a copy stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Standing {
    need_items: u64,
    need_bytes: u64,
    all_bytes: u64,
    /// Files that could not be taken over.
    errors: u64,
    connected: Vec<String>,
    /// Those who have the mark.
    answered: Vec<String>,
}

/// Tells how the copy stands and opens the gate once it is in step, for ever.
pub(super) async fn follow(
    server: &Server,
    config: &Config,
    index: usize,
    client: &Client,
    gate: &watch::Sender<bool>,
) -> Infallible {
    while client.get("system/ping").await.is_err() {
        sleep(KNOCK).await;
    }
    let mut following = Following::new(server, config, &config.shared[index]);
    loop {
        if let Err(error) = following.once(server, index, client, gate).await {
            server.logs.say(&format!("{}: {error}", following.shared.volume));
            sleep(CALM).await;
        }
    }
}

struct Following<'a> {
    shared: &'a Shared,
    awaited: Vec<&'a Peer>,
    /// When each was last within reach.
    reached: BTreeMap<&'a str, Clock>,
    /// What is lacking, and since when no less is.
    lacking: (u64, u64, Clock),
    /// The last event that was heard of.
    since: Option<u64>,
    /// The mark, once it is set.
    mark: Option<String>,
}

impl<'a> Following<'a> {
    fn new(server: &Server, config: &'a Config, shared: &'a Shared) -> Self {
        let awaited: Vec<&Peer> = shared.peers.iter().filter(|peer| config.awaited.contains(&peer.server)).collect();
        let reached = awaited.iter().map(|peer| (peer.server.as_str(), server.frost.clock())).collect();
        let lacking = (u64::MAX, u64::MAX, server.frost.clock());
        Self { shared, awaited, reached, lacking, since: None, mark: None }
    }

    async fn once(
        &mut self,
        server: &Server,
        index: usize,
        client: &Client,
        gate: &watch::Sender<bool>,
    ) -> Result<(), CallError> {
        let is_open = *gate.borrow();
        if self.since.is_none() {
            // From now on events are kept for this listener.
            self.hear(server, index, client, 0).await?;
        }
        if !is_open && self.mark.is_none() && !self.awaited.is_empty() {
            self.set_mark(client).await?;
        }
        let standing = self.look(client).await?;
        for peer in &self.awaited {
            if standing.connected.contains(&peer.server) {
                self.reached.insert(&peer.server, server.frost.clock());
            }
        }
        if (standing.need_items, standing.need_bytes) != (self.lacking.0, self.lacking.1) {
            self.lacking = (standing.need_items, standing.need_bytes, server.frost.clock());
        }
        let (missing, out_of_reach) = (self.missing(server, &standing), self.out_of_reach(&standing));
        // What only those have who are not there is not waited for.
        let stands_still = !out_of_reach.is_empty() && server.frost.since(self.lacking.2) >= PATIENCE;
        let complete = standing.need_items == 0 || standing.connected.is_empty() || stands_still;
        let opens = !is_open && missing.is_empty() && complete;
        if opens {
            if let Some(mark) = self.mark.take() {
                home::set_mark(self.shared, &mark, false)?;
            }
            gate.send_replace(true);
        }
        let (in_step, words) = words(&standing, &missing, &out_of_reach, is_open || opens);
        server.board.update(|facts| {
            let status = &mut facts.shared[index];
            status.in_step = in_step;
            status.words = words;
        });
        if is_open {
            sleep(CALM).await;
        }
        // Until then it is also looked at who stays out of reach.
        self.hear(server, index, client, if *gate.borrow() { QUIET_S } else { 1 }).await
    }

    async fn set_mark(&mut self, client: &Client) -> Result<(), CallError> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
        let name: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        home::set_mark(self.shared, &name, true)?;
        client.post(&format!("db/scan?folder={}&sub={}", self.shared.volume, home::mark(&name))).await?;
        self.mark = Some(name);
        Ok(())
    }

    async fn look(&self, client: &Client) -> Result<Standing, CallError> {
        let connections = client.get("system/connections").await?;
        let is_connected = |peer: &&Peer| connections["connections"][&peer.device]["connected"] == true;
        let connected = self.shared.peers.iter().filter(is_connected).map(|peer| peer.server.clone()).collect();
        let answered = match &self.mark {
            None => Vec::new(),
            Some(name) => {
                let path = format!("db/file?folder={}&file={}", self.shared.volume, home::mark(name));
                match client.get(&path).await {
                    Ok(file) => self.holders(&file["availability"]),
                    Err(CallError::Refused(http::StatusCode::NOT_FOUND)) => Vec::new(),
                    Err(error) => return Err(error),
                }
            }
        };
        // Last: what was announced before the mark is in it.
        let status = client.get(&format!("db/status?folder={}", self.shared.volume)).await?;
        let number = |name: &str| status[name].as_u64().unwrap_or(0);
        let (need_items, need_bytes) = (number("needTotalItems"), number("needBytes"));
        Ok(Standing {
            need_items,
            need_bytes,
            all_bytes: number("globalBytes"),
            errors: number("pullErrors"),
            connected,
            answered,
        })
    }

    fn holders(&self, availability: &Value) -> Vec<String> {
        let holds = |peer: &&Peer| availability.as_array().into_iter().flatten().any(|one| one["id"] == *peer.device);
        self.shared.peers.iter().filter(holds).map(|peer| peer.server.clone()).collect()
    }

    /// Those whose copies must have been heard, and were not yet.
    fn missing(&self, server: &Server, standing: &Standing) -> Vec<&'a str> {
        let is_near = |peer: &str| self.reached.get(peer).is_some_and(|at| server.frost.since(*at) < PATIENCE);
        let awaited = self.awaited.iter().map(|peer| peer.server.as_str());
        awaited.filter(|peer| !standing.answered.iter().any(|other| other == peer) && is_near(peer)).collect()
    }

    fn out_of_reach(&self, standing: &Standing) -> Vec<&'a str> {
        let peers = self.shared.peers.iter().map(|peer| peer.server.as_str());
        peers.filter(|peer| !standing.connected.iter().any(|other| other == peer)).collect()
    }

    /// Waits for events, at most so many seconds.
    async fn hear(&mut self, server: &Server, index: usize, client: &Client, most_s: u64) -> Result<(), CallError> {
        let since = self.since.unwrap_or(0);
        let path = format!("events?events={EVENTS}&since={since}&timeout={most_s}");
        let events = client.get(&path).await?;
        self.since = Some(since);
        for event in events.as_array().into_iter().flatten() {
            self.since = event["id"].as_u64().or(self.since);
            if let Some(path) = conflict(event) {
                let path = server.logs.mask(path);
                server.logs.say(&format!("conflict in {}: both versions are kept, one as {path}", self.shared.volume));
                server.board.update(|facts| {
                    let told = &mut facts.shared[index].conflicts;
                    let number = told.last().map_or(1, |last| last.number + 1);
                    told.push(Conflict { number, path });
                    let excess = told.len().saturating_sub(CONFLICTS_TOLD);
                    told.drain(..excess);
                });
            }
        }
        Ok(())
    }
}

/// The copy of a file that was put aside here, if that is what happened. Only one server does that, the others get it.
fn conflict(event: &Value) -> Option<String> {
    let data = &event["data"];
    if event["type"] != "LocalChangeDetected" || data["action"] == "deleted" {
        return None;
    }
    let path = plain(data["path"].as_str().filter(|path| path.contains(CONFLICT))?);
    Some(path[path.len().saturating_sub(LONGEST_PATH)..].to_owned())
}

/// Whether it is in step, and how it stands in words that go after the volume's name.
fn words(standing: &Standing, missing: &[&str], out_of_reach: &[&str], was_in_step: bool) -> (bool, String) {
    let errors = match standing.errors {
        0 => String::new(),
        1 => "; one file cannot be taken over".to_owned(),
        many => format!("; {many} files cannot be taken over"),
    };
    if standing.need_items > 0 {
        let there = standing.all_bytes.saturating_sub(standing.need_bytes).saturating_mul(100);
        let percent = there.checked_div(standing.all_bytes).unwrap_or(0).min(99);
        return (false, format!("catching up, {percent} %{errors}"));
    }
    if !was_in_step && !missing.is_empty() {
        return (false, format!("catching up with {}", missing.join(" and ")));
    }
    match out_of_reach {
        [] => (true, format!("in step{errors}")),
        others => (true, format!("in step, but out of touch with {}{errors}", others.join(" and "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_in_step_when_nothing_lacks_and_everybody_was_heard() {
        let lacks = Standing { need_items: 2, need_bytes: 60, all_bytes: 100, ..Standing::default() };
        assert_eq!(words(&lacks, &[], &[], false), (false, "catching up, 40 %".to_owned()));
        assert_eq!(
            words(&Standing { errors: 2, ..lacks }, &[], &[], true).1,
            "catching up, 40 %; 2 files cannot be taken over"
        );
        let all_there = Standing::default();
        assert_eq!(words(&all_there, &["db"], &["db"], false), (false, "catching up with db".to_owned()));
        assert_eq!(words(&all_there, &[], &[], false), (true, "in step".to_owned()));
        assert_eq!(words(&all_there, &[], &["db"], true), (true, "in step, but out of touch with db".to_owned()));
    }

    #[test]
    fn a_conflict_is_told_by_who_puts_a_version_aside() {
        let event = |kind: &str, action: &str, path: &str| {
            conflict(&serde_json::json!({ "type": kind, "data": { "action": action, "path": path } }))
        };
        let aside = "a/c.sync-conflict-20261121-173617-LBSEGCU.txt";
        assert_eq!(event("LocalChangeDetected", "modified", aside).as_deref(), Some(aside));
        assert_eq!(event("LocalChangeDetected", "deleted", aside), None, "somebody has decided");
        assert_eq!(event("RemoteChangeDetected", "modified", aside), None);
        assert_eq!(event("LocalChangeDetected", "modified", "a/c.txt"), None);
    }
}
