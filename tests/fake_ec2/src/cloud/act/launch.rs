//! RunInstances.
//!
//! A client token is regional, or zonal when the request names a zone or a subnet: the same token and the same request in
//! another zone is another launch ("Ensuring idempotency", RunInstances). A call that failed uses no token up. Once an instance of
//! the launch has terminated its call cannot be repeated any more: "Error codes for the Amazon EC2 API" has
//! `IdempotentInstanceTerminated`, and since January 2025 Amazon answers so (the message is quoted in boto3's issue 4406). Of launches
//! of several nobody says: here one that has terminated is enough.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::lifecycle::end_at;
use super::market::{self, read_market};
use super::volumes::{Disk, extra_disk, own_disk};
use crate::cloud::call::{Call, Pool};
use crate::cloud::describe::show;
use crate::model::machine::{Metadata, Profile};
use crate::model::offer::{Image, InstanceType, instance_type};
use crate::model::{Course, Instance, InstanceState, Interface, Launch, Market, Presence, Tags};
use crate::problem::Problem;
use crate::query::Asked;
use crate::xml::Xml;

const ACTION: &str = "RunInstances";
const TAGGABLE: [&str; 4] = ["instance", "volume", "network-interface", "spot-instances-request"];
const MOST_USER_DATA: usize = 16_384;

pub fn run_instances(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let (least, most) = counts(asked)?;
    let placement = Where::read(call, asked)?;
    let scope = placement.zone.clone().unwrap_or_else(|| "region".to_owned());
    if let Some(done) = call.done_before(ACTION, &scope)? {
        if done.ids.iter().any(|id| has_terminated(call, id)) {
            let message = "The client token you have provided is associated with a terminated instance. Please use a different \
                           client token.";
            return Err(Problem::client("IdempotentInstanceTerminated", message));
        }
        show::reservation(xml, call.place, &done.ids, call.now);
        return Ok(());
    }
    let image = call.image(asked.required("ImageId")?)?.clone();
    let kind = wanted_type(asked.text("InstanceType").unwrap_or("m5.large"), &image)?;
    let groups = wanted_groups(call, asked, &placement.vpc)?;
    let disks = wanted_disks(call, asked, &image)?;
    let market = read_market(asked)?;
    let hibernation = wanted_hibernation(asked, &kind, &disks)?;
    let user_data = wanted_user_data(asked)?;
    let key_name = asked.text("KeyName").map(str::to_owned);
    if let Some(key) = key_name.as_ref().filter(|key| !call.place.keys.contains_key(*key)) {
        let message = format!("The key pair '{key}' does not exist");
        return Err(Problem::client("InvalidKeyPair.NotFound", message));
    }
    let profile = wanted_profile(call, asked)?;
    let tags = Tagging {
        instance: call.new_tags(asked, "instance", &TAGGABLE)?,
        volume: call.new_tags(asked, "volume", &TAGGABLE)?,
        interface: call.new_tags(asked, "network-interface", &TAGGABLE)?,
    };
    let protected = asked.flag("DisableApiTermination")?.unwrap_or(false);
    let room = room_in_limit(call, &kind, &market, least, most)?;
    let (subnet, zone, count) = placement.choose(call, &kind, market.is_spot(), least, room)?;
    call.would_happen()?;

    let launch = Arc::new(Launch {
        reservation: call.shared.id("r"),
        image: image.id.clone(),
        instance_type: kind.name.clone(),
        architecture: kind.architecture.to_owned(),
        vcpus: kind.vcpus,
        key_name,
        client_token: call.token()?.map(str::to_owned),
        profile,
        groups,
        zone,
        subnet,
        vpc: placement.vpc,
        root_device: image.root_device.to_owned(),
        metadata: wanted_metadata(asked)?,
        hibernation,
        ebs_optimized: asked.flag("EbsOptimized")?.unwrap_or(false),
        monitoring: asked.within("Monitoring").flag("Enabled")?.unwrap_or(false),
        market,
        shutdown: asked.text("InstanceInitiatedShutdownBehavior").unwrap_or("stop").to_owned(),
    });
    let ids: Vec<String> = (0..count)
        .filter_map(|index| {
            let made = Making { launch: &launch, index, disks: &disks, tags: &tags, protected, user_data: &user_data };
            make(call, &made)
        })
        .collect();
    call.remember(ACTION, &scope, ids.clone())?;
    show::reservation(xml, call.place, &ids, call.now);
    Ok(())
}

fn has_terminated(call: &Call<'_>, id: &str) -> bool {
    call.place.instances.get(id).is_none_or(|one| one.state(call.now) == InstanceState::Terminated)
}

