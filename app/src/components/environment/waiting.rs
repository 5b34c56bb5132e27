use leptos::prelude::*;

use crate::components::icon;

/// What has to happen first.
pub fn waiting(what: String) -> impl IntoView {
    view! { <p class="waiting">{icon("hourglass")}{format!("Waiting for {what}")}</p> }
}
