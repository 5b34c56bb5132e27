//! The routes of [`crate::api`].

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::stream;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::sync::oneshot;

use super::apply::Command;
use super::{Server, checks, exec, frost, hosts, share};
use crate::api::{
    Config, EXEC_HEADER, ExecRequest, Freeze, Frozen, Hosts, Report, SESSION_ID_RULE, Size, Thaw, Thawed, UPGRADE,
    is_session_id,
};

/// Largest configuration, in bytes.
const MAX_CONFIG: usize = 4 * 1024 * 1024;

type Refusal = (StatusCode, String);

pub(super) fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/v1/config", put(configure))
        .route("/v1/hosts", put(keep_hosts))
        .route("/v1/reports", get(reports))
        .route("/v1/logs", get(logs))
        .route("/v1/exec", get(execute))
        .route("/v1/terminal", get(terminal))
        .route("/v1/port/{port}", get(port))
        .route("/v1/freeze", post(freeze))
        .route("/v1/thaw", post(thaw))
        .route("/v1/stop", post(stop))
        .layer(DefaultBodyLimit::max(MAX_CONFIG))
        .with_state(server)
}

async fn configure(State(server): State<Arc<Server>>, body: Bytes) -> Result<StatusCode, Refusal> {
    let config: Config =
        serde_json::from_slice(&body).map_err(|error| bad(format!("the configuration is not one: {error}")))?;
    validate(&config).map_err(bad)?;
    server.commands.send(Command::Apply(Box::new(config))).await.map_err(|_| gone())?;
    Ok(StatusCode::NO_CONTENT)
}

async fn keep_hosts(State(server): State<Arc<Server>>, body: Bytes) -> Result<StatusCode, Refusal> {
    let wish: Hosts = serde_json::from_slice(&body).map_err(|error| bad(format!("these are no hosts: {error}")))?;
    if let Some(odd) = wish.hosts.iter().find(|host| !hosts::is_label(&host.name)) {
        return Err(bad(format!("{:?} cannot name a server", odd.name)));
    }
    let Some(file) = &server.hosts else { return Ok(StatusCode::NO_CONTENT) };
    hosts::keep(file, &wish.hosts).map_err(|error| {
        let message = format!("the names of servers cannot be written to {}: {error}", file.display());
        server.logs.say(&message);
        (StatusCode::INTERNAL_SERVER_ERROR, message)
    })?;
    Ok(StatusCode::NO_CONTENT)
}

/// What would break out of a directory, a variable or a process list.
fn validate(config: &Config) -> Result<(), String> {
    let is_file_name = |name: &str| {
        (1..=100).contains(&name.len())
            && !name.starts_with('.')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    if !is_file_name(&config.server) {
        return Err(format!("{:?} cannot name a server", config.server));
    }
    if let Some(name) = config.parameters.keys().find(|name| !is_file_name(name)) {
        return Err(format!("{name:?} cannot name a parameter's file"));
    }
    if let Some(volume) = config.volumes.iter().find(|volume| !volume.starts_with('/')) {
        return Err(format!("{volume:?} is not an absolute mount point"));
    }
    if let Some(shared) =
        config.shared.iter().find(|shared| !is_file_name(&shared.volume) || !config.volumes.contains(&shared.path))
    {
        return Err(format!("{:?} cannot be shared: it is no volume of this server", shared.volume));
    }
    let variables = config.services.iter().flat_map(|service| &service.variables).chain(&config.variables);
    for (name, value) in variables {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(format!("the variable {name:?} cannot be set"));
        }
    }
    let mut names = BTreeSet::from(["setup", "startup", "agent", share::SOURCE, frost::BEFORE, frost::AFTER]);
    if let Some(service) =
        config.services.iter().find(|service| !is_file_name(&service.name) || !names.insert(&service.name))
    {
        return Err(format!("{:?} cannot name a service, or names two", service.name));
    }
    let scripts = config.setup.iter().chain(&config.startup).map(|script| &script.text);
    if config.services.iter().map(|service| &service.command).chain(scripts).any(|text| text.contains('\0')) {
        return Err("a command or script contains a NUL character".into());
    }
    Ok(())
}

