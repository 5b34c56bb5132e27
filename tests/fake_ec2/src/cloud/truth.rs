//! What there really is, without lag, for tests to judge by. Everything there ever was is in it, with the state it has now.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Cloud;
use crate::model::{InstanceState, Permission, Place, Resource, SnapshotState, Tags, VolumeState};

#[derive(Clone, Debug, Default, Serialize)]
pub struct Truth {
    pub now_ms: i64,
    pub instances: Vec<TrueInstance>,
    pub volumes: Vec<TrueVolume>,
    pub snapshots: Vec<TrueSnapshot>,
    pub groups: Vec<TrueGroup>,
    pub interfaces: Vec<TrueInterface>,
    pub fast_restores: Vec<TrueFastRestore>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrueInstance {
    pub account: String,
    pub region: String,
    pub id: String,
    pub state: String,
    pub tags: Tags,
    pub instance_type: String,
    pub architecture: String,
    pub zone: String,
    pub subnet: String,
    pub image: String,
    pub private_ip: String,
    pub client_token: Option<String>,
    /// Its place among those of its launch.
    pub launch_index: usize,
    pub launched_ms: i64,
    pub groups: Vec<String>,
    /// Ids of the volumes attached now.
    pub volumes: Vec<String>,
    pub spot: bool,
    pub protected: bool,
    pub user_data: Option<String>,
    /// The code of why it is as it is, if that is worth one: `Client.UserInitiatedHibernate`.
    pub reason: Option<String>,
    pub interrupted_at_ms: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrueVolume {
    pub account: String,
    pub region: String,
    pub id: String,
    pub state: String,
    pub tags: Tags,
    pub zone: String,
    pub gib: i64,
    pub encrypted: bool,
    pub snapshot: Option<String>,
    /// Instance and device, while attached.
    pub attached: Option<(String, String)>,
    pub created_ms: i64,
    /// MiB a second at which it was to be read in.
    pub reading_rate: Option<i64>,
    pub fast_restored: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrueSnapshot {
    pub account: String,
    pub region: String,
    pub id: String,
    pub state: String,
    pub tags: Tags,
    pub volume: String,
    /// The snapshot it is a copy of.
    pub copy_of: Option<String>,
    pub gib: i64,
    /// The moment it holds.
    pub started_ms: i64,
}

/// Those that are on, or about to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrueFastRestore {
    pub account: String,
    pub region: String,
    pub snapshot: String,
    pub zone: String,
    pub asked_ms: i64,
    pub enabled_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrueGroup {
    pub account: String,
    pub region: String,
    pub id: String,
    /// `here` or `deleted`.
    pub state: String,
    pub name: String,
    pub vpc: String,
    pub tags: Tags,
    pub rules: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrueInterface {
    pub account: String,
    pub region: String,
    pub id: String,
    pub state: String,
    pub instance: String,
    pub tags: Tags,
}

impl TrueInstance {
    /// Not yet on its way out.
    pub fn is_alive(&self) -> bool {
        !matches!(self.state.as_str(), "shutting-down" | "terminated")
    }
}

impl TrueVolume {
    pub fn is_alive(&self) -> bool {
        !matches!(self.state.as_str(), "deleting" | "deleted")
    }
}

impl TrueSnapshot {
    pub fn is_alive(&self) -> bool {
        self.state != "deleted"
    }
}

impl TrueGroup {
    pub fn is_alive(&self) -> bool {
        self.state == "here"
    }
}

/// How many there are of the account's own in which state: the truth in a few words, for whoever asks often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    pub instances: BTreeMap<&'static str, usize>,
    pub volumes: BTreeMap<&'static str, usize>,
    /// Those that are there, the default ones among them.
    pub groups: usize,
}

impl Truth {
    /// Instances with a tag that are not on their way out.
    pub fn live_instances<'a>(&'a self, key: &'a str, value: &'a str) -> impl Iterator<Item = &'a TrueInstance> {
        let tagged = move |tags: &Tags| tags.get(key).is_some_and(|found| found == value);
        self.instances.iter().filter(move |one| one.is_alive() && tagged(&one.tags))
    }
}

impl Cloud {
    pub fn truth(&mut self, now_ms: i64) -> Truth {
        self.catch_up(now_ms);
        let mut truth = Truth { now_ms, ..Truth::default() };
        for place in self.places.values() {
            tell(place, now_ms, &mut truth);
        }
        truth
    }
}

impl Cloud {
    pub fn census(&mut self, now_ms: i64) -> Census {
        self.catch_up(now_ms);
        let mut census = Census::default();
        for place in self.places.values() {
            let states = place.instances.all().map(|one| one.state(now_ms).name());
            states.for_each(|state| *census.instances.entry(state).or_default() += 1);
            let states = place.volumes.all().map(|one| one.state(now_ms).name());
            states.for_each(|state| *census.volumes.entry(state).or_default() += 1);
            census.groups += place.groups.all().filter(|one| one.is_visible(now_ms)).count();
        }
        census
    }
}

fn tell(place: &Place, now: i64, truth: &mut Truth) {
    let (account, region) = (place.account.clone(), place.region.clone());
    truth.instances.extend(place.instances.all().map(|one| TrueInstance {
        account: account.clone(),
        region: region.clone(),
        id: one.id.clone(),
        state: one.state(now).name().to_owned(),
        tags: one.tags.clone(),
        instance_type: one.launch.instance_type.clone(),
        architecture: one.launch.architecture.clone(),
        zone: one.launch.zone.clone(),
        subnet: one.launch.subnet.clone(),
        image: one.launch.image.clone(),
        private_ip: one.private_ip.clone(),
        client_token: one.launch.client_token.clone(),
        launch_index: one.index,
        launched_ms: one.launched_ms,
        groups: one.launch.groups.iter().map(|(id, _)| id.clone()).collect(),
        volumes: attached_to(place, &one.id, &one.volumes, now),
        spot: one.is_spot(),
        protected: one.protected,
        user_data: one.user_data.as_deref().map(str::to_owned),
        reason: one.reason.as_ref().map(|(code, _)| code.clone()),
        interrupted_at_ms: one.interrupted_at_ms.filter(|_| one.state(now) != InstanceState::Terminated),
    }));
    truth.volumes.extend(place.volumes.all().map(|one| {
        TrueVolume {
            account: account.clone(),
            region: region.clone(),
            id: one.id.clone(),
            state: one.state(now).name().to_owned(),
            tags: one.tags.clone(),
            zone: one.zone.clone(),
            gib: one.gib,
            encrypted: one.encrypted,
            snapshot: one.snapshot.clone(),
            attached: one
                .attached(now)
                .filter(|_| one.state(now) != VolumeState::Deleted)
                .map(|(to, _)| (to.instance.clone(), to.device.clone())),
            created_ms: one.created_ms,
            reading_rate: one.reading_rate,
            fast_restored: one.fast_restored,
        }
    }));
    let own = place.snapshots.all().filter(|one| one.owner == place.account);
    truth.snapshots.extend(own.map(|one| TrueSnapshot {
        account: account.clone(),
        region: region.clone(),
        id: one.id.clone(),
        state: SnapshotState::name(one.state(now)).to_owned(),
        tags: one.tags.clone(),
        volume: one.volume.clone(),
        copy_of: one.copy_of.clone(),
        gib: one.gib,
        started_ms: one.started_ms,
    }));
    let fast = place.fast_restores.iter();
    truth.fast_restores.extend(fast.map(|((snapshot, zone), (asked_ms, enabled_ms))| TrueFastRestore {
        account: account.clone(),
        region: region.clone(),
        snapshot: snapshot.clone(),
        zone: zone.clone(),
        asked_ms: *asked_ms,
        enabled_ms: *enabled_ms,
    }));
    let presence = |here: bool| if here { "here" } else { "deleted" }.to_owned();
    truth.groups.extend(place.groups.all().map(|one| TrueGroup {
        account: account.clone(),
        region: region.clone(),
        id: one.id.clone(),
        state: presence(one.is_visible(now)),
        name: one.name.clone(),
        vpc: one.vpc.clone(),
        tags: one.tags.clone(),
        rules: one.permissions.iter().map(in_words).collect(),
    }));
    truth.interfaces.extend(place.interfaces.all().map(|one| TrueInterface {
        account: account.clone(),
        region: region.clone(),
        id: one.id.clone(),
        state: presence(one.is_visible(now)),
        instance: one.instance.clone(),
        tags: one.tags.clone(),
    }));
}

fn attached_to(place: &Place, instance: &str, volumes: &[String], now: i64) -> Vec<String> {
    let here = |id: &&String| {
        let attached = place.volumes.get(id).and_then(|volume| volume.attached(now));
        attached.is_some_and(|(to, _)| to.instance == instance)
    };
    volumes.iter().filter(here).cloned().collect()
}

/// `out all to 0.0.0.0/0`, `in tcp 22-22 of sg-1`
fn in_words(permission: &Permission) -> String {
    use crate::model::network::Peer;
    let (Peer::Cidr4(peer) | Peer::Cidr6(peer) | Peer::Group(peer)) = &permission.peer;
    let ports = match (permission.from, permission.to) {
        (Some(from), Some(to)) => format!("{} {from}-{to}", permission.protocol),
        _ if permission.protocol == "-1" => "all".to_owned(),
        _ => permission.protocol.clone(),
    };
    if permission.egress { format!("out {ports} to {peer}") } else { format!("in {ports} from {peer}") }
}
