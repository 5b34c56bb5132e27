use leptos::prelude::*;

use super::action_form;
use crate::api::{Action, FailureView};
use crate::components::icon;

/// The button that tries again: the environment's id, whether something is being asked, and what asks.
pub type Retry = (String, Signal<bool>, Callback<Action>);

/// What failed: the step, the cause, the last lines, what to do, and the button for it.
pub fn failure(failure: FailureView, retry: Option<Retry>) -> impl IntoView + use<> {
    let place = match failure.server {
        Some(server) => format!("{} on {server}", failure.step),
        None => failure.step,
    };
    view! {
        <section class="failure" aria-label="What failed">
            <p class="failure__step">{icon("triangle-alert")}{place}</p>
            <p class="failure__cause">{failure.cause}</p>
            {(!failure.lines.is_empty()).then(|| view! {
                <pre class="failure__lines" tabindex="0" aria-label="Last lines of the log">{failure.lines.join("\n")}</pre>
            })}
            {(!failure.remedy.is_empty()).then(|| view! {
                <p class="failure__remedy"><strong>"What to do: "</strong>{failure.remedy}</p>
            })}
            {retry.map(|(id, asking, ask)| action_form(&id, Action::Retry, "primary", "", asking, ask))}
        </section>
    }
}
