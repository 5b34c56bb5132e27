//! The command line, as clap reads it. Only shapes and words; what the commands do is in their own modules.

mod order;
mod snapshot;

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};

pub use super::copy::CopyArguments;
pub use super::doctor::DoctorArguments;
pub use order::{ChangeArguments, CloneArguments, OrderArguments};
pub use snapshot::{OneSnapshot, RestoreArguments, SnapshotCommand, UndeleteArguments};

use crate::serve::{ServeOptions, default_data_dir};

#[derive(Debug, Parser)]
#[command(name = "bookend", version, about = "Order servers like books", after_help = AFTER_HELP)]
#[command(max_term_width = 110, disable_help_subcommand = true, arg_required_else_help = true)]
pub struct CommandLine {
    /// Address of the portal (default: where `bookend login` signed in, else http://127.0.0.1:3000).
    #[arg(long, global = true, value_name = "URL", env = "BOOKEND_URL")]
    pub url: Option<String>,
    /// Print one JSON document on standard output instead of text for people; errors too, on standard error.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Environment variables:
  BOOKEND_URL    address of the portal
  BOOKEND_TOKEN  API token; goes before what `bookend login` stored

Exit codes:
  0  done
  1  failed; the message says why
  2  the command line is wrong
  3  there is no such environment, server, template or token
  4  refused: not possible in the present state, not allowed, or a value is wrong
  5  not signed in
  6  the environment failed, or did not get there in time (--wait)
  7  the portal cannot be reached
`exec` ends with the command's own code (128 + n for signal n), and with 125 when it could not be run.";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the portal
    Serve(Box<ServeOptions>),
    /// Sign in and remember the portal and an API token
    Login(LoginArguments),
    /// List what can be ordered, or show one template
    Catalog {
        #[arg(value_name = "TEMPLATE", add = crate::cli::complete::templates())]
        template: Option<String>,
    },
    /// Order an environment from a template
    Order(OrderArguments),
    /// List environments
    #[command(visible_alias = "ls")]
    List(ListArguments),
    /// Show one environment: state, servers, ports, outputs
    Show {
        #[arg(value_name = "ENV", add = crate::cli::complete::environments())]
        environment: String,
        /// Print sensitive outputs too
        #[arg(long)]
        reveal: bool,
    },
    /// Run a command on a server
    Exec(ExecArguments),
    /// Print what the servers' scripts and services wrote
    Logs(LogsArguments),
    /// Open a server's port on this machine
    Forward(ForwardArguments),
    /// Take an environment's servers down, keep its data
    Park(ActionArguments),
    /// Bring a parked environment back
    Resume(ActionArguments),
    /// New servers of the same kind on the same volumes
    Restart(ActionArguments),
    /// Change an environment's name, tags or note
    Edit(EditArguments),
    /// Another size or template version on the same volumes
    Change(ChangeArguments),
    /// Keep what an environment's volumes hold at one moment
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// Copy files and folders into volumes, and out of volumes and snapshots
    Cp(CopyArguments),
    /// Bring back what an environment's volumes held; what they hold now is kept in a snapshot first
    Restore(RestoreArguments),
    /// Order another environment that begins with a copy of this one's data
    Clone(CloneArguments),
    /// Bring a deleted environment back, within 14 days
    Undelete(UndeleteArguments),
    /// Delete an environment; what its volumes hold is kept for 14 days
    Delete(DeleteArguments),
    /// Try again after a failure, now
    Retry(ActionArguments),
    /// Stop what is under way
    Cancel(ActionArguments),
    /// Take the servers down now, without waiting for their services to end
    Force(ActionArguments),
    /// List what nobody owns and somebody pays for, or remove it; for administrators
    #[command(visible_alias = "orphans")]
    Leftovers {
        #[command(subcommand)]
        command: Option<LeftoversCommand>,
    },
    /// API tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Check templates, see what they would create, print their schema
    #[command(subcommand)]
    Template(TemplateCommand),
    /// Find out what is missing before anybody orders
    #[command(subcommand)]
    Doctor(DoctorCommand),
    /// Print the script that completes commands and names in a shell
    Completions {
        /// bash, zsh, fish, elvish or powershell
        #[arg(value_name = "SHELL", value_parser = ["bash", "zsh", "fish", "elvish", "powershell"])]
        shell: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum DoctorCommand {
    /// What accounts and regions of Amazon EC2 lack: permissions, subnets, images, types. Changes nothing
    Ec2(DoctorArguments),
}

#[derive(Debug, Subcommand)]
pub enum LeftoversCommand {
    /// Remove one for ever, with the data it holds
    Remove {
        /// As the list has it
        id: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub struct LoginArguments {
    /// Address of the portal (same as --url)
    #[arg(value_name = "URL")]
    pub portal: Option<String>,
    /// Sign in with this name and its password, and have a token made; a token is asked for when absent
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
}

#[derive(Debug, Args)]
pub struct WaitArguments {
    /// Wait until it is done; exit code 6 when the environment fails instead
    #[arg(long)]
    pub wait: bool,
    /// With --wait: give up (exit code 6) after this many seconds; what is under way goes on
    #[arg(long, value_name = "SECONDS", requires = "wait")]
    pub timeout: Option<u64>,
}

#[derive(Debug, Args)]
pub struct ListArguments {
    /// Only with this in the name or in a tag
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
    /// Only these states, comma-separated
    #[arg(long, value_name = "STATES")]
    pub state: Option<String>,
    /// Only this person's
    #[arg(long, value_name = "NAME")]
    pub owner: Option<String>,
}

#[derive(Debug, Args)]
pub struct ExecArguments {
    #[arg(value_name = "ENV/SERVER", add = crate::cli::complete::servers())]
    pub server: ServerPath,
    /// Directory to run in
    #[arg(long, value_name = "DIR")]
    pub directory: Option<String>,
    /// Environment variable; may be given several times
    #[arg(long = "env", value_name = "NAME=VALUE")]
    pub variables: Vec<Assignment>,
    /// A terminal even when standard input is none
    #[arg(short = 't', long)]
    pub tty: bool,
    /// No terminal even when standard input and output are one
    #[arg(short = 'T', long, conflicts_with = "tty")]
    pub no_tty: bool,
    /// The command and its arguments, passed on as they are, without a shell in between
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct LogsArguments {
    #[arg(value_name = "ENV[/SERVER]", add = crate::cli::complete::servers())]
    pub of: EnvironmentPath,
    /// Go on with new lines as they come
    #[arg(short, long)]
    pub follow: bool,
    /// How many of the last lines to begin with, 0 to 10000
    #[arg(short = 'n', long, value_name = "LINES", default_value_t = 200, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub tail: u32,
    /// Only lines with this text in them, in whatever case
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
    /// Only lines that say they are of this level, or of one that matters more
    #[arg(long, value_name = "LEVEL", value_parser = ["error", "warn", "info", "debug"])]
    pub level: Option<String>,
    /// Only lines from this time on: 10m, 2h, 3d ago, or 2026-11-21T10:00:00Z
    #[arg(long, value_name = "WHEN")]
    pub since: Option<Since>,
    /// Begin each line with its time
    #[arg(long)]
    pub times: bool,
}

/// A moment, or how long ago it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    At(jiff::Timestamp),
    Ago(jiff::SignedDuration),
}

impl Since {
    /// Unix milliseconds.
    pub fn before(self, now: jiff::Timestamp) -> i64 {
        match self {
            Since::At(at) => at.as_millisecond(),
            Since::Ago(ago) => now.as_millisecond().saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)),
        }
    }
}

impl FromStr for Since {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let days = text.strip_suffix('d').and_then(|days| days.parse::<u16>().ok());
        let ago = days.map(|days| jiff::SignedDuration::from_hours(i64::from(days) * 24));
        if let Some(ago) = ago.or_else(|| text.parse().ok()).filter(|ago| !ago.is_negative()) {
            return Ok(Since::Ago(ago));
        }
        text.parse().map(Since::At).map_err(|_| "write it as 10m, 2h or 3d, or as 2026-11-21T10:00:00Z".into())
    }
}

#[derive(Debug, Args)]
pub struct ForwardArguments {
    #[arg(value_name = "ENV/SERVER", add = crate::cli::complete::servers())]
    pub server: ServerPath,
    /// Port of the server, and the local one when it shall be another (0: any that is free)
    #[arg(value_name = "PORT[:LOCAL]")]
    pub ports: PortPair,
}

#[derive(Debug, Args)]
pub struct ActionArguments {
    #[arg(value_name = "ENV", add = crate::cli::complete::environments())]
    pub environment: String,
    #[command(flatten)]
    pub wait: WaitArguments,
}

#[derive(Debug, Args)]
pub struct DeleteArguments {
    #[command(flatten)]
    pub action: ActionArguments,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub struct EditArguments {
    #[arg(value_name = "ENV", add = crate::cli::complete::environments())]
    pub environment: String,
    /// Another name; the environment's addresses change with it, its id stays
    #[arg(long, group = "what")]
    pub name: Option<String>,
    /// Tag to add; may be given several times
    #[arg(long = "tag", value_name = "TAG", group = "what")]
    pub tags: Vec<String>,
    /// Tag to take away; may be given several times
    #[arg(long = "untag", value_name = "TAG", group = "what")]
    pub untag: Vec<String>,
    /// Note for people, Markdown, instead of the one before; empty: none
    #[arg(long, value_name = "TEXT", group = "what")]
    pub note: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it, alone, on standard output
    Create(TokenCreateArguments),
    /// List your tokens
    List,
    /// Make a token useless, at once
    Revoke {
        /// Id or name of the token
        #[arg(value_name = "TOKEN")]
        token: String,
    },
}

/// With `--user`, works on the data directory (or database) of this machine's portal, which may be running; the person is
/// made, as administrator without a password, when there is none of that name. Without, asks the portal for a token of
/// the person who is signed in.
#[derive(Debug, Args)]
pub struct TokenCreateArguments {
    /// Whose token: works directly on the data directory; needs no sign-in, only the right to read and write it
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// The portal's data directory
    #[arg(long, value_name = "DIR", env = "BOOKEND_DATA_DIR", default_value_os_t = default_data_dir())]
    pub data_dir: PathBuf,
    /// The portal's PostgreSQL database, when it has one
    #[arg(long, value_name = "URL", env = "BOOKEND_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// What the token is for, shown in the list of tokens
    #[arg(long, value_name = "WORDS", default_value = "command line")]
    pub name: String,
    /// Days until it expires; never when absent
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub expires_in_days: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub enum TemplateCommand {
    /// Check template files; every mistake is named with its line and column
    Lint {
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
    /// Show what an order would create, and in which order
    Plan {
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Value of a parameter; may be given several times
        #[arg(long = "set", value_name = "PARAMETER=VALUE")]
        set: Vec<Assignment>,
        /// Value of a parameter from a file
        #[arg(long = "set-file", value_name = "PARAMETER=FILE")]
        set_file: Vec<Assignment>,
    },
    /// Print the JSON Schema of templates, for editors
    Schema,
}

/// `NAME=VALUE`; the value may hold further `=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub name: String,
    pub value: String,
}

impl FromStr for Assignment {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self { name: name.into(), value: value.into() }),
            _ => Err("write it as NAME=VALUE".into()),
        }
    }
}

