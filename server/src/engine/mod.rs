//! The engine: makes environments what people want them to be. It claims what is due, observes, asks [`plan`] what to do,
//! records it, does it, and looks again; then it settles: writes down where the environment stands and when to look next.
//!
//! Each activation takes no input but the database and the outside world, so it does not matter who woke it, how often, or
//! what was going on when the portal was killed: the next activation goes on from what is recorded.
//!
//! Order of construction in `serve`: [`Bell`], [`Store::begin_life`], [`Directory`], the agents' hub, the provisioners,
//! [`Engine::start`].
//!
//! Deliberately absent: deciding (`domain`), SQL (`store`), how a step is done (`provisioners`).
//!
//! [`plan`]: crate::domain::plan::plan

mod alerts;
mod attend;
mod bell;
mod configuration;
mod device;
mod directory;
mod drills;
mod execute;
mod freeze;
mod machines;
mod orphans;
mod repository;
mod schedules;
mod sight;
mod snapshot_copies;
#[cfg(test)]
mod tests;
mod trees;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agent::api::{Freeze, Thaw, Thawed};
use async_trait::async_trait;
use provisioners::{EnvironmentId, Provisioner, ServerId};
use tokio::task::{JoinHandle, JoinSet};

pub use alerts::Alerts;
pub use bell::Bell;
pub use directory::Directory;
pub use machines::{FoundOrphan, Health, Machines, Unowned};
pub use repository::{
    OpenRepository, RepositoryError, RepositoryHandle, RepositoryParts, RepositorySettings, RepositoryWork,
};
use sight::Sight;
pub use trees::Trees;

use crate::agents::FreezeError;
use crate::clock::Clock;
use crate::keys::InstallationKey;
use crate::store::{Lease, Store, StoreError};

/// Environments worked on at the same time by this portal.
const WORKERS: usize = 24;
/// A worker that was killed is missed after this long.
const LEASE: Duration = Duration::from_secs(15);
/// Nothing is due: look again all the same, for what another portal left behind.
const IDLE: Duration = Duration::from_secs(5);
/// The database has trouble: give it this long.
const TROUBLE: Duration = Duration::from_millis(500);

/// What the engine stands on.
pub struct Parts {
    pub store: Store,
    pub clock: Clock,
    pub key: InstallationKey,
    pub bell: Bell,
    pub agents: Arc<dyn Agents>,
    pub provisioners: Vec<Arc<dyn Provisioner>>,
    /// Restore drills begin by themselves, not only when somebody asks for one.
    pub weekly_drills: bool,
    /// Where operators are told of what nobody owns, besides the portal itself.
    pub alerts: Option<Alerts>,
}

/// What the engine asks of agents.
#[async_trait]
pub trait Agents: Send + Sync + 'static {
    /// Has the services of this server ended in an orderly way. Comes back at once when the agent is not connected, and
    /// after `patience` at the latest; the server is stopped in any case.
    async fn stop(&self, server: &ServerId, patience: Duration);

    /// Holds a server still.
    ///
    /// # Errors
    /// Why it does not stand still, as far as that is known.
    async fn freeze(&self, server: &ServerId, freeze: &Freeze, patience: Duration) -> Result<(), FreezeError>;

    /// Lets a server go on; says whether it stood still until now.
    ///
    /// # Errors
    /// When it is not known; it goes on by itself then.
    async fn thaw(&self, server: &ServerId, thaw: &Thaw, patience: Duration) -> Result<Thawed, FreezeError>;

    /// Servers of this environment are elsewhere than before.
    fn moved(&self, environment: &EnvironmentId);

    /// This server is gone for good: nothing needs to be remembered of it.
    fn forget(&self, server: &ServerId);

    /// What this server's agent was told last does not hold any more: it is to call again.
    fn hang_up(&self, server: &ServerId);
}

#[async_trait]
impl Agents for crate::agents::Hub {
    async fn stop(&self, server: &ServerId, patience: Duration) {
        if let Err(error) = crate::agents::Hub::stop(self, server, patience).await {
            tracing::debug!(%server, %error, "a server is stopped without its services having ended by themselves");
        }
    }

    async fn freeze(&self, server: &ServerId, freeze: &Freeze, patience: Duration) -> Result<(), FreezeError> {
        crate::agents::Hub::freeze(self, server, freeze, patience).await.map(drop)
    }

