//! Every state of an environment has its own words, picture and colour.

use crate::api::State;

/// Which of the design system's colours a state or message wears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing is going on.
    Quiet,
    /// Work is under way.
    Busy,
    Good,
    Warning,
    Bad,
}

impl Tone {
    pub fn as_str(self) -> &'static str {
        match self {
            Tone::Quiet => "quiet",
            Tone::Busy => "busy",
            Tone::Good => "good",
            Tone::Warning => "warning",
            Tone::Bad => "bad",
        }
    }
}

/// The state's name on a badge.
pub fn state_label(state: State) -> &'static str {
    match state {
        State::Ordered => "Ordered",
        State::Preparing => "Preparing",
        State::Starting => "Starting",
        State::SettingUp => "Setting up",
        State::Checking => "Checking",
        State::Ready => "Ready",
        State::Repairing => "Repairing",
        State::Parking => "Parking",
        State::Parked => "Parked",
        State::Deleting => "Deleting",
        State::Deleted => "Deleted",
        State::Failed => "Failed",
    }
}

/// What the state means for the person, in one sentence.
/// What the browser's tab says of an environment, so that how it stands is seen from any other tab.
pub fn environment_title(name: &str, state: State) -> String {
    format!("{name}: {state}")
}

pub fn state_sentence(state: State) -> &'static str {
    match state {
        State::Ordered => "Your order is confirmed. Work begins in a moment.",
        State::Preparing => "The private network and the volumes are being made.",
        State::Starting => "The servers are starting.",
        State::SettingUp => "Set-up scripts are running on the servers.",
        State::Checking => "The services run. The last health checks have to pass.",
        State::Ready => "Everything is healthy and yours to use.",
        State::Repairing => "Something stopped working and is being put right.",
        State::Parking => "The servers are going down. Your data stays.",
        State::Parked => "The servers are down. Your data and your place are kept.",
        State::Deleting => "Servers and volumes are being removed.",
        State::Deleted => "This environment is gone, and so is its data.",
        State::Failed => "Bookend has stopped trying. Below is why, and what to do.",
    }
}

pub fn state_icon(state: State) -> &'static str {
    match state {
        State::Ordered => "book-open",
        State::Preparing => "package-open",
        State::Starting => "play",
        State::SettingUp => "wrench",
        State::Checking => "hourglass",
        State::Ready => "circle-check",
        State::Repairing => "wrench",
        State::Parking | State::Parked => "circle-pause",
        State::Deleting | State::Deleted => "trash-2",
        State::Failed => "triangle-alert",
    }
}

pub fn state_tone(state: State) -> Tone {
    match state {
        State::Ready => Tone::Good,
        State::Failed => Tone::Bad,
        State::Repairing => Tone::Warning,
        State::Parked | State::Deleted => Tone::Quiet,
        _ => Tone::Busy,
    }
}
