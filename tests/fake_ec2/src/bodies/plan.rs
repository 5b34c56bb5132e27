//! What is to be done, from what should be and what there is. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

use crate::cloud::Truth;

/// What is on this machine.
#[derive(Clone, Debug, Default)]
pub struct Have {
    /// Instances that run, with their boot.
    pub running: BTreeMap<String, i64>,
    /// Instances with a root directory.
    pub roots: BTreeSet<String>,
    /// Volumes, and the instance each is at.
    pub volumes: BTreeMap<String, Option<String>>,
    pub snapshots: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Stop { instance: String },
    MakeVolume { volume: String, from: Option<String> },
    Keep { snapshot: String, of: String },
    Copy { snapshot: String, of: String },
    Attach { volume: String, instance: String },
    Detach { volume: String, instance: String },
    Start { instance: String, boot: i64, address: Ipv4Addr, architecture: String, user_data: String },
    ForgetInstance { instance: String },
    ForgetVolume { volume: String },
    ForgetSnapshot { snapshot: String },
}

/// In the order in which they are done: what was asked to be kept is kept before anything else touches it.
pub fn plan(truth: &Truth, have: &Have) -> Vec<Step> {
    let mut steps = Vec::new();
    snapshots(truth, have, &mut steps);
    let bodies: BTreeMap<&str, _> = truth
        .instances
        .iter()
        .filter(|one| one.user_data.is_some() && one.state != "terminated")
        .map(|one| (one.id.as_str(), one))
        .collect();
    for (instance, boot) in &have.running {
        let goes_on =
            bodies.get(instance.as_str()).is_some_and(|one| one.state == "running" && one.launched_ms == *boot);
        if !goes_on {
            steps.push(Step::Stop { instance: instance.clone() });
        }
    }
    volumes(truth, have, &bodies.keys().copied().collect(), &mut steps);
    for (id, one) in &bodies {
        let starts = one.state == "running" && have.running.get(*id) != Some(&one.launched_ms);
        if let (true, Ok(address), Some(user_data)) = (starts, one.private_ip.parse(), &one.user_data) {
            let (instance, architecture, user_data) = ((*id).to_owned(), one.architecture.clone(), user_data.clone());
            steps.push(Step::Start { instance, boot: one.launched_ms, address, architecture, user_data });
        }
    }
    let gone = have.roots.iter().filter(|instance| !bodies.contains_key(instance.as_str()));
    steps.extend(gone.map(|instance| Step::ForgetInstance { instance: instance.clone() }));
    steps
}

fn snapshots(truth: &Truth, have: &Have, steps: &mut Vec<Step>) {
    let alive: BTreeSet<&str> =
        truth.snapshots.iter().filter(|one| one.is_alive()).map(|one| one.id.as_str()).collect();
    for one in truth.snapshots.iter().filter(|one| one.is_alive() && !have.snapshots.contains(&one.id)) {
        let snapshot = one.id.clone();
        match &one.copy_of {
            Some(of) if have.snapshots.contains(of) => steps.push(Step::Copy { snapshot, of: of.clone() }),
            Some(_) => {}
            None if have.volumes.contains_key(&one.volume) => {
                steps.push(Step::Keep { snapshot, of: one.volume.clone() });
            }
            None => {}
        }
    }
    let forgotten = have.snapshots.iter().filter(|snapshot| !alive.contains(snapshot.as_str()));
    steps.extend(forgotten.map(|snapshot| Step::ForgetSnapshot { snapshot: snapshot.clone() }));
}

fn volumes(truth: &Truth, have: &Have, bodies: &BTreeSet<&str>, steps: &mut Vec<Step>) {
    let alive: BTreeMap<&str, _> =
        truth.volumes.iter().filter(|one| one.is_alive()).map(|one| (one.id.as_str(), one)).collect();
    for (id, one) in &alive {
        let volume = (*id).to_owned();
        let at = have.volumes.get(*id);
        if at.is_none() {
            steps.push(Step::MakeVolume { volume: volume.clone(), from: one.snapshot.clone() });
        }
        let is = at.cloned().flatten();
        let should = one.attached.as_ref().map(|(instance, _)| instance.clone());
        let should = should.filter(|instance| bodies.contains(instance.as_str()));
        if is != should {
            steps.extend(is.map(|instance| Step::Detach { volume: volume.clone(), instance }));
            steps.extend(should.map(|instance| Step::Attach { volume, instance }));
        }
    }
    for (volume, at) in have.volumes.iter().filter(|(volume, _)| !alive.contains_key(volume.as_str())) {
        steps.extend(at.clone().map(|instance| Step::Detach { volume: volume.clone(), instance }));
        steps.push(Step::ForgetVolume { volume: volume.clone() });
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stop { instance } => write!(f, "stop {instance}"),
            Self::MakeVolume { volume, from: None } => write!(f, "make {volume}"),
            Self::MakeVolume { volume, from: Some(from) } => write!(f, "make {volume} from {from}"),
            Self::Keep { snapshot, of } | Self::Copy { snapshot, of } => write!(f, "keep {of} as {snapshot}"),
            Self::Attach { volume, instance } => write!(f, "attach {volume} to {instance}"),
            Self::Detach { volume, instance } => write!(f, "detach {volume} from {instance}"),
            Self::Start { instance, .. } => write!(f, "start {instance}"),
            Self::ForgetInstance { instance: id }
            | Self::ForgetVolume { volume: id }
            | Self::ForgetSnapshot { snapshot: id } => write!(f, "remove {id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::{TrueSnapshot, TrueVolume};

    fn volume(id: &str, attached: Option<&str>) -> TrueVolume {
        TrueVolume {
            account: String::new(),
            region: String::new(),
            id: id.to_owned(),
            state: "available".to_owned(),
            tags: BTreeMap::new(),
            zone: String::new(),
            gib: 1,
            encrypted: false,
            snapshot: None,
            attached: attached.map(|instance| (instance.to_owned(), "/dev/sdf".to_owned())),
            created_ms: 0,
            reading_rate: None,
            fast_restored: false,
        }
    }

    fn snapshot(id: &str, of: &str) -> TrueSnapshot {
        TrueSnapshot {
            account: String::new(),
            region: String::new(),
            id: id.to_owned(),
            state: "pending".to_owned(),
            tags: BTreeMap::new(),
            volume: of.to_owned(),
            copy_of: None,
            gib: 1,
            started_ms: 0,
        }
    }

    #[test]
    fn what_is_asked_to_be_kept_is_kept_before_its_volume_goes() {
        let truth = Truth { snapshots: vec![snapshot("snap-1", "vol-1")], ..Truth::default() };
        let have = Have { volumes: [("vol-1".to_owned(), Some("i-1".to_owned()))].into(), ..Have::default() };
        let words: Vec<String> = plan(&truth, &have).iter().map(Step::to_string).collect();
        assert_eq!(words, ["keep vol-1 as snap-1", "detach vol-1 from i-1", "remove vol-1"]);
    }

    #[test]
    fn nothing_is_done_where_all_is_as_it_should_be() {
        let truth = Truth {
            volumes: vec![volume("vol-1", None)],
            snapshots: vec![snapshot("snap-1", "vol-1")],
            ..Truth::default()
        };
        let have = Have {
            volumes: [("vol-1".to_owned(), None)].into(),
            snapshots: ["snap-1".to_owned()].into(),
            ..Have::default()
        };
        assert_eq!(plan(&truth, &have), []);
    }
}
