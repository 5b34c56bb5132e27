//! [`Portal`]: the use cases of Bookend, and the one interface pages, REST API and CLI stand on.
//!
//! The trait lives here because the pages call it and the server implements it; it keeps SQL and cloud SDKs out of UI
//! builds. **Every method takes an [`Actor`] and authorises on its first line.** Things of another team answer exactly like
//! things that do not exist.

mod cookie;

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Bytes;
use futures_core::Stream;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::api::*;

pub use cookie::SessionCookie;

/// Who asks. Made only by the edge (session cookie, API token) from what the database says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Nobody has signed in on this request, which came from this address (for the limit on sign-in attempts).
    Anonymous {
        from: Option<IpAddr>,
        /// Browser and system in a few words, for the list of sessions.
        browser: Option<String>,
    },
    Person(SignedIn),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    pub person_id: String,
    pub name: String,
    pub team_id: String,
    pub role: Role,
    /// IANA name of the time zone this person wants exact times in.
    pub time_zone: Option<String>,
}

/// A session that was just begun: the cookie's value, shown to nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionStarted {
    pub secret: String,
    /// Unix milliseconds.
    pub expires_at: i64,
}

/// What to open on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Frames; see the agent's `frame` module. `request` is the agent's `ExecRequest` as JSON.
    Exec { request: String },
    /// Frames. The same session id attaches to the same terminal again.
    Terminal { session: String, cols: u16, rows: u16 },
    /// Raw bytes of one TCP connection.
    Port { port: u16 },
}

/// A byte stream to something on a server.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

pub type Live<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

/// What is in a file, as it comes. That it ends with an error means that it is not whole.
pub type Content = Live<std::io::Result<Bytes>>;

/// A file, or a folder as a tar archive.
pub struct Download {
    /// Of the file or folder; bytes.
    pub name: Vec<u8>,
    pub folder: bool,
    /// In bytes, where it is known before.
    pub size: Option<u64>,
    pub content: Content,
}

