//! What Amazon has of this installation and nothing remembered names: orphans. There should be none; a database that was set back
//! to yesterday's copy, or a hand in Amazon's console, can make some.
//!
//! Found by a look at everything that carries the installation's tag, against the ledger as it stands after that look: each
//! call is written down before it is made, so what a record does not name when it is shown, no call under way is about to name.
//! Read is what all provisioners of the database remember: another one may have the same account and region, and this one may have
//! had another name. [`OLD_ENOUGH_MS`] comes on top. Removed only one by one, by its id, after a look of its own at its environment and another
//! reading of the ledger; who asks for it has asked the database.
//!
//! What is remembered, and was to go so long ago that Amazon must have refused it all the time ([`OVERDUE_MS`]), is told of, too: it
//! costs money, its environment may be gone from everybody's sight, and who asks for its end here is told why it is refused.
//!
//! Deliberately absent: volumes at an instance (they go with it, or are data of somebody's who attached them), and what carries
//! the installation's tag but no environment's, as the security group that environments share does.

use std::collections::BTreeMap;

use provisioners::{EnvironmentId, LedgerError, Orphan, OrphanKind, Orphans, ProvisionError, ServerId};

use super::Shared;
use super::amazon::{CallError, EbsSnapshot, EbsVolume, Instance, InstanceState, LAG_MS, VolumeState};
use super::answers::refused;
use super::errand::Errand;
use super::look::{self, Seen};
use super::perform;
use super::prices::Prices;
use super::records::{Kept, Network, Records, Server, Snapshot, Unreadable, Volume};
use super::tags::{GENERATION, MOVE, SERVER, SNAPSHOT, Tags, VOLUME};

/// Twice as long as something may take to be shown, and a record to be believed about what is gone.
pub const OLD_ENOUGH_MS: i64 = 2 * LAG_MS;
/// No end takes that long of itself.
const OVERDUE_MS: i64 = 2 * 3600 * 1000;
/// Said of what is remembered all the same.
const OVERDUE: &str = ", which was to go long ago";

/// All of the installation, but for environments of which nobody understands what is remembered.
pub(super) async fn find(shared: &Shared) -> Result<Orphans, ProvisionError> {
    let unseen = |message: String| ProvisionError::Unknown { message };
    let seen = look::all(&shared.amazon, &shared.installation, None, None).await;
    let seen = seen.map_err(|error| unseen(error.to_string()))?;
    let environments: Vec<EnvironmentId> = seen.keys().cloned().collect();
    let memory = remembered(shared, &environments).await.map_err(|error| unseen(error.to_string()))?;
    let now = (shared.now)();
    let of = |(environment, seen): (&EnvironmentId, &Seen)| {
        Some(orphans(environment, memory.of(environment)?, seen, &shared.config.prices, now))
    };
    Ok(Orphans { found: seen.iter().filter_map(of).flatten().collect(), left_out: memory.left_out() })
}

/// What all provisioners of the database remember.
#[derive(Debug, Default)]
pub(super) struct Memory {
    known: BTreeMap<EnvironmentId, Known>,
    nothing: Known,
    unreadable: BTreeMap<EnvironmentId, Unreadable>,
}

impl Memory {
    /// `None`: nobody understands what is remembered of it, so anything there may be its own.
    pub(super) fn of(&self, environment: &EnvironmentId) -> Option<&Known> {
        match self.unreadable.contains_key(environment) {
            true => None,
            false => Some(self.known.get(environment).unwrap_or(&self.nothing)),
        }
    }

    /// Of which environments that is so, for people.
    fn left_out(&self) -> Option<String> {
        let first = self.unreadable.values().next()?;
        Some(match self.unreadable.len() - 1 {
            0 => format!("{first}; what it has is left out"),
            more => format!("{first}; what it and {more} more of which that is so have is left out"),
        })
    }
}

/// What is remembered of an environment.
#[derive(Debug, Default)]
pub(super) struct Known {
    own: Records,
    /// By other provisioners.
    others: Vec<Records>,
}

