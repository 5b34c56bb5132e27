//! Parts of pages that live on in the browser. Rendered on the server first, from the same values and views.

mod connection;
mod environment;
mod logs;

pub use environment::{EnvironmentLive, EnvironmentNow};
pub use logs::{LOG_LINES, LogFollower};
