//! Exact times in the zone a person has chosen. Without a choice they are told in UTC, and a browser that runs script tells
//! them in its own.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::{TimeZone, db};
use leptos::prelude::use_context;

use crate::words;

/// The zone of the person for whom a page is rendered: in the context while it is.
#[derive(Clone)]
pub(super) struct Zone(pub Option<Arc<str>>);

/// "Sat 21 Nov 2026, 04:34:16 CET", for the person for whom a page is rendered.
pub(crate) fn exact(at: i64) -> String {
    let zone = use_context::<Zone>().and_then(|Zone(name)| name);
    zone.and_then(|name| exact_in(&name, at)).unwrap_or_else(|| words::exact(at))
}

fn exact_in(zone: &str, at: i64) -> Option<String> {
    let zone = TimeZone::get(zone).ok()?;
    let time = Timestamp::from_millisecond(at).ok()?.to_zoned(zone);
    Some(time.strftime("%a %-d %b %Y, %H:%M:%S %Z").to_string())
}

/// The zones to choose from, by name: places, and UTC. Older spellings of the same are left out.
pub(crate) fn zones() -> Vec<String> {
    const AREAS: [&str; 10] =
        ["Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific"];
    let place = |name: &str| name.split_once('/').is_some_and(|(area, _)| AREAS.contains(&area));
    let mut names: Vec<String> =
        db().available().map(|name| name.as_str().to_owned()).filter(|name| place(name) || name == "UTC").collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_time_is_told_in_the_chosen_zone_with_its_summer_time() {
        assert_eq!(exact_in("Europe/Berlin", 0).as_deref(), Some("Thu 1 Jan 1970, 01:00:00 CET"));
        assert_eq!(exact_in("Europe/Berlin", 1_784_541_600_000).as_deref(), Some("Mon 20 Jul 2026, 12:00:00 CEST"));
        assert_eq!(exact_in("Mars/Olympus", 0), None);
        assert_eq!(exact(0), "Thu 1 Jan 1970, 00:00:00 UTC");
    }

    #[test]
    fn the_zones_to_choose_from_are_places() {
        let names = zones();
        assert!(names.iter().any(|name| name == "Asia/Tokyo") && names.iter().any(|name| name == "UTC"), "{names:?}");
        assert!(!names.iter().any(|name| name.starts_with("Etc/") || name.starts_with("posix")), "{names:?}");
    }
}
