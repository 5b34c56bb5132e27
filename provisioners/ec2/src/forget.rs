//! What is over for so long that nothing of it can show any more is remembered no longer: an environment that is parked every
//! evening would have a page more for each of its servers every morning. Pure; the driver writes it down.

use std::collections::BTreeMap;

use super::records::{Record, Records, Volume};

/// Amazon shows what has ended for an hour, and lags by minutes.
const AFTER_MS: i64 = 24 * 3_600_000;

/// Changes of one environment's pages, to be written at once.
#[derive(Default)]
pub struct Forgotten {
    /// Pages that go, at these versions.
    pub pages: Vec<(String, i64)>,
    /// What stays of them, over these versions.
    pub changed: Vec<(i64, Record)>,
}

/// Of each server its last generation stays, so that none before it can be asked for again.
pub fn forget(records: &Records, now: i64) -> Forgotten {
    let mut forgotten = Forgotten::default();
    let mut volumes: BTreeMap<_, Volume> = BTreeMap::new();
    let is_old = |at: Option<i64>| at.is_some_and(|at| now >= at + AFTER_MS);
    for ((id, generation), kept) in &records.servers {
        let server = &kept.record;
        let is_last =
            records.servers.range((id.clone(), generation + 1)..).next().is_none_or(|((next, _), _)| next != id);
        if is_last || !server.ended || !is_old(server.terminated_at.or(server.stop_at)) {
            continue;
        }
        for mount in server.plan.mounts.iter().filter(|_| server.instance.is_some()) {
            let Some(kept) = records.volumes.get(&mount.volume) else { continue };
            let volume = volumes.entry(mount.volume.clone()).or_insert_with(|| kept.record.clone());
            for disk in server.disks_given() {
                *volume.had_before.entry(disk).or_default() += 1;
            }
        }
        forgotten.pages.push((Record::Server(Box::new(server.clone())).key(), kept.version));
    }
    for (id, kept) in &records.volumes {
        let volume = &kept.record;
        if volume.deleted && volume.is_alone() && is_old(volume.delete_at) {
            forgotten.pages.push((Record::Volume(Box::new(volume.clone())).key(), kept.version));
        } else if let Some(changed) = volumes.remove(id) {
            forgotten.changed.push((kept.version, Record::Volume(Box::new(changed))));
        }
    }
    for kept in records.snapshots.values().filter(|kept| kept.record.deleted && is_old(kept.record.delete_at)) {
        forgotten.pages.push((Record::Snapshot(Box::new(kept.record.clone())).key(), kept.version));
    }
    forgotten
}
