//! The pieces of an environment: the same views on the server and in the islands that keep them current.

mod actions;
mod badge;
#[cfg(feature = "ssr")]
mod drill;
mod failure;
mod server;
mod sheet;
mod sparkline;
mod tags;
mod timeline;
mod track;
mod waiting;

pub use actions::{action_form, actions, leads_on};
pub use badge::badge;
#[cfg(feature = "ssr")]
pub use drill::drill_badge;
pub use failure::{Retry, failure};
pub use server::server;
pub use sheet::{outputs, pair, parameters, volumes};
pub use sparkline::sparkline;
pub use tags::tags;
pub use timeline::timeline;
pub use track::{server_track, track};
pub use waiting::waiting;