struct Tagging {
    instance: Tags,
    volume: Tags,
    interface: Tags,
}

struct Making<'a> {
    launch: &'a Arc<Launch>,
    index: usize,
    disks: &'a [Disk],
    tags: &'a Tagging,
    protected: bool,
    user_data: &'a Option<Arc<str>>,
}

/// One instance with its interface and its volumes. `None` when the subnet has no address left, which was checked before.
fn make(call: &mut Call<'_>, made: &Making<'_>) -> Option<String> {
    let (now, seed, launch) = (call.now, call.rules.seed, made.launch);
    let mut address = None;
    call.place.subnets.change(&launch.subnet, now, |subnet| address = subnet.take(now));
    let address = address?;
    let (id, interface) = (call.shared.id("i"), call.shared.id("eni"));
    let running = now + call.rules.delays.pending.of(seed, &format!("pending {id}"));
    call.place.interfaces.put(
        now,
        Interface {
            id: interface.clone(),
            instance: id.clone(),
            owner: call.place.account.clone(),
            subnet: launch.subnet.clone(),
            vpc: launch.vpc.clone(),
            zone: launch.zone.clone(),
            address: address.clone(),
            groups: launch.groups.clone(),
            created_ms: now,
            tags: made.tags.interface.clone(),
            course: Course::new(&[(now, Presence::Here)]),
        },
    );
    let volumes = made.disks.iter().map(|disk| disk.make_for(call, &id, running, launch, &made.tags.volume)).collect();
    let checked_ms = running + call.rules.delays.checks.of(seed, &format!("checks {id}"));
    let spot_request = matches!(launch.market, Market::Spot { .. }).then(|| market::request_id(call));
    call.place.instances.put(
        now,
        Instance {
            id: id.clone(),
            launch: launch.clone(),
            index: made.index,
            launched_ms: now,
            private_ip: address,
            interface,
            course: Course::new(&[(now, InstanceState::Pending), (running, InstanceState::Running)]),
            reason: None,
            tags: made.tags.instance.clone(),
            volumes,
            protected: made.protected,
            user_data: made.user_data.clone(),
            spot_request,
            interrupted_at_ms: None,
            impaired: false,
            checked_ms,
        },
    );
    if !matches!(launch.market, Market::Spot { .. }) {
        call.place.vcpus += launch.vcpus;
    }
    if let Some(free) = call.shared.capacity.get_mut(&Pool::of(launch)) {
        *free = free.saturating_sub(1);
    }
    if made.disks.iter().any(|disk| disk.encrypted) && !call.encrypts {
        let why = ("Client.InternalError", "Client.InternalError: Client error on launch");
        end_at(call.place, call.shared, call.rules, now, &id, running - 1, why);
    }
    Some(id)
}

fn counts(asked: &Asked<'_>) -> Result<(usize, usize), Problem> {
    let count = |name: &str| match asked.number(name)? {
        None => Err(Problem::missing(name)),
        Some(number) => usize::try_from(number)
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| Problem::value(name, &number.to_string(), "It must be at least 1.")),
    };
    let (least, most) = (count("MinCount")?, count("MaxCount")?);
    if least > most {
        let message = "Value for parameter minCount is invalid. It must not be greater than maxCount.";
        return Err(Problem::client("InvalidParameterValue", message));
    }
    Ok((least, most))
}

/// Where a launch may go.
struct Where {
    vpc: String,
    subnet: Option<String>,
    /// The zone, when the request says one or its subnet does.
    zone: Option<String>,
}

impl Where {
    fn read(call: &Call<'_>, asked: &Asked<'_>) -> Result<Self, Problem> {
        let interface = asked.items("NetworkInterface").into_iter().next();
        let subnet = asked.text("SubnetId").or_else(|| interface.as_ref()?.text("SubnetId"));
        let zone = asked.within("Placement").text("AvailabilityZone");
        if let Some(zone) = zone.filter(|zone| !call.rules.zones_of(&call.place.region).iter().any(|one| one == zone)) {
            let message = format!("Invalid availability zone: [{zone}]");
            return Err(Problem::client("InvalidParameterValue", message));
        }
        let Some(subnet) = subnet else {
            let none = || Problem::client("VPCIdNotSpecified", "No default VPC for this user");
            let vpc = call.place.default_vpc().ok_or_else(none)?.id.clone();
            return Ok(Self { vpc, subnet: None, zone: zone.map(str::to_owned) });
        };
        let subnet = call.subnet(subnet)?;
        if zone.is_some_and(|zone| zone != subnet.zone) {
            let message = "The availability zone and the subnet's availability zone differ";
            return Err(Problem::client("InvalidParameterValue", message));
        }
        let zone = Some(subnet.zone.clone());
        Ok(Self { vpc: subnet.vpc.clone(), subnet: Some(subnet.id.clone()), zone })
    }

