//! The use cases: what people, programs and schedules can ask of Bookend. [`Service`] is the [`Portal`] behind pages, REST
//! and command line.
//!
//! Guaranteed: every use case authorises on its first line ([`access`]); whatever changes something is one transaction with
//! its audit event in it; what belongs to another team is not there. Deliberately absent: bringing anything about. A use
//! case changes what is desired and wakes the engine.

mod access;
mod activity;
pub mod catalog;
mod change_order;
mod channels;
mod compare;
mod copies;
mod describe;
mod drafts;
mod drills;
mod environments;
mod files;
mod live;
mod logs;
mod names;
mod operator;
mod orders;
mod parking;
mod people;
mod profile;
mod repository;
mod signing_in;
mod snapshot_rule;
mod snapshots;
mod trouble;
mod verify;
mod view;
mod warmth;
mod work;

use std::sync::Arc;

use app::api::*;
use app::portal::{Actor, Channel, Content, Download, Duplex, Live, Portal, SessionStarted, SignedIn};
use async_trait::async_trait;

use crate::agents::Hub;
use crate::auth::identity::Identities;
use crate::auth::password::Passwords;
use crate::clock::Clock;
use crate::engine::{Bell, Machines, RepositoryHandle, Trees};
use crate::keys::InstallationKey;
use crate::store::{self, AuditEvent, Store, StoreError, Tx};

pub use verify::Verifications;

/// What the use cases stand on.
pub struct Service {
    pub store: Store,
    pub hub: Hub,
    pub identities: Arc<Identities>,
    pub passwords: Passwords,
    pub key: InstallationKey,
    pub clock: Clock,
    /// Where new environments can be had.
    pub places: catalog::Places,
    /// Restore drills begin by themselves.
    pub weekly_drills: bool,
    /// The provisioners, as operators may look at them.
    pub machines: Machines,
    /// What volumes and snapshots hold.
    pub trees: Trees,
    /// Snapshots that are being verified.
    pub verifications: Verifications,
    /// The portable repository, if the portal was started with one.
    pub repository: RepositoryHandle,
    /// Where everybody says what has changed; the engine and the pages hear of it.
    pub bell: Bell,
    /// How past orders went, as the catalog tells it.
    pub records: catalog::Records,
    /// How long coming back took lately.
    pub resumes: catalog::Resumes,
    /// What people were told of the catalog a moment ago.
    pub catalogs: catalog::Catalogs,
}

impl Service {
    /// What past orders tell this person.
    async fn past(&self, by: &SignedIn) -> Result<catalog::Past, ApiError> {
        let records = self.records.of_team(&self.store, &by.team_id, self.clock.now()).await?;
        let mine = self.store.ordered_lately(&by.person_id).await.map_err(trouble::failed)?;
        Ok(catalog::Past { records, mine })
    }

    async fn audit(
        &self,
        tx: &mut Tx,
        by: &SignedIn,
        action: &str,
        target: &str,
        detail: serde_json::Value,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        tx.audit(&AuditEvent {
            id: &store::id(now),
            team_id: Some(&by.team_id),
            at: now,
            actor: &by.name,
            action,
            target,
            detail,
        })
        .await
    }
}

#[async_trait]
impl Portal for Service {
    // Anybody
    async fn sign_in(&self, actor: &Actor, name: &str, password: &str) -> Result<SessionStarted, ApiError> {
        signing_in::sign_in(self, actor, name, password).await
    }
    async fn first_administrator(
        &self,
        actor: &Actor,
        link: &str,
        name: &str,
        password: &str,
    ) -> Result<SessionStarted, ApiError> {
        signing_in::first_administrator(self, actor, link, name, password).await
    }
    async fn check_setup_link(&self, _: &Actor, link: &str) -> Result<(), ApiError> {
        signing_in::open_link(self, link).await.map(drop)
    }

