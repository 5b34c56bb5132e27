//! The `ec2` provisioner: the same templates on Amazon EC2.
//!
//! | what | where |
//! |---|---|
//! | what an operator says | [`config`] |
//! | what a region offers, for each kind of processor | `place`, `survey`, `current`, `capabilities` |
//! | what it lacks | [`doctor`] |
//! | what is remembered, before it is asked for | `records`, on a [`Ledger`] |
//! | the engine's steps | `steps`, `network`, `answers` |
//! | looking at everything at once | `look` |
//! | what a look confirms, what there is, what is to be asked next (pure) | `learn`, `conclude`, `errands` |
//! | what is remembered no longer (pure) | `forget` |
//! | volumes that follow their server into another zone (pure) | `zones` |
//! | volumes that are not read in yet | `warm` |
//! | snapshots with which volumes begin at full speed | `fast` |
//! | what nothing remembered names | `orphans`, [`prices`] |
//! | asking, as fast as may be | `driver`, `errand`, `perform`, `servers`, `volumes`, `buckets`, `queue` |
//! | servers that stand by and wake | `turn` |
//! | snapshots of other regions, and theirs of ours | `copies` |
//! | Amazon's calls | [`amazon`] |
//! | what a new server is told, and which agent it fetches | `user_data`, `portal` |
//!
//! Guaranteed: never two servers for one (server, generation), whatever is repeated, lost or delayed: the exact call and its
//! client token are in the ledger before it is made. Nothing is believed gone because a look does not show it, only because none
//! has for long. Nothing that does not carry this installation's tag is changed.
//!
//! Deliberately absent: what runs in a server (the agent's), believing a describe, and the client's own retries.

pub mod amazon;
mod answers;
pub mod buckets;
mod capabilities;
mod conclude;
pub mod config;
mod connect;
mod copies;
mod current;
pub mod doctor;
mod driver;
mod errand;
mod errands;
mod fast;
mod forget;
mod learn;
mod look;
mod network;
mod orphans;
mod perform;
mod place;
mod portal;
pub mod prices;
mod profile;
mod queue;
pub mod quotas;
mod records;
mod servers;
mod steps;
mod survey;
mod tags;
mod turn;
mod user_data;
mod variables;
mod volumes;
mod warm;
mod ways;
mod zones;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use provisioners::{
    AtRest, Capabilities, CopyRule, Effect, EnvironmentId, KeptWarm, Ledger, LedgerError, ObservedEnvironment, Orphan,
    Orphans, PageChange, PaidReading, ProvisionError, Provisioner, ReadingIn, RestPrice, Secret, ServerId, SnapshotId,
    SnapshotOrigin, Step, WarmOffer,
};
use tokio::sync::{Notify, broadcast};
use tokio::task::JoinHandle;

use self::amazon::Amazon;
use self::capabilities::capabilities;
use self::config::Config;
pub use self::connect::{Connections, connect, connect_as, connect_quotas, connect_quotas_as};
use self::driver::Active;
use self::errands::Setting;
use self::fast::Fasts;
use self::forget::Forgotten;
use self::look::{Lookout, Seen};
pub use self::perform::MOST_AT_ONCE;
use self::place::Place;
pub use self::place::PlaceError;
pub use self::portal::Portal;
use self::records::{Record, Records, Unreadable};
use self::tags::{INSTALLATION, Tags};
use self::warm::Warming;

/// The single-use token by which the agent of a server's generation enrols; always the same one for the same.
pub type Enrolments = Arc<dyn Fn(&ServerId, i64) -> Secret + Send + Sync>;
/// Unix milliseconds.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What it stands on.
pub struct Parts {
    /// As templates and people call it.
    pub name: String,
    pub config: Config,
    pub amazon: Amazon,
    pub ledger: Arc<dyn Ledger>,
    /// The id of this installation (database): on everything, and what does not carry it is not touched.
    pub installation: String,
    pub portal: Portal,
    pub enrolments: Enrolments,
    pub now: Now,
}

