//! The names in a folder.

use leptos::either::EitherOf3;
use leptos::prelude::*;

use super::{address, query, size};
use crate::api::{FileKind, FileListing, FileView};
use crate::components::{icon, moment};

/// What all rows need.
pub(super) struct Around<'a> {
    pub own: &'a str,
    /// Where contents are downloaded.
    pub content: &'a str,
    /// Something may be brought back.
    pub open: bool,
}

pub(super) fn rows(now: Signal<i64>, around: &Around<'_>, listing: &FileListing) -> impl IntoView + use<> {
    let rows: Vec<_> = listing.entries.iter().map(|entry| row(now, around, listing, entry)).collect();
    view! { <ul class="files__rows" role="list">{rows}</ul> }
}

fn row(now: Signal<i64>, around: &Around<'_>, listing: &FileListing, entry: &FileView) -> impl IntoView + use<> {
    let snapshot = listing.snapshot.clone().unwrap_or_default();
    let download = query(around.content, &[("path", &entry.path), ("snapshot", &snapshot)]);
    let picture = match entry.kind {
        FileKind::File => "file",
        FileKind::Folder => "folder",
        FileKind::Link => "link",
        FileKind::Other => "box",
    };
    let label = format!("Download {}", entry.name);
    let name = entry.name.clone();
    let named = match entry.kind {
        FileKind::Folder => {
            let href = address(around.own, &listing.volume, &[("path", &entry.path), ("snapshot", &snapshot)]);
            EitherOf3::A(view! { <a href=href dir="auto">{name}</a> })
        }
        FileKind::File => EitherOf3::B(view! { <a href=download.clone() download="" dir="auto">{name}</a> }),
        FileKind::Link | FileKind::Other => EitherOf3::C(view! { <bdi>{name}</bdi> }),
    };
    let more = match (&entry.target, entry.kind) {
        (Some(target), _) => Some(format!("→ {target}")),
        (None, FileKind::Other) => Some("A pipe, a socket or a device".to_owned()),
        _ => None,
    };
    let saved = matches!(entry.kind, FileKind::File | FileKind::Folder).then(|| view! {
        <a class="button" data-kind="plain" data-size="small" href=download download="" aria-label=label title="Download">
            {icon("download")}
        </a>
    });
    let back = (around.open && !snapshot.is_empty() && entry.kind != FileKind::Other)
        .then(|| restore(around.own, listing, &snapshot, entry));
    view! {
        <li class="files__row">
            <p class="files__name">{icon(picture)}{named}{more.map(|more| view! { <span class="list__more"><bdi>{more}</bdi></span> })}</p>
            <span class="files__size">{size(entry)}</span>
            <span class="files__time">{moment(now, entry.modified_at)}</span>
            <span class="files__do">{saved}</span>
            {back}
        </li>
    }
}

/// The way back for one of them, and what it does, said before the click.
fn restore(own: &str, listing: &FileListing, snapshot: &str, entry: &FileView) -> impl IntoView + use<> {
    let here = address(own, &listing.volume, &[]);
    let (snapshot, path, folder) = (snapshot.to_owned(), entry.path.clone(), listing.path.clone());
    view! {
        <details class="files__restore">
            <summary>"Restore…"</summary>
            <form method="post" action=here>
                <input type="hidden" name="snapshot" value=snapshot/>
                <input type="hidden" name="path" value=folder/>
                <input type="hidden" name="restored" value=path/>
                <p class="list__more">"Into the volume as it is now. Beside what is there, its name says when it is from; in its place, what is there now is lost unless a snapshot has it."</p>
                <div class="files__ways">
                    <button class="button" data-kind="primary" data-size="small" type="submit" name="do" value="beside">{icon("copy")}"Put it beside"</button>
                    <button class="button" data-size="small" type="submit" name="do" value="in_place">{icon("rotate-ccw")}"Replace what is there"</button>
                </div>
            </form>
        </details>
    }
}
