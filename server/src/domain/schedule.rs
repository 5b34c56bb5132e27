//! Schedule rules: when the next one fires, and how people read them.
//!
//! Cron has five fields, read by croner; time zones come from the system's IANA database, read by jiff. A time that a
//! clock change skips fires right after the gap, one that it repeats fires once.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::topology::{Keep, OwnRule, Schedule, ScheduledAction, SnapshotRules, Topology};

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ScheduleError {
    #[error("should be a cron expression of five fields (minute hour day month weekday) like `0 19 * * MON-FRI`: {0}")]
    Cron(String),
    #[error("never comes: no date fits")]
    Never,
    #[error("should be an IANA time zone like `Europe/Berlin` or `UTC`")]
    TimeZone,
}

/// What an environment's rules ask for next; times in Unix milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upcoming {
    pub event: Option<(i64, ScheduledAction)>,
    pub snapshot_at: Option<i64>,
}

/// What comes next after a moment; `own` is what the environment's owner says about snapshots.
pub fn upcoming(topology: &Topology, own: Option<&OwnRule>, after_ms: i64) -> Upcoming {
    let snapshot_at = taken(topology, own).and_then(|(cron, time_zone)| next_time(cron, time_zone, after_ms));
    Upcoming { event: next(&topology.schedules, after_ms), snapshot_at }
}

/// When snapshots are taken by themselves: cron and time zone of the owner's rule or else the template's.
fn taken<'a>(topology: &'a Topology, own: Option<&'a OwnRule>) -> Option<(&'a str, &'a str)> {
    let (take, time_zone) = match own {
        Some(own) => (&own.take, &own.time_zone),
        None => (&topology.snapshots.take, &topology.snapshots.time_zone),
    };
    take.as_deref().map(|cron| (cron, time_zone.as_str()))
}

/// "at 12:00 every day (UTC)"; `None`: no snapshot is taken by itself.
pub fn describe_taken(topology: &Topology, own: Option<&OwnRule>) -> Option<String> {
    taken(topology, own).map(|(cron, time_zone)| format!("{} ({time_zone})", when(cron)))
}

/// The rule that fires next after a moment, both in Unix milliseconds. Of several at the same time the most final wins:
/// delete before park before resume. `None` when there is no rule.
fn next(schedules: &[Schedule], after_ms: i64) -> Option<(i64, ScheduledAction)> {
    let finality = |action: &ScheduledAction| match action {
        ScheduledAction::Delete => 0,
        ScheduledAction::Park => 1,
        ScheduledAction::Resume => 2,
    };
    schedules
        .iter()
        .filter_map(|schedule| Some((next_of(schedule, after_ms)?, schedule.action)))
        .min_by_key(|(at, action)| (*at, finality(action)))
}

/// What the rules asked for from `since_ms` to `now_ms`, the two included, taken together: the latest counts, because it
/// would have overtaken the others; but nothing follows a deletion. So whatever was missed while the portal was down is done
/// once.
pub fn due(schedules: &[Schedule], since_ms: i64, now_ms: i64) -> Option<(i64, ScheduledAction)> {
    let latest = |schedule: &Schedule| Some((latest_of(schedule, since_ms, now_ms)?, schedule.action));
    let all: Vec<(i64, ScheduledAction)> = schedules.iter().filter_map(latest).collect();
    let deletion = all.iter().find(|(_, action)| *action == ScheduledAction::Delete);
    deletion.or_else(|| all.iter().max_by_key(|(at, _)| *at)).copied()
}

fn latest_of(schedule: &Schedule, since_ms: i64, now_ms: i64) -> Option<i64> {
    let (cron, zone) = (cron(&schedule.cron).ok()?, time_zone(&schedule.time_zone).ok()?);
    let now = Timestamp::from_millisecond(now_ms).ok()?.to_zoned(zone);
    let latest = cron.find_previous_occurrence(&now, true).ok()?.timestamp().as_millisecond();
    (latest >= since_ms).then_some(latest)
}

fn next_of(schedule: &Schedule, after_ms: i64) -> Option<i64> {
    next_time(&schedule.cron, &schedule.time_zone, after_ms)
}

fn next_time(pattern: &str, zone: &str, after_ms: i64) -> Option<i64> {
    let (cron, zone) = (cron(pattern).ok()?, time_zone(zone).ok()?);
    let after = Timestamp::from_millisecond(after_ms).ok()?.to_zoned(zone);
    let next: Zoned = cron.find_next_occurrence(&after, false).ok()?;
    Some(next.timestamp().as_millisecond())
}

