//! The pieces pages are made of: plain functions from values to views, one file each.

#[cfg(feature = "ssr")]
mod cover;
mod environment;
#[cfg(feature = "ssr")]
mod field;
mod icon;
mod log_line;
#[cfg(feature = "ssr")]
mod markdown;
mod moment;
mod notice;
#[cfg(feature = "ssr")]
mod notify;
#[cfg(feature = "ssr")]
mod parameter;
#[cfg(feature = "ssr")]
mod pattern;
#[cfg(feature = "ssr")]
mod progress;
#[cfg(feature = "ssr")]
mod quick_order;
#[cfg(feature = "ssr")]
mod wordmark;

#[cfg(feature = "ssr")]
pub use cover::cover;
pub use environment::*;
#[cfg(feature = "ssr")]
pub use field::{field, within_textarea};
#[cfg(feature = "ssr")]
pub use icon::icon_shape;
pub use icon::{has_icon, icon};
pub use log_line::log_line;
#[cfg(feature = "ssr")]
pub use markdown::{harmless_html, markdown};
pub use moment::moment;
pub use notice::notice;
#[cfg(feature = "ssr")]
pub use notify::notify;
#[cfg(feature = "ssr")]
pub use parameter::{parameter, parameter_rules};
#[cfg(feature = "ssr")]
pub use progress::progress;
#[cfg(feature = "ssr")]
pub use quick_order::quick_order;
#[cfg(feature = "ssr")]
pub use wordmark::wordmark;
