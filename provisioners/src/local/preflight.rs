//! What the machine must offer, tried out for real before anything is promised: one environment with one server that does
//! nothing, made and removed. What fails says what to do about it, in one command where there is one.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use holder::{Reply, Request, ServerState};
use rustix::fs::{FlockOperation, flock};

use super::disk::{self, Owner, Trash};
use super::error::{Attempt, LocalError};
use super::holder as client;
use super::image::host;
use super::layout::{EnvironmentLayout, Layout, inside};
use super::limits::{Limits, PORTAL_GROUP};
use super::sandbox::{self, Machine};
use super::tools::Tools;
use super::tree::{self, Support};
use super::{Config, SERVERS_USER, network, outlet};
use crate::{Architecture, Capabilities, Image, ServerId, ServerPlan};

/// Why servers cannot be had on this machine, and what would change that.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "bubblewrap is not installed, and local servers are made with it. Install it: sudo apt-get install bubblewrap"
    )]
    NoBubblewrap,
    #[error("The agent is not at {}. Build it (cargo xtask build) or say where it is.", .0.display())]
    NoAgent(PathBuf),
    #[error("Another portal uses {}. Stop it, or give this one another data directory.", .0.display())]
    InUse(PathBuf),
    #[error("The data directory cannot be used: {0}")]
    Directory(#[source] LocalError),
    #[error("This kernel does not let ordinary users make namespaces ({reason}). {remedy}")]
    NoNamespaces { reason: String, remedy: String },
    #[error("A server could not be started on this machine: {reason}. {remedy}")]
    NoServers { reason: String, remedy: String },
    #[error("Opening was interrupted: {0}")]
    Interrupted(String),
}

/// All that was found out.
pub struct Opened {
    pub layout: Layout,
    pub tools: Tools,
    pub trash: Trash,
    pub capabilities: Capabilities,
    pub lock: File,
}

pub fn open(config: &Config) -> Result<Opened, OpenError> {
    let layout = Layout::new(config.directory.clone());
    let lock = own(&layout)?;
    let bubblewrap = search("bwrap").ok_or(OpenError::NoBubblewrap)?;
    // Root keeps its own rights out of everything a server could reach.
    let owner: Owner = rustix::process::geteuid().is_root().then_some((SERVERS_USER, SERVERS_USER));
    let prepared = prepare(&layout, config, owner);
    let (trash, agent, host, tag, support) = match prepared {
        Ok(prepared) => prepared,
        Err(error) if config.agent.is_file() => return Err(OpenError::Directory(error)),
        Err(_) => return Err(OpenError::NoAgent(config.agent.clone())),
    };
    let limits = Limits::find(&tag);
    let (outlet, separate_disks) = (outlet::find(search), config.separate_disks);
    let tools = Tools { owner, agent, bubblewrap, host, outlet, limits, support, separate_disks };
    try_out(&layout, &tools, &trash)?;
    let capabilities = capabilities(&tools);
    Ok(Opened { layout, tools, trash, capabilities, lock })
}

