//! What Bookend decides, purely: values in, values out. No I/O and no clock of its own; the time is always passed in.

pub mod schedule;
pub mod template;
pub mod topology;
