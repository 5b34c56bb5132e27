//! What operators look after, for administrators.

use app::api::{Leftover, Operation};
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Problems;
use crate::http::SharedEdge;
use crate::http::extract::{By, Path, Query};
use crate::http::problem::Problem;

/// How everything is
///
/// Database, provisioners, and what is asked of them and not done yet.
#[utoipa::path(get, path = "/operator", tag = "operator", responses((status = 200, body = Operation), Problems))]
pub async fn operation(State(edge): State<SharedEdge>, By(actor): By) -> Result<axum::Json<Operation>, Problem> {
    Ok(axum::Json(edge.portal.operation(&actor).await?))
}

/// What nobody owns
///
/// What provisioners have of environments that are not known here, or are deleted; and single things that carry this
/// installation's tag and that nothing remembered names, with about what they cost.
#[utoipa::path(
    get, path = "/operator/leftovers", tag = "operator", responses((status = 200, body = [Leftover]), Problems)
)]
pub async fn leftovers(State(edge): State<SharedEdge>, By(actor): By) -> Result<axum::Json<Vec<Leftover>>, Problem> {
    Ok(axum::Json(edge.portal.leftovers(&actor).await?))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Typed {
    /// Where there are volumes or snapshots: the leftover's id once more, because their data goes for ever.
    typed: Option<String>,
}

/// Remove what nobody owns
#[utoipa::path(
    delete, path = "/operator/leftovers/{provisioner}/{id}", tag = "operator",
    params(("provisioner" = String, Path), ("id" = String, Path, description = "The leftover's id"), Typed),
    responses((status = 204, description = "It is gone"), Problems)
)]
pub async fn remove_leftover(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path((provisioner, id)): Path<(String, String)>,
    Query(query): Query<Typed>,
) -> Result<StatusCode, Problem> {
    edge.portal.remove_leftover(&actor, &provisioner, &id, query.typed.as_deref()).await?;
    Ok(StatusCode::NO_CONTENT)
}
