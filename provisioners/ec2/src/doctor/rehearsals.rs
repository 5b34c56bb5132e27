//! What Amazon would let us do, by calls that do nothing. It tells no other way without being asked about permissions themselves,
//! which few may.

use futures::FutureExt;
use provisioners::{ServerId, VolumeId, VolumePlan};

use super::denials::{Denial, denied, not_allowed};
use super::{Finding, finding, fine, missing};
use crate::amazon::{
    Amazon, CallError, Called, EbsSnapshot, InstanceState, MachineImage, Rule, SnapshotState, Subnet, VolumeState,
};
use crate::buckets::{Bucket, Paid};
use crate::config::Config;
use crate::records::{Directions, Launch, Member, Volume};
use crate::tags::{INSTALLATION, Tags};

/// What rehearsals carry in the place of an installation's id that is not known.
pub const INSTEAD: &str = "doctor";

/// What takes nothing that is there already. `installation`: in whose name.
pub async fn making(
    amazon: &Amazon,
    config: &Config,
    subnet: &Subnet,
    image: Option<&MachineImage>,
    installation: &str,
) -> Vec<Finding> {
    let mut tags = tags(installation);
    tags.extend(config.tags.clone());
    let volume = Volume { tags: tags.clone(), ..volume(&subnet.zone) };
    let volume = amazon.create_volume(pay(amazon, "CreateVolume").await, &volume).await;
    let paid = pay(amazon, "CreateSecurityGroup").await;
    let group = amazon.create_security_group(paid, &subnet.vpc, "bookend-doctor", "A rehearsal", &tags).await;
    let mut findings = vec![
        finding("making volumes", &rehearsed(volume), "allowed"),
        finding("making security groups", &rehearsed(group), "allowed"),
    ];
    if let Some(image) = image {
        let launch = launching(amazon, config, subnet, image, installation).await;
        findings.push(finding("launching servers", &launch, "allowed"));
    }
    findings
}

/// With all that is configured.
pub async fn launching(
    amazon: &Amazon,
    config: &Config,
    subnet: &Subnet,
    image: &MachineImage,
    installation: &str,
) -> Called<()> {
    let mut tags = tags(installation);
    tags.extend(config.tags.clone());
    let first = config.sizes.iter().flat_map(|size| &size.types).next();
    let launch = launch(config, subnet, image, first.map_or("", String::as_str), tags);
    rehearsed(amazon.run_instances(pay(amazon, "RunInstances").await, &launch, "").await)
}

/// What is done with what there is, rehearsed on one of each kind of what this installation made, or if none is known any: for
/// anything else Amazon would say no to who may change no more than that. `offers`: fast snapshot restores, which have a zone as volumes do.
pub async fn changing(amazon: &Amazon, installation: Option<&str>, zone: Option<&str>, offers: bool) -> Vec<Finding> {
    let of = [installation.unwrap_or("*").to_owned()];
    let made: [(&str, &[String]); 1] = [(INSTALLATION, &of)];
    let tags = tags(installation.unwrap_or(INSTEAD));
    // What may not be looked at was told before.
    let servers = amazon.instances(&made).await.unwrap_or_default();
    let server = servers.into_iter().find(|one| one.state < InstanceState::ShuttingDown).map(|one| one.id);
    let volumes = amazon.volumes(&made).await.unwrap_or_default();
    let there = |state| matches!(state, VolumeState::Available | VolumeState::InUse);
    let volume = volumes.into_iter().find(|one| there(one.state)).map(|one| one.id);
    let snapshots = amazon.snapshots(&made).await.unwrap_or_default();
    let snapshot = snapshots.into_iter().find(|one| one.state == SnapshotState::Completed);
    let group = amazon.security_groups(&made).await.unwrap_or_default().into_iter().next().map(|one| one.id);
    vec![
        judged("changing servers", &on_server(amazon, server.as_deref()).boxed().await),
        judged("changing volumes", &on_volume(amazon, volume.as_deref(), server.as_deref(), &tags).boxed().await),
        judged("changing snapshots", &on_snapshot(amazon, snapshot.as_ref().zip(zone), offers, &tags).boxed().await),
        judged("changing security groups", &on_group(amazon, group.as_deref()).boxed().await),
    ]
}

async fn on_server(amazon: &Amazon, id: Option<&str>) -> Vec<Called<()>> {
    let Some(id) = id else { return Vec::new() };
    let ids = [id.to_owned()];
    let tags = Tags::from([("bookend:rehearsal".to_owned(), INSTEAD.to_owned())]);
    vec![
        amazon.start(pay(amazon, "StartInstances").await, &ids).await,
        amazon.stop(pay(amazon, "StopInstances").await, &ids, false).await,
        amazon.terminate(pay(amazon, "TerminateInstances").await, &ids).await,
        amazon.create_tags(pay(amazon, "CreateTags").await, &ids, &tags).await,
    ]
}

