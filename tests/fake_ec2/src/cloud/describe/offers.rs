//! Looking at what can be had: images, types, zones, limits.

use crate::cloud::act::volumes;
use crate::cloud::call::{Call, next_token};
use crate::model::Filter;
use crate::model::offer::{InstanceType, instance_types};
use crate::problem::Problem;
use crate::query::Asked;
use crate::xml::Xml;

pub fn images(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let owners = asked.list("Owner");
    let account = call.place.account.clone();
    let mut page = call.select(&call.place.images, asked, "ImageId")?;
    page.things.retain(|(image, _)| {
        owners.is_empty()
            || owners.iter().any(|owner| {
                *owner == image.owner
                    || image.owner_alias == Some(*owner)
                    || (*owner == "self" && image.owner == account)
            })
    });
    xml.list("imagesSet", page.things, |xml, (image, _)| {
        xml.value("imageId", &image.id).value("imageLocation", format!("{}/{}", image.owner, image.name));
        xml.value("imageState", "available").value("imageOwnerId", &image.owner);
        xml.value("creationDate", &image.created).value("isPublic", image.public);
        xml.value("architecture", image.architecture).value("imageType", "machine");
        xml.maybe("imageOwnerAlias", image.owner_alias);
        xml.value("name", &image.name).value("description", &image.description);
        xml.value("rootDeviceType", "ebs").value("rootDeviceName", image.root_device);
        xml.list("blockDeviceMapping", [image], |xml, image| {
            xml.value("deviceName", image.root_device);
            xml.node("ebs", |xml| {
                xml.value("snapshotId", &image.snapshot).value("volumeSize", image.root_gib);
                xml.value("deleteOnTermination", true).value("volumeType", "gp3").value("encrypted", false);
            });
        });
        xml.value("virtualizationType", "hvm").value("hypervisor", "xen").value("enaSupport", true);
        xml.value("bootMode", "uefi-preferred").value("imdsSupport", "v2.0").tags(&image.tags);
    });
    xml.maybe("nextToken", page.more_after.map(|after| next_token(&after)));
    Ok(())
}

pub fn default_key(call: &mut Call<'_>, _: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let own = call.rules.own_key.then(|| volumes::default_key(call.rules, call.place));
    xml.value("kmsKeyId", own.unwrap_or_else(|| "alias/aws/ebs".to_owned()));
    Ok(())
}

/// Those that some zone of the region has.
fn offered(call: &Call<'_>) -> Vec<InstanceType> {
    let zones = call.rules.zones_of(&call.place.region);
    let mut types = instance_types();
    types.retain(|kind| zones.iter().any(|zone| call.rules.offers(zone, &kind.name)));
    types
}

pub fn types(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let names = asked.list("InstanceType");
    let filters = Filter::read(asked)?;
    let mut types = offered(call);
    let unknown: Vec<&str> =
        names.iter().copied().filter(|name| !types.iter().any(|kind| kind.name == *name)).collect();
    if !unknown.is_empty() {
        let message = format!("The following supplied instance types do not exist: [{}]", unknown.join(", "));
        return Err(Problem::client("InvalidInstanceType", message));
    }
    let value = |kind: &InstanceType, name: &str| match name {
        "instance-type" => Some(kind.name.clone()),
        "processor-info.supported-architecture" => Some(kind.architecture.to_owned()),
        "vcpu-info.default-vcpus" => Some(kind.vcpus.to_string()),
        "memory-info.size-in-mib" => Some(kind.memory_mib.to_string()),
        "hibernation-supported" => Some(kind.hibernates.to_string()),
        "burstable-performance-supported" => Some(kind.burstable.to_string()),
        "current-generation" => Some("true".to_owned()),
        "bare-metal" => Some("false".to_owned()),
        _ => None,
    };
    let unknown = types.first().and_then(|kind| filters.iter().find(|filter| value(kind, &filter.name).is_none()));
    if let Some(unknown) = unknown {
        return Err(unknown.unknown());
    }
    types.retain(|kind| {
        (names.is_empty() || names.contains(&kind.name.as_str()))
            && filters.iter().all(|filter| value(kind, &filter.name).is_some_and(|value| filter.fits(&value)))
    });
    let (shown, more) = paged(call, asked, types, |kind| kind.name.clone())?;
    xml.list("instanceTypeSet", shown, |xml, kind| show_type(xml, &kind));
    xml.maybe("nextToken", more);
    Ok(())
}

fn show_type(xml: &mut Xml, kind: &InstanceType) {
    xml.value("instanceType", &kind.name).value("currentGeneration", true).value("freeTierEligible", false);
    xml.list("supportedUsageClasses", ["on-demand", "spot"], |xml, class| xml.inline(class));
    xml.list("supportedRootDeviceTypes", ["ebs"], |xml, kind| xml.inline(kind));
    xml.list("supportedVirtualizationTypes", ["hvm"], |xml, kind| xml.inline(kind));
    xml.value("bareMetal", false).value("hypervisor", "nitro");
    xml.node("processorInfo", |xml| {
        xml.list("supportedArchitectures", [kind.architecture], |xml, name| xml.inline(name));
    });
    xml.node("vCpuInfo", |xml| {
        xml.value("defaultVCpus", kind.vcpus);
    });
    xml.node("memoryInfo", |xml| {
        xml.value("sizeInMiB", kind.memory_mib);
    });
    xml.value("instanceStorageSupported", false).value("hibernationSupported", kind.hibernates);
    xml.value("burstablePerformanceSupported", kind.burstable);
}

