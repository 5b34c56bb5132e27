//! Instances stop, start, and end. A call about several of them happens for all or for none, but for protected ones, which
//! only fail their own zone.

use std::collections::BTreeSet;

use super::launch::{no_capacity, room_in_limit, wanted_user_data};
use crate::cloud::call::{Call, Pool, Shared};
use crate::model::offer::instance_type;
use crate::model::{AttachmentState, InstanceState, Market, Place, Presence, VolumeState};
use crate::problem::Problem;
use crate::query::Asked;
use crate::rules::Rules;
use crate::xml::Xml;

const MOST_INSTANCES: usize = 1000;

/// What an instance's state became, to be told: id, before, now.
type Change = (String, InstanceState, InstanceState);

pub fn terminate(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let ids = named(call, asked)?;
    let zone_of = |id: &String| call.place.instances.get(id).map(|instance| instance.launch.zone.clone());
    let protected: Vec<&String> = ids
        .iter()
        .filter(|id| call.place.instances.get(id).is_some_and(|one| one.protected && !one.state(call.now).is_over()))
        .collect();
    let closed: BTreeSet<String> = protected.iter().filter_map(|id| zone_of(id)).collect();
    let refused = protected.first().map(|id| {
        let message = format!(
            "The instance '{id}' may not be terminated. Modify its 'disableApiTermination' instance attribute and try \
             again."
        );
        Problem::client("OperationNotPermitted", message)
    });
    let open = ids.iter().filter(|id| zone_of(id).is_some_and(|zone| !closed.contains(&zone)));
    let mut changes = Vec::new();
    for id in open.cloned().collect::<Vec<_>>() {
        let before = call.place.instances.get(&id).map(|instance| instance.state(call.now));
        let why = ("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown");
        end_at(call.place, call.shared, call.rules, call.now, &id, call.now, why);
        let after = call.place.instances.get(&id).map(|instance| instance.state(call.now));
        changes.extend(before.zip(after).map(|(before, after)| (id, before, after)));
    }
    if let Some(refused) = refused {
        return Err(refused);
    }
    tell(xml, &changes);
    Ok(())
}

/// Ends an instance, from a moment on, with all that goes with it. Nothing happens to one that has ended by then.
pub fn end_at(
    place: &mut Place,
    shared: &mut Shared,
    rules: &Rules,
    now: i64,
    id: &str,
    begins: i64,
    (code, message): (&str, &str),
) {
    let Some(instance) = place.instances.get(id).filter(|instance| !instance.state(begins).is_over()).cloned() else {
        return;
    };
    // One that is taken back has given it back already.
    if !instance.course.end().is_over() {
        release(place, shared, id, now);
    }
    let gone = begins + rules.delays.shutting_down.of(rules.seed, &format!("shutting down {id}"));
    place.instances.change(id, now, |instance| {
        instance.course.turn(begins, &[(begins, InstanceState::ShuttingDown), (gone, InstanceState::Terminated)]);
        instance.reason = Some((code.to_owned(), message.to_owned()));
    });
    for volume in &instance.volumes {
        let here = |found: &&crate::model::Volume| found.attached(now).is_some_and(|(to, _)| to.instance == id);
        if place.volumes.get(volume).filter(here).is_none() {
            continue;
        }
        place.volumes.change(volume, now, |volume| {
            let Some(attachment) = &mut volume.attachment else { return };
            attachment.course.turn(gone, &[(gone, AttachmentState::Detached)]);
            if attachment.delete_on_termination {
                volume.course.turn(gone, &[(gone, VolumeState::Deleted)]);
            }
        });
    }
    let let_go = gone + rules.delays.letting_go.of(rules.seed, &format!("letting go of {id}"));
    place.interfaces.change(&instance.interface, now, |interface| {
        interface.course.turn(let_go, &[(let_go, Presence::Gone)]);
    });
    place.subnets.change(&instance.launch.subnet, now, |subnet| subnet.give_back(&instance.private_ip, gone));
}

