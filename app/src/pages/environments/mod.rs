//! `/environments`: mine, or everyone's; found by name, state and template, sorted, as a table or as cards. Several can be
//! ticked and asked for the same: [`many`].
//!
//! Complete without script. With it, `fresh.js` keeps the list current and `ticks.js` helps ticking.

mod asked;
mod cards;
mod many;
mod table;

use axum::http::HeaderValue;
use axum::http::header::SET_COOKIE;
use axum::response::Response;
use leptos::either::{Either, EitherOf3};
use leptos::prelude::*;

use crate::api::{Action, ApiError, EnvironmentSummary, ManyResult, Page as Listed};
use crate::components::icon;
use crate::site::{Page, Place, Visit, answer, look_chosen};
use crate::words::{action_icon, action_label, count};

use asked::{Asked, Look, SORTS, STANDINGS};
use many::many_done;
pub(crate) use many::{Ticked, confirm_many};

/// What can be asked of several at once.
pub(crate) const MANY: [Action; 4] = [Action::Park, Action::Resume, Action::Restart, Action::Delete];

pub(crate) async fn environments(visit: Visit) -> Response {
    with_results(visit, None).await
}

/// The page with what became of those just asked for something.
async fn with_results(visit: Visit, done: Option<(Action, Vec<ManyResult>)>) -> Response {
    let asked = Asked::of(&visit);
    let chosen = asked.look_is_said.then(|| look_chosen(&visit.settings, asked.look.word()));
    let page = compose(&visit, asked, done).await;
    let mut response = answer(&visit, page);
    if let Some(cookie) = chosen.and_then(|cookie| HeaderValue::try_from(cookie).ok()) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

async fn compose(visit: &Visit, asked: Asked, done: Option<(Action, Vec<ManyResult>)>) -> Result<Page, ApiError> {
    let listed = visit.portal.environments(&visit.actor, asked.query(visit)).await?;
    let visit = visit.clone();
    Ok(Page::new("Environments", move || content(&visit, &asked, listed, done)).at(Place::Environments))
}

fn content(
    visit: &Visit,
    asked: &Asked,
    listed: Listed<EnvironmentSummary>,
    done: Option<(Action, Vec<ManyResult>)>,
) -> impl IntoView + use<> {
    let current = |here: bool| here.then_some("page");
    let (mine, everyone) = (asked.address(&[("of", "")]), asked.address(&[("of", "everyone")]));
    let (fresh, ticks) = (visit.settings.assets.address("fresh.js"), visit.settings.assets.address("ticks.js"));
    view! {
        <header class="page-header">
            <div class="page-header__line">
                <h1>"Environments"</h1>
                <a class="button" data-kind="primary" href="/">{icon("plus")}"Order"</a>
            </div>
        </header>
        {done.map(|(action, results)| many_done(action, results))}
        <div class="toolbar">
            <nav class="tabs" aria-label="Whose">
                <a href=mine aria-current=current(!asked.everyone)>"Mine"</a>
                <a href=everyone aria-current=current(asked.everyone)>"Everyone’s"</a>
            </nav>
            {filter(asked)}
        </div>
        <div class="list-line">
            <p class="connection" role="status" data-fresh-standing=""></p>
            {narrowed_to(asked)}
            {looks(asked)}
        </div>
        <div data-fresh="environments">{list(visit, asked, listed)}</div>
        <script type="module" src=fresh></script>
        <script type="module" src=ticks></script>
    }
}

fn list(visit: &Visit, asked: &Asked, listed: Listed<EnvironmentSummary>) -> impl IntoView + use<> {
    if listed.items.is_empty() {
        return Either::Left(nothing(asked));
    }
    let now = Signal::stored(visit.now);
    let next = listed.next.map(|cursor| asked.address(&[("cursor", &cursor)]));
    let first = asked.cursor.is_some().then(|| asked.address(&[]));
    let tickable = listed.items.iter().filter(|one| is_theirs(visit, one)).count();
    let rows = match asked.look {
        Look::Table => Either::Left(table::table(visit, asked, now, listed.items)),
        Look::Cards => Either::Right(cards::cards(visit, asked, now, listed.items)),
    };
    Either::Right(view! {
        <form class="ticking" method="post" action=asked.here()>
            {rows}
            {(tickable > 0).then(|| ask_many(asked, tickable))}
        </form>
        {(first.is_some() || next.is_some()).then(|| view! {
            <nav class="pager" aria-label="Pages of the list">
                {first.map(|address| view! { <a class="button" data-kind="plain" href=address>{icon("chevron-left")}"First page"</a> })}
                {next.map(|address| view! { <a class="button" data-kind="plain" href=address rel="next">"Next page"{icon("chevron-right")}</a> })}
            </nav>
        })}
    })
}

/// Whether this person can ask anything of it: what they cannot they need not tick.
fn is_theirs(visit: &Visit, environment: &EnvironmentSummary) -> bool {
    visit.is_administrator() || visit.person().is_some_and(|person| person.name == environment.owner)
}

/// The box that ticks one environment.
fn tick(visit: &Visit, asked: &Asked, environment: &EnvironmentSummary) -> impl IntoView + use<> {
    let label = format!("Tick {}", environment.name);
    let (name, ticked) = (environment.name.clone(), asked.all_ticked);
    is_theirs(visit, environment).then(|| {
        view! {
            <input class="tick" type="checkbox" name="environment" value=name aria-label=label checked=ticked/>
        }
    })
}

/// Asking the same of all that are ticked; nothing happens before it is confirmed on the next page.
fn ask_many(asked: &Asked, tickable: usize) -> impl IntoView + use<> {
    let all = asked.address(&[("cursor", asked.cursor.as_deref().unwrap_or_default()), ("ticked", "all")]);
    let none = asked.here();
    let tickable = count(u32::try_from(tickable).unwrap_or(u32::MAX), "environment");
    view! {
        <fieldset class="many" data-still="">
            <legend class="visually-hidden">"With those that are ticked"</legend>
            <p class="many__count">
                <span data-ticked="" role="status">"With those that are ticked"</span>
                {if asked.all_ticked {
                    Either::Left(view! { <a href=none data-tick="none">"Tick none"</a> })
                } else {
                    Either::Right(view! { <a href=all data-tick="all">{format!("Tick all {tickable} here")}</a> })
                }}
            </p>
            <div class="many__actions">
                {MANY.into_iter().map(|action| {
                    let kind = if action == Action::Delete { "danger" } else { "plain" };
                    view! {
                        <button class="button" data-kind=kind data-size="small" type="submit" name="action" value=action.as_str()>
                            {icon(action_icon(action))}{format!("{}…", action_label(action))}
                        </button>
                    }
                }).collect::<Vec<_>>()}
            </div>
        </fieldset>
    }
}

fn looks(asked: &Asked) -> impl IntoView + use<> {
    let cursor = asked.cursor.clone().unwrap_or_default();
    let link = |look: Look, name: &'static str, picture: &'static str| {
        let address = asked.address(&[("cursor", &cursor), ("view", look.word())]);
        let current = (asked.look == look).then_some("true");
        view! { <a href=address aria-current=current aria-label=name title=name>{icon(picture)}</a> }
    };
    let (table, cards) = (link(Look::Table, "As a table", "list"), link(Look::Cards, "As cards", "layout-grid"));
    view! { <nav class="tabs looks" aria-label="How the list looks">{table}{cards}</nav> }
}

/// What the list is narrowed to that the filter's own fields do not show, each to be taken back.
fn narrowed_to(asked: &Asked) -> impl IntoView + use<> {
    let shown = [("template", "Template", &asked.template), ("provisioner", "Provisioner", &asked.provisioner)];
    let chips = shown.into_iter().filter(|(_, _, value)| !value.is_empty()).map(|(name, label, value)| {
        let (address, said) = (asked.address(&[(name, "")]), format!("{label}: {value}"));
        let back = format!("{said}. Show all");
        view! { <a class="chip" href=address aria-current="true" aria-label=back>{said}{icon("x")}</a> }
    });
    view! { <div class="chips">{chips.collect::<Vec<_>>()}</div> }
}

fn filter(asked: &Asked) -> impl IntoView + use<> {
    let standing = asked.standing.clone();
    let sort = asked.sort;
    let hidden = asked.kept().into_iter().filter(|(name, _)| matches!(*name, "of" | "template" | "provisioner"));
    view! {
        <form class="filter filter--wide" method="get" action="/environments" role="search">
            {hidden.map(|(name, value)| view! { <input type="hidden" name=name value=value/> }).collect::<Vec<_>>()}
            <label class="visually-hidden" for="search">"Part of a name or tag"</label>
            <input
                id="search" name="search" type="search" placeholder="Part of a name or tag" value=asked.search.clone()
                maxlength="100" aria-keyshortcuts="/" autocomplete="off" autocapitalize="none" spellcheck="false"
            />
            <label class="visually-hidden" for="standing">"State"</label>
            <select id="standing" name="standing" data-submits="">
                <option value="">"Any state"</option>
                {STANDINGS.into_iter().map(|(word, label, _)| view! {
                    <option value=word selected=word == standing>{label}</option>
                }).collect::<Vec<_>>()}
            </select>
            <label class="visually-hidden" for="sort">"Order"</label>
            <select id="sort" name="sort" data-submits="">
                {SORTS.into_iter().map(|(word, label, one)| view! {
                    <option value=word selected=one == sort>{label}</option>
                }).collect::<Vec<_>>()}
            </select>
            <button class="button" data-kind="plain" type="submit">{icon("search")}"Find"</button>
        </form>
    }
}

fn nothing(asked: &Asked) -> impl IntoView + use<> {
    let everyone = if asked.everyone { "/environments?of=everyone" } else { "/environments" };
    let blank = |title: &'static str, text: &'static str, address: &'static str, label: &'static str| {
        view! {
            <section class="blank">
                <span class="blank__picture">{icon("package-open")}</span>
                <h2>{title}</h2>
                <p class="blank__text">{text}</p>
                <p class="blank__actions"><a class="button" data-kind="primary" href=address>{label}</a></p>
            </section>
        }
    };
    match (asked.is_narrowed(), asked.everyone) {
        (true, _) => EitherOf3::A(blank(
            "Nothing matches",
            "No environment here is like that. Another word or another state may find it.",
            everyone,
            "Show all",
        )),
        (false, false) => EitherOf3::B(blank(
            "Nothing ordered yet",
            "Pick a template, and its servers stand here a moment later.",
            "/",
            "Open the catalog",
        )),
        (false, true) => EitherOf3::C(blank(
            "Nobody has ordered anything yet",
            "The first environment of your team could be yours.",
            "/",
            "Open the catalog",
        )),
    }
}
