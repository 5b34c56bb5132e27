//! `/environments`: mine, or everyone's; found by name and state.

use axum::response::Response;
use leptos::either::Either;
use leptos::prelude::*;

use crate::api::{ApiError, EnvironmentQuery, EnvironmentSummary, Page as Listed};
use crate::components::icon;
use crate::islands::EnvironmentListLive;
use crate::site::{Page, Place, Visit, answer};

/// What people look for, and the states it means.
const STANDINGS: [(&str, &str, &str); 4] = [
    ("ready", "Ready", "ready,repairing"),
    ("busy", "On its way", "ordered,preparing,starting,setting_up,checking,parking,deleting"),
    ("parked", "Parked", "parked"),
    ("failed", "Failed", "failed"),
];

pub(crate) async fn environments(visit: Visit) -> Response {
    let page = compose(&visit).await;
    answer(&visit, page)
}

async fn compose(visit: &Visit) -> Result<Page, ApiError> {
    let asked = Asked::of(visit);
    let query = asked.query(visit);
    let again = rest_address(&query);
    let listed = visit.portal.environments(&visit.actor, query).await?;
    let now = visit.now;
    Ok(Page::new("Environments", move || content(asked, again, listed, now)).at(Place::Environments))
}

/// The page's own address, understood.
struct Asked {
    everyone: bool,
    search: String,
    standing: String,
    cursor: Option<String>,
}

impl Asked {
    fn of(visit: &Visit) -> Self {
        let value = |name: &str| visit.query.get(name).filter(|value| !value.is_empty()).cloned();
        Self {
            everyone: value("of").as_deref() == Some("everyone"),
            search: value("search").unwrap_or_default(),
            standing: value("standing").unwrap_or_default(),
            cursor: value("cursor"),
        }
    }
    fn query(&self, visit: &Visit) -> EnvironmentQuery {
        let states =
            STANDINGS.iter().find(|(word, _, _)| *word == self.standing).map(|(_, _, states)| states.to_string());
        EnvironmentQuery {
            search: (!self.search.is_empty()).then(|| self.search.clone()),
            state: states,
            owner: visit.person().filter(|_| !self.everyone).map(|person| person.name.clone()),
            cursor: self.cursor.clone(),
            limit: None,
        }
    }
    fn is_narrowed(&self) -> bool {
        !self.search.is_empty() || !self.standing.is_empty() || self.cursor.is_some()
    }
    /// This page's address with another cursor.
    fn address(&self, cursor: Option<&str>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if self.everyone {
            query.append_pair("of", "everyone");
        }
        for (name, value) in
            [("search", self.search.as_str()), ("standing", &self.standing), ("cursor", cursor.unwrap_or_default())]
        {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        format!("/environments?{}", query.finish())
    }
}

/// Where the REST API answers this query.
fn rest_address(query: &EnvironmentQuery) -> String {
    let limit = query.limit.map(|limit| limit.to_string());
    let mut address = form_urlencoded::Serializer::new("/api/v1/environments?".to_owned());
    for (name, value) in [
        ("search", &query.search),
        ("state", &query.state),
        ("owner", &query.owner),
        ("cursor", &query.cursor),
        ("limit", &limit),
    ] {
        address.extend_pairs(value.iter().map(|value| (name, value)));
    }
    address.finish()
}

fn content(asked: Asked, again: String, listed: Listed<EnvironmentSummary>, now: i64) -> impl IntoView {
    let current = |here: bool| here.then_some("page");
    let tabs = view! {
        <nav class="tabs" aria-label="Whose">
            <a href="/environments" aria-current=current(!asked.everyone)>"Mine"</a>
            <a href="/environments?of=everyone" aria-current=current(asked.everyone)>"Everyone’s"</a>
        </nav>
    };
    let next = listed.next.clone().map(|cursor| asked.address(Some(&cursor)));
    let first = asked.cursor.is_some().then(|| asked.address(None));
    let list = if listed.items.is_empty() {
        Either::Left(nothing(&asked))
    } else {
        Either::Right(view! { <EnvironmentListLive initial=listed address=again now=now/> })
    };
    view! {
        <header class="page-header">
            <div class="page-header__line">
                <h1>"Environments"</h1>
                <a class="button" data-kind="primary" href="/">{icon("plus")}"Order"</a>
            </div>
        </header>
        <div class="toolbar">
            {tabs}
            {filter(&asked)}
        </div>
        {list}
        {(first.is_some() || next.is_some()).then(|| view! {
            <nav class="pager" aria-label="Pages of the list">
                {first.map(|address| view! { <a class="button" data-kind="plain" href=address>{icon("chevron-left")}"First page"</a> })}
                {next.map(|address| view! { <a class="button" data-kind="plain" href=address>"Next page"{icon("chevron-right")}</a> })}
            </nav>
        })}
    }
}

fn filter(asked: &Asked) -> impl IntoView + use<> {
    let standing = asked.standing.clone();
    view! {
        <form class="filter" method="get" action="/environments" role="search">
            {asked.everyone.then(|| view! { <input type="hidden" name="of" value="everyone"/> })}
            <label class="visually-hidden" for="search">"Part of a name or tag"</label>
            <input id="search" name="search" type="search" placeholder="Part of a name or tag" value=asked.search.clone() maxlength="100"/>
            <label class="visually-hidden" for="standing">"State"</label>
            <select id="standing" name="standing" data-submits="">
                <option value="">"Any state"</option>
                {STANDINGS.into_iter().map(|(word, label, _)| view! {
                    <option value=word selected=word == standing>{label}</option>
                }).collect::<Vec<_>>()}
            </select>
            <button class="button" data-kind="plain" type="submit">{icon("search")}"Find"</button>
        </form>
    }
}

fn nothing(asked: &Asked) -> impl IntoView + use<> {
    let (title, text, address, label) = if asked.is_narrowed() {
        let all = if asked.everyone { "/environments?of=everyone" } else { "/environments" };
        ("Nothing matches", "No environment here has such a name and state.", all, "Show all")
    } else {
        ("Nothing ordered yet", "Pick a template, and its servers stand here a moment later.", "/", "Open the catalog")
    };
    view! {
        <section class="blank">
            <span class="blank__picture">{icon("package-open")}</span>
            <h2>{title}</h2>
            <p class="blank__text">{text}</p>
            <p class="blank__actions"><a class="button" data-kind="primary" href=address>{label}</a></p>
        </section>
    }
}
