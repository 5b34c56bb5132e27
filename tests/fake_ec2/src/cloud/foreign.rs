//! Resources of others, to see that nobody touches them: random ones beside ours in the same account and in another one,
//! many of them with tags that look almost like ours.

use std::sync::Arc;

use super::{Cloud, id_of};
use crate::model::machine::Metadata;
use crate::model::{
    Attachment, AttachmentState, Course, Group, Instance, InstanceState, Launch, Market, Place, Presence, Snapshot,
    SnapshotState, Tags, Volume, VolumeState,
};
use crate::seed::{between, dice};

impl Cloud {
    /// Plants `count` resources into all accounts' first region and returns their ids. `keys` are tag keys to be found on
    /// many of them, with values that are not ours.
    pub fn plant_foreign(&mut self, now_ms: i64, count: usize, seed: u64, keys: &[&str]) -> Vec<String> {
        let region = self.rules.region.clone();
        let accounts: Vec<String> = self.rules.accounts.iter().map(|account| account.id.clone()).collect();
        for account in &accounts {
            let key = (account.clone(), region.clone());
            self.places.entry(key).or_insert_with(|| Place::new(account, &region, &self.rules));
        }
        let mut ids = Vec::with_capacity(count);
        let mut instance: Option<(usize, String)> = None;
        for number in 0..count {
            let what = format!("foreign {number}");
            // Three of four beside ours.
            let owner = if accounts.len() < 2 || !dice(seed, &what).is_multiple_of(4) { 0 } else { 1 };
            let Some(place) = self.places.get_mut(&(accounts[owner].clone(), region.clone())) else { continue };
            let planting = Planting { seed, number, now_ms, tags: tags(seed, number, keys) };
            let id = match dice(seed, &format!("kind {number}")) % 10 {
                0..3 => {
                    let id = planting.instance(place, &self.rules.zones_of(&region));
                    instance = Some((owner, id.clone()));
                    id
                }
                3..6 => {
                    let attached = instance.take().filter(|(place, _)| *place == owner).map(|(_, id)| id);
                    planting.volume(place, attached, &self.rules.zones_of(&region))
                }
                6..9 => planting.snapshot(place),
                _ => planting.group(place),
            };
            ids.push(id);
        }
        ids
    }
}

/// None, a name, or the given keys with values that are somebody else's.
fn tags(seed: u64, number: usize, keys: &[&str]) -> Tags {
    let mut tags = Tags::new();
    let kind = dice(seed, &format!("tags {number}")) % 4;
    if kind > 0 {
        tags.insert("Name".to_owned(), format!("server {number}"));
    }
    if kind > 1 {
        for (index, key) in keys.iter().enumerate() {
            let value = dice(seed, &format!("value {number} {index}"));
            // Some have all of the keys, some all but one, some nearly their names.
            match dice(seed, &format!("key {number} {index}")) % 8 {
                0 => {}
                1 => drop(tags.insert(format!("{key}s"), format!("{value:016x}"))),
                2 => drop(tags.insert(key.to_uppercase(), format!("{value:016x}"))),
                _ => drop(tags.insert((*key).to_owned(), format!("{value:016x}"))),
            }
        }
    }
    tags
}

struct Planting {
    seed: u64,
    number: usize,
    now_ms: i64,
    tags: Tags,
}

impl Planting {
    fn id(&self, prefix: &str) -> String {
        id_of(self.seed ^ 0x00f0_7e16, prefix, self.number as u64)
    }

    fn zone(&self, zones: &[String]) -> String {
        let index = usize::try_from(dice(self.seed, &format!("zone {}", self.number)) % zones.len().max(1) as u64);
        zones.get(index.unwrap_or(0)).cloned().unwrap_or_default()
    }

