//! yamux over one byte stream: many streams, each with its own flow control.
//!
//! The portal opens, the agent accepts. One task drives the connection; when the task ends, every stream ends with it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};

use super::LinkError;

/// One stream of a link.
pub type Stream = Compat<yamux::Stream>;

/// Streams the portal opens at once, at most. The agent accepts some more, because it may not have seen yet that one ended,
/// and one stream too many would end the whole connection.
pub(super) const MAX_STREAMS: usize = 256;
const ACCEPTED_STREAMS: usize = 2 * MAX_STREAMS;

pub(super) type Opening = oneshot::Sender<Result<Stream, LinkError>>;

/// The portal's side: opens a stream for every request that comes in, until the link or its last user is gone.
pub(super) async fn open_streams<S>(transport: S, mut requests: mpsc::Receiver<Opening>) -> LinkError
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = yamux::Connection::new(transport.compat(), config(), yamux::Mode::Client);
    let mut waiting: VecDeque<Opening> = VecDeque::new();
    let ended = poll_fn(|cx| {
        while let Poll::Ready(request) = requests.poll_recv(cx) {
            match request {
                Some(request) => waiting.push_back(request),
                None => return Poll::Ready(LinkError::Closed),
            }
        }
        while !waiting.is_empty() {
            match connection.poll_new_outbound(cx) {
                Poll::Ready(Ok(stream)) => {
                    if let Some(request) = waiting.pop_front() {
                        // A requester that went away drops its stream, which resets it.
                        request.send(Ok(stream.compat())).ok();
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(error.into()),
                Poll::Pending => break,
            }
        }
        match poll_accept(&mut connection, cx) {
            // The agent has no business opening streams: dropping them resets them.
            Poll::Ready(Ok(_unwanted)) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Err(error)) => Poll::Ready(error),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    close(connection).await;
    ended
}

/// The agent's side: hands every stream the portal opens to `serve`, until the link is gone.
pub(super) async fn accept_streams<S>(transport: S, mut serve: impl FnMut(Stream)) -> LinkError
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = yamux::Connection::new(transport.compat(), config(), yamux::Mode::Server);
    loop {
        match poll_fn(|cx| poll_accept(&mut connection, cx)).await {
            Ok(stream) => serve(stream),
            Err(error) => return error,
        }
    }
}

fn poll_accept<T>(connection: &mut yamux::Connection<T>, cx: &mut Context<'_>) -> Poll<Result<Stream, LinkError>>
where
    T: futures::io::AsyncRead + futures::io::AsyncWrite + Unpin,
{
    connection.poll_next_inbound(cx).map(|next| match next {
        Some(Ok(stream)) => Ok(stream.compat()),
        Some(Err(error)) => Err(error.into()),
        None => Err(LinkError::Closed),
    })
}

/// Tells the other side; a side that is gone already is no matter.
async fn close<T>(mut connection: yamux::Connection<T>)
where
    T: futures::io::AsyncRead + futures::io::AsyncWrite + Unpin,
{
    let farewell = poll_fn(|cx| connection.poll_close(cx));
    tokio::time::timeout(std::time::Duration::from_secs(1), farewell).await.ok();
}

fn config() -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(ACCEPTED_STREAMS);
    // The least yamux allows: what one peer can make the other hold in memory if nothing is read.
    config.set_max_connection_receive_window(Some(ACCEPTED_STREAMS * 256 * 1024));
    config
}
