//! What goes on by itself: events and log lines, as server-sent events.

use std::convert::Infallible;
use std::fmt::Write;
use std::time::Duration;

use app::api::{ApiError, Level, LiveEvent, LogLine, LogSelection, Work};
use app::portal::Live;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::Problems;
use crate::http::extract::{Path, Query};
use crate::http::identify::Caller;
use crate::http::problem::Problem;
use crate::http::{Edge, SharedEdge};

/// So that proxies do not take a quiet connection for a dead one.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Which lines.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogQuery {
    /// Only this server's.
    server: Option<String>,
    /// Only lines with this text in them, in whatever case.
    search: Option<String>,
    /// Only lines that say they are of this level, or of one that matters more.
    level: Option<Level>,
    /// Only lines written at or after this time.
    since: Option<i64>,
    /// The last so many stored lines, at most 10,000; 200 when absent.
    tail: Option<u32>,
    /// Go on with new lines as they come, as server-sent events.
    #[serde(default)]
    #[param(required = false)]
    follow: bool,
    /// Of new lines that come at once, only the newest so many; each says how many were skipped before it.
    most_at_once: Option<u32>,
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
    let LogQuery { server, search, level, since, tail, follow, most_at_once } = query;
    let (of, tail) = (LogSelection { server, search, level, since, before: None }, tail.unwrap_or(200));
    if follow {
        let lines = edge.portal.follow_logs(&caller.actor, &name, &of, tail, most_at_once).await?;
        return Ok(stream(&edge, &caller, lines));
    }
    Ok(axum::Json(edge.portal.logs(&caller.actor, &name, &of, tail).await?).into_response())
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DownloadQuery {
    /// Only this server's.
    server: Option<String>,
    /// Only lines with this text in them, in whatever case.
    search: Option<String>,
    /// Only lines that say they are of this level, or of one that matters more.
    level: Option<Level>,
    /// Only lines written at or after this time.
    since: Option<i64>,
}

/// The whole log
///
/// All stored lines as text, oldest first: time, server and source, text.
#[utoipa::path(
    get, path = "/environments/{environment}/logs/download", tag = "live",
    params(("environment" = String, Path, description = "Name or id"), DownloadQuery),
    responses((status = 200, body = String, content_type = "text/plain"), Problems)
)]
pub async fn download(
    State(edge): State<SharedEdge>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<DownloadQuery>,
) -> Result<Response, Problem> {
    let DownloadQuery { server, search, level, since } = query;
    let filtered = search.as_ref().is_some_and(|text| !text.is_empty()) || level.is_some() || since.is_some();
    let file = [Some(name.as_str()), server.as_deref().filter(|name| !name.is_empty()), filtered.then_some("part")];
    let file = file.into_iter().flatten().collect::<Vec<_>>().join("-");
    let of = LogSelection { server, search, level, since, before: None };
    let lines = edge.portal.whole_log(&caller.actor, &name, &of).await?;
    // A few lines at once: a piece of a body for each would cost more than the lines.
    let pieces = lines.ready_chunks(128).map(|lines| {
        lines.into_iter().try_fold(String::new(), |mut text, line| {
            write_line(&mut text, &line.map_err(|error| std::io::Error::other(error.title))?);
            Ok::<_, std::io::Error>(text)
        })
    });
    // What names the file was found to be an environment's and a server's name or id: plain words all.
    let file = format!("attachment; filename=\"{file}.log\"");
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (CONTENT_DISPOSITION, HeaderValue::try_from(file).unwrap_or(HeaderValue::from_static("attachment"))),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, axum::body::Body::from_stream(pieces)).into_response())
}

fn write_line(text: &mut String, line: &LogLine) {
    let at = jiff::Timestamp::from_millisecond(line.at).unwrap_or_default();
    // Writing to a text cannot fail.
    let _ = writeln!(text, "{at:.3} {}/{} {}", line.server, line.source, line.text);
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
pub(super) fn stream<T: Serialize + Send + 'static>(edge: &Edge, caller: &Caller, items: Live<T>) -> Response {
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

/// What comes of it in the end.
pub(super) async fn result<T>(mut work: Live<Work<T>>) -> Result<T, Problem> {
    while let Some(heard) = work.next().await {
        match heard {
            Work::Going { .. } => {}
            Work::Done { result } => return Ok(result),
            Work::Failed { error } => return Err(Problem(error)),
        }
    }
    Err(Problem(ApiError::internal()))
}

fn event<T: Serialize>(item: T) -> Result<Event, Infallible> {
    // Plain data always serializes; a comment keeps the stream going should it not.
    Ok(Event::default().json_data(item).unwrap_or_else(|_| Event::default().comment("unreadable")))
}

fn sse(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    // nginx would hold events back.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
