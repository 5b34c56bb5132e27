//! Creates people, and lets them in or keeps them out. For administrators.

use axum::response::Response;

use crate::api::{ApiError, PersonRequest, Role};
use crate::pages;
use crate::site::{Fields, Form, Visit, see_other};

pub(crate) async fn people(Form(visit, mut fields): Form) -> Response {
    match change(&visit, &fields).await {
        Ok(()) => see_other("/people", None),
        Err(error) => {
            fields.remove("password");
            pages::people(visit.refused(fields, error)).await
        }
    }
}

async fn change(visit: &Visit, fields: &Fields) -> Result<(), ApiError> {
    let value = |name: &str| fields.get(name).cloned().unwrap_or_default();
    if let Some(name) = fields.get("disable") {
        return visit.portal.set_person_disabled(&visit.actor, name, true).await.map(drop);
    }
    if let Some(name) = fields.get("enable") {
        return visit.portal.set_person_disabled(&visit.actor, name, false).await.map(drop);
    }
    let role = match value("role").as_str() {
        "administrator" => Role::Administrator,
        "user" => Role::User,
        _ => return Err(ApiError::field("role", "choose user or administrator")),
    };
    let request = PersonRequest { name: value("name"), password: value("password"), role };
    visit.portal.create_person(&visit.actor, request).await.map(drop)
}
