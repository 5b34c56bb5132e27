//! Signing in and out.

use axum::extract::Path;
use axum::response::Response;

use crate::pages;
use crate::site::{Fields, Form, Visit, answer, see_other};

pub(crate) async fn sign_in(Form(visit, fields): Form) -> Response {
    let (name, password) = name_and_password(&fields);
    match visit.portal.sign_in(&visit.actor, name, password).await {
        Ok(session) => {
            // The browser forgets the session it had: end it.
            if let Some(before) = &visit.session {
                let _ = visit.portal.sign_out(&visit.actor, before).await;
            }
            let next = pages::local_path(visit.query.get("next").map(String::as_str));
            see_other(&next, Some(visit.settings.session_cookie().set(&session, visit.now)))
        }
        Err(error) => pages::sign_in(visit.refused(without_password(fields), error)).await,
    }
}

pub(crate) async fn setup(Path(link): Path<String>, Form(visit, fields): Form) -> Response {
    let (name, password) = name_and_password(&fields);
    match visit.portal.first_administrator(&visit.actor, &link, name, password).await {
        Ok(session) => see_other("/", Some(visit.settings.session_cookie().set(&session, visit.now))),
        Err(error) => pages::setup(visit.refused(without_password(fields), error), Path(link)).await,
    }
}

/// Ends the session here even when the portal no longer knows it.
pub(crate) async fn sign_out(visit: Visit) -> Response {
    let ended = match &visit.session {
        Some(session) => visit.portal.sign_out(&visit.actor, session).await,
        None => Ok(()),
    };
    match ended {
        Err(error) if error.status >= 500 => answer(&visit, Err(error)),
        _ => see_other("/sign-in", Some(visit.settings.session_cookie().clear())),
    }
}

fn name_and_password(fields: &Fields) -> (&str, &str) {
    let value = |name| fields.get(name).map(String::as_str).unwrap_or_default();
    (value("name"), value("password"))
}

fn without_password(mut fields: Fields) -> Fields {
    fields.remove("password");
    fields
}
