//! The system calls that no safe wrapper exists for. Everything `unsafe` of this crate is here.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Which process one is after [`fork`].
pub enum Fork {
    Parent { child: i32 },
    Child,
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Forks this process, which must have one thread only.
pub fn fork() -> io::Result<Fork> {
    // SAFETY: the holder never starts a thread, so the child's copy of every lock and allocator is consistent.
    let child = check(unsafe { libc::fork() })?;
    Ok(if child == 0 { Fork::Child } else { Fork::Parent { child } })
}

/// Ends this process at once, without running exit handlers.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes any value and does not return.
    unsafe { libc::_exit(code) }
}

/// Moves this process into new namespaces, `CLONE_NEW…` flags.
pub fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: takes flags only; CLONE_FILES and CLONE_FS, which could surprise safe code, are never passed here.
    check(unsafe { libc::unshare(flags) }).map(drop)
}

/// Joins the network namespace behind `namespace`.
pub fn join_network(namespace: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: a valid descriptor and a flag.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }).map(drop)
}

/// Sets `nosuid`, `nodev` and, unless `writable`, read-only on a mount and all mounts below it.
pub fn seal_mounts(path: &str, writable: bool) -> io::Result<()> {
    let path = CString::new(path)?;
    let mut attributes = libc::MOUNT_ATTR_NOSUID;
    if !writable {
        attributes |= libc::MOUNT_ATTR_RDONLY;
    }
    let attributes = libc::mount_attr { attr_set: attributes, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: the path and the structure live through the call; the size passed is the structure's.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A descriptor that becomes readable when a child changes state; blocks the signal's usual delivery.
pub fn child_signals() -> io::Result<OwnedFd> {
    // SAFETY: the signal set is initialised by sigemptyset before use; a descriptor that signalfd returned is ours.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        check(libc::sigemptyset(&raw mut set))?;
        check(libc::sigaddset(&raw mut set, libc::SIGCHLD))?;
        check(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()))?;
        let fd = check(libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Index of the network interface of this name in the present network namespace.
pub fn interface_index(name: &str) -> io::Result<u32> {
    let name = CString::new(name)?;
    // SAFETY: a terminated string that lives through the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// A routing netlink socket, bound to the network namespace this process is in now.
pub fn netlink_socket() -> io::Result<OwnedFd> {
    // SAFETY: takes numbers; a descriptor it returned is ours.
    unsafe {
        let fd = check(libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Sends a signal to every process this one may signal, itself excepted.
pub fn signal_all(signal: i32) -> io::Result<()> {
    // SAFETY: takes numbers only.
    check(unsafe { libc::kill(-1, signal) }).map(drop)
}