    async fn thaw(&self, server: &ServerId, thaw: &Thaw, patience: Duration) -> Result<Thawed, FreezeError> {
        crate::agents::Hub::thaw(self, server, thaw, patience).await
    }

    fn moved(&self, environment: &EnvironmentId) {
        crate::agents::Hub::moved(self, environment);
    }

    fn forget(&self, server: &ServerId) {
        crate::agents::Hub::forget(self, server);
    }

    fn hang_up(&self, server: &ServerId) {
        crate::agents::Hub::hang_up(self, server);
    }
}

struct Shared {
    store: Store,
    clock: Clock,
    key: InstallationKey,
    bell: Bell,
    agents: Arc<dyn Agents>,
    provisioners: BTreeMap<String, Arc<dyn Provisioner>>,
    /// Names this life of the portal as the owner of leases.
    owner: String,
    working: AtomicUsize,
    sight: Sight,
}

/// The running engine. Dropping it stops it where it is, as a crash would; the next one goes on.
pub struct Engine {
    tasks: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Starts working. [`Store::begin_life`] has been called.
    pub fn start(parts: Parts) -> Engine {
        let Parts { store, clock, key, bell, agents, provisioners, weekly_drills, alerts } = parts;
        let owner = crate::store::id(clock.now());
        let provisioners: BTreeMap<_, _> =
            provisioners.into_iter().map(|provisioner| (provisioner.name().to_owned(), provisioner)).collect();
        let working = AtomicUsize::new(0);
        let sight = Sight::default();
        let shared = Arc::new(Shared { store, clock, key, bell, agents, provisioners, owner, working, sight });
        let mut tasks = vec![tokio::spawn(dispatch(shared.clone())), tokio::spawn(heartbeat(shared.clone()))];
        tasks.push(tokio::spawn(drills::run(shared.clone(), weekly_drills)));
        tasks.push(tokio::spawn(orphans::run(shared.clone(), alerts)));
        tasks.push(tokio::spawn(snapshot_copies::run(shared.clone())));
        for provisioner in shared.provisioners.values() {
            tasks.push(tokio::spawn(watch::watch(shared.clone(), provisioner.clone())));
        }
        Engine { tasks }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Hands out what is due to workers, up to [`WORKERS`], and sleeps until something is. Aborting it aborts the workers.
async fn dispatch(shared: Arc<Shared>) {
    let mut workers = JoinSet::new();
    loop {
        let pause = match dispatch_due(&shared, &mut workers).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::error!(%error, "the engine cannot use the database");
                TROUBLE
            }
        };
        tokio::select! {
            () = shared.bell.rung() => {}
            () = tokio::time::sleep(pause) => {}
            Some(_) = workers.join_next(), if !workers.is_empty() => {}
        }
        while workers.try_join_next().is_some() {}
    }
}

/// Says how long nothing will be due.
async fn dispatch_due(shared: &Arc<Shared>, workers: &mut JoinSet<()>) -> Result<Duration, StoreError> {
    let now = shared.clock.now();
    schedules::obey(shared, now).await?;
    shared.store.expire_snapshots(now).await?;
    let room = WORKERS.saturating_sub(workers.len());
    if room == 0 {
        return Ok(IDLE);
    }
    let leases = shared.store.claim(&shared.owner, now, LEASE, room).await?;
    let all_taken = leases.len() == room;
    for lease in leases {
        workers.spawn(work(shared.clone(), lease));
    }
    if all_taken {
        return Ok(IDLE);
    }
    let due = shared.store.next_due().await?;
    let pause = due.map_or(IDLE, |due| Duration::from_millis((due - shared.clock.now()).max(1) as u64));
    Ok(pause.min(IDLE))
}

async fn work(shared: Arc<Shared>, lease: Lease) {
    shared.working.fetch_add(1, Ordering::Relaxed);
    attend::attend(&shared, &lease).await;
    shared.working.fetch_sub(1, Ordering::Relaxed);
}

/// Keeps the leases of those at work.
async fn heartbeat(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(LEASE / 3).await;
        if shared.working.load(Ordering::Relaxed) > 0
            && let Err(error) = shared.store.heartbeat(&shared.owner, shared.clock.now(), LEASE).await
        {
            tracing::warn!(%error, "leases could not be extended");
        }
    }
}
