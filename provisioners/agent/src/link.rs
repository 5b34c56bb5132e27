//! The link between agent and portal: one byte stream (a unix socket here, a WebSocket from a cloud server), a one-line
//! greeting that proves who the agent is, then yamux. After the greeting the *portal* opens streams and the agent serves
//! HTTP on each.
//!
//! Greeting, each way one line of JSON ending in `\n`, at most 4 KiB: the agent sends [`Hello`], the portal answers
//! [`Welcome`].

use serde::{Deserialize, Serialize};

/// The agent's first line.
#[derive(Clone, Serialize, Deserialize)]
pub struct Hello {
    /// 1.
    pub version: u32,
    /// The server's id and generation as the provisioner wrote them into `/run/bookend/identity`.
    pub server: String,
    pub generation: i64,
    /// The single-use enrolment token; only until the portal has accepted the session key.
    pub enrolment: Option<String>,
    /// The session key the agent made up (32 random bytes, base64url). The portal keeps its hash. Sending the same key
    /// with the same enrolment token again is harmless, so a lost answer is no harm; another key with a used token is refused.
    pub session_key: String,
}

/// The portal's answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "welcome", rename_all = "snake_case")]
pub enum Welcome {
    Accepted,
    /// The agent does not try again with these credentials.
    Refused {
        reason: String,
    },
}
