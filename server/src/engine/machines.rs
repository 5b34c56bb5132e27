//! What an operator may know of the provisioners, and how what nobody owns is removed.
//!
//! A leftover is something a provisioner of this installation has for an environment that the database does not know, or
//! knows to be deleted. It has no row, so there is no effect to record before its removal; the audit event that names it is
//! committed first instead, and the steps are those any deletion takes, which may be repeated. Guaranteed: what an
//! environment that lives may need is never listed and never touched, because that is asked of the database once more
//! right before. Single things that a provisioner has and nothing remembered names are found by [`super::orphans`].

use std::sync::Arc;
use std::time::Duration;

use app::api::ApiError;
use futures::future::join_all;
use provisioners::{
    AtRest, Capabilities, Capacity, Effect, EffectToken, EnvironmentId, KeptWarm, OrphanKind, PaidReading,
    ProvisionError, Provisioner, ReadingIn, Remains, RestPrice, SnapshotId, Step, WarmOffer,
};
use sha2::{Digest, Sha256};

use super::orphans::{self, NotRemoved};
use crate::store::{OrphanLook, OrphanRow, Store, StoreError};

/// What was deleted a moment ago may still be on its way out.
const ON_ITS_WAY_OUT_MS: i64 = 60_000;
/// For a provisioner to answer an operator.
const PATIENCE: Duration = Duration::from_secs(20);

/// The provisioners, for operators to look at. Cheap to clone.
#[derive(Clone)]
pub struct Machines {
    provisioners: Vec<Arc<dyn Provisioner>>,
    store: Store,
}

/// How a provisioner is.
pub struct Health {
    pub name: String,
    pub capabilities: Capabilities,
    pub capacity: Option<Capacity>,
    /// How many environments have anything there, or why that cannot be asked.
    pub environments: Result<usize, String>,
}

/// See the module.
pub struct Unowned {
    pub provisioner: String,
    /// `None`: no such environment was ever known here.
    pub deleted_at: Option<i64>,
    pub remains: Remains,
}

/// A single thing that nobody owns, and when the provisioner's policy ends it.
pub struct FoundOrphan {
    pub row: OrphanRow,
    pub ends_at: Option<i64>,
}

impl Machines {
    pub fn new(provisioners: Vec<Arc<dyn Provisioner>>, store: Store) -> Machines {
        Machines { provisioners, store }
    }

    pub async fn health(&self) -> Vec<Health> {
        let health = async |provisioner: &Arc<dyn Provisioner>| Health {
            name: provisioner.name().to_owned(),
            capabilities: provisioner.capabilities(),
            capacity: provisioner.capacity().await,
            environments: inventory(provisioner.as_ref())
                .await
                .map(|found| found.len())
                .map_err(|error| error.to_string()),
        };
        join_all(self.provisioners.iter().map(health)).await
    }

    /// `None`: this portal does not have it.
    fn provisioner(&self, name: &str) -> Option<&Arc<dyn Provisioner>> {
        self.provisioners.iter().find(|one| one.name() == name)
    }

    /// Volumes that read slowly for now.
    pub fn reading_in(&self, provisioner: &str, environment: &EnvironmentId) -> Vec<ReadingIn> {
        let provisioner = self.provisioner(provisioner);
        provisioner.map(|provisioner| provisioner.reading_in(environment)).unwrap_or_default()
    }

    /// What keeping this at a provisioner costs; `None` when this portal does not have it.
    pub fn price_at_rest(&self, provisioner: &str, kept: &AtRest) -> Option<RestPrice> {
        let provisioner = self.provisioner(provisioner);
        provisioner.map(|provisioner| provisioner.price_at_rest(kept))
    }

    /// At what rate and price what begins with a snapshot is read in; `None`: nobody pays for that.
    pub fn paid_reading(&self, provisioner: &str) -> Option<PaidReading> {
        self.provisioner(provisioner)?.paid_reading()
    }

    /// What keeping a snapshot of so many volumes warm costs; `None` where that is not offered.
    pub fn warm_offer(&self, provisioner: &str, environment: &EnvironmentId, volumes: usize) -> Option<WarmOffer> {
        self.provisioner(provisioner)?.warm_offer(environment, volumes)
    }

    /// # Errors
    /// As [`Provisioner::keep_warm`].
    pub async fn keep_warm(
        &self,
        provisioner: &str,
        environment: &EnvironmentId,
        snapshot: &SnapshotId,
        until: Option<i64>,
    ) -> Result<(), ProvisionError> {
        match self.provisioner(provisioner) {
            Some(provisioner) => provisioner.keep_warm(environment, snapshot, until).await,
            None => {
                Err(ProvisionError::Rejected { message: format!("This portal does not have “{provisioner}”.") })
            }
        }
    }

    /// # Errors
    /// As [`Provisioner::kept_warm`].
    pub async fn kept_warm(
        &self,
        provisioner: &str,
        environment: &EnvironmentId,
    ) -> Result<Vec<KeptWarm>, ProvisionError> {
        match self.provisioner(provisioner) {
            Some(provisioner) => provisioner.kept_warm(environment).await,
            None => Ok(Vec::new()),
        }
    }

