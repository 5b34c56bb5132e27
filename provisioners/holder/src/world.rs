//! The surroundings of a holder: namespaces of its own, a root of its own, an unprivileged user, one private network.
//!
//! Two ways lead to the same place. An ordinary user's holder makes a user namespace first and builds its root with the
//! privileges it has there. Root's holder builds the root first, because only root may reach a data directory below `/root`,
//! then becomes the unprivileged user and makes the user namespace as that. Either way no process of the environment has any
//! privilege over the machine from then on.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change, unmount,
};
use rustix::process::{DumpableBehavior, Gid, Pid, Uid, WaitOptions, kill_process, set_dumpable_behavior, waitpid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::failure::{Attempt, Failure};
use crate::netlink::Interfaces;
use crate::protocol::World;
use crate::sys::{self, Fork};

/// The bridge that joins an environment's servers.
pub const BRIDGE: &str = "br0";

/// Where the new root is put together, under a mount that hides what was there.
const STAGE: &str = "/tmp";

/// What a holder serves with. The lock is never used: it is held.
pub struct Place {
    pub incarnation: String,
    pub network: OwnedFd,
    pub listener: UnixListener,
    pub signals: OwnedFd,
    _lock: OwnedFd,
}

/// Makes the surroundings and calls `serve` in a process inside them, the first of its process namespace. Returns in the
/// calling process once that process exists; whether it came up is said on standard output.
pub fn enter(world: &World, serve: fn(Place) -> !) -> Result<(), Failure> {
    // The lock says "this environment has a holder" and must be held by the holder alone: not by what it starts.
    let lock =
        rustix::io::fcntl_dupfd_cloexec(std::io::stdin().as_fd(), 3).attempting(|| "keep the lock".to_owned())?;
    let report =
        rustix::io::fcntl_dupfd_cloexec(std::io::stdout().as_fd(), 3).attempting(|| "keep the pipe".to_owned())?;

    surround(world, libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID)?;
    match sys::fork().attempting(|| "start the holder".to_owned())? {
        Fork::Parent { .. } => Ok(()),
        Fork::Child => {
            let mut report = File::from(report);
            match settle(world, lock) {
                Ok(place) => {
                    let _ = report.write_all(b"ready\n");
                    drop(report);
                    serve(place)
                }
                Err(failure) => {
                    let _ = writeln!(report, "{failure}");
                    sys::exit_now(1)
                }
            }
        }
    }
}

/// Moves this process into new namespaces and a new root, as the unprivileged user.
pub fn surround(world: &World, namespaces: libc::c_int) -> Result<(), Failure> {
    if let Some((user, group)) = world.user {
        sys::unshare(libc::CLONE_NEWNS).attempting(|| "make a mount namespace".to_owned())?;
        build_root(world)?;
        become_user(user, group)?;
        sys::unshare(namespaces).attempting(|| "make a user namespace".to_owned())?;
        map_ids(user, group)
    } else {
        let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        sys::unshare(namespaces).attempting(|| "make a user namespace".to_owned())?;
        map_ids(user, group)?;
        build_root(world)
    }
}

/// The first process of the namespace makes itself at home.
fn settle(world: &World, lock: OwnedFd) -> Result<Place, Failure> {
    rustix::process::setsid().attempting(|| "start a session".to_owned())?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", "/proc", "proc", flags, None).attempting(|| "mount /proc".to_owned())?;
    let null =
        OpenOptions::new().read(true).write(true).open("/dev/null").attempting(|| "open /dev/null".to_owned())?;
    rustix::stdio::dup2_stdin(&null).attempting(|| "leave standard input".to_owned())?;
    rustix::stdio::dup2_stdout(&null).attempting(|| "leave standard output".to_owned())?;
    rustix::stdio::dup2_stderr(&null).attempting(|| "leave standard error".to_owned())?;
    let network = make_network()?;
    let signals = sys::child_signals().attempting(|| "watch for ended processes".to_owned())?;
    // Whoever holds the lock owns the name: what is there is a dead holder's.
    let _ = std::fs::remove_file(&world.socket);
    let listener = UnixListener::bind(&world.socket).attempting(|| format!("listen on {}", world.socket))?;
    listener.set_nonblocking(true).attempting(|| "listen without waiting".to_owned())?;
    Ok(Place { incarnation: world.incarnation.clone(), network, listener, signals, _lock: lock })
}

/// A network namespace that lives as long as the returned descriptor, with a bridge in it. The holder itself stays in the
/// machine's network (it cannot return there once it left), where outlets have to start.
fn make_network() -> Result<OwnedFd, Failure> {
    let attempt = || "make the private network".to_owned();
    let (ready, mut made) = std::io::pipe().attempting(attempt)?;
    match sys::fork().attempting(attempt)? {
        Fork::Child => {
            drop(ready);
            let outcome = sys::unshare(libc::CLONE_NEWNET).and_then(|()| Interfaces::here()?.create_bridge(BRIDGE));
            let code = outcome.err().map_or(0, |error| error.raw_os_error().unwrap_or(libc::EIO));
            let _ = made.write_all(&code.to_ne_bytes());
            loop {
                std::thread::park();
            }
        }
        Fork::Parent { child } => {
            drop(made);
            let mut code = [0; 4];
            let said = (&ready).read_exact(&mut code);
            let network = File::open(format!("/proc/{child}/ns/net"));
            if let Some(child) = Pid::from_raw(child) {
                let _ = kill_process(child, rustix::process::Signal::KILL);
                let _ = waitpid(Some(child), WaitOptions::empty());
            }
            said.attempting(attempt)?;
            match i32::from_ne_bytes(code) {
                0 => Ok(network.attempting(attempt)?.into()),
                error => Err(std::io::Error::from_raw_os_error(error)).attempting(attempt),
            }
        }
    }
}

fn become_user(user: u32, group: u32) -> Result<(), Failure> {
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
    set_thread_groups(&[]).attempting(|| "leave all groups".to_owned())?;
    set_thread_res_gid(group, group, group).attempting(|| format!("become group {}", group.as_raw()))?;
    set_thread_res_uid(user, user, user).attempting(|| format!("become user {}", user.as_raw()))?;
    // A process that changed its user does not own its /proc files, and could not write its id maps.
    set_dumpable_behavior(DumpableBehavior::Dumpable).attempting(|| "own this process's files".to_owned())
}

fn map_ids(user: u32, group: u32) -> Result<(), Failure> {
    let write = |name: &str, text: String| {
        let path = format!("/proc/self/{name}");
        std::fs::write(&path, text).attempting(|| format!("write {path}"))
    };
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("0 {user} 1"))?;
    write("gid_map", format!("0 {group} 1"))
}

