//! What is remembered of an environment on Amazon: one page of the ledger for its network, each incarnation of a server, each
//! volume, each snapshot. Every call that costs something stands here, as it is made, before it is made.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use provisioners::{
    EnvironmentId, LedgerError, Page, PageChange, ServerId, ServerPlan, SnapshotId, SnapshotPlan, VolumeId, VolumePlan,
};
use serde::{Deserialize, Serialize};

use super::amazon::{FastState, LAG_MS, Rule, client_token};

/// Everything remembered of one environment. Times are Unix milliseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Records {
    pub network: Option<Kept<Network>>,
    /// By server and generation.
    pub servers: BTreeMap<(ServerId, i64), Kept<Server>>,
    pub volumes: BTreeMap<VolumeId, Kept<Volume>>,
    pub snapshots: BTreeMap<SnapshotId, Kept<Snapshot>>,
}

/// A record and the version it was read at.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept<T> {
    pub version: i64,
    pub record: T,
}

/// The security group of an environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Amazon's id, once it has all its rules: servers may be in it.
    pub group: Option<String>,
    /// Its id until then; `None`: whether there is one is not known.
    #[serde(default)]
    pub making: Option<String>,
    /// Where its rules let its servers find the portal, as an earlier Bookend wrote it down.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub portal: Vec<Rule>,
    /// Where its rules let its servers find the portal.
    #[serde(default)]
    pub ways: Vec<Way>,
    /// When it was asked for, and then when it was made.
    pub made_at: i64,
    pub delete_at: Option<i64>,
    /// Since when Amazon has not shown it, though it should.
    #[serde(default)]
    pub missing_since: Option<i64>,
    /// Its deletion may have been asked for, and was not refused: it cannot be used again.
    #[serde(default)]
    pub deleting: bool,
    /// Amazon has confirmed that it is gone.
    #[serde(default)]
    pub deleted: bool,
}

/// A rule that lets servers out to where a portal is or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    pub rule: Rule,
    /// When a portal was known to be there, Unix milliseconds; written down anew only every few hours.
    pub wanted_at: i64,
    /// Amazon has accepted it, and was not asked to take it back. Else it may be there or not.
    pub open: bool,
}

/// One incarnation of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// The effect's.
    pub token: String,
    pub plan: ServerPlan,
    pub asked_at: i64,
    /// Where it could not be had. What there is to try changes from hour to hour; what was tried does not.
    #[serde(default)]
    pub tried: Vec<Possibility>,
    /// What became of those, in words.
    #[serde(default)]
    pub refusals: Vec<String>,
    /// A zone was full, or has not what it needs: another one may do. Limits of the account are the same in all of them.
    #[serde(default)]
    pub zone_full: bool,
    /// Client tokens of calls that were refused: whatever still comes of them is to go.
    #[serde(default)]
    pub refused_tokens: Vec<String>,
    /// The call that is to bring it, or has brought it.
    #[serde(default)]
    pub launch: Option<Launch>,
    #[serde(default)]
    pub instance: Option<String>,
    pub launched_at: Option<i64>,
    /// In the private network.
    #[serde(default)]
    pub address: Option<Ipv4Addr>,
    /// When it was first seen running; what is shown later of the time before does not count.
    #[serde(default)]
    pub ran_at: Option<i64>,
    /// It is to go, and no call may bring it any more.
    pub stop_at: Option<i64>,
    /// Amazon has accepted its end.
    pub terminated_at: Option<i64>,
    /// It is known to be gone, or that it never came.
    #[serde(default)]
    pub ended: bool,
    /// It cannot be had, for this reason.
    #[serde(default)]
    pub failure: Option<String>,
    /// It does not share a call with others: one that did could not be had as a whole.
    #[serde(default)]
    pub alone: bool,
    /// Amazon has accepted the name of its own that one has that shared its launch.
    #[serde(default)]
    pub named: bool,
    /// Since when Amazon has not shown it, though it should.
    #[serde(default)]
    pub missing_since: Option<i64>,
    /// When its launch was first asked for.
    #[serde(default)]
    pub launch_asked_at: Option<i64>,
    /// What it waits for is refused for a while now, for this reason, and asked for again.
    #[serde(default)]
    pub trouble: Option<String>,
    /// The last time Amazon launched it, as far as it was shown, by Amazon's clock: each start after a stop is a new one.
    #[serde(default)]
    pub launch_shown: i64,
    /// `None`: it was never asked to stand by.
    #[serde(default)]
    pub rest: Option<Rest>,
    /// It was once shown to have ended though nobody wanted that, in words: what is shown later of the time before does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub died: Option<String>,
}

