//! Where everything is on the disk, and where the same is in a holder's root and in a server.
//!
//! ```text
//! lock                         held by the portal that uses this directory
//! agent/KEY/bookend-agent      a copy of the agent, one per version
//! tried                        under which circumstances a trial server ran
//! installation                 names this provisioner among others on the machine
//! images/NAME/                 roots that servers' disks are laid over
//! trash/                       on its way out
//! snapshots/ENVIRONMENT/ID/    snapshot.json, volumes/ID/, index/ID, manifest.json, damage
//! environments/ID/
//!   lock                       held by the environment's holder as long as it lives
//!   holder/holder.sock         the holder's socket
//!   link/portal.sock           the portal's socket for this environment's agents
//!   volumes/ID/                volume.json, data/; restoring.json or failed while or because it is not there
//!   servers/ID/stopped         the last generation that was stopped: it never starts again
//!   servers/ID/GENERATION/     record.json, identity (until started), disk/ and work/ of the overlay
//! ```
//!
//! Everything that must be found again is found by these names; nothing is kept anywhere else.

use std::path::{Path, PathBuf};

use crate::{EnvironmentId, ServerId, SnapshotId, VolumeId};

/// In a holder's root.
pub mod inside {
    pub const AGENT: &str = "/run/agent";
    pub const IMAGES: &str = "/run/images";
    pub const ENVIRONMENT: &str = "/run/env";
    pub const BUBBLEWRAP: &str = "/run/bwrap";
    /// Where a server's root is mounted before the sandbox takes it.
    pub const ROOT: &str = "/mnt";
}

/// In a server.
pub mod server {
    pub const AGENT: &str = "/run/bookend/bookend-agent";
    pub const IDENTITY: &str = "/run/bookend/identity";
    pub const LINK: &str = "/run/bookend/link";
    pub const SOCKET: &str = "/run/bookend/link/portal.sock";
}

/// The provisioner's directory.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }
    pub fn root(&self) -> &Path {
        &self.root
    }
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }
    pub fn agents(&self) -> PathBuf {
        self.root.join("agent")
    }
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }
    pub fn trash(&self) -> PathBuf {
        self.root.join("trash")
    }
    pub fn environments(&self) -> PathBuf {
        self.root.join("environments")
    }
    pub fn environment(&self, id: &EnvironmentId) -> EnvironmentLayout {
        EnvironmentLayout { root: self.environments().join(id.as_str()) }
    }
    pub fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }
    pub fn snapshots_of(&self, environment: &EnvironmentId) -> PathBuf {
        self.snapshots().join(environment.as_str())
    }
    pub fn snapshot(&self, environment: &EnvironmentId, id: &SnapshotId) -> SnapshotLayout {
        let parent = self.snapshots_of(environment);
        SnapshotLayout { root: parent.join(id.as_str()), parent }
    }
    /// A place that is tried out before any environment is made.
    pub fn trial(&self) -> EnvironmentLayout {
        EnvironmentLayout { root: self.root.join("trial") }
    }
    pub fn tried(&self) -> PathBuf {
        self.root.join("tried")
    }
    pub fn installation(&self) -> PathBuf {
        self.root.join("installation")
    }
}

/// One environment's directory.
#[derive(Clone, Debug)]
pub struct EnvironmentLayout {
    root: PathBuf,
}

impl EnvironmentLayout {
    pub fn root(&self) -> &Path {
        &self.root
    }
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }
    pub fn holder(&self) -> PathBuf {
        self.root.join("holder")
    }
    pub fn link(&self) -> PathBuf {
        self.root.join("link")
    }
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }
    pub fn volume(&self, id: &VolumeId) -> PathBuf {
        self.volumes().join(id.as_str())
    }
    /// What is being put into a volume.
    pub fn staging(&self, id: &VolumeId) -> PathBuf {
        self.volume(id).join("staging")
    }
    pub fn servers(&self) -> PathBuf {
        self.root.join("servers")
    }
    pub fn server(&self, id: &ServerId) -> PathBuf {
        self.servers().join(id.as_str())
    }
    pub fn generation(&self, id: &ServerId, generation: i64) -> PathBuf {
        self.server(id).join(generation.to_string())
    }
}

/// One snapshot's directory.
#[derive(Clone, Debug)]
pub struct SnapshotLayout {
    root: PathBuf,
    parent: PathBuf,
}

impl SnapshotLayout {
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// Of all snapshots of the environment.
    pub fn parent(&self) -> &Path {
        &self.parent
    }
    pub fn record(&self) -> PathBuf {
        self.root.join("snapshot.json")
    }
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }
    pub fn volume(&self, id: &VolumeId) -> PathBuf {
        self.volumes().join(id.as_str())
    }
    pub fn indexes(&self) -> PathBuf {
        self.root.join("index")
    }
    pub fn index(&self, id: &VolumeId) -> PathBuf {
        self.indexes().join(id.as_str())
    }
    pub fn manifest(&self) -> PathBuf {
        self.root.join("manifest.json")
    }
    pub fn damage(&self) -> PathBuf {
        self.root.join("damage")
    }
}
