//! Apps behind ports of servers, each on a host of its own.
//!
//! The way there: a port's button leads to `/open/ENVIRONMENT/SERVER/PORT` on the portal, where the session is checked; from
//! there with a ticket that works once and soon ends to the app's own host; there the ticket is swapped for a cookie that
//! opens this one app and ends with the session. Every connection is opened through
//! [`Portal::open`](app::portal::Portal::open) and so authorised anew.
//!
//! Guaranteed: an app never sees the portal's cookies or tokens, nor its own way in; what it answers cannot set cookies for
//! the portal's host.

mod address;
mod enter;
mod page;
mod proxy;

pub use address::AppAddress;
pub use enter::{open, serve};
