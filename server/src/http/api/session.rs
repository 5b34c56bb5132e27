//! Signing in and out, and the first administrator.

use app::api::PersonView;
use app::portal::SessionStarted;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::SET_COOKIE;
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problems;
use crate::http::extract::{By, Json, Path};
use crate::http::identify::Caller;
use crate::http::problem::Problem;
use crate::http::{Edge, SharedEdge};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Sign-in name.
    name: String,
    password: String,
}

#[derive(Serialize, ToSchema)]
pub struct Session {
    /// Unix milliseconds.
    expires_at: i64,
}

/// Sign in
///
/// The session comes as a cookie. Programs use an API token instead.
#[utoipa::path(
    post, path = "/session", tag = "session", request_body = Credentials, security(()),
    responses((status = 200, description = "Signed in; the cookie is set", body = Session), Problems)
)]
pub async fn sign_in(
    State(edge): State<SharedEdge>,
    caller: Caller,
    Json(credentials): Json<Credentials>,
) -> Result<Response, Problem> {
    let started = edge.portal.sign_in(&caller.actor, &credentials.name, &credentials.password).await?;
    // The browser forgets the session it had: end it.
    if let Some(before) = &caller.session {
        let _ = edge.portal.sign_out(&caller.actor, before).await;
    }
    begun(&edge, &started)
}

/// Sign out
///
/// Ends the session the request came with.
#[utoipa::path(
    delete, path = "/session", tag = "session",
    responses((status = 204, description = "Signed out; the cookie is cleared"), Problems)
)]
pub async fn sign_out(State(edge): State<SharedEdge>, caller: Caller) -> Result<Response, Problem> {
    edge.portal.sign_out(&caller.actor, caller.session.as_deref().unwrap_or_default()).await?;
    with_cookie(StatusCode::NO_CONTENT.into_response(), &edge.cookie().clear())
}

/// Who is asking
#[utoipa::path(get, path = "/me", tag = "session", responses((status = 200, body = PersonView), Problems))]
pub async fn me(State(edge): State<SharedEdge>, By(actor): By) -> Result<axum::Json<PersonView>, Problem> {
    Ok(axum::Json(edge.portal.me(&actor).await?))
}

/// Check a set-up link
#[utoipa::path(
    get, path = "/setup/{link}", tag = "session", security(()), params(("link" = String, Path, description = "Its secret")),
    responses((status = 204, description = "It can be used"), Problems)
)]
pub async fn check_setup_link(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path(link): Path<String>,
) -> Result<StatusCode, Problem> {
    edge.portal.check_setup_link(&actor, &link).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Create the first administrator
///
/// The link works once. The new administrator is signed in.
#[utoipa::path(
    post, path = "/setup/{link}", tag = "session", request_body = Credentials, security(()),
    params(("link" = String, Path, description = "The link's secret")),
    responses((status = 200, description = "Created and signed in", body = Session), Problems)
)]
pub async fn first_administrator(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path(link): Path<String>,
    Json(credentials): Json<Credentials>,
) -> Result<Response, Problem> {
    let portal = &edge.portal;
    let started = portal.first_administrator(&actor, &link, &credentials.name, &credentials.password).await?;
    begun(&edge, &started)
}

fn begun(edge: &Edge, started: &SessionStarted) -> Result<Response, Problem> {
    let cookie = edge.cookie().set(started, edge.clock.now());
    with_cookie(axum::Json(Session { expires_at: started.expires_at }).into_response(), &cookie)
}

fn with_cookie(mut response: Response, cookie: &str) -> Result<Response, Problem> {
    let cookie = HeaderValue::try_from(cookie).map_err(|_| Problem(app::api::ApiError::internal()))?;
    response.headers_mut().append(SET_COOKIE, cookie);
    Ok(response)
}
