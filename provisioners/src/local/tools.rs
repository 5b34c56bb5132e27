//! What steps are done with: found out once, when the provisioner is opened, and the same for every environment.

use std::path::PathBuf;

use holder::Outlet;

use super::disk::Owner;
use super::image::Root;
use super::layout::Layout;
use super::limits::Limits;
use super::tree::Support;

#[derive(Debug)]
pub struct Tools {
    /// The user that servers run as; nothing when they run as the portal's own.
    pub owner: Owner,
    /// Directory of the agent's version among the agents.
    pub agent: String,
    pub bubblewrap: PathBuf,
    pub host: Root,
    pub outlet: Option<Outlet>,
    pub limits: Limits,
    /// What the filesystem can do for snapshots.
    pub support: Support,
    /// No volume is attached to more than one server.
    pub separate_disks: bool,
}

impl Tools {
    pub fn agent(&self, layout: &Layout) -> PathBuf {
        layout.agents().join(&self.agent).join("bookend-agent")
    }
}
