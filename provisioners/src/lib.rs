//! What a provisioner is, in types: the seam between the engine's plans and the machines of one place.
//!
//! The engine is the only caller. It hands over one [`Effect`] at a time, after the effect is committed to the database,
//! and learns what became of it by [`Provisioner::observe`]. The contract, in words: **any call may be repeated, after a
//! crash, by another process**. A provisioner therefore keeps nothing in memory that it cannot find again, finds things by
//! the tag it put on them (environment, server, generation) even if it never learned their own id, and never reads "not
//! found" as proof that a request did not happen.
//!
//! Deliberately absent: what runs *inside* a server. That is the agent's, and the same for every provisioner.

mod ledger;
pub mod local;
mod types;

#[cfg(feature = "conformance")]
pub mod conformance;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{broadcast, watch};

pub use ledger::{Ledger, LedgerError, Page, PageChange};
pub use types::*;

/// A place where servers can be had.
#[async_trait]
pub trait Provisioner: Send + Sync {
    /// The name templates and people use: `local`, `ec2`.
    fn name(&self) -> &str;

    /// What this provisioner can do here (kernel features, filesystem, tools, what a region offers), as it is known by now. Asks
    /// nobody: whoever needs it asks anew each time, for it may change.
    fn capabilities(&self) -> Capabilities;

    /// Everything that carries our tag for these environments. An environment of which nothing exists comes back with
    /// nothing in it; one that nothing can be said about is left out of the answer where others were asked for, too.
    ///
    /// # Errors
    /// [`ProvisionError`] when the place could not be asked. Never an empty answer instead of an error.
    async fn observe(&self, environments: &[EnvironmentId]) -> Result<Vec<ObservedEnvironment>, ProvisionError>;

    /// Whether this step's turn has come, where a place lets so many be asked for at a time. Nothing is asked for yet: whoever
    /// waits holds nothing still meanwhile, and keeps nobody busy. What is granted is kept for the request for a minute.
    ///
    /// # Errors
    /// How long until it is worth asking again.
    async fn admit(&self, _environment: &EnvironmentId, _step: &Step, _by_schedule: bool) -> Result<(), Duration> {
        Ok(())
    }

    /// Asks for one step and returns when it is accepted; completion shows in [`observe`](Self::observe). Repeating an
    /// effect with the same token is harmless, whether or not the first one happened.
    async fn request(&self, effect: &Effect) -> Result<(), ProvisionError>;

    /// Reads a snapshot as a whole and compares it with its manifest. What is found is also remembered:
    /// [`observe`](Self::observe) says so until a later verification finds otherwise. Whoever waits no longer gives it up.
    ///
    /// # Errors
    /// [`ProvisionError::Rejected`] when there is no such snapshot, or it has no manifest to compare with.
    async fn verify(
        &self,
        _environment: &EnvironmentId,
        _snapshot: &SnapshotId,
        _told: &Told,
    ) -> Result<Verification, ProvisionError> {
        Err(ProvisionError::Rejected { message: format!("“{}” cannot verify snapshots.", self.name()) })
    }

    /// A page of a directory's names, in the order of their bytes: at most `most` that come after `after`. `path` has its
    /// parts separated by `/`; the root is empty. Symbolic links are not followed.
    ///
    /// # Errors
    /// [`ProvisionError::Absent`] when there is no such tree or directory.
    async fn list_files(
        &self,
        _tree: &Tree,
        _path: &[u8],
        _after: Option<&[u8]>,
        _most: usize,
    ) -> Result<Vec<FileEntry>, ProvisionError> {
        Err(ProvisionError::Rejected { message: format!("“{}” cannot look into volumes.", self.name()) })
    }

    /// The content of a file and its size in bytes. Of a volume that is written meanwhile it may be a mix of moments.
    ///
    /// # Errors
    /// [`ProvisionError::Absent`] when there is no such file.
    async fn read_file(
        &self,
        _tree: &Tree,
        _path: &[u8],
    ) -> Result<(Box<dyn AsyncRead + Send + Unpin>, u64), ProvisionError> {
        Err(ProvisionError::Rejected { message: format!("“{}” cannot look into volumes.", self.name()) })
    }

    /// What was added, changed and removed from the first tree to the second, the first `most` of it named. Whoever waits no
    /// longer gives it up.
    ///
    /// # Errors
    /// [`ProvisionError::Absent`] when there is no such tree.
    async fn compare(
        &self,
        _first: &Tree,
        _second: &Tree,
        _most: usize,
        _told: &Told,
    ) -> Result<Comparison, ProvisionError> {
        Err(ProvisionError::Rejected { message: format!("“{}” cannot compare snapshots.", self.name()) })
    }

