//! The values that cross the seam: ids, steps, effects, observations, errors. All serialize; effects are stored as written.

mod files;

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use files::*;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes an id as the database gives it (UUIDv7, lower case, with hyphens).
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// One environment.
    EnvironmentId
);
id!(
    /// One server of an environment; the same across parks, resumes and repairs (the generation tells those apart).
    ServerId
);
id!(
    /// One volume; outlives servers.
    VolumeId
);
id!(
    /// One snapshot of all volumes of an environment; outlives everything else of it.
    SnapshotId
);
id!(
    /// Idempotency token of an effect: lower-case hex, 64 ASCII characters (what EC2's `ClientToken` takes).
    EffectToken
);

/// One change of the outside world that the engine may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// The environment's private network.
    CreateNetwork,
    /// A volume: empty, or with what a snapshot held. One that is restored by a long copy is among
    /// [`ObservedEnvironment::restoring`] until it is there as a whole. Damaged data is refused.
    CreateVolume { volume: VolumePlan },
    /// One server of one generation, with its volumes attached and the agent starting in it. Network and volumes exist.
    StartServer { server: Box<ServerPlan> },
    /// Takes a server of this generation (and any older one) down, with its disposable disk. Volumes stay.
    StopServer { server: ServerId, generation: i64 },
    /// Has a server of this generation that runs stand by: it costs nothing but its disks, and comes back as it is. Its volumes
    /// stay attached. `wish` grows with each change of mind: what is asked by an older one than the last is refused. With
    /// `hibernate` what is in its memory is kept, too, where the server can.
    SuspendServer { server: ServerId, generation: i64, wish: i64, hibernate: bool },
    /// Has it run again. Asked of one that runs, or of one that is about to, it changes nothing.
    WakeServer { server: ServerId, generation: i64, wish: i64 },
    /// Removes a volume and all its data, for ever. Only ever asked for by an explicit delete.
    DeleteVolume { volume: VolumeId },
    /// One moment of these volumes. The caller sees to it that nothing writes them until this returns: the moment is fixed
    /// then, and the rest (reading everything for the manifest) shows in [`ObservedEnvironment::snapshots`]. When it is
    /// asked for again, whatever came of the time before, the moment is a new one, and nothing may write again until it
    /// returns: of the moment before nobody knows whether everything stood still until its end.
    CreateSnapshot { snapshot: SnapshotPlan },
    /// Removes a snapshot, for ever. Volumes that were restored from it stay.
    DeleteSnapshot { snapshot: SnapshotId },
    /// Removes the private network and whatever else of the environment is left except volumes and snapshots.
    DeleteNetwork,
}

/// A step with what makes it repeatable: recorded and committed before it is requested.
#[derive(Clone, Debug)]
pub struct Effect {
    pub token: EffectToken,
    pub environment: EnvironmentId,
    pub step: Step,
    /// How often it was asked for, this time included. A repetition under the same number is the same request.
    pub call: i64,
    /// For [`Step::StartServer`]: the single-use token by which the server's agent enrols. Never stored with the effect.
    pub enrolment: Option<Secret>,
    /// Nobody waits for it: where not everything can be done at once, what people wait for goes first.
    pub by_schedule: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumePlan {
    pub id: VolumeId,
    pub name: String,
    pub size_bytes: u64,
    /// What it begins with; nothing when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<VolumeSource>,
}

/// What a snapshot, perhaps another environment's, held of one volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSource {
    pub environment: EnvironmentId,
    pub snapshot: SnapshotId,
    pub volume: VolumeId,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotPlan {
    pub id: SnapshotId,
    pub volumes: Vec<SnapshotVolume>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotVolume {
    pub volume: VolumeId,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerPlan {
    pub id: ServerId,
    /// Host name: lower-case DNS label, unique in the environment.
    pub name: String,
    /// Grows with every new incarnation. There is never more than one server for one (id, generation).
    pub generation: i64,
    /// Address in the environment's private network, the same in every generation.
    pub address: Ipv4Addr,
    pub image: Image,
    /// Where the provisioner has images of its own ([`Capabilities::own_images`]): which; absent: the usual one. Then `image` does
    /// not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// What its processors must be; absent: what is usual at the place, always the same there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Architecture>,
    /// Thousandths of a processor; `None` is unlimited.
    pub cpu_millis: Option<u32>,
    /// `None` is unlimited.
    pub memory_bytes: Option<u64>,
    pub mounts: Vec<VolumeMount>,
    /// All servers of the environment, itself included, for name resolution.
    pub hosts: Vec<Host>,
    /// Whether the server may reach the internet.
    pub internet: bool,
    /// It may be one that is cheaper because its place may take it back at any time, where there are such; elsewhere it is as any
    /// other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spot: bool,
    /// It is to be suspended with its memory kept: a machine that can do that is preferred.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hibernates: bool,
}

/// A kind of processor, by the name that templates and Amazon have for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    #[serde(rename = "x86_64")]
    X86,
    Arm64,
}

impl Architecture {
    pub const ALL: [Architecture; 2] = [Architecture::X86, Architecture::Arm64];

    /// What this machine has; `None`: neither.
    pub fn here() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Architecture::X86),
            "aarch64" => Some(Architecture::Arm64),
            _ => None,
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == name)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Architecture::X86 => "x86_64",
            Architecture::Arm64 => "arm64",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMount {
    pub volume: VolumeId,
    /// Absolute path in the server.
    pub path: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    pub name: String,
    pub address: Ipv4Addr,
}

/// What a server's root is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "reference", rename_all = "snake_case")]
pub enum Image {
    /// The machine's own software, read-only (local provisioner).
    Host,
    /// An OCI image reference, `registry/name:tag` or `registry/name@sha256:…`.
    Oci(String),
}

/// As a template names it.
impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Image::Host => f.write_str("host"),
            Image::Oci(reference) => f.write_str(reference),
        }
    }
}

