//! One request to an app, over one connection through the agent.

use std::time::Duration;

use app::api::ApiError;
use app::portal::Channel;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{self, AUTHORIZATION, CONNECTION, COOKIE, HOST, SET_COOKIE, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use hyper_util::rt::TokioIo;

use super::enter::cookie_name;
use crate::auth::secret::TOKEN_PREFIX;
use crate::http::Edge;
use crate::http::hosts::Origin;
use crate::http::identify::{Caller, client_address};
use crate::store::AppAccessRow;

/// For an app to begin to answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two hosts only (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    UPGRADE,
];

/// Passes the request on and the answer back, WebSockets and other upgrades included.
///
/// # Errors
/// When the person may not, or nothing answers there; in words for the person.
pub async fn forward(
    edge: &Edge,
    caller: &Caller,
    access: &AppAccessRow,
    own: &Origin,
    mut request: Request,
) -> Result<Response, ApiError> {
    let port = u16::try_from(access.port).map_err(|_| ApiError::not_found("port", &access.port.to_string()))?;
    let channel = Channel::Port { port };
    let stream = edge.portal.open(&caller.actor, &access.environment_id, &access.server, channel).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| unanswered(port, &error))?;
    let ended = caller.ended();
    let stopping = edge.stopping.clone();
    edge.open.spawn(async move {
        tokio::select! {
            _ = connection.with_upgrades() => {}
            () = ended => {}
            () = stopping.cancelled() => {}
        }
    });

    let from = client_address(request.extensions());
    let upgrade = upgrade_of(request.headers());
    let upgraded_here = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    let (mut parts, body) = request.into_parts();
    strip_for_app(edge, &mut parts.headers);
    add_forwarded(&mut parts.headers, own, from);
    if let Some(upgrade) = &upgrade {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(UPGRADE, upgrade.clone());
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut passed = http::Request::builder()
        .method(parts.method)
        .uri(path)
        .body(body)
        .map_err(|_| ApiError::bad_request("The address cannot be passed on"))?;
    *passed.headers_mut() = parts.headers;

    let answer = tokio::time::timeout(PATIENCE, sender.send_request(passed)).await;
    let mut answer = match answer {
        Ok(answer) => answer.map_err(|error| unanswered(port, &error))?,
        Err(_) => return Err(timed_out(port)),
    };
    let switched = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
    let protocol = answer.headers().get(UPGRADE).cloned();
    strip_for_browser(answer.headers_mut());
    if switched {
        let (Some(here), Some(protocol)) = (upgraded_here, protocol) else { return Err(timed_out(port)) };
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        answer.headers_mut().insert(UPGRADE, protocol);
        join(edge, caller, here, hyper::upgrade::on(&mut answer));
    }
    Ok(answer.map(Body::new))
}

/// Carries bytes both ways once both sides have switched, for as long as the person is who they are.
fn join(edge: &Edge, caller: &Caller, here: hyper::upgrade::OnUpgrade, there: hyper::upgrade::OnUpgrade) {
    let (ended, stopping) = (caller.ended(), edge.stopping.clone());
    edge.open.spawn(async move {
        let carry = async {
            if let (Ok(here), Ok(there)) = tokio::join!(here, there) {
                let (mut here, mut there) = (TokioIo::new(here), TokioIo::new(there));
                // What breaks off is the end of it for both.
                let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
            }
        };
        tokio::select! {
            () = carry => {}
            () = ended => {}
            () = stopping.cancelled() => {}
        }
    });
}

