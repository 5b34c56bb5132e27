//! Child processes: each in a process group of its own, ended as a whole, reaped whoever their parent was.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::lines::copy_lines;
use super::logs::Logs;

/// How often a stopping group is looked at; the kernel tells nobody when the last member of a group ends.
const GROUP_LOOK: Duration = Duration::from_millis(10);
/// For the last lines of an ended process to be read; longer only where something it left behind keeps writing.
const LAST_LINES: Duration = Duration::from_millis(200);

/// Children somebody waits for. What else turns up as a child of process 1 is reaped by [`reap_orphans`].
static AWAITED: Mutex<Option<HashSet<u32>>> = Mutex::new(None);

/// A command in a process group of its own.
pub(super) struct Process {
    child: Child,
    group: Option<Pid>,
    output: Option<JoinHandle<()>>,
}

/// A command with the variables everything on the server gets, in the home directory, without input.
pub(super) fn command(program: &str, variables: &BTreeMap<String, String>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", path()).env("HOME", home()).current_dir(home()).stdin(Stdio::null());
    for name in ["USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.envs(variables);
    command
}

pub(super) fn path() -> String {
    std::env::var("PATH").unwrap_or_else(|_| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into())
}

/// The user's home where there is one.
pub(super) fn home() -> PathBuf {
    std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_dir()).unwrap_or_else(|| "/".into())
}

/// Starts a child that is waited for.
pub(super) fn spawn(command: &mut Command) -> io::Result<Child> {
    let mut awaited = AWAITED.lock().unwrap_or_else(PoisonError::into_inner);
    let child = command.spawn()?;
    if let Some(id) = child.id() {
        awaited.get_or_insert_default().insert(id);
    }
    Ok(child)
}

impl Process {
    /// Starts a command whose output goes to the log under `source`.
    pub(super) fn start(mut command: Command, logs: &Arc<Logs>, source: &str) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        command.stdout(writer.try_clone()?).stderr(writer).process_group(0);
        let child = spawn(&mut command)?;
        drop(command);
        let reader = pipe::Receiver::from_owned_fd(reader.into())?;
        let output = tokio::spawn(copy_lines(reader, logs.clone(), source.to_owned()));
        let group = group_of(&child);
        Ok(Self { child, group, output: Some(output) })
    }

    /// Waits for the command itself and its last lines; what it left running in its group goes on.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        if let Some(output) = self.output.as_mut()
            && timeout(LAST_LINES, output).await.is_ok()
        {
            self.output = None;
        }
        Ok(status)
    }

    /// Asks the whole group to end, and ends what is still there after `patience`.
    pub(super) async fn stop(&mut self, patience: Duration) {
        signal(self.group, Signal::TERM);
        let group = self.group;
        let gone = async {
            self.child.wait().await.ok();
            until_gone(group).await;
        };
        if timeout(patience, gone).await.is_err() {
            signal(self.group, Signal::KILL);
        }
        self.wait().await.ok();
    }

    pub(super) fn kill(&self) {
        signal(self.group, Signal::KILL);
    }

    pub(super) fn group(&self) -> Option<Pid> {
        self.group
    }
}

/// Asks a group that lost its leader to end, and ends what is still there after `patience`.
pub(super) async fn stop_group(group: Option<Pid>, patience: Duration) {
    signal(group, Signal::TERM);
    if timeout(patience, until_gone(group)).await.is_err() {
        signal(group, Signal::KILL);
    }
}

pub(super) fn group_of(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| Pid::from_raw(id.cast_signed()))
}

pub(super) fn signal(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        // No such group: it ended by itself.
        rustix::process::kill_process_group(group, signal).ok();
    }
}

async fn until_gone(group: Option<Pid>) {
    let Some(group) = group else { return };
    while rustix::process::test_kill_process_group(group).is_ok() {
        sleep(GROUP_LOOK).await;
    }
}

/// How a process ended, for people.
pub(super) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// Exit code as shells give it: 128 + n for signal n.
pub(super) fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(255)
}

/// What a process ignores its children ignore too: behind `nohup`, or in the background of a script, no terminal could be
/// hung up and no command interrupted. What is caught is not inherited, so from now on such signals are caught and passed
/// over.
///
/// # Errors
/// When the kernel does not tell what is ignored.
pub(super) fn catch_ignored_signals() -> io::Result<()> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    for wanted in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::TSTP, Signal::TTIN, Signal::TTOU] {
        let number = wanted.as_raw();
        if mask & (1 << (number - 1)) != 0 {
            // The handler stays when the listener is dropped.
            drop(tokio::signal::unix::signal(tokio::signal::unix::SignalKind::from_raw(number))?);
        }
    }
    Ok(())
}

/// As process 1: takes the end of every process whose parent went away, for ever. Never returns.
pub async fn reap_orphans() {
    let Ok(mut child_ended) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::child()) else { return };
    loop {
        reap_now();
        child_ended.recv().await;
        // Many may end together, and a short-lived zombie harms nobody.
        sleep(Duration::from_millis(20)).await;
    }
}

fn reap_now() {
    let Ok(children) = std::fs::read_to_string(format!("/proc/self/task/{}/children", std::process::id())) else {
        return;
    };
    let children: HashSet<u32> = children.split_whitespace().filter_map(|id| id.parse().ok()).collect();
    let mut awaited = AWAITED.lock().unwrap_or_else(PoisonError::into_inner);
    let awaited = awaited.get_or_insert_default();
    awaited.retain(|id| children.contains(id));
    for orphan in children.difference(awaited) {
        if let Some(id) = Pid::from_raw(orphan.cast_signed()) {
            rustix::process::waitpid(Some(id), WaitOptions::NOHANG).ok();
        }
    }
}
