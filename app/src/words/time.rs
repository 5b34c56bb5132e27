//! Times as people say them, and exactly. Input is Unix milliseconds; `now` is always given.

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// "just now", "40 seconds ago", "3 hours ago", "in 5 minutes"; beyond a month the date.
pub fn relative(now: i64, at: i64) -> String {
    let distance = (now - at).abs();
    if distance < 5 * SECOND {
        return "just now".into();
    }
    if distance >= 30 * DAY {
        return date(at);
    }
    let (count, unit) = match distance {
        d if d < MINUTE => (d / SECOND, "second"),
        d if d < HOUR => (d / MINUTE, "minute"),
        d if d < DAY => (d / HOUR, "hour"),
        d => (d / DAY, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    if at > now { format!("in {count} {unit}{plural}") } else { format!("{count} {unit}{plural} ago") }
}

/// "850 ms", "4.2 s", "1 min 12 s", "3 h 5 min", "2 d 4 h".
pub fn span(milliseconds: i64) -> String {
    let ms = milliseconds.max(0);
    let pair = |large: i64, large_unit: &str, small: i64, small_unit: &str| match ms % large / small {
        0 => format!("{} {large_unit}", ms / large),
        rest => format!("{} {large_unit} {rest} {small_unit}", ms / large),
    };
    match ms {
        ms if ms < SECOND => format!("{ms} ms"),
        ms if ms < 10 * SECOND => format!("{}.{} s", ms / SECOND, ms % SECOND / 100),
        ms if ms < MINUTE => format!("{} s", ms / SECOND),
        ms if ms < HOUR => pair(MINUTE, "min", SECOND, "s"),
        ms if ms < DAY => pair(HOUR, "h", MINUTE, "min"),
        _ => pair(DAY, "d", HOUR, "h"),
    }
}

/// "21 Nov 2026".
pub fn date(at: i64) -> String {
    let time = Civil::of(at);
    format!("{} {} {}", time.day, MONTHS[time.month - 1], time.year)
}

/// "03:34:16".
pub fn clock(at: i64) -> String {
    let time = Civil::of(at);
    format!("{:02}:{:02}:{:02}", time.hour, time.minute, time.second)
}

/// "Sat 21 Nov 2026, 03:34:16 UTC".
pub fn exact(at: i64) -> String {
    let weekday = WEEKDAYS[usize::try_from(at.div_euclid(DAY).rem_euclid(7)).unwrap_or_default()];
    format!("{weekday} {}, {} UTC", date(at), clock(at))
}

/// For machines: `2026-11-21T03:34:16Z`.
pub fn iso(at: i64) -> String {
    let time = Civil::of(at);
    format!("{:04}-{:02}-{:02}T{}Z", time.year, time.month, time.day, clock(at))
}

/// Day and clock in UTC, proleptic Gregorian.
struct Civil {
    year: i64,
    /// 1 to 12.
    month: usize,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Civil {
    /// Counts years from 1 March, so that the leap day comes last and every month's start is a linear formula.
    fn of(at: i64) -> Self {
        let within_day = at.rem_euclid(DAY);
        let days_since_march_0000 = at.div_euclid(DAY) + 719_468;
        let era = days_since_march_0000.div_euclid(146_097);
        let day_of_era = days_since_march_0000.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let months_since_march = (5 * day_of_year + 2) / 153;
        let month = if months_since_march < 10 { months_since_march + 3 } else { months_since_march - 9 };
        Self {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month: usize::try_from(month).unwrap_or(1),
            day: day_of_year - (153 * months_since_march + 2) / 5 + 1,
            hour: within_day / HOUR,
            minute: within_day % HOUR / MINUTE,
            second: within_day % MINUTE / SECOND,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_said_relative_to_now_and_long_ago_by_its_date() {
        let now = 1_795_231_000_000;
        let said =
            [0, 4, 40, 90, 7_300, 26 * 3600, 12 * 86_400, 40 * 86_400].map(|ago| relative(now, now - ago * 1000));
        let expected = [
            "just now",
            "just now",
            "40 seconds ago",
            "1 minute ago",
            "2 hours ago",
            "1 day ago",
            "12 days ago",
            "12 Oct 2026",
        ];
        assert_eq!(said, expected);
        assert_eq!(relative(now, now + 5 * MINUTE), "in 5 minutes");
    }

    #[test]
    fn exact_times_survive_leap_years_and_the_time_before_1970() {
        assert_eq!(exact(0), "Thu 1 Jan 1970, 00:00:00 UTC");
        assert_eq!(exact(951_782_400_000), "Tue 29 Feb 2000, 00:00:00 UTC");
        assert_eq!(exact(-1), "Wed 31 Dec 1969, 23:59:59 UTC");
        assert_eq!(iso(1_795_231_256_000), "2026-11-21T03:20:56Z");
    }

    #[test]
    fn spans_keep_two_units_at_most() {
        let said = [850, 4_250, 42_000, 72_000, 120_000, 11_100_000, 187_200_000].map(span);
        assert_eq!(said, ["850 ms", "4.2 s", "42 s", "1 min 12 s", "2 min", "3 h 5 min", "2 d 4 h"]);
    }
}
