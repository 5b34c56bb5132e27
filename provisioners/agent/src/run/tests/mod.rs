//! Stories of a whole agent: the real link over a socket pair, real child processes.

mod reach;

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_util::codec::Framed;

use super::{Places, Server};
use crate::api::*;
use crate::frame::{Codec, Frame, Kind};
use crate::link::portal::{self, Connection, Lines, Upgrade, UpgradeError};
use crate::link::{Hello, Identity, agent};

struct Story {
    portal: Connection,
    directory: TempDir,
    router: axum::Router,
}

/// Of a server whose agent keeps a file of hosts.
fn identity(directory: &Path) -> Identity {
    Identity { hosts: Some(directory.join("hosts")), ..Identity::of("s", 1) }
}

impl Story {
    async fn begin() -> Self {
        Self::begin_in(tempfile::tempdir().unwrap()).await
    }

    async fn begin_in(directory: TempDir) -> Self {
        let places = Places::all_in(directory.path());
        let (_, router) = Server::start(&places, &identity(directory.path())).unwrap();
        let portal = link(router.clone()).await;
        Self { portal, directory, router }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    async fn send(&self, method: &str, path: &str, body: Vec<u8>) -> http::Response<hyper::body::Incoming> {
        let request =
            Request::builder().method(method).uri(path).header("host", "agent").body(Full::from(body)).unwrap();
        self.portal.request(request).await.unwrap()
    }

    async fn configure(&self, config: &Config) {
        let answer = self.send("PUT", "/v1/config", serde_json::to_vec(config).unwrap()).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }

    /// The first status of this configuration that is in one of these phases.
    async fn until(&self, config: &Config, phases: &[Phase]) -> Status {
        let mut reports: Lines<Report> = Lines::new(self.send("GET", "/v1/reports", Vec::new()).await);
        loop {
            for report in reports.next().await.unwrap() {
                if let Report::Status(status) = report
                    && status.config.as_deref() == Some(&config.digest)
                    && phases.contains(&status.phase)
                {
                    return status;
                }
            }
        }
    }

    /// Log lines up to the first whose text is `last`.
    async fn log_until(&self, last: &str) -> Vec<LogLine> {
        let mut incoming: Lines<LogLine> = Lines::new(self.send("GET", "/v1/logs?after=0", Vec::new()).await);
        let mut lines = Vec::new();
        loop {
            for line in incoming.next().await.unwrap() {
                let is_last = line.text == last;
                lines.push(line);
                if is_last {
                    return lines;
                }
            }
        }
    }

    async fn open(&self, path: &str) -> Result<Framed<Upgrade, Codec>, UpgradeError> {
        Ok(Framed::new(self.portal.upgrade(Request::get(path)).await?, Codec))
    }

    async fn exec(&self, command: &[&str], tty: Option<Size>) -> Framed<Upgrade, Codec> {
        use base64::Engine;
        let command = command.iter().map(ToString::to_string).collect();
        let wish = ExecRequest { command, tty, directory: None, variables: BTreeMap::new() };
        let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(serde_json::to_vec(&wish).unwrap());
        Framed::new(self.portal.upgrade(Request::get("/v1/exec").header(EXEC_HEADER, header)).await.unwrap(), Codec)
    }
}

async fn link(router: axum::Router) -> Connection {
    let (ours, portals) = UnixStream::pair().unwrap();
    let hello = Hello::new("s", 1, "k");
    tokio::spawn(async move { agent::serve(ours, &hello, &router, || {}).await.map(drop) });
    portal::receive(portals).await.unwrap().accept().await.unwrap()
}

fn config(digest: &str) -> Config {
    let mut variables = BTreeMap::new();
    variables.insert("GREETING".to_owned(), "hello".to_owned());
    Config { digest: digest.into(), server: "web".into(), environment: "e".into(), variables, ..Config::default() }
}

fn script(text: &str) -> Option<Script> {
    Some(Script { text: text.into(), timeout_ms: 20_000 })
}

fn service(name: &str, command: &str) -> Service {
    Service {
        name: name.into(),
        command: command.into(),
        directory: None,
        variables: BTreeMap::new(),
        restart: Restart::Always,
        stop_timeout_ms: 5_000,
    }
}

fn check(probe: Probe) -> Check {
    Check { name: "check".into(), probe, interval_ms: 1_000, timeout_ms: 5_000, start_timeout_ms: 60_000, failures: 1 }
}

/// Everything up to the last frame, by kind.
async fn finish(stream: &mut Framed<Upgrade, Codec>) -> (String, String, Frame) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some(frame) = stream.next().await {
        let frame = frame.unwrap();
        match frame.kind {
            Kind::Stdout => out.extend_from_slice(&frame.payload),
            Kind::Stderr => err.extend_from_slice(&frame.payload),
            _ => {
                return (String::from_utf8_lossy(&out).into_owned(), String::from_utf8_lossy(&err).into_owned(), frame);
            }
        }
    }
    panic!("the stream ended without a last frame; so far {:?}", String::from_utf8_lossy(&out));
}

