//! A place for stories: a data directory with a local provisioner, a server program that does what the story tells it, and
//! a look at the machine from outside.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use provisioners::conformance::{Performed, Place, Trouble, arm, passed, settled};
use provisioners::local::{Config, Local};
use provisioners::{
    AgentGateway, Duplex, Effect, EffectToken, EnvironmentId, Gateway, Provisioner, Secret, ServerId, SnapshotId, Step,
    VolumeId,
};
use rustix::process::{Pid, Signal, kill_process};
use tests::programs;

/// The servers' first process: reads scripts from its volume and writes what they say beside them, for ever.
const AGENT: &str = r#"#!/bin/sh
case "$1" in holder|unpack) exec "REAL" "$@";; esac
[ -d /data ] || exec sleep 1000000
cd /data
ME=$(cat /etc/hostname)
[ -p commands-$ME ] || mkfifo commands-$ME output-$ME
while :; do sh < commands-$ME > output-$ME 2>&1; done
"#;

pub struct LocalPlace {
    /// Removed with all its servers in the end.
    pub directory: tempfile::TempDir,
    /// Where the data directory is.
    home: PathBuf,
    _disk: Option<Disk>,
}

/// A filesystem of its own in a file, for as long as this is there.
struct Disk {
    at: PathBuf,
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever had files open on it is gone a moment later.
        for _ in 0..100 {
            if Command::new("umount").arg("--").arg(&self.at).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
            {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let _ = Command::new("umount").args(["--lazy", "--"]).arg(&self.at).status();
    }
}

struct NoPortal;

impl AgentGateway for NoPortal {
    fn accepted(&self, _stream: Box<dyn Duplex>) {}
}

fn gateway() -> Gateway {
    Arc::new(NoPortal)
}

impl LocalPlace {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let home = directory.path().to_owned();
        Self::prepared(Self { directory, home, _disk: None })
    }

    /// On a fresh filesystem of this kind, `btrfs` or `xfs`. Only root can mount one.
    pub fn on(filesystem: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (image, home) = (directory.path().join("disk"), directory.path().join("mounted"));
        fs::create_dir(&home).expect("a directory");
        fs::File::create(&image).and_then(|file| file.set_len(1 << 30)).expect("an image");
        let run = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().expect("a program");
            assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        };
        let (image, at) = (image.to_str().expect("a path"), home.to_str().expect("a path"));
        run(&format!("mkfs.{filesystem}"), &["-q", image]);
        run("mount", &["-o", "loop", image, at]);
        let disk = Disk { at: home.clone() };
        Self::prepared(Self { directory, home, _disk: Some(disk) })
    }

    fn prepared(place: Self) -> Self {
        let agent = AGENT.replace("REAL", programs::dist().join("bookend-agent").to_str().expect("a path"));
        fs::write(place.agent(), agent).expect("the servers' program");
        fs::set_permissions(place.agent(), fs::Permissions::from_mode(0o755)).expect("a mode");
        place
    }

    fn agent(&self) -> PathBuf {
        self.directory.path().join("agent")
    }

    pub fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    pub async fn local(&self) -> Local {
        let config = Config { directory: self.data(), agent: self.agent(), separate_disks: false };
        Local::open(config, gateway()).await.expect("a machine that can have servers")
    }

    pub fn volume(&self, environment: &EnvironmentId, volume: &str) -> PathBuf {
        self.data().join("environments").join(environment.as_str()).join("volumes").join(volume).join("data")
    }

    /// Runs a script in a server as everything in it runs, and returns what it says.
    pub fn run(&self, environment: &EnvironmentId, volume: &str, server: &str, script: &str) -> String {
        let data = self.volume(environment, volume);
        let output = data.join(format!("output-{server}"));
        while !output.exists() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let commands = data.join(format!("commands-{server}"));
        fs::write(commands, script).expect("a server that reads");
        fs::read_to_string(output).expect("a server that writes")
    }

    /// Where the servers' control groups are, where there are any.
    fn control_groups(&self) -> Vec<PathBuf> {
        let Ok(tag) = fs::read_to_string(self.data().join("installation")) else { return Vec::new() };
        let group = |controller| Path::new("/sys/fs/cgroup").join(controller).join(format!("bookend-{tag}"));
        ["memory", "cpu", "pids"].map(group).to_vec()
    }

    /// Processes whose command line names this place's environment: its holder.
    fn holders(&self, environment: &EnvironmentId) -> Vec<i32> {
        let named = format!("{}/environments/{environment}\"", self.data().display());
        all_processes().filter(|pid| command_line(*pid).contains(&named)).collect()
    }

    fn servers(&self, environment: &EnvironmentId) -> Vec<(i32, String)> {
        let holders = self.holders(environment);
        let of_holder = |pid: &i32| parent(*pid).is_some_and(|parent| holders.contains(&parent));
        let command = |pid| command_line(pid);
        all_processes()
            .filter(of_holder)
            .map(|pid| (pid, command(pid)))
            .filter(|(_, line)| line.starts_with("/run/bwrap "))
            .collect()
    }
}

