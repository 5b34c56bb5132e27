//! What the machine must have, per purpose, and how it gets there.
//!
//! Presence is decided by looking for the program itself, never by asking a package manager: what is there is not touched,
//! and a machine without network that has everything works. What is missing is installed through apt when this may be done
//! without asking (root, or `sudo` without a password); otherwise the one line to run is printed and the task stops.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;
use crate::progress::Progress;
use crate::run;
use crate::workspace::Workspace;

/// A program the machine must have.
#[derive(Clone, Copy)]
pub struct Need {
    /// Name looked for on the `PATH` and in the usual places beside it, or an absolute path.
    pub program: &'static str,
    /// Debian's package that has it.
    pub package: &'static str,
}

const fn need(program: &'static str, package: &'static str) -> Need {
    Need { program, package }
}

/// For servers of the local provisioner: their sandbox, their way to the internet, and the language that the starter
/// catalog's services are written in.
pub const RUNNING: &[Need] = &[need("bwrap", "bubblewrap"), need("pasta", "passt"), need("python3", "python3")];

/// For instances of the fake EC2, besides [`RUNNING`]: they see this machine's software, and volumes of several servers are
/// copies that Syncthing keeps in step. The last is what ends the fake with the portal.
pub const BODIES: &[Need] = &[need("curl", "curl"), need("syncthing", "syncthing"), need("setpriv", "util-linux")];

/// For the browser part when rustup cannot bring its target: Debian's newer compiler, its library's source, its linker.
pub const DEBIAN_WASM: &[Need] = &[
    need("/usr/bin/rustc", "rustc-web"),
    need("/usr/bin/cargo", "cargo-web"),
    need("/usr/lib/rustlib/src/rust/library/std/Cargo.toml", "rust-web-src"),
    need("wasm-ld-22", "lld-22"),
];

/// For programs that only PyPI has.
pub const PYTHON: &[Need] = &[need("python3", "python3"), need("/usr/share/python-wheels", "python3-venv")];

/// For the tests, besides [`RUNNING`].
pub const TESTING: &[Need] = &[
    need("curl", "curl"),
    need("postgres", "postgresql"),
    need("initdb", "postgresql"),
    need("chromium", "chromium"),
    need("chromedriver", "chromium-driver"),
    need("docker-registry", "docker-registry"),
    need("restic", "restic"),
    need("syncthing", "syncthing"),
    need("mkfs.btrfs", "btrfs-progs"),
    need("mkfs.xfs", "xfsprogs"),
    need("mkfs.ext4", "e2fsprogs"),
];

/// What `bench data` is compared with, and the filesystems it measures.
pub const COMPARING: &[Need] = &[
    need("restic", "restic"),
    need("borg", "borgbackup"),
    need("rsync", "rsync"),
    need("mkfs.btrfs", "btrfs-progs"),
    need("mkfs.xfs", "xfsprogs"),
];

/// For looking at pages with Lighthouse.
pub const LOOKING: &[Need] = &[need("chromium", "chromium"), need("node", "nodejs"), need("npm", "npm")];

/// Makes sure all `needs` are met, with one installation for all that are not. `purpose` completes "to …".
pub fn provide(workspace: &Workspace, progress: &Progress, purpose: &str, needs: &[Need]) -> Outcome<()> {
    const TITLE: &str = "packages";
    let packages = missing_packages(needs);
    if packages.is_empty() {
        progress.fresh(TITLE, "all there");
        return Ok(());
    }
    let list = packages.join(" ");
    if !has("apt-get") {
        return Err(format!(
            "To {purpose}, this machine needs what Debian calls: {list}.\n\
             There is no apt here: install the same with this system's own tools, then run this again."
        ));
    }
    let Some(prefix) = privilege() else {
        return Err(format!(
            "To {purpose}, this machine needs some packages, and installing them needs your password. Run this, then \
             repeat:\n\n    sudo apt-get update && sudo apt-get install -y --no-install-recommends {list}"
        ));
    };
    progress.part(TITLE, |part| {
        let log = workspace.log("packages");
        part.at("reading package lists");
        run::logged("read the package lists", apt(prefix).arg("update"), &log, part)?;
        part.at(&list);
        let mut install = apt(prefix);
        install.args(["install", "-y", "--no-install-recommends"]).args(&packages);
        run::logged(&format!("install {list}"), &mut install, &log, part)
    })?;
    let still_missing = missing_packages(needs);
    if still_missing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "apt installed {list}, and yet the programs of {} are not to be found. Look at {}.",
        still_missing.join(" "),
        workspace.log("packages").display()
    ))
}

fn missing_packages(needs: &[Need]) -> Vec<&'static str> {
    let mut packages: Vec<&str> = needs.iter().filter(|need| !has(need.program)).map(|need| need.package).collect();
    packages.dedup();
    packages
}

/// Whether a program is on this machine.
pub fn has(program: &str) -> bool {
    find(program).is_some()
}

/// Where a program is: on the `PATH`, in the system folders an ordinary `PATH` lacks, or among PostgreSQL's own.
pub fn find(program: &str) -> Option<PathBuf> {
    if program.starts_with('/') {
        return Path::new(program).exists().then(|| PathBuf::from(program));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from))
        .chain(postgres_folders())
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// Debian keeps PostgreSQL's server programs off the `PATH`, one folder per version; the newest first.
fn postgres_folders() -> Vec<PathBuf> {
    let Ok(versions) = fs::read_dir("/usr/lib/postgresql") else { return Vec::new() };
    let mut folders: Vec<(u32, PathBuf)> = versions
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    folders.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    folders.into_iter().map(|(_, folder)| folder).collect()
}

/// Whether this process may do everything.
pub fn is_root() -> bool {
    run::answer(Command::new("id").arg("-u")).as_deref() == Some("0")
}

/// What to put before a command that needs root: nothing, `sudo`, or `None` when that would ask for a password.
fn privilege() -> Option<&'static [&'static str]> {
    if is_root() {
        Some(&[])
    } else if run::answer(Command::new("sudo").args(["-n", "true"])).is_some() {
        Some(&["sudo", "-n"])
    } else {
        None
    }
}

fn apt(prefix: &[&str]) -> Command {
    let words: Vec<OsString> = prefix
        .iter()
        .chain(&["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=300"])
        .map(OsString::from)
        .collect();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_name_and_by_absolute_path_and_what_is_absent_is_not() {
        assert!(has("sh") && has("/bin/sh"));
        assert!(!has("no-such-program-here") && !has("/no/such/place"));
    }

    #[test]
    fn a_package_that_several_programs_need_is_asked_for_once() {
        let needs = [need("no-such-a", "one"), need("no-such-b", "one"), need("sh", "dash"), need("no-such-c", "two")];
        assert_eq!(missing_packages(&needs), ["one", "two"]);
    }
}
