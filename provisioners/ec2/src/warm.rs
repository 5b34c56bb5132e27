//! Volumes that begin with a snapshot's data read slowly until Amazon has read all of it in ("Initialize Amazon EBS volumes",
//! docs.aws.amazon.com/ebs/latest/userguide/initalize-volume.html). How far they are is asked for all of them together, told to
//! whoever looks at them, and decides nothing but when the snapshot may go by which a volume has moved (`zones`). That one is done
//! stands in its record; all else here is found out anew by the next portal. What was made by a fast snapshot restore (`fast`) is
//! read in from the beginning, as a look at it shows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use provisioners::{EnvironmentId, ReadingIn, VolumeId};
use tokio::sync::Notify;

use super::Shared;
use super::amazon::{CallError, Reading};
use super::records::{Record, Records, Volume};

/// Between looks while there are any; Amazon itself notes progress up to five minutes late.
const LOOK: Duration = Duration::from_secs(15);
/// Volumes in one call.
const MOST_AT_ONCE: usize = 200;
/// Amazon tells nothing of a volume at first, and of one that was made before it told anything, never.
const UNTOLD_MS: i64 = 3_600_000;

/// Volumes that are not read in yet, as far as is known.
#[derive(Default)]
pub struct Warming {
    cold: Mutex<BTreeMap<VolumeId, Cold>>,
    more: Notify,
}

#[derive(Clone, Debug)]
struct Cold {
    environment: EnvironmentId,
    /// Amazon's.
    id: String,
    asked_at: i64,
    percent: Option<u8>,
    until: Option<i64>,
}

impl Warming {
    /// Takes up what an environment has of them, and leaves out what it has no more.
    pub fn note(&self, environment: &EnvironmentId, records: &Records) {
        let mut cold = self.cold();
        let stays = |volume: &VolumeId| records.volumes.get(volume).is_some_and(|kept| is_cold(&kept.record));
        cold.retain(|volume, known| known.environment != *environment || stays(volume));
        for (volume, kept) in records.volumes.iter().filter(|(_, kept)| is_cold(&kept.record)) {
            let Some(id) = kept.record.volume.clone() else { continue };
            if cold.get(volume).is_some_and(|known| known.id == id) {
                continue;
            }
            let (environment, asked_at) = (environment.clone(), kept.record.asked_at);
            cold.insert(volume.clone(), Cold { environment, id, asked_at, percent: None, until: None });
            self.more.notify_one();
        }
    }

    pub fn of(&self, environment: &EnvironmentId) -> Vec<ReadingIn> {
        let cold = self.cold();
        let own = cold.iter().filter(|(_, known)| known.environment == *environment);
        own.map(|(volume, known)| ReadingIn { volume: volume.clone(), percent: known.percent, until: known.until })
            .collect()
    }

    fn cold(&self) -> MutexGuard<'_, BTreeMap<VolumeId, Cold>> {
        self.cold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_cold(volume: &Volume) -> bool {
    volume.from.is_some() && volume.ready && !volume.warm && volume.delete_at.is_none() && volume.volume.is_some()
}

/// Runs for as long as it is polled.
pub(super) async fn watch(shared: Arc<Shared>) {
    loop {
        let known: Vec<(VolumeId, Cold)> =
            shared.warming.cold().iter().map(|(volume, known)| (volume.clone(), known.clone())).collect();
        if known.is_empty() {
            shared.warming.more.notified().await;
            continue;
        }
        for some in known.chunks(MOST_AT_ONCE) {
            look(&shared, some).await;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// One volume that Amazon does not know hides all others of a call: they are asked for in halves then.
async fn look(shared: &Shared, volumes: &[(VolumeId, Cold)]) {
    let mut waiting = vec![volumes];
    while let Some(some) = waiting.pop() {
        let ids: Vec<String> = some.iter().map(|(_, known)| known.id.clone()).collect();
        match shared.amazon.readings(&ids).await {
            Ok(readings) => {
                for (volume, known) in some {
                    learn(shared, volume, known, readings.get(&known.id).copied().unwrap_or_default()).await;
                }
            }
            Err(CallError::Refused { code, .. }) if code == "InvalidVolume.NotFound" => match some.len() {
                // It is gone, or not known there yet: its environment's next look says which.
                1 => drop(shared.warming.cold().remove(&some[0].0)),
                many => waiting.extend([&some[..many / 2], &some[many / 2..]]),
            },
            Err(error) => {
                tracing::warn!(provisioner = shared.name, %error, "how far volumes are read in is not known anew");
            }
        }
    }
}

async fn learn(shared: &Shared, volume: &VolumeId, known: &Cold, reading: Reading) {
    let now = (shared.now)();
    let untold = reading.percent.is_none() && now >= known.asked_at + UNTOLD_MS;
    if reading.percent.is_none_or(|percent| percent < 100) && !untold {
        let until = reading.seconds_left.map(|seconds| now.saturating_add(seconds.saturating_mul(1000)));
        let told = |percent: i64| u8::try_from(percent.clamp(0, 100)).unwrap_or(0);
        if let Some(known) = shared.warming.cold().get_mut(volume) {
            (known.percent, known.until) = (reading.percent.map(told), until);
        }
        return;
    }
    let done = shared.change(&known.environment, |records| {
        // It may be another one by now.
        let same = |volume: &Volume| volume.volume.as_ref() == Some(&known.id);
        let kept = records.volumes.get(volume).filter(|kept| !kept.record.warm && same(&kept.record))?;
        Some((kept.version, Record::Volume(Box::new(Volume { warm: true, ..kept.record.clone() }))))
    });
    match done.await {
        Ok(_) => {
            shared.warming.cold().retain(|cold, now| cold != volume || now.id != known.id);
            // What was kept until then may go.
            shared.active.begin(&known.environment);
        }
        Err(error) => {
            tracing::warn!(provisioner = shared.name, %error, "that a volume is read in was not written down")
        }
    }
}
