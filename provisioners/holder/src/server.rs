//! One server as the holder knows it: bubblewrap's monitor (the holder's child), the sandbox's first process, their pipes,
//! and what became of them.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, WaitStatus, kill_process, pidfd_open, pidfd_send_signal, prlimit,
};
use serde::Deserialize;

use crate::launch::start_outlet;
use crate::protocol::{Launch, Outlet, ServerState, ended_by_signal};
use crate::serve::drain;

/// How much of what a server's first process wrote last is kept, to say why it ended.
const KEPT_OUTPUT: usize = 4096;

pub struct Server {
    state: ServerState,
    /// bubblewrap outside the sandbox: our child until it is reaped, so its number cannot be another's.
    monitor: Option<Pid>,
    number: u32,
    /// The first process in the sandbox; the server is gone when it is.
    sandbox: Option<OwnedFd>,
    outlet: Outlets,
    port: String,
    status: Option<File>,
    status_text: Vec<u8>,
    /// Dropping it lets the sandbox go on.
    release: Option<OwnedFd>,
    output: Option<File>,
    output_text: Vec<u8>,
    processes: Option<u64>,
    /// bubblewrap says how the first process ended only if that was ever reached.
    exit_code: Option<i32>,
    doomed: bool,
}

/// The server's way out: what to start, then what was started.
#[derive(Default)]
struct Outlets {
    wanted: Option<Outlet>,
    running: Option<Pid>,
}

/// A line of bubblewrap's `--json-status-fd`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct StatusLine {
    child_pid: Option<i32>,
    exit_code: Option<i32>,
}

impl Server {
    pub fn new(
        launch: &Launch,
        monitor: Pid,
        port: String,
        status: OwnedFd,
        release: OwnedFd,
        output: OwnedFd,
    ) -> std::io::Result<Self> {
        rustix::io::ioctl_fionbio(&status, true)?;
        rustix::io::ioctl_fionbio(&output, true)?;
        Ok(Self {
            state: ServerState::Launching,
            monitor: Some(monitor),
            number: monitor.as_raw_nonzero().get().unsigned_abs(),
            sandbox: None,
            outlet: Outlets { wanted: launch.outlet.clone(), running: None },
            port,
            status: Some(status.into()),
            status_text: Vec::new(),
            release: Some(release),
            output: Some(output.into()),
            output_text: Vec::new(),
            processes: launch.processes,
            exit_code: None,
            doomed: false,
        })
    }

    pub fn state(&self) -> &ServerState {
        &self.state
    }

    pub fn port(&self) -> &str {
        &self.port
    }

    /// Whether `pid` is the monitor, which is about to be reaped or just was.
    pub fn is(&self, pid: Pid) -> bool {
        self.monitor == Some(pid)
    }

    /// Forgets the number of an outlet that ended by itself, before it can become another's.
    pub fn outlet_ended(&mut self, pid: Pid) {
        self.outlet.running.take_if(|running| *running == pid);
    }

    /// No process of it is left.
    pub fn gone(&self) -> bool {
        self.monitor.is_none() && self.sandbox.is_none()
    }

    pub fn stopped(&self) -> bool {
        self.doomed && self.gone()
    }

    /// Descriptors whose news [`attend`](Self::attend) takes in.
    pub fn watched(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let pipes = [self.status.as_ref().map(AsFd::as_fd), self.output.as_ref().map(AsFd::as_fd)];
        pipes.into_iter().flatten().chain(self.sandbox.as_ref().map(AsFd::as_fd))
    }

    /// Ends the server. A sandbox in the making is ended as soon as there is something to end.
    pub fn doom(&mut self) {
        self.doomed = true;
        self.kill();
    }

    fn kill(&mut self) {
        if let Some(sandbox) = &self.sandbox {
            // Takes the sandbox's whole process namespace with it; the monitor then ends by itself.
            let _ = pidfd_send_signal(sandbox, Signal::KILL);
        } else if let Some(monitor) = self.monitor
            && self.state != ServerState::Launching
        {
            let _ = kill_process(monitor, Signal::KILL);
        }
    }

