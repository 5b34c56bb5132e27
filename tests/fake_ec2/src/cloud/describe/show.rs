//! Resources as XML, as they are at a moment. Names and nesting are those of the API's model (2016-11-15).

use std::collections::BTreeMap;

use crate::model::network::Peer;
use crate::model::{
    Attachment, AttachmentState, Group, Instance, InstanceState, Interface, Permission, Place, Resource, Snapshot,
    SnapshotState, Volume, VolumeState,
};
use crate::time::iso;
use crate::xml::Xml;

/// What RunInstances answers with: the instances of one launch.
pub fn reservation(xml: &mut Xml, place: &Place, ids: &[String], at_ms: i64) {
    let instances: Vec<(&Instance, i64)> =
        ids.iter().filter_map(|id| Some((place.instances.get(id)?, at_ms))).collect();
    if let Some((first, _)) = instances.first() {
        in_reservation(xml, place, &first.launch.reservation, &instances);
    }
}

/// Instances by the launch they came from.
pub fn reservations(xml: &mut Xml, place: &Place, instances: &[(&Instance, i64)]) {
    let mut order: Vec<&str> = Vec::new();
    let mut by_launch: BTreeMap<&str, Vec<(&Instance, i64)>> = BTreeMap::new();
    for (instance, at_ms) in instances {
        let reservation = instance.launch.reservation.as_str();
        by_launch.entry(reservation).or_insert_with(|| {
            order.push(reservation);
            Vec::new()
        });
        by_launch.entry(reservation).or_default().push((instance, *at_ms));
    }
    xml.list("reservationSet", order, |xml, reservation| {
        in_reservation(xml, place, reservation, &by_launch[reservation]);
    });
}

fn in_reservation(xml: &mut Xml, place: &Place, reservation: &str, instances: &[(&Instance, i64)]) {
    xml.value("reservationId", reservation).value("ownerId", &place.account);
    xml.list("groupSet", [(); 0], |_, ()| {});
    xml.list("instancesSet", instances, |xml, (one, at_ms)| instance(xml, place, one, *at_ms));
}

pub fn state(xml: &mut Xml, name: &str, state: InstanceState) {
    xml.node(name, |xml| {
        xml.value("code", state.code()).value("name", state.name());
    });
}

pub fn instance(xml: &mut Xml, place: &Place, instance: &Instance, at_ms: i64) {
    let launch = &instance.launch;
    let now = instance.state(at_ms);
    let is_there = now != InstanceState::Terminated;
    xml.value("instanceId", &instance.id).value("imageId", &launch.image);
    state(xml, "instanceState", now);
    let name = if is_there { instance.private_name(&place.region) } else { String::new() };
    xml.value("privateDnsName", name).value("dnsName", "");
    let ends = matches!(now, InstanceState::Running | InstanceState::Pending);
    let reason = instance.reason.as_ref().filter(|_| !ends);
    xml.value("reason", reason.map_or("", |(_, message)| message));
    if let Some((code, message)) = reason {
        xml.node("stateReason", |xml| {
            xml.value("code", code).value("message", message);
        });
    }
    xml.maybe("keyName", launch.key_name.as_ref());
    xml.value("amiLaunchIndex", instance.index).list("productCodes", [(); 0], |_, ()| {});
    xml.value("instanceType", &launch.instance_type).value("launchTime", iso(instance.launched_ms));
    xml.node("placement", |xml| {
        xml.value("availabilityZone", &launch.zone).value("groupName", "").value("tenancy", "default");
    });
    xml.node("monitoring", |xml| {
        xml.value("state", if launch.monitoring { "enabled" } else { "disabled" });
    });
    if is_there {
        xml.value("subnetId", &launch.subnet).value("vpcId", &launch.vpc);
        xml.value("privateIpAddress", &instance.private_ip);
        xml.value("sourceDestCheck", true);
        groups(xml, &launch.groups);
    }
    xml.value("architecture", &launch.architecture);
    xml.value("rootDeviceType", "ebs").value("rootDeviceName", &launch.root_device);
    block_devices(xml, place, instance, at_ms);
    xml.value("virtualizationType", "hvm").value("hypervisor", "xen").value("enaSupport", true);
    xml.maybe("clientToken", launch.client_token.as_ref()).value("ebsOptimized", launch.ebs_optimized);
    xml.maybe("instanceLifecycle", instance.is_spot().then_some("spot"));
    xml.maybe("spotInstanceRequestId", instance.spot_request.as_ref());
    xml.tags(&instance.tags);
    if let Some(profile) = &launch.profile {
        xml.node("iamInstanceProfile", |xml| {
            xml.value("arn", &profile.arn).value("id", &profile.id);
        });
    }
    let interface = place.interfaces.at(&instance.interface, at_ms).filter(|interface| interface.is_visible(at_ms));
    xml.list("networkInterfaceSet", interface, |xml, one| {
        own_interface(xml, one);
    });
    xml.node("hibernationOptions", |xml| {
        xml.value("configured", launch.hibernation);
    });
    xml.node("metadataOptions", |xml| {
        xml.value("state", if now == InstanceState::Pending { "pending" } else { "applied" });
        xml.value("httpTokens", &launch.metadata.tokens);
        xml.value("httpPutResponseHopLimit", launch.metadata.hop_limit);
        xml.value("httpEndpoint", &launch.metadata.endpoint).value("httpProtocolIpv6", "disabled");
        xml.value("instanceMetadataTags", &launch.metadata.tags);
    });
}

