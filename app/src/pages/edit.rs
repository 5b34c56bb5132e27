//! `/environments/{environment}/edit`: its name, its tags, what to know about it.

use axum::extract::Path;
use axum::response::Response;
use leptos::prelude::*;

use crate::api::{ApiError, EnvironmentDetail};
use crate::components::{field, notice, within_textarea};
use crate::site::{Page, Place, Visit, answer};
use crate::words::Tone;

pub(crate) async fn edit(visit: Visit, Path(environment): Path<String>) -> Response {
    let page = compose(&visit, &environment).await;
    answer(&visit, page)
}

async fn compose(visit: &Visit, environment: &str) -> Result<Page, ApiError> {
    let detail = visit.portal.environment(&visit.actor, environment).await?;
    if detail.actions.is_empty() {
        let title = format!("“{}” cannot be changed by you", detail.summary.name);
        return Err(ApiError::forbidden(title).with_detail("Only its owner and administrators can do this."));
    }
    let visit = visit.clone();
    let title = format!("Name, tags and note of {}", detail.summary.name);
    Ok(Page::new(title, move || content(&visit, detail)).at(Place::Environments))
}

fn content(visit: &Visit, detail: EnvironmentDetail) -> impl IntoView + use<> {
    let (name, note, tags) = (detail.summary.name, detail.note, detail.summary.tags.join(", "));
    let (back, cancel) = (format!("/environments/{name}"), format!("/environments/{name}"));
    let change = format!("/catalog/{}?from={name}&change={name}", detail.summary.template);
    let values = format!("{change}&version={}", detail.summary.template_version);
    let newest = change;
    let address = format!("/environments/{}/edit", detail.summary.id);
    let error = visit.posted.as_ref().map(|posted| posted.error.clone()).filter(|error| error.fields.is_empty());
    // What was typed and refused; else as it is.
    let shown = |field: &str, now: &str| match &visit.posted {
        Some(posted) => posted.fields.get(field).cloned().unwrap_or_default(),
        None => now.to_owned(),
    };
    let was = |field: &str, now: &str| shown(&format!("was_{field}"), now);
    view! {
        <header class="page-header">
            <p class="crumbs"><a href="/environments">"Environments"</a><a href=back>{name.clone()}</a></p>
            <h1>"Name, tags and note"</h1>
        </header>
        {error.map(|error| notice(Tone::Bad, error.title, error.detail))}
        <p><a href=values>"Change its values or size"</a>" · "<a href=newest>"Change it to the newest version"</a></p>
        <form class="form card edit" method="post" action=address>
            <input type="hidden" name="was_name" value=was("name", &name)/>
            <input type="hidden" name="was_tags" value=was("tags", &tags)/>
            <input type="hidden" name="was_note" value=was("note", &note)/>
            {field(
                "name",
                "Name",
                Some("Lower-case letters, digits and hyphens. The addresses of this page and of its apps change with it; links to \
                    the old ones end. Programs in its servers keep the name it was ordered with."),
                visit.message("name"),
                view! {
                    <input
                        id="name" name="name" type="text" value=shown("name", &name) required maxlength="40"
                        pattern="[a-z]([a-z0-9\\-]*[a-z0-9])?" autocomplete="off" autocapitalize="none" spellcheck="false"
                        aria-describedby="name-note"
                    />
                },
            )}
            {field(
                "tags",
                "Tags",
                Some("Up to 10 words, separated by spaces or commas: letters, digits and - _ . : /. Everybody in the team finds it \
                    by them."),
                visit.message("tags"),
                view! {
                    <input
                        id="tags" name="tags" type="text" dir="auto" value=shown("tags", &tags) maxlength="420" autocomplete="off"
                        autocapitalize="none" spellcheck="false" aria-describedby="tags-note"
                    />
                },
            )}
            {field(
                "note",
                "Note",
                Some("What others should know, at most 4,000 characters. Markdown makes lists and links."),
                visit.message("note"),
                view! {
                    <textarea id="note" name="note" rows="8" dir="auto" maxlength="4000" aria-describedby="note-note">
                        {within_textarea(&shown("note", &note))}
                    </textarea>
                },
            )}
            <p class="edit__buttons">
                <button class="button" data-kind="primary" type="submit">"Save"</button>
                <a class="button" data-kind="plain" href=cancel>"Cancel"</a>
            </p>
        </form>
    }
}
