//! Attack 15: what a terminal is told to do by what runs in it, frames larger than agreed, and an app behind a port that wants
//! the portal's cookies. That a request that reaches an app carries none of them is in `api::apps`; log lines in `words::log`.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use agent::link::Hello;
use app::api::Role;
use axum::Router;
use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::routing::{get, put};
use futures::{SinkExt, StreamExt};
use serde_json::json;
use tests::{Guest, House, Outcome, Portal, Setting, leftovers};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;

use crate::ui::signed_in;

const SCREEN: &str = ".console__screen:not([hidden]) .xterm-rows";
const TERMINAL: &str = "/environments/box/servers/box/terminal?session=s1&cols=80&rows=24";

/// Sequences that some terminal somewhere obeyed, as `printf` takes them. The last one asks whether the terminal is well,
/// which is answered by ESC `[0n`: until then, whatever else is answered has come.
const SEQUENCES: &str = concat!(
    r"\033]52;c;ZXZpbA==\007",
    r"\033]0;<img src=x onerror=window.harmed=1>evil\007\033[21t\033[20t",
    r"\033]8;;javascript:window.harmed=1\033\\a link\033]8;;\033\\",
    r"\033[8;2;2t\033[3;0;0t\033[2t\033[9;1t",
    r"\005\033P$qevil\033\\\033P+q6576696c\033\\\033]4;evil;?\007\033]1337;File=evil\007\033_Gevil\033\\",
    r"\033[5n",
);

