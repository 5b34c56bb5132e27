//! Stories of real disks: files behind loop devices, real filesystems, a real kernel. They need root and a machine that has
//! loop devices; elsewhere they say that they are left out.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use tempfile::TempDir;

use tokio::sync::watch;

use super::super::{Places, away};
use super::find::{Found, find};
use super::probe::{Content, content};
use super::*;
use crate::api::Config;
use crate::link::Identity;

const VOLUME: &str = "vol-0123456789abcdef0";
const MIB: u64 = 1024 * 1024;
/// One loop device is looked for and taken at a time.
static TAKING: Mutex<()> = Mutex::new(());

/// A disk of 64 MiB, attached by the name of [`VOLUME`] below a root directory of its own.
struct Story {
    directory: TempDir,
    device: PathBuf,
}

impl Story {
    /// `None` where there can be no disks.
    fn begin() -> Option<Self> {
        if !rustix::process::geteuid().is_root() || !Path::new("/dev/loop-control").exists() {
            eprintln!("left out: disks need root and loop devices");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("disk");
        File::create(&file).unwrap().set_len(64 * MIB).unwrap();
        let _taking = TAKING.lock().unwrap_or_else(PoisonError::into_inner);
        let made = Command::new("losetup").args(["--find", "--show"]).arg(&file).output().unwrap();
        if !made.status.success() {
            eprintln!("left out: {}", String::from_utf8_lossy(&made.stderr));
            return None;
        }
        let device = PathBuf::from(String::from_utf8(made.stdout).unwrap().trim());
        let names = directory.path().join("dev/disk/bookend");
        std::fs::create_dir_all(&names).unwrap();
        std::os::unix::fs::symlink(&device, names.join(VOLUME)).unwrap();
        std::os::unix::fs::symlink("/proc", directory.path().join("proc")).unwrap();
        Some(Self { directory, device })
    }

    fn root(&self) -> &Path {
        self.directory.path()
    }

    fn data(&self) -> PathBuf {
        self.root().join("data")
    }

    fn disk(&self) -> Disk {
        Disk { volume: VOLUME.into(), path: self.data().to_str().unwrap().into() }
    }

    fn bring(&self) -> Result<Vec<String>, String> {
        mounts::bring(self.root(), &find(self.root(), VOLUME).unwrap(), &self.disk())
    }

    fn release(&self) {
        mounts::release(&self.data()).unwrap();
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let done = Command::new(program).args(arguments).arg(&self.device).output().unwrap();
        assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn write(&self, from: SeekFrom, bytes: &[u8]) {
        let mut file = File::options().write(true).open(&self.device).unwrap();
        file.seek(from).unwrap();
        file.write_all(bytes).unwrap();
        file.sync_all().unwrap();
    }

    /// Everything on it, to see that nothing was changed.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        File::open(&self.device).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn is_left_alone(&self, because: &str) {
        let before = self.bytes();
        let refused = self.bring().unwrap_err();
        assert!(refused.contains(because) && refused.contains("neither formatted nor mounted"), "{refused}");
        assert!(self.bytes() == before, "not a byte is changed");
    }

    /// Whether a block of the disk begins with this: what is still in the filesystem's cache is not there.
    fn is_on_the_disk(&self, text: &str) -> bool {
        let disk = std::fs::read(self.root().join("disk")).unwrap();
        disk.chunks(1024).any(|block| block.starts_with(text.as_bytes()))
    }

    /// An agent's, whose volume this is.
    fn server(&self) -> Arc<Server> {
        let places = Places::all_in(&self.root().join("agent"));
        let (server, _) = Server::start(&places, &Identity::of("s", 1)).unwrap();
        server.begin(&Config { volumes: vec![self.disk().path], ..Config::default() });
        server
    }

    fn size(&self) -> u64 {
        let room = rustix::fs::statvfs(self.data()).unwrap();
        room.f_blocks * room.f_frsize
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        mounts::release(&self.data()).ok();
        Command::new("losetup").arg("--detach").arg(&self.device).status().ok();
    }
}

#[test]
fn a_blank_disk_is_formatted_once_and_holds_what_was_written_over_every_start() {
    let Some(story) = Story::begin() else { return };
    let told = story.bring().unwrap();
    assert!(told[0].contains("is blank"), "{told:?}");
    assert_eq!(std::fs::read_dir(story.data()).unwrap().count(), 0, "programs find an empty directory");
    std::fs::write(story.data().join("poem"), "roses").unwrap();
    assert_eq!(story.bring().unwrap(), Vec::<String>::new(), "the agent was started again");
    let options = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let own = options.lines().find(|line| line.contains(story.data().to_str().unwrap())).unwrap();
    assert!(own.contains("nosuid") && own.contains("nodev"), "{own}");
    story.release();
    let told = story.bring().unwrap();
    assert!(!told.iter().any(|words| words.contains("formatted")), "{told:?}");
    assert_eq!(std::fs::read_to_string(story.data().join("poem")).unwrap(), "roses");
    let id = Command::new("blkid").args(["-p", "-o", "value", "-s", "UUID"]).arg(&story.device).output().unwrap();
    assert!(String::from_utf8_lossy(&id.stdout).contains("123456789abcdef0".get(4..).unwrap()));
}

#[test]
fn a_filesystem_that_is_there_is_mounted_and_grown_to_its_disk() {
    for (kind, arguments) in [("mkfs.ext4", ["-q", "-F"]), ("mkfs.xfs", ["-q", "-f"])] {
        let Some(story) = Story::begin() else { return };
        if Command::new(kind).arg("-V").output().is_err() {
            eprintln!("left out: {kind} is not there");
            continue;
        }
        if kind == "mkfs.xfs" {
            // It wants more room than a small disk has.
            File::options().write(true).open(story.root().join("disk")).unwrap().set_len(400 * MIB).unwrap();
            story.run("losetup", &["--set-capacity"]);
        }
        story.run(kind, &arguments);
        story.bring().unwrap();
        std::fs::write(story.data().join("poem"), "roses").unwrap();
        let before = story.size();
        let larger = if kind == "mkfs.xfs" { 800 * MIB } else { 128 * MIB };
        File::options().write(true).open(story.root().join("disk")).unwrap().set_len(larger).unwrap();
        story.run("losetup", &["--set-capacity"]);
        let told = story.bring().unwrap();
        // The kernel grows ext4 for whoever may use more than others (CAP_SYS_RESOURCE), which not every root may.
        if told.iter().any(|words| words.contains("Permission denied to resize")) {
            eprintln!("left out: {told:?}");
            continue;
        }
        assert!(story.size() > before * 3 / 2, "{kind}: {before} became {}, {told:?}", story.size());
        assert_eq!(std::fs::read_to_string(story.data().join("poem")).unwrap(), "roses");
    }
}

#[test]
fn whatever_else_is_on_a_disk_is_left_as_it_is() {
    let Some(story) = Story::begin() else { return };
    // A partition table as old machines have it: a signature at the end of the first sector, and one partition.
    let mut sector = [0; 512];
    sector[446..462].copy_from_slice(&[0, 0, 2, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 0, 1, 0]);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    story.write(SeekFrom::Start(0), &sector);
    story.is_left_alone("a partition table");
    story.write(SeekFrom::Start(0), &[0; 512]);
    assert_eq!(content(&story.device, VOLUME).unwrap(), Content::Blank);

    let mut noise = vec![0; 64 * 1024];
    getrandom::fill(&mut noise).unwrap();
    story.write(SeekFrom::Start(0), &noise);
    story.is_left_alone("unknown kind");
    story.write(SeekFrom::Start(0), &vec![0; noise.len()]);
    story.write(SeekFrom::End(-4096), b"a secondary partition table, perhaps");
    story.is_left_alone("unknown kind");
    story.write(SeekFrom::End(-4096), &[0; 4096]);
    story.write(SeekFrom::Start(300_000), b"x");
    story.is_left_alone("unknown kind");
    story.write(SeekFrom::Start(300_000), b"\0");
    story.run("mkswap", &[]);
    story.is_left_alone("swap");
}

#[test]
fn an_agent_that_is_killed_while_it_formats_is_followed_by_one_that_does_it_anew() {
    let Some(story) = Story::begin() else { return };
    let mark = probe::mark(VOLUME);
    // Before mkfs has written anything, in the midst of it, and after its end.
    format::write_mark(&story.device, &mark).unwrap();
    assert_eq!(content(&story.device, VOLUME).unwrap(), Content::Interrupted);
    story.write(SeekFrom::Start(8192), &[7; 4096]);
    assert_eq!(content(&story.device, VOLUME).unwrap(), Content::Interrupted);
    assert_ne!(content(&story.device, "vol-0fedcba9876543210").unwrap(), Content::Interrupted, "another volume's mark");
    format::format(&story.device, VOLUME).unwrap();
    assert_eq!(content(&story.device, VOLUME).unwrap(), Content::Filesystem("ext4".into()), "it was killed after that");
    format::write_mark(&story.device, &mark).unwrap();
    assert_eq!(content(&story.device, VOLUME).unwrap(), Content::Interrupted, "the mark was never taken away");
    let told = story.bring().unwrap();
    assert!(told[0].contains("anew"), "{told:?}");
    std::fs::write(story.data().join("poem"), "roses").unwrap();
    story.release();
    // What was ever mounted is never formatted again, whatever is written where the mark would be.
    format::write_mark(&story.device, &mark).unwrap();
    story.bring().unwrap();
    assert_eq!(std::fs::read_to_string(story.data().join("poem")).unwrap(), "roses");
}

/// mkfs killed at every stage a machine happens to reach: whatever it left is formatted anew, and nothing ends in a refusal.
#[test]
fn mkfs_killed_at_any_moment_leaves_a_disk_that_can_be_used() {
    let Some(story) = Story::begin() else { return };
    for delay in [0, 200, 500, 1_000, 2_000, 4_000, 8_000] {
        format::write_mark(&story.device, &probe::mark(VOLUME)).unwrap();
        let mut mkfs = Command::new("mkfs.ext4");
        let mkfs = mkfs.args(["-F", "-q", "-m", "0", "-E", "nodiscard"]).arg(&story.device).spawn();
        let mut mkfs = mkfs.unwrap();
        std::thread::sleep(Duration::from_micros(delay));
        mkfs.kill().unwrap();
        mkfs.wait().unwrap();
        assert_eq!(content(&story.device, VOLUME).unwrap(), Content::Interrupted, "after {delay} µs");
    }
    story.bring().unwrap();
    assert!(story.size() > 32 * MIB);
}

#[test]
fn nothing_is_mounted_over_another_filesystem() {
    let (Some(story), Some(other)) = (Story::begin(), Story::begin()) else { return };
    story.bring().unwrap();
    let taken = Disk { path: story.data().to_str().unwrap().into(), ..other.disk() };
    let refused = mounts::bring(other.root(), &find(other.root(), VOLUME).unwrap(), &taken).unwrap_err();
    assert!(refused.contains("another filesystem"), "{refused}");
}

#[test]
fn a_directory_stands_in_for_a_disk() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("left out: mounting needs root");
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let volume = root.path().join("dev/disk/bookend").join(VOLUME);
    std::fs::create_dir_all(&volume).unwrap();
    std::fs::write(volume.join("poem"), "roses").unwrap();
    let data = root.path().join("data");
    let disk = Disk { volume: VOLUME.into(), path: data.to_str().unwrap().into() };
    let found = find(root.path(), VOLUME).unwrap();
    assert_eq!(found, Found::Directory(volume));
    for _ in 0..2 {
        mounts::bring(root.path(), &found, &disk).unwrap();
    }
    assert_eq!(std::fs::read_to_string(data.join("poem")).unwrap(), "roses");
    mounts::release(&data).unwrap();
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0, "it was mounted once");
}

