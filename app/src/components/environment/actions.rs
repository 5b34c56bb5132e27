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
/// of leaving the page. What destroys data is confirmed first.
pub fn actions(
    environment: &str,
    state: State,
    offered: Vec<Action>,
    asking: Signal<bool>,
    ask: Callback<Action>,
) -> impl IntoView + use<> {
    let environment = environment.to_string();
    view! {
        <ul class="actions" role="list">
            {offered.into_iter().map(|action| {
                let kind = if leads_on(action) { "primary" } else { "plain" };
                view! {
                    <li class="actions__item">
                        {if action == Action::Delete {
                            Either::Left(confirmed(&environment, action, state, asking, ask))
                        } else {
                            Either::Right(form(&environment, action, kind, asking, ask))
                        }}
                        <p class="actions__consequence">{action_consequence(action, state)}</p>
                    </li>
                }
            }).collect::<Vec<_>>()}
        </ul>
    }
}

fn form(
    environment: &str,
    action: Action,
    kind: &'static str,
    asking: Signal<bool>,
    ask: Callback<Action>,
) -> impl IntoView + use<> {
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        ask.run(action);
    };
    view! {
        <form method="post" action=format!("/environments/{environment}") on:submit=submit>
            <input type="hidden" name="action" value=action.as_str()/>
            <button class="button" data-kind=kind type="submit" disabled=move || asking.get()>
                {icon(action_icon(action))}
                {action_label(action)}
            </button>
        </form>
    }
}

/// A button that opens a confirmation; browsers do that without script.
fn confirmed(
    environment: &str,
    action: Action,
    state: State,
    asking: Signal<bool>,
    ask: Callback<Action>,
) -> impl IntoView + use<> {
    let (id, title) = (format!("confirm-{}", action.as_str()), format!("confirm-{}-title", action.as_str()));
    let (target, close, labelled_by) = (id.clone(), id.clone(), title.clone());
    view! {
        <button class="button" data-kind="danger" type="button" popovertarget=target>
            {icon(action_icon(action))}
            {format!("{}…", action_label(action))}
        </button>
        <div id=id class="dialog" popover="auto" role="dialog" aria-labelledby=labelled_by>
            <h2 id=title>{format!("{} {environment}?", action_label(action))}</h2>
            <p>{action_consequence(action, state)}</p>
            <div class="dialog__buttons">
                <button class="button" data-kind="plain" type="button" popovertarget=close popovertargetaction="hide" autofocus>
                    "Keep it"
                </button>
                {form(environment, action, "danger", asking, ask)}
            </div>
        </div>
    }
}