/// Makes the directory if need be and takes it for this process.
fn own(layout: &Layout) -> Result<File, OpenError> {
    disk::make_directory(layout.root()).map_err(OpenError::Directory)?;
    disk::set_mode(layout.root(), 0o700).map_err(OpenError::Directory)?;
    let path = layout.lock();
    let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let lock = lock.attempting(|| format!("open {}", path.display())).map_err(OpenError::Directory)?;
    // The lock of a portal that was just killed lives until its last half-started child does: a moment.
    for _ in 0..100 {
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Ok(lock);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(OpenError::InUse(layout.root().to_owned()))
}

type Prepared = (Trash, String, super::image::Root, String, Support);

fn prepare(layout: &Layout, config: &Config, owner: Owner) -> Result<Prepared, LocalError> {
    let trash = Trash::open(layout.trash())?;
    trash.sweep()?;
    disk::make_directory(&layout.environments())?;
    disk::make_directory(&layout.snapshots())?;
    disk::make_directory(&layout.agents())?;
    disk::make_directory_for(&layout.images(), owner)?;
    // Images a killed portal was still making.
    for name in disk::names(&layout.images())?.iter().filter(|name| name.starts_with('.')) {
        trash.take(&layout.images().join(name))?;
    }
    let host = host::prepare(layout, owner, &trash)?;
    let agent = keep_agent(layout, &config.agent, &trash)?;
    Ok((trash, agent, host, installation(layout)?, tree::support(&layout.trash())?))
}

/// Copies the agent to where holders find it, under a name that changes when it does. Older versions go: who runs one has
/// it open.
fn keep_agent(layout: &Layout, agent: &Path, trash: &Trash) -> Result<String, LocalError> {
    let attempt = || format!("read the agent at {}", agent.display());
    let metadata = std::fs::metadata(agent).attempting(attempt)?;
    let name = format!("{:x}-{:x}-{:x}", metadata.len(), metadata.mtime(), metadata.mtime_nsec());
    let directory = layout.agents().join(&name);
    if !directory.join("bookend-agent").is_file() {
        let fresh = layout.agents().join(".new");
        trash.take(&fresh)?;
        disk::make_directory(&fresh)?;
        std::fs::copy(agent, fresh.join("bookend-agent")).attempting(attempt)?;
        disk::set_mode(&fresh.join("bookend-agent"), 0o755)?;
        disk::set_mode(&fresh, 0o755)?;
        disk::rename(&fresh, &directory)?;
    }
    for other in disk::names(&layout.agents())?.iter().filter(|other| **other != name) {
        trash.take(&layout.agents().join(other))?;
    }
    Ok(name)
}

/// A short name of this installation, made once.
fn installation(layout: &Layout) -> Result<String, LocalError> {
    if let Some(name) = disk::read(&layout.installation())? {
        return Ok(name);
    }
    let name: String = disk::unique_name()?.chars().take(8).collect();
    disk::write_whole(&layout.installation(), name.as_bytes(), 0o600)?;
    Ok(name)
}

/// Looks a program up on the `PATH` and where systems keep theirs.
fn search(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/bin"].map(PathBuf::from);
    let candidates = std::env::split_paths(&path).chain(usual).map(|directory| directory.join(program));
    let runs =
        |path: &PathBuf| path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
    candidates.filter(|path| path.is_absolute()).find(runs)
}

/// Makes an environment with a server that ends at once, and removes it, unless that went well before and nothing changed.
fn try_out(layout: &Layout, tools: &Tools, trash: &Trash) -> Result<(), OpenError> {
    let trial = layout.trial();
    // One that an earlier portal was killed in.
    network::delete(&trial, trash).map_err(OpenError::Directory)?;
    let circumstances = circumstances(tools);
    if disk::read(&layout.tried()).ok().flatten().as_deref() == Some(circumstances.as_str()) {
        return Ok(());
    }
    let made = network::create(layout, &trial, tools).map_err(|error| no_namespaces(&error));
    let tried = made.and_then(|_| run_nothing(&trial, tools));
    let removed = network::delete(&trial, trash).map_err(OpenError::Directory);
    tried.and(removed)?;
    disk::write_whole(&layout.tried(), circumstances.as_bytes(), 0o600).map_err(OpenError::Directory)
}

/// What a trial's outcome depends on: this boot, these programs.
fn circumstances(tools: &Tools) -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let bubblewrap = std::fs::metadata(&tools.bubblewrap).map(|found| (found.ino(), found.mtime()));
    format!("{} {:?} {} {} {:?}\n", boot.trim(), bubblewrap.ok(), tools.agent, tools.host.image, tools.owner)
}

fn run_nothing(trial: &EnvironmentLayout, tools: &Tools) -> Result<(), OpenError> {
    let plan = ServerPlan {
        id: ServerId::new("trial"),
        name: "trial".to_owned(),
        generation: 1,
        address: Ipv4Addr::new(10, 0, 0, 2),
        image: Image::Host,
        alias: None,
        architecture: None,
        cpu_millis: None,
        memory_bytes: None,
        mounts: Vec::new(),
        hosts: Vec::new(),
        internet: false,
        spot: false,
        hibernates: false,
    };
    let directory = trial.generation(&plan.id, plan.generation);
    for name in ["disk", "work"] {
        disk::make_directory_for(&directory.join(name), tools.owner).map_err(OpenError::Directory)?;
    }
    let machine = Machine {
        bubblewrap: inside::BUBBLEWRAP.to_owned(),
        agent: tools.agent.clone(),
        outlet: None,
        processes: None,
        memory_per_process: None,
    };
    let mut launch = sandbox::compose(&plan, &tools.host, &machine, "");
    launch.command = vec!["/usr/bin/env".to_owned(), "true".to_owned()];
    match client::request(trial, &Request::Launch(Box::new(launch)), &[]) {
        Ok(Some(Reply::Launched)) => ended_well(trial),
        Ok(Some(Reply::Failed { reason })) => Err(no_servers(reason)),
        Ok(_) => Err(no_servers("its environment's holder ended".to_owned())),
        Err(error) => Err(no_servers(error.to_string())),
    }
}

