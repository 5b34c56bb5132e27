//! Terminals: login shells that outlive the connection they are watched on, so that a page reload or a restart of the
//! portal finds the same screen again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{SinkExt, StreamExt};
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, watch};
use tokio_util::codec::{FramedRead, FramedWrite};

use super::exec;
use super::process;
use super::pty::Pty;
use crate::api::Size;
use crate::frame::{Codec, Frame, Kind};

/// Sessions at once; of those nobody watches the one left longest ago makes room.
const SESSIONS: usize = 16;
/// Output kept for who attaches again, in bytes.
const SCROLL_BACK: usize = 256 * 1024;
/// How far output runs ahead of the quickest watcher before the shell has to wait.
const AHEAD: u64 = 128 * 1024;
const CHUNK: usize = 16 * 1024;

#[derive(Default)]
pub(super) struct Terminals {
    sessions: Mutex<HashMap<String, Arc<Session>>>,
}

pub(super) struct Session {
    pty: Pty,
    shell: Option<Pid>,
    screen: Mutex<Screen>,
    /// Bytes written so far, and the exit code once the shell has ended.
    progress: watch::Sender<(u64, Option<i32>)>,
    /// A watcher has read on or left.
    read_on: Notify,
}

#[derive(Default)]
struct Screen {
    kept: VecDeque<u8>,
    written: u64,
    /// Watcher → how far it has read.
    watchers: HashMap<u64, u64>,
    next_watcher: u64,
    left_at: Option<std::time::Instant>,
}

impl Terminals {
    /// The session of this id, begun if it is not there.
    pub(super) fn session(
        self: &Arc<Self>,
        id: &str,
        size: Size,
        variables: &BTreeMap<String, String>,
    ) -> Result<Arc<Session>, String> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = sessions.get(id) {
            session.pty.resize(size).ok();
            return Ok(session.clone());
        }
        if sessions.len() >= SESSIONS {
            let longest_left = sessions
                .iter()
                .filter_map(|(id, session)| Some((session.screen().left_at?, id.clone())))
                .min()
                .ok_or("too many terminals are open on this server; close one and try again")?;
            if let Some(session) = sessions.remove(&longest_left.1) {
                process::signal(session.shell, Signal::HUP);
            }
        }
        let session = self.begin(id, size, variables).map_err(|error| format!("no terminal can be opened: {error}"))?;
        sessions.insert(id.to_owned(), session.clone());
        Ok(session)
    }

    fn begin(
        self: &Arc<Self>,
        id: &str,
        size: Size,
        variables: &BTreeMap<String, String>,
    ) -> std::io::Result<Arc<Session>> {
        let (shell, name) = if Path::new("/bin/bash").exists() { ("/bin/bash", "-bash") } else { ("/bin/sh", "-sh") };
        let mut command = process::command(shell, variables);
        command.as_std_mut().env("TERM", "xterm-256color").env("SHELL", shell);
        std::os::unix::process::CommandExt::arg0(command.as_std_mut(), name);
        let (pty, mut child) = Pty::start(command, size)?;
        let session = Arc::new(Session {
            pty,
            shell: process::group_of(&child),
            screen: Mutex::default(),
            progress: watch::Sender::new((0, None)),
            read_on: Notify::new(),
        });
        let (terminals, reading, id) = (self.clone(), session.clone(), id.to_owned());
        tokio::spawn(async move {
            let status = tokio::select! {
                status = child.wait() => status,
                () = reading.read_output() => child.wait().await,
            };
            reading.read_rest().await;
            let code = status.map_or(255, process::exit_code);
            {
                let mut sessions = terminals.sessions.lock().unwrap_or_else(PoisonError::into_inner);
                if sessions.get(&id).is_some_and(|present| Arc::ptr_eq(present, &reading)) {
                    sessions.remove(&id);
                }
            }
            reading.progress.send_modify(|progress| progress.1 = Some(code));
        });
        Ok(session)
    }
}

