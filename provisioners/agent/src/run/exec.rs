//! One command for one person: its input, output and exit code as frames.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio_util::codec::{FramedRead, FramedWrite};
use tokio_util::sync::CancellationToken;

use super::process;
use super::pty::Pty;
use crate::api::{ExecRequest, Size};
use crate::frame::{Codec, Frame, FrameError, Kind};

/// From the hang-up signal to the kill signal, when nobody is there any more.
const HANG_UP: Duration = Duration::from_secs(2);
/// For the rest of the output when something the command left behind keeps the pipe open.
const REST: Duration = Duration::from_millis(20);
const CHUNK: usize = 16 * 1024;
const END_OF_INPUT: &[u8] = &[4];

/// Runs the command until it ends or the other side goes away.
pub(super) async fn run<S>(stream: S, request: ExecRequest, variables: &BTreeMap<String, String>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (reader, writer) = tokio::io::split(stream);
    let mut writer = FramedWrite::new(writer, Codec);
    let last = match start(&request, variables) {
        Ok(running) => running.attend(FramedRead::new(reader, Codec), &mut writer).await,
        Err(error) => {
            let program = request.command.first().map_or("", String::as_str);
            Some(Frame::new(Kind::Error, format!("cannot run `{program}`: {error}")))
        }
    };
    if let Some(last) = last {
        writer.send(last).await.ok();
        writer.close().await.ok();
    }
}

struct Running {
    child: Child,
    pty: Option<Pty>,
}

fn start(request: &ExecRequest, variables: &BTreeMap<String, String>) -> std::io::Result<Running> {
    let invalid = |message: &str| std::io::Error::new(std::io::ErrorKind::InvalidInput, message.to_owned());
    let (program, arguments) = request.command.split_first().ok_or_else(|| invalid("no command was given"))?;
    let mut command: Command = process::command(program, variables);
    command.args(arguments).env("TERM", "xterm-256color").envs(&request.variables);
    if let Some(directory) = &request.directory {
        if !std::path::Path::new(directory).is_dir() {
            return Err(invalid(&format!("there is no directory {directory}")));
        }
        command.current_dir(directory);
    }
    if let Some(size) = request.tty {
        let (pty, child) = Pty::start(command, size)?;
        return Ok(Running { child, pty: Some(pty) });
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    Ok(Running { child: process::spawn(&mut command)?, pty: None })
}

impl Running {
    /// The last frame; `None` when nobody is there to get it.
    async fn attend<S>(
        mut self,
        mut incoming: FramedRead<ReadHalf<S>, Codec>,
        outgoing: &mut FramedWrite<WriteHalf<S>, Codec>,
    ) -> Option<Frame>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let group = process::group_of(&self.child);
        let mut stdin = self.child.stdin.take();
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        let (frames, mut to_send) = mpsc::channel(4);
        let ended = CancellationToken::new();
        let pty = self.pty.as_ref();
        let child = &mut self.child;

        let output = async {
            let frames = frames;
            tokio::join!(
                pump(stdout, Kind::Stdout, &frames, &ended),
                pump(stderr, Kind::Stderr, &frames, &ended),
                pump_pty(pty, &frames, &ended),
                async {
                    let status = child.wait().await;
                    ended.cancel();
                    status
                }
            )
            .3
        };
        let send = async {
            while let Some(frame) = to_send.recv().await {
                outgoing.send(frame).await?;
            }
            Ok::<_, FrameError>(())
        };
        let input = async {
            while let Some(Ok(frame)) = incoming.next().await {
                match (frame.kind, pty) {
                    (Kind::Stdin, Some(pty)) => pty.write_all(&frame.payload).await.unwrap_or_default(),
                    (Kind::StdinEnd, Some(pty)) => pty.write_all(END_OF_INPUT).await.unwrap_or_default(),
                    (Kind::Stdin, None) => {
                        if let Some(pipe) = stdin.as_mut()
                            && pipe.write_all(&frame.payload).await.is_err()
                        {
                            // The command does not want any more.
                            stdin = None;
                        }
                    }
                    (Kind::StdinEnd, None) => stdin = None,
                    (Kind::Resize, Some(pty)) => resize(pty, &frame.payload),
                    (Kind::Resize, None) => {}
                    (Kind::Stdout | Kind::Stderr | Kind::Exit | Kind::Error | Kind::Replay, _) => return,
                }
            }
        };
        let status = tokio::select! {
            (status, sent) = async { tokio::join!(output, send) } => sent.is_ok().then_some(status),
            () = input => None,
        };
        match status {
            Some(Ok(status)) => Some(Frame::new(Kind::Exit, process::exit_code(status).to_string())),
            Some(Err(error)) => Some(Frame::new(Kind::Error, error.to_string())),
            None => {
                process::signal(group, Signal::HUP);
                if tokio::time::timeout(HANG_UP, self.child.wait()).await.is_err() {
                    process::signal(group, Signal::KILL);
                    self.child.wait().await.ok();
                }
                process::signal(group, Signal::KILL);
                None
            }
        }
    }
}

pub(super) fn resize(pty: &Pty, payload: &[u8]) {
    if let Ok(size) = serde_json::from_slice::<Size>(payload) {
        pty.resize(size).ok();
    }
}

/// Sends what a pipe gives, until its end or until the command has ended and nothing more comes.
async fn pump(
    pipe: Option<impl AsyncRead + Unpin>,
    kind: Kind,
    frames: &mpsc::Sender<Frame>,
    ended: &CancellationToken,
) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = tokio::select! {
            biased;
            read = pipe.read(&mut buffer) => read.unwrap_or(0),
            () = rest_time(ended) => 0,
        };
        if read == 0 || frames.send(Frame::new(kind, buffer[..read].to_vec())).await.is_err() {
            return;
        }
    }
}

async fn pump_pty(pty: Option<&Pty>, frames: &mpsc::Sender<Frame>, ended: &CancellationToken) {
    let Some(pty) = pty else { return };
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = tokio::select! {
            biased;
            read = pty.read(&mut buffer) => read.unwrap_or(0),
            () = rest_time(ended) => 0,
        };
        if read == 0 || frames.send(Frame::new(Kind::Stdout, buffer[..read].to_vec())).await.is_err() {
            return;
        }
    }
}

async fn rest_time(ended: &CancellationToken) {
    ended.cancelled().await;
    tokio::time::sleep(REST).await;
}
