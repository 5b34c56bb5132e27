//! Shared volumes where servers do not share a disk: every server has a copy, and Syncthing keeps the copies in step over the
//! environment's private network. One Syncthing for each of them, started, followed and ended here; nothing else of the
//! world is spoken to (no discovery, relays, reports or upgrades).
//!
//! What Syncthing knows of a copy, above all which version of a file came after which, lies in the copy itself: snapshots
//! have both from the same moment, and a restored or cloned set goes on without a single false conflict.
//!
//! Guaranteed: nothing of a configuration starts before its copies are in step with those of all servers it was told to wait
//! for, except those that stay out of reach; and what a server's scripts wrote is announced before its services begin. What
//! services write follows within seconds. Deliberately absent: choosing between two versions (a conflict keeps both), and
//! owners of files, extended attributes, sockets and devices, of which Syncthing keeps nothing in step.

mod client;
mod follow;
mod home;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use client::Client;

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
    copies: Vec<Copy>,
    cancel: CancellationToken,
}

struct Copy {
    keeper: JoinHandle<()>,
    /// It has been in step.
    opened: watch::Receiver<bool>,
    scans: mpsc::Sender<oneshot::Sender<()>>,
}

impl Sharing {
    pub(super) fn start(server: &Arc<Server>, config: &Arc<Config>) -> Self {
        let cancel = CancellationToken::new();
        let keep_copy = |index| {
            let (gate, opened) = watch::channel(false);
            let (scans, wanted) = mpsc::channel(1);
            let keeper = tokio::spawn(keep(server.clone(), config.clone(), index, gate, wanted, cancel.clone()));
            Copy { keeper, opened, scans }
        };
        Self { copies: (0..config.shared.len()).map(keep_copy).collect(), cancel }
    }

    /// Returns when each copy has been in step.
    pub(super) async fn in_step(&self, cancel: &CancellationToken) -> Result<(), Interrupted> {
        for copy in &self.copies {
            let opened = copy.opened.clone();
            let passed = cancel.run_until_cancelled(async move { opened.clone().wait_for(|open| *open).await.is_ok() });
            if passed.await != Some(true) {
                return Err(Interrupted::Cancelled);
            }
        }
        Ok(())
    }

    /// Returns when all that was written here until now is announced to whoever is there or comes: Syncthing by itself looks
    /// a moment later.
    pub(super) async fn announce(&self, cancel: &CancellationToken) -> Result<(), Interrupted> {
        for copy in &self.copies {
            let announced = async {
                loop {
                    let (done, scanned) = oneshot::channel();
                    // Either answer is none when Syncthing has just ended: it is asked again when it is back.
                    if copy.scans.send(done).await.is_err() || scanned.await.is_ok() {
                        return;
                    }
                }
            };
            cancel.run_until_cancelled(announced).await.ok_or(Interrupted::Cancelled)?;
        }
        Ok(())
    }

    pub(super) async fn stop(self) {
        self.cancel.cancel();
        for copy in self.copies {
            copy.keeper.await.ok();
        }
    }
}

/// Looks through the whole copy whenever that is wanted.
async fn scan(
    server: &Server,
    shared: &Shared,
    client: &Client,
    wanted: &mut mpsc::Receiver<oneshot::Sender<()>>,
) -> Infallible {
    while let Some(done) = wanted.recv().await {
        if let Err(error) = client.post(&format!("db/scan?folder={}", shared.volume)).await {
            server.logs.say(&format!("{}: {error}", shared.volume));
        }
        done.send(()).ok();
    }
    std::future::pending().await
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
    mut wanted: mpsc::Receiver<oneshot::Sender<()>>,
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
                    never = scan(&server, shared, &client, &mut wanted) => match never {},
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
