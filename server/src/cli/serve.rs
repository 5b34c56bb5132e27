//! `serve`: the portal itself, with its log on standard error.

use std::io::IsTerminal;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use crate::serve::{ServeOptions, run as serve};

/// What `RUST_LOG` says goes before this.
const LOG: &str = "info,sqlx=warn";

pub fn run(options: ServeOptions) -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let served = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let served = runtime.block_on(serve(options)).map_err(|error| super::chain(&error));
            // What still runs in it belongs to requests that were cut; nobody waits for it.
            runtime.shutdown_background();
            served
        }
        Err(error) => Err(format!("no thread could be started: {error}")),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bookend: {why}");
            ExitCode::FAILURE
        }
    }
}