pub fn offerings(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let by_zone = match asked.text("LocationType").unwrap_or("region") {
        "region" => false,
        "availability-zone" => true,
        other => return Err(Problem::value("LocationType", other, "It must be region or availability-zone.")),
    };
    let locations = if by_zone { call.rules.zones_of(&call.place.region) } else { vec![call.place.region.clone()] };
    let filters = Filter::read(asked)?;
    if let Some(unknown) = filters.iter().find(|one| !matches!(one.name.as_str(), "instance-type" | "location")) {
        return Err(unknown.unknown());
    }
    let mut found = Vec::new();
    for kind in offered(call) {
        for location in &locations {
            let fits = |filter: &Filter| filter.fits(if filter.name == "location" { location } else { &kind.name });
            if (!by_zone || call.rules.offers(location, &kind.name)) && filters.iter().all(fits) {
                found.push((kind.name.clone(), location.clone()));
            }
        }
    }
    let (shown, more) = paged(call, asked, found, |(kind, location)| format!("{kind} {location}"))?;
    xml.list("instanceTypeOfferingSet", shown, |xml, (kind, location)| {
        xml.value("instanceType", kind).value("location", location);
        xml.value("locationType", if by_zone { "availability-zone" } else { "region" });
    });
    xml.maybe("nextToken", more);
    Ok(())
}

/// A page of what is sorted by its place.
fn paged<T>(
    call: &Call<'_>,
    asked: &Asked<'_>,
    mut all: Vec<T>,
    place: impl Fn(&T) -> String,
) -> Result<(Vec<T>, Option<String>), Problem> {
    let (most, after) = call.page(asked)?;
    if let Some(after) = after {
        all.retain(|one| place(one) > after);
    }
    let more = all.len() > most;
    all.truncate(most);
    let next = all.last().filter(|_| more).map(|last| next_token(&place(last)));
    Ok((all, next))
}

pub fn zones(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let (names, filters) = (asked.list("ZoneName"), Filter::read(asked)?);
    let region = call.place.region.clone();
    let mut zones = call.rules.zones_of(&region);
    if let Some(absent) = names.iter().find(|name| !zones.iter().any(|zone| zone == *name)) {
        let message = format!("Invalid availability zone: [{absent}]");
        return Err(Problem::client("InvalidParameterValue", message));
    }
    let value = |zone: &str, name: &str| match name {
        "zone-name" => Some(zone.to_owned()),
        "region-name" => Some(region.clone()),
        "state" => Some("available".to_owned()),
        "zone-type" => Some("availability-zone".to_owned()),
        "opt-in-status" => Some("opt-in-not-required".to_owned()),
        _ => None,
    };
    if let Some(unknown) = filters.iter().find(|filter| value("", &filter.name).is_none()) {
        return Err(unknown.unknown());
    }
    zones.retain(|zone| {
        (names.is_empty() || names.contains(&zone.as_str()))
            && filters.iter().all(|filter| value(zone, &filter.name).is_some_and(|value| filter.fits(&value)))
    });
    xml.list("availabilityZoneInfo", zones.iter().enumerate(), |xml, (index, zone)| {
        xml.value("zoneName", zone).value("zoneState", "available").value("regionName", &region);
        xml.value("zoneId", format!("{}-az{}", region.replace("central-", "c").replace("west-", "w"), index + 1));
        xml.value("groupName", format!("{region}-zg-1")).value("networkBorderGroup", &region);
        xml.value("zoneType", "availability-zone").value("optInStatus", "opt-in-not-required");
    });
    Ok(())
}

pub fn regions(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let names = asked.list("RegionName");
    let all = std::iter::once(&call.rules.region).chain(&call.rules.other_regions);
    let wanted = all.filter(|region| names.is_empty() || names.contains(&region.as_str()));
    xml.list("regionInfo", wanted, |xml, region| {
        xml.value("regionName", region).value("regionEndpoint", format!("ec2.{region}.amazonaws.com"));
        xml.value("optInStatus", "opt-in-not-required");
    });
    Ok(())
}

pub fn account_attributes(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let names = asked.list("AttributeName");
    let default_vpc = call.place.default_vpc().map_or("none", |vpc| vpc.id.as_str());
    let attributes = [
        ("supported-platforms", "VPC".to_owned()),
        ("default-vpc", default_vpc.to_owned()),
        ("max-instances", "20".to_owned()),
        ("vpc-max-security-groups-per-interface", "5".to_owned()),
    ];
    let wanted = attributes.into_iter().filter(|(name, _)| names.is_empty() || names.contains(name));
    xml.list("accountAttributeSet", wanted, |xml, (name, value)| {
        xml.value("attributeName", name);
        xml.list("attributeValueSet", [value], |xml, value| {
            xml.value("attributeValue", value);
        });
    });
    Ok(())
}
