//! How fast the provisioner `ec2` brings a fleet up and down, beside what Amazon's published buckets allow at best.
//!
//! `bench-fleet virtual ENVIRONMENTS SERVERS` brings up so many environments of so many servers, takes the servers down and
//! deletes the rest, on the fake with Amazon's delays, buckets and describes that show the past. The clock is tokio's and
//! stands still while nothing waits for it: hours pass in minutes, and a slow machine changes nothing about the figures.
//!
//! `bench-fleet custodian PROGRAM SERVERS` has Cloud Custodian stop as many servers, on a fake of the same rules.
//! `cargo xtask bench fleet` builds it and runs both.

mod account;
mod custodian;
mod fleet;
mod optimum;
mod phases;

use std::path::Path;
use std::process::ExitCode;

use fleet::Fleet;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let measured = match words.as_slice() {
        ["virtual", environments, servers] => numbers([environments, servers]).map(ours),
        ["custodian", program, servers] => numbers([servers]).map(|[servers]| theirs(Path::new(program), servers)),
        _ => None,
    };
    match measured {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(problem)) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
        None => {
            eprintln!("usage: bench-fleet virtual ENVIRONMENTS SERVERS\n       bench-fleet custodian PROGRAM SERVERS");
            ExitCode::from(2)
        }
    }
}

fn numbers<const COUNT: usize>(words: [&str; COUNT]) -> Option<[usize; COUNT]> {
    let numbers: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    numbers.try_into().ok()
}

fn ours([environments, servers]: [usize; 2]) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.map_err(unstarted)?.block_on(phases::measure(&Fleet { environments, servers }))
}

/// On a clock that goes as it does, for Cloud Custodian waits on ours.
fn theirs(program: &Path, servers: usize) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(unstarted)?.block_on(custodian::measure(program, servers))
}

fn unstarted(error: std::io::Error) -> String {
    format!("Cannot start a runtime: {error}")
}
