//! Networks: the default VPC with a subnet in each zone, security groups, and the interfaces that use them.

use std::borrow::Cow;

use super::kept::Course;
use super::shelf::{Resource, Tags};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Here,
    Gone,
}

#[derive(Clone, Debug)]
pub struct Vpc {
    pub id: String,
    pub cidr: String,
    pub tags: Tags,
    pub default: bool,
}

#[derive(Clone, Debug)]
pub struct Subnet {
    pub id: String,
    pub vpc: String,
    pub zone: String,
    /// The first two numbers and the third's beginning: `172.31.16.0/20` is (172, 31, 16).
    pub base: (u8, u8, u8),
    pub tags: Tags,
    pub default: bool,
    /// Addresses that were given out, with the moment each becomes free again.
    pub taken: std::collections::BTreeMap<u16, i64>,
    pub next: u16,
}

/// Of a /20's 4096 addresses Amazon keeps the first four and the last.
const FIRST_ADDRESS: u16 = 4;
const LAST_ADDRESS: u16 = 4094;

impl Subnet {
    pub fn cidr(&self) -> String {
        format!("{}.{}.{}.0/20", self.base.0, self.base.1, self.base.2)
    }

    pub fn free(&self, now_ms: i64) -> usize {
        let taken = self.taken.values().filter(|until| **until > now_ms).count();
        usize::from(LAST_ADDRESS - FIRST_ADDRESS + 1) - taken
    }

    /// The next free address, in a circle as Amazon does, so that one that was just given back is not given out at once.
    pub fn take(&mut self, now_ms: i64) -> Option<String> {
        for _ in FIRST_ADDRESS..=LAST_ADDRESS {
            let host = self.next.max(FIRST_ADDRESS);
            self.next = if host >= LAST_ADDRESS { FIRST_ADDRESS } else { host + 1 };
            if self.taken.get(&host).is_none_or(|until| *until <= now_ms) {
                self.taken.insert(host, i64::MAX);
                let [high, low] = host.to_be_bytes();
                return Some(format!("{}.{}.{}.{low}", self.base.0, self.base.1, self.base.2 + high));
            }
        }
        None
    }

    /// Gives an address back at a moment.
    pub fn give_back(&mut self, address: &str, at_ms: i64) {
        let mut parts = address.split('.').skip(2).filter_map(|part| part.parse::<u8>().ok());
        if let (Some(third), Some(low)) = (parts.next(), parts.next()) {
            let host = u16::from_be_bytes([third.wrapping_sub(self.base.2), low]);
            self.taken.insert(host, at_ms);
        }
    }
}

impl Resource for Subnet {
    const PREFIX: &'static str = "subnet-";
    const FILTERS: &'static [&'static str] = &[
        "subnet-id",
        "vpc-id",
        "availability-zone",
        "availabilityZone",
        "cidr-block",
        "cidr",
        "default-for-az",
        "defaultForAz",
        "state",
    ];
    const INDEXED: &'static [&'static str] = &[];

    fn id(&self) -> &str {
        &self.id
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }

    fn is_visible(&self, _at_ms: i64) -> bool {
        true
    }

    fn values<'a>(&'a self, filter: &str, _at_ms: i64, values: &mut Vec<Cow<'a, str>>) {
        match filter {
            "subnet-id" => values.push(Cow::from(&self.id)),
            "vpc-id" => values.push(Cow::from(&self.vpc)),
            "availability-zone" | "availabilityZone" => values.push(Cow::from(&self.zone)),
            "cidr-block" | "cidr" => values.push(Cow::from(self.cidr())),
            "default-for-az" | "defaultForAz" => values.push(Cow::from(self.default.to_string())),
            "state" => values.push(Cow::from("available")),
            _ => {}
        }
    }
}

impl Resource for Vpc {
    const PREFIX: &'static str = "vpc-";
    const FILTERS: &'static [&'static str] = &["vpc-id", "is-default", "isDefault", "cidr", "cidr-block", "state"];
    const INDEXED: &'static [&'static str] = &[];

    fn id(&self) -> &str {
        &self.id
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }

    fn is_visible(&self, _at_ms: i64) -> bool {
        true
    }

    fn values<'a>(&'a self, filter: &str, _at_ms: i64, values: &mut Vec<Cow<'a, str>>) {
        match filter {
            "vpc-id" => values.push(Cow::from(&self.id)),
            "is-default" | "isDefault" => values.push(Cow::from(self.default.to_string())),
            "cidr" | "cidr-block" => values.push(Cow::from(&self.cidr)),
            "state" => values.push(Cow::from("available")),
            _ => {}
        }
    }
}

/// Traffic that is let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    pub id: String,
    pub egress: bool,
    /// `tcp`, `udp`, `icmp`, or `-1` for all.
    pub protocol: String,
    pub from: Option<i64>,
    pub to: Option<i64>,
    pub peer: Peer,
    pub description: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    Cidr4(String),
    Cidr6(String),
    Group(String),
}

impl Peer {
    pub fn group(&self) -> Option<&String> {
        if let Self::Group(id) = self { Some(id) } else { None }
    }

    pub fn cidr4(&self) -> Option<&String> {
        if let Self::Cidr4(cidr) = self { Some(cidr) } else { None }
    }

