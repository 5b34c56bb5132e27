//! What is to be asked of Amazon next for one environment. Pure: the same records and the same look always lead to the same
//! errands, so whoever comes after a crash goes on where it was.

use provisioners::{EnvironmentId, ServerId};

use super::amazon::{EbsSnapshot, Instance, InstanceState, client_token};
use super::conclude::{instance_of, unattached};
use super::copies;
use super::errand::{Errand, Turn};
use super::look::Seen;
use super::place::{Candidate, Place, USUAL};
use super::portal::Portal;
use super::records::{Disk, Launch, Member, Network, Phase, Records, Rest, Server, Volume};
use super::tags::{self, CALL, GENERATION, MOVE, NAME, SERVER, SNAPSHOT, Tags, VOLUME};
use super::user_data;
use super::ways;
use super::zones::{self, Way};

/// From launch to where a server may well run, which Amazon perhaps shows much later.
const SOON_RUNNING_MS: i64 = 8000;

/// What errands need to know besides the environment.
pub struct Setting<'a> {
    /// `None`: not known yet, and nothing is launched.
    pub place: Option<&'a Place>,
    pub portal: &'a Portal,
    /// On everything; the installation's among them.
    pub tags: &'a Tags,
    pub security_groups: &'a [String],
    /// Of servers that may reach the internet; `None`: not made or found yet.
    pub internet_group: Option<String>,
    pub instance_profile: Option<&'a String>,
    pub key_pair: Option<&'a String>,
    /// For volumes that begin with a snapshot, MiB a second.
    pub reading_rate: Option<i32>,
    /// Unix milliseconds.
    pub now: i64,
}

/// See the module.
pub fn errands(environment: &EnvironmentId, records: &Records, seen: &Seen, setting: &Setting) -> Vec<Errand> {
    let mut all = Vec::new();
    for volume in records.volumes.values().map(|kept| &kept.record) {
        all.extend(of_volume(records, volume, setting.now));
    }
    let mut ready = Vec::new();
    for ((id, generation), kept) in &records.servers {
        let server = &kept.record;
        if server.ended {
            continue;
        }
        let key = (id.clone(), *generation);
        match (&server.launch, &server.instance) {
            (None, _) if server.stop_at.is_none() && server.failure.is_none() => ready.push(server),
            (Some(launch), None) if (server.failure.is_none() && server.died.is_none()) || server.stop_at.is_some() => {
                let launch = launch.clone();
                let errand = Errand::Launch { launch: Box::new(launch), noted: true };
                if !all.contains(&errand) {
                    all.push(errand);
                }
            }
            (Some(_), Some(instance)) if server.stop_at.is_some() => {
                let shown = instance_of(server, seen).map(|shown| shown.state);
                // Asked for again when Amazon shows that it runs long after it accepted its end.
                if server.terminated_at.is_none() || shown.is_some_and(|state| state < InstanceState::ShuttingDown) {
                    all.push(Errand::Terminate { server: Some(key), instance: instance.clone() });
                }
            }
            (Some(_), Some(instance)) if server.rest.as_ref().is_some_and(|rest| rest.asleep || !rest.is_settled()) => {
                let turn = server.rest.as_ref().filter(|_| server.failure.is_none()).and_then(|rest| {
                    let turn = turn(rest, instance_of(server, seen))?;
                    Some(Errand::Turn { server: key, instance: instance.clone(), turn, wish: rest.wish })
                });
                all.extend(turn);
            }
            (Some(launch), Some(instance)) if server.stop_at.is_none() => {
                if let Some(reason) = zones::refused(records, server).filter(|_| server.failure.is_none()) {
                    all.push(Errand::GiveUp { server: key, reason });
                    continue;
                }
                let shown = instance_of(server, seen);
                let runs = shown.is_some_and(|shown| shown.state == InstanceState::Running);
                let starts = server.ran_at.is_none() && shown.is_none_or(|shown| shown.state == InstanceState::Pending);
                if runs || (starts && server.failure.is_none()) {
                    let guessed = server.launched_at.filter(|_| !runs).map(|at| at + SOON_RUNNING_MS);
                    all.extend(unattached(server, instance, shown, seen).map(|(number, volume)| Errand::Attach {
                        server: key.clone(),
                        number,
                        volume: volume.to_owned(),
                        instance: instance.clone(),
                        guessed,
                    }));
                }
                // When all of Amazon knows it; and whether it is shown with its name is no matter, for that takes minutes at times.
                if launch.members.len() > 1 && !server.named && server.ran_at.is_some() {
                    let tags = of_server(&Tags::new(), &server.plan.id, *generation, &server.plan.name);
                    all.push(Errand::Name { server: key, instance: instance.clone(), tags });
                }
            }
            _ => {}
        }
    }
    let strays = seen.instances.iter().filter(|shown| {
        let servers = || records.servers.values().map(|kept| &kept.record);
        let refused = servers().any(|server| server.refused_tokens.contains(&shown.token));
        // Of those that were asked for together some may be known.
        let counts = servers().any(|server| server.instance.as_ref() == Some(&shown.id));
        shown.state < InstanceState::ShuttingDown && refused && !counts
    });
    all.extend(strays.map(|shown| Errand::Terminate { server: None, instance: shown.id.clone() }));
    all.extend(launches(environment, records, seen, ready, setting));
    all.extend(
        seen.snapshots
            .iter()
            .filter(|shown| is_to_go(records, shown) || is_spent(records, shown))
            .map(|shown| Errand::DeleteSnapshot { id: shown.id.clone() }),
    );
    for snapshot in records.snapshots.values().map(|kept| &kept.record) {
        all.extend(copies::errands(snapshot));
        if snapshot.delete_at.is_some() && !snapshot.deleted {
            for part in &snapshot.parts {
                let errand = Errand::DeleteSnapshot { id: part.snapshot.clone() };
                if !all.contains(&errand) {
                    all.push(errand);
                }
            }
        }
    }
    all.extend(records.network.as_ref().and_then(|kept| of_network(records, &kept.record, setting)));
    all
}

