//! Which snapshots are no longer asked for.

use std::collections::BTreeSet;

use app::api::{SnapshotReason, SnapshotState};
use jiff::Timestamp;
use jiff::civil::{Date, ISOWeekDate};
use jiff::tz::TimeZone;

use super::schedule;
use super::topology::{Keep, SnapshotRules};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// What decides about one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub id: String,
    pub reason: SnapshotReason,
    pub state: SnapshotState,
    /// The moment it shows; Unix milliseconds.
    pub taken_at: i64,
    /// Something is being made from it, or it is all that is left of a deleted environment.
    pub needed: bool,
    pub pinned: bool,
}

/// Of one environment's snapshots, the newest first, those that go. What a person asked for goes only when a person asks
/// for that; the newest that can be restored always stays.
pub fn expendable(newest_first: &[Kept], rules: &SnapshotRules) -> Vec<String> {
    let zone = schedule::time_zone(&rules.time_zone).unwrap_or(TimeZone::UTC);
    let Keep { last, daily, weekly, monthly, .. } = rules.keep;
    let mut days = Calendar::new(daily, |day| (day.year().into(), day.day_of_year().into()));
    let mut weeks = Calendar::new(weekly, |day| {
        let week: ISOWeekDate = day.iso_week_date();
        (week.year().into(), week.week().into())
    });
    let mut months = Calendar::new(monthly, |day| (day.year().into(), day.month().into()));
    let by_itself = newest_first.iter().filter(|one| {
        one.reason != SnapshotReason::Demand && one.state == SnapshotState::Complete && !one.pinned && !one.needed
    });
    let mut go = Vec::new();
    for (place, one) in by_itself.enumerate() {
        let Ok(taken) = Timestamp::from_millisecond(one.taken_at) else { continue };
        let day = taken.to_zoned(zone.clone()).date();
        // Each is asked: one that stays for the day may stay for its week too.
        let stays = [days.keeps(day), weeks.keeps(day), months.keeps(day)];
        if place >= last.max(1) && !stays.contains(&true) {
            go.push(one.id.clone());
        }
    }
    go
}

/// Until when an environment deleted now can be brought back; Unix milliseconds.
pub fn undelete_until(deleted_at: i64, rules: &SnapshotRules) -> i64 {
    deleted_at.saturating_add(rules.keep.deleted_days.saturating_mul(DAY_MS))
}

/// The newest of each of the last so many days, weeks or months that have any.
struct Calendar {
    left: usize,
    seen: BTreeSet<(i64, i64)>,
    which: fn(Date) -> (i64, i64),
}

impl Calendar {
    fn new(left: usize, which: fn(Date) -> (i64, i64)) -> Calendar {
        Calendar { left, seen: BTreeSet::new(), which }
    }

    /// Asked from the newest to the oldest.
    fn keeps(&mut self, day: Date) -> bool {
        if self.left == 0 || !self.seen.insert((self.which)(day)) {
            return false;
        }
        self.left -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(id: usize, reason: SnapshotReason) -> Kept {
        let taken_at = -(id as i64);
        Kept { id: id.to_string(), reason, state: SnapshotState::Complete, taken_at, needed: false, pinned: false }
    }

    #[test]
    fn the_newest_five_taken_by_itself_stay_and_so_does_what_a_person_wants_or_something_needs() {
        let rules = SnapshotRules::default();
        let mut all: Vec<Kept> = (0..10).map(|id| kept(id, SnapshotReason::Park)).collect();
        all[7].reason = SnapshotReason::Demand;
        all[8].pinned = true;
        all[9].needed = true;
        assert_eq!(expendable(&all, &rules), ["5", "6"]);
        all[0].state = SnapshotState::Failed;
        assert_eq!(expendable(&all, &rules), ["6"], "one that cannot be restored takes no other's place");
        assert!(expendable(&all[..5], &rules).is_empty());
    }

    #[test]
    fn one_of_each_of_the_last_days_weeks_and_months_stays_by_the_calendar_of_its_zone() {
        // Every eight hours for 100 days back from a Sunday noon in Berlin; the number of a snapshot is its age.
        let newest = "2026-03-01T11:00:00Z".parse::<Timestamp>().unwrap().as_millisecond();
        let all: Vec<Kept> = (0..300)
            .map(|age| Kept { taken_at: newest - age * DAY_MS / 3, ..kept(age as usize, SnapshotReason::Schedule) })
            .collect();
        let keep = Keep { last: 1, daily: 3, weekly: 2, monthly: 3, deleted_days: 14 };
        let rules = SnapshotRules { take: None, time_zone: "Europe/Berlin".into(), keep };
        let go = expendable(&all, &rules);
        let stay: Vec<&str> =
            all.iter().map(|one| one.id.as_str()).filter(|id| !go.iter().any(|gone| gone == id)).collect();
        // Today at noon, yesterday and the day before at 20:00 (yesterday's is February's too, and of this week; the week
        // before ended on 22 February), and the end of January.
        assert_eq!(stay, ["0", "2", "5", "20", "86"]);
        assert_eq!(all.len(), stay.len() + go.len());
    }
}
