//! Terminals, commands and ports over WebSockets.

use app::api::ApiError;
use app::portal::Channel;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{FromRequestParts, State};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Problems;
use crate::http::extract::{Path, Query};
use crate::http::identify::Caller;
use crate::http::problem::Problem;
use crate::http::pump::{Carries, carry};
use crate::http::{Edge, SharedEdge};

/// A WebSocket handshake.
pub struct Handshake(WebSocketUpgrade);

impl FromRequestParts<SharedEdge> for Handshake {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &SharedEdge) -> Result<Self, Problem> {
        let upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection> =
            WebSocketUpgrade::from_request_parts(parts, edge).await;
        upgrade.map(Handshake).map_err(|_| Edge::upgrade_required())
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TerminalQuery {
    /// Made up by the client: the same again attaches to the same terminal.
    session: String,
    cols: u16,
    rows: u16,
}

/// A terminal
///
/// A WebSocket. Each binary message is one frame: a type byte (0 input, 1 output, 3 resize as JSON `{cols, rows}`, 4 exit code
/// as text, 5 hang up, 6 error as text, 7 output from before this connection) and its payload, at most 64 KiB.
#[utoipa::path(
    get, path = "/environments/{environment}/servers/{server}/terminal", tag = "live",
    params(
        ("environment" = String, Path, description = "Name or id"), ("server" = String, Path, description = "Name or id"),
        TerminalQuery
    ),
    responses((status = 101, description = "The WebSocket"), Problems)
)]
pub async fn terminal(
    State(edge): State<SharedEdge>,
    caller: Caller,
    Path((environment, server)): Path<(String, String)>,
    Query(query): Query<TerminalQuery>,
    Handshake(upgrade): Handshake,
) -> Result<Response, Problem> {
    let channel = Channel::Terminal { session: query.session, cols: query.cols, rows: query.rows };
    let stream = edge.portal.open(&caller.actor, &environment, &server, channel).await?;
    Ok(carry(&edge, &caller, upgrade, stream, Carries::Frames))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExecQuery {
    /// What to run: base64url (without padding) of JSON
    /// `{"command": ["ls", "-l"], "tty": {"cols": 80, "rows": 24} or null, "directory": null, "variables": {}}`.
    request: String,
}

/// Run a command
///
/// A WebSocket of frames as in a terminal, and also: 2 error output, 5 input ends.
#[utoipa::path(
    get, path = "/environments/{environment}/servers/{server}/exec", tag = "live",
    params(
        ("environment" = String, Path, description = "Name or id"), ("server" = String, Path, description = "Name or id"),
        ExecQuery
    ),
    responses((status = 101, description = "The WebSocket"), Problems)
)]
pub async fn exec(
    State(edge): State<SharedEdge>,
    caller: Caller,
    Path((environment, server)): Path<(String, String)>,
    Query(query): Query<ExecQuery>,
    Handshake(upgrade): Handshake,
) -> Result<Response, Problem> {
    let decoded = URL_SAFE_NO_PAD.decode(query.request.trim_end_matches('=')).ok();
    let request = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let request = request.ok_or_else(|| ApiError::field("request", "is not base64url of UTF-8 JSON"))?;
    let stream = edge.portal.open(&caller.actor, &environment, &server, Channel::Exec { request }).await?;
    Ok(carry(&edge, &caller, upgrade, stream, Carries::Frames))
}

/// A port
///
/// A WebSocket whose binary messages are the bytes of one TCP connection to that port of the server. An empty message ends
/// one direction.
#[utoipa::path(
    get, path = "/environments/{environment}/servers/{server}/ports/{port}", tag = "live",
    params(
        ("environment" = String, Path, description = "Name or id"), ("server" = String, Path, description = "Name or id"),
        ("port" = u16, Path)
    ),
    responses((status = 101, description = "The WebSocket"), Problems)
)]
pub async fn port(
    State(edge): State<SharedEdge>,
    caller: Caller,
    Path((environment, server, port)): Path<(String, String, u16)>,
    Handshake(upgrade): Handshake,
) -> Result<Response, Problem> {
    let stream = edge.portal.open(&caller.actor, &environment, &server, Channel::Port { port }).await?;
    Ok(carry(&edge, &caller, upgrade, stream, Carries::Bytes))
}
