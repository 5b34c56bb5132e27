//! What every action is given, and what several of them need: ids that exist, tags, client tokens, pages.

use std::collections::{BTreeSet, HashMap, HashSet};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::id_of;
use crate::model::shelf::knows;
use crate::model::{
    Filter, Group, Instance, Launch, Page, Place, Remembered, Resource, Shelf, Snapshot, SnapshotState, Tags, Volume,
    VolumeState,
};
use crate::problem::Problem;
use crate::query::{Asked, Request};
use crate::rules::Rules;
use crate::seed::dice;

/// One action on one account and region, at one moment.
pub struct Call<'a> {
    pub now: i64,
    pub rules: &'a Rules,
    pub place: &'a mut Place,
    pub shared: &'a mut Shared,
    pub request: &'a Request,
    /// For a copy: the snapshot it is of, wherever that is.
    pub source: Option<Snapshot>,
    /// Whether whoever calls may use the key that volumes are encrypted with.
    pub encrypts: bool,
}

/// Instances of one type and zone, of which there may not be enough; those for spot are others than those for all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pool {
    pub instance_type: String,
    pub zone: String,
    pub spot: bool,
}

impl Pool {
    pub fn of(launch: &Launch) -> Self {
        let (instance_type, zone) = (launch.instance_type.clone(), launch.zone.clone());
        Self { instance_type, zone, spot: launch.market.is_spot() }
    }
}

/// What all accounts and regions share.
pub struct Shared {
    seed: u64,
    counter: u64,
    /// How many more there are; not in it: as many as one likes.
    pub capacity: HashMap<Pool, u32>,
    /// Volumes that do not let go unless forced.
    pub stuck: HashSet<String>,
    /// What describes leave out.
    pub hidden: HashSet<String>,
    /// Instance profiles that there are not.
    pub unknown_profiles: BTreeSet<String>,
}

impl Shared {
    pub fn new(seed: u64) -> Self {
        let (stuck, hidden) = (HashSet::new(), HashSet::new());
        Self { seed, counter: 0, capacity: HashMap::new(), stuck, hidden, unknown_profiles: BTreeSet::new() }
    }

    pub fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub fn id(&mut self, prefix: &str) -> String {
        id_of(self.seed, prefix, self.count())
    }

    /// In the form of a UUID.
    pub fn request_id(&mut self) -> String {
        let number = self.count();
        let (high, low) = (dice(self.seed, &format!("request {number}")), dice(self.seed, &format!("id {number}")));
        let hex = format!("{high:016x}{low:016x}");
        format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
    }
}

/// How an id must look, and what Amazon says when it does not or nothing has it.
struct IdKind {
    prefix: &'static str,
    malformed: &'static str,
    not_found: &'static str,
    noun: &'static str,
}

const INSTANCE: IdKind = IdKind {
    prefix: "i-",
    malformed: "InvalidInstanceID.Malformed",
    not_found: "InvalidInstanceID.NotFound",
    noun: "instance ID",
};
const VOLUME: IdKind = IdKind {
    prefix: "vol-",
    malformed: "InvalidVolumeID.Malformed",
    not_found: "InvalidVolume.NotFound",
    noun: "volume",
};
const SNAPSHOT: IdKind = IdKind {
    prefix: "snap-",
    malformed: "InvalidSnapshotID.Malformed",
    not_found: "InvalidSnapshot.NotFound",
    noun: "snapshot",
};
const GROUP: IdKind = IdKind {
    prefix: "sg-",
    malformed: "InvalidGroupId.Malformed",
    not_found: "InvalidGroup.NotFound",
    noun: "security group",
};
const INTERFACE: IdKind = IdKind {
    prefix: "eni-",
    malformed: "InvalidNetworkInterfaceId.Malformed",
    not_found: "InvalidNetworkInterfaceID.NotFound",
    noun: "networkInterface ID",
};
const SUBNET: IdKind = IdKind {
    prefix: "subnet-",
    malformed: "InvalidSubnetID.Malformed",
    not_found: "InvalidSubnetID.NotFound",
    noun: "subnet ID",
};
const VPC: IdKind =
    IdKind { prefix: "vpc-", malformed: "InvalidVpcID.Malformed", not_found: "InvalidVpcID.NotFound", noun: "vpc ID" };