/// Waits for the trial server's end.
fn ended_well(trial: &EnvironmentLayout) -> Result<(), OpenError> {
    let gone = || no_servers("its environment's holder ended".to_owned());
    let connection = client::connect(trial).ok().flatten().ok_or_else(gone)?;
    client::send(&connection, &Request::Watch, &[]).map_err(|_| gone())?;
    for line in BufReader::new(connection).lines() {
        let line = line.map_err(|_| gone())?;
        let Ok(Reply::Servers { servers, .. }) = serde_json::from_str(&line) else { continue };
        match servers.first().map(|status| &status.state) {
            Some(ServerState::Ended { reason }) if reason == "ended with code 0" => return Ok(()),
            Some(ServerState::Ended { reason } | ServerState::Failed { reason }) => {
                return Err(no_servers(reason.clone()));
            }
            _ => {}
        }
    }
    Err(gone())
}

fn no_servers(reason: String) -> OpenError {
    let remedy = if reason.contains("overlay") {
        "Linux 5.11 or newer is needed, and a data directory on a filesystem that overlays can be written to, such as \
         ext4, xfs or btrfs."
    } else if reason.contains("--disable-userns") || reason.contains("Unknown option") {
        "bubblewrap 0.8 or newer is needed: sudo apt-get install bubblewrap"
    } else {
        "The portal needs Linux 5.12 or newer with user namespaces; inside a container, it needs one that allows them."
    };
    OpenError::NoServers { reason, remedy: remedy.to_owned() }
}

/// The settings by which systems forbid namespaces, and the command that allows them.
fn no_namespaces(error: &LocalError) -> OpenError {
    let setting = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let settings = [
        ("/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces=65536"),
        ("/proc/sys/user/max_net_namespaces", "0", "user.max_net_namespaces=65536"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ];
    let found = settings.iter().find(|(path, forbidding, _)| setting(path).as_deref() == Some(*forbidding));
    let reason = error.to_string();
    let remedy = match found {
        Some((_, _, allow)) => format!("Allow it: sudo sysctl -w {allow}"),
        None if !["namespace", "uid_map", "mount"].iter().any(|word| reason.contains(word)) => {
            return no_servers(reason);
        }
        None => "Inside a container, start it so that it may (podman: --security-opt unmask=ALL, docker: \
                 --security-opt seccomp=unconfined)."
            .to_owned(),
    };
    OpenError::NoNamespaces { reason, remedy }
}

fn capabilities(tools: &Tools) -> Capabilities {
    let mut notes = Vec::new();
    if !tools.limits.by_groups() {
        notes.push(format!(
            "No control groups may be used here: memory is limited for each process, CPU not at all. Start the portal as \
             a systemd service with Delegate=yes and DelegateSubgroup={PORTAL_GROUP} to have both."
        ));
    }
    if tools.outlet.is_none() {
        notes.push("Servers cannot reach the internet: install passt (sudo apt-get install passt).".to_owned());
    }
    if tools.separate_disks {
        notes.push("Servers share no disk, as it was asked for: each has its own copy of a shared volume.".to_owned());
    }
    notes.push("Sizes of volumes are noted, not enforced: volumes are directories.".to_owned());
    match tools.support {
        Support { subvolumes: true, .. } => {
            notes.push("Snapshots are btrfs subvolumes: taken at once, whatever their size.".to_owned());
        }
        Support { reflinks: true, .. } => {
            notes.push("Snapshots are reflinks: files share their blocks until one of them changes.".to_owned());
        }
        _ => notes.push(
            "Snapshots are copies: put the portal's data directory on btrfs or XFS to have them at once and for less room."
                .to_owned(),
        ),
    }
    Capabilities {
        closed: None,
        oci_images: true,
        own_images: Vec::new(),
        usual: None,
        without: Architecture::ALL.into_iter().filter_map(|one| Some((one, super::lacks(one)?))).collect(),
        host_software: true,
        internet: tools.outlet.is_some(),
        cgroups: tools.limits.by_groups(),
        shared_volumes: !tools.separate_disks,
        instant_snapshots: tools.support.subvolumes,
        suspends: false,
        notes,
    }
}