fn of_network(records: &Records, network: &Network, setting: &Setting) -> Option<Errand> {
    if network.deleted {
        return None;
    }
    match (network.id(), network.delete_at) {
        // One that is to go again, too: whether a call before has brought it only this one tells.
        (None, Some(_)) => Some(Errand::CreateGroup),
        (None, None) => records.wants_group(network).then_some(Errand::CreateGroup),
        (Some(group), None) => {
            let moved =
                |place: &Place| network.group.is_some() && !ways::are_right(network, &place.portal_rules, setting.now);
            match records.wants_group(network) {
                true => Some(Errand::GiveRules { group: group.clone() }),
                false => {
                    setting.place.filter(|place| moved(place)).map(|_| Errand::FollowPortal { group: group.clone() })
                }
            }
        }
        (Some(group), Some(_)) => {
            let are_ended = records.servers.values().all(|kept| kept.record.ended);
            are_ended.then(|| Errand::DeleteGroup { group: group.clone() })
        }
    }
}

fn of_volume(records: &Records, volume: &Volume, now: i64) -> Vec<Errand> {
    let id = &volume.plan.id;
    let past = volume.discarded.iter().filter(|past| !past.deleted);
    let mut all: Vec<Errand> =
        past.map(|past| Errand::DeleteVolume { volume: id.clone(), id: past.volume.clone() }).collect();
    let refused = volume.moving.as_ref().is_some_and(|moving| moving.refused.is_some());
    match (&volume.volume, volume.delete_at) {
        _ if volume.deleted => {}
        // One that is to go again, too: whether a call before has brought it only this one tells.
        (None, _) if volume.failure.is_none() && !refused => all.push(Errand::CreateVolume { volume: id.clone() }),
        (Some(volume), Some(_)) => all.push(Errand::DeleteVolume { volume: id.clone(), id: volume.clone() }),
        _ => {}
    }
    let copy = volume.moving.as_ref().and_then(|moving| moving.copy.as_ref()).filter(|copy| copy.snapshot.is_none());
    if let (Some(copy), Some(amazons), false) = (copy, &volume.volume, refused) {
        all.push(Errand::CopyForMove { volume: id.clone(), id: amazons.clone(), token: copy.token.clone() });
    }
    if zones::settled(records, volume, now).is_some() {
        all.push(Errand::Settle { volume: id.clone() });
    }
    all
}