    /// Subnet, zone, and how many fit there. Without a zone Amazon chooses one that has room.
    fn choose(
        &self,
        call: &Call<'_>,
        kind: &InstanceType,
        spot: bool,
        least: usize,
        most: usize,
    ) -> Result<(String, String, usize), Problem> {
        let zones = match &self.zone {
            Some(zone) => vec![zone.clone()],
            None => {
                let mut zones = call.rules.zones_of(&call.place.region);
                let begin = crate::seed::dice(call.rules.seed, &format!("zone {}", call.now));
                let count = zones.len().max(1) as u64;
                zones.rotate_left(usize::try_from(begin % count).unwrap_or(0));
                zones
            }
        };
        let mut last = None;
        for zone in zones {
            match self.fits(call, kind, (&zone, spot), least, most) {
                Ok((subnet, count)) => return Ok((subnet, zone, count)),
                Err(problem) => last = Some(problem),
            }
        }
        Err(last.unwrap_or_else(|| Problem::client("InvalidParameterValue", "There is no availability zone")))
    }

    fn fits(
        &self,
        call: &Call<'_>,
        kind: &InstanceType,
        (zone, spot): (&str, bool),
        least: usize,
        most: usize,
    ) -> Result<(String, usize), Problem> {
        if !call.rules.offers(zone, &kind.name) {
            let message = format!(
                "Your requested instance type ({}) is not supported in your requested Availability Zone ({zone}). \
                 Please retry your request by not specifying an Availability Zone or choosing another one.",
                kind.name
            );
            return Err(Problem::client("Unsupported", message));
        }
        let in_zone = |subnet: &&crate::model::Subnet| subnet.zone == zone && subnet.vpc == self.vpc;
        let subnet = match &self.subnet {
            Some(id) => call.subnet(id)?,
            None => call.place.subnets.all().find(in_zone).ok_or_else(|| {
                Problem::client("MissingInput", format!("No default subnet for availability zone: '{zone}'."))
            })?,
        };
        let addresses = subnet.free(call.now);
        if addresses < least {
            let message = format!("There are not enough free addresses in subnet '{}'.", subnet.id);
            return Err(Problem::client("InsufficientFreeAddressesInSubnet", message));
        }
        let pool = Pool { instance_type: kind.name.clone(), zone: zone.to_owned(), spot };
        let capacity = call.shared.capacity.get(&pool).map_or(usize::MAX, |free| *free as usize);
        if capacity < least {
            return Err(no_capacity(&kind.name, zone));
        }
        Ok((subnet.id.clone(), most.min(addresses).min(capacity)))
    }
}

pub fn no_capacity(kind: &str, zone: &str) -> Problem {
    let message = format!(
        "We currently do not have sufficient {kind} capacity in the Availability Zone you requested ({zone}). Our \
         system will be working on provisioning additional capacity."
    );
    Problem::new(500, "InsufficientInstanceCapacity", message)
}

/// How many of `most` the limit of vCPUs lets start, at least `least`.
pub fn room_in_limit(
    call: &Call<'_>,
    kind: &InstanceType,
    market: &Market,
    least: usize,
    most: usize,
) -> Result<usize, Problem> {
    let (Some(limit), Market::OnDemand) = (call.rules.vcpu_limit, market) else { return Ok(most) };
    let room = (limit.saturating_sub(call.place.vcpus) / kind.vcpus.max(1)) as usize;
    if room < least {
        let message = format!(
            "You have requested more vCPU capacity than your current vCPU limit of {limit} allows for the instance \
             bucket that the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request \
             to request an adjustment to this limit."
        );
        return Err(Problem::client("VcpuLimitExceeded", message));
    }
    Ok(most.min(room))
}

fn wanted_type(name: &str, image: &Image) -> Result<InstanceType, Problem> {
    let unknown = || Problem::client("InvalidParameterValue", format!("Invalid value '{name}' for InstanceType."));
    let kind = instance_type(name).ok_or_else(unknown)?;
    if kind.architecture != image.architecture {
        let message = format!(
            "The architecture '{}' of the specified instance type does not match the architecture '{}' of the \
             specified AMI. Specify an instance type and an AMI that have matching architectures, and try again.",
            kind.architecture, image.architecture
        );
        return Err(Problem::client("InvalidParameterValue", message));
    }
    Ok(kind)
}

