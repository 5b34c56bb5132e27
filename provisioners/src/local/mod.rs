//! The local provisioner: real servers on one Linux machine, without a daemon and without root.
//!
//! An environment is a directory and a process, its *holder* (see the crate `holder`): the directory keeps volumes and what
//! was asked for, the holder keeps the private network and is the parent of every server. What exists is read from those
//! two, never from this process's memory, so a portal that was killed at any point finds everything again when it returns,
//! and servers do not notice that it was away.
//!
//! | what | where |
//! |---|---|
//! | the private network | [`network`], `holder` |
//! | what a server may see and do | [`sandbox`] (pure) |
//! | what its root is made from | [`image`] |
//! | its life, as recorded and as observed | [`servers`] |
//! | volumes | [`volumes`], [`restores`] |
//! | snapshots | [`snapshots`], [`tree`], [`btrfs`] |
//! | files in either | [`files`], [`put`] |
//! | what goes on with data in the background | [`data`] |
//! | memory, processor, processes | [`limits`] |
//! | the way out to the internet | [`outlet`] |
//! | where its agent meets the portal | [`link`] |
//! | what the machine must offer | [`preflight`] |
//!
//! Guaranteed: nothing in a server can read the portal's files or another environment's, also when the portal runs as root
//! (servers then run as user [`SERVERS_USER`]). Deliberately absent: sharing one directory between two portals (the second
//! is refused), servers on another machine, sizes of volumes (a directory has none; said in the capabilities).

mod btrfs;
mod data;
mod disk;
mod environment;
mod error;
mod files;
mod holder;
mod image;
mod imports;
mod layout;
mod limits;
mod link;
mod moments;
mod network;
mod outlet;
mod preflight;
mod put;
mod remains;
mod restores;
mod sandbox;
mod servers;
mod snapshots;
mod tools;
mod tree;
mod volumes;
mod watch;

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::io::AsyncRead;
use tokio::sync::broadcast;

use self::data::WhileAsked;
use self::disk::Trash;
use self::environment::Environment;
use self::error::{LocalError, Result};
use self::image::oci::Images;
use self::layout::Layout;
use self::tools::Tools;
use crate::{
    Architecture, Capabilities, Capacity, Comparison, Effect, EnvironmentId, FileEntry, FileWrite, Gateway,
    ImportPlace, ImportedSnapshot, ObservedEnvironment, ProvisionError, Provisioner, Remains, ServerPlan, SnapshotId,
    Step, Told, Tree, Verification,
};

#[cfg(feature = "conformance")]
pub use self::moments::{Trouble, arm, passed};
pub use self::preflight::OpenError;

/// User and group that servers run as when the portal runs as root: outside every range that systems give out
/// (systemd's `UIDS-GIDS`: 1879048192 to 2147483647 is unused).
pub const SERVERS_USER: u32 = 1_900_000_000;

/// What a local provisioner needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its directory; made if missing. Everything it keeps is below.
    pub directory: PathBuf,
    /// The agent's binary, which is also the holder's.
    pub agent: PathBuf,
    /// No volume is attached to more than one server, as on machines without a common disk: to try out what happens there.
    pub separate_disks: bool,
}

/// Servers on this machine. Dropping it leaves them running.
pub struct Local {
    shared: Arc<Shared>,
    /// Keeps other portals out of the directory.
    _lock: File,
}

/// What steps need, shared by those in progress.
struct Shared {
    layout: Layout,
    tools: Arc<Tools>,
    trash: Arc<Trash>,
    images: Images,
    gateway: Gateway,
    capabilities: Capabilities,
    changes: broadcast::Sender<EnvironmentId>,
    environments: Mutex<HashMap<EnvironmentId, Arc<Environment>>>,
    /// Held by whoever reads a snapshot for its manifest.
    reading: Mutex<()>,
}

