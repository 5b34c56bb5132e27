//! The steps of the engine. What costs something is written down and left to the driver; what is quick or must have happened
//! when the step returns (a snapshot's moment) is done at once.

use futures::future::join_all;
use provisioners::{
    Effect, EnvironmentId, ProvisionError, ServerId, ServerPlan, SnapshotId, SnapshotPlan, Step, VolumeId, VolumePlan,
};

use super::Shared;
use super::answers::{Accepted, refused, rejected, soon};
use super::buckets::Bucket;
use super::fast;
use super::network;
use super::records::{Part, Phase, Record, Rest, Server, Snapshot, Volume};
use super::tags::{self, CALL, NAME, SNAPSHOT, VOLUME};
use super::zones;

const GIB: u64 = 1 << 30;

pub(super) async fn request(shared: &Shared, effect: &Effect) -> Accepted {
    let environment = &effect.environment;
    let accepted = match &effect.step {
        Step::CreateNetwork => network::create(shared, environment).await,
        Step::DeleteNetwork => network::delete(shared, environment).await,
        Step::CreateVolume { volume } => create_volume(shared, effect, volume).await,
        Step::DeleteVolume { volume } => delete_volume(shared, environment, volume).await,
        Step::StartServer { server } => start_server(shared, environment, effect.token.as_str(), server).await,
        Step::StopServer { server, generation } => stop_server(shared, environment, server, *generation).await,
        Step::SuspendServer { server, generation, wish, hibernate } => {
            turn(shared, environment, (server, *generation), *wish, Some(*hibernate)).await
        }
        Step::WakeServer { server, generation, wish } => {
            turn(shared, environment, (server, *generation), *wish, None).await
        }
        Step::CreateSnapshot { snapshot } => create_snapshot(shared, environment, effect.call, snapshot).await,
        Step::DeleteSnapshot { snapshot } => delete_snapshot(shared, environment, snapshot).await,
    };
    shared.active.ask(environment, effect.by_schedule);
    accepted
}

async fn create_volume(shared: &Shared, effect: &Effect, plan: &VolumePlan) -> Accepted {
    let (environment, token) = (&effect.environment, effect.token.as_str());
    let asked_by = format!("{token} {}", effect.call);
    let records = shared.known(environment).await?;
    if let Some(kept) = records.volumes.get(&plan.id) {
        return match (&kept.record.failure, kept.record.delete_at) {
            (_, Some(_)) => Err(rejected(format!("volume {} was deleted", plan.name))),
            (None, None) => Ok(()),
            (Some(failure), None) if kept.record.asked_by == asked_by => Err(rejected(failure.clone())),
            (Some(_), None) => {
                let record = kept.record.once_more(asked_by, (shared.now)());
                shared.put(environment, kept.version, Record::Volume(Box::new(record))).await
            }
        };
    }
    let place = shared.known_place()?;
    let (zone, now) = (place.home(environment).zone.clone(), (shared.now)());
    let mut reading_rate = None;
    let from = match &plan.from {
        None => None,
        Some(source) => {
            let source_records = shared.known(&source.environment).await?;
            let kept = source_records.snapshots.get(&source.snapshot).map(|kept| &kept.record);
            let kept = kept.filter(|kept| kept.accepted && kept.delete_at.is_none());
            let kept = kept.ok_or_else(|| rejected("the snapshot it is to begin with is not there"))?;
            if !kept.complete {
                shared.active.begin(&source.environment);
                return Err(soon("the snapshot it is to begin with is still being copied by Amazon"));
            }
            // A rate would count before a fast restore.
            let slowly = !fast::is_ready(kept, &zone, now);
            reading_rate = shared.config.volume_initialization_mib_per_second.filter(|_| slowly);
            let part = kept.part_of(&source.volume);
            Some(part.ok_or_else(|| rejected("the snapshot has nothing of that volume"))?.snapshot.clone())
        }
    };
    let size = gib(plan.size_bytes);
    let name = [(VOLUME, plan.id.as_str()), (NAME, plan.name.as_str())];
    let record = Volume {
        asked_by,
        tags: tags::of(&shared.tags, environment.as_str(), &name),
        reading_rate,
        from,
        ..Volume::asked(token.to_owned(), plan.clone(), zone, size, now)
    };
    shared.put(environment, 0, Record::Volume(Box::new(record))).await
}

/// As large as a volume becomes.
pub fn gib(bytes: u64) -> i32 {
    i32::try_from(bytes.div_ceil(GIB)).unwrap_or(i32::MAX).max(1)
}

