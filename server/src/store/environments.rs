//! Environments as people order and look at them. Lists of them are in [`super::listing`], the engine's side of the same
//! rows in [`super::claims`] and [`super::effects`].

use std::collections::BTreeMap;

use app::api::{Action, EnvironmentSummary, NextEvent, State};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::{Store, StoreError, Tx, facts, id, json};
use crate::domain::drill;
use crate::domain::facts::{Desired, Facts};
use crate::domain::note::Note;
use crate::domain::schedule::Upcoming;
use crate::domain::topology::{ScheduledAction, ServerSpec, Topology, VolumeSpec};

/// An environment to be ordered; servers and volumes follow from the topology.
#[derive(Clone, Debug)]
pub struct NewEnvironment {
    pub id: String,
    pub team_id: String,
    pub owner_id: String,
    /// Who orders it, mostly the owner; the name for the timeline.
    pub orderer_id: String,
    pub orderer_name: String,
    pub name: String,
    pub template_version_id: String,
    pub provisioner: String,
    /// Without secrets.
    pub parameters: BTreeMap<String, String>,
    /// See [`InstallationKey::seal`](crate::keys::InstallationKey::seal).
    pub sealed_secrets: Option<String>,
    pub topology: Topology,
    /// Volumes that will begin with what a snapshot holds ([`Tx::begin_restore`]), by name: they are not made empty.
    pub copied: Vec<String>,
    pub upcoming: Upcoming,
}

/// What makes a repeated order the same order.
#[derive(Clone, Copy, Debug)]
pub struct OrderKey<'a> {
    pub request_id: &'a str,
    /// [`InstallationKey::fingerprint`](crate::keys::InstallationKey::fingerprint) of the order.
    pub digest: &'a str,
}

/// How many environments there may be that are not deleted.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    pub per_person: i64,
    pub per_team: i64,
}

/// What came of an order. Only after `Created` is there anything to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ordered {
    Created,
    /// The same person gave the same order with the same key before: this environment.
    Repeated {
        environment: String,
    },
    /// The key was used for another order.
    KeyReused,
    NameTaken,
    /// The person, or the team, has as many as allowed.
    PersonQuota {
        limit: i64,
    },
    TeamQuota {
        limit: i64,
    },
}

/// Why there cannot be one more.
pub(super) enum Refused {
    NameTaken,
    PersonQuota,
    TeamQuota,
}

/// Everything about one environment.
#[derive(Clone, Debug)]
pub struct EnvironmentRecord {
    pub summary: EnvironmentSummary,
    pub team_id: String,
    pub owner_id: String,
    pub provisioner: String,
    pub template_id: String,
    pub template_version_id: String,
    /// Without secrets.
    pub parameters: BTreeMap<String, String>,
    pub sealed_secrets: Option<String>,
    /// What people wrote about it; empty when nobody did.
    pub note: String,
    pub facts: Facts,
}

pub(super) const SUMMARY: &str = "select e.id, e.name, t.name as template, v.version, p.name as owner, e.state, e.waiting_for, \
     e.created_at, e.ready_at, e.next_event_at, e.next_event_action, e.servers_ready, e.servers_total, \
     e.team_id, e.owner_id, e.provisioner, e.template_version_id, e.parameters, e.sealed_secrets, \
     e.note, v.template_id, \
     (select string_agg(k.tag, ' ') from environment_tag k where k.environment_id = e.id) as tags \
     from environment e join template_version v on v.id = e.template_version_id \
     join template t on t.id = v.template_id join person p on p.id = e.owner_id";

