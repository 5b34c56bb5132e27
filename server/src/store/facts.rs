//! Reads [`Facts`]: one environment whole, with what was asked of the outside world folded to what a plan needs.

use std::collections::{BTreeMap, HashMap};

use agent::api::Status;
use app::api::State;
use provisioners::{EnvironmentId, ObservedServer, ServerId, SnapshotId, SnapshotVolume, VolumeId, VolumeSource};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::{Store, StoreError, Tx, json};
use crate::domain::facts::{
    AgentLink, Asked, Changing, Effect, Facts, Intent, Kept, Network, Observed, Outcome, ParkedIn, Restoring, Server,
    Snapshot, Standing, Turns, Volume,
};
use crate::domain::topology::Topology;

/// Facts, and what the engine needs beside them.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The observation in it is the one last written down.
    pub facts: Facts,
    pub provisioner: String,
    /// The label as last written down.
    pub state: State,
    pub waiting_for: Option<String>,
    pub created_at: i64,
    pub next_event_at: Option<i64>,
    pub next_snapshot_at: Option<i64>,
    /// See the column of this name: reasons to look that these facts already contain.
    pub hints: i64,
}

impl Store {
    /// # Errors
    /// When the database cannot be read. `None`: there is no such environment.
    pub async fn facts(&self, environment: &str) -> Result<Option<Loaded>, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let loaded = load(&mut snapshot, environment).await;
        snapshot.rollback().await?;
        loaded
    }
}

impl Tx {
    /// As [`Store::facts`], as of this transaction.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn facts(&mut self, environment: &str) -> Result<Option<Loaded>, StoreError> {
        load(self.connection(), environment).await
    }
}

pub(super) async fn load(connection: &mut AnyConnection, environment: &str) -> Result<Option<Loaded>, StoreError> {
    let row = sqlx::query(
        "select e.*, (select value from installation where key = 'listening_since') as listening_since \
         from environment e where id = $1",
    )
    .bind(environment)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let listening_since =
        row.try_get::<Option<String>, _>("listening_since")?.and_then(|text| text.parse().ok()).unwrap_or(0);
    let topology: Topology = json::read("a topology", &row.try_get::<String, _>("topology")?)?;
    let asked = Questions::load(connection, environment).await?;
    let wish: i64 = row.try_get("generation")?;

    let mut servers = HashMap::new();
    for row in sqlx::query("select * from server where environment_id = $1")
        .bind(environment)
        .fetch_all(&mut *connection)
        .await?
    {
        let server = server(&row, &asked, wish)?;
        servers.insert(server.name.clone(), server);
    }
    let mut volumes = Vec::new();
    let of_now = "select v.*, (select k.state from snapshot k where k.id = v.kept_in_snapshot_id) as kept \
         from volume v where v.environment_id = $1 and v.role <> 'gone' order by v.name, v.id";
    for row in sqlx::query(of_now).bind(environment).fetch_all(&mut *connection).await? {
        volumes.push(volume(&row, &asked)?);
    }
    let mut snapshots = Vec::new();
    let open = "select * from snapshot where environment_id = $1 and removed_at is null \
         and (state in ('wanted', 'reading') or removal_requested_at is not null) order by id";
    for row in sqlx::query(open).bind(environment).fetch_all(&mut *connection).await? {
        snapshots.push(snapshot(&row, &asked)?);
    }

    let mut network = Network {
        present: row.try_get::<i64, _>("network_observed")? != 0,
        created: asked.highest("", "create_network"),
        deleted: asked.highest("", "delete_network"),
        ..Network::default()
    };
    network.seen = network.present;
    network.create = asked.of("", "create_network", network.generation());
    network.delete = asked.of("", "delete_network", network.generation());

    let intent = Intent {
        environment: EnvironmentId::new(environment),
        name: row.try_get("name")?,
        desired: json::word("a desire", row.try_get("desired")?)?,
        generation: row.try_get("generation")?,
        desired_at: row.try_get("desired_at")?,
        by_schedule: row.try_get::<i64, _>("by_schedule")? != 0,
        forced: row.try_get::<i64, _>("forced")? != 0,
        ready_at: row.try_get("ready_at")?,
        deleted_at: row.try_get("deleted_at")?,
        failure: json::read_optional("a failure", row.try_get("failure")?)?,
        restoring: match kept(connection, row.try_get("restoring_snapshot_id")?).await? {
            None => None,
            Some(snapshot) => {
                let present = kept(connection, row.try_get("present_snapshot_id")?).await?;
                Some(Restoring { snapshot, present })
            }
        },
        changing: changing(connection, environment).await?,
        final_snapshot: kept(connection, row.try_get("final_snapshot_id")?).await?,
        parked_in: parked_in(connection, row.try_get("parked_snapshot_id")?).await?,
        snapshot_rule: json::read_optional("a snapshot rule", row.try_get("snapshot_rule")?)?,
    };
    let servers = topology.servers.iter().filter_map(|server| servers.remove(&server.name)).collect();
    Ok(Some(Loaded {
        facts: Facts { intent, topology, observed: Observed { listening_since, network, servers, volumes, snapshots } },
        provisioner: row.try_get("provisioner")?,
        state: json::word("a state", row.try_get("state")?)?,
        waiting_for: row.try_get("waiting_for")?,
        created_at: row.try_get("created_at")?,
        next_event_at: row.try_get("next_event_at")?,
        next_snapshot_at: row.try_get("next_snapshot_at")?,
        hints: row.try_get("hints")?,
    }))
}

