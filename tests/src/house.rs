//! A whole portal in this process, over real TCP, on a database of its own: for stories that need other people, other teams
//! or another time than a portal gives to who comes in by its front door.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use app::api::Role;
use app::portal::Actor;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::StreamExt;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use server::auth::identity::{Identities, role_word};
use server::auth::secret;
use server::clock::Clock;
use server::serve::{self, CloudOptions, RepositoryOptions, ServeOptions};
use server::store::{self, NewPerson, NewToken, Store};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::api::{Answer, answer};
use crate::{Outcome, leftovers, programs};

/// What everybody who can sign in signs in with.
pub const PASSWORD: &str = "correct horse battery";

pub struct House {
    portal: Option<serve::Portal>,
    home: tempfile::TempDir,
    ahead: Arc<AtomicI64>,
    /// For requests in a browser's name: cookies and redirects are the story's own business.
    pub http: Client,
}

/// How a house is to be built.
#[derive(Default)]
pub struct Plan {
    /// Template files: name and text. None: the starter catalog.
    pub templates: Vec<(&'static str, String)>,
    pub database_url: Option<String>,
    pub public_url: Option<String>,
    /// Servers share no disk.
    pub separate_disks: bool,
    pub cloud: CloudOptions,
    pub repository: RepositoryOptions,
}

/// Somebody with an API token and a session, both made by hand: no password was ever hashed for them.
#[derive(Clone)]
pub struct Guest {
    pub name: String,
    pub token: String,
    /// The session's secret.
    pub session: String,
    address: SocketAddr,
    http: Client,
}

impl House {
    pub async fn open() -> Outcome<House> {
        House::built(Plan::default()).await
    }

    pub async fn built(plan: Plan) -> Outcome<House> {
        let home = tempfile::Builder::new().prefix("bookend-test-").tempdir()?;
        // Servers run as other users than the portal when that runs as root.
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755))?;
        let templates = match plan.templates.is_empty() {
            true => None,
            false => {
                let folder = home.path().join("templates");
                std::fs::create_dir(&folder)?;
                for (name, text) in &plan.templates {
                    std::fs::write(folder.join(name), text)?;
                }
                Some(folder)
            }
        };
        let ahead = Arc::new(AtomicI64::new(0));
        let options = ServeOptions {
            data_dir: home.path().join("data"),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            database_url: plan.database_url,
            templates,
            site: Some(programs::dist().join("site")),
            agent: Some(programs::dist().join("bookend-agent")),
            local_separate_disks: plan.separate_disks,
            no_restore_drills: false,
            public_url: plan.public_url,
            apps_domain: None,
            trusted_proxy: Vec::new(),
            alert_url: None,
            cloud: plan.cloud,
            repository: plan.repository,
        };
        let portal = serve::start(options, Clock::ahead_by(ahead.clone())).await?;
        let http = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(House { portal: Some(portal), home, ahead, http })
    }

    pub fn address(&self) -> SocketAddr {
        self.portal().address
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// As a browser says it of a page of this portal.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address())
    }

    pub fn store(&self) -> &Store {
        &self.portal().store
    }

    pub fn setup_link(&self) -> Option<&str> {
        self.portal().setup_link.as_deref()
    }

    pub fn data_directory(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// Time passes at once.
    pub fn wait(&self, milliseconds: i64) {
        self.ahead.fetch_add(milliseconds, Ordering::SeqCst);
    }

    pub fn now(&self) -> i64 {
        Clock::ahead_by(self.ahead.clone()).now()
    }

    /// Somebody of this team, which is made when there is none.
    pub async fn guest(&self, team: &str, name: &str, role: Role) -> Outcome<Guest> {
        self.guest_with(team, name, role, "nobody knows it").await
    }

    /// Somebody who knows the [`PASSWORD`].
    pub async fn resident(&self, team: &str, name: &str, role: Role) -> Outcome<Guest> {
        let hash = server::auth::password::Passwords::new()?.hash(PASSWORD).await?;
        self.guest_with(team, name, role, &hash).await
    }

    async fn guest_with(&self, team: &str, name: &str, role: Role, password_hash: &str) -> Outcome<Guest> {
        let now = self.now();
        let (person_id, token_id) = (store::id(now), store::id(now));
        let (token, session) = (secret::generate_token(), secret::generate());
        let mut tx = self.store().write().await?;
        let team_id = tx.team(team, &store::id(now)).await?;
        let role = role_word(role);
        tx.insert_person(&NewPerson { id: &person_id, team_id: &team_id, name, password_hash, role, now }).await?;
        let secret_hash = secret::digest(token.as_bytes());
        tx.insert_token(&NewToken {
            id: &token_id,
            person_id: &person_id,
            name: "test",
            secret_hash: &secret_hash,
            now,
            expires_at: None,
        })
        .await?;
        let expires_at = now + server::auth::identity::SESSION_MS;
        tx.insert_session(&secret::digest(session.as_bytes()), &person_id, Default::default(), now, expires_at).await?;
        tx.commit().await?;
        let (address, http) = (self.address(), self.http.clone());
        Ok(Guest { name: name.into(), token, session, address, http })
    }

    /// The id of a team that there is.
    pub async fn team_id(&self, team: &str) -> Outcome<String> {
        let mut tx = self.store().write().await?;
        Ok(tx.team(team, &store::id(self.now())).await?)
    }

    /// Gives a further team the catalog the first one has.
    pub async fn stock(&self, team: &str) -> Outcome {
        use server::service::catalog::{Source, files, refresh};
        let folder = self.home.path().join("templates");
        let source = if folder.exists() { Source::Directory(folder) } else { Source::Starter };
        let mut tx = self.store().write().await?;
        let team = tx.team(team, &store::id(self.now())).await?;
        tx.commit().await?;
        refresh(self.store(), &team, &files(&source).await?, self.now()).await?;
        Ok(())
    }

    /// A template file's next text, as if its author had changed it.
    pub async fn publish(&self, team: &str, name: &str, text: &str) -> Outcome {
        std::fs::write(self.home.path().join("templates").join(name), text)?;
        self.stock(team).await
    }

    /// The use cases without HTTP.
    pub fn use_cases(&self) -> &dyn app::portal::Portal {
        &*self.portal().use_cases
    }

    fn portal(&self) -> &serve::Portal {
        self.portal.as_ref().unwrap_or_else(|| unreachable!("taken when the house is left only"))
    }
}

