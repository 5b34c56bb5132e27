//! `bench order`: how long a person waits for a server, measured as a person would see it.
//!
//! A release portal, its real REST API, the scratch template: the time from sending the order to reading that the environment
//! is ready, told by the portal's events rather than by asking again and again. Beside it, in turn with the orders and so
//! under the same conditions, a bare bubblewrap that runs `true`, and `docker run` where a Docker daemon answers. Then many
//! orders at once: until all are ready, and what a server takes in memory.

pub mod placing;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::portal::Portal;
use crate::times::Times;

const TEMPLATE: &str = "scratch";
const AIM_P50: Duration = Duration::from_millis(50);
const AIM_P99: Duration = Duration::from_millis(150);

pub fn bench(dist: &Path, one_by_one: usize, at_once: usize) -> Outcome<()> {
    let portal = Portal::start(dist, None)?;
    let changes = portal.api.changes()?;
    let docker = docker_image();
    eprintln!("{one_by_one} orders of `{TEMPLATE}`, one after the other");
    // The first ones pay for what is made once: caches, connections, pages of the programs.
    for number in 0..3 {
        placing::order_until_ready(&portal, &changes, &format!("warm-{number}"))?;
    }
    let (mut ordered, mut bare, mut contained) = (Times::default(), Times::default(), Times::default());
    for number in 0..one_by_one {
        ordered.add(placing::order_until_ready(&portal, &changes, &format!("one-{number}"))?);
        bare.add(timed(Command::new("bwrap").args(["--unshare-all", "--ro-bind", "/", "/", "true"]))?);
        if let Some(image) = docker.as_ref().filter(|_| number < 20) {
            contained.add(timed(Command::new("docker").args(["run", "--rm", "--entrypoint", "true", image]))?);
        }
    }
    println!("order, API call to healthy   {ordered}");
    println!("bwrap --unshare-all … true   {bare}");
    match docker {
        Some(image) => println!("docker run --rm {image} true   {contained}"),
        None => println!("docker run                   not measured: no Docker daemon with an image answers here"),
    }
    let met = ordered.quantile(0.50) <= AIM_P50 && ordered.quantile(0.99) <= AIM_P99;
    println!("aim p50 ≤ {AIM_P50:?}, p99 ≤ {AIM_P99:?}: {}\n", if met { "met" } else { "missed" });

    if at_once == 0 {
        return Ok(());
    }
    eprintln!("{at_once} orders at once");
    let together = placing::order_at_once(&portal, TEMPLATE, at_once)?;
    println!("{at_once} orders at once: all ready after {:.2} s", together.all_ready.as_secs_f64());
    println!("each, from confirmed to ready  {}", together.each);
    let mebibytes = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
    println!(
        "memory when all are up: {:.1} MiB per server ({:.1} processes each; shared pages by share), portal {:.0} MiB at most",
        mebibytes(together.memory.servers / at_once as u64),
        together.memory.processes as f64 / at_once as f64,
        mebibytes(together.memory.portal_peak),
    );
    Ok(())
}

/// How long a program takes from being asked for to its end.
fn timed(command: &mut Command) -> Outcome<Duration> {
    let begun = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let took = begun.elapsed();
    match status {
        Ok(status) if status.success() => Ok(took),
        Ok(status) => Err(format!("{:?} ended with {status}.", command.get_program())),
        Err(error) => Err(format!("Cannot run {:?}: {error}", command.get_program())),
    }
}

/// An image the local Docker daemon has already, if there is a daemon.
fn docker_image() -> Option<String> {
    let listed = Command::new("docker").args(["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]).output().ok()?;
    let names = String::from_utf8(listed.stdout).ok()?;
    names.lines().find(|name| listed.status.success() && !name.contains("<none>")).map(str::to_owned)
}
