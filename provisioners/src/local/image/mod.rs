//! Images: the read-only directories that servers' disks are laid over. Each is made once, whole or not at all, under a
//! name that says what is in it, and used by any number of servers.

pub mod host;
pub mod oci;

/// What a server is made over, ready to use.
pub use super::sandbox::Root;
