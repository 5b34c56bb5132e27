//! Whether what is kept of an environment was seen to come back.

use leptos::prelude::*;

use crate::api::{DrillReach, DrillView};
use crate::components::{icon, moment};

/// With the date of the last restore drill; nothing when there was none.
pub fn drill_badge(now: Signal<i64>, drill: Option<DrillView>) -> impl IntoView {
    drill.and_then(|drill| drill.last).map(|last| {
        let (tone, words) = match (&last.failure, last.reach) {
            (Some(_), _) => ("bad", "Restore drill failed "),
            (None, DrillReach::Ready) => ("good", "Restore drilled "),
            (None, DrillReach::Data) => ("good", "Restore of the data drilled "),
        };
        view! { <span class="badge" data-tone=tone>{icon("shield-check")}{words}{moment(now, last.ended_at)}</span> }
    })
}
