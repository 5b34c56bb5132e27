use leptos::prelude::*;

use crate::api::{ProgressView, State};
use crate::words::{estimate, passed, state_label};

const ORDER: [&str; 6] = ["Ordered", "Preparing", "Starting", "Setting up", "Checking", "Ready"];
const PARK: [&str; 3] = ["Asked", "Parking", "Parked"];
const PARTS: &str = "<i></i><i></i><i></i><i></i>";
const DELETE: [&str; 3] = ["Asked", "Deleting", "Deleted"];

/// Which way an environment in this state is on, how far it has come, and where that leads.
fn way(state: State) -> (&'static [&'static str], usize, &'static str) {
    match state {
        State::Parking => (&PARK, 1, "parked"),
        State::Deleting => (&DELETE, 1, "deleted"),
        State::Ordered => (&ORDER, 0, "ready"),
        State::Preparing => (&ORDER, 1, "ready"),
        State::SettingUp => (&ORDER, 3, "ready"),
        State::Checking => (&ORDER, 4, "ready"),
        _ => (&ORDER, 2, "ready"),
    }
}

/// How far what was asked for has come, like a parcel's way: where it stands, the steps that were really taken, how long
/// it takes. `first`: it never was ready before.
pub fn track(now: Signal<i64>, state: State, progress: ProgressView, first: bool) -> impl IntoView + use<> {
    let (steps, reached, goal) = way(state);
    let ProgressView { done, total, state_since, .. } = progress;
    let counted = format!("{done} of {total} steps");
    let spoken = counted.clone();
    view! {
        <ol class="track" aria-label="Progress" inner_html=stations(steps, reached)></ol>
        <div
            class="progress"
            role="progressbar"
            aria-label="Steps taken"
            aria-valuemin="0"
            aria-valuemax=total.to_string()
            aria-valuenow=done.to_string()
            aria-valuetext=spoken
        >
            <span style=format!("inline-size:{}%", done * 100 / total.max(1))></span>
        </div>
        <p class="progress__words">
            <span>{move || standing(&counted, state, state_since, now.get())}</span>
            <span>{move || estimate(&progress, goal, first, now.get())}</span>
        </p>
    }
}

/// As text, for these are our own words alone, and the browser's part stays small.
fn stations(steps: &[&str], reached: usize) -> String {
    let mut drawn = String::new();
    for (number, step) in steps.iter().enumerate() {
        drawn += match number {
            number if number < reached => r#"<li data-standing="done">"#,
            number if number == reached => r#"<li data-standing="current" aria-current="step">"#,
            _ => r#"<li data-standing="ahead">"#,
        };
        drawn += r#"<span class="track__dot" aria-hidden="true"></span>"#;
        drawn += step;
        drawn += "</li>";
    }
    drawn
}

/// "7 of 13 steps · Setting up for 4 s".
fn standing(counted: &str, state: State, since: Option<i64>, now: i64) -> String {
    match since {
        Some(since) => format!("{counted} · {} for {}", state_label(state), passed(now - since)),
        None => counted.to_owned(),
    }
}

/// The way of one server of those that are under way: which of four steps it is at and for how long.
pub fn server_track(now: Signal<i64>, state: State, since: Option<i64>) -> Option<impl IntoView + use<>> {
    let step = match state {
        State::Ordered => "0",
        State::Starting => "1",
        State::SettingUp => "2",
        State::Checking => "3",
        _ => return None,
    };
    let words = move || match since {
        Some(since) => format!("Step {step} of 4, for {}", passed(now.get() - since)),
        None => format!("Step {step} of 4"),
    };
    Some(view! {
        <p class="steps" data-step=step>
            <span class="steps__parts" aria-hidden="true" inner_html=PARTS></span>
            <span>{words}</span>
        </p>
    })
}