fn block_devices(xml: &mut Xml, place: &Place, instance: &Instance, at_ms: i64) {
    let volumes = instance.volumes.iter().filter_map(|id| {
        let (attachment, state) = place.volumes.at(id, at_ms)?.attached(at_ms)?;
        (attachment.instance == instance.id).then_some((id, attachment, state))
    });
    xml.list("blockDeviceMapping", volumes, |xml, (id, attachment, state)| {
        xml.value("deviceName", &attachment.device);
        xml.node("ebs", |xml| {
            xml.value("volumeId", id).value("status", state.name()).value("attachTime", iso(attachment.since_ms));
            xml.value("deleteOnTermination", attachment.delete_on_termination);
        });
    });
}

fn groups(xml: &mut Xml, groups: &[(String, String)]) {
    xml.list("groupSet", groups, |xml, (id, name)| {
        xml.value("groupId", id).value("groupName", name);
    });
}

fn own_interface(xml: &mut Xml, interface: &Interface) {
    xml.value("networkInterfaceId", &interface.id).value("subnetId", &interface.subnet);
    xml.value("vpcId", &interface.vpc).value("description", "").value("ownerId", &interface.owner);
    xml.value("status", "in-use").value("macAddress", interface.mac());
    xml.value("privateIpAddress", &interface.address).value("sourceDestCheck", true);
    groups(xml, &interface.groups);
    xml.node("attachment", |xml| {
        xml.value("attachmentId", format!("eni-attach-{}", &interface.id[4..]));
        xml.value("deviceIndex", 0).value("status", "attached").value("attachTime", iso(interface.created_ms));
        xml.value("deleteOnTermination", true);
    });
    xml.list("privateIpAddressesSet", [&interface.address], |xml, address| {
        xml.value("privateIpAddress", address).value("primary", true);
    });
    xml.value("interfaceType", "interface");
}

pub fn interface(xml: &mut Xml, interface: &Interface) {
    xml.value("networkInterfaceId", &interface.id).value("subnetId", &interface.subnet);
    xml.value("vpcId", &interface.vpc).value("availabilityZone", &interface.zone).value("description", "");
    xml.value("ownerId", &interface.owner).value("requesterManaged", false).value("status", "in-use");
    xml.value("macAddress", interface.mac()).value("privateIpAddress", &interface.address);
    xml.value("sourceDestCheck", true);
    groups(xml, &interface.groups);
    xml.node("attachment", |xml| {
        xml.value("attachmentId", format!("eni-attach-{}", &interface.id[4..]));
        xml.value("instanceId", &interface.instance).value("instanceOwnerId", &interface.owner);
        xml.value("deviceIndex", 0).value("status", "attached").value("attachTime", iso(interface.created_ms));
        xml.value("deleteOnTermination", true);
    });
    xml.tags(&interface.tags);
    xml.list("privateIpAddressesSet", [&interface.address], |xml, address| {
        xml.value("privateIpAddress", address).value("primary", true);
    });
    xml.value("interfaceType", "interface");
}

pub fn volume(xml: &mut Xml, volume: &Volume, at_ms: i64) {
    xml.value("volumeId", &volume.id).value("size", volume.gib);
    xml.value("snapshotId", volume.snapshot.as_deref().unwrap_or_default());
    xml.value("availabilityZone", &volume.zone).value("status", volume.state(at_ms).name());
    xml.value("createTime", iso(volume.created_ms)).value("volumeType", &volume.kind);
    xml.maybe("iops", volume.iops).maybe("throughput", volume.throughput);
    xml.value("encrypted", volume.encrypted).maybe("kmsKeyId", volume.key.as_ref());
    xml.value("multiAttachEnabled", false);
    xml.maybe("fastRestored", volume.fast_restored.then_some(true));
    xml.maybe("volumeInitializationRate", volume.reading_rate);
    let attached = volume.attached(at_ms).filter(|_| volume.state(at_ms) != VolumeState::Deleting);
    xml.list("attachmentSet", attached, |xml, (to, state)| attachment(xml, &volume.id, to, state));
    xml.tags(&volume.tags);
}

pub fn attachment(xml: &mut Xml, volume: &str, attachment: &Attachment, state: AttachmentState) {
    xml.value("volumeId", volume).value("instanceId", &attachment.instance).value("device", &attachment.device);
    xml.value("status", state.name()).value("attachTime", iso(attachment.since_ms));
    xml.value("deleteOnTermination", attachment.delete_on_termination);
}