async fn reports(State(server): State<Arc<Server>>) -> Response {
    let mut status = server.board.follow();
    status.mark_changed();
    let mut metrics = server.metrics.subscribe();
    metrics.mark_changed();
    ndjson(stream::unfold((status, metrics), |(mut status, mut metrics)| async {
        loop {
            let report = tokio::select! {
                biased;
                changed = status.changed() => changed.ok().map(|()| Report::Status(status.borrow_and_update().clone())),
                changed = metrics.changed() => match changed.ok().map(|()| *metrics.borrow_and_update()) {
                    // Nothing measured yet.
                    Some(None) => continue,
                    Some(Some(sample)) => Some(Report::Metrics(sample)),
                    None => None,
                },
            };
            let mut line = serde_json::to_vec(&report?).ok()?;
            line.push(b'\n');
            return Some((line, (status, metrics)));
        }
    }))
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn logs(State(server): State<Arc<Server>>, Query(query): Query<After>) -> Response {
    let reader = server.logs.reader(query.after);
    let latest = server.logs.watch();
    ndjson(stream::unfold((server, reader, latest), |(server, mut reader, mut latest)| async {
        loop {
            latest.borrow_and_update();
            match reader.read(&server.logs) {
                Ok(lines) if !lines.is_empty() => return Some((lines, (server, reader, latest))),
                // The portal asks again from where it stands.
                Err(_) => return None,
                Ok(_) => latest.changed().await.ok()?,
            }
        }
    }))
}

fn ndjson(lines: impl stream::Stream<Item = Vec<u8>> + Send + 'static) -> Response {
    let body = Body::from_stream(futures::StreamExt::map(lines, Ok::<_, Infallible>));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

async fn execute(State(server): State<Arc<Server>>, headers: HeaderMap, request: Request) -> Result<Response, Refusal> {
    let wish = headers.get(EXEC_HEADER).and_then(|value| URL_SAFE_NO_PAD.decode(value).ok());
    let wish = wish.and_then(|json| serde_json::from_slice::<ExecRequest>(&json).ok());
    let wish = wish.ok_or_else(|| bad(format!("the header {EXEC_HEADER} must hold the command as base64url JSON")))?;
    upgrade(request, |stream| async move {
        server.frost.thawed().await;
        exec::run(stream, wish, &server.variables()).await;
    })
}

#[derive(Deserialize)]
struct TerminalQuery {
    session: String,
    cols: u16,
    rows: u16,
}

async fn terminal(
    State(server): State<Arc<Server>>,
    Query(query): Query<TerminalQuery>,
    request: Request,
) -> Result<Response, Refusal> {
    if !is_session_id(&query.session) {
        return Err(bad(SESSION_ID_RULE.into()));
    }
    server.frost.thawed().await;
    let size = Size { cols: query.cols, rows: query.rows };
    let session = server
        .terminals
        .session(&query.session, size, &server.variables())
        .map_err(|message| (StatusCode::SERVICE_UNAVAILABLE, message))?;
    upgrade(request, |stream| async move { session.attend(stream).await })
}

async fn port(Path(port): Path<u16>, request: Request) -> Result<Response, Refusal> {
    let mut service = checks::connect(port).await.map_err(|message| (StatusCode::BAD_GATEWAY, message))?;
    service.set_nodelay(true).ok();
    upgrade(request, |mut stream| async move {
        // However it ends, both ends are closed then.
        tokio::io::copy_bidirectional(&mut stream, &mut service).await.ok();
    })
}

async fn freeze(State(server): State<Arc<Server>>, body: Bytes) -> Result<Json<Frozen>, Refusal> {
    let wish: Freeze = serde_json::from_slice(&body).map_err(|error| bad(format!("that is no freeze: {error}")))?;
    // To its end, even if whoever asked hangs up.
    let frozen = tokio::spawn(frost::freeze(server, wish)).await.map_err(|_| gone())?;
    frozen.map(Json).map_err(|message| (StatusCode::CONFLICT, message))
}

async fn thaw(State(server): State<Arc<Server>>, body: Bytes) -> Result<Json<Thawed>, Refusal> {
    let wish: Thaw = serde_json::from_slice(&body).map_err(|error| bad(format!("that is no thaw: {error}")))?;
    tokio::spawn(frost::thaw(server, wish)).await.map(Json).map_err(|_| gone())
}

async fn stop(State(server): State<Arc<Server>>) -> Result<StatusCode, Refusal> {
    // What stands still cannot end gracefully.
    server.frost.break_off(&server);
    let (reply, stopped) = oneshot::channel();
    server.commands.send(Command::Stop(reply)).await.map_err(|_| gone())?;
    stopped.await.map_err(|_| gone())?;
    Ok(StatusCode::NO_CONTENT)
}

/// Answers 101 and serves what the stream becomes.
fn upgrade<F, S>(mut request: Request, serve: F) -> Result<Response, Refusal>
where
    F: FnOnce(TokioIo<hyper::upgrade::Upgraded>) -> S + Send + 'static,
    S: Future<Output = ()> + Send,
{
    if request.headers().get(header::UPGRADE).is_none_or(|protocol| protocol != UPGRADE) {
        return Err((StatusCode::UPGRADE_REQUIRED, format!("this needs `Upgrade: {UPGRADE}`")));
    }
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(upgraded) = upgraded.await {
            serve(TokioIo::new(upgraded)).await;
        }
    });
    let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, UPGRADE)];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}

fn bad(message: String) -> Refusal {
    (StatusCode::BAD_REQUEST, message)
}

fn gone() -> Refusal {
    (StatusCode::SERVICE_UNAVAILABLE, "the agent is ending".into())
}