impl Local {
    /// Opens the provisioner's directory, tries out what the machine can do, and takes up every environment found there:
    /// listens for its agents, watches its servers, goes on with what was left half done.
    ///
    /// # Errors
    /// [`OpenError`] says what is missing and the one command that brings it.
    pub async fn open(config: Config, gateway: Gateway) -> Result<Self, OpenError> {
        let opened = tokio::task::spawn_blocking(move || preflight::open(&config)).await;
        let opened = opened.map_err(|error| OpenError::Interrupted(error.to_string()))??;
        let shared = Arc::new(Shared {
            layout: opened.layout,
            tools: Arc::new(opened.tools),
            trash: Arc::new(opened.trash),
            images: Images::default(),
            gateway,
            capabilities: opened.capabilities,
            changes: broadcast::channel(1024).0,
            environments: Mutex::new(HashMap::new()),
            reading: Mutex::default(),
        });
        let local = Self { shared, _lock: opened.lock };
        for id in local.shared.inventory().map_err(OpenError::Directory)? {
            if let Err(error) = local.shared.environment(&id).take_up(&local.shared).await {
                tracing::warn!(environment = %id, %error, "could not take up an environment; it will be tried again");
            }
        }
        for id in local.shared.with_data().map_err(OpenError::Directory)? {
            if let Err(error) = local.shared.environment(&id).take_up_data(&local.shared).await {
                tracing::warn!(environment = %id, %error, "could not take up an environment's data");
            }
        }
        Ok(local)
    }
}

impl Local {
    /// Looks into a tree where that may take a while.
    async fn look<T: Send + 'static>(
        &self,
        tree: &Tree,
        look: impl FnOnce(&Shared, &Tree) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        check_tree(tree)?;
        let (shared, tree) = (Arc::clone(&self.shared), tree.clone());
        environment::blocking(move || look(&shared, &tree)).await
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        for environment in self.shared.known().drain() {
            environment.1.detach();
            environment.1.stop_data();
        }
    }
}

#[async_trait]
impl Provisioner for Local {
    fn name(&self) -> &str {
        "local"
    }

    fn capabilities(&self) -> Capabilities {
        self.shared.capabilities.clone()
    }

    async fn observe(&self, environments: &[EnvironmentId]) -> Result<Vec<ObservedEnvironment>, ProvisionError> {
        let mut observed = Vec::new();
        for id in environments {
            check_id(id.as_str())?;
            observed.push(self.shared.environment(id).observe(&self.shared).await?);
        }
        Ok(observed)
    }

    async fn request(&self, effect: &Effect) -> Result<(), ProvisionError> {
        check_id(effect.environment.as_str())?;
        let environment = self.shared.environment(&effect.environment);
        let shared = &self.shared;
        match effect.step.clone() {
            Step::CreateNetwork => environment.create_network(shared).await?,
            Step::DeleteNetwork => environment.delete_network(shared).await?,
            Step::CreateVolume { volume } => {
                check_id(volume.id.as_str())?;
                match volume.from.clone() {
                    None => environment.create_volume(shared, volume).await?,
                    Some(source) => {
                        check_id(source.environment.as_str())?;
                        check_id(source.snapshot.as_str())?;
                        check_id(source.volume.as_str())?;
                        environment.restore_volume(shared, volume, source).await?;
                    }
                }
            }
            Step::DeleteVolume { volume } => {
                check_id(volume.as_str())?;
                environment.delete_volume(shared, volume).await?;
            }
            Step::CreateSnapshot { snapshot } => {
                check_id(snapshot.id.as_str())?;
                snapshot.volumes.iter().try_for_each(|volume| check_id(volume.volume.as_str()))?;
                environment.create_snapshot(shared, snapshot, effect.call).await?;
            }
            Step::DeleteSnapshot { snapshot } => {
                check_id(snapshot.as_str())?;
                environment.delete_snapshot(shared, snapshot).await?;
            }
            Step::StartServer { server } => {
                check_plan(&server)?;
                environment.start_server(shared, *server, effect.enrolment.clone()).await?;
            }
            Step::StopServer { server, generation } => {
                check_id(server.as_str())?;
                environment.stop_server(shared, server, generation).await?;
            }
            Step::SuspendServer { .. } | Step::WakeServer { .. } => {
                let message =
                    format!("servers of “{}” cannot stand by; park without `park` in the template", self.name());
                return Err(ProvisionError::Rejected { message });
            }
        }
        Ok(())
    }

    async fn verify(
        &self,
        environment: &EnvironmentId,
        snapshot: &SnapshotId,
        told: &Told,
    ) -> Result<Verification, ProvisionError> {
        check_id(environment.as_str())?;
        check_id(snapshot.as_str())?;
        Ok(self.shared.environment(environment).verify_snapshot(&self.shared, snapshot.clone(), told).await?)
    }

