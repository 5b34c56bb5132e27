//! Creates and revokes API tokens.

use axum::response::Response;

use crate::api::{ApiError, TokenRequest};
use crate::pages;
use crate::site::{Fields, Form, Visit, see_other};

pub(crate) async fn tokens(Form(visit, fields): Form) -> Response {
    if let Some(id) = fields.get("revoke") {
        return match visit.portal.revoke_token(&visit.actor, id).await {
            Ok(()) => see_other("/profile", None),
            Err(error) => pages::profile(visit.refused(fields, error)).await,
        };
    }
    match create(&visit, &fields).await {
        // Shown in the answer itself, the one time it is known.
        Ok(created) => pages::profile_with(visit, Some(created)).await,
        Err(error) => pages::profile(visit.refused(fields, error)).await,
    }
}

async fn create(visit: &Visit, fields: &Fields) -> Result<crate::api::TokenCreated, ApiError> {
    let expires_in_days = match fields.get("expires_in_days").map(String::as_str) {
        None | Some("") => None,
        Some(days) => Some(
            days.parse()
                .map_err(|_| ApiError::field("expires_in_days", "give a whole number of days, or choose never"))?,
        ),
    };
    let request = TokenRequest { name: fields.get("name").cloned().unwrap_or_default(), expires_in_days };
    visit.portal.create_token(&visit.actor, request).await
}
