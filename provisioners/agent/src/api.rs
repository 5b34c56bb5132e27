//! The agent's HTTP API, version 1: ordinary HTTP/1.1 on every yamux stream the portal opens.
//!
//! | request | answer |
//! |---|---|
//! | `PUT /v1/config` [`Config`] | 204; idempotent by [`Config::digest`]: the same digest again changes nothing |
//! | `PUT /v1/hosts` [`Hosts`] | 204; they stand in the server's file of hosts, where keeping that is the agent's to do |
//! | `GET /v1/reports` | newline-delimited JSON [`Report`]s: the present status at once, then every change and the metrics |
//! | `GET /v1/logs?after=SEQ` | newline-delimited JSON [`LogLine`]s with `seq > SEQ`, then new ones as they come |
//! | `GET /v1/exec` with `Upgrade: bookend` and header `bookend-exec:` [`ExecRequest`] as base64url JSON | 101, then [`crate::frame`]s |
//! | `GET /v1/terminal?session=ID&cols=N&rows=N` with `Upgrade: bookend` | 101, then frames; the same session id attaches again, with its scroll-back |
//! | `GET /v1/port/PORT` with `Upgrade: bookend` | 101, then the raw bytes of a TCP connection to `127.0.0.1:PORT` in the server |
//! | `POST /v1/freeze` [`Freeze`] | 200 [`Frozen`] when every process but the agent stands still; 409 with why not, and then none does |
//! | `POST /v1/thaw` [`Thaw`] | 200 [`Thawed`] when they go on |
//! | `POST /v1/stop` | 204 after services had their stop signal and time to end (before park and delete) |

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use serde::{Deserialize, Serialize};

/// The protocol name in `Upgrade:` headers.
pub const UPGRADE: &str = "bookend";
/// The header that carries an [`ExecRequest`] as unpadded base64url JSON.
pub const EXEC_HEADER: &str = "bookend-exec";

/// What a terminal's session id must look like, in words.
pub const SESSION_ID_RULE: &str = "a terminal session id is 1 to 64 letters, digits, `-` or `_`";

pub fn is_session_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Everything the agent needs to make a server what its template says. Sent by the portal after each connect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Changes when, and only when, any other field but `awaited` does.
    pub digest: String,
    pub server: String,
    pub environment: String,
    /// For every script, service, exec and terminal. Order parameters are here as `BOOKEND_PARAM_<NAME>`.
    pub variables: BTreeMap<String, String>,
    /// Values that must be masked as `***` in every log line, whatever printed them.
    pub masked: Vec<String>,
    /// Files under `/run/bookend/parameters/`, one per order parameter, mode 0600: name → content.
    pub parameters: BTreeMap<String, String>,
    /// Commands that must be on the `PATH` before anything starts.
    pub requires: Vec<String>,
    /// Absolute mount points of the server's volumes. The set-up script runs when one of them was never set up.
    pub volumes: Vec<String>,
    /// Run once per fresh volume (per fresh server when it has none), before anything else.
    pub setup: Option<Script>,
    /// Run at each boot, before the services.
    pub startup: Option<Script>,
    pub services: Vec<Service>,
    pub checks: Vec<Check>,
    /// Volumes of which this server has one of several copies.
    #[serde(default)]
    pub shared: Vec<Shared>,
    /// Servers with whose copies this one's must be in step before anything starts, as far as they are within reach: those
    /// that run already, and those that come without waiting for this one.
    #[serde(default)]
    pub awaited: Vec<String>,
}

/// Names and addresses of the environment's servers as they are now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hosts {
    pub hosts: Vec<HostEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostEntry {
    /// A lower-case DNS label.
    pub name: String,
    pub address: Ipv4Addr,
}

/// One server's copy of a volume that several servers share, and where the others are. Syncthing keeps them in step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// The template's name for it, the same on all servers.
    pub volume: String,
    /// Where the copy is mounted.
    pub path: String,
    /// Where this server's Syncthing listens, in the private network.
    pub listen: SocketAddrV4,
    /// The server's own identity: its device id, and certificate and private key as PEM.
    pub device: String,
    pub certificate: String,
    pub key: String,
    pub peers: Vec<Peer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    pub server: String,
    pub device: String,
    /// Address and port, or name and port where only the name is sure.
    pub address: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// Run with `/bin/sh -e`, or by its own `#!` line.
    pub text: String,
    pub timeout_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    pub name: String,
    /// Run with `/bin/sh -c` in a process group of its own.
    pub command: String,
    pub directory: Option<String>,
    pub variables: BTreeMap<String, String>,
    pub restart: Restart,
    /// Time between the stop signal (SIGTERM) and SIGKILL.
    pub stop_timeout_ms: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Whenever it ends, with backoff 0.5 s … 30 s.
    #[default]
    Always,
    /// When it ends with another code than 0.
    OnFailure,
    Never,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub name: String,
    pub probe: Probe,
    pub interval_ms: u64,
    pub timeout_ms: u64,
    /// From the end of the start-up script; a server not healthy by then has failed.
    pub start_timeout_ms: u64,
    /// Failures in a row that make a healthy server unhealthy.
    pub failures: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// A TCP connection to this port of the server itself opens.
    Tcp { port: u16 },
    /// `GET http://127.0.0.1:port/path` answers this status.
    Http { port: u16, path: String, status: u16 },
    /// The command ends with 0.
    Exec { command: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub enum Report {
    Status(Status),
    Metrics(Metrics),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Digest of the configuration this status is about; `None` before the first one.
    pub config: Option<String>,
    pub phase: Phase,
    pub services: Vec<ServiceStatus>,
    pub checks: Vec<CheckStatus>,
    /// With [`Phase::Failed`] and [`Phase::Unhealthy`].
    pub failure: Option<Failure>,
    /// In the order of [`Config::shared`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<SharedStatus>,
    /// When the cloud takes the machine back, in its own words (`2026-11-20T17:02:00Z`); `None`: it has said nothing of the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<String>,
}

/// How a copy of a shared volume stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedStatus {
    pub volume: String,
    /// It has everything that the others are known to have.
    pub in_step: bool,
    /// In words that go after its name: "in step", "catching up, 40 %".
    pub words: String,
    /// The newest ones that were settled here, the oldest first.
    pub conflicts: Vec<Conflict>,
}