impl Session {
    /// Shows the session to one watcher, from the oldest output kept, until the shell or the watcher goes. The shell is hung
    /// up when the watcher says so, and goes on when the watcher merely leaves.
    pub(super) async fn attend(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let (reader, writer) = tokio::io::split(stream);
        let mut incoming = FramedRead::new(reader, Codec);
        let mut outgoing = FramedWrite::new(writer, Codec);
        let watcher = Watcher::new(self);
        let show = async {
            let mut progress = self.progress.subscribe();
            let (mut from, of_before) = self.screen().replayed();
            loop {
                let ended = progress.borrow_and_update().1;
                while let Some((chunk, read_to)) = self.output_after(from, of_before) {
                    let kind = if from < of_before { Kind::Replay } else { Kind::Stdout };
                    if outgoing.send(Frame::new(kind, chunk)).await.is_err() {
                        return;
                    }
                    from = read_to;
                    watcher.has_read(from);
                }
                if let Some(code) = ended {
                    outgoing.send(Frame::new(Kind::Exit, code.to_string())).await.ok();
                    outgoing.close().await.ok();
                    return;
                }
                if progress.changed().await.is_err() {
                    return;
                }
            }
        };
        let type_in = async {
            while let Some(Ok(frame)) = incoming.next().await {
                match frame.kind {
                    Kind::Stdin => self.pty.write_all(&frame.payload).await.unwrap_or_default(),
                    Kind::Resize => exec::resize(&self.pty, &frame.payload),
                    Kind::StdinEnd => process::signal(self.shell, Signal::HUP),
                    Kind::Stdout | Kind::Stderr | Kind::Exit | Kind::Error | Kind::Replay => return,
                }
            }
        };
        tokio::select! {
            () = show => {}
            () = type_in => {}
        }
    }

    fn output_after(&self, from: u64, of_before: u64) -> Option<(Vec<u8>, u64)> {
        self.screen().after(from, of_before)
    }

    async fn read_output(&self) {
        let mut buffer = vec![0; CHUNK];
        while let Ok(read @ 1..) = self.pty.read(&mut buffer).await {
            self.keep(&buffer[..read]);
            while self.screen().is_far_ahead() {
                self.read_on.notified().await;
            }
        }
    }

    /// What the shell wrote last; something it left behind may hold the terminal open for longer.
    async fn read_rest(&self) {
        let mut buffer = vec![0; CHUNK];
        let patience = std::time::Duration::from_millis(20);
        while let Ok(Ok(read @ 1..)) = tokio::time::timeout(patience, self.pty.read(&mut buffer)).await {
            self.keep(&buffer[..read]);
        }
    }

    fn keep(&self, bytes: &[u8]) {
        let written = {
            let mut screen = self.screen();
            screen.kept.extend(bytes);
            let excess = screen.kept.len().saturating_sub(SCROLL_BACK);
            screen.kept.drain(..excess);
            screen.written += bytes.len() as u64;
            screen.written
        };
        self.progress.send_modify(|progress| progress.0 = written);
    }

    fn screen(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Screen {
    /// Where to begin showing to a new watcher, and up to where it is a replay. What is kept may begin in the middle of a
    /// character or a sequence: if so, it is shown from its next line on.
    fn replayed(&self) -> (u64, u64) {
        let oldest = self.oldest();
        let line = self.kept.iter().take(CHUNK).position(|byte| *byte == b'\n').filter(|_| oldest > 0);
        (oldest + line.map_or(0, |end| end as u64 + 1), self.written)
    }

    /// How many bytes were written before those that are kept.
    fn oldest(&self) -> u64 {
        self.written - self.kept.len() as u64
    }

    /// Output after the first `from` bytes, or after what is no longer kept, and up to where it goes. Never what is on both
    /// sides of `of_before` at once.
    fn after(&self, from: u64, of_before: u64) -> Option<(Vec<u8>, u64)> {
        let oldest = self.oldest();
        let start = from.max(oldest);
        let skip = usize::try_from(start - oldest).ok()?;
        let most = if start < of_before { (of_before - start).min(CHUNK as u64) as usize } else { CHUNK };
        let chunk: Vec<u8> = self.kept.iter().skip(skip).take(most).copied().collect();
        let read_to = start + chunk.len() as u64;
        (!chunk.is_empty()).then_some((chunk, read_to))
    }

    fn is_far_ahead(&self) -> bool {
        self.watchers.values().max().is_some_and(|read| read + AHEAD < self.written)
    }
}

/// One who watches; counted from now until it is dropped.
struct Watcher<'a> {
    session: &'a Session,
    number: u64,
}

impl<'a> Watcher<'a> {
    fn new(session: &'a Session) -> Self {
        let mut screen = session.screen();
        let number = screen.next_watcher;
        screen.next_watcher += 1;
        screen.watchers.insert(number, 0);
        screen.left_at = None;
        drop(screen);
        Self { session, number }
    }

    fn has_read(&self, to: u64) {
        self.session.screen().watchers.insert(self.number, to);
        self.session.read_on.notify_one();
    }
}

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        let mut screen = self.session.screen();
        screen.watchers.remove(&self.number);
        if screen.watchers.is_empty() {
            screen.left_at = Some(std::time::Instant::now());
        }
        drop(screen);
        self.session.read_on.notify_one();
    }
}
