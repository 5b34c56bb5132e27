//! `up --fake-ec2`: an Amazon of this machine's own beside the portal, for whoever wants to go the whole way to EC2 without an
//! account.
//!
//! The portal gets one provisioner more, `amazon`, which is the usual one; its endpoint is the program `fake-ec2`, whose
//! instances are real servers of this machine. Guaranteed: nothing goes to Amazon, whatever this machine's own settings for
//! Amazon are; nothing of another portal is touched; and the fake ends when the portal does, however that comes about, and its
//! servers with it. Deliberately absent: keeping anything. What the fake knows is in its memory, so each start begins with
//! nothing, in a folder for each port.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Outcome;
use crate::others;
use crate::workspace::Workspace;

/// What people and templates call it.
const NAME: &str = "amazon";
/// Picks the fake's first account; what goes with it is not looked at.
const ACCESS_KEY: &str = "AKIAFAKEOURS";
/// Where instances find the portal, on its own port.
const GATEWAY: &str = "172.31.0.1";
/// Where the portal listens when nobody says.
const LISTEN: &str = "127.0.0.1:3000";
/// They name data of other portals.
const OTHERS: [&str; 2] = ["BOOKEND_DATABASE_URL", "BOOKEND_REPOSITORY"];

/// Starts the fake and tells the portal, which is not started yet, of it. The fake ends with the process that called this.
pub fn beside(portal: &mut Command, workspace: &Workspace, program: &Path, listen: Option<&str>) -> Outcome<()> {
    let listen = address(listen.map(str::to_owned).or_else(|| env::var("BOOKEND_LISTEN").ok()))?;
    let folder = fresh_folder(workspace, listen)?;
    let endpoint = start(program, &folder.join("bodies"), listen)?;
    let file = folder.join("provisioners.toml");
    let both = program.parent().is_some_and(others::was_made);
    write_for_owner(&file, &provisioners(&endpoint, listen.port(), both))?;
    portal.arg("--listen").arg(listen.to_string());
    portal.arg("--data-dir").arg(folder.join("data")).arg("--provisioners").arg(file);
    portal.args(["--default-provisioner", NAME]);
    for name in OTHERS {
        portal.env_remove(name);
    }
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
        portal.env_remove(name);
    }
    portal.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    portal.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", "is-not-looked-at");
    eprintln!(
        "What is ordered comes up on “{NAME}”, a make-believe Amazon EC2 on this machine: the whole way to EC2 without an \
         account, at no cost.\nIt ends with the portal, and the next start begins with nothing. {endpoint}/_fake tells what can \
         be done to it."
    );
    Ok(())
}

/// The port has to be known before the portal listens: instances are told of it.
fn address(said: Option<String>) -> Outcome<SocketAddr> {
    let said = said.unwrap_or_else(|| LISTEN.to_owned());
    match said.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(address),
        Ok(_) => {
            Err("With --fake-ec2 the port has to be known beforehand: choose one other than 0 with --listen.".into())
        }
        Err(_) => Err(format!("--listen takes an address and a port, such as {LISTEN}, not {said:?}.")),
    }
}

/// One for each port, so that two may run side by side; whoever holds the port is not disturbed.
fn fresh_folder(workspace: &Workspace, listen: SocketAddr) -> Outcome<PathBuf> {
    TcpListener::bind(listen).map(drop).map_err(|error| {
        format!("Cannot listen on {listen}: {error}. End what listens there, or choose another port with --listen.")
    })?;
    let folder = workspace.target.join("fake-ec2").join(listen.port().to_string());
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(format!("Cannot remove {}, which an earlier start left: {error}", folder.display()));
        }
        _ => {}
    }
    fs::create_dir_all(&folder).map_err(|error| format!("Cannot create {}: {error}", folder.display()))?;
    Ok(folder)
}

/// Where it listens. The kernel ends it with this process, which becomes the portal; Ctrl-C reaches the portal alone, so that
/// what is under way there may end first.
fn start(program: &Path, bodies: &Path, portal: SocketAddr) -> Outcome<String> {
    let mut fake = Command::new("setpriv");
    fake.args(["--pdeathsig", "TERM", "--"]).arg(program);
    fake.arg("--bodies").arg(bodies).arg("--portal").arg(portal.to_string());
    let spawned = fake.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut spawned = spawned.map_err(|error| format!("Cannot start {}: {error}", program.display()))?;
    let mut line = String::new();
    if let Some(output) = spawned.stdout.take() {
        let _ = BufReader::new(output).read_line(&mut line);
    }
    let listens = line.trim().strip_prefix("listening on ").map(str::to_owned);
    listens.ok_or_else(|| "The fake EC2 did not start; why it says above.".to_owned())
}

/// `both`: with servers of both kinds of processors.
fn provisioners(endpoint: &str, port: u16, both: bool) -> String {
    let (image, small, large) = match both {
        true => (", arm64 = \"al2023-ami-2023.*-arm64\"", ", \"t4g.small\"", ", \"m6g.large\""),
        false => ("", "", ""),
    };
    format!(
        r#"# Made by `cargo xtask up --fake-ec2`, anew at each start.
[ec2.{NAME}]
region = "eu-central-1"
endpoint = "{endpoint}"
endpoints = {{ sts = "{endpoint}", service_quotas = "{endpoint}" }}
images.host = {{ owner = "amazon", name = "al2023-ami-2023.*-x86_64"{image} }}
sizes = [{{ types = ["t3.small", "t3a.small"{small}] }}, {{ types = ["m6i.large"{large}] }}]
portal_url = "http://{GATEWAY}:{port}"
"#
    )
}

fn write_for_owner(path: &Path, text: &str) -> Outcome<()> {
    let written = File::options().write(true).create_new(true).mode(0o600).open(path);
    let written = written.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| format!("Cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_what_was_said_or_the_usual_one_and_known_beforehand() {
        assert_eq!(address(None), Ok(SocketAddr::from(([127, 0, 0, 1], 3000))));
        assert_eq!(address(Some("0.0.0.0:80".into())), Ok(SocketAddr::from(([0, 0, 0, 0], 80))));
        assert!(address(Some("127.0.0.1:0".into())).is_err_and(|why| why.contains("other than 0")));
        assert!(address(Some("3000".into())).is_err_and(|why| why.contains("127.0.0.1:3000")));
    }

    #[test]
    fn a_port_that_somebody_holds_is_not_taken_and_what_is_there_stays() {
        let held = TcpListener::bind("127.0.0.1:0").expect("a port");
        let listen = held.local_addr().expect("its address");
        let target = env::temp_dir().join(format!("bookend-fake-{}", std::process::id()));
        let workspace = Workspace { root: target.clone(), target: target.clone() };
        let left_in = |port: u16| {
            let folder = target.join("fake-ec2").join(port.to_string());
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(folder.join("old"), "").expect("a file");
            folder
        };
        let kept = left_in(listen.port());
        assert!(fresh_folder(&workspace, listen).is_err_and(|why| why.contains("another port with --listen")));
        assert!(kept.join("old").exists());
        // Any port that is free.
        let emptied = left_in(0);
        assert_eq!(fresh_folder(&workspace, SocketAddr::from(([127, 0, 0, 1], 0))), Ok(emptied.clone()));
        assert!(!emptied.join("old").exists());
        drop(held);
        fs::remove_dir_all(target).expect("removed");
    }
}
