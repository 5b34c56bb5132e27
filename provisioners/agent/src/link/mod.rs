//! The link between agent and portal: one byte stream (a unix socket here, a WebSocket from a cloud server), a one-line
//! greeting that proves who the agent is, then yamux. After the greeting the *portal* opens streams and the agent serves
//! HTTP on each.
//!
//! Greeting, each way one line of JSON ending in `\n`, at most 4 KiB: the agent sends [`Hello`], the portal answers
//! [`Welcome`]. A portal that cannot decide (its database is away) says nothing and hangs up; only a decision is a `Refused`.
//!
//! Deliberately absent: what is served ([`crate::api`]), and who may enrol (the portal's own affair).

mod address;
pub mod agent;
mod dial;
mod greeting;
mod identity;
pub mod messages;
mod multiplex;
pub mod portal;
mod resolve;

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

pub use dial::PATH;
pub(crate) use identity::write_private;
pub use identity::{Disk, Identity, IdentityError, PortalAddress, Reach};

/// What [`Hello::version`] must be.
pub const VERSION: u32 = 1;

/// A byte stream that can carry a link.
pub trait Transport: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static> Transport for T {}

/// The agent's first line.
#[derive(Clone, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`].
    pub version: u32,
    /// The server's id and generation as the provisioner wrote them into `/run/bookend/identity`.
    pub server: String,
    pub generation: i64,
    /// The single-use enrolment token; only until the portal has accepted the session key.
    pub enrolment: Option<String>,
    /// The session key the agent made up (32 random bytes, base64url). The portal keeps its hash. Sending the same key
    /// with the same enrolment token again is harmless, so a lost answer is no harm; another key with a used token is refused.
    pub session_key: String,
    /// From where it calls, when the portal is far away: the server's own address, before anybody else may know it.
    #[serde(default)]
    pub address: Option<Ipv4Addr>,
}

impl Hello {
    /// Of an agent that has enrolled, and calls from beside the portal.
    pub fn new(server: &str, generation: i64, session_key: &str) -> Self {
        let (server, session_key) = (server.to_owned(), session_key.to_owned());
        Self { version: VERSION, server, generation, enrolment: None, session_key, address: None }
    }
}

/// The portal's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "welcome", rename_all = "snake_case")]
pub enum Welcome {
    Accepted,
    /// The agent does not try again with these credentials.
    Refused {
        reason: String,
    },
}

/// Why there is no link, or no longer one.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("the link is gone: {0}")]
    Io(#[from] std::io::Error),
    /// There is no way to the portal, or it does not prove who it is; in words.
    #[error("{0}")]
    Unreachable(String),
    #[error("the other side ended the link")]
    Closed,
    #[error("the greeting is not one line of JSON of at most 4 KiB: {0}")]
    Greeting(String),
    #[error("the portal refuses this server: {0}")]
    Refused(String),
    #[error("no answer to the greeting in time")]
    Timeout,
    #[error("too many streams are open to this server; close one and try again")]
    TooManyStreams,
    #[error("the link broke: {0}")]
    Multiplex(#[from] yamux::ConnectionError),
    #[error("the exchange with the agent failed: {0}")]
    Http(#[from] hyper::Error),
}
