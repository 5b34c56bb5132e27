//! The local provisioner at work: real namespaces, real sandboxes, real portals that are really killed.

mod attack_29;
mod attack_30;
mod conformance;
mod files;
mod images;
mod place;
mod registry;
