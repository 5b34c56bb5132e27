//! What goes on in the team, and one wish for several environments.

use app::api::{Activity, ManyRequest, ManyResult};
use axum::extract::State;

use super::Problems;
use crate::http::SharedEdge;
use crate::http::extract::{By, Json};
use crate::http::problem::Problem;

/// What goes on
///
/// What is under way and what it waits for, what is stuck, and what came of the rest.
#[utoipa::path(get, path = "/activity", tag = "environments", responses((status = 200, body = Activity), Problems))]
pub async fn activity(State(edge): State<SharedEdge>, By(actor): By) -> Result<axum::Json<Activity>, Problem> {
    Ok(axum::Json(edge.portal.activity(&actor).await?))
}

/// Ask the same of several
///
/// Each environment is decided for itself: the answer says of every one what became of it, or why nothing did.
#[utoipa::path(
    post, path = "/actions", tag = "environments", request_body = ManyRequest,
    responses((status = 200, body = [ManyResult]), Problems)
)]
pub async fn act_on_many(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Json(request): Json<ManyRequest>,
) -> Result<axum::Json<Vec<ManyResult>>, Problem> {
    Ok(axum::Json(edge.portal.act_on_many(&actor, request).await?))
}
