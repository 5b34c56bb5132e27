//! `bookend-agent [--directory DIR] [--run-directory DIR]`: see the library. Made to be the first or second process of a
//! sandbox, or a machine's service that is started at every boot.

use std::path::PathBuf;
use std::process::ExitCode;

use agent::run::Places;

const USAGE: &str = "usage: bookend-agent [--directory DIR] [--run-directory DIR]
  --directory DIR      where the server's identity is and the agent's own files go; /run/bookend when absent.
                       On a machine that boots anew: /var/lib/bookend
  --run-directory DIR  where files go that are of one boot, as /run/bookend; the same when absent
  --version            print the version";
const DEFAULT_DIRECTORY: &str = "/run/bookend";
/// The portal refused this server: starting the agent again is useless (systemd: `RestartPreventExitStatus=3`).
const REFUSED: u8 = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        // The same small static binary also holds the local provisioner's environments: one file to ship.
        Some((word, rest)) if word == holder::COMMAND => holder::run(rest),
        Some((word, rest)) if word == holder::UNPACK_COMMAND => holder::run_unpack(rest),
        _ => serve(arguments),
    }
}

fn serve(arguments: Vec<String>) -> ExitCode {
    let mut directory = None;
    let mut run_directory = None;
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--directory" => match arguments.next() {
                Some(value) => directory = Some(PathBuf::from(value)),
                None => return misused("--directory needs a directory"),
            },
            "--run-directory" => match arguments.next() {
                Some(value) => run_directory = Some(PathBuf::from(value)),
                None => return misused("--run-directory needs a directory"),
            },
            "--version" => {
                println!("bookend-agent {}", env!("CARGO_PKG_VERSION"));
                return ExitCode::SUCCESS;
            }
            _ => return misused(&format!("{argument:?} is not understood")),
        }
    }
    let directory = directory.unwrap_or_else(|| PathBuf::from(DEFAULT_DIRECTORY));
    let places = Places { run_directory: run_directory.unwrap_or_else(|| directory.clone()), directory };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start: {error}"), 1),
    };
    let Err(error) = runtime.block_on(async {
        if std::process::id() == 1 {
            tokio::spawn(agent::run::reap_orphans());
        }
        agent::run::run(&places).await
    });
    failed(&error.to_string(), if matches!(error, agent::run::RunError::Refused(_)) { REFUSED } else { 1 })
}

fn misused(message: &str) -> ExitCode {
    failed(&format!("{message}\n{USAGE}"), 2)
}

fn failed(message: &str, code: u8) -> ExitCode {
    eprintln!("bookend-agent: {message}");
    ExitCode::from(code)
}
