//! What each call has to be allowed, and of which resources: "Actions, resources, and condition keys for Amazon EC2" in the Service
//! Authorization Reference; that a copy is also about its source, the AWS Storage Blog of 2024.
//!
//! All of it has to be allowed, a rehearsal's, too. What is made has the tags of the request, what is there has its own. What is
//! not there any more has none: who may change only what is tagged is not authorized then, and does not hear that it is gone.

use std::collections::BTreeMap;

use super::call::{Call, read_tags};
use crate::buckets::is_describe;
use crate::iam::{Access, Policy};
use crate::model::Tags;
use crate::problem::Problem;
use crate::query::Asked;

/// Parameters that name what a call changes.
const NAMES: [&str; 7] =
    ["InstanceId", "VolumeId", "SnapshotId", "GroupId", "SourceSnapshotId", "ResourceId", "SpotInstanceRequestId"];

/// What EC2 asks of a key in the name of who calls ("Requirements for Amazon EBS encryption").
const OF_KEYS: [&str; 6] =
    ["CreateGrant", "Decrypt", "DescribeKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo"];

/// Whether volumes in this region may be encrypted with this key.
pub fn lets_encrypt(policy: &Policy, region: &str, key: &str) -> bool {
    let keys = BTreeMap::from([
        ("kms:ViaService".to_owned(), format!("ec2.{region}.amazonaws.com")),
        ("kms:GrantIsForAWSResource".to_owned(), "true".to_owned()),
    ]);
    let access =
        |action: &str| Access { action: format!("kms:{action}"), resource: key.to_owned(), keys: keys.clone() };
    OF_KEYS.into_iter().all(|action| policy.allows(&access(action)))
}

/// What kind of policy one is, in Amazon's words.
pub const IDENTITY_BASED: &str = "identity-based policy";
pub const SERVICE_CONTROL: &str = "service control policy";

/// What of a call is not allowed by all of these policies, and why.
pub fn missing(policies: &[(&str, &Policy)], call: &Call<'_>, action: &str) -> Option<(Access, String)> {
    needed(call, action).into_iter().find_map(|access| why_not(policies, &access).map(|why| (access, why)))
}

/// What one denies comes first: "Troubleshoot access denied error messages" in the IAM User Guide has the words.
fn why_not(policies: &[(&str, &Policy)], access: &Access) -> Option<String> {
    let denies = policies.iter().find(|(_, policy)| policy.denies(access));
    let denied = denies.map(|(kind, _)| match *kind {
        IDENTITY_BASED => format!("with an explicit deny in an {kind}"),
        kind => format!("with an explicit deny in a {kind}"),
    });
    let silent = policies.iter().find(|(_, policy)| !policy.allows(access));
    denied.or_else(|| silent.map(|(kind, _)| no_allows(kind, access)))
}

fn no_allows(kind: &str, access: &Access) -> String {
    format!("because no {kind} allows the {} action", access.action)
}

pub fn refused(who: &str, access: &Access, why: &str) -> Problem {
    let Access { action, resource, .. } = access;
    let message = format!(
        "You are not authorized to perform this operation. User: {who} is not authorized to perform: {action} on \
         resource: {resource} {why}. Encoded authorization failure message: 0"
    );
    Problem::new(403, "UnauthorizedOperation", message)
}

/// As where nobody was allowed to pass the role of this profile.
pub fn not_passed(who: &str, account: &str, profile: &str) -> Problem {
    let access = passing(account, profile);
    refused(who, &access, &no_allows(IDENTITY_BASED, &access))
}

/// A launch with a profile passes the role in it, which may be called anything.
fn passing(account: &str, profile: &str) -> Access {
    Access {
        action: "iam:PassRole".to_owned(),
        resource: format!("arn:aws:iam::{account}:role/{profile}-role"),
        keys: BTreeMap::from([("iam:PassedToService".to_owned(), "ec2.amazonaws.com".to_owned())]),
    }
}

/// Of an action that is about no resource.
pub fn anything(action: &str) -> Access {
    Access { action: action.to_owned(), resource: "*".to_owned(), keys: BTreeMap::new() }
}

fn needed(call: &Call<'_>, action: &str) -> Vec<Access> {
    let asked = call.request.asked();
    let doing = Doing { call, action: format!("ec2:{action}") };
    let named = |name: &str| asked.text(name).filter(|id| !id.is_empty());
    let mut all = match action {
        _ if is_describe(action) => return vec![anything(&doing.action)],
        "RunInstances" => doing.launch(&asked),
        "CreateVolume" => {
            let from = named("SnapshotId").map(|id| doing.to(id));
            [doing.making("volume", &asked)].into_iter().chain(from).collect()
        }
        "CreateSnapshot" => {
            let of = named("VolumeId").map(|id| doing.to(id));
            [doing.making("snapshot", &asked)].into_iter().chain(of).collect()
        }
        "CreateSnapshots" => {
            let id = asked.within("InstanceSpecification").text("InstanceId").unwrap_or_default();
            let volumes = call.place.instances.get(id).into_iter().flat_map(|one| &one.volumes);
            let of = volumes.map(|id| doing.to(id)).chain([doing.to(id)]);
            [doing.making("snapshot", &asked)].into_iter().chain(of).collect()
        }
        "CopySnapshot" => vec![doing.making("snapshot", &asked), doing.reading(&asked)],
        "CreateSecurityGroup" => {
            let within = named("VpcId").map(|id| doing.to(id));
            [doing.making("security-group", &asked)].into_iter().chain(within).collect()
        }
        _ => doing.changing(&asked),
    };
    all.extend(doing.tagging(&asked));
    all
}

