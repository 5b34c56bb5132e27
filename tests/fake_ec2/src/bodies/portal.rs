//! The fake's side of what is between bodies and the machine: two unix sockets in the bodies' directory. `life.sock` is only
//! held open; what connects to `portal.sock` is connected to the portal, and to nothing else.

use std::fs::{self, File};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;

pub fn listen(directory: &Path, portal: Option<SocketAddr>) -> Result<(), String> {
    let life = bind(&directory.join("life.sock"))?;
    thread::spawn(move || {
        let mut held = Vec::new();
        for stream in life.incoming().flatten() {
            held.push(stream);
        }
    });
    let Some(portal) = portal else { return Ok(()) };
    let listener = bind(&directory.join("portal.sock"))?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || connect(stream, portal));
        }
    });
    Ok(())
}

fn bind(path: &Path) -> Result<UnixListener, String> {
    let failed = |error: std::io::Error| format!("cannot listen on {}: {error}", path.display());
    let _ = fs::remove_file(path);
    // By way of a descriptor: socket addresses are short, directories may not be.
    let (directory, name) = (path.parent().unwrap_or(path), path.file_name().unwrap_or_default());
    let directory = File::open(directory).map_err(failed)?;
    let short = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let listener = UnixListener::bind(Path::new(&short).join(name)).map_err(failed)?;
    // Whoever can reach the directory may connect; bodies are another user.
    fs::set_permissions(path, fs::Permissions::from_mode(0o666)).map_err(failed)?;
    Ok(listener)
}

/// Both directions, until each has ended.
fn connect(body: UnixStream, portal: SocketAddr) {
    let Ok(portal) = TcpStream::connect(portal) else { return };
    let _ = portal.set_nodelay(true);
    let (Ok(mut from_body), Ok(mut from_portal)) = (body.try_clone(), portal.try_clone()) else { return };
    let (mut to_body, mut to_portal) = (body, portal);
    thread::spawn(move || {
        let _ = std::io::copy(&mut from_portal, &mut to_body);
        let _ = to_body.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut from_body, &mut to_portal);
    let _ = to_portal.shutdown(Shutdown::Write);
}
