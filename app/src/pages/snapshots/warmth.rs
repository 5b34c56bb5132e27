//! Of a snapshot's line, how it stands with beginning with it at full speed, and the way to have that, its price said before.

use leptos::either::Either;
use leptos::prelude::*;

use super::button;
use crate::api::{SnapshotWarmth, SnapshotWarmthState};
use crate::components::{icon, moment};
use crate::words::{count, dollars};

/// What may be chosen from; the command line takes any number.
const HOURS: [u32; 7] = [1, 2, 4, 8, 24, 72, 168];
const USUAL: u32 = 4;

pub(super) fn warm_line(now: Signal<i64>, warmth: &SnapshotWarmth) -> Option<impl IntoView + use<>> {
    let zones = warmth.zones.join(", ");
    let hour = dollars(warmth.hour_cents);
    let doing = warmth.doing.as_deref().map(|doing| format!(" ({doing})")).unwrap_or_default();
    let (words, ends) = match warmth.state {
        SnapshotWarmthState::Cold => return None,
        SnapshotWarmthState::Preparing => {
            (format!("Back at full speed in {zones}: getting ready{doing}; {hour} an hour"), Some(" · ends "))
        }
        SnapshotWarmthState::Ready => (format!("Back at full speed in {zones}; {hour} an hour"), Some(" · ends ")),
        SnapshotWarmthState::Ending => (format!("Back at full speed in {zones}: being ended"), None),
        SnapshotWarmthState::Ended => (format!("Was back at full speed in {zones}"), Some(" · ended ")),
        SnapshotWarmthState::Refused => {
            let why = warmth.failure.as_deref().unwrap_or("nobody says why");
            (format!("Not back at full speed in {zones}: {why}"), None)
        }
    };
    let moving = matches!(warmth.state, SnapshotWarmthState::Preparing | SnapshotWarmthState::Ending).then_some("");
    let ends = ends.zip(warmth.until).map(|(ends, at)| view! { {ends}{moment(now, at)} });
    Some(view! { <p class="list__more" dir="auto" data-moving=moving>{words}{ends}</p> })
}

/// To have it, or to end it.
pub(super) fn warm_form(address: &str, id: &str, warmth: &SnapshotWarmth) -> Option<impl IntoView + use<>> {
    if matches!(warmth.state, SnapshotWarmthState::Preparing | SnapshotWarmthState::Ready) {
        return Some(Either::Left(button(address, id, "cool", "End full speed", "x")));
    }
    if !warmth.offered || warmth.state == SnapshotWarmthState::Ending {
        return None;
    }
    let (address, id, hour) = (address.to_owned(), id.to_owned(), warmth.hour_cents);
    let field = format!("hours-{id}");
    let words = format!(
        "What is restored from it reads at full speed at once, in {}. Amazon asks for about {} an hour, and for one hour at least. It is \
         ready after up to an hour for each TiB, and ends by itself.",
        warmth.zones.join(", "),
        dollars(hour),
    );
    let choice = |hours: u32| {
        let label = format!("{}, {}", count(hours, "hour"), dollars(hour * u64::from(hours)));
        view! { <option value=hours.to_string() selected=hours == USUAL>{label}</option> }
    };
    Some(Either::Right(view! {
        <details class="snapshot__restore">
            <summary>"Full speed…"</summary>
            <form method="post" action=address>
                <input type="hidden" name="snapshot" value=id/>
                <p class="list__more">{words}</p>
                <label class="field__label" for=field.clone()>"For"</label>
                <select id=field name="hours">{HOURS.map(choice).collect_view()}</select>
                <button class="button" data-kind="primary" data-size="small" type="submit" name="do" value="warm">
                    {icon("zap")}"Keep it at full speed"
                </button>
            </form>
        </details>
    }))
}
