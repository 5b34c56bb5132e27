//! One call to Amazon: made, understood, and written down.

use std::collections::BTreeSet;
use std::time::Duration;

use provisioners::{EnvironmentId, LedgerError, ServerId, VolumeId};

use super::Shared;
use super::amazon::{CallError, LAG_MS, client_token};
use super::buckets::{self, Bucket, Buckets, Paid};
use super::copies;
use super::errand::{Call, Doomed, Errand, GUESS_AGAIN, Outcome, Turned};
use super::network;
use super::records::{Launch, Record, Records, Server};
use super::tags::{self, MOVE, NAME, VOLUME};
use super::turn;
use super::user_data::user_data;
use super::zones;

/// What is refused for so long, though it may pass, is told where it is waited for.
const TOLD_AFTER_MS: i64 = 60_000;
/// Amazon's most for one call.
pub const MOST_AT_ONCE: usize = 1000;

/// What it takes of which buckets.
pub fn costs(errand: &Errand) -> Vec<(Bucket, u32)> {
    let call = |name| vec![(Bucket::Call(name), 1)];
    match errand {
        Errand::CreateVolume { .. } => call("CreateVolume"),
        Errand::DeleteVolume { .. } => call("DeleteVolume"),
        Errand::Launch { launch, .. } => {
            let servers = u32::try_from(launch.members.len()).unwrap_or(u32::MAX);
            of_servers("RunInstances", servers)
        }
        Errand::GiveUp { .. } | Errand::Shift { .. } | Errand::Settle { .. } => Vec::new(),
        Errand::CopyForMove { .. } => call("CreateSnapshot"),
        Errand::Terminate { .. } => of_servers("TerminateInstances", 1),
        Errand::Turn { turn, .. } => of_servers(turn::action(*turn), 1),
        Errand::Attach { .. } => call("AttachVolume"),
        Errand::CopySnapshot { .. } => call("CopySnapshot"),
        Errand::DeleteSnapshot { .. } => call("DeleteSnapshot"),
        Errand::CreateGroup | Errand::CreateInternetGroup => call("CreateSecurityGroup"),
        Errand::GiveRules { .. } => network::RULES.map(|name| (Bucket::Call(name), 1)).to_vec(),
        Errand::FollowPortal { .. } => network::WAYS.map(|name| (Bucket::Call(name), 1)).to_vec(),
        Errand::DeleteGroup { .. } => call("DeleteSecurityGroup"),
        Errand::Name { .. } => call("CreateTags"),
    }
}

fn of_servers(action: &'static str, servers: u32) -> Vec<(Bucket, u32)> {
    vec![(Bucket::Call(action), 1), (Bucket::Servers(action), servers)]
}

/// How many of these servers may go, stand by or wake in one call now. Where not all may, as many as come back in a second, so that
/// an empty bucket is not asked for single servers; the last one is no later for it.
///
/// # Errors
/// How long to wait for the first.
pub fn at_once(buckets: &Buckets, action: &'static str, wanted: usize) -> Result<(usize, Paid), Duration> {
    let (wanted, servers) = (u32::try_from(wanted).unwrap_or(u32::MAX).max(1), Bucket::Servers(action));
    let count = buckets.there_are(servers).clamp(buckets::in_a_second(servers).min(wanted), wanted);
    let paid = buckets.take(&of_servers(action, count))?;
    Ok((usize::try_from(count).unwrap_or(1), paid))
}

pub(super) async fn perform(shared: &Shared, call: &Call, paid: Paid) -> Outcome {
    let done = match call {
        Call::One(environment, errand) => one(shared, environment, errand, paid).await,
        Call::Terminate(batch) => terminate(shared, batch, paid).await,
        Call::Turn(turn, batch) => turn::perform(shared, *turn, batch, paid).await,
    };
    done.unwrap_or_else(|error| Outcome::Again(error.to_string()))
}

