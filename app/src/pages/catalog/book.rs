//! A template on the catalog's shelves: a whole book, or its spine on a small shelf.

use leptos::prelude::*;

use super::choice::{Kind, Shelf};
use crate::api::CatalogEntry;
use crate::components::{cover, icon, moment, quick_order};
use crate::words::{count, sentence, usual_time};

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

pub(super) fn book(entry: CatalogEntry) -> impl IntoView {
    // A file that never was good says nothing of what it would be.
    let readable = !entry.version.is_empty();
    let mut size = count(entry.server_count, "server");
    if entry.volume_count > 0 {
        size = format!("{size}, {}", count(entry.volume_count, "volume"));
    }
    let usual = entry.record.as_ref().and_then(usual_time).map(|usual| sentence(&usual));
    let at_once = entry.asks_nothing && entry.unavailable.is_none();
    let order = at_once.then(|| quick_order(&entry));
    view! {
        <li class="book">
            {cover(&entry.name, &entry.category, entry.icon.as_deref())}
            <div class="book__body">
                <p class="book__category" dir="auto">{entry.category}</p>
                <h3 class="book__title" dir="auto"><a href=format!("/catalog/{}", entry.name)>{entry.title}</a></h3>
                <p class="book__summary" dir="auto">{entry.summary}</p>
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
            {order}
        </li>
    }
}

pub(super) fn shelf(now: i64, shelf: Shelf) -> impl IntoView {
    let (id, title) = match shelf.kind {
        Kind::Mine => ("shelf-mine", "You ordered lately"),
        Kind::Team => ("shelf-team", "Your team ordered lately"),
        Kind::Featured => ("shelf-featured", "Featured"),
    };
    let spine = |entry: CatalogEntry| {
        let at = match shelf.kind {
            Kind::Mine => entry.ordered_by_me_at,
            Kind::Team => entry.record.as_ref().map(|record| record.last_ordered_at),
            Kind::Featured => None,
        };
        let usual = entry.record.as_ref().and_then(usual_time).map(|usual| sentence(&usual));
        let about = match at {
            Some(at) => Ok(moment(Signal::stored(now), at)),
            None => Err(usual.unwrap_or_else(|| count(entry.server_count, "server"))),
        };
        view! {
            <li class="spine">
                {cover(&entry.name, &entry.category, None)}
                <div class="spine__body">
                    <a class="spine__title" dir="auto" href=format!("/catalog/{}", entry.name)>{entry.title}</a>
                    <span class="spine__about">
                        {match about {
                            Ok(moment) => leptos::either::Either::Left(moment),
                            Err(words) => leptos::either::Either::Right(words),
                        }}
                    </span>
                </div>
            </li>
        }
    };
    view! {
        <section aria-labelledby=id>
            <h2 id=id class="shelf-title">{title}</h2>
            <ul class="spines" role="list">{shelf.entries.into_iter().map(spine).collect::<Vec<_>>()}</ul>
        </section>
    }
}
