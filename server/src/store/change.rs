//! Changes of what was ordered: another size or template version on the same volumes.

use std::collections::BTreeMap;

use sqlx::Row;

use super::snapshots::Wanted;
use super::{StoreError, Tx, json};
use crate::domain::note::Note;
use crate::domain::schedule;
use crate::domain::topology::{OwnRule, Topology};

/// What an environment is to become.
#[derive(Clone, Debug)]
pub struct NewOrder {
    pub template_version_id: String,
    /// Without secrets.
    pub parameters: BTreeMap<String, String>,
    pub sealed_secrets: Option<String>,
    pub topology: Topology,
}

impl Tx {
    /// Prepares a change that the engine brings about; `present` asks for a snapshot of what there is now.
    ///
    /// # Errors
    /// When the database refuses it, as it does while another change is under way.
    pub async fn begin_change(
        &mut self,
        environment: &str,
        new: &NewOrder,
        present: Option<Wanted<'_>>,
        now: i64,
    ) -> Result<(), StoreError> {
        let present = match present {
            Some(wanted) => Some(self.want_snapshot(&wanted, now).await?.snapshot),
            None => None,
        };
        sqlx::query(
            "insert into environment_change (environment_id, template_version_id, parameters, sealed_secrets, topology, \
             present_snapshot_id) values ($1, $2, $3, $4, $5, $6)",
        )
        .bind(environment)
        .bind(&new.template_version_id)
        .bind(json::write("parameters", &new.parameters)?)
        .bind(new.sealed_secrets.as_deref())
        .bind(json::write("a topology", &new.topology)?)
        .bind(present)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// No server runs: the environment is the other one from now on. Servers it has no more keep their rows, and their logs.
    pub(super) async fn changed(&mut self, environment: &str, now: i64) -> Result<Note, StoreError> {
        let row = sqlx::query(
            "select c.topology, e.snapshot_rule from environment_change c join environment e on e.id = c.environment_id \
             where e.id = $1",
        )
            .bind(environment)
            .fetch_one(self.connection())
            .await?;
        let topology: Topology = json::read("a topology", &row.try_get::<String, _>("topology")?)?;
        sqlx::query(
            "update environment set (template_version_id, parameters, sealed_secrets, topology) = \
             (select c.template_version_id, c.parameters, c.sealed_secrets, c.topology from environment_change c \
             where c.environment_id = $1), servers_total = $2 where id = $1",
        )
        .bind(environment)
        .bind(topology.servers.len() as i64)
        .execute(self.connection())
        .await?;
        let own: Option<OwnRule> = json::read_optional("a snapshot rule", row.try_get("snapshot_rule")?)?;
        self.set_upcoming(environment, schedule::upcoming(&topology, own.as_ref(), now)).await?;
        for server in &topology.servers {
            let known = sqlx::query("update server set address = $3 where environment_id = $1 and name = $2")
                .bind(environment)
                .bind(&server.name)
                .bind(server.address.to_string())
                .execute(self.connection())
                .await?;
            if known.rows_affected() == 0 {
                self.insert_server(environment, server, now).await?;
            }
        }
        for volume in &topology.volumes {
            let known = sqlx::query(
                "update volume set size_bytes = $3 where environment_id = $1 and name = $2 and role = 'current'",
            )
            .bind(environment)
            .bind(&volume.name)
            .bind(volume.size_bytes as i64)
            .execute(self.connection())
            .await?;
            if known.rows_affected() == 0 {
                self.insert_volume(environment, volume, now).await?;
            }
        }
        self.forget_change(environment).await?;
        let version: String = sqlx::query(
            "select v.version from environment e join template_version v on v.id = e.template_version_id where e.id = $1",
        )
        .bind(environment)
        .fetch_one(self.connection())
        .await?
        .try_get("version")?;
        Ok(Note::new("changed", format!("It is what it was to become: version {version}, on the volumes it had")))
    }

    pub(super) async fn unchanged(&mut self, environment: &str, reason: &str) -> Result<Note, StoreError> {
        self.forget_change(environment).await?;
        Ok(Note::new("not_changed", format!("Not changed, all stays as it was: {reason}")))
    }

    /// What was to become of it is of no interest any more.
    pub(super) async fn forget_change(&mut self, environment: &str) -> Result<(), StoreError> {
        sqlx::query("delete from environment_change where environment_id = $1")
            .bind(environment)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
