use leptos::either::Either;
use leptos::ev::SubmitEvent;
use leptos::prelude::*;

use crate::api::{Action, State};
use crate::components::icon;
use crate::words::{action_consequence, action_icon, action_label};

/// Whether this is the way on from a state that is not the one people want.
pub fn leads_on(action: Action) -> bool {
    matches!(action, Action::Retry | Action::Resume)
}

/// What can be asked for now, each with its consequence. Works as plain forms; where script runs, `ask` is called instead
/// of leaving the page. What destroys data is confirmed first, by typing the `name`.
pub fn actions(
    id: &str,
    name: &str,
    state: State,
    when_parked: &str,
    offered: Vec<Action>,
    asking: Signal<bool>,
    ask: Callback<Action>,
) -> impl IntoView + use<> {
    let (id, name) = (id.to_string(), name.to_string());
    view! {
        <ul class="actions" role="list">
            {offered.into_iter().map(|action| {
                let kind = if leads_on(action) { "primary" } else { "plain" };
                view! {
                    <li class="actions__item">
                        {if action == Action::Delete {
                            Either::Left(confirmed(&id, &name, state, asking, ask))
                        } else {
                            Either::Right(action_form(&id, action, kind, "", asking, ask))
                        }}
                        <p class="actions__consequence">
                            {if action == Action::Park { when_parked.to_string() } else { action_consequence(action, state).to_string() }}
                        </p>
                    </li>
                }
            }).collect::<Vec<_>>()}
        </ul>
    }
}

/// One action as a form. With a `name`, that has to be typed first: the browser sees to it, and the portal again.
pub fn action_form(
    id: &str,
    action: Action,
    kind: &'static str,
    name: &str,
    asking: Signal<bool>,
    ask: Callback<Action>,
) -> impl IntoView + use<> {
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        ask.run(action);
    };
    let typed = (!name.is_empty()).then(|| {
        let (pattern, title) = (name.to_string(), name.to_string());
        view! {
            <label class="field__label" for="typed-name">"Its name, to be sure"</label>
            <input
                id="typed-name" name="confirm" type="text" required pattern=pattern title=title autocomplete="off"
                autocapitalize="none" spellcheck="false"
            />
        }
    });
    view! {
        <form class="action" method="post" action=format!("/environments/{id}") on:submit=submit>
            <input type="hidden" name="action" value=action.as_str()/>
            {typed}
            <button class="button" data-kind=kind type="submit" disabled=move || asking.get()>
                {icon(action_icon(action))}
                {action_label(action)}
            </button>
        </form>
    }
}

/// A button that opens a confirmation; browsers do that without script.
fn confirmed(id: &str, name: &str, state: State, asking: Signal<bool>, ask: Callback<Action>) -> impl IntoView + use<> {
    view! {
        <button class="button" data-kind="danger" type="button" popovertarget="confirm-delete">
            {icon(action_icon(Action::Delete))}
            "Delete…"
        </button>
        <div id="confirm-delete" class="dialog" popover="auto" role="dialog" aria-labelledby="confirm-delete-title">
            <h2 id="confirm-delete-title">"Delete "{name.to_string()}"?"</h2>
            <p>{action_consequence(Action::Delete, state)}</p>
            {action_form(id, Action::Delete, "danger", name, asking, ask)}
            <button class="button" data-kind="plain" type="button" popovertarget="confirm-delete" popovertargetaction="hide" autofocus>
                "Keep it"
            </button>
        </div>
    }
}
