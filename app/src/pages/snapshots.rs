//! `/environments/{environment}/snapshots`: what its volumes held, moment by moment, and the way back to each. Kept current
//! by `fresh.js`.

mod cards;
mod warmth;

use axum::extract::Path;
use axum::response::Response;
use leptos::either::Either;
use leptos::prelude::*;

use self::cards::{drill_card, rule_card};
use self::warmth::{warm_form, warm_line};
use super::repository;
use crate::api::{
    ApiError, EnvironmentDetail, EnvironmentSummary, ExportState, SnapshotCopyState, SnapshotCopyView, SnapshotReason,
    SnapshotState, SnapshotView, State,
};
use crate::components::{icon, moment, notice};
use crate::site::{Page, Place, Visit, answer};
use crate::words::{Tone, bytes, count, far};

pub(crate) async fn snapshots(visit: Visit, Path(environment): Path<String>) -> Response {
    let page = compose(&visit, &environment).await;
    answer(&visit, page)
}

async fn compose(visit: &Visit, environment: &str) -> Result<Page, ApiError> {
    let detail = visit.portal.environment(&visit.actor, environment).await?;
    let all = visit.portal.snapshots(&visit.actor, &detail.summary.id).await?;
    let repository = visit.portal.repository(&visit.actor).await?.configured;
    let visit = visit.clone();
    let title = format!("Snapshots of {}", detail.summary.name);
    Ok(Page::new(title, move || content(&visit, detail, all, repository)).at(Place::Environments))
}

fn content(
    visit: &Visit,
    detail: EnvironmentDetail,
    all: Vec<SnapshotView>,
    repository: bool,
) -> impl IntoView + use<> {
    let now = Signal::stored(visit.now);
    let fresh = visit.settings.assets.address("fresh.js");
    let summary = detail.summary;
    let deleted = summary.state == State::Deleted;
    let theirs = visit.is_administrator() || visit.person().is_some_and(|person| person.name == summary.owner);
    // The name of what is deleted may be another's by now.
    let own = format!("/environments/{}", if deleted { &summary.id } else { &summary.name });
    let here = format!("{own}/snapshots");
    let error = visit.posted.as_ref().map(|posted| posted.error.clone());
    let done = visit.query.get("done").filter(|_| visit.posted.is_none()).and_then(|what| said(what));
    let files = format!("{own}/files");
    let takes = matches!(summary.state, State::Ready | State::Repairing | State::Parked) && !detail.volumes.is_empty();
    let copies = copies(&summary);
    let as_it_is = copies.clone();
    let keeps = all.iter().any(|one| one.state == SnapshotState::Complete);
    let drill = detail.drill.filter(|_| !deleted).map(|drill| drill_card(now, &here, drill, theirs && keeps));
    let rule = detail.snapshot_rule.filter(|_| !deleted);
    let rule = rule.map(|rule| rule_card(visit, now, &here, rule, theirs));
    let begins = all.iter().find_map(|one| one.begins.clone()).filter(|_| theirs);
    let list = if all.is_empty() {
        let text = match detail.volumes.is_empty() && !deleted {
            true => "It has no volumes, so there is nothing to keep: servers are disposable.",
            false => "There are none. Parking takes one; you can take one at any time.",
        };
        Either::Left(view! { <p class="card__text">{text}</p> })
    } else {
        let address = here.clone();
        let complete = |one: &SnapshotView| one.state == SnapshotState::Complete;
        let before: Vec<Option<String>> =
            (0..all.len()).map(|at| all[at + 1..].iter().find(|one| complete(one)).map(|one| one.id.clone())).collect();
        let around = Around { address, copies, theirs, deleted, repository };
        let items = all.into_iter().zip(before);
        let items = items.map(move |(one, before)| snapshot(now, &around, before, one)).collect::<Vec<_>>();
        Either::Right(view! { <ul class="list" role="list">{items}</ul> })
    };
    view! {
        <header class="page-header">
            <p class="crumbs"><a href="/environments">"Environments"</a><a href=own dir="auto">{summary.name.clone()}</a></p>
            <div class="page-header__line">
                <h1>"Snapshots"</h1>
                <p class="connection" role="status" data-fresh-standing=""></p>
                {theirs.then(|| view! { <a class="button" data-kind="plain" href=files>{icon("folder")}"Files"</a> })}
            </div>
            <p class="page-header__text">
                "What all volumes held at one and the same moment. Restoring one keeps what there is now in another first."
            </p>
        </header>
        {error.map(|error| notice(Tone::Bad, error.title, error.detail))}
        {done.map(|(title, detail)| notice(Tone::Good, title.into(), Some(detail.into())))}
        {(theirs && takes).then(|| view! {
            <form class="snapshot-take card" method="post" action=here>
                <label class="field__label" for="label">"A new one, called"</label>
                <input id="label" name="label" type="text" dir="auto" maxlength="100" placeholder="Before the demo" autocomplete="off"/>
                <button class="button" data-kind="primary" type="submit" name="do" value="take">{icon("layers")}"Take a snapshot"</button>
                <a class="button" href=as_it_is>"Copy it as it is now"</a>
            </form>
        })}
        <div data-fresh="snapshots">
            <div class="snapshot-cards" data-key="cards">{rule}{drill}</div>
            <section class="card" aria-label="Snapshots">
                {begins.map(|text| view! { <p class="card__text">{text}</p> })}
                {list}
            </section>
        </div>
        <script type="module" src=fresh></script>
    }
}

