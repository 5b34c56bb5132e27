use leptos::prelude::*;

use super::{badge, pair, server_track, sparkline, waiting};
use crate::api::{CheckView, FailureView, HistoryView, MetricsView, PortView, ServerView, ServiceView, State};
use crate::components::{failure, icon};
use crate::words::{Tone, bytes, span};

/// One server: how it is, what runs on it, and the ways to use it.
/// `said` is the failure the page already shows in full.
pub fn server(
    now: Signal<i64>,
    environment: &str,
    server: ServerView,
    said: Option<&FailureView>,
) -> impl IntoView + use<> {
    let heading = format!("server-{}", server.name);
    let labelled_by = heading.clone();
    let logs = format!("/environments/{environment}/logs?server={}", server.name);
    let terminal = format!("/environments/{environment}/servers/{}/terminal", server.name);
    // What was last measured and heard is no news of a server that is down.
    let is_down = matches!(server.state, State::Ordered | State::Parked | State::Deleted);
    let services = if is_down { Vec::new() } else { server.services };
    let checks = if is_down { Vec::new() } else { server.checks };
    let measured = server.metrics.filter(|_| !is_down);
    let up = services.iter().any(|service| service.running) || measured.is_some();
    let serves = matches!(server.state, State::Ready | State::Repairing | State::Checking);
    let ports = if serves { server.ports } else { Vec::new() };
    let failed = server.failure.filter(|failure| Some(failure) != said);
    view! {
        <article class="server card" aria-labelledby=labelled_by>
            <header class="server__head">
                <h3 id=heading>{icon("server")}{server.name}</h3>
                {badge(server.state)}
            </header>
            {server_track(now, server.state, server.state_since)}
            {server.waiting_for.map(waiting)}
            {failed.map(|failed| failure(failed, None))}
            <div class="server__use">
                {ports.into_iter().map(port).collect::<Vec<_>>()}
                {up.then(|| view! { <a class="button" data-kind="plain" href=terminal>{icon("square-terminal")}"Terminal"</a> })}
                <a class="button" data-kind="plain" href=logs>{icon("scroll-text")}"Logs"</a>
            </div>
            {measured.map(|measured| metrics(measured, server.history))}
            {(!services.is_empty()).then(|| view! {
                <ul class="facts" role="list" aria-label="Services">{services.into_iter().map(service).collect::<Vec<_>>()}</ul>
            })}
            {(!checks.is_empty()).then(|| view! {
                <ul class="facts" role="list" aria-label="Health checks">{checks.into_iter().map(check).collect::<Vec<_>>()}</ul>
            })}
            <dl class="pairs pairs--small">
                {(!server.address.is_empty()).then(|| pair("Address".into(), server.address))}
                {pair("Image".into(), server.image)}
                {server.limits.map(|limits| view! { <div><dt>"Limits"</dt><dd>{limits}</dd></div> })}
            </dl>
        </article>
    }
}

fn port(port: PortView) -> impl IntoView {
    view! {
        <a class="button" data-kind="primary" href=port.url target="_blank" rel="noopener">
            {icon("external-link")}
            {port.title}
            <span class="visually-hidden">" (opens in a new tab)"</span>
        </a>
    }
}

fn metrics(metrics: MetricsView, history: Option<HistoryView>) -> impl IntoView {
    let share = metrics
        .memory_limit_bytes
        .filter(|limit| *limit > 0)
        .map(|limit| (metrics.memory_bytes.saturating_mul(100) / limit).min(100));
    let memory = match metrics.memory_limit_bytes {
        Some(limit) => format!("{} of {}", bytes(metrics.memory_bytes), bytes(limit)),
        None => bytes(metrics.memory_bytes),
    };
    let uptime = span(i64::try_from(metrics.uptime_ms).unwrap_or(i64::MAX));
    let [cpu, used, disk] = match history {
        Some(history) => [history.cpu_millis, history.memory_bytes, history.disk_bytes],
        None => [Vec::new(), Vec::new(), Vec::new()],
    };
    view! {
        <dl class="gauges">
            {gauge("cpu", "CPU", percent(metrics.cpu_millis.into()), None, cpu, percent)}
            {gauge("memory-stick", "Memory", memory, share, used, bytes)}
            {gauge("hard-drive", "Disk", bytes(metrics.disk_bytes), None, disk, bytes)}
            {gauge("clock", "Up for", uptime, None, Vec::new(), bytes)}
        </dl>
    }
}

/// A line of less use than this stays low; as bytes of memory or disk it is nothing.
const TENTH_OF_A_CPU: u64 = 100;

/// Of one processor.
fn percent(millis: u64) -> String {
    format!("{} %", millis / 10)
}

/// `share` in percent, drawn as a bar; `past` as a line, with its highest value `said` in words.
fn gauge(
    picture: &str,
    name: &'static str,
    value: String,
    share: Option<u64>,
    past: Vec<u64>,
    said: fn(u64) -> String,
) -> impl IntoView + use<> {
    view! {
        <div>
            <dt>{icon(picture)}{name}</dt>
            <dd>
                <span class="gauge__value">{value}</span>
                {sparkline(&past, TENTH_OF_A_CPU)}
                {past.into_iter().max().map(|highest| view! { <span class="gauge__peak">"Peak "{said(highest)}</span> })}
                {share.map(|share| view! {
                    <span class="gauge" aria-hidden="true"><span style=format!("inline-size:{share}%")></span></span>
                })}
            </dd>
        </div>
    }
}

fn service(service: ServiceView) -> impl IntoView {
    let (tone, word) = if service.running { (Tone::Good, "runs") } else { (Tone::Bad, "is not running") };
    let restarts = match service.restarts {
        0 => String::new(),
        1 => ", restarted once".into(),
        many => format!(", restarted {many} times"),
    };
    fact(tone, service.name, format!("{word}{restarts}"), service.last_end)
}

fn check(check: CheckView) -> impl IntoView {
    let (tone, word) = if check.passing { (Tone::Good, "passes") } else { (Tone::Warning, "does not pass yet") };
    let detail = (!check.message.is_empty()).then_some(check.message);
    fact(tone, check.name, word.into(), detail)
}

fn fact(tone: Tone, name: String, standing: String, detail: Option<String>) -> impl IntoView {
    view! {
        <li data-tone=tone.as_str()>
            <span class="dot" aria-hidden="true"></span>
            <span class="facts__name">{name}</span>
            <span class="facts__more">{standing}</span>
            {detail.map(|detail| view! { <span class="facts__detail">{detail}</span> })}
        </li>
    }
}
