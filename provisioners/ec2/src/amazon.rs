//! Amazon's calls, one function each: our words in, our words out, and what went wrong told apart by what may follow from it.
//! Those that look are in `describe`, those that change something in `change`.
//!
//! The client's own retries are off: whether to ask again, with what token and when, is decided by who knows what the call is
//! for. Each call costs tokens ([`Paid`]).

mod change;
mod describe;
mod presign;

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::SharedCredentialsProvider;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::types::Tag;
use sha2::{Digest, Sha256};

pub use self::change::Rule;
pub use self::describe::{
    EbsSnapshot, EbsVolume, FastState, Instance, InstanceState, MachineImage, Reading, SecurityGroup, SnapshotState,
    Subnet, TypeFacts, VolumeState,
};

use super::buckets::{Buckets, Paid};
use super::queue::Queue;
use super::tags::Tags;

/// Why a call brought nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Amazon decided against it; it did not happen.
    #[error("Amazon refused {call}: {message} ({code})")]
    Refused { call: &'static str, code: String, message: String },
    /// It did not happen, for we ask too fast.
    #[error("Amazon is asked too fast ({0})")]
    Throttled(&'static str),
    /// It may have happened.
    #[error("{call} brought no answer: {message}")]
    Unknown { call: &'static str, message: String },
}

impl CallError {
    pub fn code(&self) -> &str {
        match self {
            CallError::Refused { code, .. } => code,
            CallError::Throttled(_) | CallError::Unknown { .. } => "",
        }
    }

    /// For people: what Amazon says, and what that usually means.
    pub fn plain(&self) -> String {
        let CallError::Refused { call, code, message } = self else { return self.to_string() };
        let hint = match code.as_str() {
            "UnauthorizedOperation" | "AccessDenied" => {
                let message = message.split(" Encoded authorization").next().unwrap_or(message).trim_end_matches('.');
                return format!(
                    "Bookend may not do this on Amazon ({call}): {message}. `bookend doctor ec2` says what is missing."
                );
            }
            "AuthFailure" | "InvalidClientTokenId" => {
                " Bookend's credentials for Amazon are not accepted: an administrator has to look."
            }
            _ => "",
        };
        format!("Amazon refused: {message} ({code}).{hint}")
    }

    /// Another type or another zone may have room.
    pub fn is_for_want_of_room(&self) -> bool {
        FOR_WANT_OF_ROOM.contains(&self.code())
    }
}

pub type Called<T> = Result<T, CallError>;

/// Twice as long as what Amazon shows is known to lag behind.
pub const LAG_MS: i64 = 10 * 60_000;

/// Refusals that another type or zone may not have.
const FOR_WANT_OF_ROOM: [&str; 9] = [
    "InsufficientInstanceCapacity",
    "InsufficientHostCapacity",
    "InsufficientCapacity",
    "InsufficientFreeAddressesInSubnet",
    "InstanceLimitExceeded",
    "VcpuLimitExceeded",
    "MaxSpotInstanceCountExceeded",
    "SpotMaxPriceTooLow",
    "Unsupported",
];

/// Codes that say "slower", of all that Amazon's services use.
const THROTTLED: [&str; 4] =
    ["RequestLimitExceeded", "ResourceLimitExceeded.Throttled", "Throttling", "ThrottlingException"];
/// Answers after which nobody knows.
const UNSURE: [&str; 6] =
    ["InternalError", "InternalFailure", "ServerInternal", "ServiceUnavailable", "Unavailable", "RequestTimeout"];

/// Nothing happened; it may be otherwise with the next credentials, and nobody has to ask again then.
const EXPIRED: [&str; 3] = ["ExpiredToken", "ExpiredTokenException", "RequestExpired"];

/// A client token of what makes a call this one.
pub fn client_token(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One account and region.
#[derive(Clone)]
pub struct Amazon {
    client: Client,
    /// The client's own, for what is signed besides the calls; without them nothing is copied from other regions.
    credentials: Option<SharedCredentialsProvider>,
    pub buckets: Arc<Buckets>,
    /// Whose snapshots are taken next.
    pub snapshots: Arc<Queue>,
    /// Said with each call that changes something.
    dry_run: Option<bool>,
}

impl Amazon {
    pub fn new(client: Client, credentials: Option<SharedCredentialsProvider>) -> Self {
        let snapshots: Arc<Queue> = Arc::default();
        Self { client, credentials, buckets: snapshots.buckets.clone(), snapshots, dry_run: None }
    }

    /// The same, waiting for the same tokens as others of its account and region.
    pub fn sharing(self, snapshots: Arc<Queue>) -> Self {
        Self { buckets: snapshots.buckets.clone(), snapshots, ..self }
    }

    pub fn region(&self) -> Option<&str> {
        self.client.config().region().map(AsRef::as_ref)
    }

    /// The same, whose calls that change something are rehearsals: Amazon says whether it would let us, refuses with
    /// `DryRunOperation` if so, and does nothing.
    pub fn rehearsing(&self) -> Self {
        Self { dry_run: Some(true), ..self.clone() }
    }

    /// Understands an answer, and learns from a refusal that the bucket was emptier than thought.
    fn answered<T, E: ProvideErrorMetadata + std::error::Error + 'static>(
        &self,
        call: &'static str,
        paid: &Paid,
        sent: Result<T, SdkError<E>>,
    ) -> Called<T> {
        let called = understood(call, sent);
        if let Err(CallError::Throttled(_)) = &called {
            self.buckets.refused(paid);
        }
        called
    }
}

pub(super) fn understood<T, E: ProvideErrorMetadata + std::error::Error + 'static>(
    call: &'static str,
    sent: Result<T, SdkError<E>>,
) -> Called<T> {
    let error = match sent {
        Ok(answer) => return Ok(answer),
        Err(error) => error,
    };
    let unknown = |message: String| Err(CallError::Unknown { call, message });
    match &error {
        SdkError::ServiceError(refusal) => {
            let code = refusal.err().code().unwrap_or_default().to_owned();
            let message = refusal.err().message().unwrap_or_default().to_owned();
            if THROTTLED.contains(&code.as_str()) {
                return Err(CallError::Throttled(call));
            }
            if EXPIRED.contains(&code.as_str()) {
                return unknown(format!(
                    "{message} ({code}). Bookend's credentials for Amazon have expired, or its clock is wrong: an administrator has to look"
                ));
            }
            if code.is_empty() || UNSURE.contains(&code.as_str()) {
                return unknown(format!("{message} {code}").trim().to_owned());
            }
            Err(CallError::Refused { call, code, message })
        }
        SdkError::ConstructionFailure(_) => {
            Err(CallError::Refused { call, code: "InvalidRequest".to_owned(), message: told(&error) })
        }
        SdkError::DispatchFailure(_) if told(&error).contains(ROLE_REFUSED) => {
            let message = format!(
                "the role of `assume_role` is not given to these credentials, or not with this `external_id`: {}",
                told(&error)
            );
            Err(CallError::Refused { call, code: ROLE_REFUSED.to_owned(), message })
        }
        SdkError::DispatchFailure(_) => match wrong_credentials(&error) {
            Some(message) => Err(CallError::Refused { call, code: "InvalidConfiguration".to_owned(), message }),
            None => unknown(told(&error)),
        },
        _ => unknown(told(&error)),
    }
}

/// What STS answers; then the call itself never left.
const ROLE_REFUSED: &str = "AccessDenied";

/// What is wrong with where credentials are to come from, if that is why the call never left. None that were found yet may come.
fn wrong_credentials(error: &dyn std::error::Error) -> Option<String> {
    let causes = std::iter::successors(error.source(), |error| error.source());
    let mut credentials = causes.filter_map(|error| error.downcast_ref::<CredentialsError>());
    let wrong = credentials.find(|error| matches!(error, CredentialsError::InvalidConfiguration(_)))?;
    Some(std::error::Error::source(wrong).map_or_else(|| wrong.to_string(), told))
}

/// An error with its causes, in one line.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn listed(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

fn plain(tags: Option<Vec<Tag>>) -> BTreeMap<String, String> {
    tags.unwrap_or_default().into_iter().filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default()))).collect()
}
