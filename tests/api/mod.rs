//! The REST API, on a whole portal over real TCP.

mod apps;
mod change;
mod clones;
mod describe;
mod description;
mod files;
mod orders;
mod problems;
mod sign_in;
mod snapshots;
mod starting;
