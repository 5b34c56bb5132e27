//! The agent's side of a link: dials the portal for as long as the server lives, and serves HTTP on every stream.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::multiplex::{self, Stream};
use super::{Hello, Identity, LinkError, Reach, Transport, VERSION, greeting};

/// Delay before the first, and at most before any, further attempt to dial. A restarted portal has its servers back
/// within about a second.
const FIRST_DELAY: Duration = Duration::from_millis(5);
const LONGEST_DELAY: Duration = Duration::from_secs(1);
/// A link that held this long was a good one: the next dial is prompt again.
const STEADY: Duration = Duration::from_secs(5);

/// Largest request head; an exec request travels in it.
const MAX_HEAD: usize = 256 * 1024;
const HEAD_PATIENCE: Duration = Duration::from_secs(10);

/// Serves `router` over one transport until the link ends. `welcomed` is called once the portal has accepted.
pub async fn serve<S: Transport>(
    transport: S,
    hello: &Hello,
    router: &Router,
    welcomed: impl FnOnce(),
) -> Result<Infallible, LinkError> {
    let transport = greeting::introduce(transport, hello).await?;
    welcomed();
    Err(multiplex::accept_streams(transport, |stream| {
        tokio::spawn(serve_stream(stream, router.clone()));
    })
    .await)
}

/// Dials again and again; comes back only with the reason of a refusal, after which dialling is useless.
pub async fn stay_linked(mut identity: Identity, session_key: &str, router: Router, welcomed: impl Fn()) -> String {
    let mut delay = FIRST_DELAY;
    loop {
        let hello = Hello {
            version: VERSION,
            server: identity.server.clone(),
            generation: identity.generation,
            enrolment: identity.enrolment.clone(),
            session_key: session_key.to_owned(),
        };
        let dialled = Instant::now();
        let mut accepted = false;
        let ended = match dial(&identity.link).await {
            Ok(transport) => {
                serve(transport, &hello, &router, || {
                    accepted = true;
                    welcomed();
                })
                .await
            }
            Err(error) => Err(error),
        };
        if let Err(LinkError::Refused(reason)) = ended {
            return reason;
        }
        if accepted {
            identity.enrolment = None;
        }
        if accepted && dialled.elapsed() >= STEADY {
            delay = FIRST_DELAY;
        }
        tokio::time::sleep(jittered(delay)).await;
        delay = (delay * 2).min(LONGEST_DELAY);
    }
}

async fn dial(reach: &Reach) -> Result<impl Transport, LinkError> {
    match reach {
        Reach::Unix(path) => Ok(UnixStream::connect(path).await?),
    }
}

async fn serve_stream(stream: Stream, router: Router) {
    // How an exchange ends is the requester's concern; it sees the same error.
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades()
        .await
        .ok();
}

/// Between half of the delay and all of it, so that many servers do not return in one instant.
fn jittered(delay: Duration) -> Duration {
    let mut byte = [0u8; 1];
    getrandom::fill(&mut byte).ok();
    delay.mul_f64(0.5 + f64::from(byte[0]) / 510.0)
}
