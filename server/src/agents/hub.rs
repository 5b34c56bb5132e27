//! [`Hub`]: who is connected, and the ways to reach them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent::api::{EXEC_HEADER, Freeze, Frozen, Metrics, Thaw, Thawed};
use agent::link::LinkError;
use agent::link::portal::{CallError, Connection, UpgradeError};
use app::portal::{Channel, Duplex};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, Request, StatusCode};
use provisioners::{AgentGateway, EnvironmentId, ServerId};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, broadcast, mpsc};

use super::history::{History, Stretch};
use super::{AgentDirectory, LogBatch, logs, session};

/// Callers that are being asked who they are, at most; more have to dial again.
const GREETINGS: usize = 1024;
/// Stored batches a follower may be behind before it has to read from the database again.
const FOLLOWED_BATCHES: usize = 1024;
/// Who is further behind looks at once.
const NOTICED_MOVES: usize = 1024;
/// For the agent to open a terminal, start a command or connect to a port.
const OPEN_PATIENCE: Duration = Duration::from_secs(10);

/// All connected agents. Cloned freely.
#[derive(Clone)]
pub struct Hub {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) directory: Arc<dyn AgentDirectory>,
    pub(super) greetings: Arc<Semaphore>,
    pub(super) log_writer: mpsc::Sender<LogBatch>,
    stored_logs: broadcast::Sender<Arc<LogBatch>>,
    servers: Mutex<HashMap<ServerId, Known>>,
    /// Told of every new link.
    pub(super) arrivals: Notify,
    /// Environments of which servers are elsewhere than before.
    pub(super) moves: broadcast::Sender<EnvironmentId>,
    runtime: Handle,
}

/// What is remembered of a server since the portal started.
#[derive(Default)]
pub(super) struct Known {
    pub(super) generation: i64,
    pub(super) link: Option<Link>,
    pub(super) metrics: Option<Metrics>,
    pub(super) history: History,
    /// Number of the last line handed to the log writer: lines on their way into the database are not asked for again.
    pub(super) last_log_seq: u64,
}

#[derive(Clone)]
pub(super) struct Link {
    pub(super) connection: Connection,
    /// Tells this link from every other of the same server.
    pub(super) number: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the server is not connected at the moment; it comes back by itself when it is running")]
    NotConnected,
    /// The agent's words, for people: nothing listens on the port, too many terminals are open.
    #[error("{0}")]
    Declined(String),
    #[error("the server did not answer in time")]
    Timeout,
    #[error("the connection to the server was lost: {0}")]
    Lost(#[from] LinkError),
}

#[derive(Debug, thiserror::Error)]
pub enum StopError {
    #[error("the server is not connected, so its services cannot be asked to stop")]
    NotConnected,
    #[error("the services did not stop within {0:?}")]
    Timeout(Duration),
    #[error("the agent could not stop the services: {0}")]
    Failed(String),
}

/// Why a server could not be held still, or let go.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    #[error("it is not connected")]
    NotConnected,
    #[error("it did not answer within {0:?}")]
    Timeout(Duration),
    #[error("{0}")]
    Failed(#[from] CallError),
}

impl Hub {
    /// Must be called on the runtime the hub shall live on.
    pub fn new(directory: Arc<dyn AgentDirectory>) -> Self {
        let (stored_logs, _) = broadcast::channel(FOLLOWED_BATCHES);
        let log_writer = logs::start_writer(directory.clone(), stored_logs.clone());
        let shared = Shared {
            directory,
            greetings: Arc::new(Semaphore::new(GREETINGS)),
            log_writer,
            stored_logs,
            servers: Mutex::default(),
            arrivals: Notify::new(),
            moves: broadcast::channel(NOTICED_MOVES).0,
            runtime: Handle::current(),
        };
        Self { shared: Arc::new(shared) }
    }

    #[cfg(test)]
    pub fn is_connected(&self, server: &ServerId) -> bool {
        self.link(server).is_some()
    }

    /// How many servers' agents are connected to this portal.
    pub fn connected(&self) -> usize {
        self.shared.lock().values().filter(|known| known.link.is_some()).count()
    }

    /// The newest sample since the portal started, of the newest generation.
    pub fn metrics(&self, server: &ServerId) -> Option<Metrics> {
        self.shared.lock().get(server).and_then(|known| known.metrics)
    }

    /// What it used in the last minutes, as far as the portal saw it, the oldest first.
    pub fn history(&self, server: &ServerId) -> Vec<Stretch> {
        self.shared.lock().get(server).map(|known| known.history.stretches()).unwrap_or_default()
    }

    /// Log lines of all servers from now on, each batch once it is stored. A receiver that lags reads from the database
    /// what it missed.
    pub fn follow_logs(&self) -> broadcast::Receiver<Arc<LogBatch>> {
        self.shared.stored_logs.subscribe()
    }

