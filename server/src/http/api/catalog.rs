//! What can be ordered.

use app::api::{CatalogEntry, DraftRequest, NameCheck, OrderDraft, TemplateDetail};
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Problems;
use crate::http::SharedEdge;
use crate::http::extract::{By, Path, Query};
use crate::http::problem::Problem;

/// The catalog
#[utoipa::path(get, path = "/catalog", tag = "catalog", responses((status = 200, body = [CatalogEntry]), Problems))]
pub async fn catalog(State(edge): State<SharedEdge>, By(actor): By) -> Result<axum::Json<Vec<CatalogEntry>>, Problem> {
    Ok(axum::Json(edge.portal.catalog(&actor).await?.to_vec()))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Version {
    /// The version on offer when absent.
    version: Option<String>,
}

/// One template
#[utoipa::path(
    get, path = "/catalog/{template}", tag = "catalog",
    params(("template" = String, Path, description = "Its name"), Version),
    responses((status = 200, body = TemplateDetail), Problems)
)]
pub async fn template(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path(name): Path<String>,
    Query(query): Query<Version>,
) -> Result<axum::Json<TemplateDetail>, Problem> {
    Ok(axum::Json(edge.portal.template(&actor, &name, query.version.as_deref()).await?))
}

/// What an order can begin with
///
/// A free name, and the values of the person's last order of this template, of a preset, or of an environment. Orders nothing.
#[utoipa::path(
    get, path = "/catalog/{template}/draft", tag = "catalog",
    params(("template" = String, Path, description = "Its name"), DraftRequest),
    responses((status = 200, body = OrderDraft), Problems)
)]
pub async fn draft(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path(name): Path<String>,
    Query(request): Query<DraftRequest>,
) -> Result<axum::Json<OrderDraft>, Problem> {
    Ok(axum::Json(edge.portal.draft(&actor, &name, request).await?))
}

/// Whether a name is free
///
/// For an environment of the team, at this moment.
#[utoipa::path(
    get, path = "/environment-names/{name}", tag = "environments",
    params(("name" = String, Path, description = "The name to try")),
    responses((status = 200, body = NameCheck), Problems)
)]
pub async fn check_name(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path(name): Path<String>,
) -> Result<axum::Json<NameCheck>, Problem> {
    Ok(axum::Json(edge.portal.check_name(&actor, &name).await?))
}
