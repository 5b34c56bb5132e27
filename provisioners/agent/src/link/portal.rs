//! The portal's side of a link: hears who calls, then is an HTTP/1.1 client towards that agent.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::multiplex::{self, MAX_STREAMS, Opening, Stream};
use super::{Hello, LinkError, Transport, Welcome, greeting};
use crate::api::{Freeze, Frozen, Thaw, Thawed};

/// Largest explanation of an error the portal listens to, in bytes.
const MAX_EXPLANATION: usize = 16 * 1024;
/// Longest line of newline-delimited JSON, in bytes: a log line of 16 KiB whose every byte is escaped fits.
const MAX_LINE: usize = 256 * 1024;

/// A caller who has said who it is and has not been answered.
pub struct Caller<S> {
    pub hello: Hello,
    stream: BufReader<S>,
}

/// Hears a caller's first line.
///
/// # Errors
/// [`LinkError`] when it is not a greeting or does not come in time.
pub async fn receive<S: Transport>(stream: S) -> Result<Caller<S>, LinkError> {
    let (hello, stream) = greeting::receive(stream).await?;
    Ok(Caller { hello, stream })
}

impl<S: Transport> Caller<S> {
    pub async fn refuse(mut self, reason: impl Into<String>) -> Result<(), LinkError> {
        greeting::say(&mut self.stream, &Welcome::Refused { reason: reason.into() }).await
    }

    /// Welcomes the agent and starts the link on the present runtime.
    pub async fn accept(mut self) -> Result<Connection, LinkError> {
        greeting::say(&mut self.stream, &Welcome::Accepted).await?;
        let (opener, requests) = mpsc::channel(16);
        let (ended, watch_end) = watch::channel(false);
        let driver = tokio::spawn(async move {
            multiplex::open_streams(self.stream, requests).await;
            ended.send_replace(true);
        });
        let link = Link { opener, streams: Arc::new(Semaphore::new(MAX_STREAMS)), ended: watch_end, driver };
        Ok(Connection { link: Arc::new(link) })
    }
}

/// A link to one agent. Cloned freely; the link ends when the last clone is dropped, or by [`close`](Self::close).
#[derive(Clone)]
pub struct Connection {
    link: Arc<Link>,
}

struct Link {
    opener: mpsc::Sender<Opening>,
    /// One permit per stream in use.
    streams: Arc<Semaphore>,
    ended: watch::Receiver<bool>,
    driver: JoinHandle<()>,
}

impl Connection {
    /// One exchange. The answer's body may be endless (reports, logs); dropping it ends the exchange.
    pub async fn request(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, LinkError> {
        let (stream, permit) = self.open().await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(Counted { stream, _permit: permit })).await?;
        tokio::spawn(connection.with_upgrades());
        Ok(sender.send_request(request).await?)
    }

