//! The portal under measurement, with a data directory of its own.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::api::Api;
use crate::{Outcome, processes};

/// Without any event for so long, look all the same: a lost event must not end the run.
const SILENCE: Duration = Duration::from_secs(5);
pub const PATIENCE: Duration = Duration::from_secs(600);

pub struct Portal {
    pub api: Api,
    process: Child,
    home: tempfile::TempDir,
}

impl Portal {
    /// `core`: the only one it may use; any when absent.
    pub fn start(dist: &Path, core: Option<usize>) -> Outcome<Self> {
        Self::start_with(dist, core, "127.0.0.1:0", |_| {})
    }

    /// At this address, and with what else it is told.
    pub fn start_with(
        dist: &Path,
        core: Option<usize>,
        listen: &str,
        tell: impl FnOnce(&mut Command),
    ) -> Outcome<Self> {
        let failed = |error: std::io::Error| format!("Cannot start the portal: {error}");
        let program = dist.join("bookend");
        let home = tempfile::Builder::new().prefix("bookend-bench-").tempdir().map_err(failed)?;
        // Servers run as other users than the portal when that runs as root.
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755)).map_err(failed)?;
        let data = home.path().join("data");
        let mut serve = match core {
            Some(core) => {
                let mut pinned = Command::new("taskset");
                pinned.args(["--cpu-list", &core.to_string()]).arg(&program);
                pinned
            }
            None => Command::new(&program),
        };
        serve.args(["serve", "--listen", listen, "--data-dir"]).arg(&data);
        tell(&mut serve);
        let log = std::fs::File::create(home.path().join("portal.log")).map_err(failed)?;
        let mut process = serve.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().map_err(failed)?;
        let Some(address) = process.stdout.take().and_then(read_address) else {
            let _ = process.kill();
            let said = std::fs::read_to_string(home.path().join("portal.log")).unwrap_or_default();
            return Err(format!("The portal did not say where it listens:\n{said}"));
        };
        let token = Command::new(&program)
            .args(["token", "create", "--user", "bench", "--data-dir"])
            .arg(&data)
            .output()
            .map_err(failed)?;
        let token = String::from_utf8_lossy(&token.stdout).trim().to_owned();
        Ok(Self { api: Api::new(&address, &token), process, home })
    }

    /// Waits until the environment that was answered with is in this state, told by `changes` of each change.
    pub fn await_state(&self, changes: &Receiver<String>, environment: &Value, state: &str) -> Outcome<()> {
        let id = environment["id"].as_str().ok_or_else(|| format!("An environment without an id: {environment}"))?;
        let patience = Instant::now() + PATIENCE;
        while Instant::now() < patience {
            let now = self.api.environment(id)?;
            match now["state"].as_str() {
                Some(found) if found == state => return Ok(()),
                Some("failed") => return Err(format!("An environment failed: {}", now["failure"])),
                _ => {}
            }
            while changes.recv_timeout(SILENCE).is_ok_and(|changed| changed != id) {}
        }
        Err(format!("Environment {id} did not become {state}."))
    }

    /// Its own process, without those of servers.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    pub fn home(&self) -> PathBuf {
        self.home.path().to_path_buf()
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        processes::sweep(self.home.path());
    }
}

/// From the line `listening on http://ADDRESS`; what follows is read and dropped.
fn read_address(output: impl std::io::Read + Send + 'static) -> Option<String> {
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    let line = lines.find(|line| line.starts_with("listening on "))?;
    std::thread::spawn(move || lines.for_each(drop));
    Some(line.trim_start_matches("listening on ").trim_end_matches('/').to_owned())
}
