//! Connections: accepted, given a bounded time to say what they want, and let go in an orderly way.

use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// For a request's head, and between two requests of one connection.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);
/// Of the head, in bytes and in headers.
const LARGEST_HEAD: usize = 64 * 1024;
const MOST_HEADERS: usize = 100;
/// For requests under way when the portal stops.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// After the system had no more to give for a new connection.
const BREATH: Duration = Duration::from_millis(100);

/// Who dialled. In every request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// Serves until told to stop; then waits for what is under way, but not for ever.
pub async fn serve(listener: TcpListener, router: Router, stopping: CancellationToken, open: TaskTracker) {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        connections.spawn(connection(stream, Peer(peer.ip()), router.clone(), stopping.clone()));
    }
    drop(listener);
    connections.close();
    open.close();
    let all = async { tokio::join!(connections.wait(), open.wait()) };
    if tokio::time::timeout(STOP_PATIENCE, all).await.is_err() {
        tracing::warn!("some connections did not end in time and were cut");
    }
}

async fn connection(stream: tokio::net::TcpStream, peer: Peer, router: Router, stopping: CancellationToken) {
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        let answer = router.clone().oneshot(request);
        async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_headers(MOST_HEADERS)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // What breaks off on the way is the caller's affair.
        _ = connection.as_mut() => {}
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