async fn one(
    shared: &Shared,
    environment: &EnvironmentId,
    errand: &Errand,
    paid: Paid,
) -> Result<Outcome, LedgerError> {
    match errand {
        Errand::CreateVolume { volume } => {
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
        Errand::DeleteVolume { volume, id } => {
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
        Errand::Launch { launch, noted } => start(shared, environment, launch, *noted, paid).await,
        Errand::GiveUp { server, reason } => {
            shared
                .change(environment, |records| {
                    let kept = records.servers.get(server)?;
                    let record = Server { failure: Some(reason.clone()), ..kept.record.clone() };
                    Some((kept.version, Record::Server(Box::new(record))))
                })
                .await?;
            Ok(Outcome::Changed)
        }
        Errand::Turn { server, instance, turn, wish } => {
            let (environment, server, instance) = (environment.clone(), server.clone(), instance.clone());
            turn::perform(shared, *turn, &[Turned { environment, server, instance, wish: *wish }], paid).await
        }
        Errand::Terminate { server, instance } => {
            terminate(shared, &[(environment.clone(), server.clone(), instance.clone())], paid).await
        }
        Errand::Attach { server, number, volume, instance, guessed } => {
            match shared.amazon.attach_volume(paid, volume, instance, *number).await {
                Ok(()) => Ok(Outcome::Done),
                Err(CallError::Refused { .. }) if guessed.is_some() => Ok(Outcome::TooEarly(GUESS_AGAIN)),
                Err(error) => not_attached(shared, environment, server, error).await,
            }
        }
        Errand::CopyForMove { volume, id, token } => {
            copy_for_move(shared, environment, (volume, id), token, paid).await
        }
        Errand::Shift { server, zone } => {
            let (rate, now) = (shared.config.volume_initialization_mib_per_second, (shared.now)());
            let records = shared.records_of(environment).await?;
            let next = zones::shift(&records, server, zone, rate, now);
            if !next.is_empty() {
                tracing::info!(%environment, server = %server.0, zone, "volumes follow their server into another zone");
                shared.write(environment, next).await?;
            }
            Ok(Outcome::Changed)
        }
        Errand::Settle { volume } => {
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
        Errand::CopySnapshot { snapshot, volume } => {
            copies::perform(shared, environment, (snapshot, volume), paid).await
        }
        Errand::DeleteSnapshot { id } => {
            match shared.amazon.delete_snapshot(paid, id).await {
                Ok(()) => {}
                Err(error) if error.code() == "InvalidSnapshot.NotFound" => {
                    // One that was accepted a moment ago may not be known everywhere yet.
                    let records = shared.records_of(environment).await?;
                    let fresh = |record: &super::records::Snapshot| (shared.now)() < record.taken_at + LAG_MS;
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
                    let has = |kept: &&super::records::Kept<super::records::Snapshot>| {
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
        Errand::CreateGroup => network::create_group(shared, environment, paid).await,
        Errand::GiveRules { group } => network::give_rules(shared, environment, group, paid).await,
        Errand::FollowPortal { group } => network::follow_portal(shared, environment, group, paid).await,
        Errand::DeleteGroup { group } => network::delete_group(shared, environment, group, paid).await,
        Errand::CreateInternetGroup => network::create_internet_group(shared, environment, paid).await,
        Errand::Name { server, instance, tags } => {
            if let Err(error) = shared.amazon.create_tags(paid, std::slice::from_ref(instance), tags).await {
                return Ok(Outcome::Again(error.to_string()));
            }
            shared
                .change(environment, |records| {
                    let kept = records.servers.get(server)?;
                    let record = Server { named: true, ..kept.record.clone() };
                    Some((kept.version, Record::Server(Box::new(record))))
                })
                .await?;
            Ok(Outcome::Changed)
        }
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

/// What may pass was refused once more, `for_ms` after it was first asked for: that is told after a while, and the end of it at
/// last.
fn refused_again(server: &mut Server, error: &CallError, for_ms: i64) {
    if !matches!(error, CallError::Refused { .. }) || server.failure.is_some() {
        return;
    }
    match for_ms {
        LAG_MS.. => server.failure = Some(error.plain()),
        TOLD_AFTER_MS.. => server.trouble = Some(error.plain()),
        _ => {}
    }
}

/// A snapshot of a volume that no server has; the same again when it is not known whether there is one: any of them will do.
async fn copy_for_move(
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

/// Which one it is when data is to be read in too fast, Amazon does not say ("Initialize Amazon EBS volumes").
fn names_a_limit(code: &str) -> bool {
    code.ends_with("LimitExceeded") || code.contains("Quota")
}

/// Those of them that are not a zone's fault.
const LIMITS: [&str; 3] = ["InstanceLimitExceeded", "VcpuLimitExceeded", "MaxSpotInstanceCountExceeded"];
/// Of a volume that is to be kept in a snapshot: too many at a time, or it is not known everywhere yet.
const NOT_NOW: [&str; 4] = [
    "SnapshotCreationPerVolumeRateExceeded",
    "ConcurrentSnapshotLimitExceeded",
    "InvalidVolume.NotFound",
    "IncorrectState",
];
/// It has brought its servers, and one of them has ended since: "Error codes for the Amazon EC2 API". It cannot be repeated any more.
const ONE_HAS_ENDED: &str = "IdempotentInstanceTerminated";
/// Of things made a moment ago, not known everywhere yet.
const NOT_YET: [&str; 3] = ["InvalidGroup.NotFound", "InvalidSecurityGroupID.NotFound", "InvalidVolume.NotFound"];

async fn start(
    shared: &Shared,
    environment: &EnvironmentId,
    launch: &Launch,
    noted: bool,
    paid: Paid,
) -> Result<Outcome, LedgerError> {
    if !noted && !note(shared, environment, launch).await? {
        return Ok(Outcome::Changed);
    }
    let text = user_data(launch, |server, generation| (shared.enrolments)(server, generation));
    let called = shared.amazon.run_instances(paid, launch, &text).await;
    let now = (shared.now)();
    match called {
        Ok(instances) => {
            shared
                .change_members(environment, launch, |index, server| {
                    let (instance, address) = instances.get(index).cloned().unzip();
                    server.instance = instance;
                    server.address = address.flatten();
                    server.launched_at = Some(now);
                    server.trouble = None;
                })
                .await?;
            Ok(Outcome::Changed)
        }
        Err(error @ CallError::Refused { .. }) if NOT_YET.contains(&error.code()) => {
            shared
                .change_members(environment, launch, |_, server| {
                    if server.instance.is_some() {
                        return;
                    }
                    refused_again(server, &error, now - server.launch_asked_at.unwrap_or(now));
                    if server.failure.is_some() {
                        server.launch = None;
                        server.refused_tokens.push(launch.token.clone());
                        // Whoever comes next finds out whether it is there, or has another one made.
                        shared.forget_internet_group(&launch.groups);
                    }
                })
                .await?;
            Ok(Outcome::Again(error.to_string()))
        }
        Err(error) if error.code() == ONE_HAS_ENDED => {
            shared
                .change_members(environment, launch, |_, server| {
                    // Which of several it is Amazon shows, until it has forgotten it.
                    let alone = launch.members.len() == 1;
                    let is_shown_by_now = now >= server.launch_asked_at.unwrap_or(server.asked_at) + LAG_MS;
                    if server.instance.is_some() || !(alone || is_shown_by_now) {
                        return;
                    }
                    server.died = Some("Amazon says it was terminated before it was seen to run".to_owned());
                    server.launch.take_if(|_| server.stop_at.is_some());
                })
                .await?;
            Ok(Outcome::Again(error.to_string()))
        }
        Err(error @ CallError::Refused { .. }) => {
            // Whoever comes next has the newest one.
            if error.code().starts_with("InvalidAMIID.") || error.code() == "InvalidSubnetID.NotFound" {
                shared.outdated.notify_one();
            }
            let several = launch.members.len() > 1;
            let elsewhere = error.is_for_want_of_room();
            let market = if launch.spot { "spot " } else { "" };
            let why = format!("{market}{} in {}: {}", launch.instance_type, launch.zone, reason(&error));
            shared
                .change_members(environment, launch, |_, server| {
                    // One that is known has come of it all the same.
                    if server.instance.is_some() {
                        return;
                    }
                    server.launch = None;
                    server.refused_tokens.push(launch.token.clone());
                    match (elsewhere, several) {
                        (true, true) => server.alone = true,
                        (true, false) => {
                            server.tried.push(launch.possibility());
                            server.zone_full |= !LIMITS.contains(&error.code());
                            server.refusals.push(why.clone());
                        }
                        (false, _) => server.failure = Some(error.plain()),
                    }
                })
                .await?;
            Ok(Outcome::Changed)
        }
        Err(error) => Ok(Outcome::Again(error.to_string())),
    }
}

/// Writes the call down for all its members before it is made, and that their volumes are theirs; `false` when one of them does not
/// want it any more, or its volumes are on their way elsewhere.
async fn note(shared: &Shared, environment: &EnvironmentId, launch: &Launch) -> Result<bool, LedgerError> {
    let records = shared.records_of(environment).await?;
    let (mut changes, mut mounted) = (Vec::new(), BTreeSet::new());
    for member in &launch.members {
        let kept = records.servers.get(&(member.server.clone(), member.generation));
        let Some(kept) = kept.filter(|kept| kept.record.launch.is_none() && kept.record.stop_at.is_none()) else {
            return Ok(false);
        };
        if zones::disks(&records, &kept.record, &launch.zone).as_ref() != Some(&member.disks) {
            return Ok(false);
        }
        let launch_asked_at = Some((shared.now)());
        let record = Server { launch: Some(launch.clone()), launch_asked_at, ..kept.record.clone() };
        changes.push((kept.version, Record::Server(Box::new(record))));
        mounted.extend(kept.record.plan.mounts.iter().map(|mount| &mount.volume));
    }
    // As they are: who is about to move them is told to read again.
    for kept in mounted.into_iter().filter_map(|volume| records.volumes.get(volume)) {
        changes.push((kept.version, Record::Volume(Box::new(kept.record.clone()))));
    }
    shared.write(environment, changes).await
}

async fn terminate(shared: &Shared, batch: &[Doomed], paid: Paid) -> Result<Outcome, LedgerError> {
    let mut rest = vec![(batch, Some(paid))];
    let mut outcome = Outcome::Done;
    while let Some((batch, paid)) = rest.pop() {
        let paid = match paid {
            Some(paid) => paid,
            None => shared.amazon.buckets.acquire(&[(Bucket::Call("TerminateInstances"), 1)]).await,
        };
        let instances: Vec<String> = batch.iter().map(|(_, _, instance)| instance.clone()).collect();
        match (shared.amazon.terminate(paid, &instances).await, batch) {
            (Ok(()), _) => terminated(shared, batch, false).await?,
            (Err(error), [(_, _, _)]) if error.code() == "InvalidInstanceID.NotFound" => {
                terminated(shared, batch, true).await?;
                outcome = Outcome::Again(error.to_string());
            }
            (Err(CallError::Refused { .. }), [_, _, ..]) => {
                // One of them is not known or protected: the others go all the same.
                let (first, second) = batch.split_at(batch.len() / 2);
                rest.extend([(second, None), (first, None)]);
            }
            (Err(error), _) => {
                if let (CallError::Refused { .. }, [(environment, Some(server), _)]) = (&error, batch) {
                    tracing::warn!(%error, "a server on Amazon cannot be ended; trying again");
                    let since = |server: &Server| server.stop_at.unwrap_or(i64::MAX);
                    shared.tell(environment, server, &error, since).await?;
                }
                outcome = Outcome::Again(error.to_string());
            }
        }
    }
    Ok(outcome)
}

/// `unknown`: Amazon does not know them, which counts when they are old enough to be known.
async fn terminated(shared: &Shared, batch: &[Doomed], unknown: bool) -> Result<(), LedgerError> {
    let now = (shared.now)();
    for (environment, server, _) in batch {
        let Some(server) = server else { continue };
        shared
            .change(environment, |records| {
                let kept = records.servers.get(server)?;
                let old = kept.record.launched_at.is_none_or(|at| now >= at + LAG_MS);
                let record = match unknown {
                    true if old => Server { ended: true, ..kept.record.clone() },
                    true => return None,
                    false => Server { terminated_at: Some(now), trouble: None, ..kept.record.clone() },
                };
                Some((kept.version, Record::Server(Box::new(record))))
            })
            .await?;
    }
    Ok(())
}

fn reason(error: &CallError) -> String {
    match error.code() {
        "InsufficientInstanceCapacity" | "InsufficientCapacity" | "InsufficientHostCapacity" => {
            "Amazon has none left at the moment".to_owned()
        }
        "Unsupported" => "not offered there".to_owned(),
        "VcpuLimitExceeded" | "InstanceLimitExceeded" => "the account's limit of processors is reached".to_owned(),
        "InsufficientFreeAddressesInSubnet" => "the subnet has no free address".to_owned(),
        _ => error.to_string(),
    }
}

impl Shared {
    /// Says of a server what keeps it from what was asked of it at `since`, once that is so for a while.
    pub(super) async fn tell(
        &self,
        environment: &EnvironmentId,
        server: &(ServerId, i64),
        error: &CallError,
        since: impl Fn(&Server) -> i64,
    ) -> Result<(), LedgerError> {
        let now = (self.now)();
        let told = self.change(environment, |records| {
            let kept = records.servers.get(server)?;
            let trouble = Some(error.plain()).filter(|_| now.saturating_sub(since(&kept.record)) >= TOLD_AFTER_MS)?;
            let record = Server { trouble: Some(trouble), ..kept.record.clone() };
            (record != kept.record).then(|| (kept.version, Record::Server(Box::new(record))))
        });
        told.await.map(drop)
    }

    /// Reads, changes one page, writes, and again until nobody else wrote in between; `false` when there is nothing to change.
    pub(super) async fn change(
        &self,
        environment: &EnvironmentId,
        change: impl Fn(&Records) -> Option<(i64, Record)>,
    ) -> Result<bool, LedgerError> {
        loop {
            let records = self.records_of(environment).await?;
            let Some(changed) = change(&records) else { return Ok(false) };
            if self.write(environment, vec![changed]).await? {
                return Ok(true);
            }
        }
    }

    /// As [`change`](Self::change), for all servers that still stand by this launch.
    async fn change_members(
        &self,
        environment: &EnvironmentId,
        launch: &Launch,
        change: impl Fn(usize, &mut Server),
    ) -> Result<(), LedgerError> {
        loop {
            let records = self.records_of(environment).await?;
            let mut changes = Vec::new();
            for (index, member) in launch.members.iter().enumerate() {
                let kept = records.servers.get(&(member.server.clone(), member.generation));
                let same = |server: &Server| server.launch.as_ref().is_some_and(|known| known.token == launch.token);
                for kept in kept.into_iter().filter(|kept| same(&kept.record)) {
                    let mut record = kept.record.clone();
                    change(index, &mut record);
                    if record != kept.record {
                        changes.push((kept.version, Record::Server(Box::new(record))));
                    }
                }
            }
            if changes.is_empty() || self.write(environment, changes).await? {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ends_that_have_to_wait_share_a_call_each_second() {
        let buckets = Buckets::default();
        let at_once = |wanted| at_once(&buckets, "TerminateInstances", wanted).map(|(count, _)| count);
        assert_eq!((at_once(900), at_once(3), at_once(500)), (Ok(900), Ok(3), Ok(97)));
        let wait = at_once(500).unwrap_err();
        assert!(wait > Duration::from_millis(900), "{wait:?}");
        tokio::time::sleep(Duration::from_millis(1625)).await;
        assert_eq!(at_once(500), Ok(22));
        // The last few do not wait for more to come.
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(at_once(3), Ok(3));
    }
}
