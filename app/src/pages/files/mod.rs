//! `/environments/{environment}/files` and `/environments/{environment}/files/{volume}?path=…&snapshot=…&after=…`: what volumes
//! hold, now or in a snapshot, folder by folder. Links in them are shown and never followed; files are saved, never shown: whoever
//! had a shell in a volume wrote them.

mod rows;

use axum::extract::Path;
use axum::response::Response;
use form_urlencoded::Serializer;
use leptos::either::Either;
use leptos::prelude::*;

use crate::api::{
    ApiError, EnvironmentDetail, FileListing, FilePlace, FileView, SnapshotState, SnapshotView, State, Work, folder_of,
    path_bytes, path_text, shown_name,
};
use crate::components::{icon, notice, progress};
use crate::portal::Live;
use crate::site::{Page, Place, Visit, answer, answer_later, exact, later, see_other};
use crate::words::{Tone, bytes, count};

/// Names on one page.
const PAGE: u32 = 200;

/// The address of a folder's page; what is empty is left out.
pub(crate) fn address(environment: &str, volume: &str, query: &[(&str, &str)]) -> String {
    let coded: String = form_urlencoded::byte_serialize(volume.as_bytes()).collect();
    let mut asked = Serializer::new(String::new());
    query.iter().filter(|(_, value)| !value.is_empty()).for_each(|(name, value)| {
        asked.append_pair(name, value);
    });
    let (path, query) = (format!("/environments/{environment}/files/{coded}"), asked.finish());
    if query.is_empty() { path } else { format!("{path}?{query}") }
}

/// One volume leads to its files; of several one is chosen.
pub(crate) async fn volumes(visit: Visit, Path(environment): Path<String>) -> Response {
    match choose(&visit, &environment).await {
        Ok(Either::Left(address)) => see_other(&address, None),
        Ok(Either::Right(page)) => answer(&visit, Ok(page)),
        Err(error) => answer(&visit, Err(error)),
    }
}

async fn choose(visit: &Visit, environment: &str) -> Result<Either<String, Page>, ApiError> {
    let detail = visit.portal.environment(&visit.actor, environment).await?;
    let own = own_name(&detail);
    let snapshot = visit.query.get("snapshot").cloned().unwrap_or_default();
    let names: Vec<String> = match snapshot.as_str() {
        "" => detail.volumes.iter().map(|volume| volume.name.clone()).collect(),
        snapshot => {
            let all = visit.portal.snapshots(&visit.actor, &detail.summary.id).await?;
            let found = all.into_iter().find(|one| one.id == snapshot);
            let found = found.ok_or_else(|| ApiError::not_found("snapshot", snapshot))?;
            found.volumes.into_iter().map(|volume| volume.name).collect()
        }
    };
    if let [only] = names.as_slice() {
        return Ok(Either::Left(address(&own, only, &[("snapshot", &snapshot)])));
    }
    let title = format!("Files of {}", detail.summary.name);
    let content = move || {
        let items: Vec<_> = names
            .into_iter()
            .map(|name| {
                let href = address(&own, &name, &[("snapshot", &snapshot)]);
                view! { <li class="list__item"><p class="list__name">{icon("hard-drive")}<a href=href>{name}</a></p></li> }
            })
            .collect();
        let list = match items.is_empty() {
            true => Either::Left(view! {
                <p class="card__text">"It has no volumes: servers are disposable, and nothing of them is kept."</p>
            }),
            false => Either::Right(view! { <ul class="list" role="list">{items}</ul> }),
        };
        view! {
            <header class="page-header">
                {crumbs(&detail, &own)}
                <h1>"Files"</h1>
                <p class="page-header__text">"Each of its volumes is a tree of files of its own."</p>
            </header>
            <section class="card" aria-label="Volumes">{list}</section>
        }
    };
    Ok(Either::Right(Page::new(title, content).at(Place::Environments)))
}

pub(crate) async fn files(visit: Visit, Path((environment, volume)): Path<(String, String)>) -> Response {
    let page = compose(&visit, &environment, volume).await;
    answer(&visit, page)
}

/// What a folder's page shows.
struct Shown {
    detail: EnvironmentDetail,
    own: String,
    snapshots: Vec<SnapshotView>,
    listing: FileListing,
    /// Not the first page.
    later: bool,
    /// Files may be put into it, or brought back to it.
    open: bool,
}

async fn compose(visit: &Visit, environment: &str, volume: String) -> Result<Page, ApiError> {
    let asked = |name: &str| {
        let posted = visit.posted.as_ref().and_then(|posted| posted.fields.get(name));
        posted.or_else(|| visit.query.get(name)).filter(|value| !value.is_empty()).cloned()
    };
    let detail = visit.portal.environment(&visit.actor, environment).await?;
    let id = detail.summary.id.clone();
    let place = FilePlace { volume, snapshot: asked("snapshot"), path: asked("path").unwrap_or_default() };
    let after = asked("after");
    let listing = visit.portal.files(&visit.actor, &id, &place, after.as_deref(), PAGE).await?;
    let snapshots = visit.portal.snapshots(&visit.actor, &id).await?;
    let open = !matches!(detail.summary.state, State::Deleting | State::Deleted);
    let own = own_name(&detail);
    let title = format!("Files of {} in {}", place.volume, detail.summary.name);
    let shown = Shown { detail, own, snapshots, listing, later: after.is_some(), open };
    let visit = visit.clone();
    Ok(Page::new(title, move || content(&visit, shown)).at(Place::Environments))
}