#[tokio::test]
async fn nothing_that_is_written_to_the_terminal_harms_the_page_the_clipboard_or_the_shell() -> Outcome {
    let portal = Portal::start().await?;
    let browser = signed_in(&portal).await?;
    let api = portal.person("ada").await?;
    api.order("scratch", "box").await?;
    api.await_state("box", "ready").await?;
    browser.go(&portal.url("/environments/box/servers/box/terminal")).await?;
    browser.await_text("#terminal-state", "Connected").await?;
    let rights = json!({ "origin": portal.url(""), "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
    browser.devtools("Browser.grantPermissions", rights).await?;
    browser.await_script("return navigator.clipboard.writeText('mine').then(() => true)").await?;

    browser.type_keys("PS1='> '; before=$(stty size); echo re''ady\n").await?;
    browser.await_text(SCREEN, "ready").await?;
    let command =
        format!("printf '{SEQUENCES}'; IFS= read -rsd n answer; printf '\\n%q %s\\n' \"$answer\" answer''ed\n");
    browser.type_keys(&command).await?;
    let shown = browser.await_text(SCREEN, "answered").await?;
    let answer = shown.lines().rfind(|line| line.ends_with("answered")).ok_or("no answer")?;
    assert!(answer.contains(r"\E[0"), "{answer}");
    assert!(!answer.contains("evil") && !answer.contains("img"), "the terminal types what it was told: {answer}");

    browser.type_keys("[ \"$before\" = \"$(stty size)\" ] && echo same''-size\n").await?;
    browser.await_text(SCREEN, "same-size").await?;
    let look = "return document.querySelectorAll('main img, main iframe, main script:not([src]), a[href^=javascript]').length \
        === 0 && window.harmed === undefined && document.title === 'box in box · Bookend'";
    browser.await_script(look).await?;
    browser.await_script("return navigator.clipboard.readText().then((text) => text === 'mine')").await?;
    // What the link says is there, and clicking it leads nowhere.
    let script = "const rows = [...document.querySelectorAll('.xterm-rows > div')]; \
        const row = rows.findLast((row) => /^a.link/.test(row.textContent)); const place = row.getBoundingClientRect(); \
        return [place.x + 12, place.y + 6]";
    let place: [f64; 2] = serde_json::from_value(browser.page.execute(script, Vec::new()).await?)?;
    for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
        let mouse = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
        browser.devtools("Input.dispatchMouseEvent", mouse).await?;
    }
    browser.await_script(look).await?;

    // Shown again after a reload, they are not answered again: nothing stands before what is typed next.
    browser.page.refresh().await?;
    browser.await_text("#terminal-state", "Connected").await?;
    browser.await_text(SCREEN, "same-size").await?;
    browser.type_keys("echo un''touched; exec cat\n").await?;
    let shown = browser.await_text(SCREEN, "untouched").await?;
    assert!(!shown.contains("not found") && !shown.contains("syntax error"), "{shown}");
    let windows = browser.page.windows().await?.len();
    assert_eq!(windows, 1, "a window was opened");
    Ok(())
}

async fn a_box() -> Outcome<(House, Guest)> {
    let house = House::open().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    ann.order("scratch", "box").await?;
    ann.api()?.await_state("box", "ready").await?;
    Ok((house, ann))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_larger_than_agreed_ends_its_connection_with_the_reason_and_nothing_else() -> Outcome {
    let (_house, ann) = a_box().await?;
    let mut other = ann.websocket(&TERMINAL.replace("s1", "s2")).await?;
    for size in [64 * 1024 + 2, 3_000_000] {
        let mut terminal = ann.websocket(TERMINAL).await?;
        // The portal may have closed before all of it is sent.
        let _ = terminal.send(Message::Binary(vec![0; size].into())).await;
        let mut reason = None;
        while let Some(Ok(message)) = terminal.next().await {
            if let Message::Close(Some(frame)) = message {
                reason = Some(frame.reason.to_string());
            }
        }
        // Of a large one the rest is never read: the connection may break before the reason is heard.
        if size < 100_000 {
            assert!(reason.as_ref().is_some_and(|reason| reason.contains("64 KiB")), "{reason:?}");
        }
    }
    let mut text = ann.websocket(TERMINAL).await?;
    text.send(Message::Text("echo".into())).await?;
    while let Some(Ok(message)) = text.next().await {
        assert!(!matches!(message, Message::Close(Some(frame)) if !frame.reason.contains("binary")));
    }
    still_well(&ann, &mut other).await
}

/// The portal answers, and the other shell works.
async fn still_well(
    ann: &Guest,
    other: &mut (
             impl futures::Stream<Item = Result<Message, tokio_tungstenite::tungstenite::Error>>
             + futures::Sink<Message, Error = tokio_tungstenite::tungstenite::Error>
             + Unpin
         ),
) -> Outcome {
    assert_eq!(ann.get("/me").await?.status, 200);
    other.send(Message::Binary(b"\0echo still-$((6 * 7))\n".to_vec().into())).await?;
    let mut shown = Vec::new();
    while !String::from_utf8_lossy(&shown).contains("still-42") {
        match other.next().await.ok_or("the other shell was ended")?? {
            Message::Binary(frame) => shown.extend(&frame[1..]),
            Message::Close(frame) => return Err(format!("the other shell was closed: {frame:?}").into()),
            _ => {}
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_sends_more_than_agreed_is_hung_up_on_and_the_portal_and_other_servers_go_on() -> Outcome {
    let (house, ann) = a_box().await?;
    ann.order("scratch", "well").await?;
    let detail = ann.api()?.await_state("well", "ready").await?;
    assert_eq!(detail["servers"][0]["name"], "box");
    let mut other = ann.websocket(&TERMINAL.replace("/box/servers", "/well/servers")).await?;
    // Somebody has taken the box over: its agent stands still, and another speaks in its name.
    let (key, _) = ann.exec("box", "box", &["cat", "/run/bookend/state/session-key"]).await?;
    let detail = ann.get("/environments/box").await?.body;
    let word = |name: &str| detail["servers"][0][name].as_str().unwrap_or_default().to_owned();
    let environment = detail["id"].as_str().unwrap_or_default().to_owned();
    let folder = found(&house.data_directory(), &environment).ok_or("the environment has no folder")?;
    for process in leftovers::processes(&folder) {
        if process.command.contains("bookend-agent") {
            let id = rustix::process::Pid::from_raw(process.id.cast_signed()).ok_or("no process")?;
            rustix::process::kill_process(id, rustix::process::Signal::STOP)?;
        }
    }
    let hello = Hello::new(&word("id"), 1, &key);
    let socket = folder.join("link/portal.sock");
    for flood in ["frame", "log"] {
        let link = std::os::unix::net::UnixStream::connect_addr(&short(&socket)?)?;
        link.set_nonblocking(true)?;
        let (hello, router) = (hello.clone(), evil(flood));
        let link = tokio::net::UnixStream::from_std(link)?;
        let (welcomed, welcome) = tokio::sync::oneshot::channel();
        let serving = tokio::spawn(async move {
            let told = || welcomed.send(()).unwrap_or_default();
            agent::link::agent::serve(link, &hello, &router, told).await
        });
        welcome.await?;
        if flood == "frame" {
            let mut terminal = ann.websocket(TERMINAL).await?;
            let mut reason = None;
            while let Some(Ok(message)) = terminal.next().await {
                if let Message::Close(Some(frame)) = message {
                    reason = Some(frame.reason.to_string());
                }
            }
            assert!(reason.as_ref().is_some_and(|reason| reason.contains("lost")), "{reason:?}");
            serving.abort();
        } else {
            assert!(serving.await?.is_err(), "hung up on");
        }
    }
    still_well(&ann, &mut other).await
}

/// An agent that answers what it is asked with too much.
fn evil(flood: &'static str) -> Router {
    type Pieces = futures::stream::BoxStream<'static, Result<String, std::io::Error>>;
    let quiet = async || Body::from_stream(futures::stream::pending::<Result<String, std::io::Error>>());
    let logs = async move || {
        let pieces: Pieces = match flood {
            "log" => futures::stream::repeat_with(|| Ok("x".repeat(64 * 1024))).boxed(),
            _ => futures::stream::pending().boxed(),
        };
        Body::from_stream(pieces)
    };
    let terminal = async |mut request: axum::extract::Request| {
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let Ok(stream) = upgraded.await else { return };
            let mut stream = hyper_util::rt::TokioIo::new(stream);
            let _ = stream.write_all(b"\x01\xff\xff\xff\xffall the rest").await;
            let _ = stream.flush().await;
            std::future::pending::<()>().await;
        });
        (StatusCode::SWITCHING_PROTOCOLS, [(header::CONNECTION, "upgrade"), (header::UPGRADE, agent::api::UPGRADE)])
    };
    Router::new()
        .route("/v1/config", put(async || StatusCode::NO_CONTENT))
        .route("/v1/reports", get(quiet))
        .route("/v1/logs", get(logs))
        .route("/v1/terminal", get(terminal))
}

/// The folder of this name, some levels below.
fn found(below: &Path, name: &str) -> Option<PathBuf> {
    let folders =
        std::fs::read_dir(below).ok()?.flatten().filter(|entry| entry.file_type().is_ok_and(|it| it.is_dir()));
    folders.map(|entry| entry.path()).find_map(|path| {
        if path.ends_with(name) { Some(path) } else { found(&path, name).filter(|_| path.components().count() < 12) }
    })
}

/// Socket addresses are short, data directories may not be.
fn short(socket: &Path) -> Outcome<std::os::unix::net::SocketAddr> {
    assert!(socket.as_os_str().as_bytes().len() < 108, "{}", socket.display());
    Ok(std::os::unix::net::SocketAddr::from_pathname(socket)?)
}

const SPY: &str = r#"
name: spy
version: "1"
title: Spy
summary: An app that looks for what is not its own.
category: Tests
servers:
  box:
    requires: [python3]
    startup: |
      cat > "$HOME/app.py" <<'PYTHON'
      import http.server
      class Spy(http.server.BaseHTTPRequestHandler):
          def do_GET(self):
              body = ("<title>Spy</title><h1>Spy</h1><pre id=heard></pre><pre id=seen></pre><pre id=read></pre><script>"
                      "heard.textContent = 'heard ' + " + repr(str(self.headers.get("Cookie"))) + ";"
                      "document.cookie = 'bookend_session=planted; Domain=localhost; Path=/';"
                      "document.cookie = 'bookend_theme=dark; Domain=localhost; Path=/';"
                      "seen.textContent = 'seen ' + document.cookie;"
                      "const portal = location.origin.replace(location.hostname, '127.0.0.1');"
                      "fetch(portal + '/api/v1/me', {credentials: 'include'}).then((answer) => answer.text())"
                      ".then((text) => read.textContent = 'read ' + text, () => read.textContent = 'read nothing')"
                      "</script>").encode()
              self.send_response(200)
              self.send_header("Content-Type", "text/html")
              self.send_header("Content-Length", str(len(body)))
              self.send_header("Set-Cookie", "bookend_session=planted; Domain=localhost; Path=/")
              self.send_header("Set-Cookie", "bookend_session=planted; Domain=127.0.0.1; Path=/")
              self.end_headers()
              self.wfile.write(body)
      http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Spy).serve_forever()
      PYTHON
    services:
      app: {command: python3 -u "$HOME/app.py"}
    checks:
      page: {http: 8080, interval: 500ms}
    ports:
      - {port: 8080, title: Open}
"#;

#[tokio::test]
async fn an_app_in_a_real_browser_sees_and_changes_nothing_of_the_portals_cookies() -> Outcome {
    let folder = tempfile::Builder::new().prefix("bookend-test-templates-").tempdir()?;
    std::fs::write(folder.path().join("spy.yaml"), SPY)?;
    let templates = folder.path().to_str().ok_or("a path that is no text")?;
    let portal = Setting::new()?.options(&["--templates", templates]).start().await?;
    let browser = signed_in(&portal).await?;
    let api = portal.person("ada").await?;
    api.order("spy", "shop").await?;
    api.await_state("shop", "ready").await?;
    let names = |cookies: Vec<fantoccini::cookies::Cookie<'static>>| {
        cookies.into_iter().map(|cookie| (cookie.name().to_owned(), cookie.value().to_owned())).collect::<Vec<_>>()
    };
    let before = names(browser.page.get_all_cookies().await?);
    assert!(before.iter().any(|(name, _)| name == "bookend_session"), "{before:?}");

    browser.go(&portal.url("/open/shop/box/8080")).await?;
    browser.await_text("h1", "Spy").await?;
    let secret = &before[0].1;
    for part in ["heard", "seen", "read"] {
        let said = browser.await_text(&format!("#{part}"), part).await?;
        assert!(!said.contains(secret.as_str()) && !said.contains("ada"), "{said}");
    }
    assert_eq!(browser.await_text("#heard", "heard").await?, "heard None");
    assert_eq!(browser.await_text("#read", "read").await?, "read nothing");

    // Nothing was planted either: the same session, the same person.
    browser.go(&portal.url("/profile")).await?;
    browser.await_text("h1", "ada").await?;
    assert_eq!(names(browser.page.get_all_cookies().await?), before);
    Ok(())
}
