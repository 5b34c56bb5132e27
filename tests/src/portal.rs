//! A real portal process on loopback, with a data directory of its own that goes with it.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::{Api, Outcome, leftovers, programs};

/// How long a portal may take to say where it listens. Only a portal that never will lets a story wait so long.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Portal {
    home: tempfile::TempDir,
    options: Vec<String>,
    variables: Vec<(String, String)>,
    process: Option<Child>,
    /// Where it listens; the same after a restart.
    pub address: SocketAddr,
    /// The single-use link that creates the first administrator, when it printed one.
    pub setup_link: Option<String>,
}

impl Portal {
    /// A new portal with nothing in it.
    pub async fn start() -> Outcome<Self> {
        Self::start_with(&[], &[]).await
    }

    /// The same with further options of `bookend serve` and variables in its environment.
    pub async fn start_with(options: &[&str], variables: &[(&str, &str)]) -> Outcome<Self> {
        let home = tempfile::Builder::new().prefix("bookend-test-").tempdir()?;
        // Servers run as other users than the portal when that runs as root.
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755))?;
        let mut portal = Self {
            home,
            options: options.iter().map(|&option| option.to_owned()).collect(),
            variables: variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
            process: None,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            setup_link: None,
        };
        portal.run().await?;
        Ok(portal)
    }

    pub fn data_directory(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// A folder beside the data directory, for whatever a story needs.
    pub fn scratch(&self) -> &Path {
        self.home.path()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Everything it wrote to its standard error, over all its runs.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// SIGKILL: it gets no chance to do anything.
    pub async fn kill(&mut self) -> Outcome {
        if let Some(mut process) = self.process.take() {
            process.kill().await?;
        }
        Ok(())
    }

    /// SIGTERM, and waits for its end, which must be a clean one.
    pub async fn stop(&mut self) -> Outcome {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        if let Some(id) = process.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())) {
            rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        }
        let status = tokio::time::timeout(PATIENCE, process.wait()).await??;
        if status.success() { Ok(()) } else { Err(format!("The portal ended with {status}:\n{}", self.log()).into()) }
    }

    /// Starts it again at the same address, on the same data.
    pub async fn start_again(&mut self) -> Outcome {
        self.kill().await?;
        self.run().await
    }

    /// SIGKILL and start again.
    pub async fn crash(&mut self) -> Outcome {
        self.kill().await?;
        self.run().await
    }

    /// A client with the API token of an administrator made on the portal's own machine.
    pub async fn administrator(&self) -> Outcome<Api> {
        self.person("root").await
    }

    /// The same for the administrator of this name; made when there is none yet.
    pub async fn person(&self, name: &str) -> Outcome<Api> {
        let mut command = self.command(&["token", "create", "--data-dir"]);
        let output = command.arg(self.data_directory()).args(["--user", name]).output().await?;
        if !output.status.success() {
            return Err(format!("No token: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Api::new(self.address, String::from_utf8(output.stdout)?.trim())
    }

    /// Runs a client command of `bookend` as the owner of `api`'s token.
    pub async fn cli(&self, api: &Api, arguments: &[&str]) -> Outcome<Output> {
        Ok(self.client_command(api, arguments).output().await?)
    }

    /// The same, not yet run.
    pub fn client_command(&self, api: &Api, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.env("BOOKEND_URL", self.url("")).env("BOOKEND_TOKEN", api.token());
        command
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(programs::bookend());
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        // What the person who runs the tests has set up for themselves does not count.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("BOOKEND_") {
                command.env_remove(name);
            }
        }
        command
    }

    async fn run(&mut self) -> Outcome {
        let log = File::options().create(true).append(true).open(self.log_file())?;
        let mut command = self.command(&["serve", "--data-dir"]);
        command.arg(self.data_directory()).arg("--listen").arg(self.address.to_string()).args(&self.options);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let mut process = command.stdout(Stdio::piped()).stderr(log).spawn()?;
        let output = process.stdout.take().ok_or("The portal has no standard output.")?;
        let said = tokio::time::timeout(PATIENCE, read_greeting(BufReader::new(output))).await?;
        let Some(greeting) = said? else {
            let status = process.wait().await?;
            return Err(format!("The portal ended with {status} before it listened:\n{}", self.log()).into());
        };
        self.process = Some(process);
        self.address = greeting.address;
        self.setup_link = greeting.setup_link.or(self.setup_link.take());
        Ok(())
    }

    fn log_file(&self) -> PathBuf {
        self.home.path().join("portal.log")
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        // Servers outlive the portal: they are what a killed portal must find again. Here nobody will.
        drop(self.process.take());
        leftovers::sweep(self.home.path());
    }
}

struct Greeting {
    address: SocketAddr,
    setup_link: Option<String>,
}

/// Reads what the portal says at its start: the line `listening on http://ADDRESS`, and before it, on a first start, one with
/// the link below `/setup/`. `None` when its output ends without the former.
async fn read_greeting(output: impl tokio::io::AsyncBufRead + Unpin + Send + 'static) -> Outcome<Option<Greeting>> {
    let mut lines = output.lines();
    let mut setup_link = None;
    while let Some(line) = lines.next_line().await? {
        let address = |line: &str| Some(line.split_once("http://")?.1.split_whitespace().next()?.to_owned());
        if line.contains("/setup/") {
            setup_link = address(&line).map(|rest| format!("http://{rest}"));
        } else if let Some(place) = line.strip_prefix("listening on ").and_then(address) {
            let address = place.trim_end_matches('/').parse()?;
            // Whatever it says later is read and dropped: a full pipe would stop it.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(Some(Greeting { address, setup_link }));
        }
    }
    Ok(None)
}
