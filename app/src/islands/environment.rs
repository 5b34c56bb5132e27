use leptos::prelude::*;
use serde::{Deserialize, Serialize};

use super::connection::{connection_note, on_refusal};
use crate::api::{Action, ApiError, EnvironmentDetail, EnvironmentSummary, Page, ProgressView, State, TimelineEvent};
use crate::components::{
    actions, badge, failure, icon, leads_on, moment, notice, outputs, parameters, server, tags, timeline, track,
    volumes, waiting,
};
use crate::words::{Tone, action_upcoming, environment_title, state_sentence, tab_title};
use crate::{ask, live};

/// All that the environment page keeps current.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentNow {
    pub detail: EnvironmentDetail,
    pub timeline: Page<TimelineEvent>,
}

/// The environment page's content, current without reload: reads again whenever the portal says that something changed,
/// and every few seconds for the figures nobody announces.
#[island]
pub fn EnvironmentLive(
    initial: EnvironmentNow,
    /// Unix milliseconds on the server.
    now: i64,
    /// Where the part of the timeline that is shown is read again.
    timeline_address: String,
) -> impl IntoView {
    // By id: the name may change, and may be another environment's once this one is deleted.
    let id = initial.detail.summary.id.clone();
    let shown = RwSignal::new(as_shown(initial));
    let problem = RwSignal::new(None::<ApiError>);
    let asking = RwSignal::new(false);
    let reread = {
        let id = id.clone();
        let read = move || {
            let (id, timeline_address) = (id.clone(), timeline_address.clone());
            async move {
                let detail = ask::environment(&id).await?;
                Ok(EnvironmentNow { detail, timeline: ask::timeline(&timeline_address).await? })
            }
        };
        live::rereading(read, move |answer: Result<EnvironmentNow, ApiError>| match answer {
            Ok(current) => shown.set(as_shown(current)),
            Err(error) if error.status == 404 => shown.update(|gone| gone.detail = deleted(&gone.detail)),
            Err(error) => on_refusal(&error),
        })
    };
    live::every_few_seconds({
        let reread = reread.clone();
        move || {
            if shown.with_untracked(|shown| moves(&shown.detail)) {
                reread();
            }
        }
    });
    let connection = live::listen(format!("/api/v1/events?environment={id}"), {
        let reread = reread.clone();
        move |_| reread()
    });
    let acted = id.clone();
    let ask = Callback::new(move |action: Action| {
        let (id, reread) = (acted.clone(), reread.clone());
        asking.set(true);
        problem.set(None);
        leptos::task::spawn_local(async move {
            match ask::act(&id, action).await {
                Ok(detail) => shown.update(|shown| shown.detail = detail_as_shown(detail)),
                Err(error) => {
                    on_refusal(&error);
                    problem.set(Some(error));
                    // What was offered here was of another moment.
                    reread();
                }
            }
            asking.set(false);
        });
    });
    let state = part(shown, |shown| shown.detail.summary.state);
    let name = part(shown, |shown| shown.detail.summary.name.clone());
    Effect::new(move |before: Option<String>| {
        let name = name.get();
        document().set_title(&tab_title(&environment_title(&name, state.get())));
        if before.is_some_and(|before| before != name) {
            live::called_now(&format!("/environments/{name}"));
        }
        name
    });
    // Every second for what is under way, and calmly for what is past.
    let (seconds, now) = (live::ticking(now, 1), live::ticking(now, 5));
    view! {
        <div class="environment">
            {head(id.clone(), name, shown, now, connection)}
            <div class="environment__columns">
                {status(id.clone(), name, seconds, shown, problem, asking, ask)}
                {content(name, seconds, shown)}
                {side(id, name, shown, now, asking, ask)}
            </div>
        </div>
    }
}

