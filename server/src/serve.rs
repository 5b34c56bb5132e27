//! `bookend serve`: what can be said on its command line.

use std::net::SocketAddr;
use std::path::PathBuf;

/// How one portal is run. Every option can be given as an environment variable too.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct ServeOptions {
    /// Directory for everything the portal keeps: database, volumes, images, keys. Made when it is not there.
    #[arg(long, value_name = "DIR", env = "BOOKEND_DATA_DIR", default_value_os_t = default_data_dir())]
    pub data_dir: PathBuf,
    /// Address and port to listen on.
    #[arg(long, value_name = "ADDRESS:PORT", env = "BOOKEND_LISTEN", default_value = "127.0.0.1:3000")]
    pub listen: SocketAddr,
    /// Directory with the catalog's templates (*.yaml); the built-in starter catalog when absent.
    #[arg(long, value_name = "DIR", env = "BOOKEND_TEMPLATES")]
    pub templates: Option<PathBuf>,
    /// PostgreSQL database (postgres://…) shared by several portals; SQLite in the data directory when absent.
    #[arg(long, value_name = "URL", env = "BOOKEND_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
}

/// `/var/lib/bookend` for root, else `bookend` in the person's own data directory (XDG Base Directory Specification).
pub fn default_data_dir() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/bookend");
    }
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join("bookend"))
        .unwrap_or_else(|| PathBuf::from("bookend-data"))
}
