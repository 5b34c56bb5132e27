//! Templates: the YAML language of the catalog, read strictly, and its compilation into a
//! [`Topology`](super::topology::Topology).
//!
//! One way through: [`read`] gives a [`Template`] or everything that is wrong with the file; [`resolve`] fits an order's
//! values to its parameters; [`compile`] makes the topology that is stored with the environment, in which secrets stay names
//! until [`finish`] puts them into a text that leaves for its one destination.
//!
//! Guaranteed: a template that was read compiles for every order that resolves. Parameters reach scripts as environment
//! variables and files ([`parameter_variables`]) and never as part of a script's text: [`compile`] copies scripts and
//! commands as they stand. Deliberately absent: conditions, loops, includes, anything that executes.

mod compile;
mod differences;
mod expression;
mod model;
pub mod names;
mod order;
mod problem;
pub mod quantity;
mod read;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use provisioners::Secret;

pub use compile::compile;
pub use differences::differences;
pub use expression::{Name, Text, finish};
pub use model::{Count, Limits, Output, SIZES, Server, Service, Size, Template, Volume, size_named};
pub use order::{Values, carried_over, check_value, resolve};
pub use problem::{Position, Problem, Problems, did_you_mean};
pub use read::{MAX_BYTES, name_in, read};

/// The JSON Schema of templates (draft 2020-12), for editors.
pub const SCHEMA: &str = include_str!("schema.json");

/// What scripts, services, exec and terminal find in their environment: each parameter as `BOOKEND_PARAM_NAME`. The result
/// holds the secrets in the clear: it goes into the agent's configuration and nowhere else.
pub fn parameter_variables(
    plain: &BTreeMap<String, String>,
    secrets: &BTreeMap<String, Secret>,
) -> BTreeMap<String, String> {
    let secrets = secrets.iter().map(|(name, secret)| (name, secret.reveal()));
    let plain = plain.iter().map(|(name, value)| (name, value.as_str()));
    plain.chain(secrets).map(|(name, value)| (names::parameter_variable(name), value.to_owned())).collect()
}
