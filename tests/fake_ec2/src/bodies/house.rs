//! The holder that is the VPC: started with the fake, asked to start and stop instances, ended with the fake.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use holder::{Bind, Launch, Outlet, Reply, Request, ServerState, World};
use rustix::fs::{FlockOperation, flock};

use super::{GATEWAY, LIFELINE, SURROUNDINGS, portal};

/// In the holder's root.
const HOME: &str = "/run/bodies";
const PROGRAM: &str = "/run/fake-ec2";
const BUBBLEWRAP: &str = "/run/bwrap";
/// In the VPC's network, `172.31.0.0/16`.
const PREFIX: u8 = 16;
/// The program that ends everything when the fake has ended; the address is one Amazon keeps for itself.
const WATCH: &str = "lifeline";
const WATCH_ADDRESS: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 2);

pub struct House {
    directory: PathBuf,
    portal: Option<SocketAddr>,
}

impl House {
    pub fn open(directory: &Path, owner: Option<u32>, portal: Option<SocketAddr>) -> Result<Self, String> {
        let house = Self { directory: directory.to_owned(), portal };
        let socket_directory = directory.join("holder");
        fs::create_dir_all(&socket_directory).map_err(|error| error.to_string())?;
        if let Some(user) = owner {
            let given = std::os::unix::fs::chown(&socket_directory, Some(user), Some(user));
            given.map_err(|error| format!("cannot give the holder its directory: {error}"))?;
        }
        portal::listen(directory, portal)?;
        house.start_holder(owner)?;
        let watch = vec![PROGRAM.to_owned(), LIFELINE.to_owned()];
        let watch = [watch, vec![format!("{HOME}/life.sock"), format!("{HOME}/holder/holder.sock")]].concat();
        let mut arguments = vec![BUBBLEWRAP.to_owned()];
        add(&mut arguments, &["--die-with-parent", "--ro-bind", "/", "/"]);
        house.launch(WATCH, 1, WATCH_ADDRESS, arguments, watch, None)?;
        Ok(house)
    }

    /// A holder of an earlier fake ends first: it holds the lock until it does.
    fn start_holder(&self, owner: Option<u32>) -> Result<(), String> {
        let lock = File::create(self.directory.join("lock")).map_err(|error| format!("cannot make a lock: {error}"))?;
        let _ = self.ask(&Request::End);
        for _ in 0..500 {
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
                return self.start_with(lock, owner);
            }
            // Another process is ending: the kernel tells nobody when.
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(format!("another fake uses {}", self.directory.display()))
    }

