//! Restore drills, decided purely: what is brought up in the throw-away place, and what came of it.
//!
//! The place is an environment of [`TEAM`], of which nobody is a member: no page, terminal, port or log of it can be reached
//! by anybody. It has no rules of its own and no way to the internet, so that nothing that was restored acts on the world.

use app::api::{DrillReach, State};

use super::facts::Desired;
use super::note::Note;
use super::topology::{SnapshotRules, Topology};

/// Owns the places; has no members.
pub const TEAM: &str = "drills";
/// Orders them; can never sign in.
pub const PERSON: &str = "drills";
pub const PERSON_NAME: &str = "restore drill";
/// Between two drills of one environment.
pub const WEEK_MS: i64 = 7 * 24 * 3_600_000;
/// What cannot be drilled now is looked at again after this long.
pub const LATER_MS: i64 = 24 * 3_600_000;
/// One that has not ended by then never will.
const LONGEST_MS: i64 = 24 * 3_600_000;

/// What the place consists of, and how far the drill goes. Servers that need the internet stay down.
pub fn place(topology: &Topology) -> (Topology, DrillReach) {
    let reaches_out = topology.servers.iter().any(|server| server.internet);
    let place = Topology { schedules: Vec::new(), snapshots: SnapshotRules::default(), ..topology.clone() };
    (place, if reaches_out { DrillReach::Data } else { DrillReach::Ready })
}

/// What is wanted of a place for a drill that goes so far.
pub fn desired(reach: DrillReach) -> Desired {
    match reach {
        DrillReach::Data => Desired::Parked,
        DrillReach::Ready => Desired::Running,
    }
}

/// For the timeline of the environment that was drilled.
pub fn note(reach: DrillReach, outcome: &Result<(), String>) -> Note {
    match (outcome, reach) {
        (Ok(()), DrillReach::Ready) => Note::new(
            "drill_passed",
            "Restore drill: the newest snapshot was restored elsewhere, and all servers became healthy",
        ),
        (Ok(()), DrillReach::Data) => Note::new(
            "drill_passed",
            "Restore drill: the newest snapshot was restored elsewhere, and it is what was taken",
        ),
        (Err(reason), _) => {
            Note::new("drill_failed", format!("Restore drill: the newest snapshot could not be brought up: {reason}"))
        }
    }
}

/// What came of a drill whose place is in this state; `None` while that is open. `failure` says why it is failed.
pub fn outcome(
    reach: DrillReach,
    state: State,
    failure: Option<&str>,
    began_at: i64,
    now: i64,
) -> Option<Result<(), String>> {
    match (reach, state) {
        (DrillReach::Data, State::Parked) | (DrillReach::Ready, State::Ready) => Some(Ok(())),
        (_, State::Failed) => Some(Err(failure.unwrap_or("it failed without a reason").to_owned())),
        (_, State::Deleting | State::Deleted) => Some(Err("its place was taken down before it was over".to_owned())),
        _ if now - began_at > LONGEST_MS => Some(Err("it was not over within a day".to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::{server, topology};
    use crate::domain::topology::{Schedule, ScheduledAction};

    #[test]
    fn a_place_has_no_rules_and_nothing_that_needs_the_internet_is_started_in_it() {
        let park = Schedule { action: ScheduledAction::Park, cron: "0 19 * * *".into(), time_zone: "UTC".into() };
        let take = SnapshotRules { take: Some("0 12 * * *".into()), ..SnapshotRules::default() };
        let mut shop = Topology { schedules: vec![park], snapshots: take, ..topology([server("web"), server("db")]) };
        let (quiet, reach) = place(&shop);
        assert_eq!((reach, desired(reach)), (DrillReach::Ready, Desired::Running));
        assert!(quiet.schedules.is_empty() && quiet.snapshots.take.is_none());
        assert_eq!(quiet.servers, shop.servers);

        shop.servers[1].internet = true;
        assert_eq!(desired(place(&shop).1), Desired::Parked);
    }

    #[test]
    fn a_drill_ends_when_its_place_is_what_was_wanted_or_never_will_be() {
        let ready = |state, failure, now| outcome(DrillReach::Ready, state, failure, 0, now);
        assert_eq!(ready(State::Starting, None, 1), None);
        assert_eq!(ready(State::Parked, None, 1), None);
        assert_eq!(ready(State::Ready, None, 1), Some(Ok(())));
        assert_eq!(ready(State::Failed, Some("no room"), 1), Some(Err("no room".into())));
        assert!(matches!(ready(State::Starting, None, LONGEST_MS + 1), Some(Err(_))));
        assert_eq!(outcome(DrillReach::Data, State::Parked, None, 0, 1), Some(Ok(())));
    }
}
