//! Asks for an action on an environment.

use axum::extract::Path;
use axum::response::Response;

use crate::api::{Action, ApiError, EnvironmentDetail};
use crate::pages;
use crate::site::{Fields, Form, Visit, see_other};
use crate::words::parse_action;

pub(crate) async fn act(Path(environment): Path<String>, Form(visit, fields): Form) -> Response {
    match done(&visit, &environment, &fields).await {
        // What is being deleted has its name no longer in a moment.
        Ok((Action::Delete, after)) => see_other(&format!("/environments/{}", after.summary.id), None),
        Ok((_, after)) => see_other(&format!("/environments/{}", after.summary.name), None),
        Err(error) => pages::environment(visit.refused(fields, error), Path(environment)).await,
    }
}

async fn done(visit: &Visit, environment: &str, fields: &Fields) -> Result<(Action, EnvironmentDetail), ApiError> {
    let action = fields.get("action").and_then(|word| parse_action(word));
    let action = action.ok_or_else(|| ApiError::field("action", "this is not among the actions of an environment"))?;
    if action == Action::Delete {
        let name = visit.portal.environment(&visit.actor, environment).await?.summary.name;
        if fields.get("confirm").map(|typed| typed.trim()) != Some(name.as_str()) {
            return Err(ApiError::field("confirm", "Type the environment’s name to delete it")
                .with_detail(format!("Nothing was deleted. Its name is {name}.")));
        }
    }
    Ok((action, visit.portal.act(&visit.actor, environment, action).await?))
}
