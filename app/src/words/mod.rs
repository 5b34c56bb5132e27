//! How Bookend says things: times, sizes, states, actions. Pure functions, the same words on the server and in the browser.

mod action;
mod size;
mod state;
mod time;

pub use action::*;
pub use size::*;
pub use state::*;
pub use time::*;
