//! How fast the provisioner `ec2` brings a fleet up and down, beside what Amazon's published buckets allow at best.
//!
//! `bench-fleet virtual ENVIRONMENTS SERVERS` brings up so many environments of so many servers, takes the servers down and
//! deletes the rest, on the fake with Amazon's delays, buckets and describes that show the past. The clock is tokio's and
//! stands still while nothing waits for it: hours pass in minutes, and a slow machine changes nothing about the figures.
//! `cargo xtask bench fleet` builds it and runs it.

mod account;
mod fleet;
mod optimum;
mod phases;

use std::process::ExitCode;

use fleet::Fleet;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let fleet = match words.as_slice() {
        ["virtual", environments, servers] => environments.parse().ok().zip(servers.parse().ok()),
        _ => None,
    };
    let Some((environments, servers)) = fleet else {
        eprintln!("usage: bench-fleet virtual ENVIRONMENTS SERVERS");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let measured = runtime
        .map_err(|error| format!("Cannot start a runtime: {error}"))
        .and_then(|runtime| runtime.block_on(phases::measure(&Fleet { environments, servers })));
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}