    // Whoever is signed in, about themselves
    async fn sign_out(&self, actor: &Actor, session: &str) -> Result<(), ApiError> {
        signing_in::sign_out(self, access::person(actor)?, session).await
    }
    async fn me(&self, actor: &Actor) -> Result<PersonView, ApiError> {
        signing_in::me(self, actor).await
    }
    async fn tokens(&self, actor: &Actor) -> Result<Vec<TokenView>, ApiError> {
        people::tokens(self, access::person(actor)?).await
    }
    async fn create_token(&self, actor: &Actor, request: TokenRequest) -> Result<TokenCreated, ApiError> {
        people::create_token(self, access::person(actor)?, request).await
    }
    async fn revoke_token(&self, actor: &Actor, id: &str) -> Result<(), ApiError> {
        people::revoke_token(self, access::person(actor)?, id).await
    }

    async fn set_time_zone(&self, actor: &Actor, time_zone: Option<&str>) -> Result<PersonView, ApiError> {
        profile::set_time_zone(self, access::person(actor)?, time_zone).await
    }
    async fn change_password(
        &self,
        actor: &Actor,
        change: PasswordChange,
        session: Option<&str>,
    ) -> Result<(), ApiError> {
        profile::change_password(self, access::person(actor)?, change, session).await
    }
    async fn sessions(&self, actor: &Actor, session: Option<&str>) -> Result<Vec<SessionView>, ApiError> {
        profile::sessions(self, access::person(actor)?, session).await
    }
    async fn end_session(&self, actor: &Actor, id: &str) -> Result<(), ApiError> {
        profile::end_session(self, access::person(actor)?, id).await
    }
    async fn end_other_sessions(&self, actor: &Actor, session: Option<&str>) -> Result<u64, ApiError> {
        profile::end_other_sessions(self, access::person(actor)?, session).await
    }

    // Administrators
    async fn people(&self, actor: &Actor) -> Result<Vec<PersonView>, ApiError> {
        people::people(self, access::administrator(actor)?).await
    }
    async fn create_person(&self, actor: &Actor, request: PersonRequest) -> Result<PersonView, ApiError> {
        people::create(self, access::administrator(actor)?, request).await
    }
    async fn set_person_disabled(&self, actor: &Actor, name: &str, disabled: bool) -> Result<PersonView, ApiError> {
        people::set_disabled(self, access::administrator(actor)?, name, disabled).await
    }

    async fn operation(&self, actor: &Actor) -> Result<Operation, ApiError> {
        operator::operation(self, access::administrator(actor)?).await
    }
    async fn leftovers(&self, actor: &Actor) -> Result<Vec<Leftover>, ApiError> {
        access::administrator(actor)?;
        operator::leftovers(self).await
    }
    async fn leftovers_found(&self, actor: &Actor) -> Result<u64, ApiError> {
        access::administrator(actor)?;
        operator::leftovers_found(self).await
    }
    async fn remove_leftover(
        &self,
        actor: &Actor,
        provisioner: &str,
        id: &str,
        typed: Option<&str>,
    ) -> Result<(), ApiError> {
        operator::remove_leftover(self, access::administrator(actor)?, provisioner, id, typed).await
    }

    async fn repository_snapshots(&self, actor: &Actor) -> Result<Vec<RepositorySnapshot>, ApiError> {
        repository::list(self, access::administrator(actor)?).await
    }
    async fn import_snapshot(
        &self,
        actor: &Actor,
        snapshot: &str,
        request: ImportRequest,
    ) -> Result<ImportView, ApiError> {
        repository::import(self, access::administrator(actor)?, snapshot, request).await
    }

