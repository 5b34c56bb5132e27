//! `/activity`: what runs now in the team, what it waits for and where to look, what is stuck, and what came of the rest.
//! Kept current by `fresh.js`.

use axum::response::Response;
use leptos::either::Either;
use leptos::prelude::*;

use crate::api::{Activity, ApiError, Blocker, EnvironmentSummary, Happened, Running};
use crate::components::{badge, icon, moment};
use crate::site::{Page, Place, Visit, answer};
use crate::words::{Tone, state_label};

pub(crate) async fn activity(visit: Visit) -> Response {
    let page = compose(&visit).await;
    answer(&visit, page)
}

async fn compose(visit: &Visit) -> Result<Page, ApiError> {
    let activity = visit.portal.activity(&visit.actor).await?;
    let visit = visit.clone();
    Ok(Page::new("Activity", move || content(&visit, activity)).at(Place::Activity))
}

fn content(visit: &Visit, activity: Activity) -> impl IntoView + use<> {
    let now = Signal::stored(visit.now);
    let fresh = visit.settings.assets.address("fresh.js");
    let Activity { running, stuck, results } = activity;
    let body = if running.is_empty() && stuck.is_empty() && results.is_empty() {
        Either::Left(nothing())
    } else {
        Either::Right(view! {
            <div class="activity">
                <div>
                    {under_way(now, running)}
                    {(!stuck.is_empty()).then(|| stuck_ones(now, stuck))}
                </div>
                {lately(now, results)}
            </div>
        })
    };
    view! {
        <header class="page-header">
            <div class="page-header__line">
                <h1>"Activity"</h1>
                <p class="connection" role="status" data-fresh-standing=""></p>
            </div>
            <p class="page-header__text">"What goes on in your team, and what it waits for."</p>
        </header>
        <div data-fresh="activity">{body}</div>
        <script type="module" src=fresh></script>
    }
}

fn under_way(now: Signal<i64>, running: Vec<Running>) -> impl IntoView {
    let list = if running.is_empty() {
        Either::Left(view! { <p class="card__text">"Nothing is under way: everything is as it was asked for."</p> })
    } else {
        Either::Right(
            view! { <ul class="list" role="list">{running.into_iter().map(|one| run(now, one)).collect::<Vec<_>>()}</ul> },
        )
    };
    view! {
        <section class="card" aria-labelledby="under-way">
            <h2 id="under-way">"Under way"</h2>
            {list}
        </section>
    }
}

fn run(now: Signal<i64>, running: Running) -> impl IntoView {
    let Running { environment, since, blocked_by } = running;
    let address = format!("/environments/{}", environment.name);
    let environment_address = address.clone();
    view! {
        <li class="list__item list__item--tall" data-key=environment.id>
            <div>
                <p class="list__name"><a href=address dir="auto">{environment.name}</a></p>
                <p class="list__more">
                    <bdi>{environment.owner}</bdi>" · "{environment.template}" · asked for "{moment(now, since)}
                </p>
                {environment.waiting_for.map(|what| view! { <p class="waiting">{icon("hourglass")}{format!("Waiting for {what}")}</p> })}
                <ul class="facts" role="list">
                    {blocked_by.into_iter().map(|one| blocker(&environment_address, one)).collect::<Vec<_>>()}
                </ul>
            </div>
            {badge(environment.state)}
        </li>
    }
}

/// One server that has to get on: what it does, and where to look at it.
fn blocker(environment: &str, blocker: Blocker) -> impl IntoView + use<> {
    let server = format!("{environment}#server-{}", blocker.server);
    let log = format!("{environment}/logs?server={}", blocker.server);
    let label = format!("Log of {}", blocker.server);
    let does = match blocker.waiting_for {
        Some(what) => format!("{}, waiting for {what}", state_label(blocker.state).to_lowercase()),
        None => state_label(blocker.state).to_lowercase(),
    };
    view! {
        <li data-tone=Tone::Busy.as_str()>
            <span class="dot" aria-hidden="true"></span>
            <a class="facts__name" href=server>{blocker.server}</a>
            <span class="facts__more">{does}</span>
            <a class="facts__more" href=log aria-label=label>"Log"</a>
        </li>
    }
}

fn stuck_ones(now: Signal<i64>, stuck: Vec<EnvironmentSummary>) -> impl IntoView {
    view! {
        <section class="card" aria-labelledby="stuck">
            <h2 id="stuck">"Stuck"</h2>
            <p class="card__text">"Bookend has stopped trying. Each page says why, and what to do."</p>
            <ul class="list" role="list">
                {stuck.into_iter().map(|environment| {
                    let address = format!("/environments/{}", environment.name);
                    view! {
                        <li class="list__item" data-key=environment.id>
                            <div>
                                <p class="list__name"><a href=address dir="auto">{environment.name}</a></p>
                                <p class="list__more"><bdi>{environment.owner}</bdi>" · "{environment.template}" · ordered "{moment(now, environment.created_at)}</p>
                            </div>
                            {badge(environment.state)}
                        </li>
                    }
                }).collect::<Vec<_>>()}
            </ul>
        </section>
    }
}

fn lately(now: Signal<i64>, results: Vec<Happened>) -> impl IntoView {
    let list = if results.is_empty() {
        Either::Left(view! { <p class="card__text">"Nothing has come to an end yet."</p> })
    } else {
        Either::Right(
            view! { <ol class="lately" role="list">{results.into_iter().map(|one| result(now, one)).collect::<Vec<_>>()}</ol> },
        )
    };
    view! {
        <section class="card" aria-labelledby="lately">
            <h2 id="lately">"Lately"</h2>
            {list}
        </section>
    }
}

fn result(now: Signal<i64>, happened: Happened) -> impl IntoView {
    let tone = match happened.event.kind.as_str() {
        "failed" | "drill_failed" | "snapshot_damaged" => Tone::Bad,
        "ready" | "drift_repaired" => Tone::Good,
        _ => Tone::Quiet,
    };
    // By id: its name may be another's by now.
    let address = format!("/environments/{}", happened.environment_id);
    view! {
        <li class="lately__one" data-key=happened.event.id data-tone=tone.as_str()>
            <span class="dot" aria-hidden="true"></span>
            <div>
                <p class="lately__what" dir="auto">{happened.event.message}</p>
                <p class="lately__more">
                    <a href=address dir="auto">{happened.environment}</a>
                    {happened.event.server.map(|server| format!(" · {server}"))}
                    " · "{moment(now, happened.event.at)}
                </p>
            </div>
        </li>
    }
}

fn nothing() -> impl IntoView {
    view! {
        <section class="blank">
            <span class="blank__picture">{icon("activity")}</span>
            <h2>"All is quiet"</h2>
            <p class="blank__text">"Nobody in your team has ordered anything yet. What is ordered, parked or deleted is followed here."</p>
            <p class="blank__actions"><a class="button" data-kind="primary" href="/">"Open the catalog"</a></p>
        </section>
    }
}
