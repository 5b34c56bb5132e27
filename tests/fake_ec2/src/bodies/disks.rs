//! What bodies have on the disk:
//!
//! ```text
//! volumes/VOL/                 a volume that is at no instance
//! instances/I/root/            an instance's root directory
//! instances/I/disks/VOL/       a volume that is at an instance
//! instances/I/metadata.json    what 169.254.169.254 tells it
//! snapshots/SNAP/
//! ```
//!
//! A volume moves as a whole, by one rename: it is in one place at any time, and what an instance has open of it stays open.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::boot;
use super::plan::Have;
use crate::cloud::{TrueInstance, Truth};

/// Whom bodies run as when the fake is root: nobody else on the machine.
const BODIES_USER: u32 = 64_312;

pub struct Disks {
    directory: PathBuf,
    owner: Option<u32>,
}

impl Disks {
    pub fn open(directory: &Path) -> Result<Self, String> {
        fs::create_dir_all(directory).map_err(|error| format!("cannot make {}: {error}", directory.display()))?;
        let directory = directory.canonicalize().map_err(|error| error.to_string())?;
        let owner = rustix::process::geteuid().is_root().then_some(BODIES_USER);
        let disks = Self { directory, owner };
        for name in ["volumes", "instances", "snapshots"] {
            // The truth they belonged to is gone.
            remove(&disks.directory.join(name))?;
            disks.make(&disks.directory.join(name))?;
        }
        Ok(disks)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn owner(&self) -> Option<u32> {
        self.owner
    }

    pub fn have(&self) -> Have {
        let mut have = Have::default();
        for volume in names(&self.directory.join("volumes")) {
            have.volumes.insert(volume, None);
        }
        for instance in names(&self.directory.join("instances")) {
            for volume in names(&self.disks_of(&instance)) {
                have.volumes.insert(volume, Some(instance.clone()));
            }
            have.roots.insert(instance);
        }
        have.snapshots.extend(names(&self.directory.join("snapshots")));
        have
    }

    pub fn root_of(&self, instance: &str) -> PathBuf {
        self.instance(instance).join("root")
    }

    fn instance(&self, instance: &str) -> PathBuf {
        self.directory.join("instances").join(instance)
    }

    fn disks_of(&self, instance: &str) -> PathBuf {
        self.instance(instance).join("disks")
    }

    fn volume(&self, volume: &str) -> PathBuf {
        let detached = self.directory.join("volumes").join(volume);
        let attached =
            || names(&self.directory.join("instances")).into_iter().map(|one| self.disks_of(&one).join(volume));
        if detached.exists() { detached } else { attached().find(|path| path.exists()).unwrap_or(detached) }
    }

    /// A root directory, with what a boot needs; one that is there stays as it is.
    pub fn make_root(&self, instance: &str, user_data: &str) -> Result<(), String> {
        let root = self.root_of(instance);
        self.make(&self.disks_of(instance))?;
        if root.join("var/lib/cloud/user-data").exists() {
            return Ok(());
        }
        for path in [
            "etc",
            "root",
            "tmp",
            "run",
            "dev",
            "proc",
            "usr",
            "home",
            "opt",
            "srv",
            "mnt",
            "etc/systemd/system",
            "var/log",
            "var/tmp",
        ] {
            self.make(&root.join(path))?;
        }
        for path in ["local/bin", "local/sbin", "local/lib", "local/etc", "local/share"] {
            self.make(&self.instance(instance).join("usr").join(path))?;
        }
        for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
            if let Ok(target) = fs::read_link(Path::new("/").join(name)) {
                std::os::unix::fs::symlink(target, root.join(name)).map_err(|error| error.to_string())?;
            }
        }
        for name in boot::COPIED {
            let from = Path::new("/etc").join(name);
            if from.exists() {
                run(Command::new("cp").arg("-aL").arg(&from).arg(root.join("etc")))?;
            }
        }
        for (name, text) in boot::ETC {
            self.write(&root.join("etc").join(name), text.as_bytes(), 0o644)?;
        }
        self.write(&root.join("etc/hostname"), instance.as_bytes(), 0o644)?;
        let tools = self.instance(instance).join("usr/local/bin/systemctl");
        self.write(&tools, boot::SYSTEMCTL.as_bytes(), 0o755)?;
        self.make(&root.join("var/lib/cloud"))?;
        self.own_all(&root.join("etc"))?;
        // Last: without it the directory is made anew.
        let script = STANDARD.decode(user_data).map_err(|error| error.to_string())?;
        self.write(&root.join("var/lib/cloud/user-data"), &script, 0o700)
    }

    pub fn make_volume(&self, volume: &str, from: Option<&str>) -> Result<(), String> {
        let path = self.directory.join("volumes").join(volume);
        let kept = from.map(|snapshot| self.directory.join("snapshots").join(snapshot)).filter(|path| path.exists());
        match kept {
            Some(snapshot) => self.duplicate(&snapshot, &path),
            None => self.make(&path),
        }
    }

