//! The hub: every connected agent, seen from the portal.
//!
//! A provisioner hands over the streams agents dial ([`provisioners::AgentGateway`]). The hub checks the greeting, sends the
//! configuration, keeps reports and logs flowing into the database, and opens exec, terminal and port streams for people.
//! It knows the database only as an [`AgentDirectory`].
//!
//! Guaranteed:
//! - A log line is stored before anybody is shown it, and is stored exactly once however often links break.
//! - For one server the newest connection of the newest generation is the one that counts; every other is ended.
//! - Nothing an agent sends is unbounded: greeting, lines, batches and streams all have their limit.
//!
//! Deliberately absent: deciding anything about an environment. The directory wakes the engine, the engine decides.

mod directory;
mod history;
mod hub;
mod logs;
mod session;

pub use directory::{AgentDirectory, DirectoryError, EnrolError, Enrolled, LogBatch, Present};
pub use history::{STRETCH_MS, Stretch};
pub use hub::{FreezeError, Hub, OpenError, StopError};

#[cfg(test)]
mod tests;