/// Ids and names; of the request, of its interface, or the VPC's default group.
fn wanted_groups(call: &Call<'_>, asked: &Asked<'_>, vpc: &str) -> Result<Vec<(String, String)>, Problem> {
    let interface = asked.items("NetworkInterface").into_iter().next();
    let mut ids = asked.list("SecurityGroupId");
    if let Some(interface) = interface {
        if !ids.is_empty() || asked.text("SubnetId").is_some() {
            let message = "Network interfaces and an instance-level subnet ID or security groups may not be specified \
                           on the same request";
            return Err(Problem::combination(message));
        }
        ids = interface.list("SecurityGroupId");
    }
    let mut groups = Vec::new();
    for id in ids {
        let group = call.group(id)?;
        if group.vpc != vpc {
            let message = format!("Security group {id} and the subnet belong to different networks.");
            return Err(Problem::client("InvalidParameter", message));
        }
        groups.push((group.id.clone(), group.name.clone()));
    }
    if groups.is_empty() {
        groups.extend(call.place.default_group(vpc).map(|group| (group.id.clone(), group.name.clone())));
    }
    Ok(groups)
}

fn wanted_disks(call: &Call<'_>, asked: &Asked<'_>, image: &Image) -> Result<Vec<Disk>, Problem> {
    let mut disks = vec![own_disk(image)];
    for mapping in asked.items("BlockDeviceMapping") {
        let device = mapping.required("DeviceName")?;
        if mapping.text("NoDevice").is_some() || mapping.text("VirtualName").is_some() {
            continue;
        }
        let ebs = mapping.within("Ebs");
        if device == image.root_device {
            disks[0] = disks[0].clone().changed(call, &ebs)?;
            continue;
        }
        if disks.iter().any(|disk| disk.device == device) {
            let message = format!("The device '{device}' is used in more than one block-device mapping");
            return Err(Problem::client("InvalidBlockDeviceMapping", message));
        }
        disks.push(extra_disk(call, device, &ebs)?);
    }
    Ok(disks)
}

fn wanted_hibernation(asked: &Asked<'_>, kind: &InstanceType, disks: &[Disk]) -> Result<bool, Problem> {
    let wanted = asked.within("HibernationOptions").flag("Configured")?.unwrap_or(false);
    let memory_gib = kind.memory_mib / 1024;
    if wanted && (!kind.hibernates || memory_gib > 150 || !disks[0].encrypted || disks[0].gib < memory_gib) {
        let message = "The instance could not be launched because one or more parameter values do not meet the \
                       prerequisites for enabling hibernation: a type that supports it, and an encrypted root volume \
                       with room for the memory.";
        return Err(Problem::client("UnsupportedHibernationConfiguration", message));
    }
    Ok(wanted)
}

/// Base64, as it is kept.
pub fn wanted_user_data(asked: &Asked<'_>) -> Result<Option<Arc<str>>, Problem> {
    let Some(text) = asked.text("UserData").filter(|text| !text.is_empty()) else { return Ok(None) };
    let malformed = |_| Problem::client("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data");
    let size = STANDARD.decode(text).map_err(malformed)?.len();
    if size > MOST_USER_DATA {
        let message = format!("User data is limited to {MOST_USER_DATA} bytes");
        return Err(Problem::client("InvalidParameterValue", message));
    }
    Ok(Some(Arc::from(text)))
}

fn wanted_profile(call: &Call<'_>, asked: &Asked<'_>) -> Result<Option<Profile>, Problem> {
    let profile = asked.within("IamInstanceProfile");
    let arn = match (profile.text("Arn"), profile.text("Name")) {
        (None, None) => return Ok(None),
        (Some(arn), _) => arn.to_owned(),
        (None, Some(name)) if call.shared.unknown_profiles.contains(name) => {
            let message = format!(
                "Value ({name}) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
            );
            return Err(Problem::client("InvalidParameterValue", message));
        }
        (None, Some(name)) => format!("arn:aws:iam::{}:instance-profile/{name}", call.place.account),
    };
    let hash = crate::seed::dice(0, &arn);
    Ok(Some(Profile { arn, id: format!("AIPA{hash:016X}0") }))
}

fn wanted_metadata(asked: &Asked<'_>) -> Result<Metadata, Problem> {
    let options = asked.within("MetadataOptions");
    let hop_limit = options.number("HttpPutResponseHopLimit")?.unwrap_or(2);
    if !(1..=64).contains(&hop_limit) {
        return Err(Problem::value("HttpPutResponseHopLimit", &hop_limit.to_string(), "It must be from 1 to 64."));
    }
    let text = |name: &str, default: &str| options.text(name).unwrap_or(default).to_owned();
    Ok(Metadata {
        tokens: text("HttpTokens", "required"),
        hop_limit,
        endpoint: text("HttpEndpoint", "enabled"),
        tags: text("InstanceMetadataTags", "disabled"),
    })
}
