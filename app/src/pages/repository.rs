//! The portable repository, where it shows: beside a snapshot, and on the operator's page.

use leptos::either::Either;
use leptos::prelude::*;

use crate::api::{ExportState, ExportView, ImportState, ImportView, RepositoryView, TransferView};
use crate::components::moment;
use crate::words::{Tone, bytes};

/// How it stands with a snapshot's copy, as a line below it.
pub(crate) fn export_line(now: Signal<i64>, export: ExportView) -> impl IntoView {
    let ExportView { state, failure, retry_at, progress, exported_at, bytes_total, bytes_added, .. } = export;
    let sizes = match (bytes_total, bytes_added) {
        (Some(total), Some(added)) => format!(", {} of {} were new there", bytes(added), bytes(total)),
        _ => String::new(),
    };
    match state {
        ExportState::Wanted => {
            view! { <p class="list__more">"Waits for its turn to be copied to the repository"</p> }.into_any()
        }
        ExportState::Exporting => {
            let far = progress.map(far).unwrap_or_default();
            view! { <p class="list__more" data-moving="">{format!("Being copied to the repository{far}")}</p> }
                .into_any()
        }
        ExportState::Exported => view! {
            <p class="list__more">
                "In the repository since "{exported_at.map(|at| moment(now, at))}{sizes}
            </p>
        }
        .into_any(),
        ExportState::Failed => view! {
            <p class="list__more" dir="auto">
                {format!("Not copied to the repository: {}", failure.unwrap_or_default())}
                {retry_at.map(|at| view! { " · again "{moment(now, at)} })}
            </p>
        }
        .into_any(),
        ExportState::Forgotten => {
            view! { <p class="list__more">"Its copy in the repository was removed"</p> }.into_any()
        }
    }
}

/// `: 45 %, 20 MB/s, 10 s left`.
fn far(progress: TransferView) -> String {
    if progress.bytes_total == 0 {
        return String::new();
    }
    let percent = progress.bytes_done.saturating_mul(100) / progress.bytes_total;
    let rate = progress.bytes_per_second.map(|rate| format!(", {}/s", bytes(rate))).unwrap_or_default();
    let left = progress.milliseconds_left.map(|left| format!(", {} s left", (left + 999) / 1000)).unwrap_or_default();
    format!(": {percent} %{rate}{left}")
}

/// For operators.
pub(crate) fn repository(now: Signal<i64>, repository: RepositoryView) -> impl IntoView {
    let body = match repository.configured {
        false => Either::Left(view! {
            <p class="card__text">
                "There is none: snapshots are lost with this machine. "<code>"bookend serve --repository PLACE"</code>
                " keeps encrypted copies in a folder on another disk or in a bucket."
            </p>
        }),
        true => Either::Right(configured(now, repository)),
    };
    view! {
        <section class="card" aria-labelledby="repository">
            <h2 id="repository">"Repository"</h2>
            {body}
        </section>
    }
}

fn configured(now: Signal<i64>, repository: RepositoryView) -> impl IntoView {
    let fact = |name: &'static str, value: String| view! { <div><dt>{name}</dt><dd dir="auto">{value}</dd></div> };
    let (tone, standing) = match &repository.trouble {
        None => (Tone::Good, "Works".to_owned()),
        Some(trouble) => (Tone::Bad, trouble.clone()),
    };
    let since = repository.trouble_since.filter(|_| repository.trouble.is_some());
    let policy = match repository.export.as_str() {
        "all" => "every snapshot",
        "kept" => "what people asked for or pinned, and what was deleted",
        _ => "nothing by itself",
    };
    let (exported, waiting, failed) = (repository.exported, repository.waiting, repository.failed);
    let saved = repository.stored_bytes.filter(|stored| *stored < repository.bytes && *stored > 0).map(|stored| {
        let saved = (repository.bytes - stored).saturating_mul(100) / repository.bytes.max(1);
        format!(", {saved} % saved by storing everything once")
    });
    let stored = repository.stored_bytes.map(|stored| format!("{}{}", bytes(stored), saved.unwrap_or_default()));
    let imports = repository.imports.into_iter().map(move |one| import(now, one)).collect::<Vec<_>>();
    view! {
        <ul class="facts" role="list">
            <li data-tone=tone.as_str()>
                <span class="dot" aria-hidden="true"></span>
                <span dir="auto">{standing}{since.map(|at| view! { " (since "{moment(now, at)}")" })}</span>
            </li>
        </ul>
        <dl class="pairs pairs--small">
            {fact("Place", repository.location.unwrap_or_default())}
            {fact("Goes there", policy.to_owned())}
            {fact("Of this portal", format!("{exported} there, {waiting} on their way, {failed} failed"))}
            {repository.snapshots.map(|all| fact("Of all portals", format!("{all} there")))}
            {fact("Their files", bytes(repository.bytes))}
            {stored.map(|stored| fact("Takes", stored))}
            {fact("After deletion", format!("kept for {} days", repository.keep_days))}
        </dl>
        <ul class="list" role="list">{imports}</ul>
        <p class="card__text"><code>"bookend snapshot import"</code>" lists what is there, and makes an environment of it."</p>
    }
}

fn import(now: Signal<i64>, import: ImportView) -> impl IntoView {
    let (tone, words) = match import.state {
        ImportState::Wanted => (Tone::Busy, "waits to be imported".to_owned()),
        ImportState::Importing => {
            (Tone::Busy, format!("being imported{}", import.progress.map(far).unwrap_or_default()))
        }
        ImportState::Imported => (Tone::Good, "imported".to_owned()),
        ImportState::Failed => (Tone::Bad, "not imported".to_owned()),
    };
    let address = format!("/environments/{}", import.environment_id);
    view! {
        <li class="list__item" data-key=import.environment_id data-tone=tone.as_str()>
            <div>
                <p class="list__name">
                    <span class="dot" aria-hidden="true"></span><a href=address dir="auto">{import.environment}</a>" "{words}
                </p>
                <p class="list__more">{moment(now, import.requested_at)}</p>
                {import.failure.map(|why| view! { <p class="list__more" dir="auto">{why}</p> })}
            </div>
        </li>
    }
}
