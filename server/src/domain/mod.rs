//! What Bookend decides, purely: values in, values out. No I/O and no clock of its own; the time is always passed in.

pub mod actions;
pub mod drill;
pub mod facts;
#[cfg(test)]
pub mod fixtures;
pub mod log;
pub mod note;
pub mod parking;
pub mod plan;
pub mod progress;
pub mod repository;
pub mod retention;
pub mod schedule;
pub mod state;
pub mod template;
pub mod topology;
