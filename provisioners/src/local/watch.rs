//! Hears from a holder, at once, that a server ended, and from its silence that the holder itself did.

use std::collections::BTreeSet;

use holder::{Reply, Request, ServerState};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use super::error::{Attempt, Result};
use super::holder as client;
use super::layout::EnvironmentLayout;
use crate::EnvironmentId;

/// Watches until it is dropped or the holder ends.
#[derive(Debug)]
pub struct Watch(JoinHandle<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Must be called in a runtime.
pub fn start(
    environment: &EnvironmentLayout,
    id: EnvironmentId,
    changes: broadcast::Sender<EnvironmentId>,
) -> Result<Watch> {
    let attempt = || "watch the environment's holder".to_owned();
    let connection = client::connect(environment)?.ok_or(std::io::ErrorKind::NotConnected).attempting(attempt)?;
    client::send(&connection, &Request::Watch, &[]).attempting(attempt)?;
    connection.set_nonblocking(true).attempting(attempt)?;
    let lines = BufReader::new(UnixStream::from_std(connection).attempting(attempt)?).lines();
    Ok(Watch(tokio::spawn(pass_on(lines, id, changes))))
}

async fn pass_on(
    mut lines: Lines<BufReader<UnixStream>>,
    id: EnvironmentId,
    changes: broadcast::Sender<EnvironmentId>,
) {
    let mut dead = BTreeSet::new();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(Reply::Servers { servers, .. }) = serde_json::from_str(&line) else { continue };
        let ended = |state: &ServerState| matches!(state, ServerState::Ended { .. } | ServerState::Failed { .. });
        let ended = servers.into_iter().filter(|status| ended(&status.state));
        let now: BTreeSet<_> = ended.map(|status| (status.server, status.generation)).collect();
        if !now.is_subset(&dead) {
            // Nobody listening is no loss: whoever comes observes first.
            let _ = changes.send(id.clone());
        }
        dead = now;
    }
    let _ = changes.send(id);
}
