//! Looking at volumes, snapshots, groups, networks, keys and tags.

use std::collections::BTreeSet;

use super::show;
use crate::cloud::call::{Call, next_token};
use crate::model::filter::matches;
use crate::model::{Filter, Resource, Shelf, Tags};
use crate::problem::Problem;
use crate::query::Asked;
use crate::time::iso;
use crate::xml::Xml;

pub fn volumes(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let page = call.select(&call.place.volumes, asked, "VolumeId")?;
    xml.list("volumeSet", page.things, |xml, (volume, at)| show::volume(xml, volume, at));
    xml.maybe("nextToken", page.more_after.map(|after| next_token(&after)));
    Ok(())
}

/// How long is left is told only of what is read in at a rate that was asked for; of what began empty, nothing.
pub fn statuses(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let page = call.select(&call.place.volumes, asked, "VolumeId")?;
    xml.list("volumeStatusSet", page.things, |xml, (volume, at)| {
        xml.value("volumeId", &volume.id).value("availabilityZone", &volume.zone);
        xml.node("volumeStatus", |xml| {
            xml.value("status", "ok");
        });
        let Some((progress, end)) = volume.progress(at).zip(volume.read_in_ms) else { return };
        xml.node("initializationStatusDetails", |xml| {
            let left = volume.reading_rate.map(|_| ((end - at).max(0) + 999) / 1000);
            xml.value("initializationType", if left.is_some() { "provisioned-rate" } else { "default" });
            xml.value("progress", progress).maybe("estimatedTimeToCompleteInSeconds", left);
        });
    });
    xml.maybe("nextToken", page.more_after.map(|after| next_token(&after)));
    Ok(())
}

/// Without an owner: one's own, and the public ones of others.
pub fn snapshots(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let owners: Vec<String> = asked
        .list("Owner")
        .into_iter()
        .map(|owner| if owner == "self" { call.place.account.clone() } else { owner.to_owned() })
        .collect();
    let mut page = call.select(&call.place.snapshots, asked, "SnapshotId")?;
    page.things.retain(|(snapshot, _)| owners.is_empty() || owners.contains(&snapshot.owner));
    xml.list("snapshotSet", page.things, |xml, (snapshot, at)| show::snapshot(xml, snapshot, at));
    xml.maybe("nextToken", page.more_after.map(|after| next_token(&after)));
    Ok(())
}

pub fn fast_restores(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let filters = Filter::read(asked)?;
    let known = |filter: &&Filter| ["snapshot-id", "availability-zone", "state"].contains(&filter.name.as_str());
    if let Some(unknown) = filters.iter().find(|one| !known(one)) {
        return Err(unknown.unknown());
    }
    let fits = |pair: &&(String, String)| {
        filters.iter().all(|filter| match filter.name.as_str() {
            "snapshot-id" => filter.fits(&pair.0),
            "availability-zone" => filter.fits(&pair.1),
            _ => filter.fits(show::fast_state(call.place, pair, call.now)),
        })
    };
    let found = call.place.fast_restores.keys().filter(fits);
    xml.list("fastSnapshotRestoreSet", found, |xml, (id, zone)| {
        show::fast_restore(xml, call.place, id, zone, call.now);
    });
    Ok(())
}

pub fn groups(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let names = asked.list("GroupName");
    let mut page = call.select(&call.place.groups, asked, "GroupId")?;
    page.things.retain(|(group, _)| names.is_empty() || names.contains(&group.name.as_str()));
    if let Some(absent) = names.iter().find(|name| !page.things.iter().any(|(group, _)| group.name == **name)) {
        let message = format!("The security group '{absent}' does not exist in default VPC");
        return Err(Problem::client("InvalidGroup.NotFound", message));
    }
    xml.list("securityGroupInfo", page.things, |xml, (group, _)| show::group(xml, group));
    xml.maybe("nextToken", page.more_after.map(|after| next_token(&after)));
    Ok(())
}

pub fn interfaces(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let page = call.select(&call.place.interfaces, asked, "NetworkInterfaceId")?;
    xml.list("networkInterfaceSet", page.things, |xml, (interface, _)| show::interface(xml, interface));
    xml.maybe("nextToken", page.more_after.map(|after| next_token(&after)));
    Ok(())
}

pub fn vpcs(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let page = call.select(&call.place.vpcs, asked, "VpcId")?;
    xml.list("vpcSet", page.things, |xml, (vpc, _)| {
        xml.value("vpcId", &vpc.id).value("ownerId", &call.place.account).value("state", "available");
        xml.value("cidrBlock", &vpc.cidr).value("instanceTenancy", "default").value("isDefault", vpc.default);
        xml.tags(&vpc.tags);
    });
    xml.maybe("nextToken", page.more_after.map(|after| next_token(&after)));
    Ok(())
}

