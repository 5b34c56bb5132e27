use leptos::prelude::*;

use super::connection::{connection_note, on_refusal};
use crate::api::{Action, ApiError, EnvironmentDetail, EnvironmentSummary, State};
use crate::components::{
    actions, badge, failure, icon, moment, notice, outputs, parameters, server, timeline, track, volumes,
};
use crate::fns::{EnvironmentNow, act, read_environment};
use crate::live;
use crate::words::{Tone, action_upcoming, state_sentence};

/// The environment page's content, current without reload: reads again whenever the portal says that something changed,
/// and every few seconds for the figures nobody announces.
#[island]
pub fn EnvironmentLive(
    initial: EnvironmentNow,
    /// Unix milliseconds on the server.
    now: i64,
    /// The part of the timeline that is shown; the newest when absent.
    cursor: Option<String>,
) -> impl IntoView {
    let name = initial.detail.summary.name.clone();
    let shown = RwSignal::new(initial);
    let (problem, set_problem) = signal(None::<ApiError>);
    let (asking, set_asking) = signal(false);
    let now = live::ticking(now);

    let reread = {
        let name = name.clone();
        let read = move || read_environment(name.clone(), cursor.clone());
        live::rereading(read, move |answer: Result<EnvironmentNow, ApiError>| match answer {
            Ok(current) => shown.set(current),
            Err(error) if error.status == 404 => shown.update(|gone| gone.detail = deleted(&gone.detail)),
            Err(error) => on_refusal(&error),
        })
    };
    #[cfg(feature = "hydrate")]
    {
        let reread = reread.clone();
        let figures = move || {
            if !document().hidden()
                && shown.with_untracked(|shown| !shown.detail.summary.state.is_settled() || has_figures(&shown.detail))
            {
                reread();
            }
        };
        set_interval(figures, std::time::Duration::from_secs(5));
    }
    let connection = {
        let reread = reread.clone();
        live::listen(format!("/api/v1/events?environment={name}"), move |_| reread())
    };
    let ask = {
        let name = name.clone();
        Callback::new(move |action: Action| {
            let name = name.clone();
            set_asking.set(true);
            set_problem.set(None);
            leptos::task::spawn_local(async move {
                match act(name, action).await {
                    Ok(detail) => shown.update(|shown| shown.detail = detail),
                    Err(error) => {
                        on_refusal(&error);
                        set_problem.set(Some(error));
                    }
                }
                set_asking.set(false);
            });
        })
    };

    let summary = Memo::new(move |_| shown.with(|shown| shown.detail.summary.clone()));
    let offered = Memo::new(move |_| shown.with(|shown| shown.detail.actions.clone()));
    let whole_failure = Memo::new(move |_| shown.with(|shown| shown.detail.failure.clone()));
    let servers = Memo::new(move |_| shown.with(|shown| shown.detail.servers.clone()));
    let told = Memo::new(move |_| shown.with(|shown| shown.detail.outputs.clone()));
    let kept = Memo::new(move |_| shown.with(|shown| shown.detail.volumes.clone()));
    let happened = Memo::new(move |_| shown.with(|shown| shown.timeline.clone()));
    let ordered = shown.with_untracked(|shown| shown.detail.parameters.clone());
    let (page, actions_of, servers_of) = (name.clone(), name.clone(), name);
    view! {
        <div class="environment">
            <header class="page-header">
                <p class="crumbs"><a href="/environments">"Environments"</a></p>
                <div class="page-header__line">
                    <h1>{page.clone()}</h1>
                    {move || badge(summary.get().state)}
                    {connection_note(connection)}
                </div>
                {move || facts(now, summary.get())}
            </header>
            <div class="environment__status">
                {move || track(summary.get().state)}
                <p class="environment__sentence" role="status">{move || state_sentence(summary.get().state)}</p>
                {move || summary.get().waiting_for.map(|what| view! {
                    <p class="waiting">{icon("hourglass")}{format!("Waiting for {what}")}</p>
                })}
                {move || problem.get().map(|problem| notice(Tone::Bad, problem.title, problem.detail))}
                {move || whole_failure.get().map(failure)}
                {move || actions(&actions_of, summary.get().state, offered.get(), asking.into(), ask)}
            </div>
            <div class="environment__columns">
                <div class="environment__main">
                    {move || { let told = told.get(); (!told.is_empty()).then(|| view! {
                        <section class="card" aria-labelledby="outputs"><h2 id="outputs">"Ready to use"</h2>{outputs(told)}</section>
                    })}}
                    <section aria-labelledby="servers">
                        <h2 id="servers">"Servers"</h2>
                        <div class="servers">
                            {move || servers.get().into_iter().map(|one| server(&servers_of, one)).collect::<Vec<_>>()}
                        </div>
                    </section>
                    {move || { let kept = kept.get(); (!kept.is_empty()).then(|| view! {
                        <section class="card" aria-labelledby="volumes"><h2 id="volumes">"Volumes"</h2>{volumes(kept)}</section>
                    })}}
                    {(!ordered.is_empty()).then(|| view! {
                        <section class="card" aria-labelledby="parameters"><h2 id="parameters">"As ordered"</h2>{parameters(ordered)}</section>
                    })}
                </div>
                <section class="environment__side card" aria-labelledby="timeline">
                    <h2 id="timeline">"Timeline"</h2>
                    {move || timeline(now, happened.get().items)}
                    {move || happened.get().next.map(|next| view! {
                        <p><a href=format!("/environments/{page}?timeline={next}#timeline")>"Earlier"</a></p>
                    })}
                </section>
            </div>
        </div>
    }
}

fn facts(now: Signal<i64>, summary: EnvironmentSummary) -> impl IntoView {
    view! {
        <p class="page-header__text">
            "From "<a href=format!("/catalog/{}", summary.template)>{summary.template.clone()}</a>
            {format!(" {}, ordered by {} ", summary.template_version, summary.owner)}
            {moment(now, summary.created_at)}
            {summary.next_event.map(|next| view! {
                <span class="next">{icon("clock")}{action_upcoming(next.action)}" "{moment(now, next.at)}</span>
            })}
        </p>
    }
}

#[cfg(feature = "hydrate")]
fn has_figures(detail: &EnvironmentDetail) -> bool {
    detail.servers.iter().any(|server| server.metrics.is_some())
}

/// What is left to show when the portal no longer knows the environment.
fn deleted(last: &EnvironmentDetail) -> EnvironmentDetail {
    let mut gone = last.clone();
    gone.summary.state = State::Deleted;
    gone.summary.waiting_for = None;
    gone.summary.next_event = None;
    EnvironmentDetail {
        servers: Vec::new(),
        volumes: Vec::new(),
        outputs: Vec::new(),
        failure: None,
        actions: Vec::new(),
        ..gone
    }
}