/// Gives back what a running instance takes of capacity and of the limit of vCPUs.
pub fn release(place: &mut Place, shared: &mut Shared, id: &str, now: i64) {
    let Some(instance) = place.instances.get(id).filter(|instance| instance.state(now).takes_capacity()) else {
        return;
    };
    let launch = instance.launch.clone();
    if launch.market == Market::OnDemand {
        place.vcpus = place.vcpus.saturating_sub(launch.vcpus);
    }
    if let Some(free) = shared.capacity.get_mut(&Pool::of(&launch)) {
        *free += 1;
    }
}

pub fn stop(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let (now, ids) = (call.now, named(call, asked)?);
    let hibernate = asked.flag("Hibernate")?.unwrap_or(false);
    for id in &ids {
        let instance = call.instance(id)?;
        if matches!(instance.state(now), InstanceState::Pending) || instance.state(now).is_over() {
            return Err(unfit(id, "stopped"));
        }
        if matches!(&instance.launch.market, Market::Spot { interruption } if interruption == "terminate") {
            let message = format!(
                "You can't stop the Spot Instance '{id}' because it is associated with a one-time Spot Instance request."
            );
            return Err(Problem::client("UnsupportedOperation", message));
        }
        if hibernate {
            hibernates(call, id)?;
        }
    }
    let mut changes = Vec::new();
    for id in ids {
        let Some(before) = call.place.instances.get(&id).map(|instance| instance.state(now)) else { continue };
        if before == InstanceState::Running {
            release(call.place, call.shared, &id, now);
            let delays = call.rules.delays;
            let takes = if hibernate { delays.hibernating } else { delays.stopping };
            let stopped = now + takes.of(call.rules.seed, &format!("stopping {id} {now}"));
            call.place.instances.change(&id, now, |instance| {
                instance.course.turn(now, &[(now, InstanceState::Stopping), (stopped, InstanceState::Stopped)]);
                let code = if hibernate { "Client.UserInitiatedHibernate" } else { "Client.UserInitiatedShutdown" };
                instance.reason = Some((code.to_owned(), format!("{code}: User initiated")));
            });
        }
        let after = call.place.instances.get(&id).map_or(before, |instance| instance.state(now));
        changes.push((id, before, after));
    }
    tell(xml, &changes);
    Ok(())
}

fn hibernates(call: &Call<'_>, id: &str) -> Result<(), Problem> {
    let instance = call.instance(id)?;
    if !instance.launch.hibernation {
        let message = format!("The instance '{id}' is not enabled for hibernation");
        return Err(Problem::client("UnsupportedHibernationConfiguration", message));
    }
    let running = instance.course.when(InstanceState::Running).unwrap_or(call.now);
    let ready = running + call.rules.delays.hibernation_ready.of(call.rules.seed, id);
    if call.now < ready {
        let message = format!("The instance '{id}' is not ready to hibernate yet; retry in a few minutes");
        return Err(Problem::client("UnsupportedOperation", message));
    }
    Ok(())
}

pub fn start(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let (now, ids) = (call.now, named(call, asked)?);
    let mut wanted: std::collections::BTreeMap<Pool, u32> = std::collections::BTreeMap::new();
    let mut vcpus = 0;
    for id in &ids {
        let instance = call.instance(id)?;
        let state = instance.state(now);
        if state == InstanceState::Stopping || state.is_over() {
            return Err(unfit(id, "started"));
        }
        if state == InstanceState::Stopped {
            let launch = &instance.launch;
            *wanted.entry(Pool::of(launch)).or_default() += 1;
            vcpus += if launch.market == Market::OnDemand { launch.vcpus } else { 0 };
        }
    }
    for (pool, count) in &wanted {
        if call.shared.capacity.get(pool).is_some_and(|free| free < count) {
            return Err(no_capacity(&pool.instance_type, &pool.zone));
        }
        if let Some(mut kind) = instance_type(&pool.instance_type) {
            // All that are started at once must find room together.
            kind.vcpus = vcpus;
            room_in_limit(call, &kind, &Market::OnDemand, usize::from(vcpus > 0), usize::MAX)?;
        }
    }
    let mut changes = Vec::new();
    for id in ids {
        let Some(instance) = call.place.instances.get(&id) else { continue };
        let (before, launch) = (instance.state(now), instance.launch.clone());
        if before == InstanceState::Stopped {
            let running = now + call.rules.delays.pending.of(call.rules.seed, &format!("starting {id} {now}"));
            let checked = running + call.rules.delays.checks.of(call.rules.seed, &format!("checks {id} {now}"));
            call.place.instances.change(&id, now, |instance| {
                instance.course.turn(now, &[(now, InstanceState::Pending), (running, InstanceState::Running)]);
                (instance.launched_ms, instance.checked_ms, instance.reason) = (now, checked, None);
            });
            if launch.market == Market::OnDemand {
                call.place.vcpus += launch.vcpus;
            }
            if let Some(free) = call.shared.capacity.get_mut(&Pool::of(&launch)) {
                *free = free.saturating_sub(1);
            }
        }
        let after = call.place.instances.get(&id).map_or(before, |instance| instance.state(now));
        changes.push((id, before, after));
    }
    tell(xml, &changes);
    Ok(())
}

