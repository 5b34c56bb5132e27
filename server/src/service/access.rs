//! Who may do what. Called on the first line of every use case.
//!
//! | who | may |
//! |---|---|
//! | nobody | sign in, use the first administrator's link |
//! | a person | see the team's catalog, environments, timelines and events; order; manage own tokens |
//! | the owner of an environment | also act on it, open terminals, commands and ports, read logs, files and sensitive outputs |
//! | an administrator | all of it for every environment of the team, and manage the team's people |
//!
//! What belongs to another team answers exactly like what does not exist.

use app::api::{ApiError, Role};
use app::portal::{Actor, SignedIn};

use crate::store::EnvironmentRecord;

/// # Errors
/// 401 when nobody is signed in.
pub fn person(actor: &Actor) -> Result<&SignedIn, ApiError> {
    match actor {
        Actor::Person(person) => Ok(person),
        Actor::Anonymous { .. } => Err(ApiError::unauthenticated()),
    }
}

/// # Errors
/// 401 when nobody is signed in, 403 for everybody else.
pub fn administrator(actor: &Actor) -> Result<&SignedIn, ApiError> {
    let person = person(actor)?;
    administrates(person).map(|()| person)
}

/// # Errors
/// 403 for everybody else.
pub fn administrates(person: &SignedIn) -> Result<(), ApiError> {
    match person.role {
        Role::Administrator => Ok(()),
        Role::User => Err(ApiError::forbidden("Only administrators can do this")),
    }
}

pub fn is_theirs(person: &SignedIn, environment: &EnvironmentRecord) -> bool {
    person.role == Role::Administrator || environment.owner_id == person.person_id
}

/// # Errors
/// 403 unless it is the person's own, or the person is an administrator. The team may know that it exists.
pub fn owner(person: &SignedIn, environment: &EnvironmentRecord) -> Result<(), ApiError> {
    if is_theirs(person, environment) {
        return Ok(());
    }
    let title = format!("“{}” belongs to {}", environment.summary.name, environment.summary.owner);
    Err(ApiError::forbidden(title).with_detail("Only its owner and administrators can do this."))
}