    /// Turns one exchange into a byte stream of its own.
    ///
    /// # Errors
    /// [`UpgradeError::Declined`] with the agent's words when it does not agree.
    pub async fn upgrade(&self, request: http::request::Builder) -> Result<Upgrade, UpgradeError> {
        let request = request
            .header(http::header::HOST, "agent")
            .header(http::header::CONNECTION, "upgrade")
            .header(http::header::UPGRADE, crate::api::UPGRADE)
            .body(Full::default())
            .map_err(|error| UpgradeError::Request(error.to_string()))?;
        let response = self.request(request).await?;
        let status = response.status();
        if status != StatusCode::SWITCHING_PROTOCOLS {
            let body = Limited::new(response.into_body(), MAX_EXPLANATION).collect().await;
            let message = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
            return Err(UpgradeError::Declined { status, message });
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(LinkError::from)?;
        Ok(TokioIo::new(upgraded))
    }

    /// Lets everything on the server stand still.
    ///
    /// # Errors
    /// [`CallError::Declined`] when it does not: then everything runs. After any other error nobody knows, and
    /// [`thaw`](Self::thaw) is the way to be sure.
    pub async fn freeze(&self, freeze: &Freeze) -> Result<Frozen, CallError> {
        self.call("/v1/freeze", freeze).await
    }

    /// Lets everything go on, and says whether it stood still until now.
    ///
    /// # Errors
    /// When the agent could not be asked. It thaws by itself then.
    pub async fn thaw(&self, thaw: &Thaw) -> Result<Thawed, CallError> {
        self.call("/v1/thaw", thaw).await
    }

    async fn call<T: DeserializeOwned>(&self, path: &str, body: &impl serde::Serialize) -> Result<T, CallError> {
        let malformed = |error: String| CallError::Malformed(error);
        let body = serde_json::to_vec(body).map_err(|error| malformed(error.to_string()))?;
        let request = Request::post(path).header(http::header::HOST, "agent").body(Full::from(body));
        let response = self.request(request.map_err(|error| malformed(error.to_string()))?).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_EXPLANATION).collect().await;
        let body = body.map_err(|error| malformed(error.to_string()))?.to_bytes();
        if !status.is_success() {
            return Err(CallError::Declined { status, message: String::from_utf8_lossy(&body).into_owned() });
        }
        serde_json::from_slice(&body).map_err(|error| malformed(error.to_string()))
    }

    /// Ends when the link has ended.
    pub async fn closed(&self) {
        self.link.ended.clone().wait_for(|ended| *ended).await.ok();
    }

    pub fn is_closed(&self) -> bool {
        *self.link.ended.borrow() || self.link.driver.is_finished()
    }

    /// Ends the link and every stream on it.
    pub fn close(&self) {
        self.link.driver.abort();
    }

    async fn open(&self) -> Result<(Stream, OwnedSemaphorePermit), LinkError> {
        let permit = self.link.streams.clone().try_acquire_owned().map_err(|_| LinkError::TooManyStreams)?;
        let (reply, stream) = oneshot::channel();
        self.link.opener.send(reply).await.map_err(|_| LinkError::Closed)?;
        Ok((stream.await.map_err(|_| LinkError::Closed)??, permit))
    }
}

/// Newline-delimited JSON as it comes in.
pub struct Lines<T> {
    body: Incoming,
    buffer: BytesMut,
    item: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Lines<T> {
    pub fn new(response: Response<Incoming>) -> Self {
        Self { body: response.into_body(), buffer: BytesMut::new(), item: PhantomData }
    }

    /// At least one item, and as many more as have arrived with it; none when the body has ended. Dropping the future
    /// loses nothing.
    ///
    /// # Errors
    /// [`LinkError`] when the link ends, a line is longer than `MAX_LINE` or is not what was agreed.
    pub async fn next(&mut self) -> Result<Vec<T>, LinkError> {
        loop {
            let items = self.complete_lines()?;
            if !items.is_empty() {
                return Ok(items);
            }
            match self.body.frame().await {
                None => return Ok(Vec::new()),
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }

    fn complete_lines(&mut self) -> Result<Vec<T>, LinkError> {
        let malformed = |why: String| LinkError::Io(std::io::Error::new(std::io::ErrorKind::InvalidData, why));
        let Some(end) = self.buffer.iter().rposition(|byte| *byte == b'\n') else {
            if self.buffer.len() > MAX_LINE {
                return Err(malformed("the agent sent an oversized line".into()));
            }
            return Ok(Vec::new());
        };
        let complete = self.buffer.split_to(end + 1);
        complete
            .as_ref()
            .split(|byte: &u8| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).map_err(|error| malformed(error.to_string())))
            .collect()
    }
}

/// A byte stream to something on the server.
pub type Upgrade = TokioIo<Upgraded>;

#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("the request cannot be sent: {0}")]
    Request(String),
    /// The agent's own words, for people.
    #[error("{message}")]
    Declined { status: StatusCode, message: String },
}

/// Why an agent did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The agent's own words, for people.
    #[error("{message}")]
    Declined { status: StatusCode, message: String },
    #[error("the agent's answer is not understood: {0}")]
    Malformed(String),
}