/// One part of what is shown, which changes only when that part does.
fn part<T>(shown: RwSignal<EnvironmentNow>, of: impl Fn(&EnvironmentNow) -> T + Send + Sync + 'static) -> Memo<T>
where
    T: PartialEq + Send + Sync + 'static,
{
    Memo::new(move |_| shown.with(&of))
}

fn head(
    id: String,
    name: Memo<String>,
    shown: RwSignal<EnvironmentNow>,
    now: Signal<i64>,
    connection: ReadSignal<live::Connection>,
) -> impl IntoView {
    let summary = part(shown, |shown| shown.detail.summary.clone());
    let theirs = move || shown.with(|shown| !shown.detail.actions.is_empty());
    let snapshots = format!("/environments/{id}/snapshots");
    view! {
        <header class="page-header">
            <div class="page-header__line">
                <h1>{move || name.get()}</h1>
                {move || badge(summary.get().state)}
                {connection_note(connection)}
            </div>
            {move || facts(now, summary.get())}
            <div class="environment__about">
                {move || tags(summary.get().tags)}
                <a class="environment__edit" href=snapshots>{icon("layers")}"Snapshots"</a>
                {move || theirs().then(|| view! {
                    <a class="environment__edit" href=format!("/environments/{id}/files")>{icon("hard-drive")}"Files"</a>
                    <a class="environment__edit" href=format!("/environments/{id}/edit")>{icon("tag")}"Name, tags and note"</a>
                })}
            </div>
        </header>
    }
}

fn facts(now: Signal<i64>, summary: EnvironmentSummary) -> impl IntoView {
    let template = format!("/catalog/{}", summary.template);
    view! {
        <p class="page-header__text">
            "From "<a href=template>{summary.template}</a>
            {format!(" {}, ordered by {} ", summary.template_version, summary.owner)}
            {moment(now, summary.created_at)}
            {summary.next_event.map(|next| view! {
                <span class="next">{icon("clock")}<span>{action_upcoming(next.action)}" "{moment(now, next.at)}</span></span>
            })}
        </p>
    }
}

/// How it stands; what went wrong; and the way on.
fn status(
    id: String,
    name: Memo<String>,
    now: Signal<i64>,
    shown: RwSignal<EnvironmentNow>,
    problem: RwSignal<Option<ApiError>>,
    asking: RwSignal<bool>,
    ask: Callback<Action>,
) -> impl IntoView {
    let state = part(shown, |shown| shown.detail.summary.state);
    let when_parked = part(shown, |shown| shown.detail.when_parked.clone());
    let waiting_for = part(shown, |shown| shown.detail.summary.waiting_for.clone());
    let failed = part(shown, |shown| shown.detail.failure.clone());
    let way_on = part(shown, |shown| offered(&shown.detail, true));
    let first = move || shown.with_untracked(|shown| shown.detail.summary.ready_at.is_none());
    // A server that has to start again is further back; what was done stays done.
    let progress = Memo::new(move |before: Option<&Option<ProgressView>>| {
        let mut current = shown.with(|shown| shown.detail.progress.clone());
        if let (Some(current), Some(Some(before))) = (&mut current, before)
            && current.since == before.since
        {
            current.done = current.done.max(before.done);
        }
        current
    });
    let retried = id.clone();
    let retry = move || {
        let offered = failed.get().is_some() && way_on.get().contains(&Action::Retry);
        offered.then(|| (retried.clone(), Signal::from(asking), ask))
    };
    let rest = move || {
        let failed = failed.get().is_some();
        way_on.get().into_iter().filter(|action| !failed || *action != Action::Retry).collect::<Vec<_>>()
    };
    view! {
        <section class="environment__status card" aria-label="State">
            {move || progress.get().map(|progress| track(now, state.get(), progress, first()))}
            <div role="status">
                <p class="environment__sentence">{move || match state.get() {
                    State::Parked => when_parked.get(),
                    state => state_sentence(state).to_string(),
                }}</p>
                {move || waiting_for.get().map(waiting)}
            </div>
            {move || failed.get().map(|failed| failure(failed, retry()))}
            {move || problem.get().map(|problem| notice(Tone::Bad, problem.title, problem.detail))}
            {move || (!rest().is_empty()).then(|| actions(&id, &name.get(), state.get(), &when_parked.get(), rest(), asking.into(), ask))}
            {move || (state.get() == State::Deleted).then(|| view! { <p><a href="/environments">"See your environments"</a></p> })}
        </section>
    }
}

fn content(name: Memo<String>, now: Signal<i64>, shown: RwSignal<EnvironmentNow>) -> impl IntoView {
    let said = part(shown, |shown| shown.detail.failure.clone());
    let servers = part(shown, |shown| shown.detail.servers.clone());
    let told = part(shown, |shown| shown.detail.outputs.clone());
    let kept = part(shown, |shown| shown.detail.volumes.clone());
    let note = move || shown.with(|shown| shown.detail.note_html.clone());
    let ordered = shown.with_untracked(|shown| shown.detail.parameters.clone());
    view! {
        <div class="environment__main">
            {move || Some(note()).filter(|note| !note.is_empty()).map(|note| view! {
                <section class="card" aria-labelledby="note"><h2 id="note">"Note"</h2><div class="prose" inner_html=note></div></section>
            })}
            {move || Some(told.get()).filter(|told| !told.is_empty()).map(|told| view! {
                <section class="card" aria-labelledby="outputs"><h2 id="outputs">"Ready to use"</h2>{outputs(told)}</section>
            })}
            {move || Some(servers.get()).filter(|servers| !servers.is_empty()).map(|servers| view! {
                <section class="servers" aria-labelledby="servers">
                    <h2 id="servers">"Servers"</h2>
                    {servers.into_iter().map(|one| server(now, &name.get(), one, said.get().as_ref())).collect::<Vec<_>>()}
                </section>
            })}
            {move || Some(kept.get()).filter(|kept| !kept.is_empty()).map(|kept| view! {
                <section class="card" aria-labelledby="volumes"><h2 id="volumes">"Volumes"</h2>{volumes(kept)}</section>
            })}
            {(!ordered.is_empty()).then(|| view! {
                <section class="card" aria-labelledby="parameters"><h2 id="parameters">"As ordered"</h2>{parameters(ordered)}</section>
            })}
        </div>
    }
}

fn side(
    id: String,
    name: Memo<String>,
    shown: RwSignal<EnvironmentNow>,
    now: Signal<i64>,
    asking: RwSignal<bool>,
    ask: Callback<Action>,
) -> impl IntoView {
    let state = part(shown, |shown| shown.detail.summary.state);
    let when_parked = part(shown, |shown| shown.detail.when_parked.clone());
    let others = part(shown, |shown| offered(&shown.detail, false));
    let happened = part(shown, |shown| shown.timeline.clone());
    let template = shown.with_untracked(|shown| shown.detail.summary.template.clone());
    let again = move || format!("/catalog/{template}?from={}", name.get());
    view! {
        <div class="environment__side">
            {move || (!others.get().is_empty()).then(|| view! {
                <section class="card" aria-labelledby="actions">
                    <h2 id="actions">"Actions"</h2>
                    {actions(&id, &name.get(), state.get(), &when_parked.get(), others.get(), asking.into(), ask)}
                </section>
            })}
            <p><a class="button" data-kind="plain" href=again>{icon("copy")}"Order again"</a></p>
            <section class="card" aria-labelledby="timeline">
                <h2 id="timeline">"Timeline"</h2>
                {move || timeline(now, happened.get().items)}
                {move || happened.get().next.map(|next| view! {
                    <p><a href=format!("/environments/{}?timeline={next}#timeline", name.get())>"Earlier"</a></p>
                })}
            </section>
        </div>
    }
}

/// What can be asked for: the ways on, or all else.
fn offered(detail: &EnvironmentDetail, ways_on: bool) -> Vec<Action> {
    detail.actions.iter().copied().filter(|action| leads_on(*action) == ways_on).collect()
}

/// Whether something may change that no event announces.
fn moves(detail: &EnvironmentDetail) -> bool {
    !detail.summary.state.is_settled() || detail.summary.state == State::Ready
}

/// A deleted environment has nothing left but its timeline.
fn as_shown(current: EnvironmentNow) -> EnvironmentNow {
    EnvironmentNow { detail: detail_as_shown(current.detail), timeline: current.timeline }
}

fn detail_as_shown(detail: EnvironmentDetail) -> EnvironmentDetail {
    if detail.summary.state == State::Deleted { deleted(&detail) } else { detail }
}

/// What is left to show, also when the portal no longer knows the environment.
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
        progress: None,
        ..gone
    }
}
