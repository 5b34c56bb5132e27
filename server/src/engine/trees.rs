//! What volumes and snapshots hold, for use cases to look into, to verify, to compare, and to put single files into.
//!
//! None of it is a step of a plan: nothing comes or goes, no effect is recorded, and asking again is harmless. What a use case
//! changes this way it writes into the audit itself.

use std::sync::Arc;

use provisioners::{
    Comparison, DataProgress, EnvironmentId, FileEntry, FileWrite, ProvisionError, Provisioner, SnapshotId,
    SnapshotState, Told, Tree, Verification,
};
use tokio::io::AsyncRead;

/// Cheap to clone.
#[derive(Clone)]
pub struct Trees {
    provisioners: Vec<Arc<dyn Provisioner>>,
}

impl Trees {
    pub fn new(provisioners: Vec<Arc<dyn Provisioner>>) -> Trees {
        Trees { provisioners }
    }

    /// # Errors
    /// As [`Provisioner::verify`].
    pub async fn verify(
        &self,
        provisioner: &str,
        environment: &EnvironmentId,
        snapshot: &SnapshotId,
        told: &Told,
    ) -> Result<Verification, ProvisionError> {
        self.of(provisioner)?.verify(environment, snapshot, told).await
    }

    /// # Errors
    /// As [`Provisioner::compare`].
    pub async fn compare(
        &self,
        provisioner: &str,
        first: &Tree,
        second: &Tree,
        most: usize,
        told: &Told,
    ) -> Result<Comparison, ProvisionError> {
        self.of(provisioner)?.compare(first, second, most, told).await
    }

    /// # Errors
    /// As [`Provisioner::list_files`].
    pub async fn list(
        &self,
        provisioner: &str,
        tree: &Tree,
        path: &[u8],
        after: Option<&[u8]>,
        most: usize,
    ) -> Result<Vec<FileEntry>, ProvisionError> {
        self.of(provisioner)?.list_files(tree, path, after, most).await
    }

    /// # Errors
    /// As [`Provisioner::read_file`].
    pub async fn read(
        &self,
        provisioner: &str,
        tree: &Tree,
        path: &[u8],
    ) -> Result<(Box<dyn AsyncRead + Send + Unpin>, u64), ProvisionError> {
        self.of(provisioner)?.read_file(tree, path).await
    }

    /// # Errors
    /// As [`Provisioner::write_file`].
    pub async fn write(
        &self,
        provisioner: &str,
        tree: &Tree,
        path: &[u8],
        write: FileWrite,
        content: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<FileEntry, ProvisionError> {
        self.of(provisioner)?.write_file(tree, path, write, content).await
    }

    /// # Errors
    /// As [`Provisioner::restore_file`].
    pub async fn restore(
        &self,
        provisioner: &str,
        from: (&Tree, &[u8]),
        to: (&Tree, &[u8]),
        replace: bool,
        told: &Told,
    ) -> Result<FileEntry, ProvisionError> {
        self.of(provisioner)?.restore_file(from, to, replace, told).await
    }

    /// How far those snapshots of an environment have come that are being taken or read now.
    ///
    /// # Errors
    /// As [`Provisioner::observe`].
    pub async fn under_way(
        &self,
        provisioner: &str,
        environment: &EnvironmentId,
    ) -> Result<Vec<(SnapshotId, DataProgress)>, ProvisionError> {
        let observed = self.of(provisioner)?.observe(std::slice::from_ref(environment)).await?;
        let snapshots = observed.into_iter().flat_map(|observed| observed.snapshots);
        let under_way = snapshots.filter_map(|snapshot| match snapshot.state {
            SnapshotState::Taking(progress) | SnapshotState::Reading(progress) => Some((snapshot.snapshot, progress)),
            _ => None,
        });
        Ok(under_way.collect())
    }

    fn of(&self, name: &str) -> Result<&dyn Provisioner, ProvisionError> {
        let found = self.provisioners.iter().find(|one| one.name() == name);
        found.map(|one| one.as_ref()).ok_or_else(|| ProvisionError::Rejected {
            message: format!("This portal does not have the provisioner “{name}”."),
        })
    }
}