fn all_processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn command_line(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

fn parent(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// One that has ended meanwhile, perhaps with the one that was killed before it, is dead as well.
fn kill(pid: i32) {
    let pid = Pid::from_raw(pid).expect("a process id");
    let killed = kill_process(pid, Signal::KILL);
    assert!(matches!(killed, Ok(()) | Err(rustix::io::Errno::SRCH)), "{killed:?}");
}

#[async_trait]
impl Place for LocalPlace {
    fn shares_volumes(&self) -> bool {
        true
    }

    fn reads_snapshots(&self) -> bool {
        true
    }

    async fn open(&self) -> Box<dyn Provisioner> {
        Box::new(self.local().await)
    }

    async fn perform_in_trouble(&self, effect: &Effect, trouble: Trouble, at: u64) -> Performed {
        let step = serde_json::to_string(&effect.step).expect("a step");
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "provisioner::place::a_portal_performs_one_step_in_trouble", "--nocapture"]);
        command.env("BOOKEND_TROUBLE", format!("{trouble:?} {at}")).env("BOOKEND_STEP", step);
        command.env("BOOKEND_ENVIRONMENT", effect.environment.as_str()).env("BOOKEND_DATA", self.data());
        command.env("BOOKEND_AGENT", self.agent());
        let output = command.stdin(Stdio::null()).output().expect("a portal");
        let said = String::from_utf8_lossy(&output.stdout);
        let outcome = said.lines().find_map(|line| line.split_once("OUTCOME ")).map(|(_, outcome)| outcome.to_owned());
        match (outcome.as_deref(), output.status.signal()) {
            (Some("done"), _) => Performed::Done,
            (Some(error), _) => Performed::Failed(error.to_owned()),
            (None, Some(9)) => Performed::Killed,
            (None, _) => panic!("{said}{}", String::from_utf8_lossy(&output.stderr)),
        }
    }

    async fn running(&self, environment: &EnvironmentId) -> usize {
        self.servers(environment).len()
    }

    async fn leftovers(&self, environment: &EnvironmentId) -> Vec<String> {
        let mut left: Vec<String> = self.holders(environment).iter().map(|pid| format!("process {pid}")).collect();
        for of in ["environments", "snapshots"] {
            let directory = self.data().join(of).join(environment.as_str());
            if directory.exists() {
                left.push(directory.display().to_string());
            }
        }
        for entry in fs::read_dir(self.data().join("trash")).expect("a directory").flatten() {
            left.push(entry.path().display().to_string());
        }
        left.extend(tests::leftovers::mounts(&self.data()));
        for groups in self.control_groups() {
            let names = fs::read_dir(groups).into_iter().flatten().flatten().map(|entry| entry.path());
            left.extend(names.filter(|path| path.is_dir()).map(|path| path.display().to_string()));
        }
        left
    }

    fn kill_server(&self, environment: &EnvironmentId, server: &ServerId) {
        let servers = self.servers(environment);
        let name = format!("--hostname {server} ");
        let (monitor, _) = servers.iter().find(|(_, line)| line.contains(&name)).expect("a server that runs");
        let first = all_processes().find(|pid| parent(*pid) == Some(*monitor)).expect("its first process");
        kill(first);
    }

    fn kill_network(&self, environment: &EnvironmentId) {
        for holder in self.holders(environment) {
            kill(holder);
        }
    }

    async fn fill(&self, environment: &EnvironmentId, volume: &VolumeId) {
        let data = self.volume(environment, volume.as_str());
        fs::create_dir_all(data.join("inside/deeper")).expect("directories");
        for (file, content) in FILES {
            fs::write(data.join(name(file)), content).expect("a file");
        }
        let _ = fs::hard_link(data.join("file"), data.join("same"));
        let _ = std::os::unix::fs::symlink("/etc/shadow", data.join("inside/link"));
    }

    fn is_filled(&self, environment: &EnvironmentId, volume: &VolumeId) -> bool {
        let data = self.volume(environment, volume.as_str());
        let file = |path: &Path| fs::read_to_string(data.join(path)).unwrap_or_default();
        FILES.iter().all(|(path, content)| file(name(path)) == *content)
            && fs::metadata(data.join("same")).is_ok_and(|same| same.nlink() == 2)
            && fs::read_link(data.join("inside/link")).is_ok_and(|target| target == Path::new("/etc/shadow"))
            && fs::read_dir(&data).is_ok_and(|entries| entries.count() == 5)
    }

    fn damage(&self, environment: &EnvironmentId, snapshot: &SnapshotId, volume: &VolumeId) -> String {
        let path = "inside/deeper/file";
        let kept = self.data().join("snapshots").join(environment.as_str()).join(snapshot.as_str());
        let file = kept.join("volumes").join(volume.as_str()).join(path);
        let before = fs::metadata(&file).and_then(|found| found.modified()).expect("a file");
        fs::write(&file, "m\0re").expect("damage");
        // A disk that fails says nothing.
        fs::File::open(&file).and_then(|file| file.set_modified(before)).expect("a time");
        path.to_owned()
    }
}