async fn read_until(stream: &mut Framed<Upgrade, Codec>, word: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(word) {
        let frame = stream.next().await.unwrap_or_else(|| panic!("ended after {seen:?}")).unwrap();
        seen.push_str(&String::from_utf8_lossy(&frame.payload));
    }
    seen
}

fn is_alive(pid: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    state.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

async fn until_dead(pid: &str) {
    while is_alive(pid) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_configuration_becomes_a_healthy_server_with_its_parameters_and_variables() {
    let story = Story::begin().await;
    let config = Config {
        requires: vec!["sh".into()],
        parameters: BTreeMap::from([("size".to_owned(), "12".to_owned())]),
        setup: script("echo set up with $GREETING"),
        startup: script("#!/bin/sh\necho started by its own interpreter"),
        services: vec![service(
            "api",
            &format!("cat {}; echo up; touch {}; sleep 1000", story.path("parameters/size"), story.path("ready")),
        )],
        checks: vec![check(Probe::Exec { command: format!("test -e {}", story.path("ready")) })],
        ..config("one")
    };
    story.configure(&config).await;
    let status = story.until(&config, &[Phase::Healthy, Phase::Failed]).await;
    assert_eq!(status.phase, Phase::Healthy, "{status:?}");
    assert!(status.services[0].running && status.checks[0].passing);
    let lines: Vec<_> = story.log_until("12up").await.into_iter().map(|line| (line.source, line.text)).collect();
    let expected = [("setup", "set up with hello"), ("startup", "started by its own interpreter"), ("api", "12up")];
    assert_eq!(lines, expected.map(|(source, text)| (source.to_owned(), text.to_owned())));
}

#[tokio::test]
async fn set_up_runs_once_per_fresh_volume_and_start_up_at_each_boot() {
    let volume = tempfile::tempdir().unwrap();
    let mut runs = Vec::new();
    for _ in 0..2 {
        let story = Story::begin().await;
        let config = Config {
            volumes: vec![volume.path().to_str().unwrap().into()],
            setup: script("echo setup"),
            startup: script("echo startup"),
            ..config("one")
        };
        story.configure(&config).await;
        story.until(&config, &[Phase::Healthy]).await;
        runs.push(story.log_until("startup").await.len());
    }
    assert_eq!(runs, [2, 1], "the second server found the volume set up");
}

#[tokio::test]
async fn a_failing_set_up_says_the_step_the_cause_and_its_last_lines_and_starts_nothing() {
    let story = Story::begin().await;
    let config = Config {
        setup: script("echo nearly there\necho the disk is on fire >&2\nexit 7"),
        services: vec![service("api", "sleep 1000")],
        ..config("one")
    };
    story.configure(&config).await;
    let status = story.until(&config, &[Phase::Healthy, Phase::Failed]).await;
    let failure = status.failure.unwrap();
    assert_eq!((failure.step.as_str(), failure.cause.as_str()), ("set-up script", "it ended with code 7"));
    assert_eq!(failure.lines, ["nearly there", "the disk is on fire"]);
    assert!(!status.services[0].running);
}

#[tokio::test]
async fn a_missing_command_is_named_before_anything_runs() {
    let story = Story::begin().await;
    let config =
        Config { requires: vec!["sh".into(), "no-such-command".into()], setup: script("echo never"), ..config("one") };
    story.configure(&config).await;
    let failure = story.until(&config, &[Phase::Healthy, Phase::Failed]).await.failure.unwrap();
    assert_eq!(failure.step, "command `no-such-command`");
    assert!(failure.remedy.contains("Install"));
}

#[tokio::test]
async fn a_script_that_takes_too_long_is_ended_with_all_it_started() {
    let story = Story::begin().await;
    let setup = Script { text: format!("sleep 1000 & echo $! > {}; wait", story.path("pid")), timeout_ms: 200 };
    let config = Config { setup: Some(setup), ..config("one") };
    story.configure(&config).await;
    let failure = story.until(&config, &[Phase::Healthy, Phase::Failed]).await.failure.unwrap();
    assert!(failure.cause.contains("did not end within 0.2 s"), "{}", failure.cause);
    until_dead(&std::fs::read_to_string(story.path("pid")).unwrap()).await;
}

#[tokio::test]
async fn a_service_that_dies_is_started_again_and_the_server_recovers() {
    let story = Story::begin().await;
    let command = format!("echo $$ > {}; exec sleep 1000", story.path("pid"));
    let config = Config {
        services: vec![service("api", &command)],
        checks: vec![check(Probe::Exec { command: format!("kill -0 $(cat {})", story.path("pid")) })],
        ..config("one")
    };
    story.configure(&config).await;
    story.until(&config, &[Phase::Healthy]).await;
    let pid: i32 = std::fs::read_to_string(story.path("pid")).unwrap().trim().parse().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL).unwrap();
    let status = story.until(&config, &[Phase::Unhealthy]).await;
    assert!(status.failure.unwrap().cause.contains("was killed by signal 9"));
    let status = story.until(&config, &[Phase::Healthy]).await;
    assert_eq!(status.services[0].restarts, 1);
}

#[tokio::test]
async fn a_service_that_may_not_start_again_and_ends_badly_is_a_failure_with_its_last_words() {
    let story = Story::begin().await;
    let once = Service { restart: Restart::OnFailure, ..service("once", "exit 0") };
    let never = Service { restart: Restart::Never, ..service("job", "echo out of luck; exit 3") };
    let config = Config { services: vec![once, never], ..config("one") };
    story.configure(&config).await;
    let failure = story.until(&config, &[Phase::Failed]).await.failure.unwrap();
    assert_eq!(failure.step, "service `job`");
    assert_eq!(failure.lines, ["out of luck"]);
}

#[tokio::test]
async fn the_same_configuration_again_changes_nothing_and_another_one_replaces_it() {
    let story = Story::begin().await;
    let write_pid = |name: &str| format!("echo $$ > {}; exec sleep 1000", story.path(name));
    let checked = |name: &str| vec![check(Probe::Exec { command: format!("test -s {}", story.path(name)) })];
    let first =
        Config { services: vec![service("api", &write_pid("first"))], checks: checked("first"), ..config("one") };
    story.configure(&first).await;
    story.until(&first, &[Phase::Healthy]).await;
    let pid = std::fs::read_to_string(story.path("first")).unwrap();
    story.configure(&first).await;
    let second =
        Config { services: vec![service("api", &write_pid("second"))], checks: checked("second"), ..config("two") };
    assert!(is_alive(&pid));
    story.configure(&second).await;
    story.until(&second, &[Phase::Healthy]).await;
    assert!(!is_alive(&pid));
    assert_eq!(std::fs::read_to_string(story.path("first")).unwrap(), pid, "it was started once");
}

#[tokio::test]
async fn stopping_lets_services_finish_and_leaves_nothing_of_their_groups() {
    let story = Story::begin().await;
    let polite = format!("trap 'echo saved > {}; exit 0' TERM; sleep 1000 & wait", story.path("saved"));
    let stubborn = format!("trap '' TERM; echo $$ > {}; while :; do sleep 0.05; done", story.path("pid"));
    let config = Config {
        services: vec![service("polite", &polite), Service { stop_timeout_ms: 100, ..service("stubborn", &stubborn) }],
        checks: vec![check(Probe::Exec { command: format!("test -s {}", story.path("pid")) })],
        ..config("one")
    };
    story.configure(&config).await;
    story.until(&config, &[Phase::Healthy]).await;
    assert_eq!(story.send("POST", "/v1/stop", Vec::new()).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(std::fs::read_to_string(story.path("saved")).unwrap(), "saved\n");
    assert!(!is_alive(&std::fs::read_to_string(story.path("pid")).unwrap()));
    story.configure(&config).await;
    assert_eq!(story.until(&config, &[Phase::Healthy]).await.phase, Phase::Healthy, "stopped is not for ever");
}

#[tokio::test]
async fn http_and_tcp_checks_ask_the_real_port() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = axum::Router::new().route("/health", axum::routing::get(|| async { "fine" }));
    tokio::spawn(async move { axum_serve(listener, app).await });
    let story = Story::begin().await;
    let http = |path: &str, status| Probe::Http { port, path: path.into(), status };
    let good = Config { checks: vec![check(Probe::Tcp { port }), check(http("/health", 200))], ..config("good") };
    story.configure(&good).await;
    story.until(&good, &[Phase::Healthy]).await;
    let overdue = Check { start_timeout_ms: 1, ..check(http("/absent", 200)) };
    let bad = Config { checks: vec![overdue], ..config("bad") };
    story.configure(&bad).await;
    let failure = story.until(&bad, &[Phase::Failed]).await.failure.unwrap();
    assert_eq!(failure.cause, format!("GET /absent on port {port} answers 404, not 200"));
}

/// A few lines instead of axum's own server, which this crate does not build.
async fn axum_serve(listener: tokio::net::TcpListener, app: axum::Router) {
    while let Ok((stream, _)) = listener.accept().await {
        let service = hyper_util::service::TowerToHyperService::new(app.clone());
        let stream = hyper_util::rt::TokioIo::new(stream);
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(stream, service));
    }
}