/// A type in a place on a market.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Possibility {
    pub instance_type: String,
    pub subnet: String,
    pub spot: bool,
}

/// What became of having a server stand by and wake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// The last that was asked for, and what it was.
    pub wish: i64,
    pub asleep: bool,
    pub asked_at: i64,
    /// With its memory.
    pub hibernate: bool,
    pub phase: Phase,
    /// Amazon has accepted the call of this phase.
    pub accepted_at: Option<i64>,
    /// Its last launch before this phase: what Amazon shows of an earlier one is the past.
    pub launched: i64,
}

/// Where a server is between running and standing by. Written down before the call that leads there is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Awake,
    /// It may have been asked to stop.
    Falling,
    /// It was seen to have stopped.
    Asleep,
    /// It may have been asked to start.
    Rising,
}

/// A call of RunInstances, for one or several servers, as it is made each time. Its user data is made anew from this: what is secret
/// is derived, and the script is the portal's own. Where a newer portal has another one and repeats a call of the one before it,
/// Amazon refuses that (`IdempotentParameterMismatch`), and the servers are replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The client token.
    pub token: String,
    pub instance_type: String,
    pub image: String,
    /// Of the image, for its disk to be encrypted.
    pub root_device: String,
    /// As large as the image's own; EC2's reference asks for a size where no snapshot is named.
    #[serde(default)]
    pub root_gib: Option<i32>,
    pub subnet: String,
    pub zone: String,
    pub groups: Vec<String>,
    /// By launch index.
    pub members: Vec<Member>,
    pub portal: Directions,
    pub instance_profile: Option<String>,
    pub key_pair: Option<String>,
    pub tags: BTreeMap<String, String>,
    /// Amazon may take its servers back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spot: bool,
    /// Its servers can keep what is in their memory while they are stopped.
    #[serde(default)]
    pub hibernates: bool,
}

/// A server of a launch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub server: ServerId,
    pub generation: i64,
    pub name: String,
    pub disks: Vec<Disk>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Amazon's id.
    pub volume: String,
    pub path: String,
}

/// Where a new server finds its agent and its portal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directions {
    /// Without a slash at its end.
    pub url: String,
    /// Of the agent for its processors: SHA-256, lower-case hex.
    pub agent_sha256: String,
    /// PEM; the authorities a portal's certificate may come from, when not the system's.
    pub authorities: Option<String>,
    /// `http://HOST:PORT` of what stands between them.
    #[serde(default)]
    pub proxy: Option<String>,
    /// After so many seconds without it a server sees to its data's safety; `None`: as the agent is used to.
    #[serde(default)]
    pub away_seconds: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// The effect's, which is the client token, too.
    pub token: String,
    pub plan: VolumePlan,
    pub zone: String,
    /// Amazon's snapshot it begins with.
    pub from: Option<String>,
    pub size_gib: i32,
    /// How fast its data is to be read in, MiB a second; `None`: as Amazon likes.
    #[serde(default)]
    pub reading_rate: Option<i32>,
    /// As the call has them; empty where an earlier Bookend asked, which had those of its configuration.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    pub asked_at: i64,
    /// Amazon's id.
    pub volume: Option<String>,
    /// It was seen to be there.
    #[serde(default)]
    pub ready: bool,
    /// Since when Amazon has not shown it, though it should.
    #[serde(default)]
    pub missing_since: Option<i64>,
    /// All of its data is read in, if it began with any.
    #[serde(default)]
    pub warm: bool,
    pub delete_at: Option<i64>,
    /// Amazon has confirmed that it is gone, or it never came.
    #[serde(default)]
    pub deleted: bool,
    #[serde(default)]
    pub failure: Option<String>,
    /// By which request: a later one has it tried once more.
    #[serde(default)]
    pub asked_by: String,
    /// It is on its way to another zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving: Option<Move>,
    /// Those of Amazon's volumes that it was before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discarded: Vec<Discarded>,
    /// Token of the copy by which it has moved: it stays until all of it is read in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_with: Option<String>,
    /// Tokens of copies that are not needed any more: whatever came of them is to go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spent: Vec<String>,
    /// How many servers were had with it that are not remembered any more, by Amazon's id of it at that time.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub had_before: BTreeMap<String, usize>,
}

/// How a volume comes to another zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    pub zone: String,
    pub begun_at: i64,
    /// By what its data goes; `None`: it has none but what it began with.
    pub copy: Option<MoveCopy>,
    /// What it is until a server has been had with the one in the other zone, from when there is to be one there.
    pub original: Option<Original>,
    /// The one in the other zone was seen to be there.
    pub made: bool,
    /// There can be none in the other zone, for this reason.
    pub refused: Option<String>,
}