impl Tx {
    /// Orders an environment: quota, name and repetition are judged and the rows written under a lock on the team, so that
    /// orders at the same moment cannot pass each other.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn order(
        &mut self,
        new: &NewEnvironment,
        key: Option<OrderKey<'_>>,
        quota: Quota,
        now: i64,
    ) -> Result<Ordered, StoreError> {
        let connection = self.connection();
        sqlx::query("update team set name = name where id = $1").bind(&new.team_id).execute(&mut *connection).await?;
        if let Some(key) = key {
            let before = sqlx::query(
                "select environment_id, digest from order_request where person_id = $1 and request_id = $2",
            )
            .bind(&new.orderer_id)
            .bind(key.request_id)
            .fetch_optional(&mut *connection)
            .await?;
            if let Some(before) = before {
                let same = before.try_get::<String, _>("digest")? == key.digest;
                return Ok(match same {
                    true => Ordered::Repeated { environment: before.try_get("environment_id")? },
                    false => Ordered::KeyReused,
                });
            }
        }
        match self.refused(&new.team_id, &new.owner_id, &new.name, quota).await? {
            Some(Refused::NameTaken) => return Ok(Ordered::NameTaken),
            Some(Refused::PersonQuota) => return Ok(Ordered::PersonQuota { limit: quota.per_person }),
            Some(Refused::TeamQuota) => return Ok(Ordered::TeamQuota { limit: quota.per_team }),
            None => {}
        }
        self.insert_environment(new, now).await?;
        if let Some(key) = key {
            sqlx::query(
                "insert into order_request (person_id, request_id, environment_id, digest, created_at) \
                 values ($1, $2, $3, $4, $5)",
            )
            .bind(&new.orderer_id)
            .bind(key.request_id)
            .bind(&new.id)
            .bind(key.digest)
            .bind(now)
            .execute(self.connection())
            .await?;
        }
        let ordered = Note::new("ordered", format!("{} ordered {}", new.orderer_name, new.name));
        self.add_event(&new.id, &ordered, Some(&new.orderer_name), now).await?;
        Ok(Ordered::Created)
    }

    /// Why there can be no more of this name, for this person or in this team. The caller holds the lock on the team.
    pub(super) async fn refused(
        &mut self,
        team: &str,
        owner: &str,
        name: &str,
        quota: Quota,
    ) -> Result<Option<Refused>, StoreError> {
        let counts = sqlx::query(
            "select count(*) as team, cast(coalesce(sum(case when owner_id = $2 then 1 else 0 end), 0) as bigint) as person, \
             cast(coalesce(sum(case when name = $3 then 1 else 0 end), 0) as bigint) as named \
             from environment where team_id = $1 and deleted_at is null",
        )
        .bind(team)
        .bind(owner)
        .bind(name)
        .fetch_one(self.connection())
        .await?;
        let count = |column: &str| counts.try_get::<i64, _>(column);
        Ok(if count("named")? > 0 {
            Some(Refused::NameTaken)
        } else if count("person")? >= quota.per_person {
            Some(Refused::PersonQuota)
        } else if count("team")? >= quota.per_team {
            Some(Refused::TeamQuota)
        } else {
            None
        })
    }

    async fn insert_environment(&mut self, new: &NewEnvironment, now: i64) -> Result<(), StoreError> {
        let connection = self.connection();
        sqlx::query(
            "insert into environment (id, team_id, owner_id, name, template_version_id, provisioner, parameters, \
             sealed_secrets, topology, desired, generation, desired_at, state, network_observed, servers_ready, \
             servers_total, created_at, next_event_at, next_event_action, next_snapshot_at, due_at, lease_until, fence, \
             hints) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $11, $12, 0, 0, $13, $11, $14, $15, $16, $11, 0, 0, 0)",
        )
        .bind(&new.id)
        .bind(&new.team_id)
        .bind(&new.owner_id)
        .bind(&new.name)
        .bind(&new.template_version_id)
        .bind(&new.provisioner)
        .bind(json::write("parameters", &new.parameters)?)
        .bind(new.sealed_secrets.as_deref())
        .bind(json::write("a topology", &new.topology)?)
        .bind(Desired::Running.as_str())
        .bind(now)
        .bind(State::Ordered.as_str())
        .bind(new.topology.servers.len() as i64)
        .bind(new.upcoming.event.map(|(at, _)| at))
        .bind(new.upcoming.event.map(|(_, action)| action.as_str()))
        .bind(new.upcoming.snapshot_at)
        .execute(&mut *connection)
        .await?;
        for server in &new.topology.servers {
            self.insert_server(&new.id, server, now).await?;
        }
        for volume in new.topology.volumes.iter().filter(|volume| !new.copied.contains(&volume.name)) {
            self.insert_volume(&new.id, volume, now).await?;
        }
        match new.team_id == drill::TEAM {
            true => Ok(()),
            false => self.schedule_drills(&new.id, now).await,
        }
    }

    pub(super) async fn insert_server(
        &mut self,
        environment: &str,
        server: &ServerSpec,
        now: i64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "insert into server (id, environment_id, name, address, generation, attempts, retry_at, \
             enrolled_generation, status_generation) values ($1, $2, $3, $4, 1, 0, 0, 0, 0)",
        )
        .bind(id(now))
        .bind(environment)
        .bind(&server.name)
        .bind(server.address.to_string())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// One that is to be made empty.
    pub(super) async fn insert_volume(
        &mut self,
        environment: &str,
        volume: &VolumeSpec,
        now: i64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "insert into volume (id, environment_id, name, size_bytes, role, created_at) \
             values ($1, $2, $3, $4, 'current', $5)",
        )
        .bind(id(now))
        .bind(environment)
        .bind(&volume.name)
        .bind(volume.size_bytes as i64)
        .bind(now)
        .execute(self.connection())
        .await?;
        Ok(())
    }
}

