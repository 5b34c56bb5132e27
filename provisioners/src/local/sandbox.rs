//! What a server may see and do: its root, its mounts, its variables, composed as arguments for bubblewrap. Pure.
//!
//! A server's first process, the agent, and everything it starts run as one unprivileged user, `bookend` (1000), not as
//! root. Only one user exists inside, because only one may be mapped without privileges over the machine; programs that
//! refuse to run as root (PostgreSQL) run, and images whose entry points want to change from root to another user run their
//! unprivileged way, which the common ones have. In exchange the user owns every file of its disk, the image's included,
//! and may listen on any port.
//!
//! Guaranteed: no privilege can be gained (`no_new_privs`, no capabilities, no further user namespaces, setuid bits mean
//! nothing); processes, interprocess communication, host name and mounts are its own; of the machine there is `/usr`,
//! read-only, for [`Root::Host`], and nothing for an image.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use holder::{File, Launch, Outlet, Overlay};

use super::error::{LocalError, Result};
use super::layout::{inside, server};
use crate::{Host, ServerPlan};

/// The one user and group inside a server.
pub const USER: u32 = 1000;
pub const USER_NAME: &str = "bookend";
pub const HOME: &str = "/home/bookend";
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a server's disk is laid over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Its name among the images.
    pub image: String,
    /// Directories of the machine that complete it, read-only (`/usr`).
    pub from_machine: Vec<String>,
    /// Variables the image asks for.
    pub variables: BTreeMap<String, String>,
    /// Where the first process starts.
    pub directory: String,
}

/// What only this machine knows about a server's sandbox.
#[derive(Clone, Debug)]
pub struct Machine {
    /// bubblewrap's path in the holder's root.
    pub bubblewrap: String,
    /// Directory, below the agents, of the version to run.
    pub agent: String,
    pub outlet: Option<Outlet>,
    pub processes: Option<u64>,
    pub memory_per_process: Option<u64>,
}

/// The launch of one server. `identity` is the content of its identity file.
pub fn compose(plan: &ServerPlan, root: &Root, machine: &Machine, identity: &str) -> Launch {
    let home = format!("{}/servers/{}/{}", inside::ENVIRONMENT, plan.id, plan.generation);
    let overlay = Overlay {
        lower: format!("{}/{}", inside::IMAGES, root.image),
        upper: format!("{home}/disk"),
        work: format!("{home}/work"),
        at: inside::ROOT.to_owned(),
    };
    Launch {
        server: plan.id.to_string(),
        generation: plan.generation,
        address: plan.address,
        prefix: network_prefix(plan.address, &plan.hosts),
        overlays: vec![overlay],
        bubblewrap: arguments(plan, root, machine),
        files: vec![File { path: server::IDENTITY.to_owned(), content: identity.to_owned() }],
        command: vec![server::AGENT.to_owned()],
        outlet: machine.outlet.clone().filter(|_| plan.internet),
        processes: machine.processes,
        memory_per_process: machine.memory_per_process.and(plan.memory_bytes),
    }
}

