//! Who sent a request, by its cookie or its token.

use std::net::IpAddr;
use std::sync::Arc;

use app::api::ApiError;
use app::portal::Actor;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, USER_AGENT};
use http::{Extensions, HeaderMap};

use super::problem::Problem;
use super::{Edge, SharedEdge};
use crate::auth::identity::{Identities, Identity};

/// Who sent this request. In the request's extensions, beside the plain [`Actor`] that pages take.
#[derive(Clone)]
pub struct Caller {
    pub actor: Actor,
    identity: Option<(Identity, Arc<Identities>)>,
    /// The secret of the session the request came with.
    pub session: Option<String>,
}

impl Caller {
    pub fn nobody() -> Caller {
        Caller { actor: Actor::Anonymous { from: None, browser: None }, identity: None, session: None }
    }

    /// This person, proved by something else than this request's own cookie or token.
    pub fn of(edge: &Edge, actor: Actor, identity: Identity) -> Caller {
        Caller { actor, identity: Some((identity, edge.identities.clone())), session: None }
    }

    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref().map(|(identity, _)| identity)
    }

    /// Completes when this caller no longer is who it was: at once for somebody who never was anybody.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let ended = self.identity.as_ref().map(|(identity, identities)| identities.ended(identity));
        async move {
            if let Some(ended) = ended {
                ended.await;
            }
        }
    }
}

/// Finds out who asks, for everything behind it. A token that does not count is refused; a session that does not count
/// leaves a visitor who may sign in.
pub async fn identify(State(edge): State<SharedEdge>, mut request: Request, next: Next) -> Response {
    let from = client_address(request.extensions());
    let presented = presented(&edge, request.headers());
    match caller(&edge, presented, from).await {
        Ok(mut caller) => {
            if let Actor::Anonymous { browser, .. } = &mut caller.actor {
                let said = request.headers().get(USER_AGENT).and_then(|said| said.to_str().ok());
                *browser = said.and_then(crate::auth::browser::in_words);
            }
            request.extensions_mut().insert(caller.actor.clone());
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => Problem(error).into_response(),
    }
}

/// What a request says to prove who sent it. An `Authorization` header counts alone, whatever cookie came along.
pub enum Presented {
    Nothing,
    Session(String),
    Token(String),
    /// Another kind of `Authorization`, which nobody should believe to have counted.
    Unknown,
}

pub fn presented(edge: &Edge, headers: &HeaderMap) -> Presented {
    match (bearer(headers), edge.cookie().read_headers(headers)) {
        (Some(Ok(token)), _) => Presented::Token(token.to_string()),
        (Some(Err(_)), _) => Presented::Unknown,
        (None, Some(secret)) => Presented::Session(secret.to_string()),
        (None, None) => Presented::Nothing,
    }
}

/// Who presents this, from this address.
///
/// # Errors
/// 401 for a token that does not count, 503 when the database could not be asked.
pub async fn caller(edge: &Edge, presented: Presented, from: Option<IpAddr>) -> Result<Caller, ApiError> {
    let (found, session) = match presented {
        Presented::Unknown => return Err(ApiError::unauthenticated()),
        Presented::Nothing => (None, None),
        Presented::Token(token) => {
            let found = edge.identities.by_token(&token).await.map_err(unreachable_database)?;
            (Some(found.ok_or_else(ApiError::unauthenticated)?), None)
        }
        Presented::Session(secret) => {
            (edge.identities.by_session(&secret).await.map_err(unreachable_database)?, Some(secret))
        }
    };
    Ok(match found {
        Some(identity) => Caller {
            actor: Actor::Person(identity.person.clone()),
            identity: Some((identity, edge.identities.clone())),
            session,
        },
        None => Caller { actor: Actor::Anonymous { from, browser: None }, identity: None, session },
    })
}

/// The token of an `Authorization: Bearer` header, when there is such a header; an error when there is one of another
/// kind, which nobody should believe to have counted.
pub fn bearer(headers: &HeaderMap) -> Option<Result<&str, ApiError>> {
    let value = headers.get(AUTHORIZATION)?;
    let token = value.to_str().ok().and_then(|value| value.split_once(' '));
    Some(match token {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(ApiError::unauthenticated()),
    })
}

fn unreachable_database(error: crate::store::StoreError) -> ApiError {
    tracing::error!(%error, "the database could not be asked who sent a request");
    ApiError::unavailable("The portal cannot reach its database").with_detail("Try again in a moment.")
}

/// The address behind a request, as [`super::server`] found it out.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);

pub fn client_address(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ClientAddress>().map(|address| address.0)
}
