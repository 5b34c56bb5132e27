//! The edge: everything that comes in by HTTP, and who it is from.
//!
//! One request passes, from outside in: [`front`] (whose host is meant, is it another site's doing, how large and how long
//! may it be), [`identify`] (who asks), then the route: REST ([`api`]), the way to an app ([`apps`]), or a page of the
//! `app` crate. What agents come for ([`agents`]) needs nobody to be anybody. Handlers take a request apart, call [`Portal`](app::portal::Portal), and answer; they decide nothing.

mod agents;
pub mod api;
pub mod apps;
mod assets;
mod extract;
mod front;
mod guard;
pub mod hosts;
mod identify;
mod log;
mod problem;
mod pump;
pub mod server;
mod unread;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use app::portal::{SessionCookie, SharedPortal};
use axum::Router;
use axum::extract::State;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{Extensions, HeaderMap, StatusCode, Version};
use provisioners::Gateway;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate, SizeAbove};

use crate::auth::identity::Identities;
use crate::clock::Clock;
use crate::store::Store;

pub use assets::Assets;
use hosts::Hosts;

/// Of a request's body, in bytes. Apps behind ports take what they like.
pub const LARGEST_BODY: usize = 256 * 1024;

/// What everything at the edge stands on.
pub struct Edge {
    pub portal: SharedPortal,
    pub identities: Arc<Identities>,
    /// For the tickets to apps, and to see that the database answers.
    pub store: Store,
    pub clock: Clock,
    pub hosts: Hosts,
    /// Takes the links of agents that dial in.
    pub agents: Gateway,
    /// Where the agent's programs are, by their checksum.
    pub agent_programs: PathBuf,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// The portal is going down: open connections end.
    pub stopping: CancellationToken,
    /// Open connections that outlive their request (WebSockets).
    pub open: TaskTracker,
}

pub type SharedEdge = Arc<Edge>;

impl Edge {
    pub fn cookie(&self) -> SessionCookie {
        SessionCookie::new(self.hosts.secure())
    }
}

/// Everything the portal answers to. Pages are compressed by gzip: at the speed a page needs, brotli takes three times as
/// long for the same size; files are compressed by brotli once, when built.
pub fn router(edge: SharedEdge, assets: Assets) -> Router {
    let settings = app::site::PortalSettings { secure_cookies: edge.hosts.secure(), assets: assets.addresses() };
    let pages = app::site::router(edge.portal.clone(), settings);
    let (rest, spec) = api::router();
    let compressed = CompressionLayer::new().quality(tower_http::CompressionLevel::Fastest).compress_when(
        DefaultPredicate::new()
            .and(SizeAbove::new(1024))
            // Files of volumes: their size is known, and most are no text.
            .and(NotForContentType::const_new("application/octet-stream"))
            .and(NotForContentType::const_new("application/x-tar"))
            // Pages that come in pieces: a compressor waits for more.
            .and(|_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions| {
                !headers.contains_key("x-accel-buffering")
            }),
    );
    let answering: Router = Router::new()
        .merge(rest)
        .merge(api::description(spec))
        .route("/open/{environment}/{server}/{port}", get(apps::open))
        .method_not_allowed_fallback(api::method_not_allowed)
        .with_state(edge.clone())
        .fallback_service(pages)
        .layer(from_fn_with_state(edge.clone(), identify::identify))
        .layer(compressed);
    Router::new()
        .route("/healthz", get(health))
        .with_state(edge.clone())
        .merge(assets.router())
        .merge(agents::router(edge.clone()))
        .fallback_service(answering)
        .layer(from_fn_with_state(edge, front::front))
        .layer(from_fn(log::request))
        .layer(tower_http::catch_panic::CatchPanicLayer::custom(log::panicked))
}

/// For load balancers and supervisors: whether the portal can work.
async fn health(State(edge): State<SharedEdge>) -> Response {
    match edge.store.read().await {
        Ok(_) => "ok\n".into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response(),
    }
}
