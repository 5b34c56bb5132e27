//! `/environments/{environment}/servers/{server}/terminal`: a shell on the server. The screen itself needs script; what
//! to do without it is said.

use axum::extract::Path;
use axum::response::Response;
use leptos::prelude::*;

use crate::api::ApiError;
use crate::site::{Page, Place, Visit, answer};

pub(crate) async fn terminal(visit: Visit, Path((environment, server)): Path<(String, String)>) -> Response {
    let page = compose(&visit, &environment, &server).await;
    answer(&visit, page)
}

async fn compose(visit: &Visit, environment: &str, server: &str) -> Result<Page, ApiError> {
    let detail = visit.portal.environment(&visit.actor, environment).await?;
    let server = detail
        .servers
        .into_iter()
        .map(|one| one.name)
        .find(|name| name == server)
        .ok_or_else(|| ApiError::not_found("server", server))?;
    let environment = detail.summary.name;
    let title = format!("Terminal on {server} in {environment}");
    let visit = visit.clone();
    Ok(Page::new(title, move || content(&visit, environment, server)).at(Place::Environments))
}

fn content(visit: &Visit, environment: String, server: String) -> impl IntoView + use<> {
    let assets = &visit.settings.assets;
    let address = format!("/environments/{environment}");
    let socket = format!("/api/v1/environments/{environment}/servers/{server}/terminal");
    let instead = format!("bookend exec {environment}/{server} -- bash");
    view! {
        <link rel="stylesheet" href=assets.address("xterm.css")/>
        <header class="page-header">
            <p class="crumbs"><a href="/environments">"Environments"</a><a href=address>{environment}</a></p>
            <div class="page-header__line">
                <h1>{server}</h1>
                <p id="terminal-state" class="connection" role="status"></p>
                <button id="terminal-again" class="button" data-kind="plain" type="button" hidden>"Connect again"</button>
            </div>
        </header>
        <div
            id="terminal"
            class="terminal"
            data-socket=socket
            data-xterm=assets.address("xterm.js")
            data-fit=assets.address("xterm-addon-fit.js")
        ></div>
        <p class="terminal__hint">"F6 leaves the terminal by keyboard."</p>
        <noscript><p>"The terminal needs script. On your own machine, this does the same: "<code>{instead}</code></p></noscript>
        <script type="module" src=assets.address("terminal.js")></script>
    }
}
