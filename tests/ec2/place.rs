//! The fake as the stories that every provisioner must pass want it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use ec2::Ec2;
use fake_ec2::{Fake, Rules, Truth};
use provisioners::conformance::{Performed, Place, Trouble, is_settled};
use provisioners::{Effect, EnvironmentId, Provisioner, ServerId, SnapshotId, VolumeId};

use super::amazon::{Account, INSTALLATION, Moments, Trouble as Moment};

/// After so long nothing may be left; twice as long as describes lag.
const SWEPT: Duration = Duration::from_secs(40 * 60);

/// Amazon shows what is no more for about an hour.
const FORGOTTEN: Duration = Duration::from_secs(2 * 3600);

pub struct Ec2Place {
    pub account: Account,
    /// Amazon's ids of volumes that were filled.
    filled: Mutex<BTreeSet<String>>,
}

impl Ec2Place {
    pub fn new(rules: Rules) -> Self {
        Self { account: Account::new(Fake::new(rules)), filled: Mutex::default() }
    }

    pub fn truth(&self) -> Truth {
        self.account.fake.truth()
    }

    /// Amazon's ids of what there is of a volume.
    fn volumes(&self, volume: &VolumeId, environment: &EnvironmentId) -> Vec<String> {
        let truth = self.truth();
        let ours = |tags: &BTreeMap<String, String>| {
            tags.get("bookend:volume").map(String::as_str) == Some(volume.as_str())
                && tags.get("bookend:environment").map(String::as_str) == Some(environment.as_str())
        };
        truth
            .volumes
            .iter()
            .filter(|found| found.is_alive() && ours(&found.tags))
            .map(|found| found.id.clone())
            .collect()
    }

    fn volume(&self, volume: &VolumeId, environment: &EnvironmentId) -> String {
        let found = self.volumes(volume, environment);
        assert_eq!(found.len(), 1, "there is exactly one of {volume}: {found:?}");
        found[0].clone()
    }
}

/// What there really is of an environment.
pub fn left(truth: &Truth, environment: &EnvironmentId) -> Vec<String> {
    let of = |tags: &BTreeMap<String, String>| {
        tags.get("bookend:environment").map(String::as_str) == Some(environment.as_str())
    };
    let instances = truth.instances.iter().filter(|one| one.is_alive() && of(&one.tags));
    let volumes = truth.volumes.iter().filter(|one| one.is_alive() && of(&one.tags));
    let snapshots = truth.snapshots.iter().filter(|one| one.is_alive() && of(&one.tags));
    let groups = truth.groups.iter().filter(|one| one.is_alive() && of(&one.tags));
    let ids = instances.map(|one| &one.id).chain(volumes.map(|one| &one.id));
    ids.chain(snapshots.map(|one| &one.id)).chain(groups.map(|one| &one.id)).cloned().collect()
}

/// Performs a step until it is over or trouble strikes; the portal is no more then.
pub async fn until_trouble(portal: Ec2, moments: &Moments, effect: &Effect, trouble: Trouble, at: u64) -> Performed {
    let trouble = match trouble {
        Trouble::Kill => Moment::Kill,
        Trouble::Fail => Moment::Break,
    };
    moments.arm(trouble, at);
    let performed = async {
        let requested = portal.request(effect).await;
        // What it looks for may be cut off, too.
        while !portal
            .observe(std::slice::from_ref(&effect.environment))
            .await
            .is_ok_and(|observed| observed.iter().all(is_settled))
        {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        requested
    };
    let performed = tokio::select! {
        biased;
        performed = performed => match performed {
            Ok(()) if !moments.struck() => Performed::Done,
            Ok(()) => Performed::Failed("a call broke off, and it went on".to_owned()),
            Err(error) => Performed::Failed(error.to_string()),
        },
        () = moments.killed() => Performed::Killed,
    };
    drop(portal);
    moments.disarm();
    performed
}

#[async_trait]
impl Place for Ec2Place {
    fn shares_volumes(&self) -> bool {
        false
    }

    fn suspends_servers(&self) -> bool {
        true
    }

    /// Everything is looked at every five minutes; who has something to do with an environment looks more often.
    fn notices_within(&self) -> Duration {
        Duration::from_secs(6 * 60)
    }

    async fn open(&self) -> Box<dyn Provisioner> {
        self.account.moments.disarm();
        Box::new(self.account.open().await)
    }

    async fn perform_in_trouble(&self, effect: &Effect, trouble: Trouble, at: u64) -> Performed {
        let portal = self.account.open().await;
        until_trouble(portal, &self.account.moments, effect, trouble, at).await
    }

    async fn running(&self, environment: &EnvironmentId) -> usize {
        let truth = self.truth();
        let running = truth.live_instances("bookend:environment", environment.as_str());
        running.filter(|one| one.state == "running" || one.state == "pending").count()
    }

    async fn leftovers(&self, environment: &EnvironmentId) -> Vec<String> {
        let by = tokio::time::Instant::now() + SWEPT;
        // Somebody has to be there to sweep.
        let portal = self.account.open().await;
        loop {
            let left = left(&self.truth(), environment);
            if left.is_empty() || tokio::time::Instant::now() >= by {
                drop(portal);
                // Until Amazon shows nothing of it any more: many lives are led here.
                tokio::time::sleep(FORGOTTEN).await;
                return left;
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    }

    fn kill_server(&self, environment: &EnvironmentId, server: &ServerId) {
        let truth = self.truth();
        let of =
            |tags: &BTreeMap<String, String>| tags.get("bookend:server").map(String::as_str) == Some(server.as_str());
        let found = truth.live_instances("bookend:environment", environment.as_str()).find(|one| of(&one.tags));
        self.account.fake.lose_instance(&found.expect("a server").id).expect("it was there");
    }

    fn kill_network(&self, _: &EnvironmentId) {
        unreachable!("nobody can take a security group away that servers use");
    }

    async fn fill(&self, environment: &EnvironmentId, volume: &VolumeId) {
        // It was accepted; now it is made.
        while self.volumes(volume, environment).is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let id = self.volume(volume, environment);
        self.filled.lock().expect("a lock").insert(id);
    }

    fn is_filled(&self, environment: &EnvironmentId, volume: &VolumeId) -> bool {
        let id = self.volume(volume, environment);
        let truth = self.truth();
        let from = truth.volumes.iter().find(|one| one.id == id).and_then(|one| one.snapshot.clone());
        let snapshot = truth.snapshots.iter().find(|one| Some(&one.id) == from.as_ref());
        let filled = self.filled.lock().expect("a lock");
        filled.contains(&id) || snapshot.is_some_and(|snapshot| filled.contains(&snapshot.volume))
    }

    fn damage(&self, _: &EnvironmentId, _: &SnapshotId, _: &VolumeId) -> String {
        unreachable!("Amazon's snapshots cannot be damaged from here; {INSTALLATION} only deletes its own");
    }
}
