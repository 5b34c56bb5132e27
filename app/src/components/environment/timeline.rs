use leptos::prelude::*;

use crate::api::TimelineEvent;
use crate::components::moment;
use crate::words::Tone;

/// What happened, newest first, in people's words.
pub fn timeline(now: Signal<i64>, events: Vec<TimelineEvent>) -> impl IntoView + use<> {
    view! {
        <ol class="timeline" role="list">
            {events.into_iter().map(|event| {
                let by = event.actor.map(|actor| format!(" · {actor}")).unwrap_or_default();
                view! {
                    <li data-tone=tone(&event.kind).as_str()>
                        <p class="timeline__message">{event.message}</p>
                        <p class="timeline__when">{moment(now, event.at)}{by}</p>
                    </li>
                }
            }).collect::<Vec<_>>()}
        </ol>
    }
}

fn tone(kind: &str) -> Tone {
    if kind.ends_with("failed") || kind.starts_with("failed") {
        Tone::Bad
    } else if kind.ends_with("ready") || kind == "healthy" {
        Tone::Good
    } else if kind.starts_with("drift") || kind.starts_with("repair") {
        Tone::Warning
    } else {
        Tone::Quiet
    }
}
