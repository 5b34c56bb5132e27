//! Where servers that are elsewhere come to: the agents' links, and the agent's program itself.
//!
//! Nobody is asked for a cookie or a token here. An agent proves who it is on the link, in its first line (`agent::link`), and
//! the program is the same for everybody. Any name of the portal will do, whatever servers know it by. Browsers have no
//! business here: they say where a connection comes from, and one that does is refused.

use agent::link::messages::{LARGEST_MESSAGE, Messages};
use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ORIGIN};
use http::{HeaderMap, HeaderValue, StatusCode};
use tower::ServiceExt;
use tower_http::services::ServeFile;

use super::problem::problem;
use super::{Edge, SharedEdge};

/// What every address here begins with.
const BELOW: &str = "/agent/";
const PROGRAM: &str = "bookend-agent";

pub fn router(edge: SharedEdge) -> Router {
    Router::new()
        .route(agent::link::PATH, get(link))
        .route("/agent/{sha256}/bookend-agent", get(program))
        .with_state(edge)
}

/// Whether a request is for what is here.
pub fn is_for_agents(path: &str) -> bool {
    path.starts_with(BELOW)
}

async fn link(
    State(edge): State<SharedEdge>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    if headers.contains_key(ORIGIN) {
        return problem(StatusCode::FORBIDDEN, "Only agents link here, and this comes from a page").into_response();
    }
    let Ok(upgrade) = upgrade else { return Edge::upgrade_required().into_response() };
    let gateway = edge.agents.clone();
    upgrade
        .max_message_size(LARGEST_MESSAGE)
        .max_frame_size(LARGEST_MESSAGE)
        .on_upgrade(async move |socket| gateway.accepted(Box::new(Messages::quiet(socket))))
}

/// The program of exactly this checksum; it never becomes another.
async fn program(State(edge): State<SharedEdge>, Path(sha256): Path<String>, request: Request) -> Response {
    let is_checksum =
        sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if !is_checksum {
        return unknown();
    }
    let file = edge.agent_programs.join(sha256).join(PROGRAM);
    let Ok(mut answer) = ServeFile::new(file).oneshot(request).await.map(IntoResponse::into_response);
    if answer.status() == StatusCode::NOT_FOUND {
        return unknown();
    }
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    answer
}

fn unknown() -> Response {
    problem(StatusCode::NOT_FOUND, "There is no agent's program of this checksum").into_response()
}