/// `ENV/SERVER`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerPath {
    pub environment: String,
    pub server: String,
}

impl FromStr for ServerPath {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match EnvironmentPath::from_str(text)? {
            EnvironmentPath { environment, server: Some(server) } => Ok(Self { environment, server }),
            EnvironmentPath { environment, server: None } => {
                Err(format!("which server of `{environment}`? Write it as {environment}/SERVER"))
            }
        }
    }
}

/// `ENV` or `ENV/SERVER`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentPath {
    pub environment: String,
    pub server: Option<String>,
}

impl FromStr for EnvironmentPath {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (environment, server) = match text.split_once('/') {
            Some((environment, server)) => (environment, Some(server)),
            None => (text, None),
        };
        if environment.is_empty() || server.is_some_and(|server| server.is_empty() || server.contains('/')) {
            return Err("write it as ENV/SERVER".into());
        }
        Ok(Self { environment: environment.into(), server: server.map(Into::into) })
    }
}

/// `PORT` or `PORT:LOCAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortPair {
    pub remote: u16,
    pub local: u16,
}

impl FromStr for PortPair {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (remote, local) = text.split_once(':').unwrap_or((text, text));
        let port = |text: &str| text.parse::<u16>().map_err(|_| format!("`{text}` is no port: 1 to 65535"));
        match (port(remote)?, port(local)?) {
            (0, _) => Err("0 is no port of a server: 1 to 65535".into()),
            (remote, local) => Ok(Self { remote, local }),
        }
    }
}