#[test]
fn a_disk_is_found_by_what_it_says_of_itself() {
    let Some(story) = Story::begin() else { return };
    let root = tempfile::tempdir().unwrap();
    let serials = root.path().join("sys/block");
    for (device, serial) in [("nvme0n1", "vol00000000000000000\n"), ("nvme1n1", "vol0123456789abcdef0   \n")] {
        std::fs::create_dir_all(serials.join(device).join("device")).unwrap();
        std::fs::write(serials.join(device).join("device/serial"), serial).unwrap();
    }
    assert_eq!(find(root.path(), VOLUME), None, "its device is not there yet");
    std::fs::create_dir_all(root.path().join("dev/disk/by-id")).unwrap();
    std::os::unix::fs::symlink(&story.device, root.path().join("dev/nvme1n1")).unwrap();
    assert_eq!(find(root.path(), VOLUME), Some(Found::Device(root.path().join("dev/nvme1n1"))));
    let by_id = root.path().join("dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0");
    std::os::unix::fs::symlink(&story.device, &by_id).unwrap();
    assert_eq!(find(root.path(), VOLUME), Some(Found::Device(by_id)));
    assert_eq!(find(root.path(), "vol-1"), None);
}

#[tokio::test]
async fn a_filesystem_stands_still_until_it_is_let_go_or_its_time_is_over() {
    let Some(story) = Story::begin() else { return };
    story.bring().unwrap();
    let places = || vec![story.data()];
    let write = |name: &'static str| {
        let file = story.data().join(name);
        std::thread::spawn(move || std::fs::write(file, "roses").unwrap())
    };
    let still = still::hold(places(), Duration::from_secs(60)).await.unwrap().unwrap();
    let writing = write("held");
    std::thread::sleep(Duration::from_millis(100));
    assert!(!writing.is_finished(), "nothing is written while it stands still");
    assert!(still.end(), "it stood still until the end");
    writing.join().unwrap();

    let still = still::hold(places(), Duration::from_millis(100)).await.unwrap().unwrap();
    // Only when its time is over this can be done.
    write("late").join().unwrap();
    assert!(!still.end(), "it did not stand still until the end");

    drop(still::hold(places(), Duration::from_secs(60)).await.unwrap());
    write("dropped").join().unwrap();
    let gone = still::hold(vec![story.data(), "/nowhere".into()], Duration::from_secs(60)).await.err().unwrap();
    assert!(gone.contains("/nowhere"), "{gone}");
    write("all or nothing").join().unwrap();
}

