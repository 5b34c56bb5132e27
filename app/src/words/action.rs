//! What a person can ask for, and what it will do, said before the click.

use crate::api::{Action, State};

pub fn action_label(action: Action) -> &'static str {
    match action {
        Action::Park => "Park",
        Action::Resume => "Resume",
        Action::Restart => "Restart",
        Action::Delete => "Delete",
        Action::Retry => "Try again",
        Action::Cancel => "Cancel",
        Action::Force => "Force",
    }
}

/// The consequence, as the person should know it before asking.
pub fn action_consequence(action: Action, state: State) -> &'static str {
    match action {
        Action::Park => "Takes the servers down. Names, settings and data stay, and Resume brings all of it back.",
        Action::Resume => "Brings the servers back, with the same names and the same data.",
        Action::Restart => "Replaces the servers by new ones on the same volumes. Running programs are interrupted.",
        Action::Delete => "Removes servers and volumes. What the volumes hold is kept in a final snapshot for 14 days.",
        Action::Retry => "Tries the failed step again, now.",
        Action::Cancel => match state {
            State::Parking => "Stops taking it down and keeps it running.",
            State::Deleting => "Stops deleting where that is still possible.",
            _ => "Stops what is under way. What has been started is taken down again.",
        },
        Action::Force => match state {
            State::Failed => "Deletes the volumes now, without a final snapshot. This cannot be undone.",
            _ => "Ends the servers now, without waiting for their services to finish.",
        },
    }
}

pub fn action_icon(action: Action) -> &'static str {
    match action {
        Action::Park => "pause",
        Action::Resume => "play",
        Action::Restart => "rotate-ccw",
        Action::Delete => "trash-2",
        Action::Retry => "refresh-cw",
        Action::Cancel => "ban",
        Action::Force => "zap",
    }
}

/// What is being done, as a result is told: "Parking 3 environments".
pub fn action_progress(action: Action) -> &'static str {
    match action {
        Action::Park => "Parking",
        Action::Resume => "Resuming",
        Action::Restart => "Restarting",
        Action::Delete => "Deleting",
        Action::Retry => "Trying again:",
        Action::Cancel => "Cancelling",
        Action::Force => "Forcing down",
    }
}

/// The next thing on the schedule: "parks", "resumes".
pub fn action_upcoming(action: Action) -> &'static str {
    match action {
        Action::Park => "Parks",
        Action::Resume => "Resumes",
        Action::Restart => "Restarts",
        Action::Delete => "Is deleted",
        Action::Retry => "Tries again",
        Action::Cancel => "Stops",
        Action::Force => "Is forced down",
    }
}

/// From a form's value.
pub fn parse_action(word: &str) -> Option<Action> {
    Action::ALL.into_iter().find(|action| action.as_str() == word)
}