    fn instance(self, place: &mut Place, zones: &[String]) -> String {
        let id = self.id("i");
        let launch = Launch {
            reservation: self.id("r"),
            image: "ami-0123456789abcdef0".to_owned(),
            instance_type: "m5.large".to_owned(),
            architecture: "x86_64".to_owned(),
            vcpus: 2,
            key_name: None,
            client_token: None,
            profile: None,
            groups: Vec::new(),
            zone: self.zone(zones),
            subnet: "subnet-0f0f0f0f0f0f0f0f0".to_owned(),
            vpc: "vpc-0f0f0f0f0f0f0f0f0".to_owned(),
            root_device: "/dev/xvda".to_owned(),
            metadata: Metadata {
                tokens: "optional".to_owned(),
                hop_limit: 1,
                endpoint: "enabled".to_owned(),
                tags: "disabled".to_owned(),
            },
            hibernation: false,
            ebs_optimized: false,
            monitoring: false,
            market: Market::OnDemand,
            shutdown: "stop".to_owned(),
        };
        let state = match dice(self.seed, &format!("state {}", self.number)) % 4 {
            0 => InstanceState::Stopped,
            _ => InstanceState::Running,
        };
        let [_, a, b, c] = u32::try_from(self.number).unwrap_or(0).to_be_bytes();
        let begin = self.now_ms - 86_400_000;
        place.instances.put(
            begin,
            Instance {
                id: id.clone(),
                launch: Arc::new(launch),
                index: 0,
                launched_ms: begin,
                private_ip: format!("10.{a}.{b}.{c}"),
                interface: self.id("eni"),
                course: Course::new(&[(begin, state)]),
                reason: None,
                tags: self.tags,
                volumes: Vec::new(),
                protected: false,
                user_data: None,
                spot_request: None,
                interrupted_at_ms: None,
                impaired: false,
                checked_ms: begin,
            },
        );
        id
    }

    fn volume(self, place: &mut Place, instance: Option<String>, zones: &[String]) -> String {
        let (id, begin) = (self.id("vol"), self.now_ms - 86_400_000);
        let at = instance.as_ref().and_then(|id| Some(place.instances.get(id)?.launch.zone.clone()));
        let attachment = instance.map(|instance| {
            let steps = [(begin, AttachmentState::Attached)];
            place.instances.change(&instance, self.now_ms, |one| one.volumes.push(id.clone()));
            Attachment {
                instance,
                device: "/dev/sdf".to_owned(),
                since_ms: begin,
                delete_on_termination: false,
                course: Course::new(&steps),
            }
        });
        place.volumes.put(
            begin,
            Volume {
                id: id.clone(),
                zone: at.unwrap_or_else(|| self.zone(zones)),
                gib: between(self.seed, &format!("size {}", self.number), 1, 500),
                kind: "gp3".to_owned(),
                iops: Some(3000),
                throughput: Some(125),
                encrypted: false,
                key: None,
                snapshot: None,
                created_ms: begin,
                fast_restored: false,
                reading_rate: None,
                read_in_ms: None,
                tags: self.tags,
                course: Course::new(&[(begin, VolumeState::Available)]),
                attachment,
                snapshots: 1,
            },
        );
        id
    }

    fn snapshot(self, place: &mut Place) -> String {
        let (id, begin) = (self.id("snap"), self.now_ms - 86_400_000);
        // Some belong to another account and are seen because they are public.
        let public = dice(self.seed, &format!("public {}", self.number)).is_multiple_of(5);
        let owner = if public { "999988887777".to_owned() } else { place.account.clone() };
        place.snapshots.put(
            begin,
            Snapshot {
                id: id.clone(),
                owner,
                public,
                volume: self.id("vol"),
                copy_of: None,
                gib: between(self.seed, &format!("size {}", self.number), 1, 500),
                encrypted: false,
                key: None,
                description: "nightly".to_owned(),
                started_ms: begin,
                tags: self.tags,
                course: Course::new(&[(begin, SnapshotState::Completed)]),
            },
        );
        id
    }

    fn group(self, place: &mut Place) -> String {
        let (id, begin) = (self.id("sg"), self.now_ms - 86_400_000);
        place.groups.put(
            begin,
            Group {
                id: id.clone(),
                name: format!("group-{}", self.number),
                description: "somebody's".to_owned(),
                vpc: place.default_vpc().map(|vpc| vpc.id.clone()).unwrap_or_default(),
                owner: place.account.clone(),
                tags: self.tags,
                permissions: Vec::new(),
                course: Course::new(&[(begin, Presence::Here)]),
            },
        );
        id
    }
}