/// What [`Place::fill`] puts into a volume: name and content.
const FILES: [(&[u8], &str); 4] =
    [(b"file", "content"), (b"inside/deeper/file", "more"), (b"new\nline", "1"), (b"not \xff text", "2")];

fn name(bytes: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

impl Drop for LocalPlace {
    fn drop(&mut self) {
        tests::leftovers::sweep(&self.data());
        // Control groups are not below the directory; their processes are gone now.
        for group in self.control_groups() {
            for server in fs::read_dir(&group).into_iter().flatten().flatten() {
                let _ = fs::remove_dir(server.path());
            }
            let _ = fs::remove_dir(group);
        }
    }
}

/// Not a story: the portal of [`Place::perform_in_trouble`], in a process of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_portal_performs_one_step_in_trouble() {
    let of = |name: &str| std::env::var(name).ok();
    let Some(trouble) = of("BOOKEND_TROUBLE") else { return };
    let (kind, at) = trouble.split_once(' ').expect("a kind and a moment");
    let kind = if kind == "Kill" { Trouble::Kill } else { Trouble::Fail };
    let step: Step = serde_json::from_str(&of("BOOKEND_STEP").expect("a step")).expect("a step");
    let config = Config {
        directory: of("BOOKEND_DATA").expect("a directory").into(),
        agent: of("BOOKEND_AGENT").expect("an agent").into(),
        separate_disks: false,
    };
    let local = Local::open(config, gateway()).await.expect("a machine that can have servers");
    let effect = Effect {
        token: EffectToken::new("0".repeat(64)),
        environment: EnvironmentId::new(of("BOOKEND_ENVIRONMENT").expect("an environment")),
        step,
        call: 1,
        enrolment: Some(Secret::new("enrol")),
        by_schedule: false,
    };
    let at: u64 = at.parse().expect("a number");
    arm(Some((at, kind)));
    let performed = local.request(&effect).await;
    if performed.is_ok() {
        // Trouble may wait in what goes on after the answer.
        settled(&local, &effect.environment).await;
    }
    match performed {
        // Trouble may have been passed over where nothing depends on it; the story goes on to the next moment.
        Ok(()) if passed() > at => println!("OUTCOME struck and passed over"),
        Ok(()) => println!("OUTCOME done"),
        Err(error) => println!("OUTCOME {error}"),
    }
}
