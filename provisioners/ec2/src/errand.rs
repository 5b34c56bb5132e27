//! What is asked of Amazon: one errand, several of them in one call, and what came of it.

use std::time::Duration;

use provisioners::{EnvironmentId, ServerId, SnapshotId, VolumeId};

use super::records::Launch;
use super::tags::Tags;

/// Between guesses that something is so which Amazon does not show yet.
pub const GUESS_AGAIN: Duration = Duration::from_secs(3);

/// One call, or a part of one that several environments share.
#[derive(Clone, Debug, PartialEq)]
pub enum Errand {
    CreateVolume {
        volume: VolumeId,
    },
    DeleteVolume {
        volume: VolumeId,
        id: String,
    },
    /// `noted`: the launch stands in the records of all its members.
    Launch {
        launch: Box<Launch>,
        noted: bool,
    },
    /// No possibility is left, or there never was one.
    GiveUp {
        server: (ServerId, i64),
        reason: String,
    },
    /// `None`: whatever came of a call that had been refused.
    Terminate {
        server: Option<(ServerId, i64)>,
        instance: String,
    },
    /// To stand by or to wake, as its record says; `wish` tells one time from another.
    Turn {
        server: (ServerId, i64),
        instance: String,
        turn: Turn,
        wish: i64,
    },
    Attach {
        server: (ServerId, i64),
        number: usize,
        volume: String,
        instance: String,
        /// `Some`: it is not shown as running yet, and may be from then on (Unix milliseconds).
        guessed: Option<i64>,
    },
    /// A snapshot of one of Amazon's volumes, to bring what it holds to another zone.
    CopyForMove {
        volume: VolumeId,
        id: String,
        token: String,
    },
    /// The next that is to be written down for a server's volumes to come to another zone.
    Shift {
        server: (ServerId, i64),
        zone: String,
    },
    /// The end of a move.
    Settle {
        volume: VolumeId,
    },
    /// What is to be copied of one volume from another region.
    CopySnapshot {
        snapshot: SnapshotId,
        volume: VolumeId,
    },
    /// One of a snapshot's parts, or what came of a call for it that does not count.
    DeleteSnapshot {
        id: String,
    },
    /// The security group of the environment's network: made, or found when it was made before and the answer was lost.
    CreateGroup,
    GiveRules {
        group: String,
    },
    /// The portal is found elsewhere now, or is not any more where it was a day ago.
    FollowPortal {
        group: String,
    },
    DeleteGroup {
        group: String,
    },
    /// The security group, one for all environments, of servers that may reach the internet.
    CreateInternetGroup,
    /// A server that shared its launch gets a name of its own.
    Name {
        server: (ServerId, i64),
        instance: String,
        tags: Tags,
    },
}

/// Servers that are asked for the same can be asked together, whosever they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    Sleep { hibernate: bool },
    Wake,
}

/// An instance that is to go, of which environment; `None`: it is of no server that counts.
pub type Doomed = (EnvironmentId, Option<(ServerId, i64)>, String);

/// An instance that is to stand by or to wake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turned {
    pub environment: EnvironmentId,
    pub server: (ServerId, i64),
    pub instance: String,
    pub wish: i64,
}

/// What is done at once.
#[derive(Clone, Debug)]
pub enum Call {
    One(EnvironmentId, Errand),
    Terminate(Vec<Doomed>),
    Turn(Turn, Vec<Turned>),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Amazon accepted it; it may take a while to show.
    Done,
    /// It will not be asked for again as it was: the records say how to go on.
    Changed,
    /// It was a guess that it may be done already; again so much later, or when Amazon shows it.
    TooEarly(Duration),
    /// Later, just the same.
    Again(String),
}

impl Call {
    /// The names of what it does.
    pub fn errands(&self) -> Vec<(EnvironmentId, String)> {
        match self {
            Call::One(environment, errand) => vec![(environment.clone(), errand.name(environment))],
            Call::Terminate(batch) => {
                let name = |instance: &String| format!("terminate {instance}");
                batch.iter().map(|(environment, _, instance)| (environment.clone(), name(instance))).collect()
            }
            Call::Turn(turn, batch) => {
                let name = |one: &Turned| turn_name(&one.instance, *turn, one.wish);
                batch.iter().map(|one| (one.environment.clone(), name(one))).collect()
            }
        }
    }
}

impl Errand {
    /// The same errand has the same name; of what is one for all environments, whosever it is.
    pub fn name(&self, environment: &EnvironmentId) -> String {
        match self {
            Errand::CreateVolume { volume } => format!("create {volume}"),
            Errand::DeleteVolume { id, .. } => format!("delete {id}"),
            Errand::Launch { launch, .. } => format!("launch {}", launch.token),
            Errand::GiveUp { server: (server, generation), .. } => format!("give up {server} {generation}"),
            Errand::Terminate { instance, .. } => format!("terminate {instance}"),
            Errand::Turn { instance, turn, wish, .. } => turn_name(instance, *turn, *wish),
            Errand::Attach { volume, instance, .. } => format!("attach {volume} {instance}"),
            Errand::CopyForMove { token, .. } => format!("copy {token}"),
            Errand::Shift { server: (server, generation), zone } => format!("shift {server} {generation} to {zone}"),
            Errand::Settle { volume } => format!("settle {volume}"),
            Errand::CopySnapshot { snapshot, volume } => format!("copy {snapshot} {volume}"),
            Errand::DeleteSnapshot { id } => format!("delete {id}"),
            Errand::CreateGroup => format!("create the group of {environment}"),
            Errand::GiveRules { group } => format!("give rules to {group}"),
            Errand::FollowPortal { group } => format!("let {group} follow the portal"),
            Errand::DeleteGroup { group } => format!("delete {group}"),
            Errand::CreateInternetGroup => "create the internet's group".to_owned(),
            Errand::Name { instance, .. } => format!("name {instance}"),
        }
    }
}

pub fn turn_name(instance: &str, turn: Turn, wish: i64) -> String {
    let doing = if turn == Turn::Wake { "wake" } else { "sleep" };
    format!("{doing} {instance} {wish}")
}
