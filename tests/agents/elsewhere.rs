//! A machine of its own: an agent in a sandbox that sees the story's machine as its own, and the only way from there to the
//! portal, a proxy that knows the portal's name and TLS in front of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use provisioners::ServerId;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use server::keys::InstallationKey;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;
use tests::{Api, Outcome, Portal, leftovers, programs};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::papers::papers;

/// Only the proxy knows where this is.
const HOST: &str = "bookend.test";
/// What is waited for comes soon, or never.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

pub fn free_port() -> Outcome<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The way to the portal.
pub struct Elsewhere {
    proxy: SocketAddr,
    authority: String,
    connections: Arc<AtomicUsize>,
    cut: watch::Sender<usize>,
}

impl Elsewhere {
    pub async fn open(portal: SocketAddr) -> Outcome<Self> {
        let papers = papers(HOST)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = listener.local_addr()?;
        let connections = Arc::new(AtomicUsize::new(0));
        let (cut, cuts) = watch::channel(0);
        let counted = connections.clone();
        tokio::spawn(async move {
            while let Ok((mut agent, _)) = listener.accept().await {
                let (acceptor, mut cuts) = (papers.acceptor.clone(), cuts.clone());
                cuts.mark_unchanged();
                let counted = counted.clone();
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(agent.read_u8().await?);
                    }
                    let head = String::from_utf8_lossy(&head);
                    if !head.starts_with(&format!("CONNECT {HOST}:443 ")) || !head.contains("Basic YW5uOnNlc2FtZQ==") {
                        return agent.write_all(b"HTTP/1.1 403 Not there\r\n\r\n").await;
                    }
                    agent.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await?;
                    let mut agent = acceptor.accept(agent).await?;
                    let mut portal = TcpStream::connect(portal).await?;
                    counted.fetch_add(1, Ordering::SeqCst);
                    tokio::select! {
                        carried = copy_bidirectional(&mut agent, &mut portal) => carried.map(drop),
                        _ = cuts.changed() => Ok(()),
                    }
                });
            }
        });
        Ok(Self { proxy, authority: papers.authority, connections, cut })
    }

    /// How many there were.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Every connection is lost.
    pub fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }
}

/// A machine's disk.
pub struct Machine {
    pub server: String,
    disk: TempDir,
}

impl Machine {
    /// Orders an environment and puts this machine in its server's place: the agent beside the portal stands still for ever, and
    /// is forgotten.
    pub async fn taking_the_place_of_a_local_server(
        portal: &mut Portal,
        api: &Api,
        template: &str,
        name: &str,
    ) -> Outcome<Self> {
        api.order(template, name).await?;
        let ready = api.await_state(name, "ready").await?;
        let server = ready["servers"][0]["id"].as_str().ok_or("The server has no id.")?.to_owned();
        for process in leftovers::of_servers(portal) {
            let first = Pid::from_raw(process.id.cast_signed()).filter(|_| process.command.contains("bookend-agent"));
            let status = std::fs::read_to_string(format!("/proc/{}/status", process.id)).unwrap_or_default();
            let nested = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
            if let Some(first) = first.filter(|_| nested.split_whitespace().count() > 2) {
                kill_process(first, Signal::STOP)?;
            }
        }
        portal.kill().await?;
        let mut database = database(portal).await?;
        let forgotten = sqlx::query(
            "update server set enrolled_generation = 0, agent_key_hash = null, status = null where id = $1",
        );
        assert_eq!(forgotten.bind(&server).execute(&mut database).await?.rows_affected(), 1);
        database.close().await?;
        portal.start_again().await?;
        let token = InstallationKey::load_or_create(&portal.data_directory())?.enrolment(&ServerId::new(&server), 1);
        let machine = Self { server, disk: tempfile::Builder::new().prefix("bookend-machine-").tempdir()? };
        let home = machine.home();
        machine.write_identity(&json!({
            "server": machine.server,
            "generation": 1,
            "enrolment": token.reveal(),
            "link": { "portal": { "url": format!("https://{HOST}"), "ca_file": home.join("ca.pem") } },
            "hosts": home.join("hosts"),
        }))?;
        Ok(machine)
    }

    pub fn home(&self) -> PathBuf {
        self.disk.path().to_owned()
    }

    /// What an image of the disk would have.
    pub fn copy(&self) -> Outcome<Self> {
        let disk = tempfile::Builder::new().prefix("bookend-machine-").tempdir()?;
        let copied = std::process::Command::new("cp").arg("-a").arg(self.home().join(".")).arg(disk.path()).status()?;
        assert!(copied.success());
        Ok(Self { server: self.server.clone(), disk })
    }

    pub fn change_identity(&mut self, change: impl FnOnce(&mut Value)) -> Outcome {
        let mut identity = serde_json::from_slice(&std::fs::read(self.home().join("identity"))?)?;
        change(&mut identity);
        self.write_identity(&identity)
    }

    fn write_identity(&self, identity: &Value) -> Outcome {
        Ok(std::fs::write(self.home().join("identity"), identity.to_string())?)
    }

    pub async fn boot(&self, way: &Elsewhere) -> Outcome<Child> {
        Ok(self.command(way)?.spawn()?)
    }

    /// Boots, expecting that the agent gives up; what it says of that.
    pub async fn boot_to_its_end(&self, way: &Elsewhere) -> Outcome<String> {
        let ended = tokio::time::timeout(PATIENCE, self.command(way)?.stderr(Stdio::piped()).output()).await??;
        assert_eq!(ended.status.code(), Some(3), "{ended:?}");
        Ok(String::from_utf8(ended.stderr)?)
    }

