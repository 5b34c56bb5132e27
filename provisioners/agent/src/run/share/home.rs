//! Where one Syncthing lives: its settings and identity beside the agent's own files, which go with the server, and what it
//! knows of the copy in the copy.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::process::Command;

use super::PROGRAM;
use super::client::Client;
use crate::api::{Peer, Shared};
use crate::link::write_private;
use crate::run::apply::private_directory;
use crate::run::process;

/// Bookend's own directory in every volume. That it is there tells Syncthing that the volume is.
const OWN: &str = ".bookend";
/// In it: files by which copies find out that they have heard everything from each other. Only these are kept in step.
const MARKS: &str = ".bookend/in-step";
/// In it: what Syncthing knows of this copy.
const INDEX: &str = ".bookend/sync";

/// Of the copies; the API's name for them is the volume's.
fn copy(shared: &Shared, name: &str) -> PathBuf {
    Path::new(&shared.path).join(name)
}

/// Where a mark is, seen from the volume.
pub(super) fn mark(name: &str) -> String {
    format!("{MARKS}/{name}")
}

/// Puts a mark into the copy, or takes it away again.
pub(super) fn set_mark(shared: &Shared, name: &str, there: bool) -> io::Result<()> {
    let path = copy(shared, &mark(name));
    match there {
        true => {
            std::fs::create_dir_all(copy(shared, MARKS))?;
            std::fs::write(path, b"")
        }
        false => std::fs::remove_file(path),
    }
}

/// Writes everything it needs to start, with a new key for its API.
pub(super) fn prepare(home: &Path, shared: &Shared) -> io::Result<Client> {
    private_directory(home)?;
    std::fs::create_dir_all(copy(shared, OWN))?;
    private_directory(&copy(shared, INDEX))?;
    let ignored = copy(shared, ".stignore");
    let fresh = copy(shared, &format!("{OWN}/stignore"));
    std::fs::write(&fresh, format!("// Bookend's own: it is written anew at every start.\n!/{MARKS}\n/{OWN}/*\n"))?;
    std::fs::rename(&fresh, &ignored)?;
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let client = Client { socket: home.join("socket"), key: URL_SAFE_NO_PAD.encode(bytes) };
    write_private(&home.join("cert.pem"), shared.certificate.as_bytes())?;
    write_private(&home.join("key.pem"), shared.key.as_bytes())?;
    write_private(&home.join("config.xml"), settings(shared, &client).as_bytes())?;
    Ok(client)
}

pub(super) fn command(home: &Path, shared: &Shared) -> Command {
    let mut command = process::command(PROGRAM, &BTreeMap::new());
    command.arg("serve").arg("--config").arg(home).arg("--data").arg(copy(shared, INDEX));
    command.args(["--no-browser", "--no-restart", "--no-upgrade", "--no-default-folder", "--skip-port-probing"]);
    // It need not find out at every start which way of hashing is the fastest.
    command.arg("--logflags=0").env("STHASHING", "minio");
    command
}

/// `config.xml`, as Syncthing 1.19 reads it; what is not said has its default. <https://docs.syncthing.net/users/config.html>
fn settings(shared: &Shared, client: &Client) -> String {
    let volume = escaped(&shared.volume);
    let mut text = format!(
        "<configuration version=\"36\">\n<folder id=\"{volume}\" label=\"{volume}\" path=\"{}\" type=\"sendreceive\" \
         rescanIntervalS=\"600\" fsWatcherEnabled=\"true\" fsWatcherDelayS=\"1\" ignorePerms=\"false\" autoNormalize=\"false\">\n\
         <markerName>{OWN}</markerName><maxConflicts>-1</maxConflicts><caseSensitiveFS>true</caseSensitiveFS>\
         <pullerPauseS>2</pullerPauseS><device id=\"{}\"/>",
        escaped(&shared.path),
        escaped(&shared.device)
    );
    for peer in &shared.peers {
        text.push_str(&format!("<device id=\"{}\"/>", escaped(&peer.device)));
    }
    text.push_str("\n</folder>\n");
    for peer in &shared.peers {
        text.push_str(&format!(
            "<device id=\"{}\" name=\"{}\" compression=\"never\"><address>tcp://{}</address>\
             {}</device>\n",
            escaped(&peer.device),
            escaped(&peer.server),
            escaped(&peer.address),
            allowed(peer)
        ));
    }
    let off = ["globalAnnounceEnabled", "localAnnounceEnabled", "relaysEnabled", "natEnabled", "startBrowser"];
    let off = off.iter().chain(&["crashReportingEnabled", "setLowPriority"]);
    let off: String = off.map(|option| format!("<{option}>false</{option}>")).collect();
    text.push_str(&format!(
        "<gui enabled=\"true\" tls=\"false\"><address>{}</address><unixSocketPermissions>0600</unixSocketPermissions>\
         <apikey>{}</apikey></gui>\n<options><listenAddress>tcp://{}</listenAddress>{off}<urAccepted>-1</urAccepted>\
         <autoUpgradeIntervalH>0</autoUpgradeIntervalH><stunKeepaliveStartS>0</stunKeepaliveStartS>\
         <reconnectionIntervalS>5</reconnectionIntervalS></options>\n</configuration>\n",
        escaped(&client.socket.to_string_lossy()),
        client.key,
        shared.listen
    ));
    text
}

/// Where a peer may come from: its address, or private networks (RFC 1918) where only its name is known. Who it is the device id
/// proves.
fn allowed(peer: &Peer) -> String {
    let networks = match peer.address.parse::<SocketAddrV4>() {
        Ok(address) => vec![format!("{}/32", address.ip())],
        Err(_) => ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"].map(str::to_owned).into(),
    };
    networks.iter().map(|network| format!("<allowedNetwork>{network}</allowedNetwork>")).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
