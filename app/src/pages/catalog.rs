//! `/`: the templates on offer, found by words, category and tag. The address carries what is asked for
//! (`/?q=sql&category=Databases&tag=python&sort=newest`): it can be kept, sent, and gone back to. `catalog.js` asks for that
//! same address while somebody types and puts its `#results` in place of the ones that are there.

mod book;
mod choice;

use axum::response::Response;
use leptos::either::Either;
use leptos::prelude::*;

use crate::api::{ApiError, CatalogEntry};
use crate::components::icon;
use crate::site::{Page, Place, Visit, answer};
use crate::words::count;

use book::{book, shelf};
use choice::{Choice, Chosen, Order, Shelf};

/// Tags that are offered at once; the rest unfolds.
const TAGS_SHOWN: usize = 10;

pub(crate) async fn catalog(visit: Visit) -> Response {
    let page = compose(&visit).await;
    answer(&visit, page)
}

async fn compose(visit: &Visit) -> Result<Page, ApiError> {
    let catalog = visit.portal.catalog(&visit.actor).await?;
    let choice = Choice::of(&visit.query);
    let visit = visit.clone();
    Ok(Page::new("Catalog", move || content(&visit, &choice, &catalog)).at(Place::Catalog))
}

fn content(visit: &Visit, choice: &Choice, catalog: &[CatalogEntry]) -> impl IntoView + use<> {
    let all = catalog.len();
    let shelves = choice.shelves(catalog);
    let chosen = choice.choose(catalog);
    let body = if all == 0 {
        Either::Left(empty())
    } else {
        Either::Right(view! {
            {search(choice)}
            <p id="search-state" class="search-state" role="status"></p>
            {results(visit.now, choice, shelves, chosen, all)}
            <script type="module" src=visit.settings.assets.address("catalog.js")></script>
        })
    };
    view! {
        <header class="page-header">
            <h1>"Catalog"</h1>
            <p class="page-header__text">"Pick a template, order it, and use it a moment later."</p>
        </header>
        {body}
    }
}