#[async_trait]
pub trait Portal: Send + Sync + 'static {
    // Signing in
    async fn sign_in(&self, actor: &Actor, name: &str, password: &str) -> Result<SessionStarted, ApiError>;
    async fn sign_out(&self, actor: &Actor, session: &str) -> Result<(), ApiError>;
    /// Creates the first administrator and signs in. `link` is the secret part of the single-use link.
    async fn first_administrator(
        &self,
        actor: &Actor,
        link: &str,
        name: &str,
        password: &str,
    ) -> Result<SessionStarted, ApiError>;
    /// Whether this link can still be used.
    async fn check_setup_link(&self, actor: &Actor, link: &str) -> Result<(), ApiError>;
    async fn me(&self, actor: &Actor) -> Result<PersonView, ApiError>;
    /// `None`: like the browser.
    async fn set_time_zone(&self, actor: &Actor, time_zone: Option<&str>) -> Result<PersonView, ApiError>;
    /// Ends the person's other sessions; `session` is the secret of the one to be kept.
    async fn change_password(
        &self,
        actor: &Actor,
        change: PasswordChange,
        session: Option<&str>,
    ) -> Result<(), ApiError>;
    /// `session` is the secret of the one the request came with. The one last seen comes first.
    async fn sessions(&self, actor: &Actor, session: Option<&str>) -> Result<Vec<SessionView>, ApiError>;
    async fn end_session(&self, actor: &Actor, id: &str) -> Result<(), ApiError>;
    /// All but the one of this secret; how many there were.
    async fn end_other_sessions(&self, actor: &Actor, session: Option<&str>) -> Result<u64, ApiError>;
    async fn people(&self, actor: &Actor) -> Result<Vec<PersonView>, ApiError>;
    async fn create_person(&self, actor: &Actor, request: PersonRequest) -> Result<PersonView, ApiError>;
    async fn set_person_disabled(&self, actor: &Actor, name: &str, disabled: bool) -> Result<PersonView, ApiError>;
    async fn tokens(&self, actor: &Actor) -> Result<Vec<TokenView>, ApiError>;
    async fn create_token(&self, actor: &Actor, request: TokenRequest) -> Result<TokenCreated, ApiError>;
    async fn revoke_token(&self, actor: &Actor, id: &str) -> Result<(), ApiError>;

    // Operators: administrators
    async fn operation(&self, actor: &Actor) -> Result<Operation, ApiError>;
    /// What provisioners have that no environment owns.
    async fn leftovers(&self, actor: &Actor) -> Result<Vec<Leftover>, ApiError>;
    /// How many single things of them the last look has found: for every page, so nothing but the database is asked.
    async fn leftovers_found(&self, actor: &Actor) -> Result<u64, ApiError>;
    /// `typed` has to be the id once more where there are volumes.
    async fn remove_leftover(
        &self,
        actor: &Actor,
        provisioner: &str,
        id: &str,
        typed: Option<&str>,
    ) -> Result<(), ApiError>;

    // Catalog and orders
    async fn catalog(&self, actor: &Actor) -> Result<Arc<Vec<CatalogEntry>>, ApiError>;
    /// The version on offer when `version` is absent.
    async fn template(&self, actor: &Actor, name: &str, version: Option<&str>) -> Result<TemplateDetail, ApiError>;
    /// What an order of this template can begin with.
    async fn draft(&self, actor: &Actor, template: &str, request: DraftRequest) -> Result<OrderDraft, ApiError>;
    async fn check_name(&self, actor: &Actor, name: &str) -> Result<NameCheck, ApiError>;
    /// The same `request_id` of the same person again yields the same environment.
    async fn order(
        &self,
        actor: &Actor,
        order: OrderRequest,
        request_id: Option<&str>,
    ) -> Result<EnvironmentDetail, ApiError>;

    // Environments; `environment` is a name or an id
    async fn environments(&self, actor: &Actor, query: EnvironmentQuery) -> Result<Page<EnvironmentSummary>, ApiError>;
    async fn environment(&self, actor: &Actor, environment: &str) -> Result<EnvironmentDetail, ApiError>;
    async fn act(&self, actor: &Actor, environment: &str, action: Action) -> Result<EnvironmentDetail, ApiError>;
    /// Name, tags and note.
    async fn describe(
        &self,
        actor: &Actor,
        environment: &str,
        change: EnvironmentChange,
    ) -> Result<EnvironmentDetail, ApiError>;
    /// Another size or template version on the same volumes. Refused when one of them would be lost.
    async fn change_order(
        &self,
        actor: &Actor,
        environment: &str,
        change: OrderChange,
    ) -> Result<EnvironmentDetail, ApiError>;
    /// Each for itself: what is wrong with one is said of that one.
    async fn act_on_many(&self, actor: &Actor, request: ManyRequest) -> Result<Vec<ManyResult>, ApiError>;
    /// When snapshots are taken by themselves from now on.
    async fn set_snapshot_rule(
        &self,
        actor: &Actor,
        environment: &str,
        rule: SnapshotRule,
    ) -> Result<EnvironmentDetail, ApiError>;
    /// Has the newest snapshot brought up in a place of its own, soon, to see that it can be.
    async fn drill(&self, actor: &Actor, environment: &str) -> Result<EnvironmentDetail, ApiError>;
    /// The newest first.
    async fn snapshots(&self, actor: &Actor, environment: &str) -> Result<Vec<SnapshotView>, ApiError>;
    /// One moment of all volumes, taken as soon as nothing else is under way.
    async fn take_snapshot(
        &self,
        actor: &Actor,
        environment: &str,
        request: SnapshotRequest,
    ) -> Result<SnapshotView, ApiError>;
    async fn change_snapshot(
        &self,
        actor: &Actor,
        environment: &str,
        snapshot: &str,
        change: SnapshotChange,
    ) -> Result<SnapshotView, ApiError>;
    async fn delete_snapshot(&self, actor: &Actor, environment: &str, snapshot: &str) -> Result<(), ApiError>;
    /// Has volumes that begin with it be at full speed at once, for so many hours from now, which cost what its warmth says; `None`: no
    /// longer.
    async fn keep_snapshot_warm(
        &self,
        actor: &Actor,
        environment: &str,
        snapshot: &str,
        hours: Option<u32>,
    ) -> Result<SnapshotView, ApiError>;
    /// Reads a whole snapshot and compares it with what was written down when it was taken. Who stops listening stops it.
    async fn verify_snapshot(
        &self,
        actor: &Actor,
        environment: &str,
        snapshot: &str,
    ) -> Result<Live<Work<SnapshotVerification>>, ApiError>;
    /// Ends a verification, whoever listens to it.
    async fn stop_verification(&self, actor: &Actor, environment: &str, snapshot: &str) -> Result<(), ApiError>;
    /// What differs between two snapshots, or between one and the volumes as they are now. Who stops listening stops it.
    async fn compare_snapshots(
        &self,
        actor: &Actor,
        environment: &str,
        first: &str,
        second: Option<&str>,
    ) -> Result<Live<Work<SnapshotComparison>>, ApiError>;
    /// A page of a folder's names, at most `limit` of those after `after`.
    async fn files(
        &self,
        actor: &Actor,
        environment: &str,
        place: &FilePlace,
        after: Option<&str>,
        limit: u32,
    ) -> Result<FileListing, ApiError>;
    async fn download(&self, actor: &Actor, environment: &str, place: &FilePlace) -> Result<Download, ApiError>;
    /// Puts a file into a volume, whole or not at all; folders that are missing on its way are made.
    async fn upload(
        &self,
        actor: &Actor,
        environment: &str,
        place: &FilePlace,
        upload: Upload,
        content: Content,
    ) -> Result<FileView, ApiError>;
    /// Brings one file or folder back from a snapshot into the volume as it is now. Who stops listening gives it up.
    async fn restore_files(
        &self,
        actor: &Actor,
        environment: &str,
        volume: &str,
        request: FileRestore,
    ) -> Result<Live<Work<FileView>>, ApiError>;
    /// All volumes become what they were; what they are now is kept in a snapshot first. A deleted environment comes back.
    async fn restore(
        &self,
        actor: &Actor,
        environment: &str,
        request: RestoreRequest,
    ) -> Result<EnvironmentDetail, ApiError>;
    /// Asks for a copy of it in the portable repository, now.
    async fn export_snapshot(&self, actor: &Actor, environment: &str, snapshot: &str)
    -> Result<SnapshotView, ApiError>;
    /// How it stands with the portable repository; whether there is one, everybody may know.
    async fn repository(&self, actor: &Actor) -> Result<RepositoryView, ApiError>;
    /// What is in the portable repository, of whatever portal; the newest first.
    async fn repository_snapshots(&self, actor: &Actor) -> Result<Vec<RepositorySnapshot>, ApiError>;
    /// Makes an environment of what is in the repository. `snapshot` is the beginning of its id there.
    async fn import_snapshot(
        &self,
        actor: &Actor,
        snapshot: &str,
        request: ImportRequest,
    ) -> Result<ImportView, ApiError>;
    /// What goes on in the team.
    async fn activity(&self, actor: &Actor) -> Result<Activity, ApiError>;
    /// Newest first.
    async fn timeline(
        &self,
        actor: &Actor,
        environment: &str,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<TimelineEvent>, ApiError>;
    /// The last `tail` of the stored lines asked for (at most 10,000), oldest first.
    async fn logs(
        &self,
        actor: &Actor,
        environment: &str,
        of: &LogSelection,
        tail: u32,
    ) -> Result<Vec<LogLine>, ApiError>;
    /// The last `tail` of the lines asked for, then new ones as they come, until the environment is deleted or the caller
    /// goes away. Of lines that come at once (within a fraction of a second) only the newest `most_at_once`, when that is
    /// given: each line says how many were left out before it.
    async fn follow_logs(
        &self,
        actor: &Actor,
        environment: &str,
        of: &LogSelection,
        tail: u32,
        most_at_once: Option<u32>,
    ) -> Result<Live<LogLine>, ApiError>;
    /// All stored lines asked for, oldest first, read as they are taken. Ends with an error when they cannot all be read.
    async fn whole_log(
        &self,
        actor: &Actor,
        environment: &str,
        of: &LogSelection,
    ) -> Result<Live<Result<LogLine, ApiError>>, ApiError>;
    /// Changes the actor may see, of one environment or of all.
    async fn events(&self, actor: &Actor, environment: Option<&str>) -> Result<Live<LiveEvent>, ApiError>;
    async fn open(
        &self,
        actor: &Actor,
        environment: &str,
        server: &str,
        channel: Channel,
    ) -> Result<Box<dyn Duplex>, ApiError>;
}

/// The portal as handlers hold it.
pub type SharedPortal = Arc<dyn Portal>;