    async fn list_files(
        &self,
        tree: &Tree,
        path: &[u8],
        after: Option<&[u8]>,
        most: usize,
    ) -> Result<Vec<FileEntry>, ProvisionError> {
        let (path, after) = (path.to_vec(), after.map(<[u8]>::to_vec));
        let list = move |shared: &Shared, tree: &Tree| files::list(&shared.layout, tree, &path, after.as_deref(), most);
        Ok(self.look(tree, list).await?)
    }

    async fn read_file(
        &self,
        tree: &Tree,
        path: &[u8],
    ) -> Result<(Box<dyn AsyncRead + Send + Unpin>, u64), ProvisionError> {
        let path = path.to_vec();
        let (file, size) = self.look(tree, move |shared, tree| files::open(&shared.layout, tree, &path)).await?;
        Ok((Box::new(tokio::fs::File::from_std(file)), size))
    }

    async fn compare(
        &self,
        first: &Tree,
        second: &Tree,
        most: usize,
        told: &Told,
    ) -> Result<Comparison, ProvisionError> {
        check_tree(second)?;
        let second = second.clone();
        let while_asked = WhileAsked::new("being compared");
        let progress = while_asked.progress();
        let compare = move |shared: &Shared, first: &Tree| {
            files::compare(&shared.layout, shared.tools.owner, first, &second, most, &progress)
        };
        Ok(while_asked.telling(told, self.look(first, compare)).await?)
    }

    async fn write_file(
        &self,
        tree: &Tree,
        path: &[u8],
        write: FileWrite,
        content: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<FileEntry, ProvisionError> {
        check_volume(tree)?;
        let environment = self.shared.environment(&tree.environment);
        Ok(environment.write_file(&self.shared, tree.clone(), path.to_vec(), write, content).await?)
    }

    async fn restore_file(
        &self,
        (from, path): (&Tree, &[u8]),
        (to, goal): (&Tree, &[u8]),
        replace: bool,
        told: &Told,
    ) -> Result<FileEntry, ProvisionError> {
        check_tree(from)?;
        check_volume(to)?;
        let while_asked = WhileAsked::new("being brought back");
        let environment = self.shared.environment(&to.environment);
        let (from, to) = ((from.clone(), path.to_vec()), (to.clone(), goal.to_vec()));
        let restored = environment.restore_file(&self.shared, from, to, replace, while_asked.progress());
        Ok(while_asked.telling(told, restored).await?)
    }

    async fn folder(&self, tree: &Tree) -> Result<Option<PathBuf>, ProvisionError> {
        Ok(Some(self.look(tree, |shared, tree| files::root(&shared.layout, tree)).await?))
    }

    async fn begin_import(
        &self,
        environment: &EnvironmentId,
        snapshot: &SnapshotId,
    ) -> Result<ImportPlace, ProvisionError> {
        check_id(environment.as_str())?;
        check_id(snapshot.as_str())?;
        let (shared, environment, id) = (Arc::clone(&self.shared), environment.clone(), snapshot.clone());
        let begun = move || {
            let place = imports::begin(&shared.layout.snapshot(&environment, &id), &shared.tools, &shared.trash)?;
            Ok(ImportPlace { free_bytes: remains::capacity(&shared.layout)?.disk_free_bytes, ..place })
        };
        Ok(environment::blocking(begun).await?)
    }

    async fn finish_import(
        &self,
        environment: &EnvironmentId,
        snapshot: &ImportedSnapshot,
    ) -> Result<(), ProvisionError> {
        check_id(environment.as_str())?;
        check_id(snapshot.id.as_str())?;
        snapshot.volumes.iter().try_for_each(|(volume, _)| check_id(volume.volume.as_str()))?;
        let (shared, environment, snapshot) = (Arc::clone(&self.shared), environment.clone(), snapshot.clone());
        let finish = move || {
            let layout = shared.layout.snapshot(&environment, &snapshot.id);
            imports::finish(&layout, &snapshot, &shared.tools, &shared.trash)
        };
        Ok(environment::blocking(finish).await?)
    }

    async fn give_up_import(&self, environment: &EnvironmentId, snapshot: &SnapshotId) -> Result<(), ProvisionError> {
        check_id(environment.as_str())?;
        check_id(snapshot.as_str())?;
        let (shared, environment, id) = (Arc::clone(&self.shared), environment.clone(), snapshot.clone());
        let give_up = move || imports::give_up(&shared.layout.snapshot(&environment, &id), &shared.trash);
        Ok(environment::blocking(give_up).await?)
    }

    async fn kept_snapshots(&self) -> Result<Vec<(EnvironmentId, SnapshotId)>, ProvisionError> {
        let shared = Arc::clone(&self.shared);
        let kept = environment::blocking(move || {
            let mut kept = Vec::new();
            for environment in disk::names(&shared.layout.snapshots())?.into_iter().map(EnvironmentId::new) {
                for id in disk::names(&shared.layout.snapshots_of(&environment))?.into_iter().map(SnapshotId::new) {
                    if snapshots::record(&shared.layout.snapshot(&environment, &id))?.is_some() {
                        kept.push((environment.clone(), id));
                    }
                }
            }
            Ok(kept)
        });
        Ok(kept.await?)
    }

    async fn inventory(&self) -> Result<Vec<EnvironmentId>, ProvisionError> {
        let shared = Arc::clone(&self.shared);
        Ok(environment::blocking(move || shared.inventory()).await?)
    }

    async fn remains(&self, environment: &EnvironmentId) -> Result<Remains, ProvisionError> {
        check_id(environment.as_str())?;
        let (shared, id) = (Arc::clone(&self.shared), environment.clone());
        Ok(environment::blocking(move || remains::remains(&id, &shared.layout.environment(&id))).await?)
    }

    async fn capacity(&self) -> Option<Capacity> {
        let shared = Arc::clone(&self.shared);
        environment::blocking(move || remains::capacity(&shared.layout)).await.ok()
    }

    fn changes(&self) -> broadcast::Receiver<EnvironmentId> {
        self.shared.changes.subscribe()
    }
}

impl Shared {
    fn inventory(&self) -> Result<Vec<EnvironmentId>> {
        Ok(disk::names(&self.layout.environments())?.into_iter().map(EnvironmentId::new).collect())
    }

