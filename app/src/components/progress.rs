use leptos::prelude::*;

/// How far something long has come: a bar, what is said of it, and how it can be ended. `share` is between 0 and 1.
pub fn progress(share: Option<f64>, words: String, end: &'static str) -> impl IntoView + use<> {
    let percent = share.map(|share| (share.clamp(0.0, 1.0) * 100.0).round().to_string());
    view! {
        <div class="work">
            <progress max="100" value=percent aria-label="How far it has come"></progress>
            <p class="work__words" role="status">{words}</p>
            <p class="list__more">{end}</p>
        </div>
    }
}
