//! `/`: the templates on offer.

use axum::response::Response;
use leptos::either::Either;
use leptos::prelude::*;

use crate::api::{ApiError, CatalogEntry};
use crate::components::{cover, icon};
use crate::site::{Page, Place, Visit, answer};
use crate::words::count;

pub(crate) async fn catalog(visit: Visit) -> Response {
    let page = compose(&visit).await;
    answer(&visit, page)
}

async fn compose(visit: &Visit) -> Result<Page, ApiError> {
    let entries = visit.portal.catalog(&visit.actor).await?;
    Ok(Page::new("Catalog", move || content(entries)).at(Place::Catalog))
}

fn content(entries: Vec<CatalogEntry>) -> impl IntoView {
    view! {
        <header class="page-header">
            <h1>"Catalog"</h1>
            <p class="page-header__text">"Pick a template, order it, and use it a moment later."</p>
        </header>
        {if entries.is_empty() { Either::Left(empty()) } else { Either::Right(shelf(entries)) }}
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

/// All books, those of one category side by side.
fn shelf(mut entries: Vec<CatalogEntry>) -> impl IntoView {
    entries.sort_by(|one, other| (&one.category, &one.title).cmp(&(&other.category, &other.title)));
    view! { <ul class="shelf" role="list">{entries.into_iter().map(book).collect::<Vec<_>>()}</ul> }
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
                    {entry.tags.into_iter().take(4).map(|tag| view! { <span class="tag">{tag}</span> }).collect::<Vec<_>>()}
                </p>
            </div>
        </li>
    }
}