/// A file was changed on several servers at once. One version has its name; the other was put aside beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// Grows by one for the life of one server generation.
    pub number: u64,
    /// Of the version that was put aside, from the volume's root.
    pub path: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Waits for its configuration.
    #[default]
    Idle,
    /// Its volumes are waited for, formatted when they are blank, and mounted; nothing else has begun.
    Mounting,
    /// Its copies of shared volumes are not yet in step with the others'; nothing else has begun.
    CatchingUp,
    SettingUp,
    StartingUp,
    /// Services run; not every check has passed yet.
    Checking,
    Healthy,
    /// Was healthy; a check fails or a service is down. The agent goes on trying.
    Unhealthy,
    /// Nobody should wait for it any longer. For good (until it gets another configuration) when a command is missing, a
    /// script or writing the parameters failed, or a service with [`Restart::Never`] ended badly. When it only was not
    /// healthy in time (a check's `start_timeout_ms` ran out, or a service ended again and again before the server was ever
    /// healthy), the agent goes on trying, and [`Phase::Healthy`] may follow.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    pub name: String,
    pub running: bool,
    pub restarts: u32,
    /// How it last ended, in words ("ended with code 1", "was killed by signal 9").
    pub last_end: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckStatus {
    pub name: String,
    pub passing: bool,
    /// What the probe said last, in words.
    pub message: String,
}

/// Why a server is not what its template says it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// "set-up script", "service `api`", "health check `http`", "command `node`".
    pub step: String,
    pub cause: String,
    /// The last lines of the log that matters, masked, oldest first, at most 20.
    pub lines: Vec<String>,
    /// What a person can do about it.
    pub remedy: String,
}

/// One sample; sizes in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Unix time, milliseconds.
    pub at_ms: i64,
    /// Processor time used since the last sample, in thousandths of one processor.
    pub cpu_millis: u32,
    pub memory_bytes: u64,
    pub memory_limit_bytes: Option<u64>,
    /// Bytes used on the server's volumes (in its home, `/tmp` and `/var/lib` when it has none).
    pub disk_bytes: u64,
    pub uptime_ms: u64,
    pub processes: u32,
}

/// One line a script, a service or the agent itself wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Grows by one per line for the life of one server generation.
    pub seq: u64,
    /// Unix time, milliseconds.
    pub at_ms: i64,
    /// "setup", "startup", "agent" or the name of a service.
    pub source: String,
    /// UTF-8 (anything else replaced), no line end, at most 16 KiB, masked.
    pub text: String,
}

/// Lets everything on the server stand still, so that its volumes do not change, until [`Thaw`], or [`Freeze::hold_ms`] have
/// passed, whatever became of the portal. Meanwhile nothing is started (execs, terminals, services, checks wait) and no
/// check is judged. Asking again with the same id changes nothing; another id ends the freeze that is and begins anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// Made up by the portal, new for every freeze.
    pub id: String,
    /// Counted from the first process that is stopped; every process must stand still within half of it. At most 10 minutes.
    pub hold_ms: u64,
    /// Run first, while everything still runs; the freeze does not happen when it fails.
    #[serde(default)]
    pub before: Option<Script>,
    /// Run after the thaw, whoever thawed, whenever `before` was begun.
    #[serde(default)]
    pub after: Option<Script>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    pub id: String,
    /// How long [`Freeze::before`] took.
    pub before_ms: u64,
    /// From the first process that was stopped until the last stood still.
    pub stopping_ms: u64,
    pub processes: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thaw {
    /// Of the freeze to end; one that is over already, or never was, stays so.
    pub id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thawed {
    /// Whether everything stood still from the answer to the freeze until this thaw. If not, because nobody thawed in time,
    /// another freeze came between or the server was told to stop, what was copied meanwhile is worth nothing.
    pub held: bool,
    pub frozen_ms: u64,
    /// Why [`Freeze::after`] failed, if it did. The server goes on all the same.
    pub after_failure: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecRequest {
    /// The command and its arguments as they are: no shell in between.
    pub command: Vec<String>,
    /// A pseudo-terminal of this size instead of pipes.
    pub tty: Option<Size>,
    pub directory: Option<String>,
    pub variables: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    pub cols: u16,
    pub rows: u16,
}
