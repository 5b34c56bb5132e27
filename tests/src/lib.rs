//! What the stories stand on: a real portal process, a client for its API, a real browser, and a look at what is left behind.
//!
//! Stories run the programs a person runs. `cargo xtask test` builds them and says where they are; see [`programs`].

pub mod amazon;
pub mod api;
pub mod browser;
pub mod copies;
pub mod house;
pub mod leftovers;
pub mod portal;
pub mod programs;
pub mod templates;
pub mod tryout;

pub use api::{Answer, Api};
pub use browser::Browser;
pub use house::{Guest, House};
pub use portal::{Portal, Setting};

/// Whatever goes wrong below a story ends it.
pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
