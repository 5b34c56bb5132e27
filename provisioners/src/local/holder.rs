//! The portal's side of a holder: starting one, finding it again, talking to it, seeing it end.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use holder::{Reply, Request, ServerState, World};
use rustix::fs::{FlockOperation, flock};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::error::{Attempt, LocalError, Result};
use super::layout::EnvironmentLayout;
use super::moments::moment;

/// A holder answers within milliseconds; one that takes this long is not going to.
const PATIENCE: Duration = Duration::from_secs(10);

/// For a file that is busy: two seconds together.
const BUSY_TRIES: usize = 200;
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// What a holder knows of its servers.
#[derive(Clone, Debug)]
pub struct Roster {
    /// Which of the environment's holders over time this is.
    pub incarnation: String,
    pub servers: Vec<holder::ServerStatus>,
}

impl Roster {
    pub fn state(&self, server: &str, generation: i64) -> Option<&ServerState> {
        let found = self.servers.iter().find(|status| status.server == server && status.generation == generation);
        found.map(|status| &status.state)
    }
}

/// Starts a holder that takes over `lock`, and returns when it serves.
pub fn start(agent: &Path, world: &World, lock: File) -> Result<()> {
    let attempt = || "start the environment's holder".to_owned();
    let world = serde_json::to_string(world).map_err(std::io::Error::from).attempting(attempt)?;
    moment().attempting(attempt)?;
    let mut command = Command::new(agent);
    command.arg(holder::COMMAND).arg(world).env_clear().current_dir("/");
    command.stdin(Stdio::from(lock)).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = spawn(&mut command).attempting(|| format!("run {}", agent.display()))?;
    drop(command);
    moment().attempting(attempt)?;
    let mut said = String::new();
    let heard = match child.stdout.take() {
        Some(output) => BufReader::new(output).read_line(&mut said),
        None => Ok(0),
    };
    child.wait().attempting(attempt)?;
    heard.attempting(attempt)?;
    match said.trim() {
        "ready" => Ok(()),
        "" => Err(LocalError::Later("The environment's holder ended before it was ready.".to_owned())),
        reason => Err(LocalError::Later(format!("The environment's holder could not start: {reason}"))),
    }
}

/// The agent's copy may have been written a moment ago. As long as another thread's child, between its fork and its exec, has
/// that file open still, the kernel refuses to run it.
fn spawn(command: &mut Command) -> std::io::Result<Child> {
    for _ in 0..BUSY_TRIES {
        match command.spawn() {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => std::thread::sleep(BUSY_PAUSE),
            outcome => return outcome,
        }
    }
    command.spawn()
}

/// Takes the environment's lock, which only its holder holds for longer; nothing when there is a holder.
pub fn try_lock(layout: &EnvironmentLayout) -> Result<Option<File>> {
    let path = layout.lock();
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).open(&path);
    let file = file.attempting(|| format!("open {}", path.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error).attempting(|| format!("lock {}", path.display())),
    }
}

/// What the environment's holder knows; nothing when no holder serves.
pub fn list(layout: &EnvironmentLayout) -> Result<Option<Roster>> {
    let Some(connection) = connect(layout)? else { return Ok(None) };
    match ask(connection, &Request::List, &[]) {
        Ok(Some(Reply::Servers { incarnation, servers })) => Ok(Some(Roster { incarnation, servers })),
        Ok(Some(_)) => Err(LocalError::Later("The environment's holder gave a wrong answer.".to_owned())),
        Ok(None) => Ok(None),
        Err(error) => Err(error),
    }
}

/// One request and its answer; nothing when the holder ended before it answered.
pub fn request(layout: &EnvironmentLayout, request: &Request, descriptors: &[OwnedFd]) -> Result<Option<Reply>> {
    match connect(layout)? {
        Some(connection) => {
            moment().attempting(|| "ask the environment's holder".to_owned())?;
            let reply = ask(connection, request, descriptors)?;
            moment().attempting(|| "ask the environment's holder".to_owned())?;
            Ok(reply)
        }
        None => Ok(None),
    }
}

