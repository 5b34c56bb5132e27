//! From a volume that is there to its filesystem at its path.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{major, minor};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};

use super::find::Found;
use super::probe::{self, Content};
use super::{format, still};
use crate::link::Disk;

/// For what uses a filesystem to end, once it was told to.
const IN_USE: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(50);

/// Brings a volume to its path; one that is there already stays. What is worth telling comes back.
///
/// # Errors
/// In words.
pub(super) fn bring(root: &Path, found: &Found, disk: &Disk) -> Result<Vec<String>, String> {
    let path = Path::new(&disk.path);
    let no_place = |error: io::Error| format!("{} cannot be made: {error}", path.display());
    std::fs::create_dir_all(path).map_err(no_place)?;
    match found {
        Found::Directory(directory) => bind(directory, path).map(|()| Vec::new()),
        Found::Device(device) => bring_device(root, device, path, disk),
    }
}

fn bind(directory: &Path, path: &Path) -> Result<(), String> {
    let id = |path: &Path| std::fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    if id(directory) == id(path) {
        return Ok(());
    }
    mount_bind(directory, path).map_err(|error| format!("{} cannot be mounted: {error}", directory.display()))
}

fn bring_device(root: &Path, device: &Path, path: &Path, disk: &Disk) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let number = std::fs::metadata(device).map_err(|error| format!("{} is gone: {error}", device.display()))?.rdev();
    let present = match mounted(root, path)? {
        Some((there, kind)) if there == format!("{}:{}", major(number), minor(number)) => Some(kind),
        Some((there, _)) => return Err(format!("another filesystem (device {there}) is mounted there already")),
        None => None,
    };
    let kind = match present {
        Some(kind) => kind,
        None => {
            let kind = match probe::content(device, &disk.volume)? {
                Content::Filesystem(kind) => kind,
                Content::Blank => {
                    words.push(format!("volume {} is blank: it is formatted", disk.volume));
                    format::format(device, &disk.volume)?;
                    "ext4".to_owned()
                }
                Content::Interrupted => {
                    words.push(format!("volume {} was not formatted to the end: it is formatted anew", disk.volume));
                    format::format(device, &disk.volume)?;
                    "ext4".to_owned()
                }
                Content::Foreign(what) => {
                    return Err(format!("there is {what} on it, so it is neither formatted nor mounted"));
                }
            };
            // A copy of a volume has the id of its original, which XFS would not mount twice.
            let options = (kind == "xfs").then_some(c"nouuid");
            let device = device.canonicalize().unwrap_or_else(|_| device.to_owned());
            mount(device, path, kind.as_str(), MountFlags::NODEV | MountFlags::NOSUID, options)
                .map_err(|error| format!("its {kind} filesystem cannot be mounted: {error}"))?;
            words.push(format!("volume {} is mounted at {}", disk.volume, path.display()));
            kind
        }
    };
    still::let_go_of(path);
    // Programs that want an empty directory shall have one.
    let lost_and_found = path.join("lost+found");
    if std::fs::read_dir(path).is_ok_and(|entries| entries.count() == 1) {
        std::fs::remove_dir(lost_and_found).ok();
    }
    if let Err(error) = format::grow(device, path, &kind) {
        words.push(format!("volume {} may not have its full size: {error}", disk.volume));
    }
    Ok(words)
}

/// Device and type of what is mounted at a path, last of all.
fn mounted(root: &Path, path: &Path) -> Result<Option<(String, String)>, String> {
    let table = std::fs::read_to_string(root.join("proc/self/mountinfo"));
    let table = table.map_err(|error| format!("it cannot be seen what is mounted: {error}"))?;
    let escaped = path.to_string_lossy().replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011");
    let at = |line: &str| {
        let (place, kind) = line.split_once(" - ")?;
        let fields: Vec<&str> = place.split(' ').collect();
        let kind = kind.split(' ').next()?;
        (fields.get(4) == Some(&escaped.as_str())).then(|| Some(((*fields.get(2)?).to_owned(), kind.to_owned())))?
    };
    Ok(table.lines().filter_map(at).next_back())
}

/// Writes everything to the disk and takes the filesystem off.
pub(super) fn release(path: &Path) -> io::Result<()> {
    if let Ok(folder) = std::fs::File::open(path) {
        rustix::fs::syncfs(folder)?;
    }
    let since = Instant::now();
    loop {
        match unmount(path, UnmountFlags::empty()) {
            // Nothing is mounted there any more.
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            // What has just ended may still let go of its files.
            Err(Errno::BUSY) if since.elapsed() < IN_USE => std::thread::sleep(LOOK),
            done => return Ok(done?),
        }
    }
}
