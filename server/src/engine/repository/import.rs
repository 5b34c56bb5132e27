//! One snapshot comes from the repository, and its environment is brought back with it as any deleted one is.

use std::path::PathBuf;

use provisioners::{EnvironmentId, ImportPlace, ImportedSnapshot, ProvisionError, Provisioner, SnapshotId};
use repository::{Error, ImportOptions, Ownership, Repository, Watcher};

use super::attend::{Subject, apart, attend, watched};
use super::{Shared, Step};
use crate::domain::actions::Change;
use crate::domain::facts::Desired;
use crate::domain::note::Note;
use crate::domain::repository::pause_after;
use crate::domain::retention;
use crate::domain::schedule;
use crate::store::{NextImport, Quota, RepositoryLease, StoreError, Undeleted};

/// Pipes and the like are not counted in a manifest, nor are the folders above; a repository that lies is told by far more.
const UNCOUNTED: u64 = 10_000;
/// This part of the room that there is stays free, whatever an import says of itself: others live on the same disk.
const KEPT_FREE: u64 = 10;
/// Tries of what may pass; nothing is lost by asking again for it.
const MOST_FAILURES: u32 = 20;

pub(super) async fn import(shared: &Shared, lease: &RepositoryLease, next: NextImport) -> Result<Step, StoreError> {
    shared.bell.tell(&next.environment);
    let outcome = match fetch(shared, lease, &next).await? {
        Ok(()) => return bring_back(shared, lease, &next).await,
        Err(outcome) => outcome,
    };
    let (why, passes, trouble) = match outcome {
        Failure::Repository(Error::Cancelled) => return Ok(Step::Done),
        Failure::Repository(error) => {
            let passes = matches!(
                error,
                Error::Storage { .. } | Error::NotARepository { .. } | Error::Locked { .. } | Error::LockLost { .. }
            );
            (error.to_string(), passes, passes)
        }
        Failure::Here { why, passes } => (why, passes, false),
    };
    if let Some(provisioner) = shared.provisioners.get(&next.provisioner) {
        let (environment, snapshot) = (EnvironmentId::new(&next.environment), SnapshotId::new(&next.snapshot));
        if let Err(error) = provisioner.give_up_import(&environment, &snapshot).await {
            tracing::warn!(%environment, %error, "what arrived of an import is removed at the next start only");
        }
    }
    tracing::warn!(snapshot = next.name, environment = next.environment, why, "a snapshot was not imported");
    let now = shared.clock.now();
    let failures = next.failures.saturating_add(1);
    let retry_at = (passes && failures < MOST_FAILURES).then(|| now + pause_after(failures).as_millis() as i64);
    let mut tx = shared.store.write().await?;
    tx.import_failed(lease, &next.environment, &why, retry_at).await?;
    if retry_at.is_none() {
        let note = Note::new("not_imported", format!("Not imported, nothing of it is here: {why}"));
        tx.add_event(&next.environment, &note, None, now).await?;
    }
    tx.commit().await?;
    shared.bell.tell(&next.environment);
    Ok(if trouble { Step::Trouble(why) } else { Step::Done })
}

enum Failure {
    Repository(Error),
    Here { why: String, passes: bool },
}

impl From<ProvisionError> for Failure {
    fn from(error: ProvisionError) -> Self {
        let passes = !matches!(error, ProvisionError::Rejected { .. });
        Failure::Here { why: error.to_string(), passes }
    }
}

/// Brings the data here, as a snapshot of its environment.
async fn fetch(shared: &Shared, lease: &RepositoryLease, next: &NextImport) -> Result<Result<(), Failure>, StoreError> {
    let Some(provisioner) = shared.provisioners.get(&next.provisioner) else {
        let why = format!("This portal has no provisioner “{}”.", next.provisioner);
        return Ok(Err(Failure::Here { why, passes: false }));
    };
    let place = match place(provisioner.as_ref(), next).await {
        Ok(Some(place)) => place,
        // The portal was killed between this and writing it down.
        Ok(None) => return Ok(Ok(())),
        Err(failure) => return Ok(Err(failure)),
    };
    let repository = shared.open.repository.clone();
    let (watcher, far) = watched();
    let (watching, folder) = (watcher.clone(), place.folder.clone());
    let options = options(next, &place);
    let name = repository::SnapshotId(next.name.clone());
    let snapshot = ImportedSnapshot {
        id: SnapshotId::new(&next.snapshot),
        taken_at: next.taken_at,
        volumes: next.volumes.iter().map(|one| (one.volume.clone(), one.manifest.clone())).collect(),
    };
    let environment = EnvironmentId::new(&next.environment);
    let work = async {
        let receive = move || receive(&repository, &name, folder, options, &watching);
        apart(receive).await.map_err(Failure::Repository)?;
        Ok::<(), Failure>(provisioner.finish_import(&environment, &snapshot).await?)
    };
    attend(shared, lease, &Subject::Import { environment: &next.environment }, (watcher, far), work).await
}

