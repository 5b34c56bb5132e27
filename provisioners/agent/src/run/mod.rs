//! What the agent does on its server: one [`Server`], shared by the tasks that serve it.
//!
//! Everything runs on one thread. What a task may hold is bounded: logs by their ring on disk, terminals by their number and
//! scroll-back, streams by the link.

mod apply;
mod away;
mod checks;
mod disks;
mod exec;
mod frost;
mod hosts;
mod http;
mod keys;
mod lines;
mod logs;
mod mask;
mod metrics;
mod notice;
mod process;
mod processes;
mod pty;
mod share;
mod status;
mod supervise;
mod terminal;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use tokio::sync::{mpsc, watch};

pub use process::reap_orphans;

use crate::api::{Config, Metrics};
use crate::link::{Identity, IdentityError, Reach, agent};
use apply::Command;
use disks::Disks;
use frost::Frost;
use logs::Logs;
use status::Board;
use terminal::Terminals;

/// Why the agent cannot or must not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("cannot keep the agent's own files in {directory}: {source}")]
    State { directory: PathBuf, source: std::io::Error },
    #[error("the portal refuses this server: {0}. A new server takes its place when the portal wants one")]
    Refused(String),
}

/// Where the agent finds and keeps what is its own.
#[derive(Clone, Debug)]
pub struct Places {
    /// The identity and the agent's own files: session key, logs, scripts. On a machine that boots anew, a directory that is
    /// still there then.
    pub directory: PathBuf,
    /// What must not outlive a boot: the order's parameters.
    pub run_directory: PathBuf,
}

impl Places {
    /// Everything in one directory.
    pub fn all_in(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), run_directory: directory.to_owned() }
    }
}

pub(crate) struct Server {
    /// Parameters are written here.
    directory: PathBuf,
    /// The agent's own files.
    state: PathBuf,
    board: Board,
    logs: Arc<Logs>,
    metrics: watch::Sender<Option<Metrics>>,
    measured: watch::Sender<Vec<PathBuf>>,
    terminals: Arc<Terminals>,
    frost: Frost,
    commands: mpsc::Sender<Command>,
    variables: Mutex<BTreeMap<String, String>>,
    disks: Disks,
    /// The file in which the names of the environment's servers are kept, if that is the agent's to do.
    hosts: Option<PathBuf>,
}

/// Serves the server whose identity is in its place; comes back only when that is over. Services are stopped then.
pub async fn run(places: &Places) -> Result<std::convert::Infallible, RunError> {
    let identity = Identity::read(&places.directory)?;
    let state = places.directory.join("state");
    let failed = |source| RunError::State { directory: state.clone(), source };
    let key = keys::session_key(&state, &keys::Owner::of(&identity)).map_err(failed)?;
    let (server, router) = Server::start(places, &identity).map_err(failed)?;
    let (linked, link) = watch::channel(false);
    if matches!(identity.link, Reach::Portal(_)) {
        let patience = identity.away_after_ms.map_or(away::PATIENCE, Duration::from_millis);
        tokio::spawn(away::keep_safe(server.clone(), link, patience));
    }
    if let Some(notices) = identity.notices.clone() {
        tokio::spawn(notice::listen(server.clone(), notices));
    }
    let welcomed = || keys::forget_enrolment(&places.directory);
    let reason = agent::stay_linked(identity, &key, router, &linked, welcomed).await;
    server.stop().await;
    Err(RunError::Refused(reason))
}

impl Server {
    /// Begins to serve on the present runtime.
    pub(crate) fn start(places: &Places, identity: &Identity) -> std::io::Result<(Arc<Self>, Router)> {
        let state = places.directory.join("state");
        apply::private_directory(&state)?;
        apply::private_directory(&places.run_directory)?;
        process::catch_ignored_signals()?;
        let (commands, wishes) = mpsc::channel(4);
        let (measured, volumes) = watch::channel(ordinary_places());
        let server = Arc::new(Self {
            directory: places.run_directory.clone(),
            board: Board::new(),
            logs: Arc::new(Logs::open(&state.join("logs"))?),
            state,
            metrics: watch::Sender::new(None),
            measured,
            terminals: Arc::default(),
            frost: Frost::default(),
            commands,
            variables: Mutex::default(),
            disks: Disks::new(identity.disks.clone()),
            hosts: identity.hosts.clone(),
        });
        tokio::spawn(apply::follow(server.clone(), wishes));
        tokio::spawn(metrics::sample(server.metrics.clone(), volumes));
        let logs = server.logs.clone();
        tokio::spawn(async move { logs.tell_losses().await });
        Ok((server.clone(), http::router(server)))
    }

    /// Takes over what a configuration says of the server as a whole.
    fn begin(&self, config: &Config) {
        self.logs.set_masked(&config.masked);
        self.variables.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&config.variables);
        let volumes: Vec<PathBuf> = config.volumes.iter().map(PathBuf::from).collect();
        self.measured.send_replace(if volumes.is_empty() { ordinary_places() } else { volumes });
        self.board
            .update(|facts| *facts = status::Facts { ends_at: facts.ends_at.take(), ..apply::first_facts(config) });
    }

    fn variables(&self) -> BTreeMap<String, String> {
        self.variables.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn stop(&self) {
        let (reply, stopped) = tokio::sync::oneshot::channel();
        if self.commands.send(Command::Stop(reply)).await.is_ok() {
            stopped.await.ok();
        }
    }
}

/// Where a server without volumes writes.
fn ordinary_places() -> Vec<PathBuf> {
    vec![process::home(), "/tmp".into(), "/var/lib".into()]
}
