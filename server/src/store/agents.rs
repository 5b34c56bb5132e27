//! What the store knows of agents: who has enrolled, and what they last said.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use agent::api::{Phase, Status};
use provisioners::{ObservedServer, ServerId};
use sqlx::Row;

use super::{Store, StoreError, Tx, json, timeline};
use crate::domain::facts::Desired;
use crate::domain::note::Note;
use crate::domain::topology::{ServerSpec, Topology};

/// What a connecting agent is held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentCredentials {
    pub environment: String,
    /// The incarnation that should be there.
    pub generation: i64,
    pub enrolled_generation: i64,
    pub key_hash: Option<String>,
    pub deleted: bool,
    /// When the provisioner was last asked to start this generation.
    pub start_asked_at: Option<i64>,
    /// What was last seen of this generation.
    pub machine: Option<ObservedServer>,
}

/// What a server's configuration is made from.
#[derive(Clone, Debug)]
pub struct ServerConfiguration {
    pub id: ServerId,
    pub environment: String,
    /// As it was ordered: what programs were told once stays true for them.
    pub environment_name: String,
    pub desired: Desired,
    pub generation: i64,
    pub spec: ServerSpec,
    /// Of the environment as a whole.
    pub topology: Topology,
    /// All servers of the environment.
    pub servers: Vec<Neighbour>,
    /// Without secrets.
    pub parameters: BTreeMap<String, String>,
    pub sealed_secrets: Option<String>,
}

/// A server as those beside it see it.
#[derive(Clone, Debug)]
pub struct Neighbour {
    pub id: ServerId,
    pub name: String,
    /// The agent of the incarnation that should be there is connected.
    pub runs: bool,
    /// Where it is, when that is known and was not planned.
    pub address: Option<Ipv4Addr>,
}

impl Store {
    /// # Errors
    /// When the database cannot be read. `None`: there is no such server.
    pub async fn server_configuration(&self, server: &str) -> Result<Option<ServerConfiguration>, StoreError> {
        let row = sqlx::query(
            "select e.id, coalesce(e.ordered_name, e.name) as name, e.desired, e.topology, e.parameters, e.sealed_secrets, s.name as server, s.generation \
             from server s join environment e on e.id = s.environment_id where s.id = $1",
        )
        .bind(server)
        .fetch_optional(&mut *self.read().await?)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let topology: Topology = json::read("a topology", &row.try_get::<String, _>("topology")?)?;
        let name: String = row.try_get("server")?;
        let Some(spec) = topology.servers.iter().find(|spec| spec.name == name).cloned() else { return Ok(None) };
        let environment: String = row.try_get("id")?;
        let neighbours = sqlx::query(
            "select id, name, actual_address, cast(case when enrolled_generation = generation and disconnected_at is null then 1 else 0 end as bigint) \
             as runs from server where environment_id = $1",
        )
        .bind(&environment)
        .fetch_all(&mut *self.read().await?)
        .await?;
        let neighbour = |row: &sqlx::any::AnyRow| {
            Ok(Neighbour {
                id: ServerId::new(row.try_get::<String, _>("id")?),
                name: row.try_get("name")?,
                runs: row.try_get::<i64, _>("runs")? != 0,
                address: row
                    .try_get::<Option<String>, _>("actual_address")?
                    .map(|address| json::word("an address", address))
                    .transpose()?,
            })
        };
        Ok(Some(ServerConfiguration {
            id: ServerId::new(server),
            environment,
            topology,
            servers: neighbours.iter().map(neighbour).collect::<Result<_, StoreError>>()?,
            environment_name: row.try_get("name")?,
            desired: json::word("a desire", row.try_get("desired")?)?,
            generation: row.try_get("generation")?,
            spec,
            parameters: json::read("parameters", &row.try_get::<String, _>("parameters")?)?,
            sealed_secrets: row.try_get("sealed_secrets")?,
        }))
    }

    /// # Errors
    /// When the database cannot be read. `None`: there is no such server.
    pub async fn agent_credentials(&self, server: &str) -> Result<Option<AgentCredentials>, StoreError> {
        let row = sqlx::query(
            "select s.environment_id, s.generation, s.enrolled_generation, s.agent_key_hash, s.observed, e.deleted_at, \
             (select max(coalesce(f.asked_at, f.recorded_at)) from effect f where f.subject_id = s.id \
             and f.step = 'start_server' and f.generation = s.generation) as start_asked_at from server s join environment e on e.id = s.environment_id where s.id = $1",
        )
        .bind(server)
        .fetch_optional(&mut *self.read().await?)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let generation = row.try_get("generation")?;
        let seen: Vec<ObservedServer> =
            json::read_optional("an observation", row.try_get("observed")?)?.unwrap_or_default();
        Ok(Some(AgentCredentials {
            environment: row.try_get("environment_id")?,
            generation,
            machine: seen.into_iter().find(|machine| machine.generation == generation),
            enrolled_generation: row.try_get("enrolled_generation")?,
            key_hash: row.try_get("agent_key_hash")?,
            deleted: row.try_get::<Option<i64>, _>("deleted_at")?.is_some(),
            start_asked_at: row.try_get("start_asked_at")?,
        }))
    }

