//! `bench page`: how fast pages come, how heavy they are, and when one can act on them.
//!
//! The portal has one core to itself and the load another, so that "per second" is per core. Each page is first asked for as
//! fast as it comes over a few connections; then at half that rate, by a timetable: a request that had to wait for its turn
//! has that wait counted. Beside the pages the same portal's bare `/healthz`, as the measure of what HTTP alone takes here.
//! Then the list with 100,000 environments; then Lighthouse, as on a slow phone, in the local Chromium.

mod browser;
/// The stories' own: what is measured must not have all that they stand on compiled in.
#[path = "../../../../tests/src/copies.rs"]
mod copies;
mod load;

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Outcome;
use crate::portal::Portal;
use crate::times::Times;
use load::Target;

const ENVIRONMENT: &str = "reading-room";
const TEMPLATE: &str = "site";
const AIM_PER_SECOND: f64 = 2500.0;
const AIM_AT_HALF: Duration = Duration::from_millis(20);
const AIM_FIRST_BYTE: Duration = Duration::from_millis(30);
/// Requests of each kind that are made of the long list.
const LOOKS: usize = 300;

pub fn bench(dist: &Path, seconds: u64, lighthouse: &Path) -> Outcome<()> {
    let time = Duration::from_secs(seconds);
    let (portal_core, own_core) = two_cores();
    let portal = Portal::start(dist, portal_core)?;
    pin(own_core);
    if portal_core.is_none() {
        println!("This machine has one core: portal and load share it, and the figures are lower for that.");
    }
    portal.api.order(TEMPLATE, ENVIRONMENT)?;
    portal.api.await_state(ENVIRONMENT, "ready")?;
    portal.api.order("scratch", "model")?;
    portal.api.await_state("model", "ready")?;
    portal.api.park("model")?;
    portal.api.await_state("model", "parked")?;
    let model = portal.api.environment("model")?;
    let model = model["id"].as_str().ok_or("An environment without an id.")?.to_owned();

    let catalog = throughput(&portal, time, "catalog", "/")?;
    throughput(&portal, time, "template", &format!("/catalog/{TEMPLATE}"))?;
    throughput(&portal, time, "environment", &format!("/environments/{ENVIRONMENT}"))?;
    write_copies(&portal.data(), &model, 0..10_000)?;
    throughput(&portal, time, "list of 10,000", "/environments")?;
    let bare = full_speed(&portal, time, "/healthz")?;
    println!("{:<16} {bare:7.0} /s: a catalog page costs {:.1} bare answers", "bare answer", bare / catalog.0);
    aim(
        &format!("catalog ≥ {AIM_PER_SECOND} pages/s, p99 at half load ≤ {AIM_AT_HALF:?}"),
        catalog.0 >= AIM_PER_SECOND && catalog.1 <= AIM_AT_HALF,
    );

    write_copies(&portal.data(), &model, 10_000..100_000)?;
    long_list(&portal)?;
    println!();
    for page in ["/", &format!("/catalog/{TEMPLATE}"), &format!("/environments/{ENVIRONMENT}")] {
        match browser::judged(lighthouse, &portal, page) {
            Ok(words) => println!("{page:<28} {words}"),
            Err(problem) => println!("{page:<28} not looked at by Lighthouse: {problem}"),
        }
    }
    Ok(())
}

/// Pages per second at full speed, and the p99 at half of it; both are printed.
fn throughput(portal: &Portal, time: Duration, name: &str, path: &str) -> Outcome<(f64, Duration)> {
    let per_second = full_speed(portal, time, path)?;
    let at_half = load::by_timetable(&target(portal, path), per_second / 2.0, time)?;
    println!("{name:<16} {per_second:7.0} /s   at half that rate: {at_half}");
    Ok((per_second, at_half.quantile(0.99)))
}

fn full_speed(portal: &Portal, time: Duration, path: &str) -> Outcome<f64> {
    let target = target(portal, path);
    // What is made once is made before.
    load::at_full_speed(&target, time / 5)?;
    load::at_full_speed(&target, time)
}

/// The list among 100,000: from asking to the first byte, one request at a time.
fn long_list(portal: &Portal) -> Outcome<()> {
    println!("\nlist of 100,000, first byte");
    let mut first = Duration::ZERO;
    for (name, path) in [
        ("newest", "/environments"),
        ("everyone's", "/environments?of=everyone"),
        ("parked", "/environments?standing=parked"),
        ("one by name", "/environments?search=copy-77777"),
        ("found nowhere", "/environments?search=no-such-name"),
    ] {
        let times: Times = load::one_by_one(&target(portal, path), LOOKS)?;
        println!("  {name:<14} {times}");
        if first.is_zero() {
            first = times.quantile(0.99);
        }
    }
    aim(&format!("newest p99 ≤ {AIM_FIRST_BYTE:?}"), first <= AIM_FIRST_BYTE);
    Ok(())
}

fn aim(words: &str, is_met: bool) {
    println!("aim {words}: {}", if is_met { "met" } else { "missed" });
}

fn target(portal: &Portal, path: &str) -> Target {
    Target {
        address: portal.api.authority().to_owned(),
        path: path.to_owned(),
        authorization: portal.api.authorization().to_owned(),
    }
}

/// A core for the portal and another for the load, where there are two.
fn two_cores() -> (Option<usize>, Option<usize>) {
    let Ok(ours) = sched_getaffinity(None) else { return (None, None) };
    let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| ours.is_set(core));
    match (cores.next(), cores.next()) {
        (Some(first), Some(second)) => (Some(first), Some(second)),
        _ => (None, None),
    }
}

/// This process, and what it starts from now on, runs on `core` alone.
pub fn pin(core: Option<usize>) {
    if let Some(core) = core {
        let mut only = CpuSet::new();
        only.set(core);
        if let Err(error) = sched_setaffinity(None, &only) {
            eprintln!("Cannot keep to core {core}: {error}");
        }
    }
}

fn write_copies(data: &Path, model: &str, numbers: Range<u32>) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("Cannot run anything that waits: {error}"))?;
    runtime.block_on(copies::write(data, model, numbers)).map_err(|error| format!("Cannot write the copies: {error}"))
}
