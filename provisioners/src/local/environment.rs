//! One environment in this process: which steps may run side by side, and what runs in the background for it. Nothing here
//! is the truth about anything; it may be lost at any time and is made anew by [`Environment::take_up`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::task::JoinHandle;

use super::data::Data;
use super::error::{LocalError, Result};
use super::holder as client;
use super::image::oci::Words;
use super::layout::EnvironmentLayout;
use super::link::{self, Meeting};
use super::watch::{self, Watch};
use super::{Shared, network, servers, volumes};
use crate::{EnvironmentId, Image, ObservedEnvironment, Secret, ServerId, ServerPlan, VolumeId, VolumePlan};

pub struct Environment {
    pub(super) id: EnvironmentId,
    pub(super) layout: EnvironmentLayout,
    pub(super) data: Data,
    /// Held for writing while the network is made or removed, for reading by every other step.
    structure: RwLock<()>,
    /// One step at a time for one server.
    turns: Mutex<HashMap<ServerId, Arc<Mutex<()>>>>,
    /// Servers that wait for their image.
    waiting: Mutex<HashMap<ServerId, Waiting>>,
    attached: Mutex<Option<Attached>>,
}

/// A server whose image is being fetched; dropping it gives the server up, not the image.
struct Waiting {
    generation: i64,
    words: Words,
    task: JoinHandle<()>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a holder that serves is watched and served by.
struct Attached {
    incarnation: String,
    _meeting: Meeting,
    _watch: Watch,
}

/// Runs a step where it may block.
pub async fn blocking<T: Send + 'static>(step: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(step).await {
        Ok(outcome) => outcome,
        Err(error) => Err(LocalError::Later(format!("A step was interrupted: {error}"))),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Environment {
    pub fn new(id: EnvironmentId, layout: EnvironmentLayout) -> Self {
        Self {
            id,
            layout,
            data: Data::default(),
            structure: RwLock::default(),
            turns: Mutex::default(),
            waiting: Mutex::default(),
            attached: Mutex::default(),
        }
    }

    pub async fn create_network(self: &Arc<Self>, shared: &Arc<Shared>) -> Result<()> {
        self.exclusively(shared, |environment, shared| {
            network::create(&shared.layout, &environment.layout, &shared.tools)?;
            environment.attach(shared)
        })
        .await
    }

    pub async fn delete_network(self: &Arc<Self>, shared: &Arc<Shared>) -> Result<()> {
        self.exclusively(shared, |environment, shared| {
            environment.detach();
            lock(&environment.waiting).clear();
            network::delete(&environment.layout, &shared.trash)?;
            shared.tools.limits.remove_all(&environment.id)?;
            lock(&environment.turns).clear();
            Ok(())
        })
        .await
    }

    pub async fn create_volume(self: &Arc<Self>, shared: &Arc<Shared>, plan: VolumePlan) -> Result<()> {
        self.beside(shared, move |environment, shared| volumes::create(&environment.layout, &plan, &shared.tools)).await
    }

    pub async fn delete_volume(self: &Arc<Self>, shared: &Arc<Shared>, id: VolumeId) -> Result<()> {
        self.beside(shared, move |environment, shared| {
            environment.let_go_of(&id)?;
            let records = servers::records(&environment.layout)?;
            if let Some(user) = records.iter().find(|record| record.plan.mounts.iter().any(|mount| mount.volume == id))
            {
                let message = format!("The volume is still attached to server “{}”.", user.plan.name);
                return Err(LocalError::Later(message));
            }
            volumes::delete(&environment.layout, &id, &shared.trash)
        })
        .await
    }

    pub async fn start_server(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        plan: ServerPlan,
        enrolment: Option<Secret>,
    ) -> Result<()> {
        self.beside(shared, move |environment, shared| {
            let turn = environment.turn(&plan.id);
            let _turn = lock(&turn);
            let Some(roster) = client::list(&environment.layout)? else {
                let _ = shared.changes.send(environment.id.clone());
                return Err(LocalError::Later("The environment's network is not there.".to_owned()));
            };
            let record = servers::accept(&environment.layout, &plan, enrolment.as_ref(), &roster, &shared.tools)?;
            environment.go_on(shared, &record)
        })
        .await
    }

    pub async fn stop_server(self: &Arc<Self>, shared: &Arc<Shared>, server: ServerId, generation: i64) -> Result<()> {
        self.beside(shared, move |environment, shared| {
            lock(&environment.waiting).retain(|waiting, on| *waiting != server || on.generation > generation);
            let turn = environment.turn(&server);
            let _turn = lock(&turn);
            servers::stop(&environment.id, &environment.layout, &server, generation, &shared.tools, &shared.trash)
        })
        .await
    }

    pub async fn observe(self: &Arc<Self>, shared: &Arc<Shared>) -> Result<ObservedEnvironment> {
        self.apart(shared, |environment, shared| {
            let layout = &environment.layout;
            let records = servers::records(layout)?;
            // After the records: a server that is recorded now is one its holder may know, not the other way round.
            let roster = client::list(layout)?;
            let observed = |record: &servers::Record| {
                let doing = environment.doing(record);
                servers::observed(&environment.id, record, roster.as_ref(), doing, &shared.tools)
            };
            Ok(ObservedEnvironment {
                environment: environment.id.clone(),
                network: roster.is_some(),
                servers: records.iter().map(observed).collect(),
                volumes: volumes::list(layout)?,
                restoring: environment.observed_restores()?,
                snapshots: environment.observed_snapshots(shared)?,
            })
        })
        .await
    }

    /// After a start of the portal: meets the agents again, watches again, and goes on with what was left half done.
    pub async fn take_up(self: &Arc<Self>, shared: &Arc<Shared>) -> Result<()> {
        self.beside(shared, |environment, shared| {
            let Some(roster) = client::list(&environment.layout)? else { return Ok(()) };
            environment.attach(shared)?;
            for record in servers::records(&environment.layout)? {
                if servers::pending(&record, Some(&roster)) {
                    let turn = environment.turn(&record.plan.id);
                    let _turn = lock(&turn);
                    environment.go_on(shared, &record)?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Stops meeting, watching and fetching; what runs goes on running.
    pub fn detach(&self) {
        lock(&self.waiting).clear();
        lock(&self.attached).take();
    }

    /// Brings an accepted server further.
    fn go_on(self: &Arc<Self>, shared: &Arc<Shared>, record: &servers::Record) -> Result<()> {
        match &record.plan.image {
            Image::Host => servers::launch(
                &self.id,
                &self.layout,
                record,
                &shared.tools.host,
                &shared.layout.images(),
                &shared.tools,
            ),
            Image::Oci(reference) if record.failure.is_none() => {
                self.fetch(shared, record, reference.clone());
                Ok(())
            }
            Image::Oci(_) => Ok(()),
        }
    }

    /// Launches a server when its image is there, unless that is being done.
    fn fetch(self: &Arc<Self>, shared: &Arc<Shared>, record: &servers::Record, reference: String) {
        let mut waiting = lock(&self.waiting);
        let server = record.plan.id.clone();
        let under_way = |on: &Waiting| on.generation == record.plan.generation && !on.task.is_finished();
        if waiting.get(&server).is_some_and(under_way) {
            return;
        }
        let words = Words::default();
        let task = tokio::spawn(fetch(Arc::clone(self), Arc::clone(shared), record.clone(), reference, words.clone()));
        waiting.insert(server, Waiting { generation: record.plan.generation, words, task });
    }

    /// What is being done about a server that is not started yet.
    fn doing(&self, record: &servers::Record) -> Option<String> {
        let waiting = lock(&self.waiting);
        let on = waiting.get(&record.plan.id).filter(|on| on.generation == record.plan.generation)?;
        Some(lock(&on.words).clone()).filter(|words| !words.is_empty())
    }

    async fn exclusively<T: Send + 'static>(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        step: impl FnOnce(&Arc<Self>, &Arc<Shared>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.apart(shared, |environment, shared| {
            let _structure = environment.structure.write().unwrap_or_else(PoisonError::into_inner);
            step(environment, shared)
        })
        .await
    }

    async fn beside<T: Send + 'static>(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        step: impl FnOnce(&Arc<Self>, &Arc<Shared>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.apart(shared, |environment, shared| {
            let _structure = environment.structure.read().unwrap_or_else(PoisonError::into_inner);
            step(environment, shared)
        })
        .await
    }

