//! `/environments/{environment}`: its state, what is waited for, and everything to use it with. The island keeps it
//! current.

use axum::extract::Path;
use axum::response::Response;
use leptos::prelude::*;

use crate::api::ApiError;
use crate::components::notice;
use crate::fns::environment_as_it_is;
use crate::islands::EnvironmentLive;
use crate::site::{Page, Place, Visit, answer};
use crate::words::{Tone, environment_title};

pub(crate) async fn environment(visit: Visit, Path(environment): Path<String>) -> Response {
    let page = compose(&visit, &environment).await;
    answer(&visit, page)
}

async fn compose(visit: &Visit, environment: &str) -> Result<Page, ApiError> {
    let cursor = visit.query.get("timeline").cloned();
    let initial = environment_as_it_is(visit, environment, cursor.as_deref()).await?;
    let title = environment_title(&initial.detail.summary.name, initial.detail.summary.state);
    let refused = visit.posted.as_ref().map(|posted| posted.error.clone());
    let now = visit.now;
    let content = move || {
        view! {
            {refused.map(|error| notice(Tone::Bad, error.title, error.detail))}
            <EnvironmentLive initial=initial now=now cursor=cursor/>
        }
    };
    Ok(Page::new(title, content).at(Place::Environments))
}