/// Servers on Amazon EC2. Dropping it leaves them running.
pub struct Ec2 {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    name: String,
    config: Config,
    amazon: Amazon,
    ledger: Arc<dyn Ledger>,
    lookout: Lookout,
    /// Or why it is not known yet.
    place: RwLock<Result<Arc<Place>, String>>,
    portal: Portal,
    /// Something that it names is no more.
    outdated: Notify,
    /// Found or made when the first server needs it.
    internet_group: RwLock<Option<String>>,
    /// Amazon refuses to take back several rules at once when one of them is not there; a call more or less hangs on it.
    rules_one_by_one: AtomicBool,
    enrolments: Enrolments,
    /// On everything.
    tags: Tags,
    installation: String,
    now: Now,
    active: Active,
    warming: Warming,
    fasts: Fasts,
    changes: broadcast::Sender<EnvironmentId>,
}

impl Ec2 {
    /// Finds out what the region offers, and goes on with whatever is under way. An Amazon that does not answer is waited for, and so
    /// is a region that cannot be used any more as it was before: what needs to know the region happens later.
    ///
    /// # Errors
    /// [`PlaceError`] says what is missing, where nothing was ever asked for.
    pub async fn open(parts: Parts) -> Result<Self, PlaceError> {
        let Parts { name, config, amazon, ledger, installation, portal, enrolments, now } = parts;
        let place = match current::find(&amazon, &config, &portal.url, &installation).await {
            Ok(place) => Ok(Arc::new(place)),
            // An image that is no more is no reason to leave all that runs, here and elsewhere, to itself.
            Err(error) if error.may_pass() || ledger.environments().await.is_ok_and(|known| !known.is_empty()) => {
                tracing::warn!(provisioner = name, %error, "nothing can be ordered there until that is otherwise; trying again");
                Err(error.plain())
            }
            Err(error) => return Err(error),
        };
        let (lookout, looking) = Lookout::start(amazon.clone(), installation.clone());
        let mut tags = config.tags.clone();
        tags.insert(INSTALLATION.to_owned(), installation.clone());
        let shared = Arc::new(Shared {
            place: RwLock::new(place),
            outdated: Notify::new(),
            changes: broadcast::channel(1024).0,
            active: Active::default(),
            warming: Warming::default(),
            fasts: Fasts::default(),
            name,
            config,
            amazon,
            ledger,
            lookout,
            portal,
            internet_group: RwLock::default(),
            rules_one_by_one: AtomicBool::new(false),
            enrolments,
            tags,
            installation,
            now,
        });
        let tasks = vec![
            tokio::spawn(looking),
            tokio::spawn(driver::drive(shared.clone())),
            tokio::spawn(current::keep_current(shared.clone())),
            tokio::spawn(warm::watch(shared.clone())),
            tokio::spawn(fast::watch(shared.clone())),
        ];
        Ok(Self { shared, tasks })
    }
}

impl Drop for Ec2 {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Shared {
    fn place(&self) -> Option<Arc<Place>> {
        self.place.read().unwrap_or_else(PoisonError::into_inner).clone().ok()
    }

    fn setting<'a>(&'a self, place: Option<&'a Place>) -> Setting<'a> {
        Setting {
            place,
            portal: &self.portal,
            tags: &self.tags,
            security_groups: &self.config.security_groups,
            internet_group: self.internet_group.read().unwrap_or_else(PoisonError::into_inner).clone(),
            instance_profile: self.config.instance_profile.as_ref(),
            key_pair: self.config.key_pair.as_ref(),
            reading_rate: self.config.volume_initialization_mib_per_second,
            now: (self.now)(),
        }
    }

    /// If it is one of these, of which Amazon says that it does not know them.
    fn forget_internet_group(&self, unknown: &[String]) {
        let mut known = self.internet_group.write().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_some_and(|known| unknown.contains(known)) {
            *known = None;
        }
    }

    /// What is remembered of these environments, and of which nobody understands it: they keep no other from going on. What nothing
    /// is remembered of is in neither.
    async fn records(
        &self,
        environments: &[EnvironmentId],
    ) -> Result<(BTreeMap<EnvironmentId, Records>, BTreeMap<EnvironmentId, Unreadable>), LedgerError> {
        Ok(Records::read(self.ledger.read(environments).await?))
    }

    async fn records_of(&self, environment: &EnvironmentId) -> Result<Records, LedgerError> {
        let (mut read, mut unreadable) = self.records(std::slice::from_ref(environment)).await?;
        match unreadable.remove(environment) {
            Some(error) => Err(error.into()),
            None => Ok(read.remove(environment).unwrap_or_default()),
        }
    }

