//! What a person sees instead of the page: what happened, and the way on.

use leptos::prelude::*;

use crate::api::ApiError;
use crate::components::icon;

pub(crate) fn error_content(error: ApiError) -> impl IntoView {
    let (picture, advice, way_on, way_on_label) = match error.status {
        404 => (
            "book-open",
            "The address may be mistyped, or what it led to has been deleted. Things of other teams look the same from here.",
            "/environments",
            "See your environments",
        ),
        403 => ("lock", "An administrator of this Bookend can do it, or make you one.", "/", "Go to the catalog"),
        400..=499 => ("info", "Go back and try it another way.", "/", "Go to the catalog"),
        503 => ("hourglass", "Wait a moment, then load this page again.", "", "Load again"),
        _ => (
            "triangle-alert",
            "Loading the page again may help. If not, an administrator finds the cause in the log.",
            "",
            "Load again",
        ),
    };
    view! {
        <section class="blank">
            <span class="blank__picture">{icon(picture)}</span>
            <p class="blank__code">{error.status}</p>
            <h1>{error.title}</h1>
            <p class="blank__text">{error.detail.unwrap_or_else(|| advice.to_string())}</p>
            <p class="blank__actions"><a class="button" data-kind="primary" href=way_on>{way_on_label}</a></p>
        </section>
    }
}