const IMAGE: IdKind = IdKind {
    prefix: "ami-",
    malformed: "InvalidAMIID.Malformed",
    not_found: "InvalidAMIID.NotFound",
    noun: "image id",
};
const KINDS: [&IdKind; 8] = [&INSTANCE, &VOLUME, &SNAPSHOT, &GROUP, &INTERFACE, &SUBNET, &VPC, &IMAGE];

impl IdKind {
    fn check(&self, id: &str) -> Result<(), Problem> {
        let digits = id.strip_prefix(self.prefix).unwrap_or_default();
        if matches!(digits.len(), 8 | 17) && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(());
        }
        Err(Problem::client(self.malformed, format!("Invalid id: \"{id}\" (expecting \"{}...\")", self.prefix)))
    }

    fn absent(&self, ids: &[&str]) -> Problem {
        let message = match ids {
            [id] => format!("The {} '{id}' does not exist", self.noun),
            ids => format!("The {}s '{}' do not exist", self.noun, ids.join(", ")),
        };
        Problem::client(self.not_found, message)
    }
}

impl Call<'_> {
    /// Ends a call that asked only whether it would be allowed.
    pub fn would_happen(&self) -> Result<(), Problem> {
        if self.request.is_dry_run() {
            let message = "Request would have succeeded, but DryRun flag is set.";
            return Err(Problem::new(412, "DryRunOperation", message));
        }
        Ok(())
    }

    /// The moment a describe sees a resource at.
    pub fn seen_at(&self, id: &str) -> i64 {
        if self.shared.hidden.contains(id) {
            return i64::MIN;
        }
        self.now - self.rules.lag.of_describe(self.rules.seed, id, self.now)
    }

    /// An instance that a call may change.
    pub fn instance(&self, id: &str) -> Result<&Instance, Problem> {
        INSTANCE.check(id)?;
        let found = self.known(&self.place.instances, id).filter(|instance| instance.is_visible(self.now));
        found.ok_or_else(|| INSTANCE.absent(&[id]))
    }

    /// All of them, or what is wrong with one.
    pub fn instances(&self, ids: &[&str]) -> Result<(), Problem> {
        ids.iter().try_for_each(|id| INSTANCE.check(id))?;
        let absent: Vec<&str> = ids.iter().copied().filter(|id| self.instance(id).is_err()).collect();
        if absent.is_empty() { Ok(()) } else { Err(INSTANCE.absent(&absent)) }
    }

    pub fn volume(&self, id: &str) -> Result<&Volume, Problem> {
        VOLUME.check(id)?;
        let here = |volume: &&Volume| !matches!(volume.state(self.now), VolumeState::Deleted | VolumeState::Deleting);
        self.known(&self.place.volumes, id).filter(here).ok_or_else(|| VOLUME.absent(&[id]))
    }

    /// A snapshot that can be read: one's own, or a public one.
    pub fn snapshot(&self, id: &str) -> Result<&Snapshot, Problem> {
        SNAPSHOT.check(id)?;
        let here = |snapshot: &&Snapshot| snapshot.state(self.now) != SnapshotState::Deleted;
        self.known(&self.place.snapshots, id).filter(here).ok_or_else(|| SNAPSHOT.absent(&[id]))
    }

    pub fn own_snapshot(&self, id: &str) -> Result<&Snapshot, Problem> {
        let own = |snapshot: &&Snapshot| snapshot.owner == self.place.account;
        Some(self.snapshot(id)?).filter(own).ok_or_else(|| SNAPSHOT.absent(&[id]))
    }

    pub fn group(&self, id: &str) -> Result<&Group, Problem> {
        GROUP.check(id)?;
        let found = self.known(&self.place.groups, id).filter(|group| group.is_visible(self.now));
        found.ok_or_else(|| GROUP.absent(&[id]))
    }

    pub fn subnet(&self, id: &str) -> Result<&crate::model::Subnet, Problem> {
        SUBNET.check(id)?;
        self.place.subnets.get(id).ok_or_else(|| SUBNET.absent(&[id]))
    }

    pub fn vpc(&self, id: &str) -> Result<&crate::model::Vpc, Problem> {
        VPC.check(id)?;
        self.place.vpcs.get(id).ok_or_else(|| VPC.absent(&[id]))
    }

    pub fn image(&self, id: &str) -> Result<&crate::model::offer::Image, Problem> {
        IMAGE.check(id)?;
        let absent = || Problem::client("InvalidAMIID.NotFound", format!("The image id '[{id}]' does not exist"));
        self.place.images.get(id).ok_or_else(absent)
    }

    /// Whether tags can be put on it, whatever it is.
    pub fn taggable(&self, id: &str) -> Result<(), Problem> {
        match id.split('-').next().unwrap_or_default() {
            "i" => self.instance(id).map(drop),
            "vol" => self.volume(id).map(drop),
            "snap" => self.own_snapshot(id).map(drop),
            "sg" => self.group(id).map(drop),
            "eni" => self.known(&self.place.interfaces, id).map(drop).ok_or_else(|| INTERFACE.absent(&[id])),
            "subnet" => self.subnet(id).map(drop),
            "vpc" => self.vpc(id).map(drop),
            "ami" => self.image(id).map(drop),
            _ => Err(Problem::client("InvalidID", format!("The ID '{id}' is not valid"))),
        }
    }

    fn known<'s, T: Resource>(&self, shelf: &'s Shelf<T>, id: &str) -> Option<&'s T> {
        let born = shelf.born_ms(id)?;
        let unknown_for = self.rules.lag.of_change(self.rules.seed, id);
        shelf.get(id).filter(|_| self.now >= born + unknown_for)
    }

    /// The tags a call gives to new resources of a kind.
    pub fn new_tags(&self, asked: &Asked<'_>, kind: &str, allowed: &[&str]) -> Result<Tags, Problem> {
        let mut tags = Tags::new();
        for specification in asked.items("TagSpecification") {
            let of = specification.required("ResourceType")?;
            if !allowed.contains(&of) {
                let message = format!("'{of}' is not a valid taggable resource type for this operation.");
                return Err(Problem::client("InvalidParameterValue", message));
            }
            let these = read_tags(&specification)?;
            if of == kind {
                tags.extend(these);
            }
        }
        enough_room(&tags)?;
        Ok(tags)
    }

    /// What a client token was used for already: ids, when the request is the same. `scope` parts tokens from each other.
    pub fn done_before(&self, action: &str, scope: &str) -> Result<Option<&Remembered>, Problem> {
        let Some(token) = self.token()? else { return Ok(None) };
        let Some(done) = self.place.tokens.get(&format!("{action} {scope} {token}")) else { return Ok(None) };
        if done.parameters != self.identity() {
            let message = "Arguments on this idempotent request are inconsistent with arguments used in previous \
                           request(s).";
            return Err(Problem::client("IdempotentParameterMismatch", message));
        }
        Ok(Some(done))
    }

    /// Keeps what a client token was used for.
    pub fn remember(&mut self, action: &str, scope: &str, ids: Vec<String>) -> Result<(), Problem> {
        if let Some(token) = self.token()? {
            let done = Remembered { parameters: self.identity(), ids };
            self.place.tokens.insert(format!("{action} {scope} {token}"), done);
        }
        Ok(())
    }

    pub fn token(&self) -> Result<Option<&str>, Problem> {
        let token = self.request.parameters.get("ClientToken").map(String::as_str).filter(|token| !token.is_empty());
        match token {
            Some(token) if token.len() > 64 || !token.is_ascii() => {
                Err(Problem::value("ClientToken", token, "It must be up to 64 ASCII characters."))
            }
            token => Ok(token),
        }
    }

    fn identity(&self) -> Vec<(String, String)> {
        let counts = |name: &str| !matches!(name, "ClientToken" | "DryRun" | "AWSAccessKeyId" | "Version");
        let parameters = self.request.parameters.iter().filter(|(name, _)| counts(name));
        parameters.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// A describe: by ids or by filters, with pages where a size is given.
    pub fn select<'s, T: Resource>(
        &self,
        shelf: &'s Shelf<T>,
        asked: &Asked<'_>,
        ids_name: &str,
    ) -> Result<Page<'s, T>, Problem> {
        let ids = asked.list(ids_name);
        let filters = Filter::read(asked)?;
        if let Some(unknown) = filters.iter().find(|filter| !knows::<T>(&filter.name)) {
            return Err(unknown.unknown());
        }
        let (most, after) = self.page(asked)?;
        if !ids.is_empty() && asked.text("MaxResults").is_some() {
            let message = format!("The parameter {ids_name} cannot be used with the parameter MaxResults");
            return Err(Problem::combination(message));
        }
        if ids.is_empty() {
            return Ok(shelf.select(&filters, after.as_deref(), most, |id| self.seen_at(id)));
        }
        let kind = KINDS.into_iter().find(|kind| kind.prefix == T::PREFIX);
        if let Some(kind) = kind {
            ids.iter().try_for_each(|id| kind.check(id))?;
        }
        let seen = |id: &&str| {
            let at = self.seen_at(id);
            shelf.at(id, at).is_some_and(|thing| thing.is_visible(at))
        };
        let absent: Vec<&str> = ids.iter().copied().filter(|id| !seen(id)).collect();
        if let (Some(kind), false) = (kind, absent.is_empty()) {
            return Err(kind.absent(&absent));
        }
        let among: std::collections::BTreeSet<&str> = ids.into_iter().collect();
        let mut page = Page { things: Vec::new(), more_after: None };
        for id in among {
            page.things.extend(shelf.one(id, &filters, self.seen_at(id)));
        }
        Ok(page)
    }

    /// How many a page may have, and after which id it begins.
    pub fn page(&self, asked: &Asked<'_>) -> Result<(usize, Option<String>), Problem> {
        let most = match asked.number("MaxResults")? {
            None => usize::MAX,
            Some(most @ 5..=1000) => usize::try_from(most).unwrap_or(usize::MAX),
            Some(most) => {
                let why = "Expecting a value between 5 and 1000.";
                return Err(Problem::value("maxResults", &most.to_string(), why));
            }
        };
        let Some(token) = asked.text("NextToken") else { return Ok((most, None)) };
        let read = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let after = read.as_deref().and_then(|text| text.strip_prefix("after ")).map(str::to_owned);
        after
            .map(|after| (most, Some(after)))
            .ok_or_else(|| Problem::client("InvalidNextToken", format!("The token '{token}' is invalid")))
    }
}