pub fn snapshot(xml: &mut Xml, snapshot: &Snapshot, at_ms: i64) {
    xml.value("snapshotId", &snapshot.id).value("volumeId", &snapshot.volume);
    xml.value("status", snapshot.state(at_ms).name()).value("startTime", iso(snapshot.started_ms));
    let completed = snapshot.course.when(SnapshotState::Completed).filter(|at| *at <= at_ms);
    xml.maybe("completionTime", completed.map(iso));
    xml.value("progress", format!("{}%", snapshot.progress(at_ms))).value("ownerId", &snapshot.owner);
    xml.value("volumeSize", snapshot.gib).value("description", &snapshot.description);
    xml.value("encrypted", snapshot.encrypted).maybe("kmsKeyId", snapshot.key.as_ref());
    xml.value("storageTier", "standard");
    xml.tags(&snapshot.tags);
}

/// As CreateSnapshots writes them, with `state` where others have `status`.
pub fn snapshot_info(xml: &mut Xml, snapshot: &Snapshot, at_ms: i64) {
    xml.value("snapshotId", &snapshot.id).value("volumeId", &snapshot.volume);
    xml.value("state", snapshot.state(at_ms).name()).value("startTime", iso(snapshot.started_ms));
    xml.value("progress", format!("{}%", snapshot.progress(at_ms))).value("ownerId", &snapshot.owner);
    xml.value("volumeSize", snapshot.gib).value("description", &snapshot.description);
    xml.value("encrypted", snapshot.encrypted);
    xml.tags(&snapshot.tags);
}

/// Of a snapshot and a zone.
pub fn fast_state(place: &Place, pair: &(String, String), at_ms: i64) -> &'static str {
    match place.fast_restores.get(pair) {
        Some((_, enabled)) if *enabled <= at_ms => "enabled",
        Some((asked, enabled)) if at_ms < asked + (enabled - asked) / 10 => "enabling",
        Some(_) => "optimizing",
        None => "disabling",
    }
}

pub fn fast_restore(xml: &mut Xml, place: &Place, id: &str, zone: &str, at_ms: i64) {
    let pair = (id.to_owned(), zone.to_owned());
    let (known, state) = (place.fast_restores.get(&pair), fast_state(place, &pair, at_ms));
    xml.value("snapshotId", id).value("availabilityZone", zone).value("state", state);
    xml.value("ownerId", &place.account);
    xml.maybe("enablingTime", known.map(|(asked, _)| iso(*asked)));
    xml.maybe("enabledTime", known.filter(|(_, enabled)| *enabled <= at_ms).map(|(_, enabled)| iso(*enabled)));
}

pub fn group(xml: &mut Xml, group: &Group) {
    xml.value("ownerId", &group.owner).value("groupId", &group.id).value("groupName", &group.name);
    xml.value("groupDescription", &group.description).value("vpcId", &group.vpc);
    for (name, egress) in [("ipPermissions", false), ("ipPermissionsEgress", true)] {
        let of: Vec<&Permission> = group.permissions.iter().filter(|one| one.egress == egress).collect();
        permissions(xml, name, &of, &group.owner);
    }
    xml.tags(&group.tags);
}

/// Protocol, first and last port.
type Ports<'a> = (&'a str, Option<i64>, Option<i64>);

/// Amazon shows rules with the same protocol and ports as one.
fn permissions(xml: &mut Xml, name: &str, all: &[&Permission], owner: &str) {
    let mut by_ports: BTreeMap<Ports<'_>, Vec<&Permission>> = BTreeMap::new();
    for one in all {
        by_ports.entry((one.protocol.as_str(), one.from, one.to)).or_default().push(one);
    }
    xml.list(name, by_ports, |xml, ((protocol, from, to), those)| {
        xml.value("ipProtocol", protocol).maybe("fromPort", from).maybe("toPort", to);
        let peers = |wanted: fn(&Peer) -> Option<&String>| {
            those.iter().filter_map(move |one| Some((wanted(&one.peer)?, one.description.as_ref())))
        };
        xml.list("groups", peers(Peer::group), |xml, (id, description)| {
            xml.value("userId", owner).value("groupId", id).maybe("description", description);
        });
        xml.list("ipRanges", peers(Peer::cidr4), |xml, (cidr, description)| {
            xml.value("cidrIp", cidr).maybe("description", description);
        });
        xml.list("ipv6Ranges", peers(Peer::cidr6), |xml, (cidr, description)| {
            xml.value("cidrIpv6", cidr).maybe("description", description);
        });
        xml.list("prefixListIds", [(); 0], |_, ()| {});
    });
}

pub fn rule(xml: &mut Xml, group: &str, owner: &str, permission: &Permission) {
    xml.value("securityGroupRuleId", &permission.id).value("groupId", group).value("groupOwnerId", owner);
    xml.value("isEgress", permission.egress).value("ipProtocol", &permission.protocol);
    xml.value("fromPort", permission.from.unwrap_or(-1)).value("toPort", permission.to.unwrap_or(-1));
    match &permission.peer {
        Peer::Cidr4(cidr) => xml.value("cidrIpv4", cidr),
        Peer::Cidr6(cidr) => xml.value("cidrIpv6", cidr),
        Peer::Group(id) => xml.node("referencedGroupInfo", |xml| {
            xml.value("groupId", id).value("userId", owner);
        }),
    };
    xml.maybe("description", permission.description.as_ref());
}
