//! Stories of the portable repository, told with the real restic.
//!
//! Run as root, as the rest of the suite is, they also hold owners against what they were.

mod bucket;
mod damage;
mod fixture;
mod locks;
mod restic;
mod round_trip;
mod trees;
