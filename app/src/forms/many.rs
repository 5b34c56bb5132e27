//! Asks the same of several environments: those ticked in the list.

use axum::response::Response;

use crate::api::ApiError;
use crate::pages::{MANY, Ticked, confirm_many};
use crate::site::ManyForm;
use crate::words::parse_action;

pub(crate) async fn many(ManyForm(visit, pairs): ManyForm) -> Response {
    let value = |name: &str| pairs.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let environments = pairs.iter().filter(|(name, _)| name == "environment").map(|(_, value)| value.clone());
    let action = value("action").and_then(|word| parse_action(&word)).filter(|action| MANY.contains(action));
    let ticked = match action {
        Some(action) => Ok(Ticked { environments: environments.collect(), action, confirmed: value("confirmed") }),
        None => Err(ApiError::field("action", "this cannot be asked of several environments at once")),
    };
    confirm_many(visit, ticked).await
}
