//! From a configuration to running services: commands, parameters, set-up, start-up, services, checks.

use std::collections::BTreeMap;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Pid;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::process::{self, Process};
use super::share::{self, Sharing};
use super::status::{CheckFact, Facts, ServiceFact, Stage};
use super::{Server, supervise};
use crate::api::{CheckStatus, Config, Failure, Script, ServiceStatus};
use crate::link::write_private;

/// For a script that took too long, and for what scripts left running in the background, to end by itself.
const SCRIPT_STOP: Duration = Duration::from_secs(2);

pub(super) enum Command {
    Apply(Box<Config>),
    /// Answered when nothing runs any more.
    Stop(oneshot::Sender<()>),
}

/// Follows the portal's wishes one after the other, for ever.
pub(super) async fn follow(server: Arc<Server>, mut commands: mpsc::Receiver<Command>) {
    let mut present: Option<Applied> = None;
    while let Some(command) = commands.recv().await {
        match command {
            Command::Apply(config) => {
                if present.as_ref().is_some_and(|applied| applied.digest == config.digest) {
                    continue;
                }
                server.frost.thawed().await;
                if let Some(earlier) = present.take() {
                    earlier.stop().await;
                }
                present = Some(Applied::start(&server, *config));
            }
            Command::Stop(reply) => {
                if let Some(earlier) = present.take() {
                    earlier.stop().await;
                }
                server.disks.release(&server).await;
                server.board.update(|facts| *facts = Facts::default());
                reply.send(()).ok();
            }
        }
    }
}