fn content(visit: &Visit, shown: Shown) -> impl IntoView + use<> {
    let now = Signal::stored(visit.now);
    let Shown { detail, own, snapshots, listing, later, open } = shown;
    let error = visit.posted.as_ref().map(|posted| posted.error.clone());
    let done = visit.query.get("done").filter(|_| visit.posted.is_none()).and_then(|what| {
        let name = visit.query.get("name").cloned().unwrap_or_default();
        Some(match what.as_str() {
            "upload" => format!("{name} is uploaded"),
            "restore" => format!("{name} is back"),
            _ => return None,
        })
    });
    let (volume, path) = (listing.volume.clone(), listing.path.clone());
    let snapshot = listing.snapshot.clone().unwrap_or_default();
    let here = address(&own, &volume, &[]);
    let content = format!("/api/v1/environments/{}/volumes/{}/content", detail.summary.id, coded(&volume));
    let whole = query(&content, &[("path", &path), ("snapshot", &snapshot)]);
    let uploads = open && snapshot.is_empty();
    let more = listing
        .next
        .clone()
        .map(|next| address(&own, &volume, &[("path", &path), ("snapshot", &snapshot), ("after", &next)]));
    let first = later.then(|| address(&own, &volume, &[("path", &path), ("snapshot", &snapshot)]));
    let chosen = snapshots.iter().find(|one| one.id == snapshot);
    let moment = match chosen {
        None => "As it is now.".to_owned(),
        Some(one) => format!("As it was at {}.", exact(one.taken_at.unwrap_or(one.requested_at))),
    };
    let empty = listing.entries.is_empty() && !later;
    let entries = count(u32::try_from(listing.entries.len()).unwrap_or(u32::MAX), "name");
    let rows = rows::rows(now, &rows::Around { own: &own, content: &content, open }, &listing);
    view! {
        <header class="page-header">
            {crumbs(&detail, &own)}
            <h1>"Files"</h1>
            <p class="page-header__text">{moment}" Links are shown and never followed."</p>
        </header>
        {error.map(|error| notice(Tone::Bad, error.title, error.detail))}
        {done.map(|title| notice(Tone::Good, title, None))}
        {chooser(&here, &path, &snapshot, &snapshots)}
        <section class="card files" aria-label="Files">
            <div class="files__head">
                {parts(&own, &volume, &path, &snapshot)}
                {(!empty).then(|| view! {
                    <a class="button" data-kind="plain" data-size="small" href=whole download="">{icon("download")}"Download the folder"</a>
                })}
            </div>
            {empty.then(|| view! { <p class="card__text">"Nothing is in this folder."</p> })}
            {(!empty).then_some(rows)}
            {(more.is_some() || later).then(|| view! {
                <nav class="files__pages" aria-label="Pages">
                    {first.map(|href| view! { <a href=href>"From the beginning"</a> })}
                    <span class="list__more">{entries}" on this page"</span>
                    {more.map(|href| view! { <a href=href rel="next">"More"</a> })}
                </nav>
            })}
        </section>
        {uploads.then(|| upload(&here, &path, visit.settings.assets.address("upload.js")))}
    }
}

/// The folder something was brought back to, with the news of it.
pub(crate) fn restored_address(environment: &str, volume: &str, restored: &FileView) -> String {
    let folder = path_text(folder_of(&path_bytes(&restored.path)));
    address(environment, volume, &[("path", &folder), ("done", "restore"), ("name", &restored.name)])
}

/// Tells how far something has come that is brought back from a snapshot, then leads on to it.
pub(crate) fn bringing_back(
    visit: Visit,
    environment: String,
    volume: String,
    path: String,
    work: Live<Work<FileView>>,
) -> Response {
    let bytes = path_bytes(&path);
    let folder = address(&environment, &volume, &[("path", &path_text(folder_of(&bytes)))]);
    let (own, shown) = (format!("/environments/{environment}"), shown_name(&bytes));
    let content = {
        let (own, folder, environment) = (own.clone(), folder.clone(), environment.clone());
        move || {
            view! {
                <header class="page-header">
                    <p class="crumbs">
                        <a href="/environments">"Environments"</a><a href=own dir="auto">{environment}</a><a href=folder>"Files"</a>
                    </p>
                    <h1 dir="auto">{shown}</h1>
                    <p class="page-header__text">"It comes back from the snapshot, and is there as a whole or not at all."</p>
                </header>
                <section class="card" aria-label="Progress">{later()}</section>
            }
        }
    };
    let page = Page::new("Bringing back", content).at(Place::Environments);
    answer_later(&visit, page, work, "Bringing it back", move |restored| match restored {
        Ok(restored) => {
            let there = restored_address(&environment, &volume, &restored);
            let onward = format!("0;url={there}");
            Either::Left(view! {
                <div>
                    <meta http-equiv="refresh" content=onward/>
                    <p class="card__text"><bdi>{restored.name}</bdi>" is back. "<a href=there>"See it"</a></p>
                </div>
            })
        }
        Err(error) => Either::Right(notice(Tone::Bad, error.title, error.detail)),
    })
}

