//! When snapshots of an environment are taken by themselves: as its template says, or as its owner does.

use app::api::{ApiError, EnvironmentDetail, FieldError, SnapshotRule, SnapshotRuleView};
use app::portal::SignedIn;
use serde_json::json;

use super::trouble::failed;
use super::{Service, access, environments};
use crate::domain::facts::{Desired, Facts};
use crate::domain::note::Note;
use crate::domain::schedule::{self, ScheduleError};
use crate::domain::topology::OwnRule;

pub(super) async fn set(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    rule: SnapshotRule,
) -> Result<EnvironmentDetail, ApiError> {
    let record = environments::find(service, by, environment).await?;
    access::owner(by, &record)?;
    let own = own(&rule)?;
    let (id, name, facts) = (&record.summary.id, &record.summary.name, &record.facts);
    if facts.intent.deleted_at.is_some() {
        return Err(ApiError::conflict(format!("“{name}” is deleted")).with_detail("Nothing more is taken of it."));
    }
    if facts.topology.volumes.is_empty() {
        return Err(ApiError::conflict(format!("“{name}” has no volumes")).with_detail("There is nothing to keep."));
    }
    if own != facts.intent.snapshot_rule {
        let now = service.clock.now();
        let next_at = schedule::upcoming(&facts.topology, own.as_ref(), now).snapshot_at;
        let told = match schedule::describe_taken(&facts.topology, own.as_ref()) {
            Some(when) => format!("Snapshots are taken {when} from now on"),
            None => "No snapshots are taken by rule any more".to_owned(),
        };
        let committed = async {
            let mut tx = service.store.write().await?;
            tx.set_snapshot_rule(id, own.as_ref(), next_at).await?;
            tx.add_event(id, &Note::new("snapshot_rule", told), Some(&by.name), now).await?;
            service.audit(&mut tx, by, "snapshot rule", name, json!({ "environment": id, "rule": rule })).await?;
            tx.commit().await
        };
        committed.await.map_err(failed)?;
        service.bell.ring(id);
    }
    environments::environment(service, by, id).await
}

/// `None`: as the template says.
///
/// # Errors
/// Each field that is wrong.
fn own(rule: &SnapshotRule) -> Result<Option<OwnRule>, ApiError> {
    let SnapshotRule::At { cron, time_zone } = rule else {
        let never = || OwnRule { take: None, time_zone: "UTC".to_owned() };
        return Ok((*rule == SnapshotRule::Never).then(never));
    };
    let wrong = |field: &str, error: Option<ScheduleError>| {
        error.map(|error| FieldError { field: field.to_owned(), message: error.to_string() })
    };
    let cron_error = wrong("cron", schedule::cron(cron).err());
    let all: Vec<FieldError> =
        cron_error.into_iter().chain(wrong("time_zone", schedule::time_zone(time_zone).err())).collect();
    match all.is_empty() {
        true => Ok(Some(OwnRule { take: Some(cron.clone()), time_zone: time_zone.clone() })),
        false => Err(ApiError::invalid(all)),
    }
}

/// As people see it; `None`: it has no volumes.
pub(super) fn view(facts: &Facts, now: i64) -> Option<SnapshotRuleView> {
    if facts.topology.volumes.is_empty() {
        return None;
    }
    let own = facts.intent.snapshot_rule.as_ref();
    let runs = facts.intent.desired == Desired::Running && facts.intent.ready_at.is_some();
    let rule = match own {
        None => SnapshotRule::Template,
        Some(OwnRule { take: None, .. }) => SnapshotRule::Never,
        Some(OwnRule { take: Some(cron), time_zone }) => {
            SnapshotRule::At { cron: cron.clone(), time_zone: time_zone.clone() }
        }
    };
    Some(SnapshotRuleView {
        rule,
        words: schedule::describe_taken(&facts.topology, own),
        next_at: schedule::upcoming(&facts.topology, own, now).snapshot_at.filter(|_| runs),
    })
}