/// A stream that gives its place back when it is dropped.
struct Counted {
    stream: Stream,
    _permit: OwnedSemaphorePermit,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixStream;

    use super::*;
    use crate::link::agent;

    async fn linked(router: Router) -> (Connection, tokio::task::JoinHandle<LinkError>) {
        let (agent, portal) = UnixStream::pair().unwrap();
        let serving = tokio::spawn(async move {
            let Err(ended) = agent::serve(agent, &Hello::new("s", 1, "k"), &router, || {}).await;
            ended
        });
        (receive(portal).await.unwrap().accept().await.unwrap(), serving)
    }

    fn get_request(path: &'static str) -> Request<Full<Bytes>> {
        Request::get(path).header("host", "agent").body(Full::default()).unwrap()
    }

    #[tokio::test]
    async fn the_portal_is_the_client_of_the_agent_that_dialled_it() {
        let (connection, _serving) = linked(Router::new().route("/word", get(|| async { "hello" }))).await;
        for _ in 0..3 {
            let answer = connection.request(get_request("/word")).await.unwrap();
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
        }
    }

    #[tokio::test]
    async fn more_streams_than_allowed_are_refused_without_harm_to_the_others() {
        let router =
            Router::new().route("/wait", get(std::future::pending::<String>)).route("/word", get(|| async { "hello" }));
        let (connection, _serving) = linked(router).await;
        let mut waiting = futures::stream::FuturesUnordered::new();
        for _ in 0..MAX_STREAMS {
            waiting.push(connection.request(get_request("/wait")));
        }
        let all_opened = async {
            while connection.link.streams.available_permits() > 0 {
                tokio::task::yield_now().await
            }
        };
        tokio::select! {
            _ = futures::StreamExt::next(&mut waiting) => panic!("nobody answers"),
            () = all_opened => {}
        }
        assert!(matches!(connection.request(get_request("/word")).await, Err(LinkError::TooManyStreams)));
        drop(waiting);
        while connection.link.streams.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(connection.request(get_request("/word")).await.is_ok());
    }

    #[tokio::test]
    async fn closing_the_link_ends_everything_on_both_sides() {
        let router = Router::new().route("/wait", get(std::future::pending::<String>));
        let (connection, serving) = linked(router).await;
        let waiting = tokio::spawn({
            let connection = connection.clone();
            async move { connection.request(get_request("/wait")).await.map(drop) }
        });
        while connection.link.streams.available_permits() == MAX_STREAMS {
            tokio::task::yield_now().await;
        }
        connection.close();
        connection.closed().await;
        assert!(waiting.await.unwrap().is_err());
        serving.await.unwrap();
        assert!(connection.is_closed());
        assert!(connection.request(get_request("/wait")).await.is_err());
    }

    #[tokio::test]
    async fn an_agent_cannot_open_streams_towards_the_portal() {
        let (agent, portal) = UnixStream::pair().unwrap();
        let portal = tokio::spawn(async move { receive(portal).await.unwrap().accept().await.unwrap() });
        let transport = greeting::introduce(agent, &Hello::new("s", 1, "k")).await.unwrap();
        let connection = portal.await.unwrap();
        let (opener, requests) = mpsc::channel(1);
        let rogue = tokio::spawn(multiplex::open_streams(transport, requests));
        let (reply, stream) = oneshot::channel();
        opener.send(reply).await.ok();
        if let Ok(Ok(mut stream)) = stream.await {
            let mut byte = [0u8];
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET / HTTP/1.1\r\n\r\n").await.ok();
            assert!(!matches!(stream.read(&mut byte).await, Ok(1)));
        }
        connection.close();
        drop(opener);
        rogue.await.unwrap();
    }
}
