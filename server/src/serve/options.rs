//! What can be said on the command line of `bookend serve`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::cloud::CloudOptions;
use super::repository::RepositoryOptions;

/// What a person can choose when starting the portal. The command line shows these as they stand here.
#[derive(Clone, clap::Args)]
pub struct ServeOptions {
    /// Folder for everything the portal keeps: database, volumes, images, keys. Made when it is not there.
    #[arg(long, value_name = "DIR", env = "BOOKEND_DATA_DIR", default_value_os_t = default_data_dir())]
    pub data_dir: PathBuf,

    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", env = "BOOKEND_LISTEN", default_value = "127.0.0.1:3000")]
    pub listen: SocketAddr,

    /// PostgreSQL database (postgres://…) shared by several portals; SQLite in the data directory when absent.
    #[arg(long, value_name = "URL", env = "BOOKEND_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// Folder with the catalog's templates (*.yaml); the built-in starter catalog when absent.
    #[arg(long, value_name = "DIR", env = "BOOKEND_TEMPLATES")]
    pub templates: Option<PathBuf>,

    /// Folder of the pages' scripts and styles; when absent, `site` beside the executable.
    #[arg(long, value_name = "DIR", env = "BOOKEND_SITE")]
    pub site: Option<PathBuf>,

    /// The agent's program, put into every server; when absent, `bookend-agent` beside the executable. Servers elsewhere with other
    /// processors get `bookend-agent-ARCHITECTURE` (such as `bookend-agent-arm64`) beside it.
    #[arg(long, value_name = "FILE", env = "BOOKEND_AGENT")]
    pub agent: Option<PathBuf>,

    /// Local servers share no disk: each gets its own copy of a volume that several share, and Syncthing keeps the copies in
    /// step. To try out what happens on machines apart; one disk is better where there is one.
    #[arg(long, env = "BOOKEND_LOCAL_SEPARATE_DISKS")]
    pub local_separate_disks: bool,

    /// Restore drills only when somebody asks for one. Else the newest snapshot of each environment is brought up once a week in
    /// a place of its own, to see that it can be.
    #[arg(long, env = "BOOKEND_NO_RESTORE_DRILLS")]
    pub no_restore_drills: bool,

    /// The address people use when it is not the listening one: https://bookend.example.com behind a TLS proxy.
    #[arg(long, value_name = "URL", env = "BOOKEND_PUBLIC_URL")]
    pub public_url: Option<String>,

    /// Apps on servers are opened as hosts below this domain (*.DOMAIN must lead here). Absent: below `localhost`, which
    /// works for browsers on this machine.
    #[arg(long, value_name = "DOMAIN", env = "BOOKEND_APPS_DOMAIN")]
    pub apps_domain: Option<String>,

    /// Address of a reverse proxy whose X-Forwarded-For names the person's address. May be given several times.
    #[arg(long, value_name = "IP", env = "BOOKEND_TRUSTED_PROXY", value_delimiter = ',')]
    pub trusted_proxy: Vec<IpAddr>,

    /// Where operators are told of leftovers, what costs money and belongs to no environment: an incoming webhook of a chat (Slack,
    /// Mattermost and others) or anything that takes a POST of JSON with `text`. Who knows the address can write there: better in
    /// the environment than on the command line, which every user of the machine may read.
    #[arg(long, value_name = "URL", env = "BOOKEND_ALERT_URL", hide_env_values = true)]
    pub alert_url: Option<String>,

    #[command(flatten)]
    pub cloud: CloudOptions,

    #[command(flatten)]
    pub repository: RepositoryOptions,
}

/// Without the database URL, which may hold a password, and the alerts', which is one.
impl fmt::Debug for ServeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeOptions")
            .field("data_dir", &self.data_dir)
            .field("listen", &self.listen)
            .field("database_url", &self.database_url.as_ref().map(|_| "***"))
            .field("templates", &self.templates)
            .field("site", &self.site)
            .field("agent", &self.agent)
            .field("local_separate_disks", &self.local_separate_disks)
            .field("no_restore_drills", &self.no_restore_drills)
            .field("public_url", &self.public_url)
            .field("apps_domain", &self.apps_domain)
            .field("trusted_proxy", &self.trusted_proxy)
            .field("alert_url", &self.alert_url.as_ref().map(|_| "***"))
            .field("cloud", &self.cloud)
            .field("repository", &self.repository)
            .finish()
    }
}

/// The database of a portal with this data directory, unless it was given another.
pub fn database_url(data_dir: &Path, given: Option<&str>) -> String {
    given.map_or_else(|| crate::store::sqlite_url(&data_dir.join("bookend.db")), str::to_owned)
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