/// `wish`: the number of what is wanted of its environment now.
fn server(row: &AnyRow, asked: &Questions, wish: i64) -> Result<Server, StoreError> {
    let id: String = row.try_get("id")?;
    let generation: i64 = row.try_get("generation")?;
    let start = asked.of(&id, "start_server", generation);
    let machines: Vec<ObservedServer> =
        json::read_optional("an observation", row.try_get("observed")?)?.unwrap_or_default();
    let link = match row.try_get::<i64, _>("enrolled_generation")? == generation {
        false => AgentLink::Never,
        true => row.try_get::<Option<i64>, _>("disconnected_at")?.map_or(AgentLink::Connected, AgentLink::LostSince),
    };
    let status: Option<Status> = match row.try_get::<i64, _>("status_generation")? == generation {
        false => None,
        true => json::read_optional("a status", row.try_get("status")?)?,
    };
    Ok(Server {
        name: row.try_get("name")?,
        address: json::word("an address", row.try_get("address")?)?,
        generation,
        attempts: row.try_get("attempts")?,
        retry_at: row.try_get("retry_at")?,
        healthy_at: row.try_get("healthy_at")?,
        phase_at: row.try_get::<Option<i64>, _>("phase_at")?.filter(|_| status.is_some()),
        link,
        status,
        seen: machines.iter().any(|machine| machine.generation == generation),
        machines,
        started: asked.highest(&id, "start_server"),
        stopped: asked.highest(&id, "stop_server"),
        turns: asked.turns(&id, wish, start.latest.as_ref().map_or(i64::MAX, |start| start.recorded_at)),
        start,
        stops: BTreeMap::from([generation - 1, generation].map(|stop| (stop, asked.of(&id, "stop_server", stop)))),
        id: ServerId::new(id),
    })
}

fn volume(row: &AnyRow, asked: &Questions) -> Result<Volume, StoreError> {
    let id: String = row.try_get("id")?;
    let seen = row.try_get::<Option<i64>, _>("observed_at")?.is_some();
    let deleted = row.try_get::<Option<i64>, _>("deleted_at")?.is_some();
    Ok(Volume {
        name: row.try_get("name")?,
        size_bytes: row.try_get::<i64, _>("size_bytes")? as u64,
        present: seen && !deleted,
        seen,
        role: json::word("a volume's role", row.try_get("role")?)?,
        source: source(row)?,
        expendable: match row.try_get::<Option<String>, _>("kept_in_snapshot_id")? {
            None => true,
            Some(_) => row.try_get::<Option<String>, _>("kept")?.as_deref() == Some(Standing::Complete.as_str()),
        },
        restore: None,
        delete_requested: row.try_get::<Option<i64>, _>("delete_requested_at")?.is_some(),
        create: asked.of(&id, "create_volume", 1),
        delete: asked.of(&id, "delete_volume", 1),
        id: VolumeId::new(id),
    })
}

/// What a volume begins with.
fn source(row: &AnyRow) -> Result<Option<VolumeSource>, StoreError> {
    let part = |column: &str| row.try_get::<Option<String>, _>(column);
    Ok(match (part("source_environment_id")?, part("source_snapshot_id")?, part("source_volume_id")?) {
        (Some(environment), Some(snapshot), Some(volume)) => Some(VolumeSource {
            environment: EnvironmentId::new(environment),
            snapshot: SnapshotId::new(snapshot),
            volume: VolumeId::new(volume),
        }),
        _ => None,
    })
}

fn snapshot(row: &AnyRow, asked: &Questions) -> Result<Snapshot, StoreError> {
    let id: String = row.try_get("id")?;
    Ok(Snapshot {
        reason: json::word("a snapshot's reason", row.try_get("reason")?)?,
        standing: json::word("a snapshot's state", row.try_get("state")?)?,
        volumes: json::read("a snapshot's volumes", &row.try_get::<String, _>("volumes")?)?,
        removal_requested: row.try_get::<Option<i64>, _>("removal_requested_at")?.is_some(),
        seen: None,
        create: asked.of(&id, "create_snapshot", 1),
        delete: asked.of(&id, "delete_snapshot", 1),
        id: SnapshotId::new(id),
    })
}

async fn changing(connection: &mut AnyConnection, environment: &str) -> Result<Option<Changing>, StoreError> {
    let row = sqlx::query("select present_snapshot_id from environment_change where environment_id = $1")
        .bind(environment)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Changing { present: kept(connection, row.try_get("present_snapshot_id")?).await? }))
}

