//! `/`: the templates on offer, found by words, category and tag. The address carries what is asked for
//! (`/?q=sql&category=Databases&tag=python&sort=newest`): it can be kept, sent, and gone back to.

mod choice;

use axum::response::Response;
use leptos::either::Either;
use leptos::prelude::*;

use crate::api::{ApiError, CatalogEntry};
use crate::components::{cover, icon};
use crate::site::{Page, Place, Visit, answer};
use crate::words::{count, sentence, usual_time};

use choice::{Choice, Chosen, Order};

/// Tags that are offered at once; the rest unfolds.
const TAGS_SHOWN: usize = 10;

pub(crate) async fn catalog(visit: Visit) -> Response {
    let page = compose(&visit).await;
    answer(&visit, page)
}

async fn compose(visit: &Visit) -> Result<Page, ApiError> {
    let catalog = visit.portal.catalog(&visit.actor).await?;
    let choice = Choice::of(&visit.query);
    Ok(Page::new("Catalog", move || content(&choice, catalog)).at(Place::Catalog))
}

fn content(choice: &Choice, catalog: Vec<CatalogEntry>) -> impl IntoView + use<> {
    let all = catalog.len();
    let chosen = choice.choose(catalog);
    let body = if all == 0 { Either::Left(empty()) } else { Either::Right(library(choice, chosen, all)) };
    view! {
        <header class="page-header">
            <h1>"Catalog"</h1>
            <p class="page-header__text">"Pick a template, order it, and use it a moment later."</p>
        </header>
        {body}
    }
}

fn library(choice: &Choice, chosen: Chosen, all: usize) -> impl IntoView + use<> {
    let shown = number(chosen.count);
    let found = match choice.is_narrowed() {
        true => format!("{shown} of {}", count(number(all), "template")),
        false => count(shown, "template"),
    };
    let pages = pager(choice, chosen.pages);
    let list = match chosen.entries.is_empty() {
        true => Either::Left(nothing(choice)),
        false => Either::Right(view! {
            <p class="found">
                <span>{found}</span>
                {choice.is_narrowed().then(|| view! { <a href="/">"Show all"</a> })}
            </p>
            <ul class="shelf" role="list">{chosen.entries.into_iter().map(book).collect::<Vec<_>>()}</ul>
            {pages}
        }),
    };
    view! {
        {search(choice)}
        <div class="narrow">
            {categories(choice, chosen.categories)}
            {tags(choice, chosen.tags)}
        </div>
        {list}
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn search(choice: &Choice) -> impl IntoView + use<> {
    let kept = [("category", choice.category.clone()), ("tag", choice.tag.clone())];
    let order = choice.order;
    view! {
        <form class="filter filter--wide" method="get" action="/" role="search">
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
    view! { <nav class="chips" aria-label="Categories">{chips.collect::<Vec<_>>()}</nav> }
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
            {name}
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
            <p class="blank__text">{text}</p>
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

/// The first of a broken file's mistakes, and how many more there are: its page has them all.
fn broken(version: &str, mistakes: &str) -> String {
    let state = match version {
        "" => "Its file is broken".to_owned(),
        version => format!("Its newest file is broken; version {version} stays on offer"),
    };
    let mut mistakes = mistakes.lines();
    let first = mistakes.next().unwrap_or_default();
    match mistakes.count() {
        0 => format!("{state}: {first}"),
        more => format!("{state}: {first}, and {more} more"),
    }
}

fn book(entry: CatalogEntry) -> impl IntoView {
    // A file that never was good says nothing of what it would be.
    let readable = !entry.version.is_empty();
    let mut size = count(entry.server_count, "server");
    if entry.volume_count > 0 {
        size = format!("{size}, {}", count(entry.volume_count, "volume"));
    }
    let usual = entry.record.as_ref().and_then(usual_time).map(|usual| sentence(&usual));
    view! {
        <li class="book">
            {cover(&entry.name, &entry.category, entry.icon.as_deref())}
            <div class="book__body">
                <p class="book__category">{entry.category.clone()}</p>
                <h2 class="book__title"><a href=format!("/catalog/{}", entry.name)>{entry.title}</a></h2>
                <p class="book__summary">{entry.summary}</p>
                {entry.unavailable.filter(|_| readable).map(|why| view! {
                    <p class="book__note" data-tone="warning">{icon("triangle-alert")}{format!("Not available here: {why}")}</p>
                })}
                {entry.broken.map(|why| view! {
                    <p class="book__note" data-tone="bad">{icon("triangle-alert")}<span>{broken(&entry.version, &why)}</span></p>
                })}
                <p class="book__facts">
                    {readable.then(|| view! { <span>{size}</span> })}
                    {usual.map(|usual| view! { <span class="book__usual">{icon("clock")}{usual}</span> })}
                    {entry.tags.into_iter().take(4).map(|tag| view! { <span class="tag">{tag}</span> }).collect::<Vec<_>>()}
                </p>
            </div>
        </li>
    }
}
