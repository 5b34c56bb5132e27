//! Stories of a server that stands still: the real agent in a process of its own, with what it started.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use agent::api::*;
use agent::frame::{Codec, Kind};
use agent::link::portal::{self, CallError, Connection, Lines};
use base64::Engine;
use bytes::Bytes;
use futures::StreamExt;
use http::Request;
use http_body_util::Full;
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio_util::codec::Framed;

/// Longer than any story takes.
const LONG: u64 = 120_000;

struct Story {
    portal: Connection,
    directory: TempDir,
    _agent: tokio::process::Child,
}

/// What the agent started outlives it; a sandbox would end with it.
impl Drop for Story {
    fn drop(&mut self) {
        let Ok(pid) = self.read("pid").trim().parse() else { return };
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        // Within a sandbox the number is another's.
        if command.contains(&self.directory.path().display().to_string())
            && let Some(group) = rustix::process::Pid::from_raw(pid)
        {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

impl Story {
    /// An agent whose server runs one service.
    async fn begin(service: &str) -> Self {
        Self::begin_with(service, Vec::new()).await
    }

    async fn begin_with(service: &str, checks: Vec<Check>) -> Self {
        Self::begin_as(&[], service, checks).await
    }

    /// As servers have it: the second process of a process namespace.
    async fn begin_in_sandbox(service: &str) -> Self {
        let sandbox =
            ["bwrap", "--bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-pid", "--die-with-parent"];
        Self::begin_as(&sandbox, service, Vec::new()).await
    }

    async fn begin_as(sandbox: &[&str], service: &str, checks: Vec<Check>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("portal.sock");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let identity = serde_json::json!({"server": "s", "generation": 1, "enrolment": "e", "link": {"unix": socket}});
        std::fs::write(directory.path().join("identity"), identity.to_string()).expect("an identity");
        let words: Vec<&str> = sandbox.iter().copied().chain([env!("CARGO_BIN_EXE_bookend-agent")]).collect();
        let mut command = tokio::process::Command::new(words[0]);
        command.args(&words[1..]);
        command.arg("--directory").arg(directory.path()).stdin(Stdio::null()).kill_on_drop(true);
        command.env("HOME", directory.path());
        let agent = command.spawn().expect("an agent");
        let (stream, _) = listener.accept().await.expect("an agent that dials");
        let portal = portal::receive(stream).await.expect("a greeting").accept().await.expect("a link");
        let story = Self { portal, directory, _agent: agent };
        let service = Service {
            name: "writer".into(),
            command: service.replace("DIR", story.directory.path().to_str().expect("a path")),
            directory: None,
            variables: BTreeMap::new(),
            restart: Restart::Always,
            stop_timeout_ms: 1000,
        };
        let config =
            Config { digest: "1".into(), server: "web".into(), services: vec![service], checks, ..Config::default() };
        let body = serde_json::to_vec(&config).expect("a configuration");
        let request = Request::put("/v1/config").header("host", "agent").body(Full::from(body)).expect("a request");
        assert!(story.portal.request(request).await.expect("an answer").status().is_success());
        story
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Waits until a file is another one than this.
    async fn until_other(&self, name: &str, than: &str) -> String {
        loop {
            let text = self.read(name);
            if text != than && text.ends_with('\n') {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn freeze(&self, id: &str, hold_ms: u64) -> Result<Frozen, CallError> {
        self.portal.freeze(&Freeze { id: id.into(), hold_ms, before: None, after: None }).await
    }

    async fn thaw(&self, id: &str) -> Thawed {
        self.portal.thaw(&Thaw { id: id.into() }).await.expect("an answer")
    }

    async fn log_until(&self, words: &str) {
        let request = Request::get("/v1/logs?after=0").header("host", "agent").body(Full::<Bytes>::default());
        let answer = self.portal.request(request.expect("a request")).await.expect("an answer");
        let mut lines: Lines<LogLine> = Lines::new(answer);
        while !lines.next().await.expect("lines").iter().any(|line| line.text.contains(words)) {}
    }
}

const WRITER: &str =
    "echo $$ > DIR/pid; n=0; while :; do n=$((n+1)); echo $n > DIR/fresh; mv DIR/fresh DIR/count; done";

fn state(pid: &str) -> char {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat")).expect("a process");
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).expect("a state")
}

fn script(text: String) -> Option<Script> {
    Some(Script { text, timeout_ms: 20_000 })
}

#[tokio::test]
async fn a_frozen_server_writes_nothing_and_goes_on_where_it_was() {
    let story = Story::begin(WRITER).await;
    story.until_other("count", "").await;
    let frozen = story.freeze("a", LONG).await.expect("a freeze");
    assert!(frozen.processes >= 1, "{frozen:?}");
    let count = story.read("count");
    let pid = story.read("pid");
    assert_eq!(state(&pid), 'T');
    assert_eq!(story.freeze("a", LONG).await.expect("the same"), frozen, "asking again changes nothing");
    assert_eq!(story.read("count"), count);
    let thawed = story.thaw("a").await;
    assert!(thawed.held, "{thawed:?}");
    story.until_other("count", &count).await;
    assert_eq!(story.read("pid"), pid, "the same process goes on");
    assert_eq!(story.thaw("a").await, thawed, "asking again says the same");
    assert!(story.freeze("a", LONG).await.is_err(), "a freeze that is over does not come back");
}

/// Who waits in the kernel for a child that was made by vfork takes no signal meanwhile but SIGKILL.
const UNSTOPPABLE: &str = r#"echo $$ > DIR/pid; exec python3 -c '
import ctypes, os, time
ctypes.CDLL(None).vfork()
n = 0
while True:
    n += 1
    open("DIR/fresh", "w").write(str(n) + "\n")
    os.rename("DIR/fresh", "DIR/count")
    time.sleep(0.01)
'"#;

#[tokio::test]
async fn a_server_that_never_stands_still_is_not_called_frozen_and_runs_on() {
    let story = Story::begin(UNSTOPPABLE).await;
    story.until_other("count", "").await;
    let refused = story.freeze("a", 2_000).await.expect_err("it cannot stand still").to_string();
    assert!(refused.contains("python3") && refused.contains("did not stand still within 1.0 s"), "{refused}");
    let count = story.read("count");
    story.until_other("count", &count).await;
    assert!(!story.thaw("a").await.held);
}

/// Is nearly always waiting in the kernel for a child made by vfork, which looks for a program in two hundred thousand places.
const FORKING: &str = r#"echo $$ > DIR/pid; exec python3 -c '
import os, subprocess
path = ":".join("/%d" % place for place in range(200000))
n = 0
while True:
    n += 1
    open("DIR/fresh", "w").write(str(n) + "\n")
    os.rename("DIR/fresh", "DIR/count")
    try:
        subprocess.Popen(["no-such-program"], env={"PATH": path})
    except OSError:
        pass
'"#;

#[tokio::test]
async fn who_waits_for_a_child_that_is_becoming_another_program_stands_still_once_it_has() {
    let story = Story::begin(FORKING).await;
    story.until_other("count", "").await;
    let pid = story.read("pid");
    for id in ["a", "b", "c"] {
        while state(&pid) != 'D' {
            tokio::task::yield_now().await;
        }
        story.freeze(id, LONG).await.expect("a freeze");
        let count = story.read("count");
        for _ in 0..20 {
            assert!(!story.thaw("other").await.held);
            assert_eq!(story.read("count"), count, "it still writes");
        }
        assert!(story.thaw(id).await.held);
        story.until_other("count", &count).await;
    }
}

#[tokio::test]
async fn in_a_sandbox_also_what_left_its_parents_stands_still() {
    let story = Story::begin_in_sandbox(&format!("setsid sh -c '({WRITER}) &' & exec sleep 1000")).await;
    story.until_other("count", "").await;
    let frozen = story.freeze("a", LONG).await.expect("a freeze");
    assert!(frozen.processes >= 2, "{frozen:?}");
    let count = story.read("count");
    for _ in 0..100 {
        assert!(!story.thaw("other").await.held);
        assert_eq!(story.read("count"), count, "something still writes");
    }
    assert!(story.thaw("a").await.held);
    story.until_other("count", &count).await;
}

#[tokio::test]
async fn what_its_user_had_stopped_stays_stopped() {
    let story = Story::begin("sleep 1000 & kill -STOP $!; echo $! > DIR/sleeper; wait").await;
    let sleeper = story.until_other("sleeper", "").await;
    while state(&sleeper) != 'T' {
        tokio::task::yield_now().await;
    }
    story.freeze("a", LONG).await.expect("a freeze");
    assert!(story.thaw("a").await.held);
    assert_eq!(state(&sleeper), 'T');
}

#[tokio::test]
async fn a_freeze_that_nobody_ends_ends_by_itself_and_no_check_is_judged_meanwhile() {
    let check = Check {
        name: "quick".into(),
        probe: Probe::Exec { command: "true".into() },
        interval_ms: 100,
        timeout_ms: 400,
        start_timeout_ms: 20_000,
        failures: 1,
    };
    let story = Story::begin_with(WRITER, vec![check]).await;
    let request = Request::get("/v1/reports").header("host", "agent").body(Full::<Bytes>::default());
    let mut reports: Lines<Report> =
        Lines::new(story.portal.request(request.expect("a request")).await.expect("reports"));
    let healthy = |report: &Report| matches!(report, Report::Status(status) if status.phase == Phase::Healthy);
    while !reports.next().await.expect("reports").iter().any(healthy) {}

    let watching = tokio::spawn(async move {
        loop {
            for report in reports.next().await.unwrap_or_default() {
                if let Report::Status(status) = report {
                    assert_eq!(status.phase, Phase::Healthy, "{status:?}");
                }
            }
        }
    });
    story.freeze("a", 1500).await.expect("a freeze");
    let count = story.read("count");
    story.log_until("nobody ended the freeze in time").await;
    story.until_other("count", &count).await;
    let thawed = story.thaw("a").await;
    assert!(!thawed.held && thawed.frozen_ms >= 1500, "{thawed:?}");
    assert!(!watching.is_finished(), "it was called unhealthy while it stood still");
    watching.abort();
}

#[tokio::test]
async fn a_newer_freeze_takes_over_and_a_late_thaw_of_the_older_one_does_nothing() {
    let story = Story::begin(WRITER).await;
    let pid = story.until_other("pid", "").await;
    story.freeze("older", LONG).await.expect("a freeze");
    story.freeze("newer", LONG).await.expect("another");
    assert!(!story.thaw("older").await.held);
    assert_eq!(state(&pid), 'T');
    assert!(story.thaw("newer").await.held);
    assert_ne!(state(&pid), 'T');
    assert!(!story.thaw("never").await.held);
    assert!(story.freeze("never", LONG).await.is_err(), "a thaw that overtook its freeze calls it off");
}

#[tokio::test]
async fn hooks_run_around_the_freeze_and_one_that_fails_prevents_it() {
    let story = Story::begin(WRITER).await;
    let pid = story.until_other("pid", "").await;
    let order = story.path("order");
    let wish = |id: &str, before: &str| Freeze {
        id: id.into(),
        hold_ms: LONG,
        before: script(format!("echo before >> {}; {before}", order.display())),
        after: script(format!("echo after >> {}", order.display())),
    };
    let refused = story.portal.freeze(&wish("bad", "echo no room; exit 3")).await.expect_err("a refusal").to_string();
    assert!(refused.contains("no room") && refused.contains("code 3"), "{refused}");
    assert_ne!(state(&pid), 'T');
    assert_eq!(story.read("order"), "before\nafter\n", "what was begun is ended");

    story.portal.freeze(&wish("good", "true")).await.expect("a freeze");
    assert_eq!(story.read("order"), "before\nafter\nbefore\n");
    let thawed = story.thaw("good").await;
    assert!(thawed.held && thawed.after_failure.is_none(), "{thawed:?}");
    story.thaw("good").await;
    assert_eq!(story.read("order"), "before\nafter\nbefore\nafter\n", "once each");
}

#[tokio::test]
async fn a_command_that_is_sent_while_the_server_is_frozen_waits_for_the_thaw() {
    let story = Story::begin(WRITER).await;
    story.freeze("a", LONG).await.expect("a freeze");
    let wish = ExecRequest {
        command: vec!["echo".into(), "here".into()],
        tty: None,
        directory: None,
        variables: BTreeMap::new(),
    };
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(serde_json::to_vec(&wish).expect("a wish"));
    let upgrade = story.portal.upgrade(Request::get("/v1/exec").header(EXEC_HEADER, header)).await;
    let mut frames = Framed::new(upgrade.expect("a stream"), Codec);
    let mut waiting = Box::pin(frames.next());
    assert!(futures::poll!(&mut waiting).is_pending());
    // The agent has had every opportunity: it has answered others meanwhile.
    assert!(!story.thaw("other").await.held);
    assert!(futures::poll!(&mut waiting).is_pending());
    assert!(story.thaw("a").await.held);
    let frame = waiting.await.expect("a frame").expect("a frame");
    assert_eq!((frame.kind, frame.payload.as_ref()), (Kind::Stdout, b"here\n".as_ref()));
}