/// A snapshot that is taken for a move alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveCopy {
    /// Each move's own, on the snapshot as a tag.
    pub token: String,
    /// How many servers had been had with the volume when it was asked for: with one more it is not all there is.
    pub servers: usize,
    /// Amazon's id.
    pub snapshot: Option<String>,
    pub complete: bool,
}

/// One of Amazon's volumes, with what its record said of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Original {
    pub volume: String,
    pub zone: String,
    pub from: Option<String>,
    pub warm: bool,
    pub asked_at: i64,
}

/// One of Amazon's volumes that is to go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discarded {
    pub volume: String,
    pub at: i64,
    /// Amazon has confirmed that it is gone.
    pub deleted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub plan: SnapshotPlan,
    /// The effect's.
    pub call: i64,
    pub taken_at: i64,
    /// Amazon has accepted all of them; before that nothing here is a snapshot.
    pub accepted: bool,
    pub parts: Vec<Part>,
    #[serde(default)]
    pub complete: bool,
    /// Since when Amazon has not shown all of it, though it should.
    #[serde(default)]
    pub missing_since: Option<i64>,
    pub delete_at: Option<i64>,
    /// Amazon has confirmed that all of it is gone.
    #[serde(default)]
    pub deleted: bool,
    /// `Some`: it is a copy of one in another region, and its parts come one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied: Option<Copied>,
    /// `Some`: volumes were to begin with it at full speed, for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fast: Option<Fast>,
}

/// A fast snapshot restore that was asked for, of all of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fast {
    /// How far it was seen to be in each zone; `None`: nothing was seen yet.
    pub zones: BTreeMap<String, Option<FastState>>,
    /// From then on it is not wanted.
    pub until: i64,
    /// When Amazon was asked for it last; `None`: it never was.
    pub called_at: Option<i64>,
    /// Amazon has answered that call.
    pub accepted: bool,
    /// It was accepted, and is not shown since then.
    pub missing_since: Option<i64>,
    /// Amazon does not do it, for this reason; it is not wanted any more.
    pub failure: Option<String>,
    /// When Amazon last accepted its end.
    pub ended_at: Option<i64>,
    /// Nothing is there of it, nor to come.
    pub over: bool,
}

/// What a snapshot is a copy of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    pub region: String,
    pub parts: Vec<CopiedPart>,
    /// Amazon does not copy it, for this reason.
    #[serde(default)]
    pub failure: Option<String>,
}

/// What is copied of one volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiedPart {
    pub volume: VolumeId,
    /// Amazon's id of the snapshot in the other region.
    pub from: String,
    /// When it was asked for, while what came of it is not known.
    #[serde(default)]
    pub asked_at: Option<i64>,
}

/// What a snapshot has of one volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub volume: VolumeId,
    /// Amazon's id of the snapshot.
    pub snapshot: String,
}

/// A page of the ledger that this version cannot read.
#[derive(Debug, thiserror::Error)]
#[error("page “{key}” of environment {environment} cannot be read; was it written by a newer Bookend? {source}")]
pub struct Unreadable {
    environment: EnvironmentId,
    key: String,
    source: serde_json::Error,
}

impl From<Unreadable> for LedgerError {
    fn from(unreadable: Unreadable) -> Self {
        LedgerError(unreadable.to_string())
    }
}

/// A record with where it stands in the ledger.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    Network(Network),
    Server(Box<Server>),
    Volume(Box<Volume>),
    Snapshot(Box<Snapshot>),
}

const NETWORK: &str = "network";

impl Records {
    /// Each environment for itself: what can be read, and why others cannot, about which nothing may be concluded then.
    pub fn read(pages: Vec<Page>) -> (BTreeMap<EnvironmentId, Records>, BTreeMap<EnvironmentId, Unreadable>) {
        let mut all: BTreeMap<EnvironmentId, Records> = BTreeMap::new();
        let mut unreadable = BTreeMap::new();
        for page in pages {
            let records = all.entry(page.environment.clone()).or_default();
            if let Err(source) = records.add(&page) {
                let Page { environment, key, .. } = page;
                unreadable.insert(environment.clone(), Unreadable { environment, key, source });
            }
        }
        all.retain(|environment, _| !unreadable.contains_key(environment));
        (all, unreadable)
    }