    /// Takes in what the pipes and the sandbox have to say. Whether the state changed.
    pub fn attend(&mut self) -> bool {
        let before = (self.state.clone(), self.gone());
        self.read_output();
        self.read_status();
        if self.sandbox.as_ref().is_some_and(ended) {
            self.sandbox = None;
            if self.doomed {
                self.kill();
            }
        }
        before != (self.state.clone(), self.gone())
    }

    fn read_output(&mut self) {
        if let Some(output) = &self.output {
            let closed = drain(output, &mut self.output_text);
            let excess = self.output_text.len().saturating_sub(KEPT_OUTPUT);
            self.output_text.drain(..excess);
            if closed {
                self.output = None;
            }
        }
    }

    fn read_status(&mut self) {
        let Some(status) = &self.status else { return };
        if drain(status, &mut self.status_text) {
            self.status = None;
        }
        while let Some(end) = self.status_text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.status_text.drain(..=end).collect();
            let Ok(line) = serde_json::from_slice::<StatusLine>(&line) else { continue };
            self.exit_code = line.exit_code.or(self.exit_code);
            if let Some(pid) = line.child_pid.and_then(Pid::from_raw) {
                self.released(pid);
            }
        }
    }

    /// The sandbox exists and waits: set what can only be set from outside, then let it go on.
    fn released(&mut self, sandbox: Pid) {
        if let Some(processes) = self.processes {
            let limit = Rlimit { current: Some(processes), maximum: Some(processes) };
            let _ = prlimit(Some(sandbox), Resource::Nproc, limit);
        }
        self.sandbox = pidfd_open(sandbox, PidfdFlags::empty()).ok();
        self.state = ServerState::Running;
        if self.doomed {
            self.kill();
        } else if let Some(outlet) = self.outlet.wanted.take() {
            let started = start_outlet(&outlet, self.number).ok();
            self.outlet.running = started.and_then(|pid| Pid::from_raw(pid.cast_signed()));
        }
        self.release = None;
    }

    /// The monitor was reaped with this status.
    pub fn ended(&mut self, status: WaitStatus) {
        self.read_status();
        self.read_output();
        self.monitor = None;
        self.release = None;
        if let Some(outlet) = self.outlet.running.take() {
            let _ = kill_process(outlet, Signal::KILL);
        }
        // Set up completely, or ended from outside, however early: then it ran.
        let ended_by_signal =
            status.terminating_signal().is_some() || status.exit_status().is_some_and(|code| code > 128);
        let ran = self.exit_code.is_some() || ended_by_signal;
        let said = self.last_words();
        self.state = match (&self.state, ran) {
            (ServerState::Running, true) => ServerState::Ended { reason: format!("{}{said}", ending(status)) },
            _ if said.is_empty() => ServerState::Failed { reason: format!("the sandbox {}", ending(status)) },
            _ => ServerState::Failed { reason: said.trim_start_matches(": ").to_owned() },
        };
        if self.sandbox.as_ref().is_some_and(ended) {
            self.sandbox = None;
        } else if self.sandbox.is_some() {
            self.kill();
        }
    }

    fn last_words(&self) -> String {
        let text = String::from_utf8_lossy(&self.output_text);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines.split_at(lines.len().saturating_sub(5)).1.join("; ");
        if last.is_empty() { last } else { format!(": {last}") }
    }
}

/// bubblewrap passes on the first process's exit code, and 128 + n for signal n.
fn ending(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) if code > 128 => ended_by_signal(code - 128),
        (Some(code), _) => format!("ended with code {code}"),
        (None, Some(signal)) => ended_by_signal(signal),
        (None, None) => "ended".to_owned(),
    }
}

/// Whether the process behind a pidfd has ended.
fn ended(process: &OwnedFd) -> bool {
    let now = rustix::event::Timespec::try_from(Duration::ZERO).ok();
    poll(&mut [PollFd::new(process, PollFlags::IN)], now.as_ref()).is_ok_and(|ready| ready > 0)
}