/// Reads a cron expression.
///
/// # Errors
/// What is wrong with it; a date that never comes (31 February) is an error too.
pub fn cron(text: &str) -> Result<Cron, ScheduleError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '*' | '/' | ',' | '-' | '#' | '?');
    if let Some(wrong) = text.chars().find(|c| !allowed(*c)) {
        return Err(ScheduleError::Cron(format!("`{}` has no meaning there", wrong.escape_debug())));
    }
    if text.split_whitespace().count() != 5 || text.len() > 100 {
        return Err(ScheduleError::Cron(format!("it has {} fields", text.split_whitespace().count())));
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser.parse(text).map_err(|error| ScheduleError::Cron(error.to_string()))?;
    // Any moment will do: what comes at all comes again within the eight years between two leap days at most.
    let origin = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    match cron.find_next_occurrence(&origin, false) {
        Ok(_) => Ok(cron),
        Err(_) => Err(ScheduleError::Never),
    }
}

/// Looks a time zone up.
///
/// # Errors
/// The name is none the system knows.
pub fn time_zone(name: &str) -> Result<TimeZone, ScheduleError> {
    TimeZone::get(name).map_err(|_| ScheduleError::TimeZone)
}

/// "parked at 19:00 on weekdays (Europe/Berlin)".
pub fn describe(schedule: &Schedule) -> String {
    let action = match schedule.action {
        ScheduledAction::Park => "parked",
        ScheduledAction::Resume => "resumed",
        ScheduledAction::Delete => "deleted",
    };
    format!("{action} {} ({})", when(&schedule.cron), schedule.time_zone)
}

/// What a template's rules about snapshots say beyond what always holds: "kept in a snapshot at 12:00 every day (UTC)".
pub fn describe_snapshots(rules: &SnapshotRules) -> Vec<String> {
    let take = rules.take.as_ref().map(|cron| format!("kept in a snapshot {} ({})", when(cron), rules.time_zone));
    let keep = rules.keep;
    let kept = [(keep.last, "the newest"), (keep.daily, "days"), (keep.weekly, "weeks"), (keep.monthly, "months")];
    let mut words: Vec<String> = Vec::new();
    for (count, of) in kept.into_iter().filter(|(count, _)| *count > 0) {
        words.push(match of {
            "the newest" => format!("the newest {count}"),
            of => format!("one of each of {count} {of}"),
        });
    }
    let keeps = (keep != Keep::default()).then(|| {
        let deleted = format!("{} days after it was deleted", keep.deleted_days);
        format!("of those snapshots {} stay; the last one {deleted}", words.join(", "))
    });
    take.into_iter().chain(keeps).collect()
}

fn when(pattern: &str) -> String {
    plain_time(pattern).unwrap_or_else(|| match cron(pattern) {
        Ok(cron) => lower_first(&cron.describe()),
        Err(_) => pattern.to_owned(),
    })
}

/// The usual cases in words: one time of day, on certain weekdays or one day of the month.
fn plain_time(cron: &str) -> Option<String> {
    let fields: Vec<String> = cron.split_whitespace().map(str::to_ascii_uppercase).collect();
    let [minute, hour, day, month, weekday] = fields.as_slice() else { return None };
    let (minute, hour): (u32, u32) = (minute.parse().ok()?, hour.parse().ok()?);
    let days = match weekday.as_str() {
        _ if month != "*" => return None,
        "*" if day != "*" => &format!("on day {} of every month", day.parse::<u32>().ok()?),
        _ if day != "*" => return None,
        "*" => "every day",
        "1-5" | "MON-FRI" => "on weekdays",
        "0" | "7" | "SUN" => "on Sundays",
        "1" | "MON" => "on Mondays",
        "2" | "TUE" => "on Tuesdays",
        "3" | "WED" => "on Wednesdays",
        "4" | "THU" => "on Thursdays",
        "5" | "FRI" => "on Fridays",
        "6" | "SAT" => "on Saturdays",
        "0,6" | "6,0" | "6,7" | "6-7" | "SAT,SUN" | "SAT-SUN" => "at weekends",
        _ => return None,
    };
    Some(format!("at {hour:02}:{minute:02} {days}"))
}

