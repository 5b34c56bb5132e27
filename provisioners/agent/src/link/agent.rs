//! The agent's side of a link: dials the portal for as long as the server lives, and serves HTTP on every stream.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::multiplex::{self, Stream};
use super::{Hello, Identity, LinkError, Reach, Transport, dial, greeting};

/// Delay before the first, and at most before any, further attempt to dial. A restarted portal has its servers back
/// within about a second or two.
const FIRST_DELAY: Duration = Duration::from_millis(5);
const LONGEST_DELAY: Duration = Duration::from_secs(1);
/// The same for a portal far away, in the time that a restart takes and later.
const LONGEST_DELAY_FAR: Duration = Duration::from_secs(2);
const LONGEST_DELAY_LATER: Duration = Duration::from_secs(30);
const RESTART: Duration = Duration::from_secs(60);
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

/// Dials again and again; comes back only with the reason of a refusal, after which dialling is useless. `linked` says
/// whether there is a link.
pub async fn stay_linked(
    mut identity: Identity,
    session_key: &str,
    router: Router,
    linked: &watch::Sender<bool>,
    welcomed: impl Fn(),
) -> String {
    let mut delay = FIRST_DELAY;
    let mut lost = Instant::now();
    let mut told = String::new();
    loop {
        let dialled = Instant::now();
        let mut accepted = false;
        let ended = match reach(&identity.link).await {
            Ok((transport, address)) => {
                let own = Hello::new(&identity.server, identity.generation, session_key);
                let hello = Hello { enrolment: identity.enrolment.clone(), address, ..own };
                serve(transport, &hello, &router, || {
                    accepted = true;
                    linked.send_replace(true);
                    welcomed();
                })
                .await
            }
            Err(error) => Err(error),
        };
        linked.send_replace(false);
        match ended {
            Err(LinkError::Refused(reason)) => return reason,
            // Once: a machine's journal is no place for the same words every few seconds.
            Err(error) if matches!(identity.link, Reach::Portal(_)) && told != error.to_string() => {
                told = error.to_string();
                eprintln!("bookend-agent: no link to the portal: {told}. It is dialled again");
            }
            _ => {}
        }
        if accepted {
            identity.enrolment = None;
            lost = Instant::now();
        }
        if accepted && dialled.elapsed() >= STEADY {
            delay = FIRST_DELAY;
        }
        tokio::time::sleep(jittered(delay)).await;
        delay = (delay * 2).min(longest_delay(&identity.link, lost.elapsed()));
    }
}

fn longest_delay(link: &Reach, lost_for: Duration) -> Duration {
    match link {
        Reach::Unix(_) => LONGEST_DELAY,
        Reach::Portal(_) if lost_for < RESTART => LONGEST_DELAY_FAR,
        Reach::Portal(_) => LONGEST_DELAY_LATER,
    }
}

/// The way there, and from where it begins, as far as that is an address that others know the server by.
async fn reach(link: &Reach) -> Result<(Box<dyn Transport>, Option<Ipv4Addr>), LinkError> {
    match link {
        Reach::Unix(path) => Ok((Box::new(UnixStream::connect(path).await?), None)),
        Reach::Portal(portal) => dial::dial(portal).await,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::PortalAddress;

    #[test]
    fn a_portal_that_restarts_is_found_at_once_and_one_that_stays_away_is_not_pestered() {
        let far = Reach::Portal(PortalAddress { url: "https://a".into(), ca_file: None });
        assert_eq!(longest_delay(&far, Duration::from_secs(10)), Duration::from_secs(2));
        assert_eq!(longest_delay(&far, Duration::from_secs(600)), Duration::from_secs(30));
        assert_eq!(longest_delay(&Reach::Unix("/a".into()), Duration::from_secs(600)), Duration::from_secs(1));
        let delays: Vec<Duration> = (0..100).map(|_| jittered(Duration::from_secs(30))).collect();
        assert!(delays.iter().all(|delay| (15..=30).contains(&delay.as_secs())));
        assert!(delays.iter().any(|delay| *delay != delays[0]));
    }
}