struct Applied {
    digest: String,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Applied {
    fn start(server: &Arc<Server>, config: Config) -> Self {
        let cancel = CancellationToken::new();
        let digest = config.digest.clone();
        server.begin(&config);
        let task = tokio::spawn(run(server.clone(), Arc::new(config), cancel.clone()));
        Self { digest, cancel, task }
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.task.await.ok();
    }
}

async fn run(server: Arc<Server>, config: Arc<Config>, cancel: CancellationToken) {
    // Nothing may be written where a volume belongs before it is there.
    if !server.disks.is_empty() {
        server.board.update(|facts| facts.stage = Stage::Mounting);
        if let Err(interrupted) = server.disks.attach(&server, &cancel).await {
            return fail(&server, interrupted, &cancel).await;
        }
        server.board.update(|facts| facts.stage = Stage::StartingUp);
    }
    let mut background = Vec::new();
    let sharing = Sharing::start(&server, &config);
    match prepare(&server, &config, &sharing, &cancel, &mut background).await {
        Ok(()) => keep_running(&server, &config, &cancel).await,
        Err(interrupted) => fail(&server, interrupted, &cancel).await,
    }
    for group in background {
        process::stop_group(group, SCRIPT_STOP).await;
    }
    // Last: what was written at the very end may still reach the others.
    sharing.stop().await;
}

/// Says why nothing runs, until something else is wanted.
async fn fail(server: &Server, interrupted: Interrupted, cancel: &CancellationToken) {
    if let Interrupted::Failed(failure) = interrupted {
        server.logs.say(&format!("{}: {}", failure.step, failure.cause));
        server.board.update(|facts| facts.stage = Stage::Failed(failure));
        cancel.cancelled().await;
    }
}

pub(super) enum Interrupted {
    Cancelled,
    Failed(Failure),
}

async fn prepare(
    server: &Arc<Server>,
    config: &Config,
    sharing: &Sharing,
    cancel: &CancellationToken,
    background: &mut Vec<Option<Pid>>,
) -> Result<(), Interrupted> {
    let shares = (!config.shared.is_empty()).then_some(share::PROGRAM);
    let required = config.requires.iter().map(String::as_str).chain(shares);
    if let Some(missing) = required.into_iter().find(|command| !is_on_path(command)) {
        return Err(Interrupted::Failed(Failure {
            step: format!("command `{missing}`"),
            cause: format!("`{missing}` is not on the PATH of this server"),
            lines: Vec::new(),
            remedy: format!("Install `{missing}` where the server's image comes from, or choose an image that has it."),
        }));
    }
    write_parameters(&server.directory.join("parameters"), config).map_err(|error| {
        Interrupted::Failed(Failure {
            step: "parameters".into(),
            cause: format!("the parameter files cannot be written: {error}"),
            lines: Vec::new(),
            remedy: "Free space on the server's disk, then retry.".into(),
        })
    })?;
    if !config.shared.is_empty() {
        server.board.update(|facts| facts.stage = Stage::CatchingUp);
        sharing.in_step(cancel).await?;
    }
    let fresh = fresh_markers(server, config);
    if let Some(script) = config.setup.as_ref().filter(|_| !fresh.is_empty()) {
        server.board.update(|facts| facts.stage = Stage::SettingUp);
        background.push(run_script(server, &config.variables, "setup", script, cancel).await?);
    }
    server.frost.thawed().await;
    for marker in fresh {
        if let Err(error) = set_marker(&marker) {
            server.logs.say(&format!("cannot note in {} that set-up is done: {error}", marker.display()));
        }
    }
    if let Some(script) = &config.startup {
        server.board.update(|facts| facts.stage = Stage::StartingUp);
        background.push(run_script(server, &config.variables, "startup", script, cancel).await?);
    }
    // Who needs this server begins with what its scripts wrote.
    sharing.announce(cancel).await
}

/// Runs services and checks until cancelled; services stop in the reverse of the order they started in.
async fn keep_running(server: &Arc<Server>, config: &Arc<Config>, cancel: &CancellationToken) {
    server.board.update(|facts| facts.stage = Stage::Running);
    let checks_cancel = CancellationToken::new();
    let services: Vec<_> = (0..config.services.len())
        .map(|index| {
            let cancel = CancellationToken::new();
            (tokio::spawn(supervise::service(server.clone(), config.clone(), index, cancel.clone())), cancel)
        })
        .collect();
    let checks: Vec<_> = (0..config.checks.len())
        .map(|index| tokio::spawn(supervise::check(server.clone(), config.clone(), index, checks_cancel.clone())))
        .collect();
    cancel.cancelled().await;
    checks_cancel.cancel();
    for check in checks {
        check.await.ok();
    }
    for (service, cancel) in services.into_iter().rev() {
        cancel.cancel();
        service.await.ok();
    }
}

/// Runs a script to its end and tells its process group, in which it may have left something running.
pub(super) async fn run_script(
    server: &Arc<Server>,
    variables: &BTreeMap<String, String>,
    source: &str,
    script: &Script,
    cancel: &CancellationToken,
) -> Result<Option<Pid>, Interrupted> {
    let step = match source {
        "setup" => "set-up script",
        "startup" => "start-up script",
        other => other,
    };
    let failed = |cause: String| {
        Interrupted::Failed(Failure {
            step: step.into(),
            cause,
            lines: server.logs.tail(&[source], 20),
            remedy: "Correct the script in the template, or the order's parameters, then retry.".into(),
        })
    };
    let file = server.state.join(source);
    server.frost.thawed().await;
    let mut process = write_private(&file, script.text.as_bytes())
        .and_then(|()| Process::start(script_command(&script.text, &file, variables), &server.logs, source))
        .map_err(|error| failed(format!("it could not be started: {error}")))?;
    let limit = Duration::from_millis(script.timeout_ms);
    let cause = tokio::select! {
        ended = process.wait() => match ended {
            Ok(status) if status.success() => return Ok(process.group()),
            Ok(status) => format!("it {}", process::describe(status)),
            Err(error) => error.to_string(),
        },
        () = server.frost.sleep(limit) => {
            process.stop(SCRIPT_STOP).await;
            format!("it did not end within {} s", limit.as_secs_f32())
        }
        () = cancel.cancelled() => {
            process.stop(SCRIPT_STOP).await;
            return Err(Interrupted::Cancelled);
        }
    };
    process.kill();
    Err(failed(cause))
}

/// By the script's own `#!` line, as the kernel reads it, or with `sh -e`. The file need not be executable, so it may lie
/// on a disk mounted `noexec`.
fn script_command(text: &str, file: &Path, variables: &BTreeMap<String, String>) -> tokio::process::Command {
    let line =
        text.strip_prefix("#!").and_then(|rest| rest.lines().next()).map(str::trim).filter(|line| !line.is_empty());
    let mut command = match line.map(|line| line.split_once(char::is_whitespace).unwrap_or((line, ""))) {
        Some((interpreter, argument)) => {
            let mut command = process::command(interpreter, variables);
            if !argument.trim().is_empty() {
                command.arg(argument.trim());
            }
            command
        }
        None => {
            let mut command = process::command("/bin/sh", variables);
            command.arg("-e");
            command
        }
    };
    command.arg(file);
    command
}

fn is_on_path(command: &str) -> bool {
    let executable =
        |path: &Path| path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
    if command.contains('/') {
        return executable(Path::new(command));
    }
    std::env::split_paths(&process::path()).any(|directory| executable(&directory.join(command)))
}

/// One file per parameter, and none of an earlier configuration.
fn write_parameters(directory: &Path, config: &Config) -> std::io::Result<()> {
    private_directory(directory)?;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(|name| config.parameters.contains_key(name)) {
            std::fs::remove_file(entry.path())?;
        }
    }
    config.parameters.iter().try_for_each(|(name, value)| write_private(&directory.join(name), value.as_bytes()))
}

/// Where a finished set-up is noted and is not yet: in each volume, or with the agent when there is no volume.
fn fresh_markers(server: &Server, config: &Config) -> Vec<PathBuf> {
    let name = format!("setup-{}", config.server);
    let mut places: Vec<PathBuf> =
        config.volumes.iter().map(|volume| Path::new(volume).join(".bookend").join(&name)).collect();
    if places.is_empty() {
        places.push(server.state.join("setup-done"));
    }
    places.retain(|place| !place.exists());
    places
}

fn set_marker(marker: &Path) -> std::io::Result<()> {
    if let Some(directory) = marker.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(marker, b"")
}

pub(super) fn private_directory(path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Facts at the beginning of a configuration.
pub(super) fn first_facts(config: &Config) -> Facts {
    let service = |service: &crate::api::Service| ServiceFact {
        status: ServiceStatus { name: service.name.clone(), running: false, restarts: 0, last_end: None },
        good: false,
        failure: None,
        hopeless: false,
    };
    let check = |check: &crate::api::Check| CheckFact {
        status: CheckStatus { name: check.name.clone(), passing: false, message: "not asked yet".into() },
        failure: None,
    };
    Facts {
        config: Some(config.digest.clone()),
        stage: Stage::StartingUp,
        services: config.services.iter().map(service).collect(),
        checks: config.checks.iter().map(check).collect(),
        shared: config.shared.iter().map(share::first_status).collect(),
        ..Facts::default()
    }
}
