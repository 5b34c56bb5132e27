//! What a person decides about themselves: password, time zone, where they are signed in.

use axum::response::Response;

use crate::api::{ApiError, PasswordChange};
use crate::pages;
use crate::site::{Form, Visit, see_other};

pub(crate) async fn password(Form(visit, mut fields): Form) -> Response {
    let mut taken = |name: &str| fields.remove(name).unwrap_or_default();
    let change = PasswordChange { old: taken("old"), new: taken("new") };
    let done = visit.portal.change_password(&visit.actor, change, visit.session.as_deref()).await;
    lead_on(visit, fields, done, "password").await
}

pub(crate) async fn time_zone(Form(visit, fields): Form) -> Response {
    let zone = fields.get("time_zone").map(String::as_str);
    let done = visit.portal.set_time_zone(&visit.actor, zone).await.map(drop);
    lead_on(visit, fields, done, "time-zone").await
}

pub(crate) async fn sessions(Form(visit, fields): Form) -> Response {
    match fields.get("end").map(String::as_str).unwrap_or_default() {
        "others" => {
            let done = visit.portal.end_other_sessions(&visit.actor, visit.session.as_deref()).await.map(drop);
            lead_on(visit, fields, done, "sessions").await
        }
        id => {
            let done = visit.portal.end_session(&visit.actor, id).await;
            lead_on(visit, fields, done, "session").await
        }
    }
}

async fn lead_on(visit: Visit, fields: crate::site::Fields, done: Result<(), ApiError>, what: &str) -> Response {
    match done {
        Ok(()) => see_other(&format!("/profile?done={what}"), None),
        Err(error) => pages::profile(visit.refused(fields, error)).await,
    }
}
