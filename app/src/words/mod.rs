//! How Bookend says things: times, sizes, states, actions. Pure functions, the same words on the server and in the browser.

mod action;
mod log;
mod progress;
mod record;
mod size;
mod state;
mod time;

pub use action::*;
pub use log::*;
pub use progress::*;
pub use record::*;
pub use size::*;
pub use state::*;
pub use time::*;

/// What a list of leftovers is not about; `silent`: names of provisioners that do not answer.
pub fn left_out(silent: &[&str]) -> Option<String> {
    let names = silent.iter().map(|name| format!("“{name}”")).collect::<Vec<_>>().join(", ");
    let (answers, has) = if silent.len() == 1 { ("does not answer", "it has") } else { ("do not answer", "they have") };
    (!silent.is_empty()).then(|| format!("{names} {answers}: of what {has} only what was found before is told."))
}

/// Said where a list of leftovers is empty; `left_out`: what it is not about.
pub fn nothing_left_over(left_out: Option<&String>) -> &'static str {
    match left_out {
        None => "Nothing is left over: all that the provisioners have belongs to an environment.",
        Some(_) => "Nothing is known to be left over.",
    }
}

/// What the browser's tab says: what the page is about, then where one is.
pub fn tab_title(title: &str) -> String {
    if title == "Bookend" { title.to_owned() } else { format!("{title} · Bookend") }
}