/// A database of its own on the PostgreSQL that the tests were given; `None` when they were given none.
pub async fn fresh_postgres() -> Outcome<Option<String>> {
    static COUNT: AtomicI64 = AtomicI64::new(0);
    let Ok(server) = std::env::var("BOOKEND_TEST_POSTGRES") else { return Ok(None) };
    let name = format!("house_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
    let pool = sqlx::PgPool::connect(&server).await?;
    sqlx::query(sqlx::AssertSqlSafe(format!("drop database if exists {name}"))).execute(&pool).await?;
    sqlx::query(sqlx::AssertSqlSafe(format!("create database {name}"))).execute(&pool).await?;
    let mut url = url::Url::parse(&server)?;
    url.set_path(&name);
    Ok(Some(url.into()))
}

impl Drop for House {
    fn drop(&mut self) {
        drop(self.portal.take());
        leftovers::sweep(self.home.path());
    }
}

impl Guest {
    /// A request below `/api/v1` with the token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}/api/v1{path}", self.address)).bearer_auth(&self.token)
    }

    /// A request with the session's cookie, as a page of the portal would send it.
    pub fn in_browser(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("http://{}{path}", self.address));
        request.header("cookie", self.cookie()).header("origin", format!("http://{}", self.address))
    }

    pub fn cookie(&self) -> String {
        format!("bookend_session={}", self.session)
    }

    pub async fn get(&self, path: &str) -> Outcome<Answer> {
        answer(self.request(Method::GET, path).send().await?).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Outcome<Answer> {
        answer(self.request(Method::POST, path).json(body).send().await?).await
    }

    pub async fn order(&self, template: &str, name: &str) -> Outcome<Value> {
        self.post("/environments", &json!({ "template": template, "name": name })).await?.expect_success()
    }

    /// As the edge would make it of this person's token.
    pub async fn actor(&self, house: &House) -> Outcome<Actor> {
        let found = Identities::new(house.store().clone(), Clock::system()).by_token(&self.token).await?;
        Ok(Actor::Person(found.ok_or("The token does not count.")?.person))
    }

    /// Runs a command on a server; what it wrote to standard output, and its exit code.
    pub async fn exec(&self, environment: &str, server: &str, command: &[&str]) -> Outcome<(String, String)> {
        let request = json!({ "command": command, "tty": null, "directory": null, "variables": {} }).to_string();
        let request = URL_SAFE_NO_PAD.encode(request);
        let path = format!("/environments/{environment}/servers/{server}/exec?request={request}");
        let mut socket = self.websocket(&path).await?;
        let (mut output, mut code) = (Vec::new(), String::new());
        while let Some(message) = socket.next().await {
            let Message::Binary(frame) = message? else { continue };
            match frame.first() {
                Some(1) => output.extend(&frame[1..]),
                Some(4) => code = String::from_utf8_lossy(&frame[1..]).into_owned(),
                _ => {}
            }
        }
        Ok((String::from_utf8_lossy(&output).into_owned(), code))
    }

    /// A WebSocket below `/api/v1`, by the token.
    pub async fn websocket(&self, path: &str) -> Outcome<WebSocketStream<MaybeTlsStream<TcpStream>>> {
        let mut request = format!("ws://{}/api/v1{path}", self.address).into_client_request()?;
        request.headers_mut().insert("authorization", format!("Bearer {}", self.token).parse()?);
        let (socket, _) = tokio_tungstenite::connect_async(request).await?;
        Ok(socket)
    }

    /// How many environments of the team there are.
    pub async fn environments(&self) -> Outcome<usize> {
        let list = self.get("/environments?limit=200").await?.expect_success()?;
        Ok(list["items"].as_array().map_or(0, Vec::len))
    }

    /// The same person's client for stories that wait for an environment.
    pub fn api(&self) -> Outcome<crate::Api> {
        crate::Api::new(self.address, &self.token)
    }

    /// A WebSocket handshake with these headers and no others: the status of what came back, and its body.
    pub async fn handshake(&self, path: &str, headers: &[(&str, &str)]) -> Outcome<Answer> {
        let mut request = self.http.get(format!("http://{}/api/v1{path}", self.address));
        for (name, value) in [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            request = request.header(name, value);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        match response.status() {
            // The connection is the answer.
            status if status.as_u16() == 101 => Ok(Answer { status, body: Value::Null }),
            _ => answer(response).await,
        }
    }
}
