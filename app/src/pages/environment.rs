//! `/environments/{environment}`: its state, what is waited for, and everything to use it with. The island keeps it
//! current.

use axum::extract::Path;
use axum::response::Response;
use leptos::prelude::*;

use crate::api::ApiError;
use crate::components::{drill_badge, notice, notify};
use crate::islands::{EnvironmentLive, EnvironmentNow};
use crate::site::{Page, Place, Visit, answer};
use crate::words::{Tone, environment_title};

/// Events of the timeline on one page.
const TIMELINE_LENGTH: u32 = 30;

pub(crate) async fn environment(visit: Visit, Path(environment): Path<String>) -> Response {
    let page = compose(&visit, &environment).await;
    answer(&visit, page)
}

async fn compose(visit: &Visit, environment: &str) -> Result<Page, ApiError> {
    let cursor = visit.query.get("timeline").map(String::as_str);
    let detail = visit.portal.environment(&visit.actor, environment).await?;
    let id = detail.summary.id.clone();
    let timeline = visit.portal.timeline(&visit.actor, &id, cursor, TIMELINE_LENGTH).await?;
    let again = timeline_address(&id, cursor);
    let initial = EnvironmentNow { detail, timeline };
    let title = environment_title(&initial.detail.summary.name, initial.detail.summary.state);
    let refused = visit.posted.as_ref().map(|posted| posted.error.clone());
    let now = visit.now;
    let tab_icon = visit.settings.assets.address("tab-icon.js");
    let content = move || {
        let badge = drill_badge(Signal::stored(now), initial.detail.drill.clone());
        view! {
            {refused.map(|error| notice(Tone::Bad, error.title, error.detail))}
            <p class="crumbs environment__crumbs"><a href="/environments">"Environments"</a>{badge}</p>
            <EnvironmentLive initial=initial now=now timeline_address=again/>
            {notify("offer")}
            <script type="module" src=tab_icon></script>
        }
    };
    Ok(Page::new(title, content).at(Place::Environments))
}

/// Where the REST API answers with this part of the timeline.
fn timeline_address(id: &str, cursor: Option<&str>) -> String {
    let mut address = form_urlencoded::Serializer::new(format!("/api/v1/environments/{id}/timeline?"));
    address.append_pair("limit", &TIMELINE_LENGTH.to_string());
    address.extend_pairs(cursor.map(|cursor| ("cursor", cursor)));
    address.finish()
}