fn lower_first(text: &str) -> String {
    let mut text = text.trim_end_matches('.').to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(action: ScheduledAction, cron: &str, time_zone: &str) -> Schedule {
        Schedule { action, cron: cron.into(), time_zone: time_zone.into() }
    }

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn a_rule_fires_at_the_time_of_its_own_zone() {
        let park = [rule(ScheduledAction::Park, "0 19 * * 1-5", "Europe/Berlin")];
        // A Friday afternoon in winter, then the weekend is left out.
        assert_eq!(next(&park, at("2026-01-09T17:00:00Z")), Some((at("2026-01-09T18:00:00Z"), ScheduledAction::Park)));
        assert_eq!(next(&park, at("2026-01-09T18:00:00Z")), Some((at("2026-01-12T18:00:00Z"), ScheduledAction::Park)));
        assert_eq!(next(&[], 0), None);
    }

    #[test]
    fn a_clock_change_neither_loses_nor_doubles_a_rule() {
        let rules = [rule(ScheduledAction::Park, "30 2 * * *", "Europe/Berlin")];
        let fires =
            |after: &str| next(&rules, at(after)).map(|(at, _)| Timestamp::from_millisecond(at).unwrap().to_string());
        assert_eq!(
            fires("2026-03-28T12:00:00Z").as_deref(),
            Some("2026-03-29T01:00:00Z"),
            "skipped: right after the gap"
        );
        assert_eq!(fires("2026-10-24T12:00:00Z").as_deref(), Some("2026-10-25T00:30:00Z"), "repeated: the first time");
        assert_eq!(fires("2026-10-25T00:30:00Z").as_deref(), Some("2026-10-26T01:30:00Z"), "repeated: only once");
    }

    fn show(found: Option<(i64, ScheduledAction)>) -> String {
        found
            .map_or("nothing".into(), |(at, action)| format!("{action:?} {}", Timestamp::from_millisecond(at).unwrap()))
    }

    #[test]
    fn after_a_night_without_the_portal_only_the_latest_of_what_was_missed_counts() {
        let berlin = |action, cron| rule(action, cron, "Europe/Berlin");
        let rules = [berlin(ScheduledAction::Park, "0 19 * * *"), berlin(ScheduledAction::Resume, "0 7 * * *")];
        let stopped = at("2026-11-03T17:00:00Z");
        assert_eq!(show(due(&rules, stopped, at("2026-11-03T17:30:00Z"))), "nothing");
        assert_eq!(show(due(&rules, stopped, at("2026-11-03T22:00:00Z"))), "Park 2026-11-03T18:00:00Z");
        assert_eq!(show(due(&rules, stopped, at("2026-11-05T08:00:00Z"))), "Resume 2026-11-05T06:00:00Z");
    }

    #[test]
    fn nothing_follows_a_missed_deletion() {
        let berlin = |action, cron| rule(action, cron, "Europe/Berlin");
        let rules = [berlin(ScheduledAction::Delete, "0 20 4 11 *"), berlin(ScheduledAction::Resume, "0 7 * * *")];
        let missed = due(&rules, at("2026-11-04T00:00:00Z"), at("2026-11-06T12:00:00Z"));
        assert_eq!(show(missed), "Delete 2026-11-04T19:00:00Z");
    }

    #[test]
    fn at_the_same_moment_the_most_final_rule_wins() {
        let at_noon = |action| rule(action, "0 12 * * *", "UTC");
        let rules =
            [at_noon(ScheduledAction::Resume), at_noon(ScheduledAction::Delete), at_noon(ScheduledAction::Park)];
        assert_eq!(next(&rules, 0), Some((12 * 3_600_000, ScheduledAction::Delete)));
    }

    #[test]
    fn what_can_never_fire_is_refused() {
        for wrong in [
            "",
            "* * * *",
            "* * * * * *",
            "61 * * * *",
            "@daily",
            "0 0 31 2 *",
            "0 25 * * *",
            "a b c d e",
            "0 0 * * *\n",
        ] {
            assert!(cron(wrong).is_err(), "{wrong:?}");
        }
        assert!(cron("0 0 29 2 *").is_ok(), "a leap day comes");
        assert_eq!(time_zone("Europe/Berlim").err(), Some(ScheduleError::TimeZone));
    }

    #[test]
    fn rules_read_as_people_say_them() {
        let said = |cron| describe(&rule(ScheduledAction::Park, cron, "Europe/Berlin"));
        assert_eq!(said("0 19 * * MON-FRI"), "parked at 19:00 on weekdays (Europe/Berlin)");
        assert_eq!(said("30 7 * * *"), "parked at 07:30 every day (Europe/Berlin)");
        assert_eq!(said("0 12 24 12 *"), "parked at 12:00, on day 24, in December (Europe/Berlin)");
        assert_eq!(said("0 3 1 * *"), "parked at 03:00 on day 1 of every month (Europe/Berlin)");
    }
}