    /// Puts what is read into a file of a volume, as its servers' user; makes the folders that are missing on its way. It is
    /// there as a whole or not at all. Nothing on the way is followed.
    ///
    /// # Errors
    /// [`ProvisionError::Rejected`] when something stands in its way, or what is read breaks off.
    async fn write_file(
        &self,
        _tree: &Tree,
        _path: &[u8],
        _write: FileWrite,
        _content: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<FileEntry, ProvisionError> {
        Err(ProvisionError::Rejected { message: format!("“{}” cannot put files into volumes.", self.name()) })
    }

    /// Puts what a snapshot has at a path, a file or a folder with everything in it, into a volume; it is compared with the
    /// snapshot's manifest before. It is there as a whole or not at all. Whoever waits no longer gives it up.
    ///
    /// # Errors
    /// [`ProvisionError::Rejected`] when something stands in its way, or what is kept is damaged.
    async fn restore_file(
        &self,
        _from: (&Tree, &[u8]),
        _to: (&Tree, &[u8]),
        _replace: bool,
        _told: &Told,
    ) -> Result<FileEntry, ProvisionError> {
        Err(ProvisionError::Rejected { message: format!("“{}” cannot put files into volumes.", self.name()) })
    }

    /// Where on this machine a tree is kept as a directory, for whoever copies it elsewhere; `None` where it is not. What is
    /// in it was written by whoever had a shell in it.
    ///
    /// # Errors
    /// [`ProvisionError::Absent`] when there is no such tree.
    async fn folder(&self, _tree: &Tree) -> Result<Option<PathBuf>, ProvisionError> {
        Ok(None)
    }

    /// Prepares to take in a snapshot that was kept elsewhere. What an earlier try left of it is removed; one that is there
    /// already stays, and is refused.
    ///
    /// # Errors
    /// [`ProvisionError::Rejected`] when it is there already.
    async fn begin_import(
        &self,
        _environment: &EnvironmentId,
        _snapshot: &SnapshotId,
    ) -> Result<ImportPlace, ProvisionError> {
        Err(ProvisionError::Rejected { message: format!("“{}” cannot take in snapshots.", self.name()) })
    }

    /// Reads what was put into the place of [`begin_import`](Self::begin_import) and compares it with its manifests. Only
    /// when they agree there is a snapshot, complete; otherwise nothing is left.
    ///
    /// # Errors
    /// [`ProvisionError::Rejected`] when it is not what it should be.
    async fn finish_import(
        &self,
        _environment: &EnvironmentId,
        _snapshot: &ImportedSnapshot,
    ) -> Result<(), ProvisionError> {
        Err(ProvisionError::Rejected { message: format!("“{}” cannot take in snapshots.", self.name()) })
    }

    /// Removes what has arrived of an import that is given up. A snapshot that is there stays.
    ///
    /// # Errors
    /// When it cannot be removed now; asking again is harmless.
    async fn give_up_import(&self, _environment: &EnvironmentId, _snapshot: &SnapshotId) -> Result<(), ProvisionError> {
        Ok(())
    }

    /// Snapshots that are kept here, whatever became of their environments.
    ///
    /// # Errors
    /// As [`observe`](Self::observe).
    async fn kept_snapshots(&self) -> Result<Vec<(EnvironmentId, SnapshotId)>, ProvisionError> {
        Ok(Vec::new())
    }

    /// Where its snapshots go by themselves, once they are complete.
    fn copy_rule(&self) -> Option<CopyRule> {
        None
    }

    /// Where a complete snapshot is, for another place to copy it.
    ///
    /// # Errors
    /// [`ProvisionError::Rejected`] when there is no such snapshot.
    async fn snapshot_origin(
        &self,
        _environment: &EnvironmentId,
        _snapshot: &SnapshotId,
    ) -> Result<SnapshotOrigin, ProvisionError> {
        Err(ProvisionError::Rejected { message: format!("Nobody can copy the snapshots of “{}”.", self.name()) })
    }

    /// Begins to copy a snapshot that another place has. How far that is shows in [`observe`](Self::observe), among the snapshots of
    /// the same environment, and volumes of any environment can begin with it once it is complete. However often it is asked
    /// for, there is one copy.
    ///
    /// # Errors
    /// [`ProvisionError::Retryable`] while what there was of an earlier copy is still on its way out.
    async fn copy_snapshot(
        &self,
        _environment: &EnvironmentId,
        _origin: &SnapshotOrigin,
    ) -> Result<(), ProvisionError> {
        Err(ProvisionError::Rejected {
            message: format!("“{}” cannot take in snapshots of other places.", self.name()),
        })
    }

    /// Removes a copy, or whatever there is of it, for ever. Accepted, it goes however long that takes.
    ///
    /// # Errors
    /// When it was not accepted; asking again is harmless.
    async fn remove_copy(&self, _environment: &EnvironmentId, _snapshot: &SnapshotId) -> Result<(), ProvisionError> {
        Ok(())
    }

    /// At what rate, and for what price, volumes that begin with a snapshot are read in; `None`: nobody pays for that.
    fn paid_reading(&self) -> Option<PaidReading> {
        None
    }

    /// What keeping a snapshot of so many volumes warm costs; `None`: it is not offered here, or not now.
    fn warm_offer(&self, _environment: &EnvironmentId, _volumes: usize) -> Option<WarmOffer> {
        None
    }

    /// Has volumes that begin with a snapshot be at full speed at once, until a moment (Unix milliseconds); `None`: not any more. It
    /// ends by itself then, and with its snapshot. Asking again is harmless, and with another moment changes that.
    ///
    /// # Errors
    /// [`ProvisionError::Rejected`] when it cannot be had.
    async fn keep_warm(
        &self,
        _environment: &EnvironmentId,
        _snapshot: &SnapshotId,
        _until: Option<i64>,
    ) -> Result<(), ProvisionError> {
        Err(ProvisionError::Rejected { message: format!("“{}” keeps no snapshots warm.", self.name()) })
    }

    /// Those of an environment's snapshots for which that was asked.
    ///
    /// # Errors
    /// When what is remembered cannot be read.
    async fn kept_warm(&self, _environment: &EnvironmentId) -> Result<Vec<KeptWarm>, ProvisionError> {
        Ok(Vec::new())
    }

    /// Environments of this installation that have anything at all here, known to the database or not. Snapshots alone do
    /// not count: see [`kept_snapshots`](Self::kept_snapshots). One that nothing can be said about is left out.
    async fn inventory(&self) -> Result<Vec<EnvironmentId>, ProvisionError>;

    /// What there is of an environment that may have no owner any more, for an operator to decide about.
    ///
    /// # Errors
    /// As [`observe`](Self::observe).
    async fn remains(&self, environment: &EnvironmentId) -> Result<Remains, ProvisionError> {
        let seen = self.observe(std::slice::from_ref(environment)).await?;
        let seen = seen.into_iter().find(|seen| seen.environment == *environment);
        Ok(Remains {
            environment: environment.clone(),
            network: seen.as_ref().is_some_and(|seen| seen.network),
            servers: seen.as_ref().map_or(0, |seen| seen.servers.len()),
            volumes: seen.map(|seen| seen.volumes).unwrap_or_default(),
            bytes: None,
            changed_at: None,
        })
    }

    /// Single things here that carry this installation's tag and that nothing remembered names, for long enough that nothing
    /// under way can be about to. What the database says of them the caller finds out.
    ///
    /// # Errors
    /// As [`observe`](Self::observe).
    async fn orphans(&self) -> Result<Orphans, ProvisionError> {
        Ok(Orphans::default())
    }

    /// How long after it was first seen a server that is an orphan is to be ended by itself; `None`: never.
    fn orphan_servers_end_after(&self) -> Option<Duration> {
        None
    }

    /// Removes an orphan, if it is one still: that is asked once more right before. Repeating it is harmless.
    ///
    /// # Errors
    /// [`ProvisionError::Rejected`] when it is one no more; then nothing was touched.
    async fn remove_orphan(&self, orphan: &Orphan) -> Result<(), ProvisionError> {
        Err(ProvisionError::Rejected { message: format!("“{}” has no {}.", self.name(), orphan.id) })
    }

    /// Volumes of an environment that read slowly for now, as last seen. Asks nobody.
    fn reading_in(&self, _environment: &EnvironmentId) -> Vec<ReadingIn> {
        Vec::new()
    }

    /// What keeping this costs while nothing of it runs.
    fn price_at_rest(&self, _kept: &AtRest) -> RestPrice {
        RestPrice::NOTHING
    }

    /// How much room there is, where that is known.
    async fn capacity(&self) -> Option<Capacity> {
        None
    }

    /// A hint that something about an environment changed by itself (a server died): observe it soon. Carries no truth; a
    /// lost hint costs time only.
    fn changes(&self) -> broadcast::Receiver<EnvironmentId>;
}

/// Where whoever does something long says how far it has come, now and then. Nobody has to listen.
pub type Told = watch::Sender<DataProgress>;

/// A byte stream an agent opened towards the portal.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Where a provisioner hands over the connections that agents dial. The portal implements it; the agent proves who it is
/// on the stream itself, so a provisioner vouches for nothing.
pub trait AgentGateway: Send + Sync {
    fn accepted(&self, stream: Box<dyn Duplex>);
}

/// Shared by provisioners: see [`AgentGateway`].
pub type Gateway = Arc<dyn AgentGateway>;