/// `None` also when it is to go, because it could not be taken.
async fn parked_in(connection: &mut AnyConnection, id: Option<String>) -> Result<Option<ParkedIn>, StoreError> {
    let Some(id) = id else { return Ok(None) };
    let row = sqlx::query("select volumes from snapshot where id = $1 and removal_requested_at is null")
        .bind(&id)
        .fetch_optional(&mut *connection)
        .await?;
    let (Some(row), Some(snapshot)) = (row, kept(connection, Some(id)).await?) else { return Ok(None) };
    let volumes: Vec<SnapshotVolume> = json::read("a snapshot's volumes", &row.try_get::<String, _>("volumes")?)?;
    Ok(Some(ParkedIn { snapshot, volumes: volumes.into_iter().map(|volume| volume.volume).collect() }))
}

async fn kept(connection: &mut AnyConnection, id: Option<String>) -> Result<Option<Kept>, StoreError> {
    let Some(id) = id else { return Ok(None) };
    let row = sqlx::query("select state, failure from snapshot where id = $1")
        .bind(&id)
        .fetch_optional(&mut *connection)
        .await?;
    row.map(|row| {
        let standing = json::word("a snapshot's state", row.try_get("state")?)?;
        Ok(Kept { id: SnapshotId::new(id), standing, failure: row.try_get("failure")? })
    })
    .transpose()
}

/// The environment's effects, by what they are about. The network's subject is the empty text.
struct Questions {
    asked: HashMap<(String, String, i64), Asked>,
    highest: HashMap<(String, String), i64>,
}

impl Questions {
    async fn load(connection: &mut AnyConnection, environment: &str) -> Result<Questions, StoreError> {
        let mut questions = Questions { asked: HashMap::new(), highest: HashMap::new() };
        // Generations long past matter only by their highest number.
        let rows = sqlx::query(
            "select e.subject_id, e.step, e.generation, e.outcome, e.message, e.attempts, e.tries, e.retry_at, \
             e.recorded_at, e.finished_at from effect e left join server s on s.id = e.subject_id where e.environment_id = $1 \
             and (s.id is null or e.generation >= s.generation - 1 or e.step in ('suspend_server', 'wake_server')) \
             order by e.recorded_at, e.token",
        )
        .bind(environment)
        .fetch_all(&mut *connection)
        .await?;
        for row in rows {
            let asked = questions.asked.entry((subject(&row)?, row.try_get("step")?, row.try_get("generation")?));
            let asked = asked.or_default();
            let outcome: Outcome = json::word("an outcome", row.try_get("outcome")?)?;
            asked.rejected += i64::from(outcome == Outcome::Rejected);
            asked.latest = Some(Effect {
                outcome,
                message: row.try_get("message")?,
                attempts: row.try_get("attempts")?,
                tries: row.try_get("tries")?,
                retry_at: row.try_get("retry_at")?,
                recorded_at: row.try_get("recorded_at")?,
                finished_at: row.try_get("finished_at")?,
            });
        }
        let rows = sqlx::query(
            "select subject_id, step, max(generation) as generation from effect where environment_id = $1 \
             and (step in ('start_server', 'create_network') \
               or (step in ('stop_server', 'delete_network') and outcome = 'accepted')) group by subject_id, step",
        )
        .bind(environment)
        .fetch_all(&mut *connection)
        .await?;
        for row in rows {
            questions.highest.insert((subject(&row)?, row.try_get("step")?), row.try_get("generation")?);
        }
        Ok(questions)
    }

    fn of(&self, subject: &str, step: &str, generation: i64) -> Asked {
        self.asked.get(&(subject.to_owned(), step.to_owned(), generation)).cloned().unwrap_or_default()
    }

    /// What was asked of a server in turns since its present generation was asked to start.
    fn turns(&self, server: &str, wish: i64, since: i64) -> Turns {
        let all = |step: &'static str| {
            let of = self.asked.iter().filter(move |((subject, name, _), _)| subject == server && name == step);
            of.filter_map(|((_, _, wish), asked)| Some((*wish, asked.latest.as_ref()?)))
                .filter(|(_, effect)| effect.recorded_at >= since)
        };
        let woken = all("wake_server").filter(|(_, effect)| effect.outcome == Outcome::Accepted);
        Turns {
            suspend: self.of(server, "suspend_server", wish),
            wake: self.of(server, "wake_server", wish),
            suspended: all("suspend_server").map(|(wish, _)| wish).max().unwrap_or(0),
            woken: woken.map(|(wish, _)| wish).max().unwrap_or(0),
            woken_at: all("wake_server").filter_map(|(_, effect)| effect.finished_at).max().unwrap_or(0),
        }
    }

    fn highest(&self, subject: &str, step: &str) -> i64 {
        self.highest.get(&(subject.to_owned(), step.to_owned())).copied().unwrap_or(0)
    }
}

fn subject(row: &AnyRow) -> Result<String, StoreError> {
    Ok(row.try_get::<Option<String>, _>("subject_id")?.unwrap_or_default())
}