/// What was just asked for, by the word the form leads on with.
fn said(what: &str) -> Option<(&'static str, &'static str)> {
    Some(match what {
        "take" => ("A snapshot is being taken", "The servers stand still for a moment, all at once, and go on."),
        "export" => {
            ("The snapshot is being copied to the repository", "It is there, encrypted, when its line says so.")
        }
        "rule" => ("The rule is set", "Snapshots are taken by it from now on."),
        "drill" => ("A restore drill has begun", "What comes of it is told here, and in the environment’s timeline."),
        "delete" => ("The snapshot is deleted", "Nothing can be restored from it any more."),
        "pin" => ("The snapshot is pinned", "It stays until somebody unpins it."),
        "verify" => {
            ("The snapshot is what was taken", "All of it was read and compared with what was written down then.")
        }
        "verifying" => (
            "The snapshot is being verified",
            "All of it is read and compared with what was written down when it was taken. Its line tells how far that is.",
        ),
        "stop" => {
            ("The verification was stopped", "Whether the snapshot is what was taken was not found out this time.")
        }
        "label" => ("The snapshot has another name", "It is what it was."),
        "warm" => ("The snapshot is being got ready", "Its line says when what is restored from it is at full speed."),
        "cool" => ("It is being ended", "Its line says when nothing of it is paid for any more."),
        "unpin" => ("The snapshot is not pinned any more", "It goes when there are newer ones enough."),
        _ => return None,
    })
}

/// The order form of another environment that begins with this one's data.
fn copies(summary: &EnvironmentSummary) -> String {
    let EnvironmentSummary { id, name, template, template_version, state, .. } = summary;
    let whose = if *state == State::Deleted { id } else { name };
    let query = [("version", template_version), ("from", whose), ("data", whose)];
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    format!("/catalog/{template}?{query}")
}

/// What all items need.
struct Around {
    address: String,
    /// The order form of one that begins with this one's data.
    copies: String,
    theirs: bool,
    deleted: bool,
    /// Whether the portal has one.
    repository: bool,
}

