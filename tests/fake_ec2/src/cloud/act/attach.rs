//! Volumes come to instances and leave them.

use crate::cloud::call::Call;
use crate::cloud::describe::show;
use crate::model::{Attachment, AttachmentState, Course, InstanceState, VolumeState};
use crate::problem::Problem;
use crate::query::Asked;
use crate::xml::Xml;

/// With the root volume; a type's real limit is at least this.
const MOST_VOLUMES: usize = 28;

pub fn attach(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let (now, id, device) = (call.now, asked.required("VolumeId")?, asked.required("Device")?);
    let volume = call.volume(id)?;
    let instance = call.instance(asked.required("InstanceId")?)?;
    if !is_device(device) {
        let message =
            format!("Value ({device}) for parameter device is invalid. {device} is not a valid EBS device name.");
        return Err(Problem::client("InvalidParameterValue", message));
    }
    if !matches!(instance.state(now), InstanceState::Running | InstanceState::Stopped) {
        return Err(Problem::state(format!("Instance '{}' is not 'running'.", instance.id)));
    }
    match volume.state(now) {
        VolumeState::Available => {}
        VolumeState::InUse => {
            return Err(Problem::client("VolumeInUse", format!("{id} is already attached to an instance")));
        }
        _ => return Err(Problem::state(format!("Volume '{id}' is not 'available'."))),
    }
    if volume.zone != instance.launch.zone {
        let message = format!("The volume '{id}' is not in the same availability zone as instance '{}'", instance.id);
        return Err(Problem::client("InvalidVolume.ZoneMismatch", message));
    }
    let attached = instance.volumes.iter().filter_map(|other| {
        let (attachment, _) = call.place.volumes.get(other)?.attached(now)?;
        (attachment.instance == instance.id).then_some(attachment)
    });
    let devices: Vec<&str> = attached.map(|attachment| attachment.device.as_str()).collect();
    if devices.contains(&device) {
        let message = format!("Invalid value '{device}' for unixDevice. Attachment point {device} is already in use");
        return Err(Problem::client("InvalidParameterValue", message));
    }
    if devices.len() >= MOST_VOLUMES {
        let message = format!("Attachment limit of {MOST_VOLUMES} is reached for instance '{}'", instance.id);
        return Err(Problem::client("AttachmentLimitExceeded", message));
    }
    let instance = instance.id.clone();
    let ready = now + call.rules.delays.attaching.of(call.rules.seed, &format!("attaching {id} {now}"));
    call.place.volumes.change(id, now, |volume| {
        volume.attachment = Some(Attachment {
            instance: instance.clone(),
            device: device.to_owned(),
            since_ms: now,
            delete_on_termination: false,
            course: Course::new(&[(now, AttachmentState::Attaching), (ready, AttachmentState::Attached)]),
        });
    });
    call.place.instances.change(&instance, now, |instance| {
        if !instance.volumes.iter().any(|other| other == id) {
            instance.volumes.push(id.to_owned());
        }
    });
    show_attachment(call, id, xml);
    Ok(())
}

pub fn detach(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let (now, id) = (call.now, asked.required("VolumeId")?);
    let force = asked.flag("Force")?.unwrap_or(false);
    let volume = call.volume(id)?;
    let Some((attachment, state)) = volume.attached(now) else {
        return Err(Problem::state(format!("Volume '{id}' is in the '{}' state.", volume.state(now).name())));
    };
    let differs = |name: &str, real: &str| asked.text(name).is_some_and(|asked| asked != real);
    if differs("InstanceId", &attachment.instance) || differs("Device", &attachment.device) {
        let (instance, device) = (asked.text("InstanceId").unwrap_or(""), asked.text("Device").unwrap_or(""));
        let message = format!("The volume '{id}' is not attached to instance '{instance}' as device '{device}'");
        return Err(Problem::client("InvalidAttachment.NotFound", message));
    }
    let instance = call.place.instances.get(&attachment.instance);
    let running = instance.is_some_and(|instance| instance.state(now) != InstanceState::Stopped);
    if running && instance.is_some_and(|instance| instance.launch.root_device == attachment.device) {
        let message = format!("Unable to detach root volume '{id}' from instance '{}'", attachment.instance);
        return Err(Problem::client("OperationNotPermitted", message));
    }
    // A volume that the operating system does not let go stays so until it is forced.
    let held = running && call.shared.stuck.contains(id) && !force;
    if state != AttachmentState::Detaching || force {
        let gone = now + call.rules.delays.detaching.of(call.rules.seed, &format!("detaching {id} {now}"));
        let steps = [(now, AttachmentState::Detaching), (gone, AttachmentState::Detached)];
        let steps = if held { &steps[..1] } else { &steps[..] };
        call.place.volumes.change(id, now, |volume| {
            if let Some(attachment) = &mut volume.attachment {
                attachment.course.turn(now, steps);
            }
        });
    }
    show_attachment(call, id, xml);
    Ok(())
}

fn show_attachment(call: &Call<'_>, id: &str, xml: &mut Xml) {
    let Some(volume) = call.place.volumes.get(id) else { return };
    if let Some(attachment) = &volume.attachment {
        show::attachment(xml, id, attachment, attachment.course.at(call.now));
    }
}

/// `/dev/sdf`, `/dev/xvdba` and the like.
fn is_device(device: &str) -> bool {
    let name = device.strip_prefix("/dev/sd").or_else(|| device.strip_prefix("/dev/xvd"));
    let rest = name.map(|name| name.trim_end_matches(|character: char| character.is_ascii_digit()));
    rest.is_some_and(|rest| matches!(rest.len(), 1 | 2) && rest.bytes().all(|byte| byte.is_ascii_lowercase()))
}
