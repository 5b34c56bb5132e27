//! What keeps a portal from starting, in words that say what to do.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use provisioners::local::OpenError;

use crate::auth::password::PasswordError;
use crate::engine::RepositoryError;
use crate::keys::KeyError;
use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("--public-url: {0}")]
    PublicUrl(String),
    #[error("--alert-url: {0}")]
    AlertUrl(String),
    #[error("the data directory {} cannot be used; give another with --data-dir", .path.display())]
    DataDirectory {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the disk that holds {} is full; free some space, or give another place with --data-dir. Nothing was changed",
        .path.display()
    )]
    DiskFull { path: PathBuf },
    #[error("{address} cannot be listened on{}", what_to_do(source))]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("servers cannot be run on this machine")]
    Machine(#[from] OpenError),
    #[error(
        "the agent's program {} cannot be read; cargo xtask build makes it, --agent names another",
        .path.display()
    )]
    Agent {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{0}")]
    Templates(String),
    #[error("--provisioners: {0}")]
    Provisioners(String),
    #[error("--repository: {0}")]
    Repository(String),
    #[error("--repository cannot be used: {0}")]
    OpenRepository(RepositoryError),
    #[error("the site's files in {} cannot be read; build them anew with cargo xtask build", .path.display())]
    Site {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error("signals cannot be waited for")]
    Signals {
        #[source]
        source: io::Error,
    },
}

fn what_to_do(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => ": another program does already; stop it, or give another address with --listen",
        io::ErrorKind::PermissionDenied => ": ports below 1024 are for root; give another with --listen",
        io::ErrorKind::AddrNotAvailable => ": this machine has no such address; give another with --listen",
        _ => "",
    }
}
