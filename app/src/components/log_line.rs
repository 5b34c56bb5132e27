use leptos::prelude::*;

use crate::api::LogLine;
use crate::words::{clock, exact, iso, plain};

/// One line: when, where from, and the text, made plain.
pub fn log_line(line: LogLine) -> impl IntoView + use<> {
    let source = line.source.clone();
    view! {
        <div class="log__line" data-source=source>
            <time datetime=iso(line.at) title=exact(line.at)>{clock(line.at)}</time>
            <span class="log__from">{line.server}<span class="log__source">{line.source}</span></span>
            <span class="log__text">{plain(&line.text)}</span>
        </div>
    }
}