async fn delete_volume(shared: &Shared, environment: &EnvironmentId, volume: &VolumeId) -> Accepted {
    let now = (shared.now)();
    let changed = shared.change(environment, |records| {
        let kept = records.volumes.get(volume).filter(|kept| kept.record.delete_at.is_none())?;
        let record = zones::deleted(&kept.record, now);
        Some((kept.version, Record::Volume(Box::new(record))))
    });
    changed.await.map(drop).map_err(|error| ProvisionError::Unknown { message: error.to_string() })
}

async fn start_server(shared: &Shared, environment: &EnvironmentId, token: &str, plan: &ServerPlan) -> Accepted {
    let records = shared.known(environment).await?;
    let later = |generation: &i64, kept: &super::records::Kept<Server>| {
        *generation > plan.generation || (*generation == plan.generation && kept.record.stop_at.is_some())
    };
    let superseded = records.servers.iter().any(|((id, generation), kept)| *id == plan.id && later(generation, kept));
    if superseded {
        return Err(rejected(format!("{} of generation {} was stopped", plan.name, plan.generation)));
    }
    if let Some(kept) = records.servers.get(&(plan.id.clone(), plan.generation)) {
        return match &kept.record.failure {
            Some(failure) => Err(rejected(failure.clone())),
            None => Ok(()),
        };
    }
    let network = records.network.as_ref().map(|kept| &kept.record);
    if network.is_none_or(|network| network.delete_at.is_some()) {
        return Err(rejected(format!("{} has no private network to start in", plan.name)));
    }
    for mount in &plan.mounts {
        let volume = records.volumes.get(&mount.volume).filter(|kept| kept.record.delete_at.is_none());
        let volume = volume.ok_or_else(|| rejected(format!("there is no volume {}", mount.volume)))?;
        if let Some(failure) = &volume.record.failure {
            return Err(rejected(failure.clone()));
        }
    }
    let record = Server {
        token: token.to_owned(),
        plan: plan.clone(),
        asked_at: (shared.now)(),
        tried: Vec::new(),
        refusals: Vec::new(),
        zone_full: false,
        refused_tokens: Vec::new(),
        launch: None,
        instance: None,
        launched_at: None,
        address: None,
        ran_at: None,
        stop_at: None,
        terminated_at: None,
        ended: false,
        failure: None,
        alone: false,
        named: false,
        missing_since: None,
        launch_asked_at: None,
        trouble: None,
        launch_shown: 0,
        rest: None,
        died: None,
    };
    shared.put(environment, 0, Record::Server(Box::new(record))).await
}

