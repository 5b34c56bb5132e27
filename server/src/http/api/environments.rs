//! Environments: order them, look at them, ask for what they should be.

use app::api::{
    Action, ApiError, EnvironmentChange, EnvironmentDetail, EnvironmentQuery, EnvironmentSummary, OrderChange,
    OrderRequest, Page, TimelineEvent,
};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Problems;
use crate::http::SharedEdge;
use crate::http::extract::{By, Json, Path, Query, header_text};
use crate::http::problem::Problem;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// My team's environments
///
/// Newest first; deleted ones only when asked for by `state=deleted`.
#[utoipa::path(
    get, path = "/environments", tag = "environments", params(EnvironmentQuery),
    responses((status = 200, body = Page<EnvironmentSummary>), Problems)
)]
pub async fn environments(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Query(query): Query<EnvironmentQuery>,
) -> Result<axum::Json<Page<EnvironmentSummary>>, Problem> {
    Ok(axum::Json(edge.portal.environments(&actor, query).await?))
}

/// Order an environment
///
/// Repeated with the same `Idempotency-Key`, the same order yields the same environment; another order with a key that was
/// used is refused.
#[utoipa::path(
    post, path = "/environments", tag = "environments", request_body = OrderRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 200 visible ASCII characters")),
    responses(
        (status = 201, description = "Confirmed; it is being made", body = EnvironmentDetail,
         headers(("Location" = String, description = "Where it is found"))),
        Problems
    )
)]
pub async fn order(
    State(edge): State<SharedEdge>,
    By(actor): By,
    headers: HeaderMap,
    Json(order): Json<OrderRequest>,
) -> Result<Response, Problem> {
    let key = header_text(&headers, &IDEMPOTENCY_KEY)?;
    let ordered = edge.portal.order(&actor, order, key).await?;
    let location = format!("/api/v1/environments/{}", ordered.summary.name);
    let mut response = (StatusCode::CREATED, axum::Json(ordered)).into_response();
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// One environment
#[utoipa::path(
    get, path = "/environments/{environment}", tag = "environments",
    params(("environment" = String, Path, description = "Name or id")),
    responses((status = 200, body = EnvironmentDetail), Problems)
)]
pub async fn environment(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path(name): Path<String>,
) -> Result<axum::Json<EnvironmentDetail>, Problem> {
    Ok(axum::Json(edge.portal.environment(&actor, &name).await?))
}

/// Say something about it
///
/// Its name, tags and note; what is absent stays as it is. Only its owner and administrators may. A new name changes the
/// addresses of its page and of its apps; the id stays.
#[utoipa::path(
    patch, path = "/environments/{environment}", tag = "environments", request_body = EnvironmentChange,
    params(("environment" = String, Path, description = "Name or id")),
    responses((status = 200, body = EnvironmentDetail), Problems)
)]
pub async fn describe(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path(name): Path<String>,
    Json(change): Json<EnvironmentChange>,
) -> Result<axum::Json<EnvironmentDetail>, Problem> {
    Ok(axum::Json(edge.portal.describe(&actor, &name, change).await?))
}

/// Change what was ordered
///
/// Another version of its template, or other values: servers come and go, the volumes stay, and what they hold is kept in a
/// snapshot first. Refused when a volume would be lost or shrink.
#[utoipa::path(
    patch, path = "/environments/{environment}/order", tag = "environments", request_body = OrderChange,
    params(("environment" = String, Path, description = "Name or id")),
    responses((status = 202, description = "It is being done", body = EnvironmentDetail), Problems)
)]
pub async fn change_order(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path(name): Path<String>,
    Json(change): Json<OrderChange>,
) -> Result<(StatusCode, axum::Json<EnvironmentDetail>), Problem> {
    Ok((StatusCode::ACCEPTED, axum::Json(edge.portal.change_order(&actor, &name, change).await?)))
}

/// Ask for something
///
/// Park, resume, restart, delete, retry, cancel or force. The answer comes at once; the environment's state tells what has become
/// of it.
#[utoipa::path(
    post, path = "/environments/{environment}/{action}", tag = "environments",
    params(("environment" = String, Path, description = "Name or id"), ("action" = Action, Path)),
    responses((status = 202, description = "It is being done", body = EnvironmentDetail), Problems)
)]
pub async fn act(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path((name, action)): Path<(String, String)>,
) -> Result<(StatusCode, axum::Json<EnvironmentDetail>), Problem> {
    let action = Action::ALL.into_iter().find(|known| known.as_str() == action);
    let action = action.ok_or_else(|| {
        let words = Action::ALL.map(Action::as_str).join(", ");
        ApiError::field("action", format!("is none of {words}"))
    })?;
    Ok((StatusCode::ACCEPTED, axum::Json(edge.portal.act(&actor, &name, action).await?)))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TimelineQuery {
    cursor: Option<String>,
    /// 1 to 200; 50 when absent.
    limit: Option<u32>,
}

/// What happened to it
///
/// Newest first.
#[utoipa::path(
    get, path = "/environments/{environment}/timeline", tag = "environments",
    params(("environment" = String, Path, description = "Name or id"), TimelineQuery),
    responses((status = 200, body = Page<TimelineEvent>), Problems)
)]
pub async fn timeline(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path(name): Path<String>,
    Query(query): Query<TimelineQuery>,
) -> Result<axum::Json<Page<TimelineEvent>>, Problem> {
    let limit = query.limit.unwrap_or(50);
    Ok(axum::Json(edge.portal.timeline(&actor, &name, query.cursor.as_deref(), limit).await?))
}
