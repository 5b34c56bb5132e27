//! The portable repository: copies of snapshots, and environments from them.

use app::api::{ImportRequest, ImportView, RepositorySnapshot, RepositoryView, SnapshotView};
use axum::extract::State;
use http::StatusCode;

use super::Problems;
use crate::http::SharedEdge;
use crate::http::extract::{By, Json, Path};
use crate::http::problem::Problem;

/// Copy a snapshot to the repository
///
/// Also where the portal's policy does not ask for it, and at once where it failed before. The snapshot tells how far it is.
#[utoipa::path(
    post, path = "/environments/{environment}/snapshots/{snapshot}/export", tag = "repository",
    params(("environment" = String, Path, description = "Name or id"), ("snapshot" = String, Path, description = "Id, or latest")),
    responses((status = 202, body = SnapshotView), Problems)
)]
pub async fn export(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path((environment, snapshot)): Path<(String, String)>,
) -> Result<(StatusCode, axum::Json<SnapshotView>), Problem> {
    let exporting = edge.portal.export_snapshot(&actor, &environment, &snapshot).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(exporting)))
}

/// How the repository stands
///
/// Where it is, what troubles it, and what was imported from it is told to administrators only.
#[utoipa::path(get, path = "/repository", tag = "repository", responses((status = 200, body = RepositoryView), Problems))]
pub async fn repository(State(edge): State<SharedEdge>, By(actor): By) -> Result<axum::Json<RepositoryView>, Problem> {
    Ok(axum::Json(edge.portal.repository(&actor).await?))
}

/// What is in the repository
///
/// Of this portal and of all others that use it, the newest first. For administrators.
#[utoipa::path(
    get, path = "/repository/snapshots", tag = "repository",
    responses((status = 200, body = Vec<RepositorySnapshot>), Problems)
)]
pub async fn repository_snapshots(
    State(edge): State<SharedEdge>,
    By(actor): By,
) -> Result<axum::Json<Vec<RepositorySnapshot>>, Problem> {
    Ok(axum::Json(edge.portal.repository_snapshots(&actor).await?))
}

/// Make an environment of a snapshot in the repository
///
/// Its volumes begin with what the snapshot holds, compared with its manifest; its secrets have to be given anew. The
/// environment is among the deleted until the data is here. For administrators.
#[utoipa::path(
    post, path = "/repository/snapshots/{snapshot}/import", tag = "repository", request_body = ImportRequest,
    params(("snapshot" = String, Path, description = "Its id there, or the first 8 digits and more")),
    responses((status = 202, body = ImportView), Problems)
)]
pub async fn import(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path(snapshot): Path<String>,
    Json(request): Json<ImportRequest>,
) -> Result<(StatusCode, axum::Json<ImportView>), Problem> {
    let importing = edge.portal.import_snapshot(&actor, &snapshot, request).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(importing)))
}