/// What a provisioner found of one environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedEnvironment {
    pub environment: EnvironmentId,
    pub network: bool,
    pub servers: Vec<ObservedServer>,
    /// Those that are there as a whole.
    pub volumes: Vec<VolumeId>,
    /// Volumes that are on their way from a snapshot, or could not be made from it.
    #[serde(default)]
    pub restoring: Vec<ObservedRestore>,
    #[serde(default)]
    pub snapshots: Vec<ObservedSnapshot>,
}

/// How far something long has come; sizes in bytes. `total_bytes` is 0 while it is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataProgress {
    /// In words that go after "is": "copying", "comparing with the manifest".
    pub doing: String,
    /// For how long that has been done.
    pub passed_ms: u64,
    pub done_bytes: u64,
    pub total_bytes: u64,
}

/// A volume that is not there yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedRestore {
    pub volume: VolumeId,
    pub state: RestoreState,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RestoreState {
    Copying(DataProgress),
    /// Nothing is left of it but this message. Repeating the step says the same as [`ProvisionError::Rejected`];
    /// [`Step::DeleteVolume`] forgets it.
    Failed {
        reason: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedSnapshot {
    pub snapshot: SnapshotId,
    /// The [`Effect::call`] that took it; 0 for what was imported.
    pub call: i64,
    /// When the moment was; Unix milliseconds. While the moment is not fixed yet, when it was begun.
    pub taken_at: i64,
    pub state: SnapshotState,
    /// How it was taken, for people: "reflink", "btrfs subvolume", "copy".
    pub method: String,
    pub contents: Vec<SnapshotContent>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum SnapshotState {
    /// The moment is not fixed yet; gone without a trace if it is interrupted.
    Taking(DataProgress),
    /// The moment is fixed, and everything is being read once for the manifest. Nothing can be restored from it yet.
    Reading(DataProgress),
    Complete,
    /// The manifest could not be made; that is tried again when the provisioner is opened.
    Failed {
        reason: String,
    },
    /// What is kept is not what was taken. Nothing is restored from it.
    Damaged {
        reason: String,
    },
}

/// What a snapshot has of one volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotContent {
    pub volume: VolumeId,
    pub name: String,
    pub manifest: Option<Manifest>,
}

/// What a tree of files is, in short: two trees with the same digest have the same names, kinds, modes, owners, times of
/// change, links and contents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Lower-case hex, 64 characters.
    pub digest: String,
    pub files: u64,
    pub directories: u64,
    /// Symbolic ones.
    pub links: u64,
    /// All files' sizes; one with several names counts once.
    pub bytes: u64,
    /// What that takes on the disk, holes left out, whatever of it is shared with other snapshots or volumes.
    pub stored_bytes: u64,
}

/// Where a snapshot that comes from elsewhere is put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportPlace {
    /// Not there yet; what is above it is. Each volume is to become a directory in it, by its name.
    pub folder: PathBuf,
    /// User and group of everything in it, by number.
    pub owner: (u32, u32),
    /// How much room there is, in bytes.
    pub free_bytes: u64,
}

/// A snapshot that comes from elsewhere, as it is described there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedSnapshot {
    pub id: SnapshotId,
    /// When its moment was; Unix milliseconds.
    pub taken_at: i64,
    /// With the ids that the volumes have here, and their names in [`ImportPlace::folder`].
    pub volumes: Vec<(SnapshotVolume, Manifest)>,
}

