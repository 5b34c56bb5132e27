//! What the agent reports: facts gathered by its tasks, and the phase derived from them.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::api::{CheckStatus, Failure, Phase, ServiceStatus, SharedStatus, Status};

/// How far the present configuration has come.
#[derive(Clone, Debug, Default)]
pub(super) enum Stage {
    #[default]
    Idle,
    Mounting,
    CatchingUp,
    SettingUp,
    StartingUp,
    Running,
    /// A script failed or a command is missing: nothing was started.
    Failed(Failure),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) config: Option<String>,
    pub(super) stage: Stage,
    pub(super) services: Vec<ServiceFact>,
    pub(super) checks: Vec<CheckFact>,
    pub(super) shared: Vec<SharedStatus>,
    /// Why the server should not be waited for any longer, although it goes on trying.
    pub(super) overdue: Option<Failure>,
    pub(super) was_healthy: bool,
    /// Of the machine, whatever its configuration.
    pub(super) ends_at: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct ServiceFact {
    pub(super) status: ServiceStatus,
    /// Runs, or has ended as it may.
    pub(super) good: bool,
    pub(super) failure: Option<Failure>,
    /// It ended badly and is not started again.
    pub(super) hopeless: bool,
}

#[derive(Clone, Debug)]
pub(super) struct CheckFact {
    pub(super) status: CheckStatus,
    pub(super) failure: Option<Failure>,
}

pub(super) struct Board {
    facts: Mutex<Facts>,
    status: watch::Sender<Status>,
}

impl Board {
    pub(super) fn new() -> Self {
        Self { facts: Mutex::default(), status: watch::Sender::new(Status::default()) }
    }

    /// Changes facts; who follows is told when the status they make is another one.
    pub(super) fn update(&self, change: impl FnOnce(&mut Facts)) {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut facts);
        let status = derive(&facts);
        if status.phase == Phase::Healthy {
            facts.was_healthy = true;
            facts.overdue = None;
        }
        self.status.send_if_modified(|present| {
            let changed = *present != status;
            *present = status;
            changed
        });
    }

    pub(super) fn follow(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }
}

fn derive(facts: &Facts) -> Status {
    let (phase, failure) = match &facts.stage {
        Stage::Idle => (Phase::Idle, None),
        Stage::Mounting => (Phase::Mounting, None),
        Stage::CatchingUp => (Phase::CatchingUp, None),
        Stage::SettingUp => (Phase::SettingUp, None),
        Stage::StartingUp => (Phase::StartingUp, None),
        Stage::Failed(failure) => (Phase::Failed, Some(failure.clone())),
        Stage::Running => running(facts),
    };
    Status {
        config: facts.config.clone(),
        phase,
        services: facts.services.iter().map(|service| service.status.clone()).collect(),
        checks: facts.checks.iter().map(|check| check.status.clone()).collect(),
        failure,
        shared: facts.shared.clone(),
        ends_at: facts.ends_at.clone(),
    }
}

fn running(facts: &Facts) -> (Phase, Option<Failure>) {
    if let Some(hopeless) = facts.services.iter().find(|service| service.hopeless) {
        return (Phase::Failed, hopeless.failure.clone());
    }
    let bad_service = facts.services.iter().find(|service| !service.good);
    let bad_check = facts.checks.iter().find(|check| !check.status.passing);
    if bad_service.is_none() && bad_check.is_none() {
        return (Phase::Healthy, None);
    }
    // A service that is down explains a check that fails.
    let failure = bad_service
        .and_then(|service| service.failure.clone())
        .or_else(|| bad_check.and_then(|check| check.failure.clone()));
    match &facts.overdue {
        _ if facts.was_healthy => (Phase::Unhealthy, failure),
        Some(overdue) => (Phase::Failed, Some(overdue.clone())),
        None => (Phase::Checking, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(step: &str) -> Failure {
        Failure { step: step.into(), cause: "c".into(), lines: vec![], remedy: "r".into() }
    }

    fn facts(service_good: bool, check_passing: bool) -> Facts {
        Facts {
            stage: Stage::Running,
            services: vec![ServiceFact {
                status: ServiceStatus { name: "api".into(), running: service_good, restarts: 0, last_end: None },
                good: service_good,
                failure: (!service_good).then(|| failure("service `api`")),
                hopeless: false,
            }],
            checks: vec![CheckFact {
                status: CheckStatus { name: "http".into(), passing: check_passing, message: String::new() },
                failure: (!check_passing).then(|| failure("health check `http`")),
            }],
            ..Facts::default()
        }
    }

    #[test]
    fn a_server_is_healthy_when_every_service_and_check_is_good_and_only_then() {
        assert_eq!(derive(&facts(true, true)).phase, Phase::Healthy);
        assert_eq!(derive(&facts(true, false)).phase, Phase::Checking);
        assert_eq!(derive(&facts(false, true)).phase, Phase::Checking);
    }

    #[test]
    fn what_was_healthy_is_unhealthy_and_blames_the_service_rather_than_the_check_that_noticed() {
        let status = derive(&Facts { was_healthy: true, ..facts(false, false) });
        assert_eq!(status.phase, Phase::Unhealthy);
        assert_eq!(status.failure.unwrap().step, "service `api`");
    }

    #[test]
    fn a_server_overdue_has_failed_and_recovers_when_it_becomes_healthy_after_all() {
        let overdue = Some(failure("health check `http`"));
        assert_eq!(derive(&Facts { overdue: overdue.clone(), ..facts(true, false) }).phase, Phase::Failed);
        assert_eq!(derive(&Facts { overdue, ..facts(true, true) }).phase, Phase::Healthy);
    }
}