pub fn subnets(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let page = call.select(&call.place.subnets, asked, "SubnetId")?;
    xml.list("subnetSet", page.things, |xml, (subnet, _)| {
        xml.value("subnetId", &subnet.id).value("state", "available").value("vpcId", &subnet.vpc);
        xml.value("cidrBlock", subnet.cidr()).value("availableIpAddressCount", subnet.free(call.now));
        xml.value("availabilityZone", &subnet.zone).value("defaultForAz", subnet.default);
        xml.value("mapPublicIpOnLaunch", subnet.default).value("ownerId", &call.place.account);
        xml.tags(&subnet.tags);
    });
    xml.maybe("nextToken", page.more_after.map(|after| next_token(&after)));
    Ok(())
}

pub fn key_pairs(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let names = asked.list("KeyName");
    let filters = Filter::read(asked)?;
    if let Some(unknown) = filters.iter().find(|filter| filter.name != "key-name") {
        return Err(unknown.unknown());
    }
    if let Some(absent) = names.iter().find(|name| !call.place.keys.contains_key(**name)) {
        let message = format!("The key pair '{absent}' does not exist");
        return Err(Problem::client("InvalidKeyPair.NotFound", message));
    }
    let wanted = call.place.keys.values().filter(|key| {
        (names.is_empty() || names.contains(&key.name.as_str())) && filters.iter().all(|one| one.fits(&key.name))
    });
    xml.list("keySet", wanted, |xml, key| {
        xml.value("keyPairId", &key.id).value("keyName", &key.name).value("keyFingerprint", &key.fingerprint);
        xml.value("keyType", "ed25519").value("createTime", iso(key.created_ms)).tags(&key.tags);
    });
    Ok(())
}

/// Tags of all kinds of resources.
pub fn tags(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let filters = Filter::read(asked)?;
    let known =
        |name: &str| matches!(name, "key" | "value" | "resource-id" | "resource-type") || name.starts_with("tag:");
    if let Some(unknown) = filters.iter().find(|filter| !known(&filter.name)) {
        return Err(unknown.unknown());
    }
    let (most, after) = call.page(asked)?;
    let mut rows = BTreeSet::new();
    let place = &*call.place;
    of_kind(call, &place.instances, "instance", &filters, &mut rows);
    of_kind(call, &place.volumes, "volume", &filters, &mut rows);
    of_kind(call, &place.snapshots, "snapshot", &filters, &mut rows);
    of_kind(call, &place.groups, "security-group", &filters, &mut rows);
    of_kind(call, &place.interfaces, "network-interface", &filters, &mut rows);
    of_kind(call, &place.vpcs, "vpc", &filters, &mut rows);
    of_kind(call, &place.subnets, "subnet", &filters, &mut rows);
    of_kind(call, &place.images, "image", &filters, &mut rows);
    let place_of = |row: &Row| format!("{} {}", row.0, row.1);
    let begin = rows.iter().position(|row| after.as_ref().is_none_or(|after| place_of(row) > *after));
    let rest: Vec<&Row> = rows.iter().skip(begin.unwrap_or(rows.len())).collect();
    let shown = &rest[..rest.len().min(most)];
    let more = (rest.len() > shown.len()).then(|| shown.last().map(|row| next_token(&place_of(row)))).flatten();
    xml.list("tagSet", shown, |xml, (id, key, value, kind)| {
        xml.value("resourceId", id).value("resourceType", kind).value("key", key).value("value", value);
    });
    xml.maybe("nextToken", more);
    Ok(())
}

/// Id, key, value, kind.
type Row = (String, String, String, &'static str);

fn of_kind<T: Resource>(
    call: &Call<'_>,
    shelf: &Shelf<T>,
    kind: &'static str,
    filters: &[Filter],
    rows: &mut BTreeSet<Row>,
) {
    // Those whose keys are asked for are looked up, others are tried.
    let keys = filters.iter().find(|filter| filter.name == "key");
    let narrowed: Vec<Filter> =
        keys.map(|keys| Filter { name: "tag-key".to_owned(), values: keys.values.clone() }).into_iter().collect();
    let ids = filters.iter().find(|filter| filter.name == "resource-id" && !filter.has_wildcard());
    let things: Vec<(&T, i64)> = match ids {
        Some(ids) => ids.values.iter().filter_map(|id| shelf.one(id, &narrowed, call.seen_at(id))).collect(),
        None => shelf.select(&narrowed, None, usize::MAX, |id| call.seen_at(id)).things,
    };
    for (thing, _) in things {
        let tags: &Tags = thing.tags();
        for (key, value) in tags {
            let fits = |filter: &Filter| match filter.name.as_str() {
                "key" => filter.fits(key),
                "value" => filter.fits(value),
                "resource-id" => filter.fits(thing.id()),
                "resource-type" => filter.fits(kind),
                name => name.strip_prefix("tag:") == Some(key) && filter.values.iter().any(|one| matches(one, value)),
            };
            if filters.iter().all(fits) {
                rows.insert((thing.id().to_owned(), key.clone(), value.clone(), kind));
            }
        }
    }
}
