//! Removes what nobody owns. For administrators.

use axum::response::Response;

use crate::pages;
use crate::site::{Form, see_other};

pub(crate) async fn operator(Form(visit, fields): Form) -> Response {
    let value = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let typed = fields.get("typed").map(String::as_str);
    match visit.portal.remove_leftover(&visit.actor, value("provisioner"), value("id"), typed).await {
        Ok(()) => see_other("/operator?done=leftover", None),
        Err(error) => pages::operator(visit.refused(fields, error)).await,
    }
}
