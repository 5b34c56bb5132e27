//! Snapshots: take them, keep them, bring one back.

use app::api::{
    EnvironmentDetail, RestoreRequest, SnapshotChange, SnapshotComparison, SnapshotRequest, SnapshotRule,
    SnapshotVerification, SnapshotView, WarmRequest, Work,
};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Problems, live};
use crate::http::SharedEdge;
use crate::http::extract::{By, Json, Path, Query};
use crate::http::identify::Caller;
use crate::http::problem::Problem;

/// An environment's snapshots
///
/// The newest first. A failed one is listed with its reason.
#[utoipa::path(
    get, path = "/environments/{environment}/snapshots", tag = "snapshots",
    params(("environment" = String, Path, description = "Name or id")),
    responses((status = 200, body = Vec<SnapshotView>), Problems)
)]
pub async fn snapshots(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path(environment): Path<String>,
) -> Result<axum::Json<Vec<SnapshotView>>, Problem> {
    Ok(axum::Json(edge.portal.snapshots(&actor, &environment).await?))
}

/// Take a snapshot
///
/// Of all volumes at one moment: all servers stand still for it, and go on. The answer comes at once; the snapshot's state
/// tells when it is complete.
#[utoipa::path(
    post, path = "/environments/{environment}/snapshots", tag = "snapshots", request_body = SnapshotRequest,
    params(("environment" = String, Path, description = "Name or id")),
    responses((status = 202, body = SnapshotView), Problems)
)]
pub async fn take(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path(environment): Path<String>,
    Json(request): Json<SnapshotRequest>,
) -> Result<(StatusCode, axum::Json<SnapshotView>), Problem> {
    let taken = edge.portal.take_snapshot(&actor, &environment, request).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(taken)))
}

/// Label or pin a snapshot
///
/// What is pinned never goes by itself.
#[utoipa::path(
    patch, path = "/environments/{environment}/snapshots/{snapshot}", tag = "snapshots", request_body = SnapshotChange,
    params(("environment" = String, Path, description = "Name or id"), ("snapshot" = String, Path, description = "Id, or latest")),
    responses((status = 200, body = SnapshotView), Problems)
)]
pub async fn change(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path((environment, snapshot)): Path<(String, String)>,
    Json(change): Json<SnapshotChange>,
) -> Result<axum::Json<SnapshotView>, Problem> {
    Ok(axum::Json(edge.portal.change_snapshot(&actor, &environment, &snapshot, change).await?))
}

/// Delete a snapshot
#[utoipa::path(
    delete, path = "/environments/{environment}/snapshots/{snapshot}", tag = "snapshots",
    params(("environment" = String, Path, description = "Name or id"), ("snapshot" = String, Path, description = "Id, or latest")),
    responses((status = 204, description = "It can no longer be restored"), Problems)
)]
pub async fn delete(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path((environment, snapshot)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    edge.portal.delete_snapshot(&actor, &environment, &snapshot).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Restore a snapshot
///
/// All volumes become what they were. What they are now is kept in a snapshot first, so that this too can be undone. A deleted
/// environment, named by its id, comes back.
#[utoipa::path(
    post, path = "/environments/{environment}/restore", tag = "snapshots", request_body = RestoreRequest,
    params(("environment" = String, Path, description = "Name or id")),
    responses((status = 202, description = "It is being done", body = EnvironmentDetail), Problems)
)]
pub async fn restore(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path(environment): Path<String>,
    Json(request): Json<RestoreRequest>,
) -> Result<(StatusCode, axum::Json<EnvironmentDetail>), Problem> {
    Ok((StatusCode::ACCEPTED, axum::Json(edge.portal.restore(&actor, &environment, request).await?)))
}

/// Set when snapshots are taken by themselves
///
/// As the template says, never, or by a rule of the environment's own. How many of them stay is the template's to say.
#[utoipa::path(
    put, path = "/environments/{environment}/snapshot-rule", tag = "snapshots", request_body = SnapshotRule,
    params(("environment" = String, Path, description = "Name or id")),
    responses((status = 200, body = EnvironmentDetail), Problems)
)]
pub async fn set_rule(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path(environment): Path<String>,
    Json(rule): Json<SnapshotRule>,
) -> Result<axum::Json<EnvironmentDetail>, Problem> {
    Ok(axum::Json(edge.portal.set_snapshot_rule(&actor, &environment, rule).await?))
}

