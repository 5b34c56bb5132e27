//! `exec`: a command on a server as if it ran here: input, output, terminal, exit code.

use std::collections::BTreeMap;
use std::io::Write;

use agent::api::{ExecRequest, Size};
use agent::frame::{Frame, Kind, MAX_PAYLOAD};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::{SinkExt, StreamExt};
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::arguments::ExecArguments;
use super::client::Client;
use super::failure::{Failure, exit};
use super::terminal::{self, Raw};

/// The command's exit code.
pub async fn exec(client: &Client, exec: ExecArguments) -> Result<u8, Failure> {
    run(client, exec).await.map_err(|failure| match failure.exit {
        exit::READER_GONE => failure,
        _ => failure.exiting(exit::NOT_RUN),
    })
}

async fn run(client: &Client, exec: ExecArguments) -> Result<u8, Failure> {
    let is_tty = exec.tty || (terminal::is_interactive() && !exec.no_tty);
    let mut command = Vec::new();
    for word in &exec.command {
        let word =
            word.to_str().ok_or_else(|| Failure::usage("the command is not UTF-8, and only that can be sent"))?;
        command.push(word.to_owned());
    }
    let mut variables: BTreeMap<String, String> =
        exec.variables.iter().map(|variable| (variable.name.clone(), variable.value.clone())).collect();
    if let (true, Ok(term)) = (is_tty, std::env::var("TERM")) {
        variables.entry("TERM".into()).or_insert(term);
    }
    let request =
        ExecRequest { command, tty: is_tty.then(terminal::size), directory: exec.directory.clone(), variables };
    let request = serde_json::to_vec(&request).map_err(|error| Failure::local(error.to_string()))?;
    let path = ["environments", &exec.server.environment, "servers", &exec.server.server, "exec"];
    let socket = client.websocket(&path, &[("request", &URL_SAFE_NO_PAD.encode(request))]).await?;
    let (mut to_server, mut from_server) = socket.split();

    let raw = if is_tty && terminal::is_interactive() { Some(Raw::enter()?) } else { None };
    let trouble = |error: std::io::Error| Failure::local(format!("signals cannot be received: {error}"));
    let mut resized = signal(SignalKind::window_change()).map_err(trouble)?;
    let mut ended = signal(SignalKind::terminate()).map_err(trouble)?;
    let mut hung_up = signal(SignalKind::hangup()).map_err(trouble)?;
    let mut stdin = tokio::io::stdin();
    let mut buffer = vec![0; MAX_PAYLOAD / 2];
    let mut stdin_open = true;
    let lost = || Failure::unreachable("the connection to the server was lost before the command ended");
    let result = loop {
        tokio::select! {
            message = from_server.next() => match message {
                Some(Ok(Message::Binary(bytes))) => match output(bytes)? {
                    None => {}
                    Some(Ending::Exit(code)) => break Ok(code),
                    Some(Ending::Error(why)) => break Err(Failure::local(why)),
                },
                Some(Ok(Message::Close(Some(frame)))) if !frame.reason.is_empty() => {
                    break Err(lost().detail(frame.reason.to_string()));
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => break Err(lost()),
                Some(Ok(_)) => {}
            },
            read = stdin.read(&mut buffer), if stdin_open => {
                let message = match read {
                    Ok(0) | Err(_) => {
                        stdin_open = false;
                        message(Kind::StdinEnd, Bytes::new())
                    }
                    Ok(length) => message(Kind::Stdin, Bytes::copy_from_slice(&buffer[..length])),
                };
                if to_server.send(message).await.is_err() {
                    // The server may have said why before it closed: keep on reading.
                    stdin_open = false;
                }
            }
            _ = resized.recv(), if is_tty => {
                let _ = to_server.send(resize(terminal::size())).await;
            }
            _ = ended.recv() => break Err(Failure::local("ended by SIGTERM")),
            _ = hung_up.recv() => break Err(Failure::local("ended by SIGHUP")),
        }
    };
    drop(raw);
    let _ = to_server.close().await;
    result
}

enum Ending {
    Exit(u8),
    Error(String),
}

/// Passes output on; the last frame says how it ended. What a newer portal may send beside is passed over.
fn output(message: Bytes) -> Result<Option<Ending>, Failure> {
    let Ok(Frame { kind, payload }) = Frame::from_message(message) else { return Ok(None) };
    let text = || String::from_utf8_lossy(&payload).into_owned();
    match kind {
        Kind::Stdout => {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(&payload)?;
            stdout.flush()?;
            Ok(None)
        }
        Kind::Stderr => {
            std::io::stderr().write_all(&payload)?;
            Ok(None)
        }
        Kind::Exit => match text().parse::<u32>() {
            Ok(code) => Ok(Some(Ending::Exit(u8::try_from(code).unwrap_or(255)))),
            Err(_) => Err(Failure::local("the command ended, and with which code is not understood")),
        },
        Kind::Error => Ok(Some(Ending::Error(text()))),
        Kind::Stdin | Kind::StdinEnd | Kind::Resize | Kind::Replay => Ok(None),
    }
}

fn message(kind: Kind, payload: impl Into<Bytes>) -> Message {
    Message::Binary(Frame::new(kind, payload).into_message())
}

fn resize(size: Size) -> Message {
    message(Kind::Resize, serde_json::to_vec(&size).unwrap_or_default())
}