impl Known {
    pub(super) fn all(&self) -> impl Iterator<Item = &Records> {
        std::iter::once(&self.own).chain(&self.others)
    }
}

pub(super) async fn remembered(shared: &Shared, environments: &[EnvironmentId]) -> Result<Memory, LedgerError> {
    let mut memory = Memory::default();
    for pages in shared.ledger.read_others(environments).await? {
        let (read, unreadable) = Records::read(pages);
        for (environment, records) in read {
            memory.known.entry(environment).or_default().others.push(records);
        }
        memory.unreadable.extend(unreadable);
    }
    let (read, unreadable) = shared.records(environments).await?;
    for (environment, own) in read {
        memory.known.entry(environment).or_default().own = own;
    }
    memory.unreadable.extend(unreadable);
    Ok(memory)
}

/// One that [`find`] told of; nothing happens when it is one no more. That Amazon does not know it any more is fine.
pub(super) async fn remove(shared: &Shared, orphan: &Orphan) -> Result<(), ProvisionError> {
    let unseen = |message: String| ProvisionError::Unknown { message };
    let environment = &orphan.environment;
    let only = [environment.to_string()];
    let seen = look::all(&shared.amazon, &shared.installation, Some(&only), None).await;
    let seen = seen.map_err(|error| unseen(error.to_string()))?.remove(environment).unwrap_or_default();
    let errand = match orphan.kind {
        OrphanKind::Server => Errand::Terminate { server: None, instance: orphan.id.clone() },
        OrphanKind::Volume => {
            Errand::DeleteVolume { volume: provisioners::VolumeId::new(String::new()), id: orphan.id.clone() }
        }
        OrphanKind::Snapshot => Errand::DeleteSnapshot { id: orphan.id.clone() },
        OrphanKind::Network => Errand::DeleteGroup { group: orphan.id.clone() },
    };
    let paid = shared.amazon.buckets.acquire(&perform::costs(&errand)).await;
    // Last, so that nothing comes between this and the call.
    let memory = remembered(shared, std::slice::from_ref(environment)).await;
    let memory = memory.map_err(|error| unseen(error.to_string()))?;
    let known = memory.of(environment).ok_or_else(|| unseen(memory.left_out().unwrap_or_default()))?;
    let found = orphans(environment, known, &seen, &shared.config.prices, (shared.now)());
    if !found.iter().any(|found| found.id == orphan.id && found.kind == orphan.kind) {
        return match seen.shows(&orphan.id) {
            false => Ok(()),
            true => Err(ProvisionError::Rejected {
                message: format!("{} belongs to somebody after all: it was let alone.", orphan.id),
            }),
        };
    }
    let asked = match orphan.kind {
        OrphanKind::Server => shared.amazon.terminate(paid, std::slice::from_ref(&orphan.id)).await,
        OrphanKind::Volume => shared.amazon.delete_volume(paid, &orphan.id).await,
        OrphanKind::Snapshot => shared.amazon.delete_snapshot(paid, &orphan.id).await,
        OrphanKind::Network => shared.amazon.delete_security_group(paid, &orphan.id).await,
    };
    match asked {
        Err(CallError::Refused { code, .. }) if code.ends_with(".NotFound") => Ok(()),
        asked => asked.map_err(refused),
    }
}

impl Seen {
    fn shows(&self, id: &str) -> bool {
        let gone = |one: &Instance| one.state >= InstanceState::ShuttingDown;
        self.instances.iter().any(|one| one.id == id && !gone(one))
            || self.volumes.iter().any(|one| one.id == id && one.state != VolumeState::Deleting)
            || self.snapshots.iter().any(|one| one.id == id)
            || self.groups.iter().any(|one| one.id == id)
    }
}