async fn stop_server(shared: &Shared, environment: &EnvironmentId, server: &ServerId, up_to: i64) -> Accepted {
    let now = (shared.now)();
    loop {
        let records = shared.known(environment).await?;
        let mut changes = Vec::new();
        for ((id, generation), kept) in &records.servers {
            if id == server && *generation <= up_to && kept.record.stop_at.is_none() {
                let ended = kept.record.launch.is_none() && kept.record.instance.is_none();
                let record = Server { stop_at: Some(now), ended, trouble: None, ..kept.record.clone() };
                changes.push((kept.version, Record::Server(Box::new(record))));
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        match shared.write(environment, changes).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => return Err(ProvisionError::Unknown { message: error.to_string() }),
        }
    }
}

/// Has a server stand by (`Some`: perhaps with its memory) or wake. Only the wish is written here; what has been begun is
/// ended before it is turned round.
async fn turn(
    shared: &Shared,
    environment: &EnvironmentId,
    (server, generation): (&ServerId, i64),
    wish: i64,
    down: Option<bool>,
) -> Accepted {
    let known = shared.known(environment).await?;
    let kept = known.servers.get(&(server.clone(), generation)).filter(|kept| kept.record.stop_at.is_none());
    let kept = kept.ok_or_else(|| rejected(format!("there is no server {server} of generation {generation}")))?;
    let record = &kept.record;
    let rest = match &record.rest {
        Some(rest) if rest.wish > wish => return Err(rejected("somebody wants something else of it by now")),
        Some(rest) => rest.clone(),
        None if down.is_none() => return Ok(()),
        None if record.ran_at.is_none() => return Err(soon(format!("{} is still starting", record.plan.name))),
        None => Rest {
            wish,
            asleep: false,
            asked_at: 0,
            hibernate: false,
            phase: Phase::Awake,
            accepted_at: None,
            launched: record.launch_shown,
        },
    };
    if rest.wish == wish && rest.asleep == down.is_some() {
        return Ok(());
    }
    let can_hibernate = record.launch.as_ref().is_some_and(|launch| launch.hibernates);
    let hibernate = match (down, rest.phase) {
        (Some(hibernate), Phase::Awake | Phase::Rising) => hibernate && can_hibernate,
        // Its memory is kept already, or not.
        _ => rest.hibernate,
    };
    let rest = Rest { wish, asleep: down.is_some(), asked_at: (shared.now)(), hibernate, ..rest };
    let record = Server { rest: Some(rest), ..record.clone() };
    shared.put(environment, kept.version, Record::Server(Box::new(record))).await
}

/// All volumes' moments lie between the call and its return; the caller sees to it that nothing writes in between.
async fn create_snapshot(shared: &Shared, environment: &EnvironmentId, call: i64, plan: &SnapshotPlan) -> Accepted {
    let records = shared.known(environment).await?;
    let known = records.snapshots.get(&plan.id);
    match known.map(|kept| &kept.record) {
        Some(record) if record.delete_at.is_some() => return Err(rejected("the snapshot was deleted")),
        Some(record) if record.accepted && record.call >= call => return Ok(()),
        _ => {}
    }
    let mut volumes = Vec::new();
    for wanted in &plan.volumes {
        let kept = records.volumes.get(&wanted.volume).filter(|kept| kept.record.delete_at.is_none());
        let kept = kept.ok_or_else(|| rejected(format!("there is no volume {}", wanted.name)))?;
        let id = zones::source(&records, &kept.record).cloned().filter(|_| kept.record.ready);
        volumes
            .push((wanted.volume.clone(), id.ok_or_else(|| soon(format!("volume {} is not there yet", wanted.name)))?));
    }
    let from = known.map_or(0, |kept| kept.version);
    let mut record = Snapshot::asked(plan.clone(), call, (shared.now)());
    shared.put(environment, from, Record::Snapshot(Box::new(record.clone()))).await?;
    let (number, name) = (call.to_string(), format!("{} {}", environment, plan.id));
    let calls = [(Bucket::Call("CreateSnapshot"), u32::try_from(volumes.len()).unwrap_or(u32::MAX))];
    let paid = match shared.amazon.snapshots.fetch(&(environment.clone(), plan.id.clone())) {
        Some(paid) => paid,
        // Its scripts took so long that its turn had passed, or it was asked for without one.
        None => shared.amazon.buckets.acquire(&calls).await,
    };
    let taken = volumes.iter().zip(paid.singly()).map(|((volume, id), paid)| {
        let of = [(SNAPSHOT, plan.id.as_str()), (CALL, &number), (VOLUME, volume.as_str()), (NAME, &name)];
        let tags = tags::of(&shared.tags, environment.as_str(), &of);
        async move { shared.amazon.create_snapshot(paid, id, &tags).await }
    });
    let taken = join_all(taken).await;
    for ((volume, _), taken) in volumes.into_iter().zip(taken) {
        let taken = taken.map_err(|error| match error.code() {
            // A volume that was made a moment ago is not known everywhere yet, or not there yet.
            "InvalidVolume.NotFound" | "IncorrectState" => soon(error.to_string()),
            _ => refused(error),
        });
        record.parts.push(Part { volume, snapshot: taken? });
    }
    record.accepted = true;
    shared.put(environment, from + 1, Record::Snapshot(Box::new(record))).await
}

async fn delete_snapshot(shared: &Shared, environment: &EnvironmentId, snapshot: &SnapshotId) -> Accepted {
    let now = (shared.now)();
    let changed = shared.change(environment, |records| {
        let kept = records.snapshots.get(snapshot).filter(|kept| kept.record.delete_at.is_none())?;
        let deleted = kept.record.parts.is_empty() && kept.record.accepted;
        let record = Snapshot { delete_at: Some(now), deleted, ..kept.record.clone() };
        Some((kept.version, Record::Snapshot(Box::new(record))))
    });
    changed.await.map(drop).map_err(|error| ProvisionError::Unknown { message: error.to_string() })
}

/// Only a copy: what is of this region itself stays.
pub(super) async fn remove_copy(shared: &Shared, environment: &EnvironmentId, snapshot: &SnapshotId) -> Accepted {
    let records = shared.known(environment).await?;
    if records.snapshots.get(snapshot).is_none_or(|kept| kept.record.copied.is_none()) {
        return Ok(());
    }
    delete_snapshot(shared, environment, snapshot).await?;
    shared.active.ask(environment, true);
    Ok(())
}
