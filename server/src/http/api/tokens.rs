//! API tokens of the person who asks.

use app::api::{TokenCreated, TokenRequest, TokenView};
use axum::extract::State;
use http::StatusCode;

use super::Problems;
use crate::http::SharedEdge;
use crate::http::extract::{By, Json, Path};
use crate::http::problem::Problem;

/// My tokens
#[utoipa::path(get, path = "/tokens", tag = "tokens", responses((status = 200, body = [TokenView]), Problems))]
pub async fn tokens(State(edge): State<SharedEdge>, By(actor): By) -> Result<axum::Json<Vec<TokenView>>, Problem> {
    Ok(axum::Json(edge.portal.tokens(&actor).await?))
}

/// Make a token
///
/// The answer is the only place the token is ever shown.
#[utoipa::path(
    post, path = "/tokens", tag = "tokens", request_body = TokenRequest,
    responses((status = 201, body = TokenCreated), Problems)
)]
pub async fn create_token(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Json(request): Json<TokenRequest>,
) -> Result<(StatusCode, axum::Json<TokenCreated>), Problem> {
    Ok((StatusCode::CREATED, axum::Json(edge.portal.create_token(&actor, request).await?)))
}

/// Make a token useless
#[utoipa::path(
    delete, path = "/tokens/{id}", tag = "tokens", params(("id" = String, Path, description = "The token's id")),
    responses((status = 204, description = "It is useless now"), Problems)
)]
pub async fn revoke_token(
    State(edge): State<SharedEdge>,
    By(actor): By,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    edge.portal.revoke_token(&actor, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