/// Those of one environment. Pure.
fn orphans(environment: &EnvironmentId, known: &Known, seen: &Seen, prices: &Prices, now: i64) -> Vec<Orphan> {
    let old = |made_at: i64| now >= made_at + OLD_ENOUGH_MS;
    let mut all = Vec::new();
    for one in seen.instances.iter().filter(|one| one.state < InstanceState::ShuttingDown && old(one.launched_at)) {
        if !known.all().any(|records| records.servers.values().any(|kept| is_server(&kept.record, one, now))) {
            let disks: i32 =
                seen.volumes.iter().filter(|disk| disk.attached_to.as_ref() == Some(&one.id)).map(size).sum();
            let runs = one.state <= InstanceState::Running;
            all.push(Orphan {
                kind: OrphanKind::Server,
                subject: server_of(one, known),
                about: format!(
                    "{} in {}{}{}",
                    one.instance_type,
                    one.zone,
                    if runs { "" } else { ", stopped" },
                    overdue(known.all().any(|records| records.servers.values().any(|kept| names(&kept.record, one))))
                ),
                made_at: Some(one.launched_at),
                monthly_cents: prices.server(&one.instance_type, runs, disks),
                ..blank(environment, &one.id)
            });
        }
    }
    let loose = |one: &&EbsVolume| one.state != VolumeState::Deleting && one.attached_to.is_none() && old(one.made_at);
    for one in seen.volumes.iter().filter(loose) {
        if !known.all().any(|records| records.volumes.values().any(|kept| is_volume(&kept.record, one, now))) {
            let is_known = |id: &str| known.all().any(|records| records.volumes.keys().any(|one| one.as_str() == id));
            let subject = tag(&one.tags, VOLUME).filter(|id| !is_known(id));
            all.push(Orphan {
                kind: OrphanKind::Volume,
                subject: subject.map(|id| (id.to_owned(), None)),
                about: format!(
                    "{} GiB in {}{}",
                    one.size_gib,
                    one.zone,
                    overdue(tag(&one.tags, VOLUME).is_some_and(is_known))
                ),
                made_at: Some(one.made_at),
                monthly_cents: Some(prices.volume(one.size_gib)),
                ..blank(environment, &one.id)
            });
        }
    }
    for one in seen.snapshots.iter().filter(|one| old(one.made_at)) {
        let copies = known.all().any(|records| records.volumes.values().any(|kept| is_copy(&kept.record, one)));
        let own = known.own.snapshots.values().any(|kept| is_snapshot(&kept.record, one, now));
        let anothers = |records: &Records| records.snapshots.values().any(|kept| is_part(&kept.record, one, now));
        if !copies && !own && !known.others.iter().any(anothers) {
            let is_known = |id: &str| known.own.snapshots.keys().any(|one| one.as_str() == id);
            all.push(Orphan {
                kind: OrphanKind::Snapshot,
                subject: tag(&one.tags, SNAPSHOT).filter(|id| !is_known(id)).map(|id| (id.to_owned(), None)),
                about: format!(
                    "of {}, {} GiB{}",
                    one.volume,
                    one.size_gib,
                    overdue(tag(&one.tags, SNAPSHOT).is_some_and(is_known))
                ),
                made_at: Some(one.made_at),
                monthly_cents: Some(prices.snapshot(one.size_gib)),
                ..blank(environment, &one.id)
            });
        }
    }
    for one in &seen.groups {
        let named = |Kept { record: network, .. }: &Kept<Network>| {
            let over = network.deleted && network.delete_at.is_some_and(old);
            !over && network.id().is_none_or(|id| *id == one.id)
        };
        let networks = || known.all().filter_map(|records| records.network.as_ref());
        if !networks().any(named) {
            all.push(Orphan {
                kind: OrphanKind::Network,
                subject: networks().next().is_none().then(|| (environment.to_string(), None)),
                about: "security group".to_owned(),
                monthly_cents: Some(0),
                ..blank(environment, &one.id)
            });
        }
    }
    all
}

fn blank(environment: &EnvironmentId, id: &str) -> Orphan {
    Orphan {
        kind: OrphanKind::Network,
        id: id.to_owned(),
        environment: environment.clone(),
        subject: None,
        about: String::new(),
        made_at: None,
        monthly_cents: None,
    }
}

fn tag<'a>(tags: &'a Tags, key: &str) -> Option<&'a str> {
    tags.get(key).map(String::as_str)
}

