//! Volumes and their snapshots, on Amazon's side: each call made, understood, and written down.

use provisioners::{EnvironmentId, LedgerError, ServerId, VolumeId};

use super::Shared;
use super::amazon::{CallError, LAG_MS, client_token};
use super::buckets::Paid;
use super::copies;
use super::errand::{GUESS_AGAIN, Outcome};
use super::records::{Kept, Record, Snapshot};
use super::servers::refused_again;
use super::tags::{self, MOVE, NAME, VOLUME};
use super::zones;

/// Of a volume that is to be kept in a snapshot: too many at a time, or it is not known everywhere yet.
const NOT_NOW: [&str; 4] = [
    "SnapshotCreationPerVolumeRateExceeded",
    "ConcurrentSnapshotLimitExceeded",
    "InvalidVolume.NotFound",
    "IncorrectState",
];

pub(super) async fn create(
    shared: &Shared,
    environment: &EnvironmentId,
    volume: &VolumeId,
    paid: Paid,
) -> Result<Outcome, LedgerError> {
    let records = shared.records_of(environment).await?;
    let Some(kept) = records.volumes.get(volume) else { return Ok(Outcome::Changed) };
    let mut record = kept.record.clone();
    if record.tags.is_empty() {
        let name = [(VOLUME, volume.as_str()), (NAME, record.plan.name.as_str())];
        record.tags = tags::of(&shared.tags, environment.as_str(), &name);
    }
    match shared.amazon.create_volume(paid, &record).await {
        Ok(id) => record.volume = Some(id),
        // A snapshot that is complete here may not be there yet for the call.
        Err(CallError::Refused { code, message, .. })
            if code == "IncorrectState"
                || (code == "InvalidSnapshot.NotFound" && (shared.now)() < record.asked_at + LAG_MS) =>
        {
            return Ok(Outcome::Again(message));
        }
        // Perhaps more at once than the account may have read in: slowly is better than not at all. It is another call, for this
        // one has brought nothing, or its repetition would have been answered with what it brought.
        Err(error) if record.reading_rate.is_some() && names_a_limit(error.code()) => {
            record.token = client_token(&format!("{} as Amazon likes", record.token));
            record.reading_rate = None;
        }
        // One without data waits for room where its server is to be, which Amazon may have again soon.
        Err(error) if error.code() == "InsufficientVolumeCapacity" && record.may_wait((shared.now)()) => {
            return Ok(Outcome::Again(error.plain()));
        }
        Err(error @ CallError::Refused { .. }) => match &mut record.moving {
            Some(moving) => moving.refused = Some(error.plain()),
            None => {
                record.failure = Some(error.plain());
                // An earlier Bookend has asked otherwise: never again with this token.
                if error.code() == "IdempotentParameterMismatch" {
                    record.token = client_token(&format!("{} again", record.token));
                }
            }
        },
        Err(error) => return Ok(Outcome::Again(error.to_string())),
    }
    shared.write(environment, vec![(kept.version, Record::Volume(Box::new(record)))]).await?;
    Ok(Outcome::Changed)
}

/// Which one it is when data is to be read in too fast, Amazon does not say ("Initialize Amazon EBS volumes").
fn names_a_limit(code: &str) -> bool {
    code.ends_with("LimitExceeded") || code.contains("Quota")
}

/// `id`: of what Amazon has, which may be one that was discarded.
pub(super) async fn delete(
    shared: &Shared,
    environment: &EnvironmentId,
    (volume, id): (&VolumeId, &str),
    paid: Paid,
) -> Result<Outcome, LedgerError> {
    match shared.amazon.delete_volume(paid, id).await {
        Ok(()) => {}
        Err(error) if error.code() == "InvalidVolume.NotFound" => {
            let records = shared.records_of(environment).await?;
            let asked_at = records.volumes.get(volume).map_or(0, |kept| kept.record.asked_at);
            if (shared.now)() < asked_at + LAG_MS {
                return Ok(Outcome::Again(error.to_string()));
            }
        }
        Err(error) => return Ok(Outcome::Again(error.to_string())),
    }
    shared
        .change(environment, |records| {
            let kept = records.volumes.get(volume)?;
            let mut record = kept.record.clone();
            match record.discarded.iter_mut().find(|past| past.volume == *id) {
                Some(past) => past.deleted = true,
                None => record.deleted = true,
            }
            Some((kept.version, Record::Volume(Box::new(record))))
        })
        .await?;
    Ok(Outcome::Changed)
}

/// `guessed`: Amazon did not show yet that the server runs.
pub(super) async fn attach(
    shared: &Shared,
    environment: &EnvironmentId,
    server: &(ServerId, i64),
    (number, volume, instance): (usize, &str, &str),
    guessed: bool,
    paid: Paid,
) -> Result<Outcome, LedgerError> {
    match shared.amazon.attach_volume(paid, volume, instance, number).await {
        Ok(()) => Ok(Outcome::Done),
        Err(CallError::Refused { .. }) if guessed => Ok(Outcome::TooEarly(GUESS_AGAIN)),
        Err(error) => not_attached(shared, environment, server, error).await,
    }
}