    /// Environments that have volumes or snapshots.
    fn with_data(&self) -> Result<BTreeSet<EnvironmentId>> {
        let snapshots = disk::names(&self.layout.snapshots())?.into_iter().map(EnvironmentId::new);
        Ok(self.inventory()?.into_iter().chain(snapshots).collect())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<EnvironmentId, Arc<Environment>>> {
        self.environments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn environment(&self, id: &EnvironmentId) -> Arc<Environment> {
        let mut known = self.known();
        let made = || Arc::new(Environment::new(id.clone(), self.layout.environment(id)));
        Arc::clone(known.entry(id.clone()).or_insert_with(made))
    }
}

/// Ids become names of directories.
fn check_id(id: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if id.is_empty() || id.len() > 64 || !id.bytes().all(plain) {
        return Err(LocalError::Refused(format!("“{}” is not an id.", id.escape_default())));
    }
    Ok(())
}

fn check_tree(tree: &Tree) -> Result<()> {
    check_id(tree.environment.as_str())?;
    check_id(tree.volume.as_str())?;
    tree.snapshot.as_ref().map_or(Ok(()), |snapshot| check_id(snapshot.as_str()))
}

/// Snapshots are not written to.
fn check_volume(tree: &Tree) -> Result<()> {
    check_tree(tree)?;
    match tree.snapshot {
        None => Ok(()),
        Some(_) => Err(LocalError::Refused("A snapshot does not change.".to_owned())),
    }
}

/// Why servers here have no such processors: they have this machine's.
fn lacks(architecture: Architecture) -> Option<String> {
    let here = Architecture::here().map_or(std::env::consts::ARCH, Architecture::as_str);
    (here != architecture.as_str()).then(|| format!("this machine has an {here} one"))
}

fn check_plan(plan: &ServerPlan) -> Result<()> {
    check_id(plan.id.as_str())?;
    if let Some((architecture, why)) = plan.architecture.and_then(|one| Some((one, lacks(one)?))) {
        return Err(LocalError::Refused(format!("{} is to have an {architecture} processor, and {why}.", plan.name)));
    }
    plan.mounts.iter().try_for_each(|mount| check_id(mount.volume.as_str()))
}
