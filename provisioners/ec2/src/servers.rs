//! Servers, on Amazon's side: launched, named and ended; each call made, understood, and written down.

use std::collections::BTreeSet;

use provisioners::{EnvironmentId, LedgerError, ServerId};

use super::Shared;
use super::amazon::{CallError, LAG_MS};
use super::buckets::{Bucket, Paid};
use super::errand::{Doomed, Outcome};
use super::records::{Launch, Record, Server};
use super::tags::Tags;
use super::user_data::user_data;
use super::zones;

/// What is refused for so long, though it may pass, is told where it is waited for.
const TOLD_AFTER_MS: i64 = 60_000;
/// Refusals for want of room that are not a zone's fault.
const LIMITS: [&str; 3] = ["InstanceLimitExceeded", "VcpuLimitExceeded", "MaxSpotInstanceCountExceeded"];
/// It has brought its servers, and one of them has ended since: "Error codes for the Amazon EC2 API". It cannot be repeated any more.
const ONE_HAS_ENDED: &str = "IdempotentInstanceTerminated";
/// Of things made a moment ago, not known everywhere yet.
const NOT_YET: [&str; 3] = ["InvalidGroup.NotFound", "InvalidSecurityGroupID.NotFound", "InvalidVolume.NotFound"];

pub(super) async fn start(
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
                .change_unknown(environment, launch, |server| {
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
                .change_unknown(environment, launch, |server| {
                    // Which of several it is Amazon shows, until it has forgotten it.
                    let alone = launch.members.len() == 1;
                    let is_shown_by_now = now >= server.launch_asked_at.unwrap_or(server.asked_at) + LAG_MS;
                    if alone || is_shown_by_now {
                        server.died = Some("Amazon says it was terminated before it was seen to run".to_owned());
                        server.launch.take_if(|_| server.stop_at.is_some());
                    }
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
                .change_unknown(environment, launch, |server| {
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

/// No possibility is left, or there never was one.
pub(super) async fn give_up(
    shared: &Shared,
    environment: &EnvironmentId,
    server: &(ServerId, i64),
    reason: &str,
) -> Result<Outcome, LedgerError> {
    shared
        .change(environment, |records| {
            let kept = records.servers.get(server)?;
            let record = Server { failure: Some(reason.to_owned()), ..kept.record.clone() };
            Some((kept.version, Record::Server(Box::new(record))))
        })
        .await?;
    Ok(Outcome::Changed)
}

/// A server that shared its launch gets a name of its own.
pub(super) async fn name(
    shared: &Shared,
    environment: &EnvironmentId,
    server: &(ServerId, i64),
    (instance, tags): (&String, &Tags),
    paid: Paid,
) -> Result<Outcome, LedgerError> {
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

pub(super) async fn terminate(shared: &Shared, batch: &[Doomed], paid: Paid) -> Result<Outcome, LedgerError> {
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

/// What may pass was refused once more, `for_ms` after it was first asked for: that is told after a while, and the end of it at
/// last.
pub fn refused_again(server: &mut Server, error: &CallError, for_ms: i64) {
    if !matches!(error, CallError::Refused { .. }) || server.failure.is_some() {
        return;
    }
    match for_ms {
        LAG_MS.. => server.failure = Some(error.plain()),
        TOLD_AFTER_MS.. => server.trouble = Some(error.plain()),
        _ => {}
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

    /// As [`change_members`](Self::change_members), for those of which nothing is known to have come: what is refused when it is asked
    /// for again is not about the others.
    async fn change_unknown(
        &self,
        environment: &EnvironmentId,
        launch: &Launch,
        change: impl Fn(&mut Server),
    ) -> Result<(), LedgerError> {
        let unknown = |_, server: &mut Server| {
            if server.instance.is_none() {
                change(server);
            }
        };
        self.change_members(environment, launch, unknown).await
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
