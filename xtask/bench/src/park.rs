//! `bench park`: how long it takes until an environment of three servers is taken down, its data kept, and until it is back
//! and healthy, measured as a person would see it. Beside it what a bare machine takes to start as many sandboxes.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::portal::Portal;
use crate::times::Times;

/// A queue, a worker and a page that need each other.
const TEMPLATE: &str = "queue";
const NAME: &str = "measured";
const SERVERS: usize = 3;

pub fn bench(dist: &Path, rounds: usize) -> Outcome<()> {
    let portal = Portal::start(dist, None)?;
    let changes = portal.api.changes()?;
    let ordered = portal.api.order(TEMPLATE, NAME)?;
    portal.await_state(&changes, &ordered, "ready")?;
    eprintln!("{rounds} times: `{TEMPLATE}` is parked and resumed");
    let (mut parked, mut resumed, mut bare) = (Times::default(), Times::default(), Times::default());
    // The first round pays for what is made once.
    for round in 0..=rounds {
        let begun = Instant::now();
        portal.api.park(NAME)?;
        portal.await_state(&changes, &ordered, "parked")?;
        let park = begun.elapsed();
        let begun = Instant::now();
        portal.api.resume(NAME)?;
        portal.await_state(&changes, &ordered, "ready")?;
        let resume = begun.elapsed();
        if round > 0 {
            parked.add(park);
            resumed.add(resume);
            bare.add(sandboxes()?);
        }
    }
    println!("park, asked to parked, its snapshot included   {parked}");
    println!("resume, asked to all {SERVERS} servers healthy        {resumed}");
    println!("{SERVERS} times a bare bwrap that imports http.server {bare}");
    portal.api.delete(NAME)?;
    portal.await_state(&changes, &ordered, "deleted")
}

/// One after the other, as the template's servers need each other; each runs what these servers run.
fn sandboxes() -> Outcome<Duration> {
    let begun = Instant::now();
    for _ in 0..SERVERS {
        let mut command = Command::new("bwrap");
        command.args(["--unshare-all", "--ro-bind", "/", "/", "python3", "-c", "import http.server"]);
        let status = command.stdin(Stdio::null()).status().map_err(|error| format!("Cannot run bwrap: {error}"))?;
        if !status.success() {
            return Err(format!("bwrap ended with {status}."));
        }
    }
    Ok(begun.elapsed())
}