    pub fn cidr6(&self) -> Option<&String> {
        if let Self::Cidr6(cidr) = self { Some(cidr) } else { None }
    }
}

impl Permission {
    /// Whether both let the same through.
    pub fn same(&self, other: &Self) -> bool {
        (self.egress, &self.protocol, self.from, self.to, &self.peer)
            == (other.egress, &other.protocol, other.from, other.to, &other.peer)
    }
}

#[derive(Clone, Debug)]
pub struct Group {
    pub id: String,
    pub name: String,
    pub description: String,
    pub vpc: String,
    pub owner: String,
    pub tags: Tags,
    pub permissions: Vec<Permission>,
    pub course: Course<Presence>,
}

impl Resource for Group {
    const PREFIX: &'static str = "sg-";
    const FILTERS: &'static [&'static str] = &[
        "group-id",
        "group-name",
        "description",
        "vpc-id",
        "owner-id",
        "ip-permission.protocol",
        "egress.ip-permission.protocol",
        "ip-permission.group-id",
        "egress.ip-permission.group-id",
        "ip-permission.cidr",
        "egress.ip-permission.cidr",
    ];
    const INDEXED: &'static [&'static str] = &["group-id", "group-name"];

    fn id(&self) -> &str {
        &self.id
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }

    fn is_visible(&self, at_ms: i64) -> bool {
        self.course.at(at_ms) == Presence::Here
    }

    fn values<'a>(&'a self, filter: &str, _at_ms: i64, values: &mut Vec<Cow<'a, str>>) {
        let of = |egress: bool| self.permissions.iter().filter(move |permission| permission.egress == egress);
        match filter {
            "group-id" => values.push(Cow::from(&self.id)),
            "group-name" => values.push(Cow::from(&self.name)),
            "description" => values.push(Cow::from(&self.description)),
            "vpc-id" => values.push(Cow::from(&self.vpc)),
            "owner-id" => values.push(Cow::from(&self.owner)),
            "ip-permission.protocol" => values.extend(of(false).map(|one| Cow::from(&one.protocol))),
            "egress.ip-permission.protocol" => values.extend(of(true).map(|one| Cow::from(&one.protocol))),
            "ip-permission.group-id" | "egress.ip-permission.group-id" => {
                values.extend(of(filter.starts_with("egress")).filter_map(|one| one.peer.group().map(Cow::from)));
            }
            "ip-permission.cidr" | "egress.ip-permission.cidr" => {
                values.extend(of(filter.starts_with("egress")).filter_map(|one| one.peer.cidr4().map(Cow::from)));
            }
            _ => {}
        }
    }
}

#[derive(Clone, Debug)]
pub struct Interface {
    pub id: String,
    pub instance: String,
    pub owner: String,
    pub subnet: String,
    pub vpc: String,
    pub zone: String,
    pub address: String,
    pub groups: Vec<(String, String)>,
    pub created_ms: i64,
    pub tags: Tags,
    pub course: Course<Presence>,
}

impl Interface {
    pub fn mac(&self) -> String {
        let hash = crate::seed::dice(0, &self.id).to_be_bytes();
        format!("02:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", hash[0], hash[1], hash[2], hash[3], hash[4])
    }
}

impl Resource for Interface {
    const PREFIX: &'static str = "eni-";
    const FILTERS: &'static [&'static str] = &[
        "network-interface-id",
        "attachment.instance-id",
        "attachment.status",
        "status",
        "group-id",
        "group-name",
        "subnet-id",
        "vpc-id",
        "availability-zone",
        "owner-id",
        "private-ip-address",
        "addresses.private-ip-address",
        "mac-address",
        "interface-type",
        "requester-managed",
        "description",
    ];
    const INDEXED: &'static [&'static str] =
        &["network-interface-id", "attachment.instance-id", "group-id", "private-ip-address"];

    fn id(&self) -> &str {
        &self.id
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }

    fn is_visible(&self, at_ms: i64) -> bool {
        self.course.at(at_ms) == Presence::Here
    }

    fn values<'a>(&'a self, filter: &str, _at_ms: i64, values: &mut Vec<Cow<'a, str>>) {
        match filter {
            "network-interface-id" => values.push(Cow::from(&self.id)),
            "attachment.instance-id" => values.push(Cow::from(&self.instance)),
            "attachment.status" => values.push(Cow::from("attached")),
            "status" => values.push(Cow::from("in-use")),
            "group-id" => values.extend(self.groups.iter().map(|(id, _)| Cow::from(id))),
            "group-name" => values.extend(self.groups.iter().map(|(_, name)| Cow::from(name))),
            "subnet-id" => values.push(Cow::from(&self.subnet)),
            "vpc-id" => values.push(Cow::from(&self.vpc)),
            "availability-zone" => values.push(Cow::from(&self.zone)),
            "owner-id" => values.push(Cow::from(&self.owner)),
            "private-ip-address" | "addresses.private-ip-address" => values.push(Cow::from(&self.address)),
            "mac-address" => values.push(Cow::from(self.mac())),
            "interface-type" => values.push(Cow::from("interface")),
            "requester-managed" => values.push(Cow::from("false")),
            "description" => values.push(Cow::from("")),
            _ => {}
        }
    }
}
