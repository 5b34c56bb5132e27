//! What pages, REST API and CLI exchange with the portal: plain data, the same on both sides of the wire.
//!
//! Times are Unix milliseconds (`i64`), sizes bytes, durations milliseconds; names say so where it is not plain.

mod activity;
mod catalog;
mod drill;
mod environment;
mod error;
mod files;
mod log;
mod operator;
mod people;
mod repository;
mod snapshot;
mod work;

pub use activity::*;
pub use catalog::*;
pub use drill::*;
pub use environment::*;
pub use error::*;
pub use files::*;
pub use log::*;
pub use operator::*;
pub use people::*;
pub use repository::*;
pub use snapshot::*;
pub use work::*;

use serde::{Deserialize, Serialize};

/// One page of a longer list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Give this as `cursor` for the next page; absent on the last.
    pub next: Option<String>,
}
