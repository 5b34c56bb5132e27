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

/// What the browser's tab says: what the page is about, then where one is.
pub fn tab_title(title: &str) -> String {
    if title == "Bookend" { title.to_owned() } else { format!("{title} · Bookend") }
}
