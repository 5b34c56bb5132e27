//! `bookend serve`: the portal, from its options to a clean stop.
//!
//! Parts are opened in an order in which nothing is changed before it is sure that this portal may: the lock on the data,
//! the port, the key, the database, then what runs servers. What keeps it from starting is a [`StartError`], which says what
//! to do. Standard output says `listening on http://ADDRESS` when everything answers, and, while there is no administrator,
//! `first administrator: http://ADDRESS/setup/SECRET`. Everything else goes to standard error.

mod cloud;
mod error;
mod machine;
mod options;
mod program;
mod repository;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use app::api::LiveEvent;
use app::portal::SharedPortal;
use provisioners::local::{Config, Local};
use provisioners::{Gateway, Provisioner};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agents::Hub;
use crate::auth::identity::Identities;
use crate::auth::password::Passwords;
use crate::auth::setup::first_administrator_link;
use crate::auth::token::DEFAULT_TEAM;
use crate::clock::Clock;
use crate::engine::{
    self, Alerts, Bell, Directory, Engine, Machines, RepositoryHandle, RepositoryParts, RepositoryWork, Trees,
};
use crate::http::hosts::{Hosts, Origin};
use crate::http::{self, Assets, Edge, server};
use crate::keys::InstallationKey;
use crate::service::{Service, Verifications, catalog};
use crate::store::{self, PortalLock, Store};

pub use cloud::CloudOptions;
pub use error::StartError;
pub use options::{ServeOptions, database_url, default_data_dir};
pub use repository::RepositoryOptions;

/// A portal that answers. Dropping it stops it as a crash would; [`stop`](Portal::stop) lets what is under way end.
pub struct Portal {
    /// The real port, also when any was asked for.
    pub address: SocketAddr,
    /// Where the first administrator is made; `None` when there is one.
    pub setup_link: Option<String>,
    pub store: Store,
    /// The use cases, for who asks without HTTP.
    pub use_cases: SharedPortal,
    stopping: CancellationToken,
    serving: JoinHandle<()>,
    catalog: JoinHandle<()>,
    _engine: Engine,
    _repository_work: RepositoryWork,
    _lock: Option<PortalLock>,
}

/// Runs until the process is told to stop.
///
/// # Errors
/// What keeps it from starting, and what to do.
pub async fn run(options: ServeOptions) -> Result<(), StartError> {
    let stop = machine::told_to_stop().map_err(|source| StartError::Signals { source })?;
    let portal = start(options, Clock::system()).await?;
    if let Some(link) = &portal.setup_link {
        println!("first administrator: {link}");
    }
    println!("listening on http://{}", portal.address);
    stop.await;
    tracing::info!("stopping; servers go on running");
    portal.stop().await;
    Ok(())
}

