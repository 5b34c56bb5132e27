use leptos::prelude::*;

use crate::components::icon;

/// Where a person says that they want the browser's notifications; the script `notify.js` gives it its words. An `offer` is
/// there as long as the browser was not asked, a `choice` always: it keeps its room until the
/// script has come, so that nothing moves then. Without script there is nothing to choose.
pub fn notify(kind: &'static str) -> impl IntoView {
    view! {
        <div class="notify" data-notify=kind hidden={kind == "offer"}>
            <p class="notify__words" data-words></p>
            <button class="button" data-kind="plain" data-size="small" type="button">{icon("bell")}<span>"Notify me"</span></button>
        </div>
    }
}