    /// Of all provisioners that answer; which do not, [`health`](Self::health) tells.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn unowned(&self, now: i64) -> Result<Vec<Unowned>, ApiError> {
        let inventories = join_all(self.provisioners.iter().map(|provisioner| inventory(provisioner.as_ref()))).await;
        let mut all = Vec::new();
        for (provisioner, found) in self.provisioners.iter().zip(inventories) {
            for environment in found.unwrap_or_default() {
                if let Some(unowned) = self.look(provisioner.as_ref(), &environment, now).await? {
                    all.push(unowned);
                }
            }
        }
        Ok(all)
    }

    /// What there is of this environment, when nobody owns it.
    ///
    /// # Errors
    /// When the database or the provisioner cannot be asked.
    pub async fn unowned_one(&self, provisioner: &str, id: &str, now: i64) -> Result<Option<Unowned>, ApiError> {
        let Some(provisioner) = self.provisioner(provisioner) else { return Ok(None) };
        let found = inventory(provisioner.as_ref()).await.map_err(unanswered)?;
        match found.into_iter().find(|environment| environment.as_str() == id) {
            Some(environment) => self.look(provisioner.as_ref(), &environment, now).await,
            None => Ok(None),
        }
    }

    /// Single things that nobody owns, as they were last seen.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn orphans(&self) -> Result<Vec<FoundOrphan>, ApiError> {
        Ok(self.store.orphans().await.map_err(unread)?.into_iter().map(|row| self.found_orphan(row)).collect())
    }

    /// # Errors
    /// As [`orphans`](Self::orphans).
    pub async fn orphan(&self, provisioner: &str, id: &str) -> Result<Option<FoundOrphan>, ApiError> {
        Ok(self.store.orphan(provisioner, id).await.map_err(unread)?.map(|row| self.found_orphan(row)))
    }

    fn found_orphan(&self, row: OrphanRow) -> FoundOrphan {
        let provisioner = self.provisioner(&row.provisioner);
        let after = provisioner.filter(|_| row.orphan.kind == OrphanKind::Server);
        let after = after.and_then(|provisioner| provisioner.orphan_servers_end_after());
        let after = after.map(|after| i64::try_from(after.as_millis()).unwrap_or(i64::MAX));
        FoundOrphan { ends_at: after.map(|after| row.first_seen_at.saturating_add(after)), row }
    }

    /// How each provisioner was last looked through for such things.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn looks(&self) -> Result<Vec<OrphanLook>, ApiError> {
        self.store.orphan_looks().await.map_err(unread)
    }

    /// Removes a single thing. The audit event that says so is committed.
    ///
    /// # Errors
    /// When it is owned after all, or the provisioner did not do it: asking again is harmless.
    pub async fn remove_orphan(&self, found: &FoundOrphan, now: i64) -> Result<(), ApiError> {
        let OrphanRow { provisioner, orphan, .. } = &found.row;
        let provisioner = self.provisioner(provisioner);
        let provisioner = provisioner.ok_or_else(|| {
            ApiError::conflict("This portal does not have that provisioner any more")
                .with_detail("Start it with that provisioner's table in --provisioners, then remove it.")
        })?;
        orphans::remove(&self.store, provisioner.as_ref(), orphan, now).await.map_err(|error| match error {
            NotRemoved::Owned => ApiError::conflict("It is owned after all").with_detail("Nothing was removed."),
            NotRemoved::Store(error) => unread(error),
            NotRemoved::Provisioner(error) => unanswered(error),
        })
    }

    /// Removes it, volumes included. The audit event that says so is committed.
    ///
    /// # Errors
    /// When it is owned after all, or the provisioner did not do it: asking again is harmless.
    pub async fn remove(&self, unowned: &Unowned, now: i64) -> Result<(), ApiError> {
        let environment = &unowned.remains.environment;
        let gone = || ApiError::conflict("It is owned after all").with_detail("Nothing was removed.");
        let provisioner = self.provisioner(&unowned.provisioner).ok_or_else(gone)?;
        self.look(provisioner.as_ref(), environment, now).await?.ok_or_else(gone)?;
        let volumes = unowned.remains.volumes.iter().map(|volume| Step::DeleteVolume { volume: volume.clone() });
        for (index, step) in std::iter::once(Step::DeleteNetwork).chain(volumes).enumerate() {
            let (token, environment) = (token(environment, index), environment.clone());
            let effect = Effect { token, environment, step, call: 1, enrolment: None, by_schedule: false };
            provisioner.request(&effect).await.map_err(unanswered)?;
        }
        Ok(())
    }

    async fn look(
        &self,
        provisioner: &dyn Provisioner,
        environment: &EnvironmentId,
        now: i64,
    ) -> Result<Option<Unowned>, ApiError> {
        let deleted_at = match self.store.was_deleted(environment.as_str()).await.map_err(unread)? {
            Some(None) => return Ok(None),
            Some(Some(at)) if now < at + ON_ITS_WAY_OUT_MS => return Ok(None),
            Some(Some(at)) => Some(at),
            None => None,
        };
        let remains = provisioner.remains(environment).await.map_err(unanswered)?;
        Ok(Some(Unowned { provisioner: provisioner.name().to_owned(), deleted_at, remains }))
    }
}

async fn inventory(provisioner: &dyn Provisioner) -> Result<Vec<EnvironmentId>, ProvisionError> {
    tokio::time::timeout(PATIENCE, provisioner.inventory()).await.unwrap_or_else(|_| {
        let message = format!("it did not answer within {} seconds", PATIENCE.as_secs());
        Err(ProvisionError::Unknown { message })
    })
}

fn token(environment: &EnvironmentId, index: usize) -> EffectToken {
    let digest = Sha256::digest(format!("leftover {environment} {index}"));
    EffectToken::new(digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn unanswered(error: ProvisionError) -> ApiError {
    ApiError::unavailable("The provisioner could not do it").with_detail(format!("{error}"))
}

fn unread(error: StoreError) -> ApiError {
    tracing::error!(%error, "the database could not be asked whose something is");
    ApiError::internal()
}