impl Store {
    /// By id, or by name among those not deleted; `None` when this team has none.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn environment(&self, team_id: &str, name_or_id: &str) -> Result<Option<EnvironmentRecord>, StoreError> {
        let by = match uuid::Uuid::try_parse(name_or_id) {
            Ok(_) => "e.id = $2",
            Err(_) => "e.name = $2 and e.deleted_at is null",
        };
        // What its list says and what its servers say must be of one moment.
        let mut connection = self.snapshot().await?;
        let row = sqlx::query(AssertSqlSafe(format!("{SUMMARY} where e.team_id = $1 and {by}")))
            .bind(team_id)
            .bind(name_or_id)
            .fetch_optional(&mut *connection)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let summary = summary(&row)?;
        let Some(facts) = facts::load(&mut connection, &summary.id).await? else { return Ok(None) };
        connection.rollback().await?;
        Ok(Some(EnvironmentRecord {
            team_id: row.try_get("team_id")?,
            owner_id: row.try_get("owner_id")?,
            provisioner: row.try_get("provisioner")?,
            template_id: row.try_get("template_id")?,
            template_version_id: row.try_get("template_version_id")?,
            note: row.try_get("note")?,
            parameters: json::read("parameters", &row.try_get::<String, _>("parameters")?)?,
            sealed_secrets: row.try_get("sealed_secrets")?,
            summary,
            facts: facts.facts,
        }))
    }
}

pub(super) fn summary(row: &AnyRow) -> Result<EnvironmentSummary, StoreError> {
    let next_event = match (row.try_get("next_event_at")?, row.try_get::<Option<String>, _>("next_event_action")?) {
        (Some(at), Some(action)) => Some(NextEvent { at, action: json::word("an action", action)? }),
        _ => None,
    };
    Ok(EnvironmentSummary {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        template: row.try_get("template")?,
        template_version: row.try_get("version")?,
        owner: row.try_get("owner")?,
        state: json::word("a state", row.try_get("state")?)?,
        waiting_for: row.try_get("waiting_for")?,
        created_at: row.try_get("created_at")?,
        ready_at: row.try_get("ready_at")?,
        next_event,
        servers_ready: row.try_get::<i64, _>("servers_ready")? as u32,
        servers_total: row.try_get::<i64, _>("servers_total")? as u32,
        tags: tags(row.try_get("tags")?),
    })
}

/// No tag has a space in it.
fn tags(joined: Option<String>) -> Vec<String> {
    let mut tags: Vec<String> = joined.iter().flat_map(|tags| tags.split(' ')).map(str::to_owned).collect();
    tags.sort_unstable();
    tags
}

impl ScheduledAction {
    /// As in the database, and as the person's action of the same name.
    pub fn as_str(self) -> &'static str {
        self.action().as_str()
    }
    /// What a person would ask for to the same end.
    pub fn action(self) -> Action {
        match self {
            ScheduledAction::Park => Action::Park,
            ScheduledAction::Resume => Action::Resume,
            ScheduledAction::Delete => Action::Delete,
        }
    }
}