    fn command(&self, way: &Elsewhere) -> Outcome<Command> {
        std::fs::write(self.home().join("ca.pem"), &way.authority)?;
        let mut command = Command::new("bwrap");
        command.args(["--bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-pid", "--die-with-parent"]);
        command.arg(programs::dist().join("bookend-agent")).arg("--directory").arg(self.home());
        command.arg("--run-directory").arg(self.home().join("run")).env("HOME", self.home());
        for name in ["HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "https_proxy"] {
            command.env_remove(name);
        }
        command.env("HTTPS_PROXY", format!("http://ann:sesame@{}", way.proxy));
        command.stdin(Stdio::null()).kill_on_drop(true);
        Ok(command)
    }

    /// Its token is gone: the portal knows it by its key.
    pub async fn until_enrolled(&self) -> Outcome {
        let identity = self.home().join("identity");
        until("enrolled", || Ok(!std::fs::read_to_string(&identity)?.contains("enrolment"))).await
    }

    /// The agent's own log on its disk has this.
    pub async fn until_noted(&self, words: &str) -> Outcome {
        let logs = self.home().join("state/logs");
        until(words, || {
            for segment in std::fs::read_dir(&logs)? {
                if std::fs::read_to_string(segment?.path())?.contains(words) {
                    return Ok(true);
                }
            }
            Ok(false)
        })
        .await
    }

    /// The portal shows this line.
    pub async fn until_logged(&self, api: &Api, environment: &str, words: &str) -> Outcome {
        let shown = async {
            // No event tells of lines.
            while !api
                .get(&format!("/environments/{environment}/logs?tail=1000"))
                .await?
                .body
                .to_string()
                .contains(words)
            {
                tokio::time::sleep(LOOK).await;
            }
            Ok(())
        };
        tokio::time::timeout(PATIENCE, shown).await.map_err(|_| format!("Nobody ever said: {words}"))?
    }

    /// As its provisioner would have found it.
    pub async fn set_address(&self, portal: &Portal, address: &str) -> Outcome {
        let mut database = database(portal).await?;
        let set = sqlx::query("update server set actual_address = $2 where id = $1").bind(&self.server).bind(address);
        assert_eq!(set.execute(&mut database).await?.rows_affected(), 1);
        Ok(database.close().await?)
    }
}

async fn database(portal: &Portal) -> Outcome<SqliteConnection> {
    let file = portal.data_directory().join("bookend.db");
    Ok(SqliteConnection::connect(&format!("sqlite://{}", file.display())).await?)
}

async fn until(what: &str, mut is: impl FnMut() -> Outcome<bool>) -> Outcome {
    let waited = async {
        while !is()? {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, waited).await.map_err(|_| format!("It never was {what}."))?
}

pub fn lines(file: &Path) -> usize {
    std::fs::read_to_string(file).unwrap_or_default().lines().count()
}

/// A file of the machine's home, read by a command on the server, once it is connected.
pub async fn read_by_exec(portal: &Portal, api: &Api, environment: &str, file: &str) -> Outcome<String> {
    let (server, script) = (format!("{environment}/box"), format!("cat \"$HOME/{file}\""));
    let asked = async {
        loop {
            let told = portal.cli(api, &["exec", &server, "--", "sh", "-c", &script]).await?;
            if told.status.success() {
                return Ok(String::from_utf8(told.stdout)?);
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.map_err(|_| "No command ran.")?
}

async fn channel(
    portal: &Portal,
    api: &Api,
    path: &str,
) -> Outcome<tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<TcpStream>>> {
    let mut request = format!("ws://{}/api/v1{path}", portal.address).into_client_request()?;
    request.headers_mut().insert("authorization", format!("Bearer {}", api.token()).parse()?);
    Ok(tokio_tungstenite::connect_async(request).await?.0)
}

/// What the server's page says, by the portal's port channel.
pub async fn page(portal: &Portal, api: &Api, environment: &str, port: u16) -> Outcome<String> {
    let mut socket = channel(portal, api, &format!("/environments/{environment}/servers/box/ports/{port}")).await?;
    let request = "GET / HTTP/1.0\r\nhost: box\r\n\r\n";
    socket.send(Message::Binary(request.into())).await?;
    let mut page = Vec::new();
    while let Some(Ok(Message::Binary(bytes))) = socket.next().await {
        if bytes.is_empty() {
            break;
        }
        page.extend(bytes);
    }
    Ok(String::from_utf8(page)?)
}

/// What a terminal shows until the answer to what is typed is there.
pub async fn terminal(portal: &Portal, api: &Api, environment: &str, typed: &str) -> Outcome<String> {
    let path = format!("/environments/{environment}/servers/box/terminal?session=t1&cols=80&rows=24");
    let mut socket = channel(portal, api, &path).await?;
    let frame: Vec<u8> = [&[0], typed.as_bytes()].concat();
    socket.send(Message::Binary(frame.into())).await?;
    let mut shown = String::new();
    let read = async {
        while !shown.contains("42ok") {
            let message = socket.next().await.ok_or("The terminal ended.")??;
            if let Message::Binary(frame) = message
                && frame.first() == Some(&1)
            {
                shown.push_str(&String::from_utf8_lossy(&frame[1..]));
            }
        }
        Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    };
    tokio::time::timeout(PATIENCE, read).await.map_err(|_| "The terminal does not answer.")??;
    Ok(shown)
}
