//! The holder: one small process per environment of the local provisioner, which *is* that environment's place.
//!
//! It runs as an unprivileged user in namespaces of its own (user, process, mount) and keeps the environment's private
//! network: a network namespace with one bridge. Every server of the environment is its child. That makes it the one thing
//! to find again and the one thing to end:
//!
//! - It is the first process of its process namespace: when it ends, by whatever signal, the kernel ends every server, and
//!   with them go their mounts, their network interfaces, their namespaces. There is nothing to sweep up but directories.
//! - It outlives the portal. A portal that comes back connects to the holder's socket and asks ([`Request::List`]); how a
//!   server ended is known here even if nobody was there to see it. No process id is ever written down, so none can be
//!   mistaken for a recycled one.
//! - Its root directory holds the system's `/usr` read-only and this environment's own directory, and nothing else of the
//!   machine: a server that broke out of its sandbox would find no other environment here, and no portal.
//!
//! It decides nothing. What a server may see and do is composed by the provisioner and arrives as a [`Launch`]. One thread,
//! one `poll` loop; a launch happens in a forked child, so launches run side by side.
//!
//! Deliberately absent: any listening beyond its socket, any state on disk, any restart of anything.

mod failure;
mod launch;
mod netlink;
mod protocol;
mod serve;
mod server;
mod sys;
mod unpack;
mod world;

use std::fs::File as OpenFile;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

pub use protocol::{
    Bind, File, Launch, Outlet, Overlay, Reply, Request, ServerState, ServerStatus, VERSION, World, ended_by_signal,
};

pub use unpack::Unpack;

/// The words that select these programs in the binary that carries them.
pub const COMMAND: &str = "holder";
pub const UNPACK_COMMAND: &str = "unpack";

/// Moves this process, which must have one thread only, into a server's network and gives its loopback further addresses:
/// for an outlet that answers there itself.
///
/// # Errors
/// When the network is gone, or is not below a user namespace of this process.
pub fn enter_network(namespace: &Path, addresses: &[Ipv4Addr]) -> std::io::Result<()> {
    sys::join_network(OpenFile::open(namespace)?.as_fd())?;
    let interfaces = netlink::Interfaces::here()?;
    addresses.iter().try_for_each(|address| interfaces.add_address(netlink::LOOPBACK, *address, 32))
}

/// Unpacks an image: `<binary> unpack <Unpack as JSON>`. Says why not on standard output.
#[must_use]
pub fn run_unpack(arguments: &[String]) -> ExitCode {
    let plan = match arguments {
        [json] => serde_json::from_str::<Unpack>(json).map_err(|error| error.to_string()),
        _ => Err("usage: unpack <plan>; started by the portal, not by hand".to_owned()),
    };
    match plan.and_then(|plan| unpack::unpack(&plan).map_err(|failure| failure.to_string())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            println!("{reason}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a holder: `<binary> holder <World as JSON>`, with the locked file of the environment as standard input and a pipe
/// that takes one line, `ready` or the reason why not, as standard output. Returns when the holder is up (in the process
/// that was started) and never in the holder itself.
#[must_use]
pub fn run(arguments: &[String]) -> ExitCode {
    let world = match arguments {
        [json] => serde_json::from_str::<World>(json).map_err(|error| error.to_string()),
        _ => Err("usage: holder <world>; started by the portal, not by hand".to_owned()),
    };
    let outcome = world.and_then(|world| world::enter(&world, serve::serve).map_err(|failure| failure.to_string()));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            println!("{reason}");
            ExitCode::FAILURE
        }
    }
}
