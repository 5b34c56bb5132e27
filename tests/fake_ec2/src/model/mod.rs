//! What there is in one account and region: resources, and how they are found.

pub mod filter;
pub mod kept;
pub mod machine;
pub mod network;
pub mod offer;
pub mod place;
pub mod shelf;
pub mod storage;

pub use filter::Filter;
pub use kept::Course;
pub use machine::{Instance, InstanceState, Launch, Market};
pub use network::{Group, Interface, Permission, Presence, Subnet, Vpc};
pub use place::{Place, Remembered};
pub use shelf::{Page, Resource, Shelf, Tags};
pub use storage::{Attachment, AttachmentState, Snapshot, SnapshotState, Volume, VolumeState};