/// Which of a place's snapshots are to be at another one, too, without anybody asking for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyRule {
    /// The other provisioner, by its name.
    pub to: String,
    pub which: Copied,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Copied {
    /// Every one that is complete.
    #[default]
    All,
    /// Those that people asked for or pinned, and the last one of what was deleted.
    Kept,
}

/// Where a place has a snapshot, for another place of the same kind to copy it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotOrigin {
    pub snapshot: SnapshotPlan,
    pub region: String,
    /// What the place calls that which it has of each volume.
    pub parts: Vec<(VolumeId, String)>,
}

/// What came of reading a whole snapshot and comparing it with its manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    pub files: u64,
    pub bytes: u64,
    /// The first places where they differ, at most [`MOST_DAMAGE`](Self::MOST_DAMAGE); none when all is well.
    pub damage: Vec<Damage>,
    /// How many places differ, those that are not named included.
    pub damaged: u64,
}

impl Verification {
    pub const MOST_DAMAGE: usize = 20;

    /// What is wrong, in one sentence without its end; `None` when nothing is.
    pub fn reason(&self) -> Option<String> {
        let first = self.damage.first()?;
        let more = match self.damaged {
            1 => String::new(),
            count => format!(", and {} more", count - 1),
        };
        Some(format!("“{}” of volume “{}” {}{more}", first.path, first.volume, first.what))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// Name of the volume.
    pub volume: String,
    /// Path in the volume, what is not UTF-8 in it replaced.
    pub path: String,
    /// "is missing", "has other content", …
    pub what: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedServer {
    pub server: ServerId,
    pub generation: i64,
    pub state: MachineState,
    /// Which limits hold and by what means, in words for people ("memory 512 MiB by rlimit, CPU unlimited").
    pub limits: String,
    /// Where it is in the private network; `None`: where it was planned to be, or not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
    /// For a machine that boots by itself: since when it runs, or was had until that is known, Unix milliseconds. `None`: it was not
    /// had yet, or its agent starts with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_since: Option<i64>,
    /// What it is on its way to is refused for a while now, for this reason, and asked for again and again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl ObservedServer {
    /// What is waited for, and what keeps the place from it.
    pub fn told(&self, what: String) -> String {
        match &self.trouble {
            None => what,
            Some(trouble) => format!("{what}: {trouble}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum MachineState {
    /// Accepted, not there yet (an image is being pulled, an instance is pending).
    Starting {
        doing: String,
    },
    Running,
    /// On its way to [`MachineState::Suspended`]; it may still run.
    Suspending,
    /// It was asked to stand by and does: nothing runs, and it comes back as it is by [`Step::WakeServer`].
    Suspended {
        /// What was in its memory is kept, and is not on its volumes.
        hibernated: bool,
    },
    /// On its way out.
    Stopping,
    /// It was there and died by itself; its remains are still to be removed by [`Step::StopServer`].
    Dead {
        reason: String,
    },
    /// It could not be started; trying the same generation again is useless.
    Failed {
        reason: String,
    },
}

/// Why a call did not do what was asked.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProvisionError {
    /// Did not happen; the same call may succeed later.
    #[error("{message}")]
    Retryable { message: String, after: Duration },
    /// Will not happen however often it is asked: show the person this message, which says what to do.
    #[error("{message}")]
    Rejected { message: String },
    /// As rejected, because what was to be looked at is not there.
    #[error("{message}")]
    Absent { message: String },
    /// May or may not have happened: observe, never mint a new token.
    #[error("outcome unknown: {message}")]
    Unknown { message: String },
}

/// What a provisioner can do at this place, and what it cannot, in words for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Why nothing can be ordered there for now, and what would bring it.
    #[serde(default)]
    pub closed: Option<String>,
    pub oci_images: bool,
    /// Names that the operator gave to images of the place, when it has such.
    #[serde(default)]
    pub own_images: Vec<OwnImage>,
    /// What a server's processors are when its plan does not say; `None`: this machine's.
    #[serde(default)]
    pub usual: Option<Architecture>,
    /// Why there are no servers with such processors, and what would bring them; there are with those that are not in it.
    #[serde(default)]
    pub without: BTreeMap<Architecture, String>,
    /// `host` is the software of the machine that the portal runs on: what it lacks is known before an order.
    #[serde(default)]
    pub host_software: bool,
    pub internet: bool,
    /// CPU and memory limits are enforced by the kernel's cgroups rather than by rlimits.
    pub cgroups: bool,
    /// One volume can be attached to several servers. Where not, each gets a copy and the agents keep the copies in step.
    pub shared_volumes: bool,
    /// Taking and restoring a snapshot takes no longer for more data.
    #[serde(default)]
    pub instant_snapshots: bool,
    /// Servers can stand by: [`Step::SuspendServer`].
    #[serde(default)]
    pub suspends: bool,
    /// Why something above is missing and what would bring it.
    pub notes: Vec<String>,
}

/// An image of the place, as its operator called it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnImage {
    pub name: String,
    /// Why there is none of this name for such processors, and what would bring it; there is for those that are not in it.
    pub without: BTreeMap<Architecture, String>,
}

/// A volume that is there and whose data is still being read in from its snapshot: what was not read in yet reads slowly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadingIn {
    pub volume: VolumeId,
    /// How much of it is read in, of 100; `None`: not known.
    pub percent: Option<u8>,
    /// About when it will be, Unix milliseconds; `None`: not known.
    pub until: Option<i64>,
}

/// What is kept of an environment while it is parked, besides snapshots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AtRest {
    /// Sizes of its volumes, bytes.
    pub volumes: Vec<u64>,
    /// Those that stand by, with disks of their own.
    pub servers: Vec<ServerAtRest>,
}