#[tokio::test]
async fn attack_23_a_secret_printed_by_a_set_up_script_is_masked_in_every_line() {
    let story = Story::begin().await;
    let config = Config {
        variables: BTreeMap::from([("SECRET".to_owned(), "c4nary-Secret/42".to_owned())]),
        masked: vec!["c4nary-Secret/42".into()],
        setup: script(
            "echo plain $SECRET\nset -x; : $SECRET; set +x\nprintf %s $SECRET | base64\nprintf %s $SECRET | od -An -tx1 | tr -d ' \\n'; echo\nprintf %s $SECRET | rev; echo\nenv | sort\necho end",
        ),
        ..config("one")
    };
    story.configure(&config).await;
    let text: String = story.log_until("end").await.into_iter().map(|line| line.text + "\n").collect();
    for leak in ["c4nary", "Secret/", "YzRuYXJ5", "63346e617279", "yran4c"] {
        assert!(!text.contains(leak), "{leak} in {text}");
    }
    assert!(text.matches("***").count() >= 5, "{text}");
    for entry in std::fs::read_dir(story.path("state/logs")).unwrap() {
        assert!(!std::fs::read_to_string(entry.unwrap().path()).unwrap().contains("c4nary"));
    }
}

#[tokio::test]
async fn a_flood_of_lines_neither_stalls_the_service_nor_loses_lines_silently() {
    let story = Story::begin().await;
    let config = Config { setup: script("yes a-line-of-a-flood | head -n 60000; echo flood over"), ..config("one") };
    story.configure(&config).await;
    story.until(&config, &[Phase::Healthy]).await;
    let mut lines: Lines<LogLine> = Lines::new(story.send("GET", "/v1/logs?after=0", Vec::new()).await);
    let (mut kept, mut lost, mut last) = (0u64, 0u64, 0);
    // The set-up has written its last line; whatever of the flood was not kept is admitted without another line to wait for.
    while kept + lost < 60_001 {
        for line in lines.next().await.unwrap() {
            assert_eq!(line.seq, last + 1);
            last = line.seq;
            match line.text.split_once(" log lines were lost") {
                Some((count, _)) => lost += count.parse::<u64>().unwrap(),
                None if line.source == "setup" => kept += 1,
                None => {}
            }
        }
    }
}

