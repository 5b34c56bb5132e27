//! What the hub needs of the database, and nothing else of it.

use std::net::Ipv4Addr;

use agent::api::{Config, HostEntry, LogLine, Status};
use agent::link::Hello;
use async_trait::async_trait;
use provisioners::ServerId;

/// The database's own trouble, for the log. The hub tries again; nothing is decided by it.
pub type DirectoryError = Box<dyn std::error::Error + Send + Sync>;

/// What the portal knows of servers and keeps of what their agents say. Every method may be repeated.
#[async_trait]
pub trait AgentDirectory: Send + Sync + 'static {
    /// Checks who calls. On success the session key's hash is durable, so that the same agent is known again after a
    /// restart of either side, and the enrolment token is used up for every other key.
    async fn enrol(&self, hello: &Hello) -> Result<Enrolled, EnrolError>;

    /// What an agent that is connected should know by now. `from`: the [`Hello::address`] it called from.
    async fn present(
        &self,
        server: &ServerId,
        generation: i64,
        from: Option<Ipv4Addr>,
    ) -> Result<Present, DirectoryError>;

    /// Keeps the newest status durably and wakes the engine. Quick changes may have been left out in between.
    async fn record_status(&self, server: &ServerId, generation: i64, status: &Status) -> Result<(), DirectoryError>;

    /// The agent's link ended. Not called when a newer link of the same server took its place.
    async fn disconnected(&self, server: &ServerId, generation: i64) -> Result<(), DirectoryError>;

    /// Stores lines durably, all batches or none. Lines of one server come in order of their number and only once,
    /// unless an earlier answer was lost: a batch that is already there is no error.
    async fn append_logs(&self, batches: &[LogBatch]) -> Result<(), DirectoryError>;
}

/// A caller that may stay.
#[derive(Clone, Debug, Default)]
pub struct Enrolled {
    /// The environment it belongs to.
    pub environment: String,
    pub present: Present,
    /// Number of the last stored log line of this generation; 0 when there is none.
    pub last_log_seq: u64,
}

/// What a server is to be among its peers, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// What this generation of the server should be; `None` when it should not be running anything (any more).
    pub config: Option<Config>,
    /// Where the environment's servers are, if that was not known when they were made.
    pub hosts: Vec<HostEntry>,
}

#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// A decision: unknown server, old generation, wrong or used token. The agent gives up. Say no more than a stranger
    /// may know.
    #[error("{0}")]
    Refused(String),
    /// No decision could be made; the agent comes again.
    #[error("cannot check who calls: {0}")]
    Unavailable(#[source] DirectoryError),
}

/// Log lines of one server generation, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogBatch {
    pub server: ServerId,
    pub generation: i64,
    /// At least one.
    pub lines: Vec<LogLine>,
}
