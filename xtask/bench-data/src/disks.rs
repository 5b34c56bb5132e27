//! Where it is measured: filesystems of its own in files, and the one that the folder is on. Nothing of it stays.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;

const PREFIX: &str = "bench-data-";
/// Sparse: they take what is written.
const DISK_BYTES: u64 = 4_000_000_000;

/// The bench's own folder; goes with it.
pub struct Home(PathBuf);

impl Home {
    /// Removes what a killed run left, too.
    pub fn make(place: &Path) -> Outcome<Home> {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).map(str::to_owned);
            if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
                sweep(&entry.path());
            }
        }
        let home = place.join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir_all(&home).map_err(|error| format!("{}: {error}", home.display()))?;
        Ok(Home(home))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        sweep(&self.0);
    }
}

/// Takes everything below apart: mounts first.
pub fn sweep(home: &Path) {
    for name in ["btrfs", "xfs"] {
        let _ = Command::new("umount").args(["--lazy", "--quiet"]).arg(home.join(name)).output();
    }
    let _ = fs::remove_dir_all(home);
}

/// Name, folder, and whether snapshots are to be instant there; or why it is not measured.
type Disk = Result<(String, PathBuf, bool), String>;

pub fn all(home: &Path) -> impl Iterator<Item = Disk> {
    let made = ["btrfs", "xfs"].map(|name| (name, home.to_owned()));
    let mounted = made.into_iter().map(|(name, home)| mount(name, &home).map(|folder| (name.to_owned(), folder, true)));
    let plain = home.join("plain");
    mounted.chain(std::iter::once_with(move || {
        fs::create_dir(&plain).map_err(|error| format!("{}: {error}", plain.display()))?;
        Ok((format!("{} (copies)", kind(&plain)), plain, false))
    }))
}

fn mount(name: &str, home: &Path) -> Outcome<PathBuf> {
    let (image, folder) = (home.join(format!("{name}.img")), home.join(name));
    let made =
        fs::File::create(&image).and_then(|file| file.set_len(DISK_BYTES)).and_then(|()| fs::create_dir(&folder));
    made.map_err(|error| format!("{name} is not measured: {error}"))?;
    for command in [
        Command::new(format!("mkfs.{name}")).arg(&image),
        Command::new("mount").args(["-o", "loop,noatime"]).arg(&image).arg(&folder),
    ] {
        match command.output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                return Err(format!("{name} is not measured: {why}"));
            }
            Err(error) => return Err(format!("{name} is not measured: {:?}: {error}", command.get_program())),
        }
    }
    Ok(folder)
}

/// It was measured: its room is needed for the next.
pub fn leave(folder: &Path) {
    let _ = Command::new("umount").arg("--quiet").arg(folder).output();
    let _ = fs::remove_file(folder.with_extension("img"));
    let _ = fs::remove_dir_all(folder);
}

fn kind(folder: &Path) -> String {
    let output = Command::new("stat").args(["--file-system", "--format=%T"]).arg(folder).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// What a folder takes on the disk.
pub fn stored(folder: &Path) -> u64 {
    let output = Command::new("du").args(["--summarize", "--block-size=1"]).arg(folder).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.split_whitespace().next().and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}
