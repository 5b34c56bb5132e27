use leptos::prelude::*;

use super::icon;
use crate::words::Tone;

/// A short message that asks for attention. Bad news interrupt a screen reader, others wait their turn.
pub fn notice(tone: Tone, title: String, detail: Option<String>) -> impl IntoView + use<> {
    let picture = match tone {
        Tone::Good => "circle-check",
        Tone::Quiet | Tone::Busy => "info",
        Tone::Warning | Tone::Bad => "triangle-alert",
    };
    view! {
        <div class="notice" data-tone=tone.as_str() role=if tone == Tone::Bad { "alert" } else { "status" }>
            {icon(picture)}
            <div>
                <p class="notice__title">{title}</p>
                {detail.map(|detail| view! { <p class="notice__detail">{detail}</p> })}
            </div>
        </div>
    }
}
