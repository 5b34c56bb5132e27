//! What goes on by itself: events and log lines, as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use app::api::{LiveEvent, LogLine};
use app::portal::Live;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::Problems;
use crate::http::extract::{Path, Query};
use crate::http::identify::Caller;
use crate::http::problem::Problem;
use crate::http::{Edge, SharedEdge};

/// So that proxies do not take a quiet connection for a dead one.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogQuery {
    /// Only this server's.
    server: Option<String>,
    /// The last so many stored lines, at most 10,000; 200 when absent.
    tail: Option<u32>,
    /// Go on with new lines as they come, as server-sent events.
    #[serde(default)]
    #[param(required = false)]
    follow: bool,
}

/// Log lines
///
/// Oldest first. With `follow=true` a stream of server-sent events, each of which is a line.
#[utoipa::path(
    get, path = "/environments/{environment}/logs", tag = "live",
    params(("environment" = String, Path, description = "Name or id"), LogQuery),
    responses(
        (status = 200, content((Vec<LogLine> = "application/json"), (LogLine = "text/event-stream"))),
        Problems
    )
)]
pub async fn logs(
    State(edge): State<SharedEdge>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<LogQuery>,
) -> Result<Response, Problem> {
    let (server, tail) = (query.server.as_deref(), query.tail.unwrap_or(200));
    if query.follow {
        let lines = edge.portal.follow_logs(&caller.actor, &name, server, tail).await?;
        return Ok(stream(&edge, &caller, lines));
    }
    Ok(axum::Json(edge.portal.logs(&caller.actor, &name, server, tail).await?).into_response())
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    /// Only of this one (name or id).
    environment: Option<String>,
}

/// Changes as they happen
///
/// Each event says that something changed; read it again to see what it is now.
#[utoipa::path(
    get, path = "/events", tag = "live", params(EventQuery),
    responses((status = 200, body = LiveEvent, content_type = "text/event-stream"), Problems)
)]
pub async fn events(
    State(edge): State<SharedEdge>,
    caller: Caller,
    Query(query): Query<EventQuery>,
) -> Result<Response, Problem> {
    let events = edge.portal.events(&caller.actor, query.environment.as_deref()).await?;
    Ok(stream(&edge, &caller, events))
}

/// Until it ends by itself, the portal stops, or the caller no longer is who it was.
fn stream<T: Serialize + Send + 'static>(edge: &Edge, caller: &Caller, items: Live<T>) -> Response {
    let stopping = edge.stopping.clone();
    let ended = caller.ended();
    let over = async move {
        tokio::select! {
            () = ended => {}
            () = stopping.cancelled() => {}
        }
    };
    let greeting = futures::stream::once(async { Ok(Event::default().comment("here")) });
    let events = greeting.chain(items.map(event)).take_until(Box::pin(over));
    sse(events)
}

fn event<T: Serialize>(item: T) -> Result<Event, Infallible> {
    // Plain data always serializes; a comment keeps the stream going should it not.
    Ok(Event::default().json_data(item).unwrap_or_else(|_| Event::default().comment("unreadable")))
}

fn sse(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    // nginx would hold events back.
    response.headers_mut().insert("x-accel-buffering", http::HeaderValue::from_static("no"));
    response
}