    /// Accepts this session key for this generation, if no agent has enrolled for it before: of two, one wins.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn enrol_agent(&self, server: &str, generation: i64, key_hash: &str) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let enrolled = sqlx::query(
            "update server set enrolled_generation = $2, agent_key_hash = $3, disconnected_at = null \
             where id = $1 and generation = $2 and enrolled_generation < $2",
        )
        .bind(server)
        .bind(generation)
        .bind(key_hash)
        .execute(tx.connection())
        .await?
        .rows_affected();
        tx.commit().await?;
        Ok(enrolled == 1)
    }

    /// The agent of this generation is connected now, or is so no more. Gives its environment when that is news.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn set_agent_connected(
        &self,
        server: &str,
        generation: i64,
        connected: bool,
        now: i64,
    ) -> Result<Option<String>, StoreError> {
        let mut tx = self.write().await?;
        let row = sqlx::query(
            "update server set disconnected_at = $3 where id = $1 and generation = $2 and enrolled_generation = $2 \
             and (disconnected_at is null) <> ($3 is null) returning environment_id",
        )
        .bind(server)
        .bind(generation)
        .bind((!connected).then_some(now))
        .fetch_optional(tx.connection())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let environment: String = row.try_get("environment_id")?;
        tx.touch(&environment, now).await?;
        tx.commit().await?;
        Ok(Some(environment))
    }

    /// Keeps what the agent of this generation reports, and makes its environment due. `None`: nothing new, or of a
    /// generation that is no more.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn report_status(
        &self,
        server: &str,
        generation: i64,
        status: &Status,
        now: i64,
    ) -> Result<Option<String>, StoreError> {
        let text = json::write("a status", status)?;
        let phase = json::write("a phase", &status.phase)?;
        let mut tx = self.write().await?;
        let told = conflicts_told(&mut tx, server, generation).await?;
        let row = sqlx::query(
            "update server set status = $3, status_generation = $2, phase = $4, \
             phase_at = case when status_generation = $2 and phase = $4 then phase_at else $5 end \
             where id = $1 and generation = $2 \
             and (status is null or status <> $3 or status_generation <> $2) returning environment_id, name, healthy_at",
        )
        .bind(server)
        .bind(generation)
        .bind(&text)
        .bind(phase)
        .bind(now)
        .fetch_optional(tx.connection())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let environment: String = row.try_get("environment_id")?;
        let was_healthy = row.try_get::<Option<i64>, _>("healthy_at")?.is_some();
        for note in conflicts(row.try_get("name")?, status, &told) {
            timeline::insert(tx.connection(), &environment, &note, None, now).await?;
        }
        let is_healthy = status.phase == Phase::Healthy;
        if was_healthy != is_healthy {
            let name: String = row.try_get("name")?;
            set_healthy(&mut tx, server, is_healthy.then_some(now)).await?;
            let wanted = sqlx::query("select id from environment where id = $1 and desired = 'running'")
                .bind(&environment)
                .fetch_optional(tx.connection())
                .await?;
            let note = match is_healthy {
                true => Note::about("server_ready", &name, format!("{name} is healthy")),
                false => Note::about("server_unhealthy", &name, format!("{name} is no longer healthy{}", why(status))),
            };
            // Services that end because they were asked to are no news.
            if wanted.is_some() {
                timeline::insert(tx.connection(), &environment, &note, None, now).await?;
            }
        }
        tx.touch(&environment, now).await?;
        tx.commit().await?;
        Ok(Some(environment))
    }
}

/// Number of the last conflict that people were told of, by volume. Numbers begin anew with each generation.
async fn conflicts_told(tx: &mut Tx, server: &str, generation: i64) -> Result<BTreeMap<String, u64>, StoreError> {
    let row = sqlx::query("select status from server where id = $1 and status_generation = $2")
        .bind(server)
        .bind(generation)
        .fetch_optional(tx.connection())
        .await?;
    let Some(row) = row else { return Ok(BTreeMap::new()) };
    let status: Option<Status> = json::read_optional("a status", row.try_get("status")?)?;
    let shared = status.map(|status| status.shared).unwrap_or_default();
    let last = shared.into_iter().filter_map(|copy| Some((copy.volume, copy.conflicts.last()?.number)));
    Ok(last.collect())
}

/// What people are told of conflicts that are new.
fn conflicts(server: String, status: &Status, told: &BTreeMap<String, u64>) -> Vec<Note> {
    const MOST: usize = 20;
    const LONGEST: usize = 300;
    let new = status.shared.iter().flat_map(|copy| {
        let last = told.get(&copy.volume).copied().unwrap_or(0);
        copy.conflicts.iter().filter(move |conflict| conflict.number > last).map(move |conflict| (copy, conflict))
    });
    let note = |(copy, conflict): (&agent::api::SharedStatus, &agent::api::Conflict)| {
        let path: String = conflict.path.chars().filter(|character| !character.is_control()).take(LONGEST).collect();
        let message = format!(
            "A file of {} was changed on several servers at once. Both versions are kept, one as {path}",
            copy.volume
        );
        Note::about("conflict", &server, message)
    };
    new.take(MOST).map(note).collect()
}

async fn set_healthy(tx: &mut Tx, server: &str, healthy_at: Option<i64>) -> Result<(), StoreError> {
    sqlx::query("update server set healthy_at = $2 where id = $1")
        .bind(server)
        .bind(healthy_at)
        .execute(tx.connection())
        .await?;
    Ok(())
}

fn why(status: &Status) -> String {
    status.failure.as_ref().map(|failure| format!(": {}: {}", failure.step, failure.cause)).unwrap_or_default()
}
