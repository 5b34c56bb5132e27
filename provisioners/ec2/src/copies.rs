//! Copies of another region's snapshots. A copy stands in the ledger of the region that has it, as a snapshot of the same
//! environment under the same id: what looks at snapshots, begins volumes with them and removes them needs to know no more of it.
//!
//! CopySnapshot takes no client token. So that it is asked for is written down first, and when nobody knows what came of that, the
//! copy is looked for by its tags for as long as Amazon may take to show it, before it is asked for again; should there be
//! two after all, the second one goes.
//!
//! Deliberately absent: which snapshots are copied and when (the engine's), copies to another account (a snapshot that is
//! encrypted by the account's usual key cannot be read there), and deleting what was copied.

use provisioners::{EnvironmentId, LedgerError, SnapshotId, SnapshotOrigin, VolumeId};

use super::Shared;
use super::amazon::{CallError, EbsSnapshot, LAG_MS, SnapshotState};
use super::answers::{Accepted, rejected, soon};
use super::buckets::Paid;
use super::errand::{Errand, Outcome};
use super::look::Seen;
use super::records::{Copied, CopiedPart, Part, Record, Records, Snapshot};
use super::tags::{self, CALL, NAME, SNAPSHOT, VOLUME};

/// Where one of ours is.
pub(super) async fn origin(
    shared: &Shared,
    environment: &EnvironmentId,
    snapshot: &SnapshotId,
) -> Result<SnapshotOrigin, provisioners::ProvisionError> {
    let records = shared.known(environment).await?;
    let kept = records.snapshots.get(snapshot).map(|kept| &kept.record);
    let kept = kept.filter(|kept| kept.complete && kept.delete_at.is_none());
    let kept = kept.ok_or_else(|| rejected(format!("“{}” has no complete snapshot {snapshot}", shared.name)))?;
    let parts = kept.parts.iter().map(|part| (part.volume.clone(), part.snapshot.clone()));
    Ok(SnapshotOrigin { snapshot: kept.plan.clone(), region: shared.config.region.clone(), parts: parts.collect() })
}

/// Writes down that a snapshot is to be copied; the driver does it.
pub(super) async fn begin(shared: &Shared, environment: &EnvironmentId, origin: &SnapshotOrigin) -> Accepted {
    let records = shared.known(environment).await?;
    let before = records.snapshots.get(&origin.snapshot.id);
    match before.map(|kept| &kept.record) {
        Some(record) if record.copied.is_none() => {
            return Err(rejected(format!("“{}” has the snapshot itself", shared.name)));
        }
        Some(record) if record.delete_at.is_none() => return Ok(()),
        Some(record) if !record.deleted => return Err(soon("an earlier copy is still on its way out")),
        _ => {}
    }
    let part =
        |(volume, from): &(VolumeId, String)| CopiedPart { volume: volume.clone(), from: from.clone(), asked_at: None };
    let copied =
        Copied { region: origin.region.clone(), parts: origin.parts.iter().map(part).collect(), failure: None };
    let call = before.map_or(1, |kept| kept.record.call + 1);
    let record = Snapshot { copied: Some(copied), ..Snapshot::asked(origin.snapshot.clone(), call, (shared.now)()) };
    let written = shared.put(environment, before.map_or(0, |kept| kept.version), Record::Snapshot(Box::new(record)));
    written.await?;
    shared.active.ask(environment, true);
    Ok(())
}

/// Parts that were asked for and are shown now; and those that are not shown for so long that they never came. Pure.
pub fn learn(snapshot: &mut Snapshot, seen: &Seen, now: i64) -> bool {
    if snapshot.accepted || snapshot.delete_at.is_some() {
        return false;
    }
    let Some(mut copied) = snapshot.copied.clone() else { return false };
    for part in &mut copied.parts {
        let Some(asked_at) = part.asked_at else { continue };
        let of_part = |shown: &&EbsSnapshot| is_of(snapshot, &part.volume, shown);
        let shown = seen.snapshots.iter().filter(of_part).map(|shown| shown.id.clone()).min();
        if let Some(id) = shown {
            arrived(snapshot, part, id, now);
        } else if now >= asked_at + LAG_MS {
            part.asked_at = None;
        }
    }
    snapshot.accepted = copied.parts.iter().all(|part| snapshot.part_of(&part.volume).is_some());
    let changed = snapshot.copied.as_ref() != Some(&copied);
    snapshot.copied = Some(copied);
    changed
}

/// By its tags.
fn is_of(snapshot: &Snapshot, volume: &VolumeId, shown: &EbsSnapshot) -> bool {
    let tagged = |key: &str, value: &str| shown.tags.get(key).is_some_and(|found| found == value);
    shown.state != SnapshotState::Failed
        && tagged(SNAPSHOT, snapshot.plan.id.as_str())
        && tagged(VOLUME, volume.as_str())
        && tagged(CALL, &snapshot.call.to_string())
}

fn arrived(snapshot: &mut Snapshot, part: &mut CopiedPart, id: String, now: i64) {
    part.asked_at = None;
    snapshot.parts.push(Part { volume: part.volume.clone(), snapshot: id });
    // From here on it is known to be there before it is shown.
    snapshot.taken_at = now;
}