    /// Writes records over the versions they were read at; `false` when one of them is not at its version any more.
    async fn write(&self, environment: &EnvironmentId, records: Vec<(i64, Record)>) -> Result<bool, LedgerError> {
        let changes: Result<Vec<_>, _> =
            records.iter().map(|(from, record)| record.change(environment, *from)).collect();
        self.ledger.write(&changes?).await
    }

    /// The records with what this look confirms, written down before anybody is told: a later look, perhaps a later portal's,
    /// may show less.
    async fn learnt(
        &self,
        environment: &EnvironmentId,
        mut records: Records,
        seen: &Seen,
    ) -> Result<Records, LedgerError> {
        loop {
            let learnt = learn::learn(&mut records, seen, (self.now)());
            if learnt.is_empty() || self.write(environment, learnt).await? {
                return Ok(records);
            }
            records = self.records_of(environment).await?;
        }
    }

    /// Where somebody wrote meanwhile it is for the next time.
    async fn forget(&self, environment: &EnvironmentId, forgotten: Forgotten) -> Result<bool, LedgerError> {
        let removal = |(key, from)| Ok(PageChange { environment: environment.clone(), key, from, body: None });
        let changed = forgotten.changed.iter().map(|(from, record)| record.change(environment, *from));
        let changes: Result<Vec<_>, _> = forgotten.pages.into_iter().map(removal).chain(changed).collect();
        match changes? {
            changes if changes.is_empty() => Ok(true),
            changes => self.ledger.write(&changes).await,
        }
    }
}

#[async_trait]
impl Provisioner for Ec2 {
    fn name(&self) -> &str {
        &self.shared.name
    }

    fn capabilities(&self) -> Capabilities {
        let Shared { name, config, portal, .. } = self.shared.as_ref();
        let place = self.shared.place.read().unwrap_or_else(PoisonError::into_inner).clone();
        capabilities(name, config, portal, place.as_deref().map_err(String::as_str))
    }

    async fn observe(&self, environments: &[EnvironmentId]) -> Result<Vec<ObservedEnvironment>, ProvisionError> {
        let shared = &self.shared;
        let unseen = |message: String| ProvisionError::Unknown { message };
        // What nobody understands of one is said before Amazon is asked: it says nothing of how Amazon is.
        if let [one] = environments {
            shared.records_of(one).await.map_err(|error| unseen(error.to_string()))?;
        }
        let seen = shared.lookout.look(environments.to_vec()).await.map_err(|error| unseen(error.to_string()))?;
        let read = shared.records(environments).await;
        let (mut records, unreadable) = read.map_err(|error| unseen(error.to_string()))?;
        let now = (shared.now)();
        let nothing = Seen::default();
        let mut observed = Vec::new();
        for environment in environments.iter().filter(|one| !unreadable.contains_key(*one)) {
            let records = records.remove(environment).unwrap_or_default();
            let seen = seen.get(environment).unwrap_or(&nothing);
            let records = shared.learnt(environment, records, seen).await.map_err(|error| unseen(error.to_string()))?;
            shared.warming.note(environment, &records);
            if !records.are_settled() {
                shared.active.begin(environment);
            }
            observed.push(conclude::conclude(environment, &records, seen, now));
        }
        Ok(observed)
    }

    async fn admit(&self, environment: &EnvironmentId, step: &Step, by_schedule: bool) -> Result<(), Duration> {
        let Step::CreateSnapshot { snapshot } = step else { return Ok(()) };
        let calls = u32::try_from(snapshot.volumes.len()).unwrap_or(u32::MAX);
        self.shared.amazon.snapshots.admit(&(environment.clone(), snapshot.id.clone()), calls, by_schedule)
    }

    async fn request(&self, effect: &Effect) -> Result<(), ProvisionError> {
        steps::request(&self.shared, effect).await
    }

    async fn kept_snapshots(&self) -> Result<Vec<(EnvironmentId, SnapshotId)>, ProvisionError> {
        let unread = |error: LedgerError| ProvisionError::Unknown { message: error.to_string() };
        let all = self.shared.ledger.environments().await.map_err(unread)?;
        let (records, _) = self.shared.records(&all).await.map_err(unread)?;
        let of = |(environment, records): (EnvironmentId, Records)| {
            let kept = records.snapshots.into_values().map(|kept| kept.record);
            let kept = kept.filter(|snapshot| snapshot.accepted && snapshot.delete_at.is_none());
            kept.map(move |snapshot| (environment.clone(), snapshot.plan.id)).collect::<Vec<_>>()
        };
        Ok(records.into_iter().flat_map(of).collect())
    }

