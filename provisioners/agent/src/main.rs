use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        // The same small static binary also holds the local provisioner's environments: one file to ship.
        Some((word, rest)) if word == holder::COMMAND => holder::run(rest),
        Some((word, rest)) if word == holder::UNPACK_COMMAND => holder::run_unpack(rest),
        _ => ExitCode::SUCCESS,
    }
}
