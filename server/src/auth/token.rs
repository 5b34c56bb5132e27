//! API tokens made on the server's own machine: the way in for automation, beside a running portal.

use serde_json::json;

use super::password::{PasswordError, Passwords};
use super::{identity, name, secret};
use crate::store::{self, AuditEvent, NewPerson, NewToken, Store, StoreError};

/// The team everybody is of until there are more.
pub const DEFAULT_TEAM: &str = "default";

#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("the name {0}")]
    Name(String),
    #[error("{name} is disabled; an administrator can let {name} in again")]
    Disabled { name: String },
    #[error("the token was not made")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Password(#[from] PasswordError),
}

/// Makes an API token for this person, and the person as an administrator when there is none of that name. Whoever may
/// write the database needs no other proof; the audit log says that it came from there. Returns the token.
///
/// # Errors
/// When the name cannot be one, the person is disabled, or the database could not be written.
pub async fn create_on_this_machine(store: &Store, user: &str, now: i64) -> Result<String, TokenError> {
    let name = name::sign_in_name(user).map_err(|field| TokenError::Name(field.message))?;
    let known = store.person(&name).await?;
    // Made outside the transaction: hashing takes its time. Nobody knows this password.
    let unknown_password = match known {
        Some(_) => None,
        None => Some(Passwords::new()?.hash(&secret::generate()).await?),
    };
    let mut tx = store.write().await?;
    let team_id = tx.team(DEFAULT_TEAM, &store::id(now)).await?;
    let (person_id, team_id) = match (known, unknown_password) {
        (Some(person), _) if person.disabled_at.is_some() => return Err(TokenError::Disabled { name }),
        (Some(person), _) => (person.id, person.team_id),
        (None, password_hash) => {
            let id = store::id(now);
            let role = identity::role_word(app::api::Role::Administrator);
            let password_hash = password_hash.as_deref().unwrap_or_default();
            tx.insert_person(&NewPerson { id: &id, team_id: &team_id, name: &name, password_hash, role, now }).await?;
            (id, team_id)
        }
    };
    let token = secret::generate_token();
    let token_id = store::id(now);
    let secret_hash = secret::digest(token.as_bytes());
    tx.insert_token(&NewToken {
        id: &token_id,
        person_id: &person_id,
        name: "command line",
        secret_hash: &secret_hash,
        now,
        expires_at: None,
    })
    .await?;
    tx.audit(&AuditEvent {
        id: &store::id(now),
        team_id: Some(&team_id),
        at: now,
        actor: "command line",
        action: "create_token",
        target: &name,
        detail: json!({ "token": token_id }),
    })
    .await?;
    tx.commit().await?;
    Ok(token)
}
