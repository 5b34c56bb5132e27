//! A byte stream over the binary messages of a WebSocket, as either side has one.
//!
//! Where messages begin and end means nothing. What is written waits until the socket takes it, and what comes is not read
//! before somebody wants it, so the speed of one end is that of the other. The agent's side pings, so that nothing on the way
//! forgets a quiet connection, and holds one for lost that says nothing in answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// Largest message either side takes, in bytes.
pub const LARGEST_MESSAGE: usize = 64 * 1024;
/// Largest message that is made, in bytes.
const PIECE: usize = 32 * 1024;
const PING_EVERY: Duration = Duration::from_secs(20);
/// After the last sign of the other side.
const SILENCE: Duration = Duration::from_secs(50);

/// What a message is to this stream.
pub enum Content {
    Bytes(Bytes),
    /// Ping and pong, which the socket itself answers.
    Control,
    Close,
    /// Text, which nobody should send.
    Odd,
}

/// A WebSocket message, of whichever library.
pub trait Message: Sized {
    fn binary(bytes: Bytes) -> Self;
    fn ping() -> Self;
    fn content(self) -> Content;
}

macro_rules! message {
    ($message:ty) => {
        impl Message for $message {
            fn binary(bytes: Bytes) -> Self {
                Self::Binary(bytes)
            }
            fn ping() -> Self {
                Self::Ping(Bytes::new())
            }
            fn content(self) -> Content {
                match self {
                    Self::Binary(bytes) => Content::Bytes(bytes),
                    Self::Ping(_) | Self::Pong(_) => Content::Control,
                    Self::Close(_) => Content::Close,
                    _ => Content::Odd,
                }
            }
        }
    };
}
message!(axum::extract::ws::Message);
message!(tokio_tungstenite::tungstenite::Message);

/// See the module.
pub struct Messages<W> {
    socket: W,
    /// What of the last message is still to be read.
    rest: Bytes,
    ended: bool,
    pings: Option<Pings>,
}

struct Pings {
    timer: Interval,
    heard: Instant,
    /// After which it is lost.
    silence: Duration,
}

impl<W> Messages<W> {
    /// One that leaves it to the other side to see that the connection lives.
    pub fn quiet(socket: W) -> Self {
        Self { socket, rest: Bytes::new(), ended: false, pings: None }
    }

    /// One that pings.
    pub fn pinging(socket: W) -> Self {
        Self::pinging_every(socket, PING_EVERY, SILENCE)
    }

    fn pinging_every(socket: W, every: Duration, silence: Duration) -> Self {
        let mut timer = interval_at(Instant::now() + every, every);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { pings: Some(Pings { timer, heard: Instant::now(), silence }), ..Self::quiet(socket) }
    }
}

impl<W, M, E> Messages<W>
where
    W: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
    M: Message,
    E: std::error::Error + Send + Sync + 'static,
{
    /// Sends pings that are due.
    fn poll_pings(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let Some(pings) = &mut self.pings else { return Ok(()) };
        while pings.timer.poll_tick(context).is_ready() {
            if pings.heard.elapsed() > pings.silence {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the portal has fallen silent"));
            }
            // Where it takes nothing there is something on its way already.
            if Pin::new(&mut self.socket).poll_ready(context).is_ready() {
                Pin::new(&mut self.socket).start_send(M::ping()).map_err(broken)?;
                if let Poll::Ready(sent) = Pin::new(&mut self.socket).poll_flush(context) {
                    sent.map_err(broken)?;
                }
            }
        }
        Ok(())
    }
}

impl<W, M, E> AsyncRead for Messages<W>
where
    W: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
    M: Message,
    E: std::error::Error + Send + Sync + 'static,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if !this.rest.is_empty() {
                let length = this.rest.len().min(buffer.remaining());
                buffer.put_slice(&this.rest[..length]);
                this.rest.advance(length);
                return Poll::Ready(Ok(()));
            }
            if this.ended {
                return Poll::Ready(Ok(()));
            }
            let Poll::Ready(message) = Pin::new(&mut this.socket).poll_next(context) else {
                this.poll_pings(context)?;
                return Poll::Pending;
            };
            if let Some(pings) = &mut this.pings {
                pings.heard = Instant::now();
            }
            match message.transpose().map_err(broken)?.map(Message::content) {
                Some(Content::Bytes(bytes)) => this.rest = bytes,
                Some(Content::Control) => {}
                Some(Content::Close) | None => this.ended = true,
                Some(Content::Odd) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "text where bytes belong")));
                }
            }
        }
    }
}

