//! What is being done with an environment's data in this process: snapshots taken and read, volumes restored. As with
//! everything an [`Environment`] keeps in memory, it may be lost at any time and is begun anew by [`Environment::take_up_data`].

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::environment::Environment;
use super::error::{LocalError, Result};
use super::tree::Progress;
use super::{Shared, disk, restores, snapshots, volumes};
use crate::{
    DataProgress, ObservedRestore, ObservedSnapshot, RestoreState, SnapshotContent, SnapshotId, SnapshotPlan,
    SnapshotState, Told, Verification, VolumeId, VolumePlan, VolumeSource,
};

/// A restore that is over so soon is answered with what came of it; a longer one is accepted.
const AT_ONCE: Duration = Duration::from_secs(2);
/// Whoever waits hears this often how far something has come.
const TELL: Duration = Duration::from_millis(400);
/// Whoever reads what is void ends within this long; servers may stand still meanwhile.
const READER_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Default)]
pub struct Data {
    now: Mutex<Now>,
    /// Held while something is put into a volume, and while a snapshot is taken.
    changing: Mutex<()>,
}

impl Data {
    /// Does `change` to a volume while no snapshot is being taken.
    pub fn still<T>(&self, change: impl FnOnce() -> T) -> T {
        let _changing = lock(&self.changing);
        change()
    }
}

#[derive(Default)]
struct Now {
    /// One step at a time for one snapshot.
    turns: HashMap<SnapshotId, Arc<Mutex<()>>>,
    taking: HashMap<SnapshotId, Taking>,
    reading: HashMap<SnapshotId, Arc<Task>>,
    restoring: HashMap<VolumeId, Arc<Task>>,
}

struct Taking {
    plan: SnapshotPlan,
    call: i64,
    began: i64,
    progress: Arc<Progress>,
}

/// Something long in the background.
struct Task {
    progress: Progress,
    /// What a restore is made from.
    source: Option<VolumeSource>,
    /// Once it is over: the error, and whether it is for good.
    outcome: Mutex<Option<Result<(), (String, bool)>>>,
    over: Condvar,
}

impl Task {
    fn new(doing: &'static str, source: Option<VolumeSource>) -> Arc<Self> {
        let progress = Progress::new(doing, 0);
        Arc::new(Self { progress, source, outcome: Mutex::default(), over: Condvar::new() })
    }

    fn finish(&self, outcome: &Result<()>) {
        let outcome = outcome.as_ref().copied().map_err(|error| (error.to_string(), is_final(error)));
        *self.outcome() = Some(outcome);
        self.over.notify_all();
    }

