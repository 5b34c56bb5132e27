//! What a test, or the control routes of the program, do to Amazon itself.

use std::collections::BTreeSet;

use super::audit::{Counts, Touch};
use super::call::Pool;
use super::{Cloud, act};
use crate::faults::Faults;
use crate::iam::{NoPolicy, Policy};
use crate::model::{InstanceState, Market, Place, SnapshotState};
use crate::rules::{Lag, Rules};

/// Something was named that is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("There is no {what} “{id}” here that this could be done to; /_fake/state lists what there is.")]
pub struct Unknown {
    pub what: &'static str,
    pub id: String,
}

impl Cloud {
    /// How many more instances there are; `None`: as many as one likes.
    pub fn set_capacity(&mut self, pool: Pool, free: Option<u32>) {
        match free {
            Some(free) => drop(self.shared.capacity.insert(pool, free)),
            None => drop(self.shared.capacity.remove(&pool)),
        }
    }

    /// Whether this instance may be ended, wherever it is.
    pub fn set_protected(&mut self, now_ms: i64, id: &str, protected: bool) {
        for place in self.places.values_mut() {
            place.instances.change(id, now_ms, |instance| instance.protected = protected);
        }
    }

    /// Actions nobody is allowed; `PassRole` is one that launches with an instance profile need.
    pub fn set_denied(&mut self, actions: BTreeSet<String>) {
        self.denied = actions;
    }

    /// What this access key, or the role of this ARN, may do, by a policy in JSON; `None`: everything.
    ///
    /// # Errors
    /// When the policy is not understood.
    pub fn set_policy(&mut self, principal: &str, policy: Option<&str>) -> Result<(), NoPolicy> {
        match policy.map(Policy::read).transpose()? {
            Some(policy) => drop(self.policies.insert(principal.to_owned(), policy)),
            None => drop(self.policies.remove(principal)),
        }
        Ok(())
    }

    /// The most that anybody may do, whatever their own policies say: a service control policy; `None`: everything.
    ///
    /// # Errors
    /// When the policy is not understood.
    pub fn set_organization(&mut self, policy: Option<&str>) -> Result<(), NoPolicy> {
        self.organization = policy.map(Policy::read).transpose()?;
        Ok(())
    }

    pub fn set_faults(&mut self, faults: Faults) {
        self.rules.faults = faults;
    }

    pub fn set_vcpu_limit(&mut self, limit: Option<u32>) {
        self.rules.vcpu_limit = limit;
    }

    /// What Service Quotas tells of one of the limits that no launch meets.
    pub fn set_quota(&mut self, code: &str, limit: u32) {
        self.quotas.insert(code.to_owned(), limit);
    }

    /// Instance profiles that there are not; any other there is.
    pub fn set_unknown_profiles(&mut self, names: BTreeSet<String>) {
        self.shared.unknown_profiles = names;
    }

    /// Changes how far back describes see; never further than the rules said at the beginning, for so long the past is kept.
    pub fn set_lag(&mut self, lag: Lag) {
        self.rules.lag = lag;
    }

    pub fn change_rules(&mut self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.rules);
    }

    /// Volumes that do not let go of their instance unless forced.
    pub fn set_stuck(&mut self, volumes: impl IntoIterator<Item = String>) {
        self.shared.stuck = volumes.into_iter().collect();
    }

    /// These are left out of all describes, as if they were not there.
    pub fn set_hidden(&mut self, ids: impl IntoIterator<Item = String>) {
        self.shared.hidden = ids.into_iter().collect();
    }

    /// One more subnet in a zone of an account that has been used, in its VPC or in one of its own; its id.
    pub fn add_subnet(&mut self, account: &str, zone: &str, of_another_vpc: bool) -> Option<String> {
        let in_zone =
            |((of, region), _): &(&(String, String), &mut Place)| of == account && zone.starts_with(region.as_str());
        let (_, place) = self.places.iter_mut().find(in_zone)?;
        Some(place.add_subnet(&self.rules, zone, of_another_vpc))
    }

    pub fn counts(&self) -> Counts {
        self.audit.counts.clone()
    }

    pub fn touches(&self) -> Vec<Touch> {
        self.audit.touches().to_vec()
    }

    pub fn touches_of(&self, id: &str) -> Vec<Touch> {
        self.audit.of(id)
    }

    /// Amazon says that it takes a spot instance back, and does so after `notice_ms`; in real life two minutes.
    ///
    /// # Errors
    /// When there is no such running spot instance.
    pub fn interrupt(&mut self, now_ms: i64, id: &str, notice_ms: i64) -> Result<(), Unknown> {
        self.catch_up(now_ms);
        let absent = || Unknown { what: "running spot instance", id: id.to_owned() };
        let rules = &self.rules;
        let shared = &mut self.shared;
        let place = self.places.values_mut().find(|place| place.instances.get(id).is_some()).ok_or_else(absent)?;
        let instance = place.instances.get(id).ok_or_else(absent)?;
        let Market::Spot { interruption } = &instance.launch.market else { return Err(absent()) };
        if instance.state(now_ms) != InstanceState::Running {
            return Err(absent());
        }
        let (ends, taken) = (interruption == "terminate", now_ms + notice_ms.max(0));
        place.instances.change(id, now_ms, |instance| instance.interrupted_at_ms = Some(taken));
        let (code, message) =
            ("Server.SpotInstanceTermination", "Server.SpotInstanceTermination: Instance terminated by Amazon");
        if ends {
            act::end_at(place, shared, rules, now_ms, id, taken, (code, message));
        } else {
            act::release(place, shared, id, now_ms);
            let stopped = taken + rules.delays.stopping.of(rules.seed, id);
            place.instances.change(id, now_ms, |instance| {
                instance.course.turn(taken, &[(taken, InstanceState::Stopping), (stopped, InstanceState::Stopped)]);
                instance.reason = Some(("Server.SpotInstanceShutdown".to_owned(), message.to_owned()));
            });
        }
        Ok(())
    }

    /// A snapshot that is not complete yet never will be.
    ///
    /// # Errors
    /// When there is no such pending snapshot.
    pub fn fail_snapshot(&mut self, now_ms: i64, id: &str) -> Result<(), Unknown> {
        self.catch_up(now_ms);
        let absent = || Unknown { what: "pending snapshot", id: id.to_owned() };
        let pending =
            |place: &&mut Place| place.snapshots.get(id).is_some_and(|one| one.state(now_ms) == SnapshotState::Pending);
        let place = self.places.values_mut().find(pending).ok_or_else(absent)?;
        place.snapshots.change(id, now_ms, |one| one.course.turn(now_ms, &[(now_ms, SnapshotState::Error)]));
        Ok(())
    }

    /// An instance ends without anybody having asked: its hardware failed.
    ///
    /// # Errors
    /// When there is no such instance.
    pub fn lose_instance(&mut self, now_ms: i64, id: &str) -> Result<(), Unknown> {
        self.catch_up(now_ms);
        let absent = || Unknown { what: "instance", id: id.to_owned() };
        let place = self.places.values_mut().find(|place| place.instances.get(id).is_some()).ok_or_else(absent)?;
        let why = ("Server.InternalError", "Server.InternalError: Internal error on launch or in hardware");
        act::end_at(place, &mut self.shared, &self.rules, now_ms, id, now_ms, why);
        Ok(())
    }
}