async fn not_attached(
    shared: &Shared,
    environment: &EnvironmentId,
    server: &(ServerId, i64),
    error: CallError,
) -> Result<Outcome, LedgerError> {
    let now = (shared.now)();
    let is_final = ["InvalidVolume.ZoneMismatch", "AttachmentLimitExceeded"].contains(&error.code());
    shared
        .change(environment, |records| {
            let kept = records.servers.get(server)?;
            let mut record = kept.record.clone();
            let since = record.launched_at.unwrap_or(now).max(record.launch_shown);
            match is_final {
                true => record.failure = Some(error.plain()),
                false => refused_again(&mut record, &error, now - since),
            }
            (record != kept.record).then(|| (kept.version, Record::Server(Box::new(record))))
        })
        .await?;
    Ok(Outcome::Again(error.to_string()))
}

/// A snapshot of a volume that no server has; the same again when it is not known whether there is one: any of them will do.
pub(super) async fn copy_for_move(
    shared: &Shared,
    environment: &EnvironmentId,
    (volume, id): (&VolumeId, &str),
    token: &str,
    paid: Paid,
) -> Result<Outcome, LedgerError> {
    let name = format!("{environment} {volume}");
    let of = [(VOLUME, volume.as_str()), (MOVE, token), (NAME, &name)];
    let taken = shared.amazon.create_snapshot(paid, id, &tags::of(&shared.tags, environment.as_str(), &of)).await;
    let taken = match taken {
        Ok(snapshot) => Ok(snapshot),
        Err(error @ CallError::Refused { .. }) if !NOT_NOW.contains(&error.code()) => Err(error.plain()),
        Err(error) => return Ok(Outcome::Again(error.to_string())),
    };
    shared
        .change(environment, |records| {
            let kept = records.volumes.get(volume)?;
            let mut record = kept.record.clone();
            let moving = record.moving.as_mut()?;
            let copy = moving.copy.as_mut().filter(|copy| copy.token == token && copy.snapshot.is_none())?;
            match &taken {
                Ok(snapshot) => copy.snapshot = Some(snapshot.clone()),
                Err(reason) => moving.refused = Some(reason.clone()),
            }
            Some((kept.version, Record::Volume(Box::new(record))))
        })
        .await?;
    Ok(Outcome::Changed)
}

/// Volumes follow their server into another zone, as far as the next call.
pub(super) async fn shift(
    shared: &Shared,
    environment: &EnvironmentId,
    server: &(ServerId, i64),
    zone: &str,
) -> Result<Outcome, LedgerError> {
    let (rate, now) = (shared.config.volume_initialization_mib_per_second, (shared.now)());
    let records = shared.records_of(environment).await?;
    let next = zones::shift(&records, server, zone, rate, now);
    if !next.is_empty() {
        tracing::info!(%environment, server = %server.0, zone, "volumes follow their server into another zone");
        shared.write(environment, next).await?;
    }
    Ok(Outcome::Changed)
}

/// The end of a move.
pub(super) async fn settle(
    shared: &Shared,
    environment: &EnvironmentId,
    volume: &VolumeId,
) -> Result<Outcome, LedgerError> {
    let now = (shared.now)();
    shared
        .change(environment, |records| {
            let kept = records.volumes.get(volume)?;
            let record = zones::settled(records, &kept.record, now)?;
            Some((kept.version, Record::Volume(Box::new(record))))
        })
        .await?;
    Ok(Outcome::Changed)
}

/// One of a snapshot's parts, or what came of a call for it that does not count.
pub(super) async fn delete_snapshot(
    shared: &Shared,
    environment: &EnvironmentId,
    id: &str,
    paid: Paid,
) -> Result<Outcome, LedgerError> {
    match shared.amazon.delete_snapshot(paid, id).await {
        Ok(()) => {}
        Err(error) if error.code() == "InvalidSnapshot.NotFound" => {
            // One that was accepted a moment ago may not be known everywhere yet.
            let records = shared.records_of(environment).await?;
            let fresh = |record: &Snapshot| (shared.now)() < record.taken_at + LAG_MS;
            if records
                .snapshots
                .values()
                .any(|kept| kept.record.parts.iter().any(|part| part.snapshot == *id) && fresh(&kept.record))
            {
                return Ok(Outcome::Again(error.to_string()));
            }
        }
        Err(error) => return Ok(Outcome::Again(error.to_string())),
    }
    shared
        .change(environment, |records| {
            let has = |kept: &&Kept<Snapshot>| {
                kept.record.delete_at.is_some() && kept.record.parts.iter().any(|part| part.snapshot == *id)
            };
            let kept = records.snapshots.values().find(has)?;
            let mut record = kept.record.clone();
            record.parts.retain(|part| part.snapshot != *id);
            record.deleted = record.parts.is_empty() && !copies::may_bring_more(&record);
            Some((kept.version, Record::Snapshot(Box::new(record))))
        })
        .await?;
    Ok(Outcome::Done)
}