    fn outcome(&self) -> MutexGuard<'_, Option<Result<(), (String, bool)>>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What came of it, if that is known by then.
    fn wait(&self, most: Option<Duration>) -> Option<Result<(), (String, bool)>> {
        let until = most.map(|most| Instant::now() + most);
        let mut outcome = self.outcome();
        while outcome.is_none() {
            let left = until.map_or(Duration::from_secs(1), |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            outcome = self.over.wait_timeout(outcome, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        outcome.clone()
    }

    fn failure(&self) -> Option<String> {
        self.outcome().as_ref().and_then(|outcome| outcome.as_ref().err()).map(|(reason, _)| reason.clone())
    }
}

fn is_final(error: &LocalError) -> bool {
    matches!(error, LocalError::Refused(_) | LocalError::Absent(_))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Environment {
    pub async fn create_snapshot(self: &Arc<Self>, shared: &Arc<Shared>, plan: SnapshotPlan, call: i64) -> Result<()> {
        self.apart(shared, move |environment, shared| {
            let turn = environment.snapshot_turn(&plan.id);
            let _turn = lock(&turn);
            let layout = shared.layout.snapshot(&environment.id, &plan.id);
            if snapshots::record(&layout)?.is_none_or(|record| record.call != call) {
                environment.end_reading(&plan.id)?;
                let progress = Arc::new(Progress::new("being copied", 0));
                let taking =
                    Taking { plan: plan.clone(), call, began: snapshots::now(), progress: Arc::clone(&progress) };
                environment.now().taking.insert(plan.id.clone(), taking);
                let taken = environment.data.still(|| {
                    let Shared { tools, trash, .. } = &**shared;
                    snapshots::take(&environment.layout, &layout, &plan, call, tools, trash, &progress)
                });
                environment.now().taking.remove(&plan.id);
                taken?;
            }
            environment.read_snapshot(shared, &plan.id);
            Ok(())
        })
        .await
    }

    pub async fn delete_snapshot(self: &Arc<Self>, shared: &Arc<Shared>, id: SnapshotId) -> Result<()> {
        self.apart(shared, move |environment, shared| {
            let of_it = |source: &VolumeSource| source.environment == environment.id && source.snapshot == id;
            let all: Vec<_> = shared.known().values().cloned().collect();
            if all.iter().any(|other| other.restores_from(&of_it)) {
                return Err(LocalError::Later("A volume is being restored from the snapshot.".to_owned()));
            }
            let turn = environment.snapshot_turn(&id);
            let _turn = lock(&turn);
            if let Some(task) = environment.now().reading.remove(&id) {
                task.progress.stop();
            }
            let layout = shared.layout.snapshot(&environment.id, &id);
            shared.trash.take(layout.root())?;
            disk::remove_if_empty(layout.parent())?;
            environment.now().turns.remove(&id);
            Ok(())
        })
        .await
    }

    pub async fn verify_snapshot(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        id: SnapshotId,
        told: &Told,
    ) -> Result<Verification> {
        let while_asked = WhileAsked::new("being compared with its manifest");
        let progress = while_asked.progress();
        let verified = self.apart(shared, move |environment, shared| {
            let layout = shared.layout.snapshot(&environment.id, &id);
            snapshots::verify(&layout, shared.tools.owner, &progress)
        });
        let verified = while_asked.telling(told, verified).await;
        let _ = shared.changes.send(self.id.clone());
        verified
    }

    /// A volume that begins with what a snapshot held.
    pub async fn restore_volume(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        plan: VolumePlan,
        source: VolumeSource,
    ) -> Result<()> {
        self.apart(shared, move |environment, shared| {
            if volumes::exists(&environment.layout, &plan.id) {
                return Ok(());
            }
            if let Some(reason) = restores::failure(&environment.layout, &plan.id)? {
                return Err(LocalError::Refused(reason));
            }
            let under_way = environment.now().restoring.get(&plan.id).filter(|task| task.outcome().is_none()).cloned();
            let task = match under_way {
                Some(task) => task,
                None => {
                    let from = shared.layout.snapshot(&source.environment, &source.snapshot);
                    restores::accept(&environment.layout, &plan, &from, &source)?;
                    environment.go_on_restoring(shared, &plan, source)
                }
            };
            match task.wait(Some(AT_ONCE)) {
                Some(Err((reason, true))) => Err(LocalError::Refused(reason)),
                Some(Err((reason, false))) => Err(LocalError::Later(reason)),
                Some(Ok(())) | None => Ok(()),
            }
        })
        .await
    }

    /// Gives up a restore of this volume, and says why a volume may not be deleted now, if so.
    pub fn let_go_of(&self, id: &VolumeId) -> Result<()> {
        if self.now().taking.values().any(|taking| taking.plan.volumes.iter().any(|volume| volume.volume == *id)) {
            return Err(LocalError::Later("A snapshot of the volume is being taken.".to_owned()));
        }
        let task = self.now().restoring.remove(id);
        if let Some(task) = task {
            task.progress.stop();
            task.wait(None);
        }
        Ok(())
    }

    /// After a start of the portal: removes what was being taken, reads and restores what was being read and restored.
    pub async fn take_up_data(self: &Arc<Self>, shared: &Arc<Shared>) -> Result<()> {
        self.apart(shared, |environment, shared| {
            let all = shared.layout.snapshots_of(&environment.id);
            for name in disk::names(&all)? {
                let id = SnapshotId::new(name);
                let layout = shared.layout.snapshot(&environment.id, &id);
                if snapshots::record(&layout)?.is_some() {
                    environment.read_snapshot(shared, &id);
                } else {
                    shared.trash.take(layout.root())?;
                }
            }
            if all.is_dir() {
                disk::remove_if_empty(&all)?;
            }
            for name in disk::names(&environment.layout.volumes())? {
                let staging = environment.layout.staging(&VolumeId::new(name));
                if staging.is_dir() {
                    shared.trash.take(&staging)?;
                }
            }
            for plan in restores::wanted(&environment.layout)? {
                if let Some(source) = plan.from.clone() {
                    environment.go_on_restoring(shared, &plan, source);
                }
            }
            Ok(())
        })
        .await
    }

    /// Stops what goes on in the background, and waits until it has stopped.
    pub fn stop_data(&self) {
        let tasks: Vec<Arc<Task>> = {
            let mut now = self.now();
            let now = &mut *now;
            now.reading.drain().map(|(_, task)| task).chain(now.restoring.drain().map(|(_, task)| task)).collect()
        };
        tasks.iter().for_each(|task| task.progress.stop());
        tasks.iter().for_each(|task| drop(task.wait(None)));
    }

    pub fn observed_snapshots(&self, shared: &Shared) -> Result<Vec<ObservedSnapshot>> {
        let mut observed: Vec<ObservedSnapshot> = Vec::new();
        for name in disk::names(&shared.layout.snapshots_of(&self.id))? {
            let layout = shared.layout.snapshot(&self.id, &SnapshotId::new(name));
            if let Some(record) = snapshots::record(&layout)? {
                let task = self.now().reading.get(&record.plan.id).cloned();
                let under_way = task.map(|task| match task.failure() {
                    Some(reason) => SnapshotState::Failed { reason },
                    None => SnapshotState::Reading(task.progress.told()),
                });
                observed.push(snapshots::observed(&layout, &record, under_way)?);
            }
        }
        for (id, taking) in &self.now().taking {
            if observed.iter().all(|other| other.snapshot != *id) {
                observed.push(taking.observed());
            }
        }
        Ok(observed)
    }

    pub fn observed_restores(&self) -> Result<Vec<ObservedRestore>> {
        let mut observed: Vec<ObservedRestore> = restores::failures(&self.layout)?
            .into_iter()
            .map(|(volume, reason)| ObservedRestore { volume, state: RestoreState::Failed { reason } })
            .collect();
        for plan in restores::wanted(&self.layout)? {
            if observed.iter().any(|other| other.volume == plan.id) {
                continue;
            }
            let task = self.now().restoring.get(&plan.id).cloned();
            let state = match task.map(|task| (task.failure(), task.progress.told())) {
                Some((Some(reason), _)) => RestoreState::Failed { reason },
                Some((None, progress)) => RestoreState::Copying(progress),
                None => RestoreState::Copying(DataProgress { doing: "waiting".to_owned(), ..DataProgress::default() }),
            };
            observed.push(ObservedRestore { volume: plan.id, state });
        }
        Ok(observed)
    }

    /// Nobody reads any more what an earlier call took.
    fn end_reading(&self, id: &SnapshotId) -> Result<()> {
        let Some(task) = self.now().reading.get(id).cloned() else { return Ok(()) };
        task.progress.stop();
        match task.wait(Some(READER_PATIENCE)) {
            Some(_) => Ok(()),
            None => Err(LocalError::Later("What was taken before is still being read.".to_owned())),
        }
    }

    /// Makes the manifest in the background, unless it is there or being made.
    fn read_snapshot(self: &Arc<Self>, shared: &Arc<Shared>, id: &SnapshotId) {
        let layout = shared.layout.snapshot(&self.id, id);
        if snapshots::has_manifest(&layout) {
            return;
        }
        let task = Task::new("waiting to be read", None);
        {
            let mut now = self.now();
            if now.reading.get(id).is_some_and(|task| task.outcome().is_none()) {
                return;
            }
            now.reading.insert(id.clone(), Arc::clone(&task));
        }
        let (environment, shared, id) = (Arc::clone(self), Arc::clone(shared), id.clone());
        in_background(move || {
            let read = || {
                // One at a time on the machine: whoever waits for the first is not to wait for all.
                let _turn = lock(&shared.reading);
                let Some(record) = snapshots::record(&layout)?.filter(|_| !task.progress.stopped()) else {
                    return Ok(());
                };
                snapshots::make_manifest(&layout, &record, shared.tools.owner, &task.progress)
            };
            let made = read();
            task.finish(&made);
            if let Err(error) = &made
                && !task.progress.stopped()
            {
                tracing::warn!(environment = %environment.id, snapshot = %id, %error, "could not make a manifest");
            }
            if made.is_ok() {
                environment.now().reading.remove(&id);
            }
            let _ = shared.changes.send(environment.id.clone());
        });
    }

    /// Restores an accepted volume in the background.
    fn go_on_restoring(self: &Arc<Self>, shared: &Arc<Shared>, plan: &VolumePlan, source: VolumeSource) -> Arc<Task> {
        let task = Task::new("waiting", Some(source.clone()));
        {
            let mut now = self.now();
            if let Some(other) = now.restoring.get(&plan.id).filter(|task| task.outcome().is_none()) {
                return Arc::clone(other);
            }
            now.restoring.insert(plan.id.clone(), Arc::clone(&task));
        }
        let (environment, shared, plan) = (Arc::clone(self), Arc::clone(shared), plan.clone());
        let doing = Arc::clone(&task);
        in_background(move || {
            let from = shared.layout.snapshot(&source.environment, &source.snapshot);
            let (tools, trash) = (&shared.tools, &shared.trash);
            let layout = &environment.layout;
            let restored = restores::restore(layout, &plan, &from, &source, tools, trash, &doing.progress);
            let restored = match restored {
                Err(error) if is_final(&error) => restores::fail(layout, &plan.id, &error.to_string()).and(Err(error)),
                other => other,
            };
            if restored.is_ok() {
                environment.now().restoring.remove(&plan.id);
            }
            doing.finish(&restored);
            let _ = shared.changes.send(environment.id.clone());
        });
        task
    }

    fn restores_from(&self, of_it: &dyn Fn(&VolumeSource) -> bool) -> bool {
        let now = self.now();
        let running = now.restoring.values().filter(|task| task.outcome().is_none());
        running.filter_map(|task| task.source.as_ref()).any(of_it)
    }

    fn snapshot_turn(&self, id: &SnapshotId) -> Arc<Mutex<()>> {
        Arc::clone(self.now().turns.entry(id.clone()).or_default())
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        lock(&self.data.now)
    }
}

/// Something long that is done for as long as somebody waits for it.
pub struct WhileAsked(Arc<Progress>);

impl WhileAsked {
    pub fn new(doing: &'static str) -> Self {
        Self(Arc::new(Progress::new(doing, 0)))
    }

    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.0)
    }

    /// Waits for it, and says meanwhile how far it has come.
    pub async fn telling<T>(&self, told: &Told, work: impl Future<Output = T>) -> T {
        let telling = async {
            loop {
                told.send_replace(self.0.told());
                tokio::time::sleep(TELL).await;
            }
        };
        tokio::select! {
            done = work => done,
            never = telling => never,
        }
    }
}

impl Drop for WhileAsked {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// On a thread of its own: it ends when it is told to, however the runtime ends.
fn in_background(task: impl FnOnce() + Send + 'static) {
    std::thread::spawn(task);
}

impl Taking {
    fn observed(&self) -> ObservedSnapshot {
        let content = |volume: &crate::SnapshotVolume| SnapshotContent {
            volume: volume.volume.clone(),
            name: volume.name.clone(),
            manifest: None,
        };
        ObservedSnapshot {
            snapshot: self.plan.id.clone(),
            call: self.call,
            taken_at: self.began,
            state: SnapshotState::Taking(self.progress.told()),
            method: String::new(),
            contents: self.plan.volumes.iter().map(content).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_waits_for_any_more_is_given_up() {
        let asked = WhileAsked::new("being read");
        let progress = asked.progress();
        assert!(!progress.stopped());
        drop(asked);
        assert!(progress.stopped());
    }
}