/// `None`: it is here already.
async fn place(provisioner: &dyn Provisioner, next: &NextImport) -> Result<Option<ImportPlace>, Failure> {
    let (environment, snapshot) = (EnvironmentId::new(&next.environment), SnapshotId::new(&next.snapshot));
    if provisioner.kept_snapshots().await?.contains(&(environment.clone(), snapshot.clone())) {
        return Ok(None);
    }
    let place = provisioner.begin_import(&environment, &snapshot).await?;
    let needed = next.volumes.iter().fold(0, |sum: u64, one| sum.saturating_add(one.manifest.stored_bytes));
    if needed > place.free_bytes {
        let why = format!(
            "It takes {needed} bytes, and there are {} left on this portal’s disk. Make room, then import it again.",
            place.free_bytes
        );
        return Err(Failure::Here { why, passes: false });
    }
    Ok(Some(place))
}

/// Nothing larger than it says of itself is even begun.
fn options(next: &NextImport, place: &ImportPlace) -> ImportOptions {
    let sum = |of: fn(&provisioners::Manifest) -> u64| {
        next.volumes.iter().fold(0, |sum: u64, one| sum.saturating_add(of(&one.manifest)))
    };
    let entries = sum(|manifest| manifest.files.saturating_add(manifest.directories).saturating_add(manifest.links));
    ImportOptions {
        ownership: Ownership::Given { user: place.owner.0, group: place.owner.1 },
        at_most_bytes: Some(sum(|manifest| manifest.bytes)),
        at_most_entries: Some(entries.saturating_add(UNCOUNTED)),
        at_most_written: Some(place.free_bytes - place.free_bytes / KEPT_FREE),
    }
}

/// Blocks.
fn receive(
    repository: &Repository,
    name: &repository::SnapshotId,
    folder: PathBuf,
    options: ImportOptions,
    watcher: &Watcher,
) -> Result<(), Error> {
    repository.import(name, &folder, options, watcher).map(drop)
}

/// The quota was judged when it was asked for.
const NO_QUOTA: Quota = Quota { per_person: i64::MAX, per_team: i64::MAX };

async fn bring_back(shared: &Shared, lease: &RepositoryLease, next: &NextImport) -> Result<Step, StoreError> {
    let now = shared.clock.now();
    let Some(record) = shared.store.environment(&next.team, &next.environment).await? else {
        return Err(StoreError::NotFound);
    };
    let (name, intent, topology) = (&record.summary.name, &record.facts.intent, &record.facts.topology);
    let mut tx = shared.store.write().await?;
    let expires_at = retention::undelete_until(now, &topology.snapshots);
    let snapshot = tx.imported(lease, next, expires_at, now).await?;
    if tx.undelete(&record, NO_QUOTA, now).await? == Undeleted::Done {
        tx.set_upcoming(&next.environment, schedule::upcoming(topology, None, now)).await?;
        let note = Note::new("imported", format!("The data of {name} is here; bringing it up"));
        let change = Change::prepared(Desired::Running, note);
        tx.change_desire(&next.environment, intent.generation, &change, Some(&next.actor), now).await?;
        let sizes: Vec<_> = topology.volumes.iter().map(|volume| (volume.name.clone(), volume.size_bytes)).collect();
        tx.begin_restore(&next.environment, &snapshot.source(&next.environment), &sizes, None, now).await?;
    } else {
        let why =
            format!("The data is here. There is another environment “{name}” now: rename that, then undelete this");
        tx.add_event(&next.environment, &Note::new("imported", why), None, now).await?;
    }
    tx.commit().await?;
    shared.bell.ring(&next.environment);
    Ok(Step::Done)
}
