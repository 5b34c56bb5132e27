//! The Amazon that orders go to: the fake with Amazon's delays, buckets and describes that show the past, at an address of this
//! machine, on the machine's clock. What is asked of it is written down with the moments at which it arrived and was answered.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use fake_ec2::{Counts, Fake, Rules};
use tokio::net::TcpListener;

/// As Amazon's own.
const LARGEST_CALL: usize = 4 << 20;

/// A call that was accepted and changes something.
#[derive(Clone, Debug)]
pub struct Call {
    pub action: String,
    pub arrived: Instant,
    pub answered: Instant,
    /// Of a security group that it made: how long calls for it may be refused after it was made.
    pub unknown_for: Duration,
}

impl Call {
    /// When it happened: a call is on its way there as long as its answer is on its way back.
    pub fn happened(&self) -> Instant {
        self.arrived + (self.answered - self.arrived) / 2
    }
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Amazon {
    pub fake: Fake,
    rules: Arc<Rules>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Amazon {
    pub fn new(rules: Rules) -> Self {
        Self { fake: Fake::new(rules.clone()), rules: Arc::new(rules), calls: Arc::default() }
    }

    /// Serves until dropped.
    pub async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        axum::serve(listener, Router::new().fallback(answer).with_state(self)).await
    }

    /// The calls since the last time, in the order of their answers.
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn counts(&self) -> Counts {
        self.fake.counts()
    }

    fn note(&self, action: &str, arrived: Instant, answer: &[u8]) {
        let unknown_for = match action {
            "CreateSecurityGroup" => group(answer).map_or(0, |id| self.rules.lag.of_change(self.rules.seed, &id)),
            _ => 0,
        };
        let unknown_for = Duration::from_millis(u64::try_from(unknown_for).unwrap_or(0));
        let call = Call { action: action.to_owned(), arrived, answered: Instant::now(), unknown_for };
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }
}

async fn answer(State(amazon): State<Amazon>, request: Request) -> Response<Body> {
    let arrived = Instant::now();
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_CALL).await else { return status(StatusCode::PAYLOAD_TOO_LARGE) };
    let action = fake_ec2::Request::read(&head.headers, head.uri.query(), &body).action().to_owned();
    let Ok(answer) = amazon.fake.answer(Request::from_parts(head, body)).await else {
        return status(StatusCode::BAD_GATEWAY);
    };
    if answer.status().is_success() && !action.starts_with("Describe") {
        amazon.note(&action, arrived, answer.body());
    }
    answer.map(Body::from)
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// The id of the group that an answer tells of.
fn group(answer: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(answer).ok()?;
    Some(text.split_once("<groupId>")?.1.split_once("</groupId>")?.0.to_owned())
}