/// Parts that are to be asked for now. Pure.
pub fn errands(snapshot: &Snapshot) -> Vec<Errand> {
    let wanted = snapshot.copied.as_ref().filter(|copied| copied.failure.is_none() && snapshot.delete_at.is_none());
    let parts = wanted.into_iter().flat_map(|copied| &copied.parts);
    let missing = parts.filter(|part| part.asked_at.is_none() && snapshot.part_of(&part.volume).is_none());
    let errand =
        |part: &CopiedPart| Errand::CopySnapshot { snapshot: snapshot.plan.id.clone(), volume: part.volume.clone() };
    missing.map(errand).collect()
}

/// What is shown is a second copy of a volume of which there is one already.
pub fn has_part_beside(snapshot: &Snapshot, shown: &EbsSnapshot) -> bool {
    shown.tags.get(VOLUME).is_some_and(|volume| snapshot.part_of(&VolumeId::new(volume.clone())).is_some())
}

/// A call was made of which nobody knows what came.
pub fn may_bring_more(snapshot: &Snapshot) -> bool {
    snapshot.copied.as_ref().is_some_and(|copied| copied.parts.iter().any(|part| part.asked_at.is_some()))
}

/// One call, written down before it is made.
pub(super) async fn perform(
    shared: &Shared,
    environment: &EnvironmentId,
    (snapshot, volume): (&SnapshotId, &VolumeId),
    paid: Paid,
) -> Result<Outcome, LedgerError> {
    let now = (shared.now)();
    let ask = |record: &mut Snapshot, at: usize| -> bool {
        let still = errands(record)
            .iter()
            .any(|errand| matches!(errand, Errand::CopySnapshot { volume: one, .. } if one == volume));
        if let Some(copied) = record.copied.as_mut().filter(|_| still) {
            copied.parts[at].asked_at = Some(now);
        }
        still
    };
    if !change(shared, environment, (snapshot, volume), ask).await? {
        return Ok(Outcome::Changed);
    }
    let records = shared.records_of(environment).await?;
    let kept = records.snapshots.get(snapshot).map(|kept| &kept.record);
    let Some((record, copied)) = kept.and_then(|record| Some((record, record.copied.as_ref()?))) else {
        return Ok(Outcome::Changed);
    };
    let Some(part) = copied.parts.iter().find(|part| part.volume == *volume) else { return Ok(Outcome::Changed) };
    let call = record.call;
    let (number, name) = (call.to_string(), format!("{environment} {snapshot}"));
    let of = [(SNAPSHOT, snapshot.as_str()), (CALL, &number), (VOLUME, volume.as_str()), (NAME, &name)];
    let tags = tags::of(&shared.tags, environment.as_str(), &of);
    let called = shared.amazon.copy_snapshot(paid, (&copied.region, &part.from), &tags, now).await;
    let now = (shared.now)();
    match called {
        Ok(id) => {
            let note = |record: &mut Snapshot, at: usize| {
                // A look was quicker, or another call.
                if record.part_of(volume).is_some() || record.call != call {
                    return false;
                }
                let Some(mut copied) = record.copied.clone() else { return false };
                arrived(record, &mut copied.parts[at], id.clone(), now);
                record.accepted = copied.parts.iter().all(|part| record.part_of(&part.volume).is_some());
                record.copied = Some(copied);
                true
            };
            change(shared, environment, (snapshot, volume), note).await?;
            Ok(Outcome::Changed)
        }
        // Found by its tags, or asked for again when it can be shown no more.
        Err(CallError::Unknown { .. }) => Ok(Outcome::Changed),
        Err(error) => {
            let reason = final_reason(&error);
            let note = |record: &mut Snapshot, at: usize| {
                let Some(copied) = record.copied.as_mut() else { return false };
                copied.parts[at].asked_at = None;
                copied.failure = reason.clone();
                true
            };
            change(shared, environment, (snapshot, volume), note).await?;
            Ok(if reason.is_some() { Outcome::Changed } else { Outcome::Again(error.to_string()) })
        }
    }
}

/// Why it is not copied; `None`: it may be later, just the same. Amazon takes 20 copies at a time for one destination region, whoever
/// in the account asks ("Copy an Amazon EBS snapshot", docs.aws.amazon.com/ebs/latest/userguide/ebs-copy-snapshot.html).
fn final_reason(error: &CallError) -> Option<String> {
    match error.code() {
        "" | "ResourceLimitExceeded" | "IncorrectState" => None,
        "InvalidSnapshot.NotFound" => Some(format!("{} Are both provisioners of the same account?", error.plain())),
        _ => Some(error.plain()),
    }
}

/// Changes what is remembered of the copy of a volume; `false` when there is nothing to change.
async fn change(
    shared: &Shared,
    environment: &EnvironmentId,
    (snapshot, volume): (&SnapshotId, &VolumeId),
    change: impl Fn(&mut Snapshot, usize) -> bool,
) -> Result<bool, LedgerError> {
    let changed = |records: &Records| {
        let kept = records.snapshots.get(snapshot)?;
        let mut record = kept.record.clone();
        let at = record.copied.as_ref()?.parts.iter().position(|part| part.volume == *volume)?;
        change(&mut record, at).then(|| (kept.version, Record::Snapshot(Box::new(record))))
    };
    shared.change(environment, changed).await
}
