//! The portable repository: brings snapshots there, and from there. One portal at a time works on a repository, and on one thing
//! at a time (`store::repository`); which one, and what it does next, is asked of the database before every step, so that a portal
//! that was killed in the middle is taken over by the next, or by itself.
//!
//! Guaranteed: an environment never waits for its copies, and nothing that goes wrong with a repository harms one. What is copied
//! is written down with the repository's own name for it; what was copied in the moment before a kill is found there again
//! and not copied twice. An import is compared with its manifests before anything is made of it.
//!
//! Deliberately absent: comparing what is exported with its manifest while it is read. A file that went bad on this machine's
//! disk goes bad into the repository; `snapshot verify` finds it here, an import refuses it there.

mod attend;
mod export;
mod import;
mod upkeep;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use app::api::LiveEvent;
use provisioners::Provisioner;
use repository::{Config, Error, Listed, Repository};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

use super::Bell;
use crate::clock::Clock;
use crate::domain::repository::{ExportPolicy, pause_after};
use crate::store::{RepositoryLease, RepositoryRules, Store, StoreError};

/// A portal that was killed is missed after this long.
const LEASE: Duration = Duration::from_secs(15);
/// Nothing is due: look again all the same.
const IDLE: Duration = Duration::from_secs(5);
/// The database has trouble: give it this long.
const TROUBLE: Duration = Duration::from_secs(1);
/// What changes comes in bursts.
const BURST: Duration = Duration::from_millis(200);
/// So often what is there is compared with what is written here.
const LOOK_EVERY_MS: i64 = 60 * 60 * 1000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The repository this portal was started with, if any. Cheap to clone.
#[derive(Clone, Default)]
pub struct RepositoryHandle(Option<Arc<OpenRepository>>);

/// An open repository, and what is to be done with it.
pub struct OpenRepository {
    repository: Arc<Repository>,
    pub policy: ExportPolicy,
    pub keep_days: u32,
    /// Names this database in what is exported.
    pub installation: String,
}

/// What a repository is opened with.
#[derive(Clone, Debug)]
pub struct RepositorySettings {
    pub config: Config,
    pub policy: ExportPolicy,
    pub keep_days: u32,
}

/// Why a repository cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    #[error(transparent)]
    Repository(#[from] Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RepositoryHandle {
    /// Opens the repository, or makes it in an empty place. `alone`: no other portal works on this database.
    ///
    /// # Errors
    /// The password is wrong, the place cannot be reached or is no repository; or the database's trouble.
    pub async fn open(
        settings: RepositorySettings,
        store: &Store,
        alone: bool,
        id: &str,
    ) -> Result<RepositoryHandle, RepositoryError> {
        let RepositorySettings { config, policy, keep_days } = settings;
        let repository = attend::apart(move || Repository::open_or_create(&config)).await?;
        let installation = store.open_repository(repository.id(), &repository.location(), alone, id).await?;
        let open = OpenRepository { repository: Arc::new(repository), policy, keep_days, installation };
        Ok(RepositoryHandle(Some(Arc::new(open))))
    }

    /// `None`: the portal was started without one.
    pub fn get(&self) -> Option<&OpenRepository> {
        self.0.as_deref()
    }

    /// `None`: the portal was started without one.
    pub fn id(&self) -> Option<&str> {
        self.get().map(OpenRepository::id)
    }
}

impl OpenRepository {
    pub fn id(&self) -> &str {
        self.repository.id()
    }

    /// Names no secret.
    pub fn location(&self) -> String {
        self.repository.location()
    }

    /// All that is in it, whoever made it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn list(&self) -> Result<Listed, Error> {
        let repository = self.repository.clone();
        attend::apart(move || repository.list()).await
    }

    fn rules(&self, now: i64) -> RepositoryRules {
        RepositoryRules {
            policy: self.policy,
            forget_before: now - i64::from(self.keep_days) * DAY_MS,
            look_before: now - LOOK_EVERY_MS,
        }
    }
}

/// What the work stands on.
pub struct RepositoryParts {
    pub repository: RepositoryHandle,
    pub store: Store,
    pub clock: Clock,
    pub bell: Bell,
    pub provisioners: Vec<Arc<dyn Provisioner>>,
}

