use leptos::prelude::*;

use crate::words::{exact, iso, relative};

/// A moment as people say it, with the exact time on hover.
pub fn moment(now: i64, at: i64) -> impl IntoView + use<> {
    view! { <time datetime=iso(at) title=exact(at)>{relative(now, at)}</time> }
}