fn arguments(plan: &ServerPlan, root: &Root, machine: &Machine) -> Vec<String> {
    let mut arguments = Arguments(vec![machine.bubblewrap.clone()]);
    let user = USER.to_string();
    arguments.add(&["--unshare-user", "--disable-userns", "--uid", &user, "--gid", &user]);
    arguments.add(&["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]);
    arguments.add(&["--hostname", &plan.name, "--die-with-parent", "--new-session", "--cap-drop", "ALL"]);
    // bubblewrap stays the first process inside and reaps what nobody waits for; it ends when the agent does.
    arguments.add(&["--clearenv"]);
    for (name, value) in variables(plan, root) {
        arguments.add(&["--setenv", &name, &value]);
    }
    arguments.add(&["--bind", inside::ROOT, "/"]);
    for directory in &root.from_machine {
        arguments.add(&["--ro-bind", directory, directory]);
    }
    arguments.add(&["--proc", "/proc", "--dev", "/dev"]);
    // In memory, therefore bounded: shared memory as far as the server's memory goes, the rest little.
    let shared_memory = plan.memory_bytes.map_or(256 << 20, |bytes| (bytes / 2).max(16 << 20)).to_string();
    arguments.add(&["--perms", "1777", "--size", &shared_memory, "--tmpfs", "/dev/shm"]);
    arguments.add(&["--perms", "0755", "--size", "33554432", "--tmpfs", "/run"]);
    arguments.add(&["--dir", "/run/lock", "--dir", "/run/postgresql", "--dir", "/run/bookend"]);
    arguments.add(&["--ro-bind", &format!("{}/{}/bookend-agent", inside::AGENT, machine.agent), server::AGENT]);
    arguments.add(&["--ro-bind", &format!("{}/link", inside::ENVIRONMENT), server::LINK]);
    for mount in &plan.mounts {
        let source = format!("{}/volumes/{}/data", inside::ENVIRONMENT, mount.volume);
        arguments.add(&["--bind", &source, &mount.path]);
    }
    arguments.add(&["--chdir", &root.directory]);
    arguments.0
}

struct Arguments(Vec<String>);

impl Arguments {
    fn add(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(|word| (*word).to_owned()));
    }
}

fn variables(plan: &ServerPlan, root: &Root) -> BTreeMap<String, String> {
    let own = [
        ("HOME", HOME),
        ("USER", USER_NAME),
        ("LOGNAME", USER_NAME),
        ("PATH", PATH),
        ("LANG", "C.UTF-8"),
        ("HOSTNAME", plan.name.as_str()),
    ];
    let mut variables: BTreeMap<_, _> = own.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    variables.extend(root.variables.clone());
    variables
}

/// The smallest network, `/24` or larger, that all servers of an environment are in.
fn network_prefix(address: Ipv4Addr, hosts: &[Host]) -> u8 {
    let differences = hosts.iter().fold(0, |bits, host| bits | (host.address.to_bits() ^ address.to_bits()));
    u8::try_from(differences.leading_zeros()).unwrap_or(0).min(24)
}

/// `/etc/hosts` of a server: itself and its peers by name.
pub fn hosts_file(plan: &ServerPlan) -> String {
    let mut text = String::from("127.0.0.1 localhost\n::1 localhost ip6-localhost\n");
    for host in &plan.hosts {
        text.push_str(&format!("{} {}\n", host.address, host.name));
    }
    text
}

/// Refuses, in words for the template's author, what no server can be made of.
pub fn check(plan: &ServerPlan) -> Result<()> {
    let refuse = |message: String| Err(LocalError::Refused(message));
    for name in plan.hosts.iter().map(|host| &host.name).chain([&plan.name]) {
        let label =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if name.is_empty() || name.len() > 63 || name.starts_with('-') || !label(name) {
            return refuse(format!("“{name}” cannot be a server's name: use lower-case letters, digits and hyphens."));
        }
    }
    for mount in &plan.mounts {
        let path = &mount.path;
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let plain = |part: &&str| !part.is_empty() && *part != "." && *part != ".." && !part.contains(['\0', '\n']);
        if !path.starts_with('/') || !parts.iter().all(plain) {
            return refuse(format!("A volume cannot be mounted at “{path}”: give an absolute path without “..”."));
        }
        let reserved = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "proc", "dev", "sys", "run"];
        if parts.first().is_some_and(|first| reserved.contains(first)) || path == "/etc" || path == "/var/run" {
            return refuse(format!("A volume cannot be mounted at {path}: that place belongs to the system."));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Image, ServerId, VolumeId, VolumeMount};

    fn plan() -> ServerPlan {
        let host = |name: &str, last| Host { name: name.to_owned(), address: Ipv4Addr::new(10, 0, 0, last) };
        ServerPlan {
            id: ServerId::new("s"),
            name: "web".to_owned(),
            generation: 3,
            address: Ipv4Addr::new(10, 0, 0, 2),
            image: Image::Host,
            alias: None,
            architecture: None,
            cpu_millis: None,
            memory_bytes: None,
            mounts: Vec::new(),
            hosts: vec![host("web", 2), host("db", 3)],
            internet: false,
            spot: false,
            hibernates: false,
        }
    }

    #[test]
    fn peers_are_found_by_name() {
        assert_eq!(
            hosts_file(&plan()),
            "127.0.0.1 localhost\n::1 localhost ip6-localhost\n10.0.0.2 web\n10.0.0.3 db\n"
        );
    }

    #[test]
    fn all_servers_of_an_environment_share_one_network_however_many_there_are() {
        let mut plan = plan();
        assert_eq!(network_prefix(plan.address, &plan.hosts), 24);
        plan.hosts.push(Host { name: "far".to_owned(), address: Ipv4Addr::new(10, 0, 3, 9) });
        assert_eq!(network_prefix(plan.address, &plan.hosts), 22);
    }

    #[test]
    fn volumes_may_not_cover_the_system_or_climb_out() {
        for path in ["/", "data", "/a/../b", "/usr/share", "/run/bookend", "/proc", "/a//b", "/a\n", "/etc", ""] {
            let mut plan = plan();
            plan.mounts = vec![VolumeMount { volume: VolumeId::new("v"), path: path.to_owned() }];
            assert!(matches!(check(&plan), Err(LocalError::Refused(_))), "{path:?} was accepted");
        }
        let mut plan = plan();
        plan.mounts = vec![VolumeMount { volume: VolumeId::new("v"), path: "/var/lib/postgresql/data".to_owned() }];
        assert!(check(&plan).is_ok());
    }
}