/// Where the next page begins, in a form nobody should read anything out of.
pub fn next_token(after: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("after {after}"))
}

/// `Tag.1.Key`, `Tag.1.Value`, …, checked as Amazon does.
pub fn read_tags(asked: &Asked<'_>) -> Result<Tags, Problem> {
    let mut tags = Tags::new();
    for item in asked.items("Tag") {
        let (key, value) = (item.text("Key").unwrap_or_default(), item.text("Value").unwrap_or_default());
        if key.is_empty() || key.chars().count() > 128 {
            return Err(Problem::value("tagKey", key, "A tag's key has 1 to 128 characters."));
        }
        if value.chars().count() > 256 {
            return Err(Problem::value("tagValue", value, "A tag's value has up to 256 characters."));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            let message = "Tag keys starting with 'aws:' are reserved for internal use";
            return Err(Problem::client("InvalidParameterValue", message));
        }
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(Problem::client("InvalidParameterValue", format!("Duplicate tag key '{key}' specified.")));
        }
    }
    Ok(tags)
}

pub fn enough_room(tags: &Tags) -> Result<(), Problem> {
    if tags.len() <= 50 {
        return Ok(());
    }
    Err(Problem::client("TagLimitExceeded", "The maximum number of Tags for a resource has been reached."))
}