struct Doing<'a> {
    call: &'a Call<'a>,
    action: String,
}

impl Doing<'_> {
    fn launch(&self, asked: &Asked<'_>) -> Vec<Access> {
        let interface = asked.items("NetworkInterface").into_iter().next();
        let subnet = asked.text("SubnetId").or_else(|| interface.as_ref()?.text("SubnetId"));
        let groups = asked.list("SecurityGroupId").into_iter();
        let groups = groups.chain(interface.iter().flat_map(|interface| interface.list("SecurityGroupId")));
        let mut all = ["instance", "volume", "network-interface"].map(|kind| self.making(kind, asked)).to_vec();
        all.extend(asked.text("ImageId").map(|id| self.to(id)));
        all.push(subnet.map_or_else(|| self.access(self.arn("subnet", "*"), BTreeMap::new()), |id| self.to(id)));
        all.extend(groups.map(|id| self.to(id)));
        all.extend(asked.text("KeyName").map(|name| self.access(self.arn("key-pair", name), BTreeMap::new())));
        let mappings = asked.items("BlockDeviceMapping");
        all.extend(mappings.iter().filter_map(|one| one.within("Ebs").text("SnapshotId")).map(|id| self.to(id)));
        if asked.within("InstanceMarketOptions").text("MarketType") == Some("spot") {
            all.push(self.making("spot-instances-request", asked));
        }
        all.extend(
            asked.within("IamInstanceProfile").text("Name").map(|profile| passing(&self.call.place.account, profile)),
        );
        all
    }

    /// Everything a call names, with the tags that it is to be given, if any. One that names nothing is about anything.
    fn changing(&self, asked: &Asked<'_>) -> Vec<Access> {
        let ids = NAMES.iter().flat_map(|name| asked.text(name).into_iter().chain(asked.list(name)));
        let given = request_tags(&read_tags(asked).unwrap_or_default());
        let access = |id: &str| {
            let mut access = self.to(id);
            access.keys.extend(given.clone());
            access
        };
        let all: Vec<Access> = ids.map(access).collect();
        if all.is_empty() { vec![anything(&self.action)] } else { all }
    }

    /// Tags on what is made are a right of their own.
    fn tagging(&self, asked: &Asked<'_>) -> Vec<Access> {
        let made = self.action.trim_start_matches("ec2:");
        let of = |specification: Asked<'_>| {
            let kind = specification.text("ResourceType").unwrap_or_default();
            let mut keys = request_tags(&read_tags(&specification).unwrap_or_default());
            keys.insert("ec2:CreateAction".to_owned(), made.to_owned());
            Access { action: "ec2:CreateTags".to_owned(), resource: self.arn(kind, "*"), keys }
        };
        asked.items("TagSpecification").into_iter().map(of).collect()
    }

    fn making(&self, kind: &str, asked: &Asked<'_>) -> Access {
        let specifications = asked.items("TagSpecification").into_iter();
        let own = specifications.filter(|one| one.text("ResourceType") == Some(kind));
        let keys = own.flat_map(|one| request_tags(&read_tags(&one).unwrap_or_default())).collect();
        self.access(self.arn(kind, "*"), keys)
    }

    /// The source of a copy, wherever it is.
    fn reading(&self, asked: &Asked<'_>) -> Access {
        let (region, id) = (asked.text("SourceRegion"), asked.text("SourceSnapshotId"));
        let arn = format!("arn:aws:ec2:{}::snapshot/{}", region.unwrap_or_default(), id.unwrap_or_default());
        let own = self.call.source.as_ref().filter(|source| source.owner == self.call.place.account);
        self.access(arn, own.map(|source| resource_tags(&source.tags)).unwrap_or_default())
    }

    fn to(&self, id: &str) -> Access {
        let kind = match id.split('-').next().unwrap_or_default() {
            "i" => "instance",
            "vol" => "volume",
            "snap" => "snapshot",
            "sg" => "security-group",
            "eni" => "network-interface",
            "ami" => "image",
            "sir" => "spot-instances-request",
            other => other,
        };
        let tags = self.call.place.own_tags(id, self.call.now);
        self.access(self.arn(kind, id), tags.map(resource_tags).unwrap_or_default())
    }

    /// Images and snapshots are named without their account.
    fn arn(&self, kind: &str, id: &str) -> String {
        let (region, account) = (&self.call.place.region, &self.call.place.account);
        let account = if ["image", "snapshot"].contains(&kind) { "" } else { account };
        format!("arn:aws:ec2:{region}:{account}:{kind}/{id}")
    }

    fn access(&self, resource: String, keys: BTreeMap<String, String>) -> Access {
        Access { action: self.action.clone(), resource, keys }
    }
}

fn request_tags(tags: &Tags) -> BTreeMap<String, String> {
    tags.iter().map(|(key, value)| (format!("aws:RequestTag/{key}"), value.clone())).collect()
}

fn resource_tags(tags: &Tags) -> BTreeMap<String, String> {
    tags.iter().map(|(key, value)| (format!("aws:ResourceTag/{key}"), value.clone())).collect()
}