/// What is to be asked next of a server that stands by or wakes. Both calls change nothing when they are repeated; what has been
/// accepted is repeated only when Amazon shows that it is not so.
fn turn(rest: &Rest, shown: Option<&Instance>) -> Option<Turn> {
    let sleep = Some(Turn::Sleep { hibernate: rest.hibernate });
    let is = |state: InstanceState| shown.is_some_and(|shown| shown.state == state);
    match (rest.asleep, rest.phase) {
        (true, Phase::Awake) => sleep,
        (_, Phase::Falling) if rest.accepted_at.is_none() || is(InstanceState::Running) => sleep,
        // Somebody else has started it.
        (true, Phase::Asleep) if is(InstanceState::Running) => {
            sleep.filter(|_| shown.is_some_and(|shown| shown.launched_at > rest.launched))
        }
        (false, Phase::Asleep) => Some(Turn::Wake),
        (_, Phase::Rising) if rest.accepted_at.is_none() || is(InstanceState::Stopped) => Some(Turn::Wake),
        _ => None,
    }
}

/// Snapshots of ours that no record counts on.
fn is_to_go(records: &Records, shown: &EbsSnapshot) -> bool {
    let of =
        |kept: &&super::records::Snapshot| shown.tags.get(SNAPSHOT).map(String::as_str) == Some(kept.plan.id.as_str());
    let Some(kept) = records.snapshots.values().map(|kept| &kept.record).find(of) else { return false };
    let call = shown.tags.get(CALL).and_then(|call| call.parse::<i64>().ok()).unwrap_or(i64::MAX);
    let counts = kept.parts.iter().any(|part| part.snapshot == shown.id);
    if kept.copied.is_some() {
        // The first that was found of a volume is the one; the calls of a copy are told apart by number only from those of the copy
        // before it.
        return kept.delete_at.is_some() || call < kept.call || (!counts && copies::has_part_beside(kept, shown));
    }
    kept.delete_at.is_some() || call < kept.call || (call == kept.call && kept.accepted && !counts)
}

/// What came of calls for moves that are over, or is one more than a move needs.
fn is_spent(records: &Records, shown: &EbsSnapshot) -> bool {
    let Some(token) = shown.tags.get(MOVE) else { return false };
    let of = |volume: &&Volume| shown.tags.get(VOLUME).map(String::as_str) == Some(volume.plan.id.as_str());
    let Some(volume) = records.volumes.values().map(|kept| &kept.record).find(of) else { return false };
    let copy = volume.moving.as_ref().and_then(|moving| moving.copy.as_ref()).filter(|copy| copy.token == *token);
    let another = copy.is_some_and(|copy| copy.snapshot.as_ref().is_some_and(|counts| *counts != shown.id));
    another || volume.spent.contains(token)
}

/// Calls for servers that have none yet: those that want the same share one.
fn launches(
    environment: &EnvironmentId,
    records: &Records,
    seen: &Seen,
    ready: Vec<&Server>,
    setting: &Setting,
) -> Vec<Errand> {
    let network = records.network.as_ref().map(|kept| &kept.record).filter(|network| network.delete_at.is_none());
    let group = network.and_then(|network| network.group.clone());
    let (Some(group), Some(place)) = (group, setting.place) else { return Vec::new() };
    let to_the_internet = ready.iter().any(|server| server.plan.internet);
    if to_the_internet && setting.internet_group.is_none() {
        return vec![Errand::CreateInternetGroup];
    }
    // Who has to wait for a volume is waited for: a call for the others alone would be one more.
    if ready.iter().any(|server| waits_for_a_volume(records, server)) {
        return Vec::new();
    }
    let mut errands = Vec::new();
    let mut wanted: Vec<(Launch, bool, Vec<&str>)> = Vec::new();
    for server in ready {
        let give_up =
            |reason: String| Errand::GiveUp { server: (server.plan.id.clone(), server.plan.generation), reason };
        let home = zones::home(records, server, setting.now);
        let candidates = match place.candidates(environment, &server.plan, home) {
            Ok(candidates) => candidates,
            Err(reason) => {
                errands.push(give_up(reason));
                continue;
            }
        };
        // What no zone is to blame for no other zone helps.
        let leaves = |zone: &String| home.is_some_and(|home| home != zone) && !server.refusals.is_empty();
        let may = |candidate: &&Candidate| server.zone_full || !leaves(&candidate.subnet.zone);
        let tried = |candidate: &&Candidate| server.tried.contains(&candidate.possibility());
        let Some(candidate) = candidates.iter().find(|candidate| !tried(candidate)).filter(may) else {
            errands.push(give_up(server.refusals.join("; ")));
            continue;
        };
        let zone = &candidate.subnet.zone;
        let disks = match zones::way(records, server, zone) {
            Way::There(disks) => disks,
            Way::Open => {
                let key = (server.plan.id.clone(), server.plan.generation);
                let next = zones::shift(records, &key, zone, setting.reading_rate, setting.now);
                if !next.is_empty() && !zones::is_shown_in_use(records, server, zone, seen) {
                    errands.push(Errand::Shift { server: key, zone: zone.clone() });
                }
                continue;
            }
            Way::Closed(reason) => {
                let tried = server.refusals.iter().cloned().chain([reason]);
                errands.push(give_up(tried.collect::<Vec<_>>().join("; ")));
                continue;
            }
        };
        match launch(environment, server, disks, candidate, &group, place, setting) {
            Err(reason) => errands.push(give_up(reason)),
            Ok(launch) => {
                let same = |other: &&mut (Launch, bool, Vec<&str>)| {
                    !other.1 && !server.alone && alike(&other.0, &launch) && user_data::has_room(&other.0, &launch)
                };
                match wanted.iter_mut().find(same) {
                    Some((shared, _, tokens)) => {
                        shared.members.extend(launch.members);
                        tokens.push(&server.token);
                    }
                    None => wanted.push((launch, server.alone, vec![&server.token])),
                }
            }
        }
    }
    errands.extend(wanted.into_iter().map(|(mut launch, _, tokens)| {
        launch.token = token(&launch, &tokens);
        if let [member] = launch.members.as_slice() {
            launch.tags = of_server(&launch.tags, &member.server, member.generation, &member.name);
        }
        Errand::Launch { launch: Box::new(launch), noted: false }
    }));
    errands
}