/// Everything that depends on what is looked for; `data-says` is what a screen reader is told when it changes.
fn results(now: i64, choice: &Choice, shelves: Vec<Shelf>, chosen: Chosen, all: usize) -> impl IntoView + use<> {
    let shown = number(chosen.count);
    let found = match choice.is_narrowed() {
        true => format!("{shown} of {}", count(number(all), "template")),
        false => count(shown, "template"),
    };
    let says = if chosen.entries.is_empty() { "No template matches".to_owned() } else { format!("{found} found") };
    let pages = pager(choice, chosen.pages);
    let title = if shelves.is_empty() { "visually-hidden" } else { "shelf-title" };
    let list = match chosen.entries.is_empty() {
        true => Either::Left(nothing(choice)),
        false => Either::Right(view! {
            <h2 class=title>{if choice.is_narrowed() { "Found" } else { "All templates" }}</h2>
            <p class="found">
                <span>{found}</span>
                {choice.is_narrowed().then(|| view! { <a href="/">"Show all"</a> })}
            </p>
            <ul class="shelf" role="list">{chosen.entries.into_iter().map(book).collect::<Vec<_>>()}</ul>
            {pages}
        }),
    };
    let shelves = (!shelves.is_empty()).then(|| {
        view! { <div class="shelves">{shelves.into_iter().map(|one| shelf(now, one)).collect::<Vec<_>>()}</div> }
    });
    view! {
        <div id="results" data-says=says>
            <div class="narrow">
                {categories(choice, chosen.categories)}
                {tags(choice, chosen.tags)}
            </div>
            {shelves}
            {list}
        </div>
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn search(choice: &Choice) -> impl IntoView + use<> {
    let kept = [("category", choice.category.clone()), ("tag", choice.tag.clone())];
    let order = choice.order;
    view! {
        <form id="find" class="filter filter--wide" method="get" action="/" role="search">
            {kept.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| view! {
                <input type="hidden" name=name value=value/>
            }).collect::<Vec<_>>()}
            <label class="visually-hidden" for="search">"Words to look for"</label>
            <input
                id="search" name="q" type="search" value=choice.search.clone() maxlength="100" aria-keyshortcuts="/"
                placeholder="Title, tag, software, maintainer…" autocomplete="off" autocapitalize="none" spellcheck="false"
            />
            <label class="visually-hidden" for="sort">"Order"</label>
            <select id="sort" name="sort" data-submits="">
                {Order::ALL.into_iter().map(|one| view! {
                    <option value=one.word() selected=one == order>{one.label()}</option>
                }).collect::<Vec<_>>()}
            </select>
            <button class="button" data-kind="plain" type="submit">{icon("search")}"Find"</button>
        </form>
    }
}

fn categories(choice: &Choice, categories: Vec<(String, usize)>) -> impl IntoView + use<> {
    let chips = categories.into_iter().map(|(name, count)| {
        let address = choice.with_category(&name).address();
        chip(address, name == choice.category, name, count)
    });
    let chips: Vec<_> = chips.collect();
    (!chips.is_empty()).then(|| view! { <nav class="chips" aria-label="Categories">{chips}</nav> })
}

fn tags(choice: &Choice, tags: Vec<(String, usize)>) -> impl IntoView + use<> {
    let mut chips: Vec<_> = tags
        .into_iter()
        .map(|(name, count)| (name == choice.tag, name, count))
        .map(|(is_chosen, name, count)| {
            (is_chosen, chip(choice.with_tag(&name).address(), is_chosen, format!("#{name}"), count))
        })
        .collect();
    // The chosen one is never folded away.
    chips.sort_by_key(|(is_chosen, _)| !is_chosen);
    let mut chips: Vec<_> = chips.into_iter().map(|(_, chip)| chip).collect();
    let folded = chips.split_off(chips.len().min(TAGS_SHOWN));
    (!chips.is_empty()).then(|| {
        view! {
            <nav class="chips" data-kind="tags" aria-label="Tags">
                {chips}
                {(!folded.is_empty()).then(|| view! {
                    <details class="chips__more">
                        <summary>{format!("{} more", folded.len())}</summary>
                        <div class="chips">{folded}</div>
                    </details>
                })}
            </nav>
        }
    })
}

/// A link that narrows the catalog, or takes that back.
fn chip(address: String, is_chosen: bool, name: String, count: usize) -> impl IntoView + use<> {
    view! {
        <a class="chip" href=address aria-current=is_chosen.then_some("true")>
            <bdi>{name}</bdi>
            {if is_chosen {
                Either::Left(view! { {icon("x")}<span class="visually-hidden">" (chosen; show all again)"</span> })
            } else {
                Either::Right(view! { <span class="chip__count">{count}</span> })
            }}
        </a>
    }
}

fn pager(choice: &Choice, pages: usize) -> Option<impl IntoView + use<>> {
    let here = choice.page.min(pages);
    let to = |page: usize| choice.with_page(page).address();
    let previous = (here > 1).then(|| to(here - 1));
    let next = (here < pages).then(|| to(here + 1));
    (pages > 1).then(|| {
        view! {
            <nav class="pager" aria-label="Pages of the catalog">
                {previous.map(|address| view! { <a class="button" data-kind="plain" rel="prev" href=address>{icon("chevron-left")}"Previous"</a> })}
                <span class="pager__here">{format!("Page {here} of {pages}")}</span>
                {next.map(|address| view! { <a class="button" data-kind="plain" rel="next" href=address>"Next"{icon("chevron-right")}</a> })}
            </nav>
        }
    })
}

fn nothing(choice: &Choice) -> impl IntoView + use<> {
    let mut asked: Vec<String> = Vec::new();
    if !choice.search.is_empty() {
        asked.push(format!("says “{}”", choice.search));
    }
    if !choice.category.is_empty() {
        asked.push(format!("is among “{}”", choice.category));
    }
    if !choice.tag.is_empty() {
        asked.push(format!("has the tag “{}”", choice.tag));
    }
    let text = format!("No template {}. Try other words, or fewer.", asked.join(" and "));
    view! {
        <section class="blank">
            <span class="blank__picture">{icon("search")}</span>
            <h2>"Not on these shelves"</h2>
            <p class="blank__text" dir="auto">{text}</p>
            <p class="blank__actions"><a class="button" data-kind="primary" href="/">"Show all templates"</a></p>
        </section>
    }
}

fn empty() -> impl IntoView {
    view! {
        <section class="blank">
            <span class="blank__picture">{icon("library")}</span>
            <h2>"The shelves are empty"</h2>
            <p class="blank__text">
                "Templates are YAML files in the portal's template folder. Put one there and it appears here."
            </p>
        </section>
    }
}
