use leptos::prelude::*;

#[cfg(feature = "ssr")]
use crate::site::exact;
#[cfg(not(feature = "ssr"))]
use crate::words::exact;
use crate::words::{iso, relative};

/// A moment as people say it, kept true as time passes, with the exact time on hover.
pub fn moment(now: Signal<i64>, at: i64) -> impl IntoView + use<> {
    view! { <time datetime=iso(at) title=exact(at)>{move || relative(now.get(), at)}</time> }
}