    fn add(&mut self, page: &Page) -> Result<(), serde_json::Error> {
        let version = page.version;
        match page.key.split('/').next() {
            Some(NETWORK) => self.network = Some(Kept { version, record: serde_json::from_str(&page.body)? }),
            Some("server") => {
                let record: Server = serde_json::from_str(&page.body)?;
                let key = (record.plan.id.clone(), record.plan.generation);
                self.servers.insert(key, Kept { version, record });
            }
            Some("volume") => {
                let record: Volume = serde_json::from_str(&page.body)?;
                self.volumes.insert(record.plan.id.clone(), Kept { version, record });
            }
            Some("snapshot") => {
                let record: Snapshot = serde_json::from_str(&page.body)?;
                self.snapshots.insert(record.plan.id.clone(), Kept { version, record });
            }
            _ => {
                let unknown = format!("there is no kind of page “{}”", page.key);
                return Err(serde::de::Error::custom(unknown));
            }
        }
        Ok(())
    }

    /// All of them were written down after this moment.
    pub fn are_younger_than(&self, moment: i64) -> bool {
        let network = self.network.iter().map(|kept| kept.record.made_at);
        let servers = self.servers.values().map(|kept| kept.record.asked_at);
        let volumes = self.volumes.values().map(|kept| kept.record.asked_at);
        let snapshots = self.snapshots.values().map(|kept| kept.record.taken_at);
        network.chain(servers).chain(volumes).chain(snapshots).all(|at| at > moment)
    }

    /// Nothing is there any more, and nothing is to come.
    pub fn are_over(&self) -> bool {
        self.network.as_ref().is_none_or(|network| network.record.deleted)
            && self.servers.values().all(|server| server.record.ended)
            && self.volumes.values().all(|volume| volume.record.deleted && volume.record.is_alone())
            && self.snapshots.values().all(|snapshot| snapshot.record.deleted)
    }

    /// All of it is over for so long that Amazon shows nothing of it any more.
    pub fn may_be_forgotten(&self, now: i64) -> bool {
        let network = self.network.iter().filter_map(|kept| kept.record.delete_at);
        let servers = self.servers.values().filter_map(|kept| kept.record.terminated_at.or(kept.record.stop_at));
        let volumes = self.volumes.values().filter_map(|kept| kept.record.delete_at);
        let snapshots = self.snapshots.values().filter_map(|kept| kept.record.delete_at);
        let last = network.chain(servers).chain(volumes).chain(snapshots).max();
        self.are_over() && last.is_none_or(|last| now >= last + 2 * LAG_MS)
    }

    /// Nothing is under way.
    pub fn are_settled(&self) -> bool {
        let network = self.network.as_ref().map(|kept| &kept.record);
        network.is_none_or(|network| network.deleted || (network.delete_at.is_none() && !self.wants_group(network)))
            && self.servers.values().map(|kept| &kept.record).all(|server| match server.stop_at {
                Some(_) => server.ended,
                None => {
                    server.failure.is_some() || server.rest.as_ref().map_or(server.ran_at.is_some(), Rest::is_settled)
                }
            })
            && self.volumes.values().map(|kept| &kept.record).all(|volume| match volume.delete_at {
                Some(_) => volume.deleted && volume.is_alone(),
                None => volume.failure.is_some() || (volume.ready && volume.moving.is_none() && volume.is_alone()),
            })
            && self.snapshots.values().all(|kept| kept.record.is_settled())
    }

    /// The network's group is still to be made, for servers that wait for it or are about to be asked for.
    pub fn wants_group(&self, network: &Network) -> bool {
        let waits = |server: &Server| server.stop_at.is_none() && server.failure.is_none();
        network.group.is_none() && (self.servers.is_empty() || self.servers.values().any(|kept| waits(&kept.record)))
    }

    /// As the ledger names them, with their versions.
    pub fn keys(&self) -> Vec<(String, i64)> {
        let network = self.network.iter().map(|kept| (NETWORK.to_owned(), kept.version));
        let servers = self.servers.values().map(|kept| (server_key(&kept.record), kept.version));
        let volumes = self.volumes.values().map(|kept| (format!("volume/{}", kept.record.plan.id), kept.version));
        let snapshots = self.snapshots.values().map(|kept| (format!("snapshot/{}", kept.record.plan.id), kept.version));
        network.chain(servers).chain(volumes).chain(snapshots).collect()
    }
}

impl Server {
    /// Amazon's ids of the volumes that it may have been given, each once.
    pub fn disks_given(&self) -> Vec<String> {
        let members = self.launch.iter().flat_map(|launch| &launch.members);
        let mut disks: Vec<String> = members.flat_map(|member| &member.disks).map(|disk| disk.volume.clone()).collect();
        disks.sort();
        disks.dedup();
        disks
    }
}