/// `before`: the complete one before it.
fn snapshot(now: Signal<i64>, around: &Around, before: Option<String>, one: SnapshotView) -> impl IntoView + use<> {
    let Around { address, copies, theirs, deleted, repository } = around;
    let (theirs, deleted, repository) = (*theirs, *deleted, *repository);
    let (size, files) =
        one.volumes.iter().fold((0, 0), |(size, files), volume| (size + volume.bytes, files + volume.files));
    let title = if one.label.is_empty() { reason(one.reason).to_owned() } else { one.label.clone() };
    let facts = (one.state == SnapshotState::Complete).then(|| {
        let volumes = count(u32::try_from(one.volumes.len()).unwrap_or(u32::MAX), "volume");
        let files = count(u32::try_from(files).unwrap_or(u32::MAX), "file");
        let frozen = one.frozen_ms.map(|frozen| format!(" · servers stood still for {frozen} ms")).unwrap_or_default();
        format!("{volumes}, {files}, {}{frozen}", bytes(size))
    });
    let (word, tone) = standing(&one);
    let restorable = one.state == SnapshotState::Complete;
    let readable = matches!(one.state, SnapshotState::Complete | SnapshotState::Damaged);
    let links = (theirs && readable).then(|| looks(address, &one.id, before, deleted));
    let work = under_way(address, theirs, &one);
    let verified = one.verified_at.filter(|_| restorable && one.verifying.is_none());
    let moving = matches!(one.state, SnapshotState::Wanted | SnapshotState::Reading) || one.verifying.is_some();
    let elsewhere: Vec<_> = one.copies.iter().map(|copy| copy_line(now, copy)).collect();
    let begin_there = one.copies.iter().filter(|copy| restorable && copy.state == SnapshotCopyState::Complete);
    let begin_there: Vec<_> = begin_there.map(|copy| begin_at(copies, &one.id, &copy.provisioner)).collect();
    let warm = one.warmth.as_ref().and_then(|warmth| warm_line(now, warmth));
    let warmer = one.warmth.as_ref().filter(|_| restorable).and_then(|warmth| warm_form(address, &one.id, warmth));
    let labelled = theirs.then(|| relabel(address, &one.id, &one.label));
    let (id, pinned) = (one.id.clone(), one.pinned);
    let again =
        one.export.as_ref().is_none_or(|export| matches!(export.state, ExportState::Failed | ExportState::Forgotten));
    let exportable = repository && restorable && again;
    let forms = theirs.then(|| view! {
        <div class="snapshot__forms">
            {restorable.then(|| restore(address, &id, deleted))}
            {restorable.then(|| view! {
                <a class="button" data-kind="plain" data-size="small" href=format!("{copies}&snapshot={id}")>{icon("layers")}"Copy"</a>
            })}
            {begin_there}
            {warmer}
            {(readable && one.verifying.is_none()).then(|| button(address, &id, "verify", "Verify", "shield-check"))}
            {exportable.then(|| button(address, &id, "export", "Export", "database"))}
            {labelled}
            {(!pinned).then(|| button(address, &id, "pin", "Pin", "bookmark"))}
            {pinned.then(|| button(address, &id, "unpin", "Unpin", "bookmark"))}
            {(!pinned && one.state != SnapshotState::Wanted).then(|| button(address, &id, "delete", "Delete", "trash-2"))}
        </div>
    });
    view! {
        <li class="list__item list__item--tall" data-key=one.id data-moving=moving.then_some("")>
            <div>
                <p class="list__name"><bdi>{title}</bdi>" "<span class="badge" data-tone=tone.as_str()>{word}</span></p>
                <p class="list__more">
                    {moment(now, one.taken_at.unwrap_or(one.requested_at))}
                    {one.actor.map(|actor| view! { " · "<bdi>{actor}</bdi> })}
                    {one.expires_at.filter(|_| !pinned).map(|at| view! { " · goes "{moment(now, at)} })}
                </p>
                {facts.map(|facts| view! { <p class="list__more">{facts}</p> })}
                {work}
                {verified.map(|at| view! {
                    <p class="list__more snapshot__verified">{icon("shield-check")}"Verified "{moment(now, at)}</p>
                })}
                {links}
                {one.export.map(|export| repository::export_line(now, export))}
                {warm}
                {elsewhere}
                {one.failure.map(|why| view! { <p class="list__more">{why}</p> })}
            </div>
            {forms}
        </li>
    }
}

/// How it stands with its copy at another provisioner.
fn copy_line(now: Signal<i64>, copy: &SnapshotCopyView) -> impl IntoView + use<> {
    let SnapshotCopyView { provisioner, state, doing, failure, retry_at, completed_at } = copy.clone();
    let words = match (state, failure, doing) {
        (SnapshotCopyState::Complete, ..) => format!("Copied to {provisioner} "),
        (SnapshotCopyState::Failed, Some(why), _) => format!("Not copied to {provisioner}: {why}"),
        (SnapshotCopyState::Failed, None, _) => format!("Not copied to {provisioner}"),
        (SnapshotCopyState::Copying, _, Some(doing)) => format!("Being copied to {provisioner}: {doing}"),
        (SnapshotCopyState::Copying, ..) => format!("Being copied to {provisioner}"),
        (SnapshotCopyState::Wanted, Some(why), _) => format!("Waits to be copied to {provisioner}: {why}"),
        (SnapshotCopyState::Wanted, ..) => format!("Waits for its turn to be copied to {provisioner}"),
    };
    let moving = (state == SnapshotCopyState::Copying).then_some("");
    view! {
        <p class="list__more" dir="auto" data-moving=moving>
            {words}
            {completed_at.filter(|_| state == SnapshotCopyState::Complete).map(|at| moment(now, at))}
            {retry_at.map(|at| view! { " · again "{moment(now, at)} })}
        </p>
    }
}

/// The order form of one that begins with its copy at another provisioner.
fn begin_at(copies: &str, id: &str, provisioner: &str) -> impl IntoView + use<> {
    let query = [("snapshot", id), ("at", provisioner)];
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    view! {
        <a class="button" data-kind="plain" data-size="small" href=format!("{copies}&{query}")>
            {icon("layers")}{format!("Copy at {provisioner}")}
        </a>
    }
}

