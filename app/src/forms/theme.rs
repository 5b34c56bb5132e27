//! Light, dark, or like the system: kept in this browser.

use axum::response::Response;

use crate::pages::local_path;
use crate::site::{Form, Theme, see_other, theme_chosen};

pub(crate) async fn theme(Form(visit, fields): Form) -> Response {
    let theme = fields.get("theme").map(|word| Theme::parse(word)).unwrap_or_default();
    see_other(&local_path(fields.get("next").map(String::as_str)), Some(theme_chosen(&visit.settings, theme)))
}