/// What the client wants to switch to.
fn upgrade_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let asks = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .any(|line| line.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade")));
    headers.get(UPGRADE).filter(|_| asks).cloned()
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| *name != HOST)
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Nothing of the portal's reaches the app.
fn strip_for_app(edge: &Edge, headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    let portals = |header: &HeaderName| header.as_str().starts_with("x-forwarded-") || *header == header::FORWARDED;
    let named: Vec<HeaderName> = headers.keys().filter(|name| portals(name)).cloned().collect();
    for name in named {
        headers.remove(name);
    }
    let is_token = |value: &HeaderValue| {
        let value = value.to_str().unwrap_or_default();
        value.split_once(' ').is_some_and(|(_, token)| token.trim().starts_with(TOKEN_PREFIX))
    };
    if headers.get(AUTHORIZATION).is_some_and(is_token) {
        headers.remove(AUTHORIZATION);
    }
    let hidden = [cookie_name(edge), edge.cookie().name()];
    let kept: Vec<String> = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .map(str::trim)
        .filter(|pair| !hidden.contains(&pair.split('=').next().unwrap_or_default().trim()) && !pair.is_empty())
        .map(str::to_string)
        .collect();
    headers.remove(COOKIE);
    if !kept.is_empty()
        && let Ok(kept) = HeaderValue::try_from(kept.join("; "))
    {
        headers.insert(COOKIE, kept);
    }
}

fn add_forwarded(headers: &mut HeaderMap, own: &Origin, from: Option<std::net::IpAddr>) {
    let host = headers.get(HOST).cloned();
    let mut add = |name: &'static str, value: Option<HeaderValue>| {
        if let Some(value) = value {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    add("x-forwarded-for", from.and_then(|from| HeaderValue::try_from(from.to_string()).ok()));
    add("x-forwarded-host", host);
    add("x-forwarded-proto", Some(HeaderValue::from_static(if own.https { "https" } else { "http" })));
}

/// Nothing the app says counts beyond its own host.
fn strip_for_browser(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    for name in ["clear-site-data", "alt-svc"] {
        headers.remove(name);
    }
    let cookies: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().filter_map(own_cookie).collect();
    headers.remove(SET_COOKIE);
    for cookie in cookies {
        headers.append(SET_COOKIE, cookie);
    }
}

/// The cookie for the app's own host only; none that is called like one of ours.
fn own_cookie(cookie: &HeaderValue) -> Option<HeaderValue> {
    let text = cookie.to_str().ok()?;
    let name = text.split(['=', ';']).next().unwrap_or_default().trim();
    let name = name.strip_prefix("__Host-").or(name.strip_prefix("__Secure-")).unwrap_or(name);
    if name.starts_with("bookend_") {
        return None;
    }
    let kept: Vec<&str> = text
        .split(';')
        .enumerate()
        .filter(|(index, part)| {
            let attribute = part.split('=').next().unwrap_or_default().trim();
            *index == 0 || !attribute.eq_ignore_ascii_case("domain")
        })
        .map(|(_, part)| part)
        .collect();
    HeaderValue::try_from(kept.join(";")).ok()
}

fn unanswered(port: u16, error: &hyper::Error) -> ApiError {
    tracing::debug!(%error, port, "an app did not answer as HTTP does");
    gateway(502, format!("Nothing on port {port} answers as a web app does"))
        .with_detail("The app may still be starting, or speak something else than HTTP; its log tells.")
}

fn timed_out(port: u16) -> ApiError {
    gateway(504, format!("The app on port {port} does not answer")).with_detail("Its log may tell why.")
}

fn gateway(status: u16, title: String) -> ApiError {
    ApiError { status, code: "app_unreachable".into(), title, detail: None, fields: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_apps_cookies_stay_on_its_own_host_and_never_take_our_names() {
        let kept = |text: &'static str| {
            own_cookie(&HeaderValue::from_static(text)).map(|kept| kept.to_str().unwrap().to_string())
        };
        assert_eq!(kept("a=b; Domain=localhost; Path=/").as_deref(), Some("a=b; Path=/"));
        assert_eq!(kept("domain=x; dOmAiN =evil.example").as_deref(), Some("domain=x"));
        assert_eq!(kept("bookend_session=planted"), None);
        assert_eq!(kept("__Host-bookend_session=planted; Secure"), None);
    }

    #[test]
    fn headers_meant_for_one_hop_go_no_further() {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("close, X-Internal"));
        headers.insert("x-internal", HeaderValue::from_static("1"));
        headers.insert("keep-alive", HeaderValue::from_static("timeout=5"));
        headers.insert("x-mine", HeaderValue::from_static("1"));
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-mine"]);
    }
}