/// As its [`ServerPlan`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAtRest {
    pub image: Image,
    pub alias: Option<String>,
    pub architecture: Option<Architecture>,
    pub cpu_millis: Option<u32>,
    pub memory_bytes: Option<u64>,
    pub hibernates: bool,
}

/// About what keeping something costs in a month, at list prices, in US dollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestPrice {
    /// Cents for volumes and servers' disks together; `None`: how large those disks are is not known now.
    pub disks_cents: Option<u64>,
    /// Thousandths for each GiB that snapshots hold.
    pub snapshot_gib_millis: u64,
}

impl RestPrice {
    pub const NOTHING: RestPrice = RestPrice { disks_cents: Some(0), snapshot_gib_millis: 0 };
}

/// What it takes for volumes to begin with a snapshot at full speed, instead of reading slowly at first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarmOffer {
    /// Where the environment's new volumes are made.
    pub zones: Vec<String>,
    /// US cents each hour, at list prices.
    pub hour_cents: u64,
}

/// What begins with a snapshot is read in at a rate that is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaidReading {
    pub mib_per_second: i32,
    /// Thousandths of a dollar for each GiB; `None`: nobody here knows.
    pub gib_millis: Option<u64>,
}

/// A snapshot that somebody asked to be kept warm: volumes that begin with it are at full speed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptWarm {
    pub snapshot: SnapshotId,
    pub offer: WarmOffer,
    /// Unix milliseconds.
    pub until: i64,
    pub state: Warmth,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warmth {
    /// How far that is, in a word or two.
    Preparing {
        doing: String,
    },
    Ready,
    /// It is not to be any more, and may still be paid for.
    Ending,
    Ended,
    Refused {
        reason: String,
    },
}

/// What a look for single things that nobody owns has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orphans {
    pub found: Vec<Orphan>,
    /// Of which environments nothing can be said, and why: nothing that is theirs is among those found.
    pub left_out: Option<String>,
}

/// A single thing of this installation that nothing remembered names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orphan {
    pub kind: OrphanKind,
    /// As the place itself calls it.
    pub id: String,
    /// As its tag says.
    pub environment: EnvironmentId,
    /// Our id (and for a server the generation) of what it was made for, where nothing is remembered of that: then the database may
    /// still know it.
    pub subject: Option<(String, Option<i64>)>,
    /// What and where it is, in words.
    pub about: String,
    /// Unix milliseconds, where the place says.
    pub made_at: Option<i64>,
    /// About what it costs in a month, in US cents.
    pub monthly_cents: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrphanKind {
    Server,
    Volume,
    Snapshot,
    Network,
}

/// What is left of an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remains {
    pub environment: EnvironmentId,
    pub network: bool,
    pub servers: usize,
    pub volumes: Vec<VolumeId>,
    /// On the disk; `None` where it is not known.
    pub bytes: Option<u64>,
    /// Unix milliseconds; `None` where it is not known.
    pub changed_at: Option<i64>,
}

/// How much room a place has; sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capacity {
    pub disk_bytes: u64,
    pub disk_free_bytes: u64,
    pub memory_bytes: u64,
    pub memory_free_bytes: u64,
    pub processors: u32,
}

/// The agent's program for servers that are not on this machine. They fetch it from the portal, as
/// `/agent/{sha256}/bookend-agent`, and run nothing of another checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentProgram {
    /// Where the portal has it.
    pub path: PathBuf,
    /// Lower-case hex, 64 characters.
    pub sha256: String,
}

/// A value that must not be printed, logged or stored in the clear. Prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }
    /// The value itself: call it only where the value leaves for its one destination.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