/// Opens everything and answers.
///
/// # Errors
/// See [`run`].
pub async fn start(options: ServeOptions, clock: Clock) -> Result<Portal, StartError> {
    // Only the first call of a process counts; a second provider is not wanted anyway.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let public = options.public_url.as_deref().map(Origin::parse).transpose().map_err(StartError::PublicUrl)?;
    let repository = options.repository.settings(|name| std::env::var(name).ok())?;
    let alerts = options.alert_url.as_deref().map(|url| Alerts::to(url, options.public_url.as_deref())).transpose();
    let alerts = alerts.map_err(StartError::AlertUrl)?;
    let named = options.cloud.read()?;
    let data_dir = machine::data_directory(&options.data_dir)?;
    let lock = match options.database_url {
        None => Some(PortalLock::acquire(&data_dir.join("bookend.db"))?),
        Some(_) => None,
    };
    let bound = TcpListener::bind(options.listen).await;
    let listener = bound.map_err(|source| StartError::Listen { address: options.listen, source })?;
    let address = listener.local_addr().map_err(|source| StartError::Listen { address: options.listen, source })?;
    let key = InstallationKey::load_or_create(&data_dir)?;
    let store = Store::open(&database_url(&data_dir, options.database_url.as_deref())).await?;

    let repository = match repository {
        Some(settings) => {
            let opened = RepositoryHandle::open(settings, &store, lock.is_some(), &store::id(clock.now())).await;
            opened.map_err(StartError::OpenRepository)?
        }
        None => RepositoryHandle::default(),
    };

    let bell = Bell::default();
    store.begin_life(lock.as_ref(), clock.now()).await?;
    let directory = Directory { store: store.clone(), key: key.clone(), clock: clock.clone(), bell: bell.clone() };
    let hub = Hub::new(Arc::new(directory));
    let agent = machine::beside_this_program(options.agent, program::NAME);
    let agent_programs = data_dir.join("agents");
    let programs = program::keep_all(&agent, &agent_programs, clock.now())?;
    let separate_disks = options.local_separate_disks;
    let config = Config { directory: data_dir.join("local"), agent, separate_disks };
    let local = Local::open(config, Arc::new(hub.clone())).await?;
    let mut provisioners: Vec<Arc<dyn Provisioner>> = vec![Arc::new(local)];
    if !named.is_empty() {
        let installation = store.installation(&store::id(clock.now())).await?;
        let public_url = options.public_url.as_deref();
        let (store, key, clock) = (&store, &key, &clock);
        let (programs, installation) = (&programs, &installation);
        let ground = cloud::Ground { store, key, clock, programs, public_url, installation };
        let mut connections = ec2::Connections::default();
        for (name, config) in named {
            provisioners.push(cloud::open(&name, config, &ground, &mut connections).await?);
        }
    }
    let mut able = BTreeMap::new();
    for provisioner in &provisioners {
        let (name, asked) = (provisioner.name(), provisioner.clone());
        asked.capabilities().notes.iter().for_each(|note| tracing::info!(provisioner = name, "{note}"));
        able.insert(name.to_owned(), Arc::new(move || asked.capabilities()) as catalog::Able);
    }

    let team = team(&store, &clock).await?;
    let catalog = offer(&store, &team, options.templates, &clock, &bell).await?;
    let secret = first_administrator_link(&store, clock.now()).await?;

    let gateway: Gateway = Arc::new(hub.clone());
    let machines = Machines::new(provisioners.clone(), store.clone());
    let trees = Trees::new(provisioners.clone());
    let engine = Engine::start(engine::Parts {
        store: store.clone(),
        clock: clock.clone(),
        key: key.clone(),
        bell: bell.clone(),
        agents: Arc::new(hub.clone()),
        provisioners: provisioners.clone(),
        weekly_drills: !options.no_restore_drills,
        alerts,
    });
    let repository_work = RepositoryWork::start(RepositoryParts {
        repository: repository.clone(),
        store: store.clone(),
        clock: clock.clone(),
        bell: bell.clone(),
        provisioners,
    });
    let identities = Identities::new(store.clone(), clock.clone());
    let use_cases: SharedPortal = Arc::new(Service {
        store: store.clone(),
        hub,
        identities: identities.clone(),
        passwords: Passwords::new()?,
        key,
        clock: clock.clone(),
        places: catalog::Places::new(able, options.cloud.default_provisioner),
        weekly_drills: !options.no_restore_drills,
        machines,
        trees,
        verifications: Verifications::default(),
        repository,
        bell,
        records: catalog::Records::default(),
        resumes: catalog::Resumes::default(),
        catalogs: catalog::Catalogs::default(),
    });
    let hosts =
        Hosts { listen: address, public, apps_domain: options.apps_domain.map(|name| name.to_ascii_lowercase()) };
    let setup_link = secret.map(|secret| format!("{}/setup/{secret}", hosts.portal()));
    let stopping = CancellationToken::new();
    let edge = Arc::new(Edge {
        portal: use_cases.clone(),
        identities,
        store: store.clone(),
        clock,
        hosts,
        agents: gateway,
        agent_programs,
        trusted_proxies: options.trusted_proxy,
        stopping: stopping.clone(),
        open: TaskTracker::new(),
    });
    let open = edge.open.clone();
    let router = http::router(edge, assets(machine::beside_this_program(options.site, "site"))?);
    let serving = tokio::spawn(server::serve(listener, router, stopping.clone(), open));
    Ok(Portal {
        address,
        setup_link,
        store,
        use_cases,
        stopping,
        serving,
        catalog,
        _engine: engine,
        _repository_work: repository_work,
        _lock: lock,
    })
}

impl Portal {
    /// Takes no more requests, lets those under way end (not for ever), and leaves servers running.
    pub async fn stop(mut self) {
        self.stopping.cancel();
        // It ends by itself; a panic in it has been logged.
        let _ = (&mut self.serving).await;
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        self.stopping.cancel();
        self.serving.abort();
        self.catalog.abort();
    }
}

/// The team everybody is of.
async fn team(store: &Store, clock: &Clock) -> Result<String, StartError> {
    let mut tx = store.write().await?;
    let team = tx.team(DEFAULT_TEAM, &store::id(clock.now())).await?;
    tx.commit().await?;
    Ok(team)
}

/// Fills the catalog before anybody looks, and keeps it up to date.
async fn offer(
    store: &Store,
    team: &str,
    templates: Option<PathBuf>,
    clock: &Clock,
    bell: &Bell,
) -> Result<JoinHandle<()>, StartError> {
    let source = templates.map_or(catalog::Source::Starter, catalog::Source::Directory);
    let files = catalog::files(&source).await.map_err(StartError::Templates)?;
    catalog::refresh(store, team, &files, clock.now()).await?;
    let (store, team, clock, bell) = (store.clone(), team.to_string(), clock.clone(), bell.clone());
    let changed = move || bell.announce(LiveEvent::Catalog);
    Ok(tokio::spawn(catalog::keep_current(store, team, source, move || clock.now(), changed)))
}

fn assets(site: PathBuf) -> Result<Assets, StartError> {
    match Assets::load(&site) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            tracing::warn!(
                "{} is not there: pages come without style and script (cargo xtask build makes it)",
                site.display()
            );
            Ok(Assets::default())
        }
        Err(source) => Err(StartError::Site { path: site, source }),
        Ok(assets) => Ok(assets),
    }
}