impl<W, M, E> AsyncWrite for Messages<W>
where
    W: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
    M: Message,
    E: std::error::Error + Send + Sync + 'static,
{
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.socket).poll_ready(context)).map_err(broken)?;
        let piece = &bytes[..bytes.len().min(PIECE)];
        Pin::new(&mut self.socket).start_send(M::binary(Bytes::copy_from_slice(piece))).map_err(broken)?;
        Poll::Ready(Ok(piece.len()))
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context).map_err(broken)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(context).map_err(broken)
    }
}

/// What became of a connection, in words for people: who is killed says no goodbye, on whatever layer one was due.
pub(super) fn broken<E: std::error::Error + Send + Sync + 'static>(error: E) -> io::Error {
    let beneath = std::iter::successors(error.source(), |error| error.source());
    let hung_up = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
        )
    };
    match beneath.filter_map(|error| error.downcast_ref()).any(hung_up) {
        true => io::Error::new(io::ErrorKind::ConnectionReset, "the other side hung up"),
        false => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    async fn pair(
        room: usize,
    ) -> (Messages<WebSocketStream<tokio::io::DuplexStream>>, Messages<WebSocketStream<tokio::io::DuplexStream>>) {
        let (one, other) = duplex(room);
        let agent = WebSocketStream::from_raw_socket(one, Role::Client, None).await;
        let portal = WebSocketStream::from_raw_socket(other, Role::Server, None).await;
        (Messages::pinging(agent), Messages::quiet(portal))
    }

    #[tokio::test]
    async fn bytes_arrive_as_they_were_written_however_large_and_both_ways_at_once() {
        let (agent, portal) = pair(4096).await;
        let all: Vec<u8> = (0..1_000_000u32).map(|number| (number % 251) as u8).collect();
        let carry = |stream: Messages<WebSocketStream<tokio::io::DuplexStream>>, all: Vec<u8>| async move {
            let (mut read, mut write) = tokio::io::split(stream);
            let mut came = vec![0; all.len()];
            let written = async {
                write.write_all(&all).await?;
                write.flush().await
            };
            let (read, written) = tokio::join!(read.read_exact(&mut came), written);
            read.unwrap();
            written.unwrap();
            came
        };
        let (one, other) = tokio::join!(carry(agent, all.clone()), carry(portal, all.clone()));
        assert!(one == all && other == all);
    }

    #[tokio::test]
    async fn a_writer_waits_for_a_reader_who_does_not_read() {
        let (mut agent, _portal) = pair(4096).await;
        let mut written = 0;
        let endless = async {
            loop {
                written += agent.write(&[7; PIECE]).await.unwrap();
            }
        };
        assert!(tokio::time::timeout(Duration::from_millis(100), endless).await.is_err());
        assert!(written < 1024 * 1024, "{written} bytes were kept in memory");
    }

    #[tokio::test]
    async fn a_quiet_connection_is_pinged_and_one_that_does_not_answer_is_lost() {
        let (one, other) = duplex(4096);
        let agent = WebSocketStream::from_raw_socket(one, Role::Client, None).await;
        let mut portal = WebSocketStream::from_raw_socket(other, Role::Server, None).await;
        let mut agent = Messages::pinging_every(agent, Duration::from_millis(10), Duration::from_secs(1));
        let reading = tokio::spawn(async move {
            let mut byte = [0];
            agent.read(&mut byte).await.unwrap_err().kind()
        });
        // It answers the first two, which reading does, and then nobody reads.
        for _ in 0..2 {
            let message = futures::StreamExt::next(&mut portal).await.unwrap().unwrap();
            assert!(message.is_ping(), "{message:?}");
        }
        assert_eq!(reading.await.unwrap(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn the_end_of_one_side_is_heard_by_the_other() {
        let (mut agent, mut portal) = pair(4096).await;
        agent.write_all(b"last words").await.unwrap();
        agent.flush().await.unwrap();
        let ending = tokio::spawn(async move { agent.shutdown().await.ok() });
        let mut heard = Vec::new();
        portal.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"last words");
        drop(portal);
        ending.await.unwrap();
    }
}