    // The team
    async fn repository(&self, actor: &Actor) -> Result<RepositoryView, ApiError> {
        repository::repository(self, access::person(actor)?).await
    }
    async fn catalog(&self, actor: &Actor) -> Result<Arc<Vec<CatalogEntry>>, ApiError> {
        let by = access::person(actor)?;
        let read = async {
            let past = self.past(by).await?;
            catalog::catalog(&self.store, &by.team_id, &self.places, &past).await
        };
        self.catalogs.of_person(&by.person_id, self.clock.now(), read).await
    }
    async fn template(&self, actor: &Actor, name: &str, version: Option<&str>) -> Result<TemplateDetail, ApiError> {
        let by = access::person(actor)?;
        let past = self.past(by).await?;
        let found = catalog::detail(&self.store, &by.team_id, name, version, &self.places, &past).await;
        let (mut detail, offered) = found?;
        detail.park = parking::of_template(self, by, &offered).await?;
        Ok(detail)
    }
    async fn draft(&self, actor: &Actor, template: &str, request: DraftRequest) -> Result<OrderDraft, ApiError> {
        drafts::draft(self, access::person(actor)?, template, request).await
    }
    async fn check_name(&self, actor: &Actor, name: &str) -> Result<NameCheck, ApiError> {
        drafts::check_name(self, access::person(actor)?, name).await
    }
    async fn order(
        &self,
        actor: &Actor,
        order: OrderRequest,
        request_id: Option<&str>,
    ) -> Result<EnvironmentDetail, ApiError> {
        orders::order(self, access::person(actor)?, order, request_id).await
    }
    async fn environments(&self, actor: &Actor, query: EnvironmentQuery) -> Result<Page<EnvironmentSummary>, ApiError> {
        environments::environments(self, access::person(actor)?, query).await
    }
    async fn environment(&self, actor: &Actor, environment: &str) -> Result<EnvironmentDetail, ApiError> {
        environments::environment(self, access::person(actor)?, environment).await
    }
    async fn activity(&self, actor: &Actor) -> Result<Activity, ApiError> {
        activity::activity(self, access::person(actor)?).await
    }
    async fn timeline(
        &self,
        actor: &Actor,
        environment: &str,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<TimelineEvent>, ApiError> {
        environments::timeline(self, access::person(actor)?, environment, cursor, limit).await
    }
    async fn events(&self, actor: &Actor, environment: Option<&str>) -> Result<Live<LiveEvent>, ApiError> {
        live::events(self, access::person(actor)?, environment).await
    }

    // An environment's owner, and administrators: each of these checks the environment it finds
    async fn act(&self, actor: &Actor, environment: &str, action: Action) -> Result<EnvironmentDetail, ApiError> {
        environments::act(self, access::person(actor)?, environment, action).await
    }
    async fn describe(
        &self,
        actor: &Actor,
        environment: &str,
        change: EnvironmentChange,
    ) -> Result<EnvironmentDetail, ApiError> {
        describe::describe(self, access::person(actor)?, environment, change).await
    }
    async fn set_snapshot_rule(
        &self,
        actor: &Actor,
        environment: &str,
        rule: SnapshotRule,
    ) -> Result<EnvironmentDetail, ApiError> {
        snapshot_rule::set(self, access::person(actor)?, environment, rule).await
    }
    async fn drill(&self, actor: &Actor, environment: &str) -> Result<EnvironmentDetail, ApiError> {
        drills::drill(self, access::person(actor)?, environment).await
    }
    async fn snapshots(&self, actor: &Actor, environment: &str) -> Result<Vec<SnapshotView>, ApiError> {
        snapshots::snapshots(self, access::person(actor)?, environment).await
    }
    async fn take_snapshot(
        &self,
        actor: &Actor,
        environment: &str,
        request: SnapshotRequest,
    ) -> Result<SnapshotView, ApiError> {
        snapshots::take(self, access::person(actor)?, environment, request).await
    }
    async fn change_snapshot(
        &self,
        actor: &Actor,
        environment: &str,
        snapshot: &str,
        change: SnapshotChange,
    ) -> Result<SnapshotView, ApiError> {
        snapshots::change(self, access::person(actor)?, environment, snapshot, change).await
    }
    async fn delete_snapshot(&self, actor: &Actor, environment: &str, snapshot: &str) -> Result<(), ApiError> {
        snapshots::delete(self, access::person(actor)?, environment, snapshot).await
    }
    async fn keep_snapshot_warm(
        &self,
        actor: &Actor,
        environment: &str,
        snapshot: &str,
        hours: Option<u32>,
    ) -> Result<SnapshotView, ApiError> {
        warmth::keep(self, access::person(actor)?, environment, snapshot, hours).await
    }
    async fn verify_snapshot(
        &self,
        actor: &Actor,
        environment: &str,
        snapshot: &str,
    ) -> Result<Live<Work<SnapshotVerification>>, ApiError> {
        verify::verify(self, access::person(actor)?, environment, snapshot).await
    }
    async fn stop_verification(&self, actor: &Actor, environment: &str, snapshot: &str) -> Result<(), ApiError> {
        verify::stop(self, access::person(actor)?, environment, snapshot).await
    }
    async fn compare_snapshots(
        &self,
        actor: &Actor,
        environment: &str,
        first: &str,
        second: Option<&str>,
    ) -> Result<Live<Work<SnapshotComparison>>, ApiError> {
        compare::compare(self, access::person(actor)?, environment, first, second).await
    }
    async fn files(
        &self,
        actor: &Actor,
        environment: &str,
        place: &FilePlace,
        after: Option<&str>,
        limit: u32,
    ) -> Result<FileListing, ApiError> {
        files::files(self, access::person(actor)?, environment, place, after, limit).await
    }
    async fn download(&self, actor: &Actor, environment: &str, place: &FilePlace) -> Result<Download, ApiError> {
        files::download(self, access::person(actor)?, environment, place).await
    }
    async fn upload(
        &self,
        actor: &Actor,
        environment: &str,
        place: &FilePlace,
        upload: Upload,
        content: Content,
    ) -> Result<FileView, ApiError> {
        files::upload(self, access::person(actor)?, environment, place, upload, content).await
    }
    async fn restore_files(
        &self,
        actor: &Actor,
        environment: &str,
        volume: &str,
        request: FileRestore,
    ) -> Result<Live<Work<FileView>>, ApiError> {
        files::restore(self, access::person(actor)?, environment, volume, request).await
    }
    async fn restore(
        &self,
        actor: &Actor,
        environment: &str,
        request: RestoreRequest,
    ) -> Result<EnvironmentDetail, ApiError> {
        snapshots::restore(self, access::person(actor)?, environment, request).await
    }
    async fn change_order(
        &self,
        actor: &Actor,
        environment: &str,
        change: OrderChange,
    ) -> Result<EnvironmentDetail, ApiError> {
        change_order::change_order(self, access::person(actor)?, environment, change).await
    }
    async fn export_snapshot(
        &self,
        actor: &Actor,
        environment: &str,
        snapshot: &str,
    ) -> Result<SnapshotView, ApiError> {
        repository::export(self, access::person(actor)?, environment, snapshot).await
    }
    async fn act_on_many(&self, actor: &Actor, request: ManyRequest) -> Result<Vec<ManyResult>, ApiError> {
        environments::act_on_many(self, access::person(actor)?, request).await
    }
    async fn logs(
        &self,
        actor: &Actor,
        environment: &str,
        of: &LogSelection,
        tail: u32,
    ) -> Result<Vec<LogLine>, ApiError> {
        logs::logs(self, access::person(actor)?, environment, of, tail).await
    }
    async fn follow_logs(
        &self,
        actor: &Actor,
        environment: &str,
        of: &LogSelection,
        tail: u32,
        most_at_once: Option<u32>,
    ) -> Result<Live<LogLine>, ApiError> {
        logs::follow(self, access::person(actor)?, environment, of, tail, most_at_once).await
    }
    async fn whole_log(
        &self,
        actor: &Actor,
        environment: &str,
        of: &LogSelection,
    ) -> Result<Live<Result<LogLine, ApiError>>, ApiError> {
        logs::whole(self, access::person(actor)?, environment, of).await
    }
    async fn open(
        &self,
        actor: &Actor,
        environment: &str,
        server: &str,
        channel: Channel,
    ) -> Result<Box<dyn Duplex>, ApiError> {
        channels::open(self, access::person(actor)?, environment, server, channel).await
    }
}