    fn start_with(&self, lock: File, owner: Option<u32>) -> Result<(), String> {
        let world = serde_json::to_string(&self.world(owner)?).map_err(|error| error.to_string())?;
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.arg(holder::COMMAND).arg(world).env_clear().current_dir("/");
        command.stdin(Stdio::from(lock)).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| format!("cannot start the holder: {error}"))?;
        let mut said = String::new();
        if let Some(output) = child.stdout.take() {
            let _ = BufReader::new(output).read_line(&mut said);
        }
        let _ = child.wait();
        match said.trim() {
            "ready" => Ok(()),
            reason => Err(format!("this machine cannot hold instances: {reason}")),
        }
    }

    fn world(&self, owner: Option<u32>) -> Result<World, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let bubblewrap = ["/usr/bin/bwrap", "/usr/local/bin/bwrap"].into_iter().find(|path| Path::new(path).exists());
        let bubblewrap = bubblewrap.ok_or("bubblewrap is missing: install the package bubblewrap")?;
        let bind = |from: &Path, to: &str, writable| Bind {
            from: from.to_string_lossy().into_owned(),
            to: to.to_owned(),
            writable,
        };
        let mut binds = vec![
            bind(&self.directory, HOME, true),
            bind(&program, PROGRAM, false),
            bind(Path::new(bubblewrap), BUBBLEWRAP, false),
        ];
        for device in ["null", "zero", "full", "random", "urandom", "tty"] {
            let path = Path::new("/dev").join(device);
            binds.push(bind(&path, &path.to_string_lossy(), true));
        }
        if Path::new("/etc/ld.so.cache").exists() {
            binds.push(bind(Path::new("/etc/ld.so.cache"), "/etc/ld.so.cache", false));
        }
        let mut links = BTreeMap::new();
        for name in ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
            let path = Path::new("/").join(name);
            match fs::read_link(&path) {
                Ok(target) => drop(links.insert(format!("/{name}"), target.to_string_lossy().into_owned())),
                Err(_) if path.is_dir() => binds.push(bind(&path, &format!("/{name}"), false)),
                Err(_) => {}
            }
        }
        Ok(World {
            incarnation: "fake-ec2".to_owned(),
            user: owner.map(|user| (user, user)),
            binds,
            links,
            socket: format!("{HOME}/holder/holder.sock"),
        })
    }

    /// Instances that run, with their boot.
    pub fn running(&self) -> BTreeMap<String, i64> {
        let Ok(Reply::Servers { servers, .. }) = self.ask(&Request::List) else { return BTreeMap::new() };
        servers
            .into_iter()
            .filter(|one| one.server != WATCH && matches!(one.state, ServerState::Launching | ServerState::Running))
            .map(|one| (one.server, one.generation))
            .collect()
    }

    pub fn start(&self, instance: &str, boot: i64, address: Ipv4Addr, architecture: &str) -> Result<(), String> {
        let mut words = vec![PROGRAM.to_owned(), SURROUNDINGS.to_owned(), "{netns}".to_owned()];
        words.push(format!("{HOME}/instances/{instance}/metadata.json"));
        if let Some(portal) = self.portal {
            words.extend([format!("{HOME}/portal.sock"), SocketAddr::from((GATEWAY, portal.port())).to_string()]);
        }
        let outlet = Outlet { command: words, unreachable: Vec::new() };
        let command = ["/bin/sh", "-c", super::boot::INIT, "init"].map(str::to_owned).to_vec();
        self.launch(instance, boot, address, sandbox(instance, architecture), command, Some(outlet))
    }

    pub fn stop(&self, instance: &str) -> Result<(), String> {
        match self.ask(&Request::Stop { server: instance.to_owned(), generation: i64::MAX })? {
            Reply::Stopped => Ok(()),
            other => Err(format!("the holder answered {other:?}")),
        }
    }

    fn launch(
        &self,
        server: &str,
        generation: i64,
        address: Ipv4Addr,
        bubblewrap: Vec<String>,
        command: Vec<String>,
        outlet: Option<Outlet>,
    ) -> Result<(), String> {
        let launch = Launch {
            server: server.to_owned(),
            generation,
            address,
            prefix: PREFIX,
            overlays: Vec::new(),
            bubblewrap,
            files: Vec::new(),
            command,
            outlet,
            processes: None,
            memory_per_process: None,
        };
        match self.ask(&Request::Launch(Box::new(launch)))? {
            Reply::Launched => Ok(()),
            Reply::Failed { reason } => Err(reason),
            other => Err(format!("the holder answered {other:?}")),
        }
    }

    fn ask(&self, request: &Request) -> Result<Reply, String> {
        let failed = |error: std::io::Error| format!("cannot reach the holder: {error}");
        // By way of a descriptor: socket addresses are short, directories may not be.
        let directory = File::open(self.directory.join("holder")).map_err(failed)?;
        let number = std::os::fd::AsRawFd::as_raw_fd(&directory);
        let mut stream = UnixStream::connect(format!("/proc/self/fd/{number}/holder.sock")).map_err(failed)?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).map_err(failed)?;
        let mut line = serde_json::to_vec(request).map_err(|error| error.to_string())?;
        line.push(b'\n');
        stream.write_all(&line).map_err(failed)?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).map_err(failed)?;
        serde_json::from_str(&answer).map_err(|error| format!("the holder cannot be understood: {error}"))
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = self.ask(&Request::End);
    }
}

/// An instance's own root, the machine's `/usr`, and its volumes. Root inside, for agents mount what is theirs; outside an
/// unprivileged user who owns nothing else.
fn sandbox(instance: &str, architecture: &str) -> Vec<String> {
    let home = format!("{HOME}/instances/{instance}");
    let mut arguments = vec![BUBBLEWRAP.to_owned()];
    add(&mut arguments, &["--unshare-user", "--uid", "0", "--gid", "0", "--cap-add", "ALL"]);
    add(&mut arguments, &["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", instance]);
    add(&mut arguments, &["--die-with-parent", "--new-session", "--clearenv"]);
    for (name, value) in [
        ("HOME", "/root"),
        ("USER", "root"),
        ("LANG", "C.UTF-8"),
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("INSTANCE", instance),
        ("EMULATOR", emulator(architecture)),
    ] {
        add(&mut arguments, &["--setenv", name, value]);
    }
    add(&mut arguments, &["--bind", &format!("{home}/root"), "/"]);
    add(&mut arguments, &["--ro-bind", "/usr", "/usr", "--bind", &format!("{home}/usr/local"), "/usr/local"]);
    add(&mut arguments, &["--proc", "/proc", "--dev", "/dev"]);
    add(&mut arguments, &["--dir", "/dev/disk", "--bind", &format!("{home}/disks"), "/dev/disk/bookend"]);
    add(&mut arguments, &["--perms", "0755", "--tmpfs", "/run", "--chdir", "/"]);
    arguments
}

/// What runs programs for processors that this machine has not.
fn emulator(architecture: &str) -> &'static str {
    match (architecture, std::env::consts::ARCH) {
        ("arm64", "aarch64") | ("x86_64", "x86_64") => "",
        ("arm64", _) => "qemu-aarch64-static",
        _ => "qemu-x86_64-static",
    }
}

fn add(arguments: &mut Vec<String>, words: &[&str]) {
    arguments.extend(words.iter().map(|word| (*word).to_owned()));
}
