//! What each address shows: one file per page, rendered on the server and complete without script.
//!
//! A page's handler asks the portal, then hands values to views. Where the portal refuses, [`crate::site`] answers with the
//! error page and the right status.

mod activity;
mod catalog;
mod compare;
mod components;
mod edit;
mod environment;
mod environments;
mod error;
mod files;
mod logs;
mod operator;
mod palette;
mod people;
mod profile;
mod repository;
mod setup;
mod sign_in;
mod snapshots;
mod template;
mod terminal;

pub(crate) use activity::activity;
pub(crate) use catalog::catalog;
pub(crate) use compare::compare;
pub(crate) use components::components;
pub(crate) use edit::edit;
pub(crate) use environment::environment;
pub(crate) use environments::{MANY, Ticked, confirm_many, environments};
pub(crate) use error::error_content;
pub(crate) use files::{address as files_address, bringing_back, files, restored_address, volumes};
pub(crate) use logs::logs;
pub(crate) use operator::operator;
pub(crate) use palette::palette;
pub(crate) use people::people;
pub(crate) use profile::{profile, profile_with};
pub(crate) use setup::setup;
pub(crate) use sign_in::{local_path, sign_in};
pub(crate) use snapshots::snapshots;
pub(crate) use template::template;
pub(crate) use terminal::{first_terminal, terminal};
