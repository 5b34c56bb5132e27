//! `/environments/{environment}/logs?server=…&search=…&level=…`: the last lines asked for, then new ones as they come. With
//! `before=…`, earlier ones.

use std::collections::BTreeMap;

use axum::extract::Path;
use axum::response::Response;
use form_urlencoded::Serializer;
use leptos::either::Either;
use leptos::prelude::*;

use crate::api::{ApiError, Level, LogLine, LogSelection, earlier_than};
use crate::components::{icon, log_line};
use crate::islands::{LOG_LINES, LogFollower};
use crate::site::{Page, Place, Visit, answer};

/// Lines on the page before any script runs.
const LINES: u32 = 400;
/// Of lines that come at once, as many as somebody could read.
const MOST_AT_ONCE: u32 = 120;

const LEVELS: [(Option<Level>, &str); 4] = [
    (None, "All lines"),
    (Some(Level::Error), "Errors"),
    (Some(Level::Warn), "Warnings and errors"),
    (Some(Level::Info), "All but details"),
];

pub(crate) async fn logs(visit: Visit, Path(environment): Path<String>) -> Response {
    let page = compose(&visit, &environment).await;
    answer(&visit, page)
}

/// What the page shows.
struct Shown {
    environment: String,
    servers: Vec<String>,
    of: LogSelection,
    lines: Vec<LogLine>,
    /// There may be more before these.
    more: bool,
}

async fn compose(visit: &Visit, environment: &str) -> Result<Page, ApiError> {
    let asked = |name: &str| visit.query.get(name).filter(|value| !value.is_empty()).cloned();
    let level =
        LEVELS.iter().filter_map(|(level, _)| *level).find(|level| asked("level").as_deref() == Some(level.as_str()));
    let (server, search, before) = (asked("server"), asked("search"), asked("before"));
    let of = LogSelection { server, search, level, since: None, before };
    let detail = visit.portal.environment(&visit.actor, environment).await?;
    let environment = detail.summary.name;
    let lines = visit.portal.logs(&visit.actor, &environment, &of, LINES).await?;
    let servers = detail.servers.into_iter().map(|server| server.name).collect();
    let title = match &of.server {
        Some(server) => format!("Logs of {server} in {environment}"),
        None => format!("Logs of {environment}"),
    };
    let heading = title.clone();
    let more = lines.len() == LINES as usize;
    let shown = Shown { environment, servers, of, lines, more };
    Ok(Page::new(title, move || content(heading, shown)).at(Place::Environments))
}

fn content(heading: String, shown: Shown) -> impl IntoView {
    let Shown { environment, servers, of, lines, more } = shown;
    let home = format!("/environments/{environment}");
    let page = format!("{home}/logs");
    let to = {
        let page = page.clone();
        move |of: &LogSelection| format!("{page}{}", question(of, of.before.as_deref()))
    };
    let tabs: Vec<_> = servers
        .into_iter()
        .map(|server| {
            let current = (of.server.as_ref() == Some(&server)).then_some("page");
            let address = to(&LogSelection { server: Some(server.clone()), before: None, ..of.clone() });
            view! { <a href=address aria-current=current>{server}</a> }
        })
        .collect();
    let all = to(&LogSelection { server: None, before: None, ..of.clone() });
    let everything = of.server.is_none().then_some("page");
    let earlier =
        earlier_than(&lines).filter(|_| more).map(|before| to(&LogSelection { before: Some(before), ..of.clone() }));
    let newest = to(&LogSelection { before: None, ..of.clone() });
    let download = format!("/api/v1/environments/{environment}/logs/download{}", question(&of, None));
    let search = of.search.clone().unwrap_or_default();
    let (nothing, crumb) = (lines.is_empty().then(|| nothing(&of, page.clone())), environment.clone());
    let newest_shown: BTreeMap<_, _> = lines.iter().map(|line| (line.server.clone(), line.position.clone())).collect();
    let follow = match of.before {
        Some(_) => Either::Left(view! { <p class="log-tools"><a href=newest>"To the newest lines"</a></p> }),
        None => {
            let more = question(&of, None).replacen('?', "&", 1);
            let address =
                format!("/api/v1/environments/{environment}/logs?follow=true&most_at_once={MOST_AT_ONCE}{more}");
            Either::Right(view! { <LogFollower address=address search=search.clone() shown=newest_shown/> })
        }
    };
    view! {
        <header class="page-header page-header--screen">
            <p class="crumbs"><a href="/environments">"Environments"</a><a href=home>{crumb}</a></p>
            <h1>{heading}</h1>
        </header>
        <div class="toolbar">
            <nav class="tabs" aria-label="Server"><a href=all aria-current=everything>"All"</a>{tabs}</nav>
            {follow}
        </div>
        <div class="toolbar">
            {filter(page, &of)}
            <a class="button" data-kind="plain" href=download download>{icon("download")}"Download"</a>
        </div>
        {nothing}
        <div id=LOG_LINES class="log" role="log" tabindex="0" aria-label="Log lines">
            {earlier.map(|earlier| view! { <p class="log__earlier"><a href=earlier>"Earlier lines"</a></p> })}
            {lines.into_iter().map(|line| log_line(line, &search)).collect::<Vec<_>>()}
        </div>
    }
}

/// The query that asks for these lines.
fn question(of: &LogSelection, before: Option<&str>) -> String {
    let mut query = Serializer::new(String::from("?"));
    let level = of.level.map(Level::as_str);
    for (name, value) in
        [("server", of.server.as_deref()), ("search", of.search.as_deref()), ("level", level), ("before", before)]
    {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    if query == "?" { String::new() } else { query }
}

fn filter(page: String, of: &LogSelection) -> impl IntoView + use<> {
    let chosen = of.level;
    view! {
        <form class="filter" method="get" action=page role="search">
            {of.server.clone().map(|server| view! { <input type="hidden" name="server" value=server/> })}
            <input
                type="search" name="search" value=of.search.clone() maxlength="200" aria-label="Search in these lines"
                placeholder="Search in these lines" autocomplete="off"
            />
            <select name="level" aria-label="Level" data-submits="">
                {LEVELS.map(|(level, label)| view! {
                    <option value=level.map_or("", Level::as_str) selected=level == chosen>{label}</option>
                }).into_iter().collect::<Vec<_>>()}
            </select>
            <button class="button" data-kind="plain" type="submit">{icon("search")}"Search"</button>
        </form>
    }
}

fn nothing(of: &LogSelection, page: String) -> impl IntoView + use<> {
    let filtered = of.search.is_some() || of.level.is_some() || of.before.is_some();
    view! {
        <p class="log-empty">
            {match filtered {
                true => Either::Left(view! { "No stored line is like that. "<a href=page>"Show all lines"</a> }),
                false => Either::Right("No lines yet. They appear here as the servers write them."),
            }}
        </p>
    }
}