    fn copy_rule(&self) -> Option<CopyRule> {
        let rule = self.shared.config.snapshots.as_ref()?;
        Some(CopyRule { to: rule.copy_to.clone()?, which: rule.copy.unwrap_or_default() })
    }

    async fn snapshot_origin(
        &self,
        environment: &EnvironmentId,
        snapshot: &SnapshotId,
    ) -> Result<SnapshotOrigin, ProvisionError> {
        copies::origin(&self.shared, environment, snapshot).await
    }

    async fn copy_snapshot(&self, environment: &EnvironmentId, origin: &SnapshotOrigin) -> Result<(), ProvisionError> {
        copies::begin(&self.shared, environment, origin).await
    }

    async fn remove_copy(&self, environment: &EnvironmentId, snapshot: &SnapshotId) -> Result<(), ProvisionError> {
        steps::remove_copy(&self.shared, environment, snapshot).await
    }

    fn paid_reading(&self) -> Option<PaidReading> {
        let config = &self.shared.config;
        let mib_per_second = config.volume_initialization_mib_per_second?;
        Some(PaidReading { mib_per_second, gib_millis: config.prices.reading_gib_millis() })
    }

    fn warm_offer(&self, environment: &EnvironmentId, volumes: usize) -> Option<WarmOffer> {
        fast::offer(&self.shared, environment, volumes)
    }

    async fn keep_warm(
        &self,
        environment: &EnvironmentId,
        snapshot: &SnapshotId,
        until: Option<i64>,
    ) -> Result<(), ProvisionError> {
        fast::ask(&self.shared, environment, snapshot, until).await
    }

    async fn kept_warm(&self, environment: &EnvironmentId) -> Result<Vec<KeptWarm>, ProvisionError> {
        fast::kept(&self.shared, environment).await
    }

    async fn inventory(&self) -> Result<Vec<EnvironmentId>, ProvisionError> {
        let shared = &self.shared;
        let unseen = |message: String| ProvisionError::Unknown { message };
        let seen = look::all(&shared.amazon, &shared.installation, None, None).await;
        let seen = seen.map_err(|error| unseen(error.to_string()))?;
        let all = shared.ledger.environments().await.map_err(|error| unseen(error.to_string()))?;
        let (mut records, _) = shared.records(&all).await.map_err(|error| unseen(error.to_string()))?;
        let now = (shared.now)();
        for (environment, records) in &mut records {
            learn::learn(records, seen.get(environment).unwrap_or(&Seen::default()), now);
        }
        let mut found: BTreeSet<EnvironmentId> = BTreeSet::new();
        for (environment, records) in &records {
            let there =
                conclude::conclude(environment, records, seen.get(environment).unwrap_or(&Seen::default()), now);
            let anything =
                there.network || !there.servers.is_empty() || !there.volumes.is_empty() || !there.restoring.is_empty();
            found.extend(anything.then(|| environment.clone()));
        }
        Ok(found.into_iter().collect())
    }

    async fn orphans(&self) -> Result<Orphans, ProvisionError> {
        orphans::find(&self.shared).await
    }

    fn orphan_servers_end_after(&self) -> Option<Duration> {
        self.shared.config.orphans.servers_after()
    }

    async fn remove_orphan(&self, orphan: &Orphan) -> Result<(), ProvisionError> {
        orphans::remove(&self.shared, orphan).await
    }

    fn reading_in(&self, environment: &EnvironmentId) -> Vec<ReadingIn> {
        self.shared.warming.of(environment)
    }

    fn price_at_rest(&self, kept: &AtRest) -> RestPrice {
        let (prices, place) = (&self.shared.config.prices, self.shared.place());
        let roots = kept.servers.iter().map(|server| place.as_ref()?.root_gib(server));
        let volumes = kept.volumes.iter().map(|bytes| Some(steps::gib(*bytes)));
        let gib = roots.chain(volumes).try_fold(0i32, |sum, gib| Some(sum.saturating_add(gib?)));
        RestPrice { disks_cents: gib.map(|gib| prices.volume(gib)), snapshot_gib_millis: prices.snapshot_gib_millis() }
    }

    fn changes(&self) -> broadcast::Receiver<EnvironmentId> {
        self.shared.changes.subscribe()
    }
}