/// Replaces the root directory by one that has the given binds and links, `/proc`, and nothing else.
fn build_root(world: &World) -> Result<(), Failure> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).attempting(|| "make mounts private".to_owned())?;
    // Opened before the stage hides what is below it.
    let mut sources = Vec::new();
    for bind in &world.binds {
        sources.push((bind, open_path(&bind.from)?));
    }
    let proc = open_path("/proc")?;
    let size = c"size=4m,mode=755";
    mount("tmpfs", STAGE, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, size)
        .attempting(|| format!("mount a root directory over {STAGE}"))?;
    for (bind, source) in &sources {
        let target = format!("{STAGE}{}", bind.to);
        let directory = source.metadata().attempting(|| format!("look at {}", bind.from))?.is_dir();
        bind_mount(source, &target, directory)?;
        sys::seal_mounts(&target, bind.writable).attempting(|| format!("seal {}", bind.to))?;
    }
    for (path, target) in &world.links {
        let path = format!("{STAGE}{path}");
        make_parent(&path)?;
        std::os::unix::fs::symlink(target, &path).attempting(|| format!("link {path}"))?;
    }
    for directory in ["tmp", "mnt"] {
        let path = format!("{STAGE}/{directory}");
        std::fs::create_dir_all(&path).attempting(|| format!("make {path}"))?;
    }
    bind_mount(&proc, &format!("{STAGE}/proc"), true)?;
    std::env::set_current_dir(STAGE).attempting(|| format!("enter {STAGE}"))?;
    rustix::process::pivot_root(".", ".").attempting(|| "change the root directory".to_owned())?;
    unmount(".", UnmountFlags::DETACH).attempting(|| "leave the machine's root directory".to_owned())?;
    std::env::set_current_dir("/").attempting(|| "enter the root directory".to_owned())
}

fn open_path(path: &str) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_PATH | libc::O_CLOEXEC);
    options.open(path).attempting(|| format!("open {path}"))
}

fn bind_mount(source: &File, target: &str, directory: bool) -> Result<(), Failure> {
    if directory {
        std::fs::create_dir_all(target).attempting(|| format!("make {target}"))?;
    } else {
        // It may be there already, in a directory that was bound before and cannot be written.
        if !Path::new(target).exists() {
            make_parent(target)?;
            File::create(target).attempting(|| format!("make {target}"))?;
        }
    }
    let source = format!("/proc/self/fd/{}", source.as_raw_fd());
    mount_bind_recursive(&source, target).attempting(|| format!("bind {target}"))
}

fn make_parent(path: &str) -> Result<(), Failure> {
    let parent = Path::new(path).parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(parent).attempting(|| format!("make {}", parent.display()))
}
