//! `/environments/{environment}/snapshots/compare?first=…&second=…`: what was added, changed and removed from one moment to
//! another. Without `second`: to the volumes as they are now. How far the comparison has come is told while it goes on.

use axum::extract::Path;
use axum::response::Response;
use leptos::either::{Either, EitherOf3};
use leptos::prelude::*;

use crate::api::{
    ApiError, EnvironmentDetail, FileChangeKind, SnapshotComparison, SnapshotState, SnapshotView, State,
    VolumeComparison, VolumePresence, Work,
};
use crate::components::{icon, notice};
use crate::portal::Live;
use crate::site::{Page, Place, Visit, answer, answer_later, exact, later};
use crate::words::{Tone, bytes};

pub(crate) async fn compare(visit: Visit, Path(environment): Path<String>) -> Response {
    match compose(&visit, &environment).await {
        Ok((page, Some(comparing))) => answer_later(&visit, page, comparing, "Comparing", result),
        Ok((page, None)) => answer(&visit, Ok(page)),
        Err(error) => answer(&visit, Err(error)),
    }
}

type Comparing = Live<Work<SnapshotComparison>>;

async fn compose(visit: &Visit, environment: &str) -> Result<(Page, Option<Comparing>), ApiError> {
    let asked = |name: &str| visit.query.get(name).filter(|value| !value.is_empty()).cloned();
    let detail = visit.portal.environment(&visit.actor, environment).await?;
    let mut all = visit.portal.snapshots(&visit.actor, &detail.summary.id).await?;
    all.retain(|one| matches!(one.state, SnapshotState::Complete | SnapshotState::Damaged));
    let first = asked("first").or_else(|| all.first().map(|one| one.id.clone()));
    let second = asked("second");
    let comparing = match &first {
        None => None,
        Some(first) => {
            let portal = &visit.portal;
            Some(portal.compare_snapshots(&visit.actor, &detail.summary.id, first, second.as_deref()).await)
        }
    };
    let (comparing, refused) = match comparing {
        None => (None, None),
        Some(Ok(comparing)) => (Some(comparing), None),
        // That these two cannot be compared is told beside the choice of others; who may not see them is told so.
        Some(Err(error)) if error.status == 409 => (None, Some(error)),
        Some(Err(error)) => return Err(error),
    };
    let title = format!("Compare snapshots of {}", detail.summary.name);
    let chosen = (first.unwrap_or_default(), second.unwrap_or_default());
    let page = Page::new(title, move || content(detail, all, chosen, refused)).at(Place::Environments);
    Ok((page, comparing))
}

fn content(
    detail: EnvironmentDetail,
    all: Vec<SnapshotView>,
    (first, second): (String, String),
    refused: Option<ApiError>,
) -> impl IntoView + use<> {
    let summary = detail.summary;
    let deleted = summary.state == State::Deleted;
    let own = format!("/environments/{}", if deleted { &summary.id } else { &summary.name });
    let snapshots = format!("{own}/snapshots");
    let here = format!("{snapshots}/compare");
    let body = match (refused, all.is_empty()) {
        (Some(error), _) => EitherOf3::A(notice(Tone::Bad, error.title, error.detail)),
        (None, true) => EitherOf3::B(
            view! { <section class="card"><p class="card__text">"There is no snapshot to compare yet."</p></section> },
        ),
        (None, false) => EitherOf3::C(later()),
    };
    let (from, to) = (options(&all, &first), options(&all, &second));
    view! {
        <header class="page-header">
            <p class="crumbs">
                <a href="/environments">"Environments"</a><a href=own dir="auto">{summary.name}</a><a href=snapshots>"Snapshots"</a>
            </p>
            <h1>"Compare"</h1>
            <p class="page-header__text">"Which files were added, changed and removed from one moment to another."</p>
        </header>
        {(!all.is_empty()).then(|| view! {
            <form class="compare card" method="get" action=here>
                <div class="compare__side">
                    <label class="field__label" for="first">"From"</label>
                    <select id="first" name="first">{from}</select>
                </div>
                <div class="compare__side">
                    <label class="field__label" for="second">"To"</label>
                    <select id="second" name="second">
                        {(!deleted).then(|| view! { <option value="">"As it is now"</option> })}
                        {to}
                    </select>
                </div>
                <button class="button" data-kind="primary" type="submit">{icon("git-compare")}"Compare"</button>
            </form>
        })}
        {body}
    }
}

fn result(compared: Result<SnapshotComparison, ApiError>) -> impl IntoView + use<> {
    let body = match compared {
        Ok(compared) => Either::Left(compared.volumes.into_iter().map(volume).collect::<Vec<_>>()),
        Err(error) => Either::Right(notice(Tone::Bad, error.title, error.detail)),
    };
    view! { <div class="compare__result">{body}</div> }
}

fn options(all: &[SnapshotView], chosen: &str) -> Vec<impl IntoView + use<>> {
    let options = all.iter().map(|one| {
        let moment = exact(one.taken_at.unwrap_or(one.requested_at));
        let label = if one.label.is_empty() { moment } else { format!("{} · {moment}", one.label) };
        let selected = one.id == chosen;
        view! { <option value=one.id.clone() selected=selected>{label}</option> }
    });
    options.collect()
}

fn volume(volume: VolumeComparison) -> impl IntoView + use<> {
    let total = volume.added + volume.changed + volume.removed;
    let words = match volume.presence {
        VolumePresence::OnlyFirst => "Only the first has this volume.".to_owned(),
        VolumePresence::OnlySecond => "Only the second has this volume.".to_owned(),
        VolumePresence::Both if total == 0 => {
            "Nothing differs: names, contents, modes and times are the same.".to_owned()
        }
        VolumePresence::Both => {
            format!("{} added, {} changed, {} removed", volume.added, volume.changed, volume.removed)
        }
    };
    let more = total - volume.changes.len() as u64;
    let changes: Vec<_> = volume
        .changes
        .into_iter()
        .map(|change| {
            let (sign, word, tone) = match change.kind {
                FileChangeKind::Added => ("+", "Added", "good"),
                FileChangeKind::Changed => ("~", "Changed", "busy"),
                FileChangeKind::Removed => ("−", "Removed", "bad"),
            };
            view! {
                <li class="compare__change" data-tone=tone>
                    <span class="compare__sign" aria-hidden="true">{sign}</span>
                    <span class="visually-hidden">{word}</span>
                    <bdi class="compare__path">{change.path}</bdi>
                    <span class="list__more">{bytes(change.size)}</span>
                </li>
            }
        })
        .collect();
    let name = volume.name;
    view! {
        <section class="card">
            <h2 class="compare__name">{icon("hard-drive")}{name}</h2>
            <p class="card__text">{words}</p>
            {(!changes.is_empty()).then(|| view! { <ul class="compare__changes" role="list">{changes}</ul> })}
            {(more > 0).then(|| view! { <p class="list__more">{format!("and {more} more")}</p> })}
        </section>
    }
}
