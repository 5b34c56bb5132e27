use leptos::prelude::*;

use crate::api::LogLine;
use crate::words::{clock, exact, find, iso, plain};

/// One line: when, where from, and the text, made plain, with what was searched for marked in it. Before it, what was
/// skipped.
pub fn log_line(line: LogLine, search: &str) -> impl IntoView + use<> {
    let source = line.source.clone();
    let skipped = line.skipped;
    let (parts, rest) = marked(&plain(&line.text), search);
    view! {
        {(skipped > 0).then(|| view! {
            <p class="log__skipped">{skipped}" lines came too quickly to be shown. They are in the download."</p>
        })}
        <div class="log__line" data-source=source data-level=line.level.map(|level| level.as_str())>
            <time datetime=iso(line.at) title=exact(line.at)>{clock(line.at)}</time>
            <span class="log__from">{line.server}<span class="log__source">{line.source}</span></span>
            <span class="log__text" dir="auto">
                {parts.into_iter().map(|(before, found)| view! { {filled(before)}<mark>{found}</mark> }).collect::<Vec<_>>()}
                {filled(rest)}
            </span>
        </div>
    }
}

/// An empty text is drawn as a space.
fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// The text in pairs of what does not match and what does, and the rest.
fn marked(text: &str, search: &str) -> (Vec<(String, String)>, String) {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some(at) = find(rest, search) {
        let end = at + search.len();
        parts.push((rest[..at].to_owned(), rest[at..end].to_owned()));
        rest = &rest[end..];
    }
    (parts, rest.to_owned())
}