    /// Runs a step where it may block, and may start tasks.
    pub(super) async fn apart<T: Send + 'static>(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        step: impl FnOnce(&Arc<Self>, &Arc<Shared>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (environment, shared) = (Arc::clone(self), Arc::clone(shared));
        let runtime = tokio::runtime::Handle::current();
        blocking(move || {
            let _runtime = runtime.enter();
            step(&environment, &shared)
        })
        .await
    }

    fn turn(&self, server: &ServerId) -> Arc<Mutex<()>> {
        Arc::clone(lock(&self.turns).entry(server.clone()).or_default())
    }

    /// Meets the agents of, and watches, the holder that serves now.
    fn attach(self: &Arc<Self>, shared: &Arc<Shared>) -> Result<()> {
        let mut attached = lock(&self.attached);
        let Some(roster) = client::list(&self.layout)? else { return Ok(()) };
        if attached.as_ref().is_some_and(|attached| attached.incarnation == roster.incarnation) {
            return Ok(());
        }
        let meeting = link::listen(&self.layout, Arc::clone(&shared.gateway))?;
        let watch = watch::start(&self.layout, self.id.clone(), shared.changes.clone())?;
        *attached = Some(Attached { incarnation: roster.incarnation, _meeting: meeting, _watch: watch });
        Ok(())
    }
}

/// Fetches an image, then launches the server that waits for it or says why it never will be.
async fn fetch(
    environment: Arc<Environment>,
    shared: Arc<Shared>,
    record: servers::Record,
    reference: String,
    words: Words,
) {
    let root = shared.images.prepare(&reference, &shared.layout, &shared.tools, &shared.trash, &words).await;
    let id = environment.id.clone();
    let finished = environment.beside(&shared, move |environment, shared| {
        let turn = environment.turn(&record.plan.id);
        let _turn = lock(&turn);
        // Stopped in the meantime, and perhaps gone altogether.
        if servers::record(&environment.layout, &record.plan.id, record.plan.generation)?.is_none() {
            return Ok(());
        }
        let launched = root.and_then(|root| {
            servers::launch(
                &environment.id,
                &environment.layout,
                &record,
                &root,
                &shared.layout.images(),
                &shared.tools,
            )
        });
        match launched {
            Ok(()) => Ok(()),
            Err(error) => servers::fail(&environment.layout, &record, &error.to_string()),
        }
    });
    if let Err(error) = finished.await {
        tracing::warn!(environment = %id, %error, "could not note what became of a server");
    }
    let _ = shared.changes.send(id);
}
