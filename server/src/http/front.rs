//! The front door: what every request passes before anybody asks who sent it.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{self, CACHE_CONTROL, CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::hosts::Meant;
use super::identify::ClientAddress;
use super::problem::problem;
use super::server::Peer;
use super::unread::ReadOut;
use super::{Edge, LARGEST_BODY, SharedEdge, agents, apps, extract, guard};

/// For an answer to begin. Streams may then take as long as they like.
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn front(State(edge): State<SharedEdge>, mut request: Request, next: Next) -> Response {
    if let Some(Peer(peer)) = request.extensions().get::<Peer>().copied() {
        let address = client_address(&edge, request.headers(), peer);
        request.extensions_mut().insert(ClientAddress(address));
    }
    // Load balancers ask by whatever address they know; the answer tells nobody anything.
    if request.uri().path() == "/healthz" {
        return next.run(request).await;
    }
    let meant = named_host(&request).and_then(|host| edge.hosts.meant(host));
    let own = match meant {
        Some(Meant::Portal(own)) => own,
        Some(Meant::App(app)) => return apps::serve(edge, app, request).await,
        None if agents::is_for_agents(request.uri().path()) => edge.hosts.portal(),
        None => {
            return problem(StatusCode::MISDIRECTED_REQUEST, "The portal does not go by this name")
                .with_detail(format!("Use {}, or start it with --public-url.", edge.hosts.portal()))
                .into_response();
        }
    };
    if let Err(refused) = guard::from_our_own_page(request.method(), request.headers(), &own, edge.cookie()) {
        return with_security_headers(&edge, refused.into_response());
    }
    let mut request = request.map(|body| Body::new(ReadOut::new(body)));
    if takes_a_file(request.method(), request.uri().path()) {
        request.extensions_mut().insert(own);
        return with_security_headers(&edge, next.run(request).await);
    }
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > LARGEST_BODY as u64) {
        return with_security_headers(&edge, extract::too_large().into_response());
    }
    let mut request = request.map(|body| Body::new(http_body_util::Limited::new(body, LARGEST_BODY)));
    request.extensions_mut().insert(own);
    let response = match tokio::time::timeout(PATIENCE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => problem(StatusCode::REQUEST_TIMEOUT, "This took too long")
            .with_detail("Either the request's body came too slowly, or the portal is overloaded. Try again.")
            .into_response(),
    };
    with_security_headers(&edge, response)
}

/// Whether a request brings a file, of any size and for as long as it takes. Who may is decided before anything of it is read.
fn takes_a_file(method: &Method, path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let uploads = matches!(parts.as_slice(), ["", "api", "v1", "environments", _, "volumes", _, "content"]);
    let is_form = matches!(parts.as_slice(), ["", "environments", _, "files", _]);
    (method == Method::PUT && uploads) || (method == Method::POST && is_form)
}

/// The one host the request names, by its `Host` header and its address if that has one.
fn named_host(request: &Request) -> Option<&str> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next()?.to_str().ok()?;
    let agrees = request.uri().authority().is_none_or(|authority| authority.as_str().eq_ignore_ascii_case(host));
    (agrees && hosts.next().is_none()).then_some(host)
}

/// Behind a proxy we trust, the address it says it saw; otherwise who dialled.
fn client_address(edge: &Edge, headers: &HeaderMap, peer: std::net::IpAddr) -> std::net::IpAddr {
    let trusted = |address: std::net::IpAddr| edge.trusted_proxies.contains(&address.to_canonical());
    if !trusted(peer) {
        return peer;
    }
    let forwarded: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .collect();
    // From the end: what stands further in front was said by whoever dialled the proxy.
    forwarded
        .iter()
        .rev()
        .map_while(|address| address.trim().parse().ok())
        .find(|address| !trusted(*address))
        .unwrap_or(peer)
}

fn with_security_headers(edge: &Edge, mut response: Response) -> Response {
    const ALWAYS: [(HeaderName, &str); 6] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Forms of our own pages keep their Origin, other sites learn nothing.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
    ];
    const UNLESS_SAID: [(HeaderName, &str); 2] = [
        (CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
    ];
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    for (name, value) in UNLESS_SAID {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if edge.hosts.secure() {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    response
}
