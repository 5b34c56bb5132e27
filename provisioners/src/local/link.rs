//! Where agents meet the portal: one unix socket per environment, in a directory that is mounted into its servers and
//! nowhere else. The directory stays and the socket in it is replaced, so agents find a portal that was started anew.
//!
//! One environment cannot use up what others need: its connections are counted, and beyond the bound new ones wait.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::disk;
use super::error::{Attempt, Result};
use super::layout::EnvironmentLayout;
use crate::Gateway;

/// Connections of one environment at a time: one per server, and room for those being replaced.
const CONNECTIONS: usize = 256;

/// Accepts agents until it is dropped.
#[derive(Debug)]
pub struct Meeting(JoinHandle<()>);

impl Drop for Meeting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Puts the portal's socket in place. Must be called in a runtime.
pub fn listen(environment: &EnvironmentLayout, gateway: Gateway) -> Result<Meeting> {
    let attempt = || format!("listen for agents in {}", environment.link().display());
    let directory = File::open(environment.link()).attempting(attempt)?;
    // By way of a descriptor: socket addresses are short, data directories may not be.
    let short = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    let (fresh, socket) = (short.join("portal.new"), short.join("portal.sock"));
    disk::remove_file(&fresh)?;
    let listener = UnixListener::bind(&fresh).attempting(attempt)?;
    // Whoever reaches the directory may connect, and only this environment's servers do.
    disk::set_mode(&fresh, 0o666)?;
    disk::rename(&fresh, &socket)?;
    Ok(Meeting(tokio::spawn(accept(listener, gateway))))
}

async fn accept(listener: UnixListener, gateway: Gateway) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => gateway.accepted(Box::new(Counted { stream, _place: place })),
            Err(error) => {
                tracing::warn!(%error, "could not accept an agent's connection");
                // Out of descriptors, most likely: trying at once would only spin.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// A connection that gives its place back when it is dropped.
struct Counted {
    stream: UnixStream,
    _place: OwnedSemaphorePermit,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
