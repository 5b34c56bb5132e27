//! What the agent does on its server: one [`Server`], shared by the tasks that serve it.
//!
//! Everything runs on one thread. What a task may hold is bounded: logs by their ring on disk, terminals by their number and
//! scroll-back, streams by the link.

mod apply;
mod checks;
mod exec;
mod frost;
mod http;
mod lines;
mod logs;
mod mask;
mod metrics;
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

use axum::Router;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::{mpsc, watch};

pub use process::reap_orphans;

use crate::api::{Config, Metrics};
use crate::link::{Identity, IdentityError, agent, write_private};
use apply::Command;
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

pub(crate) struct Server {
    /// Where the provisioner put the identity; parameters are written here.
    directory: PathBuf,
    /// The agent's own files: session key, logs, scripts.
    state: PathBuf,
    board: Board,
    logs: Arc<Logs>,
    metrics: watch::Sender<Option<Metrics>>,
    measured: watch::Sender<Vec<PathBuf>>,
    terminals: Arc<Terminals>,
    frost: Frost,
    commands: mpsc::Sender<Command>,
    variables: Mutex<BTreeMap<String, String>>,
}

/// Serves the server whose identity is in `directory`; comes back only when that is over. Services are stopped then.
pub async fn run(directory: &Path) -> Result<std::convert::Infallible, RunError> {
    let identity = Identity::read(directory)?;
    let state = directory.join("state");
    let failed = |source| RunError::State { directory: state.clone(), source };
    let (server, router) = Server::start(directory).map_err(failed)?;
    let key = session_key(&state).map_err(failed)?;
    let welcomed = || forget_enrolment(directory);
    let reason = agent::stay_linked(identity, &key, router, welcomed).await;
    server.stop().await;
    Err(RunError::Refused(reason))
}

impl Server {
    /// Begins to serve on the present runtime.
    pub(crate) fn start(directory: &Path) -> std::io::Result<(Arc<Self>, Router)> {
        let state = directory.join("state");
        apply::private_directory(&state)?;
        process::catch_ignored_signals()?;
        let (commands, wishes) = mpsc::channel(4);
        let (measured, places) = watch::channel(ordinary_places());
        let server = Arc::new(Self {
            directory: directory.to_owned(),
            board: Board::new(),
            logs: Arc::new(Logs::open(&state.join("logs"))?),
            state,
            metrics: watch::Sender::new(None),
            measured,
            terminals: Arc::default(),
            frost: Frost::default(),
            commands,
            variables: Mutex::default(),
        });
        tokio::spawn(apply::follow(server.clone(), wishes));
        tokio::spawn(metrics::sample(server.metrics.clone(), places));
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
        self.board.update(|facts| *facts = apply::first_facts(config));
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

/// The key of an earlier run, or a new one: kept before it is first used, so that a lost answer is no harm.
fn session_key(state: &Path) -> std::io::Result<String> {
    let path = state.join("session-key");
    match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        known => return known,
    }
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    let key = URL_SAFE_NO_PAD.encode(bytes);
    write_private(&path, key.as_bytes())?;
    Ok(key)
}

/// The token has done its work. Where the file cannot be written it is of no more use either.
fn forget_enrolment(directory: &Path) {
    if let Ok(mut identity) = Identity::read(directory)
        && identity.enrolment.take().is_some()
    {
        identity.write(directory).ok();
    }
}