fn size(volume: &EbsVolume) -> i32 {
    volume.size_gib
}

/// The server it was for, when no ledger has anything of that one.
fn server_of(instance: &Instance, known: &Known) -> Option<(String, Option<i64>)> {
    let server = tag(&instance.tags, SERVER)?;
    let generation = tag(&instance.tags, GENERATION)?.parse().ok()?;
    let is_it = |(id, of): &(ServerId, i64)| id.as_str() == server && *of == generation;
    let is_known = known.all().any(|records| records.servers.keys().any(is_it));
    (!is_known).then(|| (server.to_owned(), Some(generation)))
}

fn overdue(is_remembered: bool) -> &'static str {
    if is_remembered { OVERDUE } else { "" }
}

fn is_overdue(asked_at: Option<i64>, now: i64) -> bool {
    asked_at.is_some_and(|at| now >= at + OVERDUE_MS)
}

/// By what it is, or by a token that a call of this server ever had.
fn is_server(server: &Server, shown: &Instance, now: i64) -> bool {
    let ended_at = server.terminated_at.or(server.stop_at);
    let over = server.ended && ended_at.is_some_and(|at| now >= at + OLD_ENOUGH_MS);
    server.refused_tokens.contains(&shown.token) || !over && !is_overdue(server.stop_at, now) && names(server, shown)
}

fn names(server: &Server, shown: &Instance) -> bool {
    let launched = server.launch.as_ref().is_some_and(|launch| launch.token == shown.token);
    launched || server.instance.as_ref() == Some(&shown.id)
}

/// By what it is, or by its tag while that is not known.
fn is_volume(volume: &Volume, shown: &EbsVolume, now: i64) -> bool {
    let gone = volume.deleted && volume.delete_at.is_some_and(|at| now >= at + OLD_ENOUGH_MS);
    let over = gone || is_overdue(volume.delete_at, now);
    let was = volume.discarded.iter().find(|past| past.volume == shown.id);
    let original = volume.moving.as_ref().and_then(|moving| moving.original.as_ref());
    match (was, &volume.volume) {
        (Some(past), _) => !is_overdue(Some(past.at), now) && (!past.deleted || now < past.at + OLD_ENOUGH_MS),
        _ if original.is_some_and(|original| original.volume == shown.id) => true,
        (None, Some(id)) => !over && *id == shown.id,
        (None, None) => !over && tag(&shown.tags, VOLUME) == Some(volume.plan.id.as_str()),
    }
}

/// By which it moves or has moved: removed by its environment's errands when it is not needed any more.
fn is_copy(volume: &Volume, shown: &EbsSnapshot) -> bool {
    let of = tag(&shown.tags, VOLUME) == Some(volume.plan.id.as_str());
    let copy = volume.moving.as_ref().and_then(|moving| moving.copy.as_ref());
    let mut tokens = volume.spent.iter().chain(&volume.began_with).chain(copy.map(|copy| &copy.token));
    of && tag(&shown.tags, MOVE).is_some_and(|token| tokens.any(|known| known == token))
}

/// What came of calls for it that do not count is found by its tag, and removed by its environment's errands.
fn is_snapshot(snapshot: &Snapshot, shown: &EbsSnapshot, now: i64) -> bool {
    let gone = snapshot.deleted && snapshot.delete_at.is_some_and(|at| now >= at + OLD_ENOUGH_MS);
    !gone
        && !is_overdue(snapshot.delete_at, now)
        && (tag(&shown.tags, SNAPSHOT) == Some(snapshot.plan.id.as_str())
            || snapshot.parts.iter().any(|part| part.snapshot == shown.id))
}

/// As [`is_snapshot`], where another provisioner has it: that may be in another region, and this a copy of it here which nothing
/// remembers. Until it is complete, any of its tag may become a part of it.
fn is_part(snapshot: &Snapshot, shown: &EbsSnapshot, now: i64) -> bool {
    let may_be = !snapshot.accepted || snapshot.parts.iter().any(|part| part.snapshot == shown.id);
    may_be && is_snapshot(snapshot, shown, now)
}
