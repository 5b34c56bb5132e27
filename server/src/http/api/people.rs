//! People, for administrators.

use app::api::{PersonRequest, PersonView};
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Problems;
use crate::http::SharedEdge;
use crate::http::extract::{By, Json, Path};
use crate::http::problem::Problem;

/// Everybody
#[utoipa::path(get, path = "/people", tag = "people", responses((status = 200, body = [PersonView]), Problems))]
pub async fn people(State(edge): State<SharedEdge>, By(actor): By) -> Result<axum::Json<Vec<PersonView>>, Problem> {
    Ok(axum::Json(edge.portal.people(&actor).await?))
}

/// Let somebody in
#[utoipa::path(
    post, path = "/people", tag = "people", request_body = PersonRequest,
    responses((status = 201, body = PersonView), Problems)
)]
pub async fn create_person(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Json(request): Json<PersonRequest>,
) -> Result<(StatusCode, axum::Json<PersonView>), Problem> {
    Ok((StatusCode::CREATED, axum::Json(edge.portal.create_person(&actor, request).await?)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonChange {
    /// Whoever is disabled loses sessions, tokens and open terminals at once.
    disabled: bool,
}

/// Disable somebody, or let them in again
#[utoipa::path(
    patch, path = "/people/{name}", tag = "people", request_body = PersonChange,
    params(("name" = String, Path, description = "Sign-in name")),
    responses((status = 200, body = PersonView), Problems)
)]
pub async fn change_person(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path(name): Path<String>,
    Json(change): Json<PersonChange>,
) -> Result<axum::Json<PersonView>, Problem> {
    Ok(axum::Json(edge.portal.set_person_disabled(&actor, &name, change.disabled).await?))
}
