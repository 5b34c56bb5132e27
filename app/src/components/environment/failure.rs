use leptos::prelude::*;

use crate::api::FailureView;
use crate::components::icon;

/// What failed: the step, the cause, the last lines, what to do.
pub fn failure(failure: FailureView) -> impl IntoView + use<> {
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
        </section>
    }
}