/// The environment as addresses name it: the name of what is deleted may be another's by now.
fn own_name(detail: &EnvironmentDetail) -> String {
    let summary = &detail.summary;
    if summary.state == State::Deleted { summary.id.clone() } else { summary.name.clone() }
}

fn crumbs(detail: &EnvironmentDetail, own: &str) -> impl IntoView + use<> {
    let (href, name) = (format!("/environments/{own}"), detail.summary.name.clone());
    let snapshots = format!("{href}/snapshots");
    view! {
        <p class="crumbs">
            <a href="/environments">"Environments"</a><a href=href dir="auto">{name}</a><a href=snapshots>"Snapshots"</a>
        </p>
    }
}

/// Which moment is looked at.
fn chooser(here: &str, path: &str, snapshot: &str, all: &[SnapshotView]) -> impl IntoView + use<> {
    let there = |one: &&SnapshotView| matches!(one.state, SnapshotState::Complete | SnapshotState::Damaged);
    let options: Vec<_> = all
        .iter()
        .filter(there)
        .map(|one| {
            let moment = exact(one.taken_at.unwrap_or(one.requested_at));
            let label = if one.label.is_empty() { moment } else { format!("{} · {moment}", one.label) };
            let selected = one.id == snapshot;
            view! { <option value=one.id.clone() selected=selected>{label}</option> }
        })
        .collect();
    let (here, path) = (here.to_owned(), path.to_owned());
    (!options.is_empty()).then(|| {
        view! {
            <form class="files__moment" method="get" action=here>
                <input type="hidden" name="path" value=path/>
                <label class="field__label" for="snapshot">"Moment"</label>
                <select id="snapshot" name="snapshot"><option value="">"As it is now"</option>{options}</select>
                <button class="button" data-kind="plain" type="submit">"Show"</button>
            </form>
        }
    })
}

/// The way from the volume down to this folder.
fn parts(own: &str, volume: &str, path: &str, snapshot: &str) -> impl IntoView + use<> {
    let bytes = path_bytes(path);
    let mut above: Vec<u8> = Vec::new();
    let parts: Vec<&[u8]> = bytes.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
    let last = parts.len();
    let root = address(own, volume, &[("snapshot", snapshot)]);
    let links: Vec<_> = parts
        .into_iter()
        .enumerate()
        .map(|(position, part)| {
            if !above.is_empty() {
                above.push(b'/');
            }
            above.extend(part);
            let href = address(own, volume, &[("path", &path_text(&above)), ("snapshot", snapshot)]);
            let current = (position + 1 == last).then_some("page");
            view! { <li><a href=href aria-current=current dir="auto">{shown_name(part)}</a></li> }
        })
        .collect();
    let current = links.is_empty().then_some("page");
    let volume = volume.to_owned();
    view! {
        <nav aria-label="Folder">
            <ol class="files__path" role="list">
                <li>{icon("hard-drive")}<a href=root aria-current=current>{volume}</a></li>
                {links}
            </ol>
        </nav>
    }
}

/// Complete without script; with it, `upload.js` tells how far it has come, and can end it.
fn upload(here: &str, path: &str, script: String) -> impl IntoView + use<> {
    let (here, path) = (here.to_owned(), path.to_owned());
    view! {
        <form class="card files__upload" method="post" action=here enctype="multipart/form-data">
            <h2>"Put files here"</h2>
            <input type="hidden" name="path" value=path/>
            // Sent in this order: what is to be done with files comes before them.
            <label class="files__replace"><input type="checkbox" name="replace" value="true"/>"Replace files of the same name"</label>
            <label class="field__label" for="file">"Files"</label>
            <input id="file" name="file" type="file" multiple=true required=true/>
            <button class="button" data-kind="primary" type="submit">{icon("upload")}"Upload"</button>
            <div class="files__going" data-going="" hidden>
                {progress(None, String::new(), "Leaving this page ends it: of the file under way nothing is left, those before stay.")}
                <button class="button" data-size="small" type="button" data-cancel="">{icon("x")}"Cancel"</button>
            </div>
        </form>
        <script type="module" src=script></script>
    }
}

fn coded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn query(address: &str, pairs: &[(&str, &str)]) -> String {
    let mut query = Serializer::new(String::new());
    pairs.iter().filter(|(_, value)| !value.is_empty()).for_each(|(name, value)| {
        query.append_pair(name, value);
    });
    format!("{address}?{}", query.finish())
}

/// "12 KiB"; nothing for what has no size of its own.
fn size(entry: &crate::api::FileView) -> Option<String> {
    (entry.kind == crate::api::FileKind::File).then(|| bytes(entry.size))
}
