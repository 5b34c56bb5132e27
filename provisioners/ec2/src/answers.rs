//! What the engine is answered when it asks for a step, and the little that all steps do.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use provisioners::{EnvironmentId, ProvisionError};

use super::Shared;
use super::amazon::CallError;
use super::place::Place;
use super::records::{Record, Records};

pub(super) type Accepted = Result<(), ProvisionError>;

const SOON: Duration = Duration::from_secs(2);
const BETWEEN_SNAPSHOTS: Duration = Duration::from_secs(15);

pub(super) fn rejected(message: impl Into<String>) -> ProvisionError {
    ProvisionError::Rejected { message: message.into() }
}

pub(super) fn soon(message: impl Into<String>) -> ProvisionError {
    ProvisionError::Retryable { message: message.into(), after: SOON }
}

pub(super) fn refused(error: CallError) -> ProvisionError {
    match &error {
        // One in 15 seconds for each volume, and so many at the same time in a region.
        CallError::Refused { code, .. }
            if code == "SnapshotCreationPerVolumeRateExceeded" || code == "ConcurrentSnapshotLimitExceeded" =>
        {
            ProvisionError::Retryable { message: error.plain(), after: BETWEEN_SNAPSHOTS }
        }
        CallError::Refused { .. } => rejected(error.plain()),
        CallError::Throttled(_) => soon(error.to_string()),
        CallError::Unknown { .. } => ProvisionError::Unknown { message: error.to_string() },
    }
}

impl Shared {
    /// Writes one record over what was read; that somebody else wrote meanwhile is no reason to give up.
    pub(super) async fn put(&self, environment: &EnvironmentId, from: i64, record: Record) -> Accepted {
        match self.write(environment, vec![(from, record)]).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(ProvisionError::Retryable {
                message: "another step of this environment was quicker".to_owned(),
                after: Duration::ZERO,
            }),
            Err(error) => Err(ProvisionError::Unknown { message: error.to_string() }),
        }
    }

    pub(super) fn known_place(&self) -> Result<Arc<Place>, ProvisionError> {
        self.place.read().unwrap_or_else(PoisonError::into_inner).clone().map_err(soon)
    }

    pub(super) async fn known(&self, environment: &EnvironmentId) -> Result<Records, ProvisionError> {
        self.records_of(environment).await.map_err(|error| soon(error.to_string()))
    }
}
