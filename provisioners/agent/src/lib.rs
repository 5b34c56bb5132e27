//! The agent: the small program on each server that sets it up, watches its health and gives terminal, exec, logs and
//! ports. This library half is what agent and portal share: the HTTP API the agent serves ([`api`]), the byte frames of
//! exec and terminal ([`frame`]) and the link they meet on ([`link`]).
//!
//! The agent dials out, proves who it is, and then *serves*: the portal is the HTTP client. No inbound port on the server,
//! the same code for every provisioner.

pub mod api;
pub mod frame;
pub mod link;
pub mod run;
