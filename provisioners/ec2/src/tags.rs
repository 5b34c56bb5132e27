//! The tags by which Bookend knows what is its own. What does not carry [`INSTALLATION`] with this installation's id is never
//! changed, whatever else it carries.

use std::collections::BTreeMap;

/// Every key of ours begins so.
pub const PREFIX: &str = "bookend:";
/// Which installation (database) made it.
pub const INSTALLATION: &str = "bookend:installation";
pub const ENVIRONMENT: &str = "bookend:environment";
/// Only on servers that were launched alone; otherwise client token and launch index tell.
pub const SERVER: &str = "bookend:server";
pub const GENERATION: &str = "bookend:generation";
/// On volumes and their snapshots.
pub const VOLUME: &str = "bookend:volume";
pub const SNAPSHOT: &str = "bookend:snapshot";
/// Which of several calls for the same snapshot made it.
pub const CALL: &str = "bookend:call";
/// On a snapshot that is only to bring a volume to another zone: for which of its moves.
pub const MOVE: &str = "bookend:move";
/// What people read in Amazon's console.
pub const NAME: &str = "Name";

/// Keys and values, in the order of the keys: the same call always has the same text.
pub type Tags = BTreeMap<String, String>;

/// Those that an environment's things have, with some more.
pub fn of(base: &Tags, environment: &str, more: &[(&str, &str)]) -> Tags {
    let mut tags = base.clone();
    tags.insert(ENVIRONMENT.to_owned(), environment.to_owned());
    tags.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    tags
}
