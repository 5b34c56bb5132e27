//! The portal: everything behind the `bookend` binary. `main.rs` only wires; tests build the same parts from here.

pub mod agents;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod domain;
pub mod engine;
pub mod http;
pub mod keys;
pub mod serve;
pub mod service;
pub mod store;
