//! What a person decides about themselves.

use app::api::{PasswordChange, PersonView, SessionView};
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Problems;
use crate::http::SharedEdge;
use crate::http::extract::{By, Json, Path};
use crate::http::identify::Caller;
use crate::http::problem::Problem;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MyChange {
    /// IANA name (`Europe/Berlin`); null: like the browser.
    time_zone: Option<String>,
}

/// Choose a time zone
#[utoipa::path(
    patch, path = "/me", tag = "session", request_body = MyChange,
    responses((status = 200, body = PersonView), Problems)
)]
pub async fn change_me(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Json(change): Json<MyChange>,
) -> Result<axum::Json<PersonView>, Problem> {
    Ok(axum::Json(edge.portal.set_time_zone(&actor, change.time_zone.as_deref()).await?))
}

/// Change my password
///
/// Ends all sessions but the one the request came with. API tokens go on.
#[utoipa::path(
    put, path = "/me/password", tag = "session", request_body = PasswordChange,
    responses((status = 204, description = "Changed"), Problems)
)]
pub async fn change_password(
    State(edge): State<SharedEdge>,
    caller: Caller,
    Json(change): Json<PasswordChange>,
) -> Result<StatusCode, Problem> {
    edge.portal.change_password(&caller.actor, change, caller.session.as_deref()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where I am signed in
#[utoipa::path(get, path = "/sessions", tag = "session", responses((status = 200, body = [SessionView]), Problems))]
pub async fn sessions(State(edge): State<SharedEdge>, caller: Caller) -> Result<axum::Json<Vec<SessionView>>, Problem> {
    Ok(axum::Json(edge.portal.sessions(&caller.actor, caller.session.as_deref()).await?))
}

/// End all my other sessions
///
/// With an API token: all of them.
#[utoipa::path(
    delete, path = "/sessions", tag = "session",
    responses((status = 204, description = "They have ended"), Problems)
)]
pub async fn end_other_sessions(State(edge): State<SharedEdge>, caller: Caller) -> Result<StatusCode, Problem> {
    edge.portal.end_other_sessions(&caller.actor, caller.session.as_deref()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End one of my sessions
///
/// Its tabs, terminals and open apps lose their way in at once.
#[utoipa::path(
    delete, path = "/sessions/{id}", tag = "session", params(("id" = String, Path, description = "The session's id")),
    responses((status = 204, description = "It has ended"), Problems)
)]
pub async fn end_session(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    edge.portal.end_session(&actor, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