/// Its own kernel brings what was written to a disk after half a minute; a disk that is here so much sooner was brought there.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_portal_what_programs_wrote_is_on_the_disk_after_the_configured_time() {
    const AWAY: Duration = Duration::from_millis(500);
    const SOONER_THAN_THE_KERNEL: Duration = Duration::from_secs(15);
    let Some(story) = Story::begin() else { return };
    story.bring().unwrap();
    let server = story.server();
    // Whatever mounting left to write is not what is looked for.
    rustix::fs::sync();
    let poem = format!("roses, {}", std::process::id());
    std::fs::write(story.data().join("poem"), &poem).unwrap();
    assert!(!story.is_on_the_disk(&poem), "nobody has brought it there");

    let (linked, link) = watch::channel(true);
    let keeping = tokio::spawn(away::keep_safe(server, link, AWAY));
    sleep(AWAY * 2).await;
    assert!(!story.is_on_the_disk(&poem), "the portal is there");
    linked.send_replace(false);
    let since = Instant::now();
    while !story.is_on_the_disk(&poem) {
        assert!(since.elapsed() < SOONER_THAN_THE_KERNEL, "it is not on the disk");
        sleep(Duration::from_millis(50)).await;
    }
    assert!(since.elapsed() >= AWAY, "a portal that restarts is away for some");
    keeping.abort();
}

#[test]
fn what_leads_out_of_its_place_is_no_disk() {
    let disk = |volume: &str, path: &str| check(&Disk { volume: volume.into(), path: path.into() });
    assert!(disk(VOLUME, "/data/a").is_ok());
    for (volume, path) in [("", "/data"), ("../sda", "/data"), (VOLUME, "/"), (VOLUME, "data"), (VOLUME, "/a/../b")] {
        assert!(disk(volume, path).is_err(), "{volume:?} {path:?}");
    }
}