pub fn reboot(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    for id in named(call, asked)? {
        if call.instance(&id)?.state(call.now) != InstanceState::Running {
            return Err(unfit(&id, "rebooted"));
        }
    }
    xml.value("return", true);
    Ok(())
}

/// Protection against termination, and user-data; in the newer form and in the one with `Attribute` and `Value`.
pub fn modify(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let now = call.now;
    let id = asked.required("InstanceId")?.to_owned();
    let state = call.instance(&id)?.state(now);
    let attribute = asked.text("Attribute").unwrap_or_default();
    let protection = match attribute {
        "disableApiTermination" => asked.flag("Value")?,
        _ => asked.within("DisableApiTermination").flag("Value")?,
    };
    let user_data = match attribute {
        "userData" => asked.text("Value"),
        _ => asked.within("UserData").text("Value").or_else(|| asked.text("UserData")),
    };
    match (protection, user_data) {
        (Some(_), Some(_)) => {
            let message = "Fields for multiple attribute types specified";
            return Err(Problem::combination(message));
        }
        (Some(protected), None) => call.place.instances.change(&id, now, |instance| instance.protected = protected),
        (None, Some(text)) => {
            if state != InstanceState::Stopped {
                let message = format!("The instance '{id}' is not in the 'stopped' state.");
                return Err(Problem::client("IncorrectInstanceState", message));
            }
            let form = [("UserData".to_owned(), text.to_owned())].into();
            let kept = wanted_user_data(&crate::query::Request { caller: None, parameters: form }.asked())?;
            call.place.instances.change(&id, now, |instance| instance.user_data = kept);
        }
        (None, None) => return Err(Problem::combination("No attributes specified.")),
    }
    xml.value("return", true);
    Ok(())
}

/// The instances a call names, each once; all of them exist.
fn named(call: &Call<'_>, asked: &Asked<'_>) -> Result<Vec<String>, Problem> {
    let ids = asked.list("InstanceId");
    if ids.is_empty() {
        return Err(Problem::missing("InstanceId"));
    }
    if ids.len() > MOST_INSTANCES {
        let message = format!("A call is about at most {MOST_INSTANCES} instances, not {}", ids.len());
        return Err(Problem::client("RequestResourceCountExceeded", message));
    }
    call.instances(&ids)?;
    let mut seen = BTreeSet::new();
    Ok(ids.into_iter().filter(|id| seen.insert(*id)).map(str::to_owned).collect())
}

fn unfit(id: &str, what: &str) -> Problem {
    let message = format!("The instance '{id}' is not in a state from which it can be {what}.");
    Problem::client("IncorrectInstanceState", message)
}

fn tell(xml: &mut Xml, changes: &[Change]) {
    let state = |xml: &mut Xml, name: &str, state: InstanceState| {
        xml.node(name, |xml| {
            xml.value("code", state.code()).value("name", state.name());
        });
    };
    xml.list("instancesSet", changes, |xml, (id, before, after)| {
        xml.value("instanceId", id);
        state(xml, "currentState", *after);
        state(xml, "previousState", *before);
    });
}
