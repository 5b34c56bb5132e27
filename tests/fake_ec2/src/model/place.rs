//! One account in one region: everything in it, and what it begins with.

use std::collections::{BTreeMap, HashMap};

use super::kept::Course;
use super::machine::Instance;
use super::network::{Group, Interface, Peer, Permission, Presence, Subnet, Vpc};
use super::offer::{Image, public_images};
use super::shelf::{Resource, Shelf, Tags};
use super::storage::{Snapshot, SnapshotState, Volume};
use crate::buckets::Buckets;
use crate::rules::Rules;
use crate::seed::dice;

#[derive(Clone, Debug)]
pub struct Place {
    pub account: String,
    pub region: String,
    pub instances: Shelf<Instance>,
    pub volumes: Shelf<Volume>,
    pub snapshots: Shelf<Snapshot>,
    pub groups: Shelf<Group>,
    pub interfaces: Shelf<Interface>,
    pub vpcs: Shelf<Vpc>,
    pub subnets: Shelf<Subnet>,
    pub images: Shelf<Image>,
    pub keys: BTreeMap<String, KeyPair>,
    /// What was answered to calls with a client token.
    pub tokens: HashMap<String, Remembered>,
    /// (snapshot, zone) → when fast restore was asked for, and when it is enabled.
    pub fast_restores: BTreeMap<(String, String), (i64, i64)>,
    pub buckets: Buckets,
    /// vCPUs of running on-demand instances.
    pub vcpus: u32,
}

/// What a client token was used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// All parameters but those that do not matter.
    pub parameters: Vec<(String, String)>,
    pub ids: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    pub id: String,
    pub name: String,
    pub fingerprint: String,
    pub created_ms: i64,
    pub tags: Tags,
}

impl Place {
    pub fn new(account: &str, region: &str, rules: &Rules) -> Self {
        let reach = rules.lag.describes_ms;
        // Long before anybody looks back.
        let begin = rules.start_ms - 30 * 86_400_000;
        let id = |prefix: &str, what: &str| {
            format!("{prefix}-0{:016x}", dice(rules.seed, &format!("{account} {region} {what}")))
        };
        let vpc = id("vpc", "vpc");
        let mut place = Self {
            account: account.to_owned(),
            region: region.to_owned(),
            instances: Shelf::new(reach),
            volumes: Shelf::new(reach),
            snapshots: Shelf::new(reach),
            groups: Shelf::new(reach),
            interfaces: Shelf::new(reach),
            vpcs: Shelf::new(reach),
            // Always as they are, and with every launch another one: no past is kept.
            subnets: Shelf::new(0),
            images: Shelf::new(reach),
            keys: BTreeMap::new(),
            tokens: HashMap::new(),
            fast_restores: BTreeMap::new(),
            buckets: Buckets::default(),
            vcpus: 0,
        };
        let cidr = "172.31.0.0/16".to_owned();
        place.vpcs.put(begin, Vpc { id: vpc.clone(), cidr, tags: Tags::new(), default: rules.default_vpc });
        for (zone, third) in rules.zones_of(region).into_iter().zip((0..=240u8).step_by(16)) {
            let subnet = Subnet {
                id: id("subnet", &zone),
                vpc: vpc.clone(),
                zone,
                base: (172, 31, third),
                tags: Tags::new(),
                default: rules.default_vpc,
                taken: BTreeMap::new(),
                next: 0,
            };
            place.subnets.put(begin, subnet);
        }
        let group = id("sg", "default group");
        let from_itself = Permission {
            id: id("sgr", "default ingress"),
            egress: false,
            protocol: "-1".to_owned(),
            from: None,
            to: None,
            peer: Peer::Group(group.clone()),
            description: None,
        };
        place.groups.put(
            begin,
            Group {
                id: group,
                name: "default".to_owned(),
                description: "default VPC security group".to_owned(),
                vpc,
                owner: account.to_owned(),
                tags: Tags::new(),
                permissions: vec![from_itself, everything_out(id("sgr", "default egress"))],
                course: Course::new(&[(begin, Presence::Here)]),
            },
        );
        for image in public_images(region) {
            place.images.put(begin, image);
        }
        place.own_image(begin, id("ami", "golden"), id("snap", "golden"));
        let name = "operator".to_owned();
        let fingerprint = "1f:51:ae:28:bf:89:e9:d8:1f:25:5d:37:2d:7d:b8:ca:9f:f5:f1:6f".to_owned();
        let key = KeyPair { id: id("key", "operator"), name, fingerprint, created_ms: begin, tags: Tags::new() };
        place.keys.insert(key.name.clone(), key);
        place
    }

