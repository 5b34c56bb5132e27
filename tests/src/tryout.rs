//! What `cargo xtask up --fake-ec2` starts, on programs that are built already and in a folder of its own: the portal in the
//! place of the process that was started, and beside it an Amazon.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::Child;

use crate::leftovers::{self, Process};
use crate::portal::greeting_of;
use crate::{Api, Outcome, programs};

const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

pub struct Tryout {
    home: tempfile::TempDir,
    process: Child,
    pub address: SocketAddr,
    pub setup_link: Option<String>,
}

impl Tryout {
    pub async fn start() -> Outcome<Self> {
        Self::start_in(home()?, &[]).await
    }

    /// With this template as its whole catalog, and more variables of the environment.
    pub async fn offering(name: &str, template: &str, variables: &[(&str, &str)]) -> Outcome<Self> {
        Self::offering_all(&[(name, template)], variables).await
    }

    /// The same with several templates.
    pub async fn offering_all(catalog: &[(&str, &str)], variables: &[(&str, &str)]) -> Outcome<Self> {
        let home = home()?;
        let templates = home.path().join("templates");
        fs::create_dir(&templates)?;
        for (name, template) in catalog {
            fs::write(templates.join(format!("{name}.yaml")), template)?;
        }
        let more = variables.iter().map(|(name, value)| (*name, OsStr::new(value)));
        let variables: Vec<_> = std::iter::once(("BOOKEND_TEMPLATES", templates.as_os_str())).chain(more).collect();
        Self::start_in(home, &variables).await
    }

    async fn start_in(home: tempfile::TempDir, variables: &[(&str, &OsStr)]) -> Outcome<Self> {
        // Fails when another story in this process was first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Instances are another user's when this runs as root.
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755))?;
        let mut command = up(home.path(), &format!("127.0.0.1:{}", free_port()?));
        command.envs(variables.iter().copied());
        command.stdout(Stdio::piped()).stderr(File::create(home.path().join("said"))?);
        let mut process = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
        match greeting_of(&mut process).await? {
            Some((address, setup_link)) => Ok(Self { home, process, address, setup_link }),
            None => Err(format!("It ended: {}", fs::read_to_string(home.path().join("said"))?).into()),
        }
    }

    /// Everything it wrote to its standard error.
    pub fn said(&self) -> Outcome<String> {
        Ok(fs::read_to_string(self.home.path().join("said"))?)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("fake-ec2").join(self.address.port().to_string())
    }

    /// The file with provisioners that the portal was given.
    pub fn provisioners(&self) -> PathBuf {
        self.folder().join("provisioners.toml")
    }

    /// As the administrator of this name.
    pub async fn person(&self, name: &str) -> Outcome<Api> {
        let mut command = tokio::process::Command::new(programs::bookend());
        command.args(["token", "create", "--user", name, "--data-dir"]).arg(self.folder().join("data"));
        Api::new(self.address, String::from_utf8(command.output().await?.stdout)?.trim())
    }

    /// Output of a shell's words on a server (`environment/server`).
    pub async fn run(&self, api: &Api, server: &str, words: &str) -> Outcome<String> {
        let mut command = tokio::process::Command::new(programs::bookend());
        command.env("BOOKEND_URL", self.url("")).env("BOOKEND_TOKEN", api.token());
        let output = command.args(["exec", server, "--", "sh", "-c", words]).output().await?;
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout)?),
            false => Err(format!("{words}: {}", String::from_utf8_lossy(&output.stderr)).into()),
        }
    }

    /// What there really is at the fake: of each kind (`instances`, `volumes`, `snapshots`, `groups`) all that carry the tag of
    /// an environment; without the disks that come and go with instances.
    pub async fn ours(&self, kind: &str) -> Outcome<Vec<Value>> {
        let state = reqwest::Client::builder().no_proxy().build()?.get(self.fake("state")?);
        let truth: Value = state.send().await?.json().await?;
        let gone = |one: &Value| {
            ["shutting-down", "terminated", "deleting", "deleted"].iter().any(|state| one["state"] == *state)
        };
        let all = truth[kind].as_array().cloned().unwrap_or_default();
        let key = if kind == "volumes" { "bookend:volume" } else { "bookend:environment" };
        Ok(all.into_iter().filter(|one| one["tags"][key].is_string() && !gone(one)).collect())
    }

    /// Has something happen at the fake: `interrupt?id=ID`.
    pub async fn have(&self, event: &str) -> Outcome {
        reqwest::Client::builder().no_proxy().build()?.post(self.fake(event)?).send().await?.error_for_status()?;
        Ok(())
    }

    fn fake(&self, path: &str) -> Outcome<String> {
        let file = fs::read_to_string(self.provisioners())?;
        let endpoint = file.lines().find_map(|line| line.strip_prefix("endpoint = ")).unwrap_or_default();
        Ok(format!("{}/_fake/{path}", endpoint.trim_matches('"')))
    }

    /// As Ctrl-C at the keyboard, or without giving it a chance; waits for its end.
    pub async fn end(&mut self, signal: Signal) -> Outcome<std::process::ExitStatus> {
        let id = self.process.id().and_then(|id| Pid::from_raw(id.cast_signed())).ok_or("It has ended already.")?;
        kill_process(id, signal)?;
        Ok(tokio::time::timeout(PATIENCE, self.process.wait()).await??)
    }

    /// Processes that work for it.
    pub fn processes(&self) -> Vec<Process> {
        leftovers::processes(self.home.path())
    }

    /// Nothing of it runs or is mounted any more. What is ending tells nobody.
    pub async fn until_nothing_is_left(&self) -> Outcome {
        for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
            if self.processes().is_empty() {
                assert_eq!(leftovers::mounts(self.home.path()), Vec::<String>::new());
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(format!("still there: {:#?}", self.processes()).into())
    }
}

impl Drop for Tryout {
    fn drop(&mut self) {
        let _ = self.process.start_kill();
        leftovers::sweep(self.home.path());
    }
}

fn home() -> std::io::Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix("bookend-tryout-").tempdir()
}

/// What it says when it does not start.
pub fn refused(home: &Path, listen: &str) -> Outcome<Output> {
    Ok(up(home, listen).output()?)
}

/// With settings for Amazon, and for a portal, that must not count.
fn up(home: &Path, listen: &str) -> Command {
    let mut command = Command::new(programs::xtask());
    command.args(["up", "--fake-ec2", "--listen", listen]).stdin(Stdio::null());
    command.env("BOOKEND_DIST", programs::dist()).env("CARGO_TARGET_DIR", home);
    command
        .env("AWS_PROFILE", "somebody")
        .env("AWS_SESSION_TOKEN", "theirs")
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    command.env("BOOKEND_DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing");
    command
}

pub fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