#[tokio::test]
async fn a_configuration_that_would_write_outside_its_directory_is_refused() {
    let story = Story::begin().await;
    let evil = Config { parameters: BTreeMap::from([("../evil".to_owned(), "x".to_owned())]), ..config("one") };
    let answer = story.send("PUT", "/v1/config", serde_json::to_vec(&evil).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let answer = story.send("PUT", "/v1/config", vec![b' '; 5 * 1024 * 1024]).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(!Path::new(&story.path("evil")).exists());
}

#[tokio::test]
async fn metrics_come_by_themselves() {
    let story = Story::begin().await;
    let mut reports: Lines<Report> = Lines::new(story.send("GET", "/v1/reports", Vec::new()).await);
    loop {
        let found = reports.next().await.unwrap().into_iter().find_map(|report| match report {
            Report::Metrics(metrics) => Some(metrics),
            Report::Status(_) => None,
        });
        if let Some(metrics) = found {
            assert!(metrics.at_ms > 0 && metrics.memory_bytes > 0 && metrics.processes > 0);
            return;
        }
    }
}

#[tokio::test]
async fn log_numbers_go_on_after_the_agent_was_restarted() {
    let story = Story::begin().await;
    let config = Config { startup: script("echo booted"), ..config("one") };
    story.configure(&config).await;
    story.until(&config, &[Phase::Healthy]).await;
    let before = story.log_until("booted").await.last().unwrap().seq;
    let Story { directory, .. } = story;
    let story = Story::begin_in(directory).await;
    story.configure(&config).await;
    story.until(&config, &[Phase::Healthy]).await;
    let lines = story.send("GET", &format!("/v1/logs?after={before}"), Vec::new()).await;
    let next = Lines::<LogLine>::new(lines).next().await.unwrap().remove(0);
    assert_eq!((next.seq, next.text.as_str()), (before + 1, "booted"));
}

#[tokio::test]
async fn the_body_of_an_unknown_request_is_not_found_and_harms_nothing() {
    let story = Story::begin().await;
    let answer = story.send("GET", "/v1/secrets", Vec::new()).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    let body: Bytes = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(body.is_empty());
}
