//! Bookend's user interface and the one service interface it stands on.
//!
//! Built twice: for the portal with feature `ssr` (pages rendered on the server, complete without script) and for the
//! browser with feature `hydrate` (islands come alive). Contains no SQL and does no I/O of its own.

pub mod api;
#[cfg(feature = "ssr")]
pub mod portal;