    /// An image of the account's own, and the snapshot it was made from.
    fn own_image(&mut self, begin_ms: i64, id: String, snapshot: String) {
        self.snapshots.put(
            begin_ms,
            Snapshot {
                id: snapshot.clone(),
                owner: self.account.clone(),
                public: false,
                volume: "vol-ffffffff".to_owned(),
                copy_of: None,
                gib: 10,
                encrypted: false,
                key: None,
                description: format!("Created by CreateImage for {id}"),
                started_ms: begin_ms,
                tags: Tags::new(),
                course: Course::new(&[(begin_ms, SnapshotState::Completed)]),
            },
        );
        self.images.put(
            begin_ms,
            Image {
                id,
                name: "golden".to_owned(),
                description: "What the company's servers begin with".to_owned(),
                owner: self.account.clone(),
                owner_alias: None,
                architecture: "x86_64",
                root_device: "/dev/xvda",
                root_gib: 10,
                snapshot,
                created: crate::time::iso(begin_ms),
                public: false,
                tags: Tags::new(),
            },
        );
    }

    /// One that nobody has as their default; its id.
    pub fn add_subnet(&mut self, rules: &Rules, zone: &str, of_another_vpc: bool) -> String {
        let number = self.subnets.all().count();
        let id = |prefix: &str| {
            format!("{prefix}-0{:016x}", dice(rules.seed, &format!("{} {zone} {number} {prefix}", self.account)))
        };
        let (subnet, begin) = (id("subnet"), rules.start_ms - 86_400_000);
        let vpc = match self.vpcs.all().next().filter(|_| !of_another_vpc) {
            Some(vpc) => vpc.id.clone(),
            None => id("vpc"),
        };
        let third = u8::try_from(number * 16).unwrap_or(240);
        let base = if of_another_vpc { (10, 0, third) } else { (172, 31, third) };
        if of_another_vpc {
            let cidr = "10.0.0.0/16".to_owned();
            self.vpcs.put(begin, Vpc { id: vpc.clone(), cidr, tags: Tags::new(), default: false });
        }
        let (zone, tags, taken) = (zone.to_owned(), Tags::new(), BTreeMap::new());
        let new = Subnet { id: subnet.clone(), vpc, zone, base, tags, default: false, taken, next: 0 };
        self.subnets.put(begin, new);
        subnet
    }

    pub fn default_vpc(&self) -> Option<&Vpc> {
        self.vpcs.all().find(|vpc| vpc.default)
    }

    pub fn default_group(&self, vpc: &str) -> Option<&Group> {
        self.groups.with("group-name", "default").find(|group| group.vpc == vpc)
    }

    /// Calls `with` for the tags of every kind: prefix of the ids, and how tags name the kind.
    pub fn tagged(&self, id: &str) -> Option<&Tags> {
        match id.split('-').next()? {
            "i" => self.instances.get(id).map(|thing| thing.tags()),
            "vol" => self.volumes.get(id).map(|thing| thing.tags()),
            "snap" => self.snapshots.get(id).map(|thing| thing.tags()),
            "sg" => self.groups.get(id).map(|thing| thing.tags()),
            "eni" => self.interfaces.get(id).map(|thing| thing.tags()),
            "vpc" => self.vpcs.get(id).map(|thing| thing.tags()),
            "subnet" => self.subnets.get(id).map(|thing| thing.tags()),
            "ami" => self.images.get(id).map(|thing| thing.tags()),
            _ => None,
        }
    }

    /// What the account's own thing with this id is tagged with, if it is there.
    pub fn own_tags(&self, id: &str, now_ms: i64) -> Option<&Tags> {
        fn here<'a, T: Resource>(shelf: &'a Shelf<T>, id: &str, now_ms: i64) -> Option<&'a Tags> {
            shelf.get(id).filter(|thing| thing.is_visible(now_ms)).map(Resource::tags)
        }
        match id.split('-').next()? {
            "i" => here(&self.instances, id, now_ms),
            "vol" => here(&self.volumes, id, now_ms),
            "snap" => here(&self.snapshots, id, now_ms)
                .filter(|_| self.snapshots.get(id).is_some_and(|snapshot| snapshot.owner == self.account)),
            "sg" => here(&self.groups, id, now_ms),
            _ => self.tagged(id),
        }
    }

    /// Changes the tags of whatever has this id.
    pub fn change_tags(&mut self, id: &str, now_ms: i64, change: impl FnOnce(&mut Tags)) {
        match id.split('-').next().unwrap_or_default() {
            "i" => self.instances.change(id, now_ms, |thing| change(thing.tags_mut())),
            "vol" => self.volumes.change(id, now_ms, |thing| change(thing.tags_mut())),
            "snap" => self.snapshots.change(id, now_ms, |thing| change(thing.tags_mut())),
            "sg" => self.groups.change(id, now_ms, |thing| change(thing.tags_mut())),
            "eni" => self.interfaces.change(id, now_ms, |thing| change(thing.tags_mut())),
            "vpc" => self.vpcs.change(id, now_ms, |thing| change(thing.tags_mut())),
            "subnet" => self.subnets.change(id, now_ms, |thing| change(thing.tags_mut())),
            "ami" => self.images.change(id, now_ms, |thing| change(thing.tags_mut())),
            _ => {}
        }
    }
}

/// What every new group begins with: all traffic out.
pub fn everything_out(id: String) -> Permission {
    Permission {
        id,
        egress: true,
        protocol: "-1".to_owned(),
        from: None,
        to: None,
        peer: Peer::Cidr4("0.0.0.0/0".to_owned()),
        description: None,
    }
}