async fn on_volume(amazon: &Amazon, id: Option<&str>, server: Option<&str>, tags: &Tags) -> Vec<Called<()>> {
    let Some(id) = id else { return Vec::new() };
    let snapshot = amazon.create_snapshot(pay(amazon, "CreateSnapshot").await, id, tags).await;
    let mut outcomes = vec![snapshot.map(drop), amazon.delete_volume(pay(amazon, "DeleteVolume").await, id).await];
    if let Some(server) = server {
        outcomes.push(amazon.attach_volume(pay(amazon, "AttachVolume").await, id, server, 0).await);
    }
    outcomes
}

async fn on_snapshot(
    amazon: &Amazon,
    snapshot: Option<(&EbsSnapshot, &str)>,
    offers: bool,
    tags: &Tags,
) -> Vec<Called<()>> {
    let Some((EbsSnapshot { id, size_gib, .. }, zone)) = snapshot else { return Vec::new() };
    let here = (amazon.region().unwrap_or_default(), id.as_str());
    let restored = Volume { from: Some(id.clone()), size_gib: *size_gib, tags: tags.clone(), ..volume(zone) };
    let mut outcomes = vec![
        amazon.delete_snapshot(pay(amazon, "DeleteSnapshot").await, id).await,
        amazon.copy_snapshot(pay(amazon, "CopySnapshot").await, here, tags, 0).await.map(drop),
        amazon.create_volume(pay(amazon, "CreateVolume").await, &restored).await.map(drop),
    ];
    if offers {
        let (ids, zones) = ([id.to_owned()], [zone.to_owned()]);
        let paid = pay(amazon, "EnableFastSnapshotRestores").await;
        outcomes.push(amazon.enable_fast_restores(paid, &ids, &zones).await);
        let paid = pay(amazon, "DisableFastSnapshotRestores").await;
        outcomes.push(amazon.disable_fast_restores(paid, &ids, &zones).await);
    }
    outcomes
}

async fn on_group(amazon: &Amazon, id: Option<&str>) -> Vec<Called<()>> {
    let Some(id) = id else { return Vec::new() };
    let rules = [Rule::Members(id.to_owned())];
    vec![
        amazon.allow_in(pay(amazon, "AuthorizeSecurityGroupIngress").await, id, &rules).await,
        amazon.allow_out(pay(amazon, "AuthorizeSecurityGroupEgress").await, id, &rules).await,
        amazon.forbid_out(pay(amazon, "RevokeSecurityGroupEgress").await, id, &rules).await,
        amazon.delete_security_group(pay(amazon, "DeleteSecurityGroup").await, id).await,
    ]
}

/// Amazon looks at permissions first: who is refused for another reason has them.
fn judged(about: &str, outcomes: &[Called<()>]) -> Finding {
    if outcomes.is_empty() {
        return fine(about, "not known before there is one: ask again after the first order".to_owned());
    }
    let denied: Vec<Denial> = outcomes.iter().filter_map(|outcome| denied(outcome.as_ref().err()?)).collect();
    let mut errors = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    let unanswered = errors.find(|error| !matches!(error, CallError::Refused { .. }));
    match (denied.as_slice(), unanswered) {
        ([], None) => fine(about, "allowed".to_owned()),
        ([], Some(error)) => missing(about, error.plain()),
        (denied, _) => missing(about, not_allowed(denied)),
    }
}

async fn pay(amazon: &Amazon, call: &'static str) -> Paid {
    amazon.buckets.acquire(&[(Bucket::Call(call), 1)]).await
}

fn rehearsed<T>(called: Called<T>) -> Called<()> {
    match called {
        Err(error) if error.code() != "DryRunOperation" => Err(error),
        _ => Ok(()),
    }
}

/// What a rehearsal would give to what it makes.
fn tags(installation: &str) -> Tags {
    Tags::from([(INSTALLATION.to_owned(), installation.to_owned())])
}

fn volume(zone: &str) -> Volume {
    let plan = VolumePlan { id: VolumeId::new(INSTEAD), name: INSTEAD.to_owned(), size_bytes: 1 << 30, from: None };
    Volume::asked(INSTEAD.to_owned(), plan, zone.to_owned(), 1, 0)
}

fn launch(config: &Config, subnet: &Subnet, image: &MachineImage, instance_type: &str, tags: Tags) -> Launch {
    Launch {
        token: INSTEAD.to_owned(),
        instance_type: instance_type.to_owned(),
        image: image.id.clone(),
        root_device: image.root_device.clone(),
        root_gib: image.root_gib,
        subnet: subnet.id.clone(),
        zone: subnet.zone.clone(),
        groups: config.security_groups.clone(),
        members: vec![Member {
            server: ServerId::new(INSTEAD),
            generation: 1,
            name: INSTEAD.to_owned(),
            disks: Vec::new(),
        }],
        portal: Directions {
            url: String::new(),
            agent_sha256: String::new(),
            authorities: None,
            proxy: None,
            away_seconds: None,
        },
        instance_profile: config.instance_profile.clone(),
        key_pair: config.key_pair.clone(),
        tags,
        spot: false,
        hibernates: false,
    }
}
