//! Between a WebSocket and a stream to a server, until one of them ends, the portal stops, or the caller is somebody no more.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agent::frame::MAX_PAYLOAD;
use app::portal::Duplex;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use bytes::{Buf, Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::Edge;
use super::identify::Caller;

/// So that proxies keep a quiet connection and a dead one is noticed.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Type byte and length.
const FRAME_HEAD: usize = 5;
/// Read from a server at once, and so the most in one message of bytes.
const PIECE: usize = 32 * 1024;

/// How messages and the stream's bytes correspond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// Each message is one frame of the agent's protocol: type byte and payload.
    Frames,
    /// Messages are bytes as they come; an empty one ends that direction.
    Bytes,
}

/// Why it ended, as the close frame says it.
struct End(u16, &'static str);

const DONE: End = End(close_code::NORMAL, "");
const LOST: End = End(close_code::ERROR, "the connection to the server was lost");
const NOT_A_FRAME: End = End(close_code::PROTOCOL, "messages are binary: a type byte and at most 64 KiB");

/// Which directions have ended by themselves.
#[derive(Default)]
struct Ended {
    from_client: AtomicBool,
    from_server: AtomicBool,
}

/// Takes the WebSocket and carries everything.
pub fn carry(
    edge: &Edge,
    caller: &Caller,
    upgrade: WebSocketUpgrade,
    stream: Box<dyn Duplex>,
    carries: Carries,
) -> Response {
    let (stopping, signed_out, open) = (edge.stopping.clone(), caller.ended(), edge.open.token());
    let largest = if carries == Carries::Frames { MAX_PAYLOAD + 1 } else { 1024 * 1024 };
    upgrade.max_message_size(largest).max_frame_size(largest).on_upgrade(move |socket| async move {
        let _open = open;
        let ended = Arc::new(Ended::default());
        let (to_client, from_client) = socket.split();
        let (from_server, to_server) = tokio::io::split(stream);
        let up = up(from_client, to_server, carries, ended.clone());
        let over = async move {
            tokio::select! {
                end = up => end,
                () = signed_out => End(close_code::POLICY, "you are no longer signed in"),
                () = stopping.cancelled() => End(close_code::RESTART, "the portal is stopping"),
            }
        };
        down(from_server, to_client, carries, ended, std::pin::pin!(over)).await;
    })
}

/// Client to server; ends when the client has gone or said what it may not.
async fn up(
    mut from_client: SplitStream<WebSocket>,
    mut to_server: WriteHalf<Box<dyn Duplex>>,
    carries: Carries,
    ended: Arc<Ended>,
) -> End {
    while let Some(message) = from_client.next().await {
        let payload = match message {
            Ok(Message::Binary(payload)) => payload,
            Ok(Message::Ping(_) | Message::Pong(_)) => continue,
            Ok(Message::Text(_)) => return NOT_A_FRAME,
            Ok(Message::Close(_)) => return DONE,
            // Too large, or no longer there.
            Err(_) => return NOT_A_FRAME,
        };
        let written = match (carries, payload.is_empty()) {
            (Carries::Frames, true) => return NOT_A_FRAME,
            (Carries::Frames, false) => to_server.write_all(&frame(&payload)).await,
            (Carries::Bytes, false) => to_server.write_all(&payload).await,
            (Carries::Bytes, true) => {
                ended.from_client.store(true, Ordering::SeqCst);
                let shut = to_server.shutdown().await;
                if ended.from_server.load(Ordering::SeqCst) {
                    return DONE;
                }
                shut
            }
        };
        if written.is_err() {
            // What the server still has to say comes the other way, and so does its end.
            std::future::pending::<()>().await;
        }
    }
    DONE
}

/// Server to client, with pings, and the close at the end.
async fn down(
    mut from_server: ReadHalf<Box<dyn Duplex>>,
    mut to_client: SplitSink<WebSocket, Message>,
    carries: Carries,
    ended: Arc<Ended>,
    mut over: Pin<&mut impl Future<Output = End>>,
) {
    let mut ping = tokio::time::interval(PING_EVERY);
    ping.tick().await;
    let mut read = BytesMut::with_capacity(PIECE);
    let mut reading = true;
    let end = 'carrying: loop {
        let received = tokio::select! {
            end = &mut over => break end,
            _ = ping.tick() => None,
            received = from_server.read_buf(&mut read), if reading => Some(received),
        };
        let messages = match (received, carries) {
            (None, _) => vec![Message::Ping(Bytes::new())],
            (Some(Err(_)), _) => break LOST,
            (Some(Ok(0)), Carries::Frames) => break DONE,
            (Some(Ok(0)), Carries::Bytes) => {
                ended.from_server.store(true, Ordering::SeqCst);
                if ended.from_client.load(Ordering::SeqCst) {
                    break DONE;
                }
                reading = false;
                vec![Message::Binary(Bytes::new())]
            }
            (Some(Ok(_)), Carries::Bytes) => vec![Message::Binary(read.split().freeze())],
            (Some(Ok(_)), Carries::Frames) => match whole_frames(&mut read) {
                Some(frames) => frames.into_iter().map(Message::Binary).collect(),
                None => break LOST,
            },
        };
        for message in messages {
            tokio::select! {
                sent = to_client.send(message) => if sent.is_err() { return },
                end = &mut over => break 'carrying end,
            }
        }
        read.reserve(PIECE);
    };
    let End(code, reason) = end;
    let goodbye = to_client.send(Message::Close(Some(CloseFrame { code, reason: reason.into() })));
    // A client that is gone, or takes nothing, needs none.
    let _ = tokio::time::timeout(Duration::from_secs(2), goodbye).await;
}

/// A message as the agent's frame.
fn frame(message: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(message.len() + FRAME_HEAD - 1);
    frame.push(message[0]);
    frame.extend(((message.len() - 1) as u32).to_be_bytes());
    frame.extend(&message[1..]);
    frame
}

/// Takes the complete frames off the front, each as a message; `None` when what is there is no frame.
fn whole_frames(read: &mut BytesMut) -> Option<Vec<Bytes>> {
    let mut messages = Vec::new();
    while read.len() >= FRAME_HEAD {
        let length = u32::from_be_bytes([read[1], read[2], read[3], read[4]]) as usize;
        if length > MAX_PAYLOAD {
            return None;
        }
        if read.len() < FRAME_HEAD + length {
            break;
        }
        let mut frame = read.split_to(FRAME_HEAD + length);
        // The type byte moves beside its payload, over the length.
        frame[FRAME_HEAD - 1] = frame[0];
        frame.advance(FRAME_HEAD - 1);
        messages.push(frame.freeze());
    }
    Some(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_frames_turn_into_each_other_wherever_the_bytes_are_cut() {
        let messages: Vec<Vec<u8>> = vec![b"\x01hello".to_vec(), b"\x04".to_vec(), b"\x01world".to_vec()];
        let bytes: Vec<u8> = messages.iter().flat_map(|message| frame(message)).collect();
        for cut in 0..=bytes.len() {
            let mut read = BytesMut::from(&bytes[..cut]);
            let mut found = whole_frames(&mut read).unwrap();
            read.extend_from_slice(&bytes[cut..]);
            found.extend(whole_frames(&mut read).unwrap());
            assert_eq!(found, messages);
            assert!(read.is_empty());
        }
    }

    #[test]
    fn an_oversized_frame_is_no_frame() {
        let mut read = BytesMut::from(&b"\x01\xff\xff\xff\xff"[..]);
        assert_eq!(whole_frames(&mut read), None);
    }
}