    /// Returns when this server's agent is connected, and after `patience` in any case.
    pub async fn await_connection(&self, server: &ServerId, patience: Duration) {
        let connected = async {
            loop {
                // Listens before it looks, so that nobody arrives in between.
                let arrival = self.shared.arrivals.notified();
                if self.link(server).is_some() {
                    return;
                }
                arrival.await;
            }
        };
        let _ = tokio::time::timeout(patience, connected).await;
    }

    /// Opens a stream to something on a server.
    pub async fn open(&self, server: &ServerId, channel: Channel) -> Result<Box<dyn Duplex>, OpenError> {
        let link = self.link(server).ok_or(OpenError::NotConnected)?;
        let request = match channel {
            Channel::Exec { request } => Request::get("/v1/exec").header(EXEC_HEADER, URL_SAFE_NO_PAD.encode(request)),
            Channel::Terminal { session, cols, rows } => {
                if !agent::api::is_session_id(&session) {
                    return Err(OpenError::Declined(agent::api::SESSION_ID_RULE.into()));
                }
                Request::get(format!("/v1/terminal?session={session}&cols={cols}&rows={rows}"))
            }
            Channel::Port { port } => Request::get(format!("/v1/port/{port}")),
        };
        let opened = tokio::time::timeout(OPEN_PATIENCE, link.connection.upgrade(request));
        match opened.await.map_err(|_| OpenError::Timeout)? {
            Ok(stream) => Ok(Box::new(stream)),
            Err(UpgradeError::Link(error)) => Err(OpenError::Lost(error)),
            Err(UpgradeError::Request(message) | UpgradeError::Declined { message, .. }) => {
                Err(OpenError::Declined(message))
            }
        }
    }

    /// Has a server's services stopped in an orderly way, before the server is taken down. `patience` bounds the wait; the
    /// services' own stop times should fit into it.
    pub async fn stop(&self, server: &ServerId, patience: Duration) -> Result<(), StopError> {
        let link = self.link(server).ok_or(StopError::NotConnected)?;
        let request = session::request(Method::POST, "/v1/stop", Vec::new());
        let response = tokio::time::timeout(patience, link.connection.request(request))
            .await
            .map_err(|_| StopError::Timeout(patience))?
            .map_err(|error| StopError::Failed(error.to_string()))?;
        match response.status() {
            StatusCode::NO_CONTENT => Ok(()),
            status => Err(StopError::Failed(format!("it answered {status}"))),
        }
    }

    /// Holds a server still. `patience` bounds the wait.
    ///
    /// # Errors
    /// It is not known then whether it stands still; it goes on by itself after the freeze's own time.
    pub async fn freeze(&self, server: &ServerId, freeze: &Freeze, patience: Duration) -> Result<Frozen, FreezeError> {
        let link = self.link(server).ok_or(FreezeError::NotConnected)?;
        let frozen = tokio::time::timeout(patience, link.connection.freeze(freeze)).await;
        Ok(frozen.map_err(|_| FreezeError::Timeout(patience))??)
    }

    /// Lets a server go on.
    ///
    /// # Errors
    /// It goes on by itself then, and whether it stood still until now is not known.
    pub async fn thaw(&self, server: &ServerId, thaw: &Thaw, patience: Duration) -> Result<Thawed, FreezeError> {
        let link = self.link(server).ok_or(FreezeError::NotConnected)?;
        let thawed = tokio::time::timeout(patience, link.connection.thaw(thaw)).await;
        Ok(thawed.map_err(|_| FreezeError::Timeout(patience))??)
    }

    /// Servers of this environment are elsewhere than before: agents that are connected are told.
    pub fn moved(&self, environment: &EnvironmentId) {
        // Nobody may be connected.
        self.shared.moves.send(environment.clone()).ok();
    }

    /// Ends a server's link and forgets what was remembered of it: it is gone for good.
    pub fn forget(&self, server: &ServerId) {
        if let Some(link) = self.shared.lock().remove(server).and_then(|known| known.link) {
            link.connection.close();
        }
    }

    /// Ends a server's link; its agent calls again.
    pub fn hang_up(&self, server: &ServerId) {
        if let Some(link) = self.link(server) {
            link.connection.close();
        }
    }

    fn link(&self, server: &ServerId) -> Option<Link> {
        let link = self.shared.lock().get(server)?.link.clone()?;
        (!link.connection.is_closed()).then_some(link)
    }
}

impl AgentGateway for Hub {
    fn accepted(&self, stream: Box<dyn provisioners::Duplex>) {
        let Ok(permit) = self.shared.greetings.clone().try_acquire_owned() else {
            tracing::warn!("too many agents call at once; this one has to call again");
            return;
        };
        self.shared.runtime.spawn(session::run(self.shared.clone(), stream, permit));
    }
}

impl Shared {
    /// No code can panic while it holds the lock in a way that leaves the map half changed.
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<ServerId, Known>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
