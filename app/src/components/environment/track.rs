use leptos::prelude::*;

use crate::api::State;
use crate::words::state_label;

const STEPS: [State; 6] =
    [State::Ordered, State::Preparing, State::Starting, State::SettingUp, State::Checking, State::Ready];

/// How far an order has come, like a parcel's way. Nothing once it has arrived or is on another way.
pub fn track(state: State) -> Option<impl IntoView + use<>> {
    let reached = STEPS.iter().position(|step| *step == state).filter(|_| state != State::Ready)?;
    Some(view! {
        <ol class="track" aria-label="Progress">
            {STEPS.iter().enumerate().map(|(number, step)| {
                let standing = match number {
                    number if number < reached => "done",
                    number if number == reached => "current",
                    _ => "ahead",
                };
                view! {
                    <li data-standing=standing aria-current=(number == reached).then_some("step")>
                        <span class="track__dot" aria-hidden="true"></span>
                        {state_label(*step)}
                    </li>
                }
            }).collect::<Vec<_>>()}
        </ol>
    })
}
