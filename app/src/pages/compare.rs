//! `/environments/{environment}/snapshots/compare?first=…&second=…`: what was added, changed and removed from one moment to
//! another. Without `second`: to the volumes as they are now.

use axum::extract::Path;
use axum::response::Response;
use leptos::either::Either;
use leptos::prelude::*;

use crate::api::{
    ApiError, EnvironmentDetail, FileChangeKind, SnapshotComparison, SnapshotState, SnapshotView, State,
    VolumeComparison, VolumePresence,
};
use crate::components::{icon, notice};
use crate::site::{Page, Place, Visit, answer, exact};
use crate::words::{Tone, bytes};

pub(crate) async fn compare(visit: Visit, Path(environment): Path<String>) -> Response {
    let page = compose(&visit, &environment).await;
    answer(&visit, page)
}

async fn compose(visit: &Visit, environment: &str) -> Result<Page, ApiError> {
    let asked = |name: &str| visit.query.get(name).filter(|value| !value.is_empty()).cloned();
    let detail = visit.portal.environment(&visit.actor, environment).await?;
    let mut all = visit.portal.snapshots(&visit.actor, &detail.summary.id).await?;
    all.retain(|one| matches!(one.state, SnapshotState::Complete | SnapshotState::Damaged));
    let first = asked("first").or_else(|| all.first().map(|one| one.id.clone()));
    let second = asked("second");
    let compared = match &first {
        None => None,
        Some(first) => {
            let portal = &visit.portal;
            Some(portal.compare_snapshots(&visit.actor, &detail.summary.id, first, second.as_deref()).await)
        }
    };
    // Who may not see any of it is told so; that these two cannot be compared is told beside the choice of others.
    let compared = match compared {
        Some(Err(error)) if error.status != 409 => return Err(error),
        other => other,
    };
    let title = format!("Compare snapshots of {}", detail.summary.name);
    let chosen = (first.unwrap_or_default(), second.unwrap_or_default());
    Ok(Page::new(title, move || content(detail, all, chosen, compared)).at(Place::Environments))
}

fn content(
    detail: EnvironmentDetail,
    all: Vec<SnapshotView>,
    (first, second): (String, String),
    compared: Option<Result<SnapshotComparison, ApiError>>,
) -> impl IntoView + use<> {
    let summary = detail.summary;
    let deleted = summary.state == State::Deleted;
    let own = format!("/environments/{}", if deleted { &summary.id } else { &summary.name });
    let snapshots = format!("{own}/snapshots");
    let here = format!("{snapshots}/compare");
    let result = match compared {
        None => Either::Left(
            view! { <section class="card"><p class="card__text">"There is no snapshot to compare yet."</p></section> },
        ),
        Some(Err(error)) => Either::Right(Either::Left(notice(Tone::Bad, error.title, error.detail))),
        Some(Ok(compared)) => {
            Either::Right(Either::Right(compared.volumes.into_iter().map(volume).collect::<Vec<_>>()))
        }
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
        {result}
    }
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
