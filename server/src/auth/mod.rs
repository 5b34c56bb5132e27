//! Who asks: passwords, sessions, API tokens, and how often guessing is allowed.
//!
//! Here is *how* people prove who they are; what they may then do is [`service`](crate::service)'s, and where a proof
//! travels (cookie, header) is [`http`](crate::http)'s. Guaranteed: no secret is stored or printed, only its hash; a person
//! who is disabled loses sessions, tokens and open connections at once ([`identity`]).
//!
//! Another way to prove who one is (OAuth2) ends where a password does: in `begin_session` of `service::signing_in`, for a
//! person of the database.

pub mod browser;
pub mod identity;
pub mod limit;
pub mod name;
pub mod password;
pub mod secret;
pub mod setup;
pub mod token;
