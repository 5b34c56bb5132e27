//! `/environments/{environment}/logs?server=…`: the last lines, then new ones as they come.

use std::collections::BTreeMap;

use axum::extract::Path;
use axum::response::Response;
use leptos::prelude::*;

use crate::api::{ApiError, LogLine};
use crate::components::log_line;
use crate::islands::{LOG_LINES, LogFollower};
use crate::site::{Page, Place, Visit, answer};

/// Lines on the page before any script runs.
const LINES: u32 = 400;

pub(crate) async fn logs(visit: Visit, Path(environment): Path<String>) -> Response {
    let page = compose(&visit, &environment).await;
    answer(&visit, page)
}

async fn compose(visit: &Visit, environment: &str) -> Result<Page, ApiError> {
    let wanted = visit.query.get("server").filter(|server| !server.is_empty()).cloned();
    let detail = visit.portal.environment(&visit.actor, environment).await?;
    let name = detail.summary.name;
    let lines = visit.portal.logs(&visit.actor, &name, wanted.as_deref(), LINES).await?;
    let servers = detail.servers.into_iter().map(|server| server.name).collect();
    let title = match &wanted {
        Some(server) => format!("Logs of {server} in {name}"),
        None => format!("Logs of {name}"),
    };
    let heading = title.clone();
    Ok(Page::new(title, move || content(heading, name, servers, wanted, lines)).at(Place::Environments))
}

fn content(
    heading: String,
    environment: String,
    servers: Vec<String>,
    wanted: Option<String>,
    lines: Vec<LogLine>,
) -> impl IntoView {
    let shown: BTreeMap<_, _> = lines.iter().map(|line| (line.server.clone(), line.position.clone())).collect();
    let address = format!("/environments/{environment}");
    let all = format!("{address}/logs");
    let tabs: Vec<_> = servers
        .into_iter()
        .map(|server| {
            let current = (wanted.as_ref() == Some(&server)).then_some("page");
            let address = format!("{all}?server={server}");
            view! { <a href=address aria-current=current>{server}</a> }
        })
        .collect();
    let everything = wanted.is_none().then_some("page");
    let nothing = lines.is_empty();
    let crumb = environment.clone();
    view! {
        <header class="page-header">
            <p class="crumbs"><a href="/environments">"Environments"</a><a href=address>{crumb}</a></p>
            <h1>{heading}</h1>
        </header>
        <div class="toolbar">
            <nav class="tabs" aria-label="Server"><a href=all.clone() aria-current=everything>"All"</a>{tabs}</nav>
            <LogFollower environment=environment server=wanted shown=shown/>
        </div>
        {nothing.then(|| view! { <p class="log-empty">"No lines yet. They appear here as the servers write them."</p> })}
        <div id=LOG_LINES class="log" role="log" tabindex="0" aria-label="Log lines">
            {lines.into_iter().map(log_line).collect::<Vec<_>>()}
        </div>
    }
}
