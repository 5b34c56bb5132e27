//! Asks for an action on an environment.

use axum::extract::Path;
use axum::response::Response;

use crate::api::ApiError;
use crate::pages;
use crate::site::{Form, see_other};
use crate::words::parse_action;

pub(crate) async fn act(Path(environment): Path<String>, Form(visit, fields): Form) -> Response {
    let done = match fields.get("action").and_then(|word| parse_action(word)) {
        Some(action) => visit.portal.act(&visit.actor, &environment, action).await.map(drop),
        None => Err(ApiError::field("action", "this is not among the actions of an environment")),
    };
    match done {
        Ok(()) => see_other(&visit.path, None),
        Err(error) => pages::environment(visit.refused(fields, error), Path(environment)).await,
    }
}
