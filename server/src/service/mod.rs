//! The use cases: what people, programs and schedules can ask of Bookend.

pub mod catalog;
