//! Pseudo-terminals: the agent holds the master, a command runs on the other end as leader of its own session.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};

use super::process;
use crate::api::Size;

pub(super) struct Pty {
    master: AsyncFd<OwnedFd>,
}

impl Pty {
    /// Starts `command` with the terminal as its input, output and controlling terminal.
    pub(super) fn start(mut command: Command, size: Size) -> io::Result<(Self, Child)> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let slave = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::fs::fcntl_setfl(&master, rustix::fs::fcntl_getfl(&master)? | OFlags::NONBLOCK)?;
        let pty = Self { master: registered(master)? };
        pty.resize(size)?;
        command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave);
        lead_session(&mut command);
        let child = process::spawn(&mut command)?;
        Ok((pty, child))
    }

    pub(super) fn resize(&self, size: Size) -> io::Result<()> {
        let size =
            Winsize { ws_row: size.rows.clamp(1, 1000), ws_col: size.cols.clamp(1, 1000), ws_xpixel: 0, ws_ypixel: 0 };
        Ok(tcsetwinsize(self.master.get_ref(), size)?)
    }

    /// 0 when nothing has the terminal open any more.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let read =
            self.master.async_io(tokio::io::Interest::READABLE, |master| Ok(rustix::io::read(master, &mut *buffer)?));
        match read.await {
            Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => Ok(0),
            other => other,
        }
    }

    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let write =
                self.master.async_io(tokio::io::Interest::WRITABLE, |master| Ok(rustix::io::write(master, bytes)?));
            bytes = &bytes[write.await?..];
        }
        Ok(())
    }
}

#[allow(unsafe_code)]
fn registered(master: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: `OwnedFd` always answers with the one descriptor it owns, and keeps it open until it is dropped.
    Ok(unsafe { AsyncFd::register(master) }?)
}

/// Makes the command the leader of a session whose terminal is its standard input.
#[allow(unsafe_code)]
fn lead_session(command: &mut Command) {
    // SAFETY: between fork and exec only these two system calls are made; both are async-signal-safe, take no lock and
    // allocate nothing. Standard input is already the terminal then.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
            Ok(())
        });
    }
}
