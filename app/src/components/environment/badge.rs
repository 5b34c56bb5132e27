use leptos::prelude::*;

use crate::api::State;
use crate::components::icon;
use crate::words::{state_icon, state_label, state_tone};

/// The state's word, picture and colour.
pub fn badge(state: State) -> impl IntoView + use<> {
    view! {
        <span class="badge" data-tone=state_tone(state).as_str() data-state=state.as_str()>
            {icon(state_icon(state))}
            {state_label(state)}
        </span>
    }
}
