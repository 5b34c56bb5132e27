//! What portal and holder say to each other: on the holder's socket, one line of JSON per message. A connection carries one
//! request and its reply, except [`Request::Watch`], whose replies go on until one side ends.
//!
//! A portal may be newer than the holders it finds: fields are only ever added, with a default.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// Version of this protocol.
pub const VERSION: u32 = 1;

/// The surroundings a holder makes for itself before it serves.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct World {
    /// Names this holder among all that ever held the environment.
    pub incarnation: String,
    /// User and group to become, when started by root; otherwise the holder stays who it is.
    pub user: Option<(u32, u32)>,
    /// The only parts of the machine that exist in the holder's root.
    pub binds: Vec<Bind>,
    /// Symbolic links in its root: path → target.
    pub links: BTreeMap<String, String>,
    /// Where the socket is made, as a path in the new root.
    pub socket: String,
}

/// A file or directory of the machine and where it appears.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    pub from: String,
    pub to: String,
    pub writable: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Starts a server unless this generation was started before. The sockets' ancillary data may carry open
    /// files of control groups, which the server's first process joins. Answer: [`Reply::Launched`] or [`Reply::Failed`].
    Launch(Box<Launch>),
    /// Ends the server's generations up to this one and forgets them. Answer, when the last of their processes is gone:
    /// [`Reply::Stopped`].
    Stop { server: String, generation: i64 },
    /// Answer: [`Reply::Servers`].
    List,
    /// Answer: [`Reply::Servers`] at once and after every change.
    Watch,
    /// Ends everything. Answer: the connection closes.
    End,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The sandbox is made and its first process runs.
    Launched,
    /// The server could not be started, in words.
    Failed {
        reason: String,
    },
    Stopped,
    Servers {
        incarnation: String,
        servers: Vec<ServerStatus>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    pub server: String,
    pub generation: i64,
    pub state: ServerState,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// On its way; a few milliseconds.
    Launching,
    Running,
    /// It ran and ended, with how in words.
    Ended {
        reason: String,
    },
    /// It never ran, with why in words.
    Failed {
        reason: String,
    },
}

/// Everything needed to start one server. Paths are paths in the holder's root.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Launch {
    pub server: String,
    pub generation: i64,
    pub address: Ipv4Addr,
    pub prefix: u8,
    /// Mounted, in this order, before the sandbox is made.
    pub overlays: Vec<Overlay>,
    /// bubblewrap, its arguments without the command.
    pub bubblewrap: Vec<String>,
    /// Files made in the sandbox after everything else, from memory: their content never touches a disk.
    pub files: Vec<File>,
    /// The server's first process.
    pub command: Vec<String>,
    /// Connection to the world outside, if it may have one.
    pub outlet: Option<Outlet>,
    /// Most processes and threads the server may have at one time.
    pub processes: Option<u64>,
    /// Most bytes of private memory one process of the server may have.
    pub memory_per_process: Option<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Overlay {
    pub lower: String,
    pub upper: String,
    pub work: String,
    pub at: String,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct File {
    pub path: String,
    pub content: String,
}

/// Files carry credentials: only their paths are shown.
impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A program that gives a network namespace a way out through ordinary sockets of the machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outlet {
    /// Program and arguments; `{netns}` stands for the path of the server's network namespace.
    pub command: Vec<String>,
    /// Networks (address, prefix) a server may not reach even so.
    pub unreachable: Vec<(Ipv4Addr, u8)>,
}

/// "was killed by SIGKILL" and the like, for the signals people meet.
#[must_use]
pub fn ended_by_signal(signal: i32) -> String {
    let name = match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGILL => "SIGILL",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGTERM => "SIGTERM",
        libc::SIGSYS => "SIGSYS",
        other => return format!("was killed by signal {other}"),
    };
    format!("was killed by {name}")
}
