//! Looking at instances.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::show;
use crate::cloud::call::{Call, next_token};
use crate::model::{Filter, Instance, InstanceState};
use crate::problem::Problem;
use crate::query::Asked;
use crate::time::iso;
use crate::xml::Xml;

pub fn instances(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let page = call.select(&call.place.instances, asked, "InstanceId")?;
    show::reservations(xml, call.place, &page.things);
    xml.maybe("nextToken", page.more_after.map(|after| next_token(&after)));
    Ok(())
}

/// Of running instances, unless all are asked for.
pub fn statuses(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let all = asked.flag("IncludeAllInstances")?.unwrap_or(false);
    let page = call.select(&call.place.instances, asked, "InstanceId")?;
    let shown = page.things.iter().filter(|(one, at)| all || one.state(*at) == InstanceState::Running);
    xml.list("instanceStatusSet", shown, |xml, (instance, at)| {
        let state = instance.state(*at);
        xml.value("instanceId", &instance.id).value("availabilityZone", &instance.launch.zone);
        show::state(xml, "instanceState", state);
        let (word, reachable) = match state {
            InstanceState::Running if instance.impaired => ("impaired", "failed"),
            InstanceState::Running if *at < instance.checked_ms => ("initializing", "initializing"),
            InstanceState::Running => ("ok", "passed"),
            _ => ("not-applicable", "not-applicable"),
        };
        for check in ["systemStatus", "instanceStatus"] {
            xml.node(check, |xml| {
                xml.value("status", word);
                xml.list("details", [reachable], |xml, reachable| {
                    xml.value("name", "reachability").value("status", reachable);
                });
            });
        }
    });
    xml.maybe("nextToken", page.more_after.map(|after| next_token(&after)));
    Ok(())
}

pub fn attribute(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let instance = call.instance(asked.required("InstanceId")?)?;
    let launch = &instance.launch;
    xml.value("instanceId", &instance.id);
    let valued = |xml: &mut Xml, name: &str, value: Option<&str>| {
        xml.node(name, |xml| {
            xml.maybe("value", value);
        });
    };
    match asked.required("Attribute")? {
        "userData" => valued(xml, "userData", instance.user_data.as_deref()),
        "instanceType" => valued(xml, "instanceType", Some(&launch.instance_type)),
        "disableApiTermination" => {
            valued(xml, "disableApiTermination", Some(if instance.protected { "true" } else { "false" }));
        }
        "disableApiStop" => valued(xml, "disableApiStop", Some("false")),
        "instanceInitiatedShutdownBehavior" => {
            valued(xml, "instanceInitiatedShutdownBehavior", Some(&launch.shutdown));
        }
        "rootDeviceName" => valued(xml, "rootDeviceName", Some(&launch.root_device)),
        "groupSet" => {
            xml.list("groupSet", &launch.groups, |xml, (id, name)| {
                xml.value("groupId", id).value("groupName", name);
            });
        }
        other => return Err(Problem::value("attribute", other, "Unknown attribute.")),
    }
    Ok(())
}

pub fn console(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let instance = call.instance(asked.required("InstanceId")?)?;
    let text = format!("[    0.000000] Linux on {}\r\ncloud-init: {} is up\r\n", instance.launch.image, instance.id);
    let begun = instance.course.when(InstanceState::Running).is_some_and(|at| at <= call.now);
    xml.value("instanceId", &instance.id).value("timestamp", iso(call.now));
    xml.maybe("output", begun.then(|| STANDARD.encode(text)));
    Ok(())
}

/// They are told from the instances they led to.
pub fn spot_requests(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let ids = asked.list("SpotInstanceRequestId");
    let filters = Filter::read(asked)?;
    let now = call.now;
    let value = |instance: &Instance, name: &str| match name {
        "instance-id" => Some(instance.id.clone()),
        "spot-instance-request-id" => instance.spot_request.clone(),
        "state" => Some(request_state(instance, now).0.to_owned()),
        "status-code" => Some(request_state(instance, now).1.to_owned()),
        _ => None,
    };
    let names = ["instance-id", "spot-instance-request-id", "state", "status-code"];
    if let Some(unknown) = filters.iter().find(|filter| !names.contains(&filter.name.as_str())) {
        return Err(unknown.unknown());
    }
    let fits = |instance: &&Instance| {
        instance.spot_request.as_deref().is_some_and(|id| ids.is_empty() || ids.contains(&id))
            && filters.iter().all(|filter| value(instance, &filter.name).is_some_and(|value| filter.fits(&value)))
    };
    let found: Vec<&Instance> = call.place.instances.all().filter(fits).collect();
    xml.list("spotInstanceRequestSet", found, |xml, instance| {
        let (state, code) = request_state(instance, now);
        xml.maybe("spotInstanceRequestId", instance.spot_request.as_ref());
        xml.value("state", state).value("instanceId", &instance.id).value("type", "one-time");
        xml.node("status", |xml| {
            xml.value("code", code).value("updateTime", iso(now)).value("message", code);
        });
        xml.value("createTime", iso(instance.launched_ms)).value("launchedAvailabilityZone", &instance.launch.zone);
    });
    Ok(())
}

fn request_state(instance: &Instance, at_ms: i64) -> (&'static str, &'static str) {
    let over = instance.state(at_ms).is_over();
    match (instance.interrupted_at_ms, over) {
        (Some(taken), _) if at_ms >= taken => ("closed", "instance-terminated-no-capacity"),
        (Some(_), false) => ("active", "marked-for-termination"),
        (_, true) => ("closed", "instance-terminated-by-user"),
        _ => ("active", "fulfilled"),
    }
}
