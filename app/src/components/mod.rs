//! The pieces pages are made of: plain functions from values to views, one file each.

mod cover;
mod field;
mod icon;
mod moment;
mod notice;
mod wordmark;

pub use cover::cover;
pub use field::field;
pub use icon::{has_icon, icon};
pub use moment::moment;
pub use notice::notice;
pub use wordmark::wordmark;
