//! The template's versions, newest first, each with what changed since the one before.

use leptos::prelude::*;

use crate::api::{TemplateDetail, TemplateVersion};
use crate::components::{icon, moment};
use crate::words::count;

/// Versions that stand open; the older ones unfold.
const OPEN: usize = 3;
/// Changes of a version that are told at once.
const TOLD: usize = 6;

pub(super) fn versions(now: Signal<i64>, template: &TemplateDetail) -> impl IntoView + use<> {
    let (name, shown) = (&template.entry.name, &template.entry.version);
    let mut all: Vec<_> =
        template.versions.iter().map(|one| version(now, name, shown == &one.version, one.clone())).collect();
    let older = all.split_off(all.len().min(OPEN));
    let label = count(u32::try_from(older.len()).unwrap_or(u32::MAX), "older version");
    view! {
        <section aria-labelledby="versions">
            <h2 id="versions">"Versions"</h2>
            <ol class="versions" role="list">{all}</ol>
            {(!older.is_empty()).then(|| view! {
                <details class="versions__older">
                    <summary>{label}</summary>
                    <ol class="versions" role="list">{older}</ol>
                </details>
            })}
        </section>
    }
}

fn version(now: Signal<i64>, template: &str, is_shown: bool, version: TemplateVersion) -> impl IntoView + use<> {
    let query: String = form_urlencoded::byte_serialize(version.version.as_bytes()).collect();
    let address = format!("/catalog/{template}?version={query}");
    let mut changes: Vec<_> =
        version.changes.into_iter().map(|change| view! { <li dir="auto">{change}</li> }).collect();
    let more = changes.split_off(changes.len().min(TOLD));
    view! {
        <li class="version" data-shown=is_shown.then_some("")>
            <p class="version__head">
                {icon("tag")}
                <a class="facts__name" href=address aria-current=is_shown.then_some("true")>{version.version}</a>
                <span class="facts__more">{moment(now, version.created_at)}</span>
                {is_shown.then(|| view! { <span class="tag">"shown here"</span> })}
            </p>
            {version.note.map(|note| view! { <p class="version__note" dir="auto">{note}</p> })}
            {(!changes.is_empty()).then(|| view! { <ul class="version__changes">{changes}</ul> })}
            {(!more.is_empty()).then(|| view! {
                <details class="version__more">
                    <summary>{format!("{} more changes", more.len())}</summary>
                    <ul class="version__changes">{more}</ul>
                </details>
            })}
        </li>
    }
}
