//! Health probes: what one attempt finds out.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::process;
use crate::api::{Check, Probe};

/// One attempt, in words: what it found, or why it fails.
pub(super) async fn probe(check: &Check, variables: &BTreeMap<String, String>) -> Result<String, String> {
    let limit = Duration::from_millis(check.timeout_ms.max(1));
    let attempt = async {
        match &check.probe {
            Probe::Tcp { port } => {
                connect(*port).await?;
                Ok(format!("port {port} accepts connections"))
            }
            Probe::Http { port, path, status } => match get(*port, path).await? {
                answered if answered == *status => Ok(format!("answers {answered}")),
                answered => Err(format!("GET {path} on port {port} answers {answered}, not {status}")),
            },
            Probe::Exec { command } => run(command, variables).await,
        }
    };
    timeout(limit, attempt).await.unwrap_or_else(|_| Err(format!("no answer within {} ms", limit.as_millis())))
}

/// Reaches a service of this server on whichever of its own addresses it listens.
pub(super) async fn connect(port: u16) -> Result<TcpStream, String> {
    let mut first = None;
    for address in own_addresses() {
        match TcpStream::connect(SocketAddr::new(address, port)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(match first {
        Some(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            format!("nothing listens on port {port} of this server")
        }
        Some(error) => format!("port {port} of this server cannot be reached: {error}"),
        None => format!("port {port} of this server cannot be reached"),
    })
}

fn own_addresses() -> Vec<IpAddr> {
    let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    addresses.extend(address_towards_others().or_else(address_by_name));
    addresses
}

/// The address packets to elsewhere would carry; nothing is sent.
fn address_towards_others() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The address the server's own name has in `/etc/hosts`.
fn address_by_name() -> Option<IpAddr> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let hosts = std::fs::read_to_string("/etc/hosts").ok()?;
    hosts.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        (!address.is_loopback() && words.any(|word| word == name.trim())).then_some(address)
    })
}

/// How much of an answer's body is read, and for how long: services complain of callers that hang up in the middle.
const POLITE_BYTES: u64 = 256 * 1024;
const POLITE_WAIT: Duration = Duration::from_secs(1);

/// The status of `GET path`. A few lines of HTTP/1.1: the first line of the answer is all that counts.
async fn get(port: u16, path: &str) -> Result<u16, String> {
    if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("{path:?} is not a path; it must begin with / and have no spaces"));
    }
    let mut stream = connect(port).await?;
    let broken = |error: std::io::Error| format!("port {port} does not answer HTTP: {error}");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: bookend-agent\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut head = [0u8; 12];
    stream.read_exact(&mut head).await.map_err(broken)?;
    let status = head.strip_prefix(b"HTTP/1.").and_then(|rest| std::str::from_utf8(rest.get(2..5)?).ok()?.parse().ok());
    tokio::spawn(async move {
        let mut rest = stream.take(POLITE_BYTES);
        // Whatever comes of it, the status is known.
        timeout(POLITE_WAIT, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await.ok();
    });
    status.ok_or_else(|| format!("port {port} does not answer HTTP"))
}

async fn run(command: &str, variables: &BTreeMap<String, String>) -> Result<String, String> {
    let mut shell = process::command("/bin/sh", variables);
    shell.args(["-c", command]).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    let mut child = process::spawn(&mut shell).map_err(|error| format!("the command cannot be run: {error}"))?;
    let group = KilledGroup(process::group_of(&child));
    let mut said = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        stderr.take(4096).read_to_end(&mut said).await.ok();
    }
    let status = child.wait().await.map_err(|error| error.to_string())?;
    drop(group);
    if status.success() {
        return Ok("the command succeeds".to_owned());
    }
    let said = String::from_utf8_lossy(&said);
    let said = said.lines().rfind(|line| !line.trim().is_empty()).map(super::lines::plain).unwrap_or_default();
    let colon = if said.is_empty() { "" } else { ": " };
    Err(format!("the command {}{colon}{said}", process::describe(status)))
}

/// A probe that takes too long leaves nothing running.
struct KilledGroup(Option<rustix::process::Pid>);

impl Drop for KilledGroup {
    fn drop(&mut self) {
        process::signal(self.0, Signal::KILL);
    }
}