/// The ways to look into it.
fn looks(address: &str, id: &str, before: Option<String>, deleted: bool) -> impl IntoView + use<> {
    let files = format!("{}/files?snapshot={id}", address.trim_end_matches("/snapshots"));
    let now = format!("{address}/compare?first={id}");
    let before = before.map(|before| format!("{address}/compare?first={before}&second={id}"));
    view! {
        <p class="snapshot__looks">
            <a href=files>{icon("folder")}"Files"</a>
            {before.map(|href| view! { <a href=href>{icon("git-compare")}"Since the one before"</a> })}
            {(!deleted).then(|| view! { <a href=now>{icon("git-compare")}"Until now"</a> })}
        </p>
    }
}

/// What is being done with it, and how far that has come.
fn under_way(address: &str, theirs: bool, one: &SnapshotView) -> Option<impl IntoView + use<>> {
    let (word, work) = match (one.state, one.reading, one.verifying) {
        (_, _, Some(work)) => ("Being verified", work),
        (SnapshotState::Wanted, Some(work), _) => ("Being copied", work),
        (SnapshotState::Reading, Some(work), _) => ("Being read", work),
        _ => return None,
    };
    let words = match far(&work) {
        far if far.is_empty() => word.to_owned(),
        far => format!("{word}: {far}"),
    };
    let stop = (theirs && one.verifying.is_some()).then(|| {
        view! {
            <div class="snapshot__stop">
                {button(address, &one.id, "stop", "Stop", "x")}
                <span class="list__more">"It goes on when you leave this page."</span>
            </div>
        }
    });
    Some(view! { <p class="list__more">{words}</p>{stop} })
}

/// The way back, and what it does, said before the click.
fn restore(address: &str, id: &str, deleted: bool) -> impl IntoView + use<> {
    let (address, id) = (address.to_owned(), id.to_owned());
    let (label, words) = match deleted {
        true => ("Bring it back", "The environment comes back with what its volumes held, under its old name."),
        false => ("Restore", "The servers go down, all volumes become what they were, and the servers come back."),
    };
    view! {
        <details class="snapshot__restore">
            <summary>{label}"…"</summary>
            <form method="post" action=address>
                <input type="hidden" name="snapshot" value=id/>
                <p class="list__more">{words}</p>
                <button class="button" data-kind="primary" data-size="small" type="submit" name="do" value="restore">
                    {icon("rotate-ccw")}{label}
                </button>
            </form>
        </details>
    }
}

/// Another name for it, or none.
fn relabel(address: &str, id: &str, label: &str) -> impl IntoView + use<> {
    let (address, id, label) = (address.to_owned(), id.to_owned(), label.to_owned());
    let field = format!("label-{id}");
    view! {
        <details class="snapshot__restore snapshot__label">
            <summary>"Rename…"</summary>
            <form method="post" action=address>
                <input type="hidden" name="snapshot" value=id/>
                <label class="field__label" for=field.clone()>"It is called"</label>
                <input id=field name="label" type="text" dir="auto" maxlength="100" autocomplete="off" value=label/>
                <button class="button" data-kind="primary" data-size="small" type="submit" name="do" value="label">"Save"</button>
            </form>
        </details>
    }
}

fn button(
    address: &str,
    id: &str,
    what: &'static str,
    label: &'static str,
    picture: &'static str,
) -> impl IntoView + use<> {
    let (address, id) = (address.to_owned(), id.to_owned());
    view! {
        <form method="post" action=address>
            <input type="hidden" name="snapshot" value=id/>
            <button class="button" data-kind="plain" data-size="small" type="submit" name="do" value=what>{icon(picture)}{label}</button>
        </form>
    }
}

fn reason(reason: SnapshotReason) -> &'static str {
    match reason {
        SnapshotReason::Demand => "Snapshot",
        SnapshotReason::Park => "When it was parked",
        SnapshotReason::Delete => "Before it was deleted",
        SnapshotReason::Restore => "Before another was restored",
        SnapshotReason::Clone => "For a copy of it",
        SnapshotReason::Change => "Before it was changed",
        SnapshotReason::Schedule => "By rule",
        SnapshotReason::Import => "From the repository",
    }
}

fn standing(one: &SnapshotView) -> (&'static str, Tone) {
    match one.state {
        SnapshotState::Wanted => ("Being taken", Tone::Busy),
        SnapshotState::Reading => ("Being read", Tone::Busy),
        SnapshotState::Complete if one.pinned => ("Pinned", Tone::Good),
        SnapshotState::Complete => ("Complete", Tone::Good),
        SnapshotState::Failed => ("Failed", Tone::Bad),
        SnapshotState::Damaged => ("Damaged", Tone::Bad),
    }
}