impl Launch {
    pub fn possibility(&self) -> Possibility {
        let (instance_type, subnet) = (self.instance_type.clone(), self.subnet.clone());
        Possibility { instance_type, subnet, spot: self.spot }
    }
}

impl Network {
    /// Amazon's id, as far as it is known.
    pub fn id(&self) -> Option<&String> {
        self.group.as_ref().or(self.making.as_ref())
    }
}

impl Volume {
    /// One that nothing was asked of Amazon for yet, and that begins with nothing.
    pub fn asked(token: String, plan: VolumePlan, zone: String, size_gib: i32, asked_at: i64) -> Self {
        Self {
            token,
            plan,
            zone,
            from: None,
            size_gib,
            reading_rate: None,
            tags: BTreeMap::new(),
            asked_at,
            volume: None,
            ready: false,
            missing_since: None,
            warm: false,
            delete_at: None,
            deleted: false,
            failure: None,
            asked_by: String::new(),
            moving: None,
            discarded: Vec::new(),
            began_with: None,
            spent: Vec::new(),
            had_before: BTreeMap::new(),
        }
    }

    /// As it is once it is asked for again, after it could not be had. The call is the same as before: if one of those whose answer
    /// nobody heard has brought it after all, it is that one. Only what Amazon began and could not finish is given up for another.
    pub fn once_more(&self, asked_by: String, now: i64) -> Self {
        let mut volume = Self { failure: None, asked_by, ..self.clone() };
        if !volume.ready {
            volume.asked_at = now;
            if let Some(unfinished) = volume.volume.take() {
                volume.token = client_token(&format!("{} again at {now}", volume.token));
                volume.discarded.push(Discarded { volume: unfinished, at: now, deleted: false });
            }
        }
        volume
    }

    /// Somebody wants it, does not wait for long yet, and has it nowhere else.
    pub fn may_wait(&self, now: i64) -> bool {
        self.moving.is_none() && self.delete_at.is_none() && now < self.asked_at + LAG_MS
    }

    /// Nothing is left of what it was before.
    pub fn is_alone(&self) -> bool {
        self.discarded.iter().all(|past| past.deleted)
    }
}

impl Snapshot {
    /// One that nothing was asked of Amazon for yet.
    pub fn asked(plan: SnapshotPlan, call: i64, taken_at: i64) -> Self {
        Self {
            plan,
            call,
            taken_at,
            accepted: false,
            parts: Vec::new(),
            complete: false,
            missing_since: None,
            delete_at: None,
            deleted: false,
            copied: None,
            fast: None,
        }
    }

    pub fn part_of(&self, volume: &VolumeId) -> Option<&Part> {
        self.parts.iter().find(|part| part.volume == *volume)
    }

    fn is_settled(&self) -> bool {
        match (self.delete_at, &self.copied) {
            (Some(_), _) => self.deleted,
            (None, Some(copied)) => self.complete || copied.failure.is_some(),
            (None, None) => self.complete || !self.accepted,
        }
    }
}

impl Fast {
    /// One that nothing was asked of Amazon for yet.
    pub fn asked(zones: Vec<String>, until: i64) -> Self {
        Self {
            zones: zones.into_iter().map(|zone| (zone, None)).collect(),
            until,
            called_at: None,
            accepted: false,
            missing_since: None,
            failure: None,
            ended_at: None,
            over: false,
        }
    }
}

impl Rest {
    /// It is as it was asked to be.
    pub fn is_settled(&self) -> bool {
        self.phase == if self.asleep { Phase::Asleep } else { Phase::Awake }
    }
}

fn server_key(server: &Server) -> String {
    format!("server/{}/{}", server.plan.id, server.plan.generation)
}

impl Record {
    pub fn key(&self) -> String {
        match self {
            Record::Network(_) => NETWORK.to_owned(),
            Record::Server(server) => server_key(server),
            Record::Volume(volume) => format!("volume/{}", volume.plan.id),
            Record::Snapshot(snapshot) => format!("snapshot/{}", snapshot.plan.id),
        }
    }

    /// The change that writes it over what was read at version `from`; 0: there was none.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn change(&self, environment: &EnvironmentId, from: i64) -> Result<PageChange, LedgerError> {
        let body = match self {
            Record::Network(record) => serde_json::to_string(record),
            Record::Server(record) => serde_json::to_string(record),
            Record::Volume(record) => serde_json::to_string(record),
            Record::Snapshot(record) => serde_json::to_string(record),
        };
        let body = Some(body.map_err(|error| LedgerError(error.to_string()))?);
        Ok(PageChange { environment: environment.clone(), key: self.key(), from, body })
    }
}
