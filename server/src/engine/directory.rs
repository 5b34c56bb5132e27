//! What the agents' hub needs of the database ([`AgentDirectory`]): who may connect, what it should be, what it said.

use std::net::Ipv4Addr;

use agent::api::{HostEntry, Status};
use agent::link::Hello;
use async_trait::async_trait;
use provisioners::{MachineState, ObservedServer, ServerId};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Bell;
use super::configuration::config;
use crate::agents::{AgentDirectory, DirectoryError, EnrolError, Enrolled, LogBatch, Present};
use crate::clock::Clock;
use crate::keys::InstallationKey;
use crate::store::{AgentCredentials, Neighbour, Store, StoreError};

/// Log kept per server, in bytes; older lines go.
const LOG_BOUND: u64 = 8 * 1024 * 1024;

/// How long an agent may take from when its machine was had to its first call, in milliseconds: the longest start of a machine with
/// room to spare. A token that somebody comes upon later, in an image or among what is said of an instance, opens
/// nothing.
const ENROLMENT_LIFE_MS: i64 = 60 * 60 * 1000;

/// See the module.
pub struct Directory {
    pub store: Store,
    pub key: InstallationKey,
    pub clock: Clock,
    pub bell: Bell,
}

#[async_trait]
impl AgentDirectory for Directory {
    async fn enrol(&self, hello: &Hello) -> Result<Enrolled, EnrolError> {
        let key_hash: String = Sha256::digest(&hello.session_key).iter().map(|byte| format!("{byte:02x}")).collect();
        let credentials = self.credentials(hello).await?;
        let environment = match known(&credentials, hello, &key_hash) {
            true => self.store.set_agent_connected(&hello.server, hello.generation, true, self.clock.now()).await,
            false => Ok(Some(self.enrol_fresh(hello, &credentials, &key_hash).await?)),
        };
        if let Some(environment) = environment.map_err(unavailable)? {
            self.bell.ring(&environment);
        }
        let last_log_seq = self.store.last_log_line(&hello.server, hello.generation).await.map_err(unavailable)?;
        let present = self.present(&ServerId::new(&hello.server), hello.generation, hello.address).await;
        let present = present.map_err(EnrolError::Unavailable)?;
        Ok(Enrolled { environment: credentials.environment, present, last_log_seq })
    }

    async fn present(
        &self,
        server: &ServerId,
        generation: i64,
        from: Option<Ipv4Addr>,
    ) -> Result<Present, DirectoryError> {
        let known = self.store.server_configuration(server.as_str()).await?;
        let Some(known) = known.filter(|known| known.generation == generation) else { return Ok(Present::default()) };
        let host = |peer: &Neighbour| Some(HostEntry { name: peer.name.clone(), address: peer.address? });
        let mut hosts: Vec<HostEntry> = known.servers.iter().filter_map(host).collect();
        hosts.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Present { config: config(&self.key, &known, from)?, hosts })
    }

    async fn record_status(&self, server: &ServerId, generation: i64, status: &Status) -> Result<(), DirectoryError> {
        let now = self.clock.now();
        if let Some(environment) = self.store.report_status(server.as_str(), generation, status, now).await? {
            self.bell.ring(&environment);
        }
        Ok(())
    }

    async fn disconnected(&self, server: &ServerId, generation: i64) -> Result<(), DirectoryError> {
        let now = self.clock.now();
        if let Some(environment) = self.store.set_agent_connected(server.as_str(), generation, false, now).await? {
            self.bell.ring(&environment);
        }
        Ok(())
    }

    async fn append_logs(&self, batches: &[LogBatch]) -> Result<(), DirectoryError> {
        let now = self.clock.now();
        let mut tx = self.store.write().await?;
        for batch in batches {
            tx.append_log(batch.server.as_str(), batch.generation, &batch.lines, LOG_BOUND, now).await?;
        }
        Ok(tx.commit().await?)
    }
}

impl Directory {
    async fn credentials(&self, hello: &Hello) -> Result<AgentCredentials, EnrolError> {
        match self.store.agent_credentials(&hello.server).await.map_err(unavailable)? {
            Some(known) if known.deleted => Err(refused("this server is no more")),
            Some(known) if known.generation != hello.generation => Err(refused("this server has been replaced")),
            Some(known) => Ok(known),
            None => Err(refused("no such server")),
        }
    }

    /// The environment it belongs to.
    async fn enrol_fresh(
        &self,
        hello: &Hello,
        credentials: &AgentCredentials,
        key_hash: &str,
    ) -> Result<String, EnrolError> {
        let expected = self.key.enrolment(&ServerId::new(&hello.server), hello.generation);
        let given = hello.enrolment.as_deref().unwrap_or_default();
        if credentials.enrolled_generation >= hello.generation || !same(expected.reveal(), given) {
            return Err(refused("the enrolment token is wrong or used"));
        }
        if begun_at(credentials).is_some_and(|at| self.clock.now().saturating_sub(at) > ENROLMENT_LIFE_MS) {
            let minutes = ENROLMENT_LIFE_MS / 60_000;
            return Err(refused(&format!("the enrolment token is older than {minutes} minutes")));
        }
        let enrolled = self.store.enrol_agent(&hello.server, hello.generation, key_hash).await.map_err(unavailable)?;
        if !enrolled && !known(&self.credentials(hello).await?, hello, key_hash) {
            return Err(refused("the enrolment token is wrong or used"));
        }
        Ok(credentials.environment.clone())
    }
}

/// From when its token counts; `None`: it waits for a machine still, which may take long where they are few.
fn begun_at(credentials: &AgentCredentials) -> Option<i64> {
    let asked_at = credentials.start_asked_at.unwrap_or(i64::MIN);
    match &credentials.machine {
        Some(ObservedServer { state: MachineState::Starting { .. }, running_since: None, .. }) => None,
        Some(machine) => Some(machine.running_since.unwrap_or(asked_at)),
        None => Some(asked_at),
    }
}

/// It has enrolled before, with this very key.
fn known(credentials: &AgentCredentials, hello: &Hello, key_hash: &str) -> bool {
    credentials.enrolled_generation == hello.generation
        && credentials.key_hash.as_deref().is_some_and(|known| same(known, key_hash))
}

fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

fn refused(reason: &str) -> EnrolError {
    EnrolError::Refused(reason.to_owned())
}

fn unavailable(error: StoreError) -> EnrolError {
    EnrolError::Unavailable(Box::new(error))
}
