//! What each address shows: one file per page, rendered on the server and complete without script.
//!
//! A page's handler asks the portal, then hands values to views. Where the portal refuses, [`crate::site`] answers with the
//! error page and the right status.

mod catalog;
mod error;
mod setup;
mod sign_in;

pub(crate) use catalog::catalog;
pub(crate) use error::error_content;
pub(crate) use setup::setup;
pub(crate) use sign_in::{local_path, sign_in};