/// Drill a restore
///
/// The newest snapshot is restored into a place of its own that nobody can enter and that has no way out, its servers are
/// brought up, and all of it is thrown away. The environment itself runs on untouched; its `drill` tells what came of it.
#[utoipa::path(
    post, path = "/environments/{environment}/drill", tag = "snapshots",
    params(("environment" = String, Path, description = "Name or id")),
    responses((status = 202, description = "It is being done, or waits for its turn", body = EnvironmentDetail), Problems)
)]
pub async fn drill(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path(environment): Path<String>,
) -> Result<(StatusCode, axum::Json<EnvironmentDetail>), Problem> {
    Ok((StatusCode::ACCEPTED, axum::Json(edge.portal.drill(&actor, &environment).await?)))
}

/// Keep a snapshot warm
///
/// What is restored from it is at full speed at once, for so many hours from now: its `warmth` says where, what an hour costs, and
/// how far it is. It ends by itself, and with the snapshot. Asked again, it lasts as many hours from then.
#[utoipa::path(
    put, path = "/environments/{environment}/snapshots/{snapshot}/warm", tag = "snapshots", request_body = WarmRequest,
    params(("environment" = String, Path, description = "Name or id"), ("snapshot" = String, Path, description = "Id, or latest")),
    responses((status = 200, body = SnapshotView), Problems)
)]
pub async fn keep_warm(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path((environment, snapshot)): Path<(String, String)>,
    Json(request): Json<WarmRequest>,
) -> Result<axum::Json<SnapshotView>, Problem> {
    let kept = edge.portal.keep_snapshot_warm(&actor, &environment, &snapshot, Some(request.hours)).await?;
    Ok(axum::Json(kept))
}

/// Keep a snapshot warm no longer
#[utoipa::path(
    delete, path = "/environments/{environment}/snapshots/{snapshot}/warm", tag = "snapshots",
    params(("environment" = String, Path, description = "Name or id"), ("snapshot" = String, Path, description = "Id, or latest")),
    responses((status = 204, description = "It is being ended, if it was kept warm"), Problems)
)]
pub async fn let_cool(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path((environment, snapshot)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    edge.portal.keep_snapshot_warm(&actor, &environment, &snapshot, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Verify a snapshot
///
/// Reads it as a whole and compares it with what was written down when it was taken. A stream of server-sent events: how far it
/// has come, and in the end what was found. Whoever goes away stops it.
#[utoipa::path(
    post, path = "/environments/{environment}/snapshots/{snapshot}/verify", tag = "snapshots",
    params(("environment" = String, Path, description = "Name or id"), ("snapshot" = String, Path, description = "Id, or latest")),
    responses((status = 200, body = Work<SnapshotVerification>, content_type = "text/event-stream"), Problems)
)]
pub async fn verify(
    State(edge): State<SharedEdge>,
    caller: Caller,
    Path((environment, snapshot)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let events = edge.portal.verify_snapshot(&caller.actor, &environment, &snapshot).await?;
    Ok(live::stream(&edge, &caller, events))
}

/// Stop a verification
///
/// Whoever began it hears that it was stopped. Nothing is found out by it.
#[utoipa::path(
    delete, path = "/environments/{environment}/snapshots/{snapshot}/verify", tag = "snapshots",
    params(("environment" = String, Path, description = "Name or id"), ("snapshot" = String, Path, description = "Id, or latest")),
    responses((status = 204, description = "It has ended"), Problems)
)]
pub async fn stop_verification(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path((environment, snapshot)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    edge.portal.stop_verification(&actor, &environment, &snapshot).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CompareQuery {
    /// Id of another snapshot, or latest; the volumes as they are now when absent.
    with: Option<String>,
    /// Tell how far it has come meanwhile, as server-sent events. For what may take longer than a minute.
    #[serde(default)]
    #[param(required = false)]
    follow: bool,
}

/// Compare a snapshot
///
/// With another one, or with the volumes as they are now: what was added, changed and removed since, volume by volume. Whoever
/// goes away stops it.
#[utoipa::path(
    get, path = "/environments/{environment}/snapshots/{snapshot}/compare", tag = "snapshots",
    params(
        ("environment" = String, Path, description = "Name or id"),
        ("snapshot" = String, Path, description = "Id, or latest"),
        CompareQuery
    ),
    responses(
        (status = 200, content(
            (SnapshotComparison = "application/json"), (Work<SnapshotComparison> = "text/event-stream")
        )),
        Problems
    )
)]
pub async fn compare(
    State(edge): State<SharedEdge>,
    caller: Caller,
    Path((environment, snapshot)): Path<(String, String)>,
    Query(query): Query<CompareQuery>,
) -> Result<Response, Problem> {
    let with = query.with.as_deref();
    let compared = edge.portal.compare_snapshots(&caller.actor, &environment, &snapshot, with).await?;
    match query.follow {
        true => Ok(live::stream(&edge, &caller, compared)),
        false => Ok(axum::Json(live::result(compared).await?).into_response()),
    }
}