struct Shared {
    open: Arc<OpenRepository>,
    store: Store,
    clock: Clock,
    bell: Bell,
    provisioners: BTreeMap<String, Arc<dyn Provisioner>>,
    /// Names this life of the portal as the owner of leases.
    owner: String,
}

/// The work on the repository. Dropping it ends it where it is, as a crash would; the next one goes on.
pub struct RepositoryWork(Option<JoinHandle<()>>);

impl RepositoryWork {
    /// Begins to work, if there is a repository.
    pub fn start(parts: RepositoryParts) -> RepositoryWork {
        let RepositoryParts { repository, store, clock, bell, provisioners } = parts;
        let Some(open) = repository.0 else { return RepositoryWork(None) };
        let owner = crate::store::id(clock.now());
        let provisioners = provisioners.into_iter().map(|one| (one.name().to_owned(), one)).collect();
        let shared = Arc::new(Shared { open, store, clock, bell, provisioners, owner });
        RepositoryWork(Some(tokio::spawn(work(shared))))
    }
}

impl Drop for RepositoryWork {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// What came of one thing that was to be done.
enum Step {
    Done,
    /// The repository cannot be used now, and why.
    Trouble(String),
}

async fn work(shared: Arc<Shared>) {
    let mut changes = shared.bell.subscribe();
    loop {
        let pause = match turn(&shared).await {
            Ok(()) | Err(StoreError::LeaseLost) => IDLE,
            Err(error) => {
                tracing::error!(%error, "the work on the repository cannot use the database");
                TROUBLE
            }
        };
        if tokio::time::timeout(pause, changed(&mut changes)).await.is_ok_and(|open| !open) {
            return;
        }
    }
}

/// Whether there may be changes still.
async fn changed(changes: &mut Receiver<LiveEvent>) -> bool {
    let open = !matches!(changes.recv().await, Err(RecvError::Closed));
    tokio::time::sleep(BURST).await;
    *changes = changes.resubscribe();
    open
}

async fn turn(shared: &Shared) -> Result<(), StoreError> {
    let now = shared.clock.now();
    let repository = shared.open.id();
    if !shared.store.repository_is_due(repository, &shared.open.rules(now), now).await? {
        return Ok(());
    }
    let Some(lease) = shared.store.claim_repository(repository, &shared.owner, now, LEASE).await? else {
        return Ok(());
    };
    let worked = work_off(shared, &lease).await;
    if !matches!(worked, Err(StoreError::LeaseLost)) {
        shared.store.release_repository(&lease).await?;
    }
    worked
}

/// One thing after the other, until nothing is due or the repository is in trouble.
async fn work_off(shared: &Shared, lease: &RepositoryLease) -> Result<(), StoreError> {
    let mut brought = false;
    loop {
        let now = shared.clock.now();
        let mut tx = shared.store.write().await?;
        tx.keep_repository(lease, now, LEASE).await?;
        tx.enlist_exports(lease, &shared.open.rules(now), now).await?;
        let import = tx.begin_import(lease, now).await?;
        let export = match import {
            Some(_) => None,
            None => tx.begin_export(lease, now).await?,
        };
        tx.commit().await?;
        let step = match (import, export) {
            (Some(import), _) => import::import(shared, lease, import).await?,
            (None, Some(export)) => {
                brought = true;
                export::export(shared, lease, export).await?
            }
            (None, None) => match upkeep::tidy(shared, lease, brought).await? {
                Some(step) => {
                    brought = false;
                    step
                }
                None => return Ok(()),
            },
        };
        let now = shared.clock.now();
        let mut tx = shared.store.write().await?;
        match step {
            Step::Done => {
                tx.repository_works(lease).await?;
                tx.commit().await?;
            }
            Step::Trouble(why) => {
                tracing::warn!(why, "the repository could not be used; it is tried again");
                let failures = tx.repository_failures(lease).await?.saturating_add(1);
                let retry_at = now + pause_after(failures).as_millis() as i64;
                tx.repository_in_trouble(lease, &why, retry_at, now).await?;
                return tx.commit().await;
            }
        }
    }
}
