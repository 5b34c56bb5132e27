//! One snapshot goes to the repository.

use std::path::PathBuf;

use jiff::Timestamp;
use provisioners::{EnvironmentId, SnapshotId, Tree};
use repository::{Error, Exported, Repository, SnapshotMeta, Unchanged, Watcher};

use super::attend::{Subject, apart, attend, watched};
use super::{Shared, Step};
use crate::domain::repository::{Description, FORMAT, described, pause_after};
use crate::store::{ExportedAs, NextExport, RepositoryLease, StoreError};

pub(super) async fn export(shared: &Shared, lease: &RepositoryLease, next: NextExport) -> Result<Step, StoreError> {
    shared.bell.tell(&next.environment_id);
    let subject = Subject::Export { environment: &next.environment_id, snapshot: &next.snapshot };
    let exported = match prepare(shared, &next).await {
        Ok((folders, meta)) => {
            let repository = shared.open.repository.clone();
            let (watcher, far) = watched();
            let (watching, begun) = (watcher.clone(), next.begun);
            let work = apart(move || send(&repository, &folders, &meta, begun, &watching));
            attend(shared, lease, &subject, (watcher, far), work).await?.map_err(Failure::Repository)
        }
        Err(why) => Err(Failure::Here(why)),
    };
    let now = shared.clock.now();
    let mut tx = shared.store.write().await?;
    let step = match exported {
        Ok(exported) => {
            tx.exported(lease, &next.snapshot, &exported, now).await?;
            Step::Done
        }
        // The portal ends, or another one works on it.
        Err(Failure::Repository(Error::Cancelled)) => return Ok(Step::Done),
        Err(failure) => {
            let why = failure.to_string();
            tracing::warn!(
                snapshot = next.snapshot,
                environment = next.environment,
                why,
                "a snapshot was not exported"
            );
            let retry_at = now + pause_after(next.failures.saturating_add(1)).as_millis() as i64;
            tx.export_failed(lease, &next.snapshot, &why, retry_at).await?;
            match failure {
                Failure::Here(_) | Failure::Repository(Error::Source { .. }) => Step::Done,
                Failure::Repository(_) => Step::Trouble(why),
            }
        }
    };
    tx.commit().await?;
    shared.bell.tell(&next.environment_id);
    Ok(step)
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    /// This snapshot cannot be exported; others may.
    #[error("{0}")]
    Here(String),
    #[error(transparent)]
    Repository(Error),
}

/// Where its volumes are, and what is to stand beside them.
async fn prepare(shared: &Shared, next: &NextExport) -> Result<(Vec<(String, PathBuf)>, SnapshotMeta), String> {
    let provisioner = shared
        .provisioners
        .get(&next.provisioner)
        .ok_or_else(|| format!("This portal has no provisioner “{}” that could be asked for it.", next.provisioner))?;
    let mut folders = Vec::new();
    for content in &next.contents {
        let tree = Tree {
            environment: EnvironmentId::new(&next.environment_id),
            snapshot: Some(SnapshotId::new(&next.snapshot)),
            volume: content.volume.clone(),
        };
        let folder = provisioner.folder(&tree).await.map_err(|error| error.to_string())?;
        let folder = folder.ok_or_else(|| {
            format!("“{}” keeps volume “{}” where it cannot be copied from.", next.provisioner, content.name)
        })?;
        folders.push((content.name.clone(), folder));
    }
    let volumes = described(&next.contents).ok_or("It has no manifest yet.")?;
    let description = Description {
        format: FORMAT,
        installation: shared.open.installation.clone(),
        environment: next.environment.clone(),
        environment_id: next.environment_id.clone(),
        owner: next.owner.clone(),
        template: next.template.clone(),
        template_version: next.template_version.clone(),
        template_digest: next.template_digest.clone(),
        parameters: next.parameters.clone(),
        label: next.label.clone(),
        reason: next.reason.clone(),
        volumes,
    };
    let meta = SnapshotMeta {
        environment: next.environment.clone(),
        snapshot: next.snapshot.clone(),
        template: description.template_and_version(),
        taken_at: Timestamp::from_millisecond(next.taken_at).map_err(|error| error.to_string())?,
        manifest: serde_json::to_value(&description).map_err(|error| error.to_string())?,
    };
    Ok((folders, meta))
}

/// Blocks. What was begun before and is there already is not sent again.
fn send(
    repository: &Repository,
    folders: &[(String, PathBuf)],
    meta: &SnapshotMeta,
    begun: bool,
    watcher: &Watcher,
) -> Result<ExportedAs, Error> {
    if begun {
        let is_it =
            |found: &repository::Found| found.meta.as_ref().is_some_and(|there| there.snapshot == meta.snapshot);
        if let Some(there) = repository.list()?.found.into_iter().find(is_it) {
            let bytes_total = there.bytes.unwrap_or(0);
            return Ok(ExportedAs { name: there.id.0, bytes_total, bytes_added: None });
        }
    }
    let volumes: Vec<_> = folders.iter().map(|(name, folder)| (name.as_str(), folder.as_path())).collect();
    let Exported { id, bytes_added, bytes_total, .. } =
        repository.export(&volumes, meta, Unchanged::ByContent, watcher)?;
    Ok(ExportedAs { name: id.0, bytes_total, bytes_added: Some(bytes_added) })
}
