//! Stories of a server whose volume is a disk of its own: the real agent in a sandbox with a mount table of its own, a real
//! filesystem behind a loop device. They need root and loop devices; elsewhere they say that they are left out.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use agent::api::*;
use agent::link::portal::{self, Connection, Lines};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tempfile::TempDir;
use tokio::net::UnixListener;

const VOLUME: &str = "vol-0123456789abcdef0";
/// Longer than any story takes.
const LONG: u64 = 120_000;
/// One loop device is looked for and taken at a time.
static TAKING: Mutex<()> = Mutex::new(());

struct Story {
    portal: Connection,
    directory: TempDir,
    device: PathBuf,
    listener: UnixListener,
    agent: tokio::process::Child,
}

impl Story {
    /// `None` where there can be no disks.
    async fn begin() -> Option<Self> {
        if !rustix::process::geteuid().is_root() || !Path::new("/dev/loop-control").exists() {
            eprintln!("left out: disks need root and loop devices");
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("disk");
        File::create(&file).and_then(|file| file.set_len(64 << 20)).expect("a disk");
        let device = {
            let _taking = TAKING.lock();
            let made = Command::new("losetup").args(["--find", "--show"]).arg(&file).output().expect("losetup");
            if !made.status.success() {
                eprintln!("left out: {}", String::from_utf8_lossy(&made.stderr));
                return None;
            }
            PathBuf::from(String::from_utf8_lossy(&made.stdout).trim())
        };
        let socket = directory.path().join("portal.sock");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let data = directory.path().join("data");
        let identity = serde_json::json!({
            "server": "s", "generation": 1, "link": { "unix": socket }, "disks": [{ "volume": VOLUME, "path": data }],
        });
        std::fs::write(directory.path().join("identity"), identity.to_string()).expect("an identity");
        let (agent, portal) = boot(directory.path(), &device, &listener).await;
        Some(Self { portal, directory, device, listener, agent })
    }

    /// The machine loses its power and boots again.
    async fn boot_again(&mut self) {
        self.agent.kill().await.expect("an end");
        (self.agent, self.portal) = boot(self.directory.path(), &self.device, &self.listener).await;
    }

    fn attach(&self) {
        std::os::unix::fs::symlink(&self.device, self.directory.path().join("attached")).expect("a link");
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> http::Response<hyper::body::Incoming> {
        self.portal.request(request).await.expect("an answer")
    }

    /// Asks for a service that writes to the volume and beside it.
    async fn configure(&self) {
        let data = self.directory.path().join("data").display().to_string();
        let command = format!(
            "n=0; while :; do n=$((n+1)); echo $n > {data}/fresh; mv {data}/fresh {data}/count; \
             echo $n > {data}/../fresh; mv {data}/../fresh {data}/../seen; done"
        );
        let service = Service {
            name: "writer".into(),
            command,
            directory: None,
            variables: Default::default(),
            restart: Restart::Always,
            stop_timeout_ms: 1000,
        };
        let config = Config {
            digest: "1".into(),
            server: "web".into(),
            volumes: vec![data],
            services: vec![service],
            ..Config::default()
        };
        let body = serde_json::to_vec(&config).expect("a configuration");
        let request = Request::put("/v1/config").header("host", "agent").body(Full::from(body)).expect("a request");
        assert!(self.ask(request).await.status().is_success());
    }

    async fn until(&self, phase: Phase) -> Status {
        let request = Request::get("/v1/reports").header("host", "agent").body(Full::default()).expect("a request");
        let mut reports: Lines<Report> = Lines::new(self.ask(request).await);
        loop {
            for report in reports.next().await.expect("reports") {
                match report {
                    Report::Status(status) if status.phase == phase => return status,
                    _ => {}
                }
            }
        }
    }

    fn seen(&self) -> u64 {
        let text = std::fs::read_to_string(self.directory.path().join("seen")).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    async fn until_seen_beyond(&self, count: u64) {
        while self.seen() <= count {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// What e2fsprogs say of the disk as it is at this moment, without anything that memory knows of it.
    fn of_disk(&self, program: &str, arguments: &[&str]) -> String {
        let copy = self.directory.path().join("copy");
        std::fs::copy(self.directory.path().join("disk"), &copy).expect("a copy");
        let said = Command::new(program).args(arguments).arg(&copy).output().expect(program);
        String::from_utf8_lossy(&said.stdout).into_owned()
    }
}

/// The agent in a sandbox that has the device, and its link.
async fn boot(directory: &Path, device: &Path, listener: &UnixListener) -> (tokio::process::Child, Connection) {
    let mut command = tokio::process::Command::new("bwrap");
    command.args(["--bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]);
    command.arg("--dev-bind").arg(device).arg(device);
    // What it leads to is there once the disk is attached.
    command.arg("--symlink").arg(directory.join("attached")).arg(format!("/dev/disk/bookend/{VOLUME}"));
    command.args(["--cap-add", "ALL", "--unshare-pid", "--die-with-parent"]);
    command.arg(env!("CARGO_BIN_EXE_bookend-agent")).arg("--directory").arg(directory);
    command.env("HOME", directory).stdin(Stdio::null()).kill_on_drop(true);
    let agent = command.spawn().expect("an agent");
    loop {
        let (stream, _) = listener.accept().await.expect("an agent that dials");
        // One that was killed had dialled before.
        if let Ok(caller) = portal::receive(stream).await
            && let Ok(portal) = caller.accept().await
        {
            return (agent, portal);
        }
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        self.agent.start_kill().ok();
        // It is detached when the last mount of it is gone with its sandbox.
        Command::new("losetup").arg("--detach").arg(&self.device).status().ok();
    }
}

#[tokio::test]
async fn a_server_waits_for_its_disk_runs_on_it_stands_still_with_it_and_lets_it_go() {
    let Some(story) = Story::begin().await else { return };
    story.configure().await;
    story.until(Phase::Mounting).await;
    assert_eq!(story.seen(), 0, "nothing runs before the volume is there");
    story.attach();
    story.until(Phase::Healthy).await;
    story.until_seen_beyond(0).await;

    let freeze = |id: &str, hold_ms: u64| Freeze { id: id.into(), hold_ms, before: None, after: None };
    story.portal.freeze(&freeze("a", LONG)).await.expect("a freeze");
    let seen = story.seen();
    let disk = story.of_disk("dumpe2fs", &["-h"]);
    assert!(disk.contains("Filesystem features") && !disk.contains("needs_recovery"), "{disk}");
    let count: u64 = story.of_disk("debugfs", &["-R", "cat /count"]).trim().parse().expect("a number");
    assert!((seen..=seen + 1).contains(&count), "all that was written is on the disk: {count}, {seen}");
    let thawed = story.portal.thaw(&Thaw { id: "a".into() }).await.expect("an answer");
    assert!(thawed.held, "{thawed:?}");
    story.until_seen_beyond(seen + 1).await;

    // The portal is gone for good.
    story.portal.freeze(&freeze("b", 400)).await.expect("a freeze");
    story.until_seen_beyond(story.seen() + 1).await;
    let thawed = story.portal.thaw(&Thaw { id: "b".into() }).await.expect("an answer");
    assert!(!thawed.held, "{thawed:?}");

    let stop = Request::post("/v1/stop").header("host", "agent").body(Full::default()).expect("a request");
    assert!(story.ask(stop).await.status().is_success());
    let disk = story.of_disk("dumpe2fs", &["-h"]);
    assert!(disk.contains("clean") && !disk.contains("needs_recovery"), "the disk can be detached: {disk}");
}

#[tokio::test]
async fn a_disk_with_something_else_on_it_fails_its_server_and_says_what_it_is() {
    let Some(story) = Story::begin().await else { return };
    std::fs::write(&story.device, vec![0x5a; 1 << 20]).expect("something");
    story.attach();
    story.configure().await;
    let failure = story.until(Phase::Failed).await.failure.expect("a reason");
    assert!(failure.step.contains(VOLUME) && failure.cause.contains("data of an unknown kind"), "{failure:?}");
    assert_eq!(story.seen(), 0);
}

/// Killed between any two of: found, marked, formatted, mounted, grown, running.
#[tokio::test]
async fn a_machine_that_loses_its_power_at_any_moment_ends_up_with_its_disk_and_what_was_on_it() {
    let Some(mut story) = Story::begin().await else { return };
    story.attach();
    for delay in [0, 2, 5, 10, 15, 20, 30, 45, 70, 100, 150] {
        story.configure().await;
        tokio::time::sleep(std::time::Duration::from_millis(delay)).await;
        story.boot_again().await;
    }
    story.configure().await;
    story.until(Phase::Healthy).await;
    story.until_seen_beyond(story.seen()).await;
    let freeze = Freeze { id: "a".into(), hold_ms: LONG, before: None, after: None };
    story.portal.freeze(&freeze).await.expect("a freeze");
    let id = |disk: String| disk.lines().find(|line| line.starts_with("Filesystem created")).map(str::to_owned);
    let made = id(story.of_disk("dumpe2fs", &["-h"]));
    let count: u64 = story.of_disk("debugfs", &["-R", "cat /count"]).trim().parse().expect("a number");
    story.boot_again().await;
    // Nothing writes yet: what was there when the power went is there.
    let kept: u64 = story.of_disk("debugfs", &["-R", "cat /count"]).trim().parse().expect("a number");
    assert!(made.is_some() && id(story.of_disk("dumpe2fs", &["-h"])) == made, "it was not formatted again");
    assert_eq!(kept, count);
    // It was killed while everything stood still.
    story.configure().await;
    story.until(Phase::Healthy).await;
    story.until_seen_beyond(story.seen() + 1).await;
}