/// A connection to the holder; nothing when nobody listens.
pub fn connect(layout: &EnvironmentLayout) -> Result<Option<UnixStream>> {
    // By way of a descriptor: socket addresses are short, data directories may not be.
    let Ok(directory) = File::open(layout.holder()) else { return Ok(None) };
    let path = PathBuf::from(format!("/proc/self/fd/{}/holder.sock", directory.as_raw_fd()));
    match UnixStream::connect(path) {
        Ok(stream) => {
            let patience = Some(PATIENCE);
            let set = stream.set_read_timeout(patience).and_then(|()| stream.set_write_timeout(patience));
            set.attempting(|| "reach the environment's holder".to_owned())?;
            Ok(Some(stream))
        }
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused) => {
            Ok(None)
        }
        Err(error) => Err(error).attempting(|| "reach the environment's holder".to_owned()),
    }
}

fn ask(connection: UnixStream, request: &Request, descriptors: &[OwnedFd]) -> Result<Option<Reply>> {
    let attempt = || "ask the environment's holder".to_owned();
    if send(&connection, request, descriptors).is_err() {
        return Ok(None);
    }
    let mut line = String::new();
    match BufReader::new(connection.take(1 << 24)).read_line(&mut line) {
        Ok(0) => Ok(None),
        Ok(_) => Ok(Some(serde_json::from_str(&line).map_err(std::io::Error::from).attempting(attempt)?)),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(None),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
            Err(LocalError::Later(format!("The environment's holder did not answer within {PATIENCE:?}.")))
        }
        Err(error) => Err(error).attempting(attempt),
    }
}

/// Sends a request as one line, the descriptors along with its first bytes.
pub fn send(connection: &UnixStream, request: &Request, descriptors: &[OwnedFd]) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    if !borrowed.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(std::io::Error::other("too many descriptors"));
    }
    let sent = sendmsg(connection, &[IoSlice::new(&line)], &mut ancillary, SendFlags::NOSIGNAL)?;
    std::io::Write::write_all(&mut &*connection, &line[sent..])
}

/// Ends the environment's holder, and with it every server, and returns its lock when nothing of it is left.
pub fn end(layout: &EnvironmentLayout) -> Result<File> {
    let attempts = 5000;
    for attempt in 0..attempts {
        if let Some(lock) = try_lock(layout)? {
            return Ok(lock);
        }
        match request(layout, &Request::End, &[]) {
            Ok(_) => {}
            Err(error) if attempt + 1 == attempts => return Err(error),
            // It does not answer: stopped, perhaps. Whoever holds the lock is it.
            Err(LocalError::Later(_)) => kill_lock_holders(&layout.lock())?,
            Err(error) => return Err(error),
        }
        // It is still starting, or the kernel is still taking its processes apart: there is no event to wait for.
        std::thread::sleep(Duration::from_millis(2));
    }
    kill_lock_holders(&layout.lock())?;
    Err(LocalError::Later("The environment's holder does not end.".to_owned()))
}

/// Kills the processes that have this very file open, other than this one. Only holders ever do.
fn kill_lock_holders(lock: &Path) -> Result<()> {
    let attempt = || "look for the environment's holder".to_owned();
    let wanted = std::fs::metadata(lock).attempting(attempt)?;
    for entry in std::fs::read_dir("/proc").attempting(attempt)?.flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) else { continue };
        if pid == rustix::process::getpid() {
            continue;
        }
        // Opened before its files are looked at: the kill below reaches the process that was looked at, or none.
        let Ok(process) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) else { continue };
        let Ok(files) = std::fs::read_dir(entry.path().join("fd")) else { continue };
        let holds = |path: PathBuf| std::fs::metadata(path).is_ok_and(|found| same_file(&found, &wanted));
        if files.flatten().any(|file| holds(file.path())) {
            let _ = rustix::process::pidfd_send_signal(&process, rustix::process::Signal::KILL);
        }
    }
    Ok(())
}

fn same_file(one: &std::fs::Metadata, other: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_being_written_is_run_when_it_is_closed() {
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join("true");
        std::fs::copy("/bin/true", &copy).unwrap();
        let writer = OpenOptions::new().append(true).open(&copy).unwrap();
        let closing = std::thread::spawn(move || {
            std::thread::sleep(5 * BUSY_PAUSE);
            drop(writer);
        });
        assert!(spawn(&mut Command::new(&copy)).unwrap().wait().unwrap().success());
        closing.join().unwrap();
    }
}