    pub fn keep(&self, snapshot: &str, of: &str) -> Result<(), String> {
        self.duplicate(&self.volume(of), &self.directory.join("snapshots").join(snapshot))
    }

    pub fn copy(&self, snapshot: &str, of: &str) -> Result<(), String> {
        let snapshots = self.directory.join("snapshots");
        self.duplicate(&snapshots.join(of), &snapshots.join(snapshot))
    }

    pub fn attach(&self, volume: &str, instance: &str) -> Result<(), String> {
        self.make(&self.disks_of(instance))?;
        rename(&self.directory.join("volumes").join(volume), &self.disks_of(instance).join(volume))
    }

    pub fn detach(&self, volume: &str, instance: &str) -> Result<(), String> {
        rename(&self.disks_of(instance).join(volume), &self.directory.join("volumes").join(volume))
    }

    /// Volumes that it still has are put back first.
    pub fn forget_instance(&self, instance: &str) -> Result<(), String> {
        for volume in names(&self.disks_of(instance)) {
            self.detach(&volume, instance)?;
        }
        remove(&self.instance(instance))
    }

    pub fn forget_volume(&self, volume: &str) -> Result<(), String> {
        remove(&self.volume(volume))
    }

    pub fn forget_snapshot(&self, snapshot: &str) -> Result<(), String> {
        remove(&self.directory.join("snapshots").join(snapshot))
    }

    /// Writes down what 169.254.169.254 tells each instance.
    pub fn tell(&self, truth: &Truth) {
        for one in truth.instances.iter().filter(|one| self.instance(&one.id).exists()) {
            let text = serde_json::to_string(&facts(one)).unwrap_or_default();
            let path = self.instance(&one.id).join("metadata.json");
            if fs::read_to_string(&path).is_ok_and(|there| there == text) {
                continue;
            }
            let fresh = path.with_extension("new");
            if self.write(&fresh, text.as_bytes(), 0o644).is_ok() {
                let _ = fs::rename(&fresh, &path);
            }
        }
    }

    /// All at once or not at all: a copy that was interrupted is made anew.
    fn duplicate(&self, from: &Path, to: &Path) -> Result<(), String> {
        let fresh = self.directory.join("copying");
        remove(&fresh)?;
        run(Command::new("cp").args(["-a", "--reflink=auto"]).arg(from).arg(&fresh))?;
        rename(&fresh, to)
    }

    fn make(&self, path: &Path) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("cannot make {}: {error}", path.display());
        let mut missing: Vec<&Path> = path.ancestors().take_while(|path| !path.exists()).collect();
        while let Some(path) = missing.pop() {
            fs::create_dir(path).map_err(failed)?;
            self.own(path)?;
        }
        Ok(())
    }

    fn write(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
        fs::write(path, content).map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
        self.own(path)
    }

    fn own(&self, path: &Path) -> Result<(), String> {
        let Some(user) = self.owner else { return Ok(()) };
        lchown(path, Some(user), Some(user)).map_err(|error| format!("cannot give away {}: {error}", path.display()))
    }

    fn own_all(&self, path: &Path) -> Result<(), String> {
        self.own(path)?;
        if path.is_dir() && !path.is_symlink() {
            for name in names(path) {
                self.own_all(&path.join(name))?;
            }
        }
        Ok(())
    }
}

/// Paths below `latest/`, and what is there.
fn facts(instance: &TrueInstance) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    let mut add = |name: &str, value: String| drop(facts.insert(format!("meta-data/{name}"), value));
    add("instance-id", instance.id.clone());
    add("instance-type", instance.instance_type.clone());
    add("ami-id", instance.image.clone());
    add("ami-launch-index", instance.launch_index.to_string());
    add("local-ipv4", instance.private_ip.clone());
    add("placement/availability-zone", instance.zone.clone());
    add("placement/region", instance.region.clone());
    if let Some(at_ms) = instance.interrupted_at_ms {
        let time = crate::time::iso(at_ms);
        let time = time.split('.').next().unwrap_or_default();
        add("spot/instance-action", format!("{{\"action\": \"terminate\", \"time\": \"{time}Z\"}}"));
    }
    if let Some(text) = instance.user_data.as_ref().and_then(|text| STANDARD.decode(text).ok()) {
        facts.insert("user-data".to_owned(), String::from_utf8_lossy(&text).into_owned());
    }
    facts
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn rename(from: &Path, to: &Path) -> Result<(), String> {
    fs::rename(from, to).map_err(|error| format!("cannot move {} to {}: {error}", from.display(), to.display()))
}

fn remove(path: &Path) -> Result<(), String> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("cannot run {:?}: {error}", command.get_program()))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}
