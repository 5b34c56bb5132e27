//! Everything a newcomer types: `cargo xtask up`, `build`, `test`, `screenshots`, `bench`.
//!
//! This program only orders the work: it looks for what the machine lacks, calls cargo for the three parts (browser part,
//! agent, server), and puts the results together in `target/dist/`. It has no dependencies, so that the first word to a
//! newcomer comes after seconds; whatever needs libraries is a program of its own, built by it (`xtask/site`,
//! `xtask/bench`).
//!
//! Guaranteed: nothing is installed or built that is there already; a machine without network that has everything works;
//! what a task starts, it ends, also when interrupted.

use std::process::ExitCode;

mod arguments;
mod bench;
mod build;
mod debris;
mod fake_ec2;
mod fingerprint;
mod machine;
mod npm;
mod others;
mod postgres;
mod progress;
mod pypi;
mod run;
mod targets;
mod test;
mod up;
mod wasm;
mod workspace;

use arguments::Task;

/// A task ends with what went wrong and what to do about it, in words for the person at the keyboard.
pub type Outcome<T> = Result<T, String>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let task = match arguments::parse(&words) {
        Ok(task) => task,
        Err(problem) => {
            eprintln!("{problem}\n\n{}", arguments::usage(&words));
            return ExitCode::from(2);
        }
    };
    let outcome = match task {
        Task::Help => {
            println!("{}", arguments::usage(&words));
            Ok(())
        }
        Task::Up(options) => up::up(&options),
        Task::Build => up::build_only(),
        Task::Test(options) => test::test(&options),
        Task::Screenshots => test::screenshots(),
        Task::Bench(bench) => bench::bench(&bench),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("\n{problem}");
            ExitCode::FAILURE
        }
    }
}
