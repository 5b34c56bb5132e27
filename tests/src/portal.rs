//! A real portal process on loopback, with a data directory of its own that goes with it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::amazon::KEYS;
use crate::{Api, Outcome, leftovers, programs};

/// How long a portal may take to say where it listens. Only a portal that never will lets a story wait so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a portal is to be run.
pub struct Setting {
    home: tempfile::TempDir,
    data: PathBuf,
    /// A program that runs the portal in its turn.
    inside: Vec<String>,
    options: Vec<String>,
    variables: Vec<(String, String)>,
    listen: SocketAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    Empty,
    Full,
}

pub struct Portal {
    setting: Setting,
    process: Option<Child>,
    /// Where it listens; the same after a restart.
    pub address: SocketAddr,
    /// The single-use link that creates the first administrator, when it printed one.
    pub setup_link: Option<String>,
}

impl Setting {
    pub fn new() -> Outcome<Self> {
        let home = tempfile::Builder::new().prefix("bookend-test-").tempdir()?;
        // Servers run as other users than the portal when that runs as root.
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755))?;
        Ok(Self {
            data: home.path().join("data"),
            home,
            inside: Vec::new(),
            options: Vec::new(),
            variables: Vec::new(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        })
    }

    /// A folder beside the data, for what the portal is to find there.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// With further options of `bookend serve`.
    pub fn options(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(|&option| option.to_owned()));
        self
    }

    /// With this template beside the others given this way, instead of the starter catalog.
    pub fn template(self, name: &str, text: &str) -> Outcome<Self> {
        let folder = self.home.path().join("templates");
        let first = !folder.exists();
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{name}.yaml")), text)?;
        let folder = folder.display().to_string();
        Ok(if first { self.options(&["--templates", &folder]) } else { self })
    }

    /// With this file of provisioners, and keys for them.
    pub fn provisioners(self, text: &str) -> Outcome<Self> {
        let file = self.home().join("provisioners.toml");
        fs::write(&file, text)?;
        let setting = self.options(&["--provisioners", &file.display().to_string()]);
        Ok(KEYS.into_iter().fold(setting, |setting, (name, value)| setting.variable(name, value)))
    }

    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Run by this program, which gets the portal and its options as its last arguments.
    pub fn inside(mut self, program: &[&str]) -> Self {
        self.inside = program.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// On data that exist already, which stay where they are.
    pub fn on(mut self, data: PathBuf) -> Self {
        self.data = data;
        self
    }

    /// The data directory is a disk of 24 MiB of its own; it is seen by the portal only and goes with it.
    pub fn small_disk(self, disk: Disk) -> Self {
        let fill = if disk == Disk::Full { "dd if=/dev/zero of=\"$0/fill\" bs=4k 2>/dev/null;" } else { "" };
        let mount = "mkdir -p \"$0\" && mount -t tmpfs -o size=24m,mode=755 tmpfs \"$0\" || exit";
        let script = format!("{mount}; {fill} exec \"$@\"");
        let data = self.data.display().to_string();
        let become_root: &[&str] =
            if rustix::process::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
        let words = [&["unshare", "--mount"], become_root, &["--", "sh", "-c", &script, &data]].concat();
        self.inside(&words)
    }

    pub async fn start(self) -> Outcome<Portal> {
        let address = self.listen;
        let mut portal = Portal { setting: self, process: None, address, setup_link: None };
        portal.run().await?;
        Ok(portal)
    }

    /// Starts it, expecting that it ends by itself without listening; what it said of that.
    pub async fn refusal(&self) -> Outcome<String> {
        let output = tokio::time::timeout(PATIENCE, self.serve(self.listen).output()).await??;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            return Err(format!("The portal ended as if all were well, saying: {said}").into());
        }
        if output.status.code().is_none() || said.contains("panicked") {
            return Err(format!("The portal did not end by itself ({}), saying: {said}", output.status).into());
        }
        Ok(said)
    }

    fn serve(&self, address: SocketAddr) -> Command {
        let mut words: Vec<OsString> = self.inside.iter().map(OsString::from).collect();
        words.push(programs::bookend().into_os_string());
        let mut command = clean_command(&words[0]);
        command.args(&words[1..]).arg("serve").arg("--data-dir").arg(&self.data);
        command.arg("--listen").arg(address.to_string()).args(&self.options);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Portal {
    /// A new portal with nothing in it.
    pub async fn start() -> Outcome<Self> {
        Setting::new()?.start().await
    }

    pub fn data_directory(&self) -> PathBuf {
        self.setting.data.clone()
    }

    /// The data directory as the portal sees it, also when it runs in a mount namespace of its own.
    pub fn data_directory_inside(&self) -> PathBuf {
        let process = self.process_id().unwrap_or_default();
        let path = self.data_directory();
        Path::new(&format!("/proc/{process}/root")).join(path.strip_prefix("/").unwrap_or(&path))
    }

    /// A folder beside the data directory, for whatever a story needs.
    pub fn scratch(&self) -> &Path {
        self.setting.home.path()
    }

    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().and_then(Child::id)
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
        let mut command = self.beside()?;
        let output = command
            .args(["token", "create", "--data-dir"])
            .arg(self.data_directory())
            .args(["--user", name])
            .output()
            .await?;
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
        let mut command = clean_command(programs::bookend().as_os_str());
        command.args(arguments).env("BOOKEND_URL", self.url("")).env("BOOKEND_TOKEN", api.token());
        command
    }

    /// `bookend` where it sees the data as the portal does, which may be in a mount namespace of its own.
    fn beside(&self) -> Outcome<Command> {
        if self.setting.inside.is_empty() {
            return Ok(clean_command(programs::bookend().as_os_str()));
        }
        let process = self.process_id().ok_or("The portal is not running.")?;
        let mut command = clean_command(OsStr::new("nsenter"));
        command.arg(format!("--target={process}")).arg("--mount");
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--").arg(programs::bookend());
        Ok(command)
    }

    async fn run(&mut self) -> Outcome {
        let log = File::options().create(true).append(true).open(self.log_file())?;
        let mut process = self.setting.serve(self.address).stdout(Stdio::piped()).stderr(log).spawn()?;
        let Some((address, setup_link)) = greeting_of(&mut process).await? else {
            let status = process.wait().await?;
            return Err(format!("The portal ended with {status} before it listened:\n{}", self.log()).into());
        };
        self.process = Some(process);
        self.address = address;
        self.setup_link = setup_link.or(self.setup_link.take());
        Ok(())
    }

    fn log_file(&self) -> PathBuf {
        self.setting.home.path().join("portal.log")
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        // Servers outlive the portal: they are what a killed portal must find again. Here nobody will.
        drop(self.process.take());
        leftovers::sweep(self.setting.home.path());
    }
}

/// A command untouched by what the person who runs the tests has set up for themselves.
fn clean_command(program: &OsStr) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).kill_on_drop(true);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BOOKEND_") {
            command.env_remove(name);
        }
    }
    command
}

/// Where it listens, and the link it printed for the first administrator.
type Greeting = (SocketAddr, Option<String>);

/// What a portal that was started with a pipe for its output says first; `None` when it ends instead.
pub(crate) async fn greeting_of(portal: &mut Child) -> Outcome<Option<Greeting>> {
    let output = portal.stdout.take().ok_or("The portal has no standard output.")?;
    tokio::time::timeout(PATIENCE, read_greeting(BufReader::new(output))).await?
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
            return Ok(Some((address, setup_link)));
        }
    }
    Ok(None)
}
