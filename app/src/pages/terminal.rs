//! `/environments/{environment}/servers/{server}/terminal`: shells on the environment's servers, side by side; this address
//! begins with one on that server. The screens need script; what to do without it is said.

use axum::extract::Path;
use axum::response::Response;
use leptos::either::Either;
use leptos::prelude::*;

use crate::api::ApiError;
use crate::components::icon;
use crate::site::{Page, Place, Visit, answer, see_other};

pub(crate) async fn terminal(visit: Visit, Path((environment, server)): Path<(String, String)>) -> Response {
    let page = compose(&visit, &environment, &server).await;
    answer(&visit, page)
}

/// The terminal of the environment's first server, for who does not know what its servers are called.
pub(crate) async fn first_terminal(visit: Visit, Path(environment): Path<String>) -> Response {
    let found = visit.portal.environment(&visit.actor, &environment).await.and_then(|detail| {
        let server = detail.servers.first().ok_or_else(|| ApiError::not_found("server of", &environment))?;
        Ok(format!("/environments/{}/servers/{}/terminal", detail.summary.name, server.name))
    });
    match found {
        Ok(address) => see_other(&address, None),
        Err(error) => answer(&visit, Err(error)),
    }
}

async fn compose(visit: &Visit, environment: &str, server: &str) -> Result<Page, ApiError> {
    let detail = visit.portal.environment(&visit.actor, environment).await?;
    let servers: Vec<String> = detail.servers.into_iter().map(|one| one.name).collect();
    if !servers.iter().any(|name| name == server) {
        return Err(ApiError::not_found("server", server));
    }
    let (server, environment) = (server.to_owned(), detail.summary.name);
    let title = format!("{server} in {environment}");
    let visit = visit.clone();
    Ok(Page::new(title, move || content(&visit, environment, server, servers)).at(Place::Environments))
}

fn content(visit: &Visit, environment: String, server: String, servers: Vec<String>) -> impl IntoView + use<> {
    let assets = &visit.settings.assets;
    let address = format!("/environments/{environment}");
    let instead = format!("bookend exec {environment}/{server} -- bash");
    let known = servers.join(" ");
    view! {
        <link rel="stylesheet" href=assets.address("xterm.css")/>
        <header class="page-header page-header--screen">
            <p class="crumbs"><a href="/environments">"Environments"</a><a href=address>{environment.clone()}</a></p>
            <h1>"Terminal on "<span id="terminal-server">{server.clone()}</span></h1>
        </header>
        <div
            id="terminals"
            class="console"
            data-environment=environment
            data-server=server
            data-servers=known
            data-shell=assets.address("shell.js")
            data-xterm=assets.address("xterm.js")
            data-fit=assets.address("xterm-addon-fit.js")
        >
            <div class="console__bar">
                <div class="console__tabs" role="tablist" aria-label="Terminals"></div>
                {another(servers)}
                <div class="console__state">
                    <p id="terminal-state" class="connection" role="status"></p>
                    <button id="terminal-again" class="button" data-kind="plain" data-size="small" type="button" hidden>
                        "Connect again"
                    </button>
                </div>
            </div>
            <div class="console__screens"></div>
            {keys()}
        </div>
        <p class="console__hint">
            "Ctrl-Shift-C copies, Ctrl-Shift-V pastes, F6 leaves the screen by keyboard. Closing this page ends no shell; closing its tab does."
        </p>
        <noscript><p>"The terminal needs script. On your own machine, this does the same: "<code>{instead}</code></p></noscript>
        <script type="module" src=assets.address("terminal.js")></script>
    }
}

/// The way to one more shell: at once where there is one server, by choosing where there are several.
fn another(mut servers: Vec<String>) -> impl IntoView {
    let plus = || icon("plus");
    if servers.len() == 1 {
        let server = servers.remove(0);
        return Either::Left(view! {
            <button class="icon-button" type="button" data-new=server aria-label="New terminal" title="New terminal">{plus()}</button>
        });
    }
    Either::Right(view! {
        <button
            class="icon-button" type="button" popovertarget="new-terminal" aria-label="New terminal" title="New terminal"
        >{plus()}</button>
        <div id="new-terminal" class="menu console__menu" popover="auto">
            <p class="menu__title">"New terminal on"</p>
            {servers.into_iter().map(|server| {
                let name = server.clone();
                view! { <button class="menu__item" type="button" data-new=server>{icon("server")}{name}</button> }
            }).collect::<Vec<_>>()}
        </div>
    })
}

/// What a phone's keyboard has not.
fn keys() -> impl IntoView {
    let key = |name: &'static str, label: &'static str, shown: &'static str| {
        view! { <button type="button" data-key=name aria-label=label>{shown}</button> }
    };
    view! {
        <div class="console__keys" role="group" aria-label="Keys">
            {key("escape", "Esc", "Esc")}
            {key("tab", "Tab", "Tab")}
            <button type="button" data-control aria-pressed="false">"Ctrl"</button>
            {key("left", "Left", "←")}
            {key("up", "Up", "↑")}
            {key("down", "Down", "↓")}
            {key("right", "Right", "→")}
        </div>
    }
}