/// A call for one of its volumes is under way, and nothing is known to keep it from bringing it.
fn waits_for_a_volume(records: &Records, server: &Server) -> bool {
    server.plan.mounts.iter().any(|mount| {
        let volume = records.volumes.get(&mount.volume).map(|kept| &kept.record);
        volume.is_some_and(|volume| {
            let is_new = volume.from.is_none() && volume.moving.is_none();
            is_new && volume.volume.is_none() && volume.failure.is_none() && volume.delete_at.is_none()
        })
    })
}

fn launch(
    environment: &EnvironmentId,
    server: &Server,
    disks: Vec<Disk>,
    candidate: &Candidate,
    group: &str,
    place: &Place,
    setting: &Setting,
) -> Result<Launch, String> {
    let image = place.image(&server.plan)?;
    let member = Member {
        server: server.plan.id.clone(),
        generation: server.plan.generation,
        name: server.plan.name.clone(),
        disks,
    };
    let internet_group = setting.internet_group.as_ref().filter(|_| server.plan.internet);
    let groups = std::iter::once(group.to_owned()).chain(internet_group.cloned());
    let groups = groups.chain(setting.security_groups.iter().cloned()).collect();
    Ok(Launch {
        token: String::new(),
        instance_type: candidate.instance_type.to_owned(),
        image: image.id.clone(),
        root_device: image.root_device.clone(),
        // What is in memory goes there, too.
        root_gib: match candidate.hibernation_gib {
            Some(memory) => Some(image.root_gib.unwrap_or(0).saturating_add(memory)),
            None => image.root_gib,
        },
        spot: candidate.spot,
        hibernates: candidate.hibernation_gib.is_some(),
        subnet: candidate.subnet.id.clone(),
        zone: candidate.subnet.zone.clone(),
        groups,
        members: vec![member],
        portal: setting.portal.directions(server.plan.architecture.unwrap_or(USUAL))?,
        instance_profile: setting.instance_profile.cloned(),
        key_pair: setting.key_pair.cloned(),
        tags: tags::of(setting.tags, environment.as_str(), &[]),
    })
}

fn alike(one: &Launch, other: &Launch) -> bool {
    let without = |launch: &Launch| Launch { members: Vec::new(), ..launch.clone() };
    without(one) == without(other)
}

/// 64 characters, Amazon's most. Another type, place or market is another call.
fn token(launch: &Launch, servers: &[&str]) -> String {
    let market = if launch.spot { " spot" } else { "" };
    client_token(&format!("{} {} {}{market}", servers.join(" "), launch.instance_type, launch.subnet))
}

fn of_server(base: &Tags, server: &ServerId, generation: i64, name: &str) -> Tags {
    let mut tags = base.clone();
    tags.insert(SERVER.to_owned(), server.to_string());
    tags.insert(GENERATION.to_owned(), generation.to_string());
    tags.insert(NAME.to_owned(), name.to_owned());
    tags
}
