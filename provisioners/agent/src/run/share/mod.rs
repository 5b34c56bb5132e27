//! Shared volumes where servers do not share a disk: every server has a copy, and Syncthing keeps the copies in step over the
//! environment's private network. One Syncthing for each of them, started, followed and ended here; nothing else of the
//! world is spoken to (no discovery, relays, reports or upgrades).
//!
//! What Syncthing knows of a copy, above all which version of a file came after which, lies in the copy itself: snapshots
//! have both from the same moment, and a restored or cloned set goes on without a single false conflict.
//!
//! Guaranteed: nothing of a configuration starts before its copies are in step with those of all servers it was told to wait
//! for, except those that stay out of reach. Deliberately absent: choosing between two versions (a conflict keeps both), and
//! owners of files, extended attributes, sockets and devices, of which Syncthing keeps nothing in step.

mod client;
mod follow;
mod home;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Server;
use super::apply::Interrupted;
use super::process::{self, Process};
use crate::api::{Config, Shared, SharedStatus};

pub(super) const PROGRAM: &str = "syncthing";
/// Source of its log lines.
pub(super) const SOURCE: &str = "syncthing";
const STOP: Duration = Duration::from_secs(5);
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// The copies of one configuration while they are kept in step.
pub(super) struct Sharing {
    copies: Vec<(JoinHandle<()>, watch::Receiver<bool>)>,
    cancel: CancellationToken,
}

impl Sharing {
    pub(super) fn start(server: &Arc<Server>, config: &Arc<Config>) -> Self {
        let cancel = CancellationToken::new();
        let keep_copy = |index| {
            let (gate, opened) = watch::channel(false);
            (tokio::spawn(keep(server.clone(), config.clone(), index, gate, cancel.clone())), opened)
        };
        Self { copies: (0..config.shared.len()).map(keep_copy).collect(), cancel }
    }

    /// Returns when each copy has been in step.
    pub(super) async fn in_step(&self, cancel: &CancellationToken) -> Result<(), Interrupted> {
        for (_, opened) in &self.copies {
            let opened = opened.clone();
            let passed = cancel.run_until_cancelled(async move { opened.clone().wait_for(|open| *open).await.is_ok() });
            if passed.await != Some(true) {
                return Err(Interrupted::Cancelled);
            }
        }
        Ok(())
    }

    pub(super) async fn stop(self) {
        self.cancel.cancel();
        for (copy, _) in self.copies {
            copy.await.ok();
        }
    }
}

/// What is said of a copy before anything is known of it.
pub(super) fn first_status(shared: &Shared) -> SharedStatus {
    SharedStatus { volume: shared.volume.clone(), in_step: false, words: "starting".into(), conflicts: Vec::new() }
}

/// Keeps one copy in step until it is cancelled.
async fn keep(
    server: Arc<Server>,
    config: Arc<Config>,
    index: usize,
    gate: watch::Sender<bool>,
    cancel: CancellationToken,
) {
    let shared = &config.shared[index];
    let home = server.state.join("shared").join(&shared.volume);
    let mut backoff = FIRST_BACKOFF;
    loop {
        server.frost.thawed().await;
        let started = home::prepare(&home, shared).and_then(|client| {
            let process = Process::start(home::command(&home, shared), &server.logs, SOURCE)?;
            Ok((client, process))
        });
        let ended = match started {
            Ok((client, mut process)) => {
                let ended = tokio::select! {
                    status = process.wait() => status.map(process::describe).unwrap_or_else(|error| error.to_string()),
                    never = follow::follow(&server, &config, index, &client, &gate) => match never {},
                    () = cancel.cancelled() => {
                        process.stop(STOP).await;
                        return;
                    }
                };
                process.kill();
                ended
            }
            Err(error) => format!("could not be started: {error}"),
        };
        server.logs.say(&format!("Syncthing, which keeps {} in step, {ended}. It is started again", shared.volume));
        server.board.update(|facts| {
            let status = &mut facts.shared[index];
            status.in_step = false;
            status.words = format!("not kept in step: Syncthing {ended}");
        });
        tokio::select! {
            () = sleep(backoff) => {}
            () = cancel.cancelled() => return,
        }
        backoff = (backoff * 2).min(LONGEST_BACKOFF);
    }
}
