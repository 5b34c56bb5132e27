//! One server's way into being, in a forked child of the holder: control groups, network, overlays, limits, then
//! bubblewrap takes over. Whatever fails is said on standard error, where bubblewrap says it too.

use std::fs;
use std::io::{Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::FdFlags;
use rustix::mount::{MountFlags, mount};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::failure::{Attempt, Failure};
use crate::netlink::{Inner, Interfaces, LOOPBACK};
use crate::protocol::{File, Launch, Outlet, Overlay};
use crate::sys;
use crate::world::BRIDGE;

/// The server's interface in the private network, by the name it has in the server.
const INTERFACE: &str = "eth0";

/// What the holder hands its child.
pub struct Surroundings<'a> {
    /// The environment's network namespace.
    pub network: BorrowedFd<'a>,
    /// Name of the bridge's port.
    pub port: &'a str,
    /// Open files of control groups: who writes 0 to them joins.
    pub control_groups: &'a [OwnedFd],
    /// Takes bubblewrap's status, JSON by line.
    pub status: OwnedFd,
    /// The sandbox waits until this can be read.
    pub release: OwnedFd,
    /// Standard output and standard error.
    pub output: OwnedFd,
}

/// Never returns: ends as the sandbox, or with the reason on `output`.
pub fn become_server(launch: &Launch, surroundings: Surroundings<'_>) -> ! {
    let mut output = match surroundings.output.try_clone() {
        Ok(output) => fs::File::from(output),
        Err(_) => sys::exit_now(1),
    };
    let Err(failure) = start(launch, surroundings);
    let _ = writeln!(output, "{failure}");
    sys::exit_now(1)
}

fn start(launch: &Launch, surroundings: Surroundings<'_>) -> Result<std::convert::Infallible, Failure> {
    for group in surroundings.control_groups {
        rustix::io::write(group, b"0").attempting(|| "join a control group".to_owned())?;
    }
    // When memory runs out on the machine, a server goes before the portal does.
    let _ = fs::write("/proc/self/oom_score_adj", "500");
    join_network(launch, &surroundings)?;
    for overlay in &launch.overlays {
        mount_overlay(overlay)?;
    }
    if let Some(bytes) = launch.memory_per_process {
        let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
        setrlimit(Resource::Data, limit).attempting(|| "limit memory".to_owned())?;
    }
    let Some((program, arguments)) = launch.bubblewrap.split_first() else {
        return Err(std::io::Error::from(std::io::ErrorKind::InvalidInput)).attempting(|| "find bubblewrap".to_owned());
    };
    let mut command = Command::new(program);
    command.args(arguments);
    let mut inherited = Vec::new();
    for file in &launch.files {
        let content = in_memory(file).attempting(|| format!("write {}", file.path))?;
        command.args(["--perms", "0400", "--file"]).arg(content.as_raw_fd().to_string()).arg(&file.path);
        inherited.push(content);
    }
    command.arg("--json-status-fd").arg(surroundings.status.as_raw_fd().to_string());
    command.arg("--block-fd").arg(surroundings.release.as_raw_fd().to_string());
    command.arg("--").args(&launch.command);
    inherited.extend([surroundings.status, surroundings.release]);
    for descriptor in &inherited {
        rustix::io::fcntl_setfd(descriptor, FdFlags::empty()).attempting(|| "pass a descriptor".to_owned())?;
    }
    let output = surroundings.output.try_clone().attempting(|| "pass the output".to_owned())?;
    command.env_clear().stdin(Stdio::null()).stdout(output).stderr(surroundings.output);
    Err(command.exec()).attempting(|| format!("run {program}"))
}

/// Leaves the machine's network for a new one that has one interface, a port of the environment's bridge.
fn join_network(launch: &Launch, surroundings: &Surroundings<'_>) -> Result<(), Failure> {
    sys::join_network(surroundings.network).attempting(|| "join the environment's network".to_owned())?;
    let environment = Interfaces::here().attempting(|| "reach the environment's network".to_owned())?;
    let bridge = sys::interface_index(BRIDGE).attempting(|| "find the environment's bridge".to_owned())?;
    sys::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS).attempting(|| "make the server's network".to_owned())?;
    // Servers are not root inside, and yet may serve port 80; `ping` works without raw sockets. Neighbours speak IPv4.
    set("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")?;
    set("/proc/sys/net/ipv4/ping_group_range", "0 0")?;
    let _ = fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    let server = Interfaces::here().attempting(|| "reach the server's network".to_owned())?;
    server.raise(LOOPBACK).attempting(|| "raise the loopback interface".to_owned())?;
    let namespace = fs::File::open("/proc/self/ns/net").attempting(|| "find the server's network".to_owned())?;
    let namespace = u32::try_from(namespace.as_fd().as_raw_fd()).map(|number| (number, namespace));
    let (number, _open) = namespace.map_err(std::io::Error::other).attempting(|| "number a descriptor".to_owned())?;
    let inner = Inner { name: INTERFACE, address: launch.address, namespace: number };
    environment
        .create_pair(surroundings.port, bridge, &inner)
        .attempting(|| "join the server to the environment's network".to_owned())?;
    let index = sys::interface_index(INTERFACE).attempting(|| format!("find {INTERFACE}"))?;
    server
        .add_address(index, launch.address, launch.prefix)
        .attempting(|| format!("give the server the address {}", launch.address))?;
    server.raise(index).attempting(|| format!("raise {INTERFACE}"))?;
    for (network, prefix) in launch.outlet.iter().flat_map(|outlet| &outlet.unreachable) {
        server.refuse(*network, *prefix).attempting(|| format!("close off {network}/{prefix}"))?;
    }
    Ok(())
}

fn set(path: &str, value: &str) -> Result<(), Failure> {
    fs::write(path, value).attempting(|| format!("write {path}"))
}

fn mount_overlay(overlay: &Overlay) -> Result<(), Failure> {
    let Overlay { lower, upper, work, at } = overlay;
    // `userxattr`: the only way an overlay may keep its notes inside a user namespace.
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work},userxattr");
    let options =
        std::ffi::CString::new(options).map_err(std::io::Error::from).attempting(|| "name the overlay".to_owned())?;
    mount("overlay", at.as_str(), "overlay", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str())
        .attempting(|| format!("mount an overlay of {lower}"))
}

fn in_memory(file: &File) -> std::io::Result<OwnedFd> {
    let mut memory = fs::File::from(memfd_create("bookend", MemfdFlags::CLOEXEC)?);
    memory.write_all(file.content.as_bytes())?;
    memory.rewind()?;
    Ok(memory.into())
}

/// Starts the server's way out, in the machine's network.
pub fn start_outlet(outlet: &Outlet, server: u32) -> std::io::Result<u32> {
    let namespace = format!("/proc/{server}/ns/net");
    let mut words = outlet.command.iter().map(|word| word.replace("{netns}", &namespace));
    let program = words.next().unwrap_or_default();
    let mut command = Command::new(program);
    command.args(words).env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command.spawn()?.id())
}
