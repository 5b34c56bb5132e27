//! API tokens: their terms, and those made on the server's own machine, the way in for automation beside a running portal.

use app::api::{FieldError, TokenRequest};
use serde_json::json;

use super::password::{PasswordError, Passwords};
use super::{identity, name, secret};
use crate::store::{self, AuditEvent, NewPerson, NewToken, Store, StoreError};

/// The team everybody is of until there are more.
pub const DEFAULT_TEAM: &str = "default";

const DAY_MS: i64 = 24 * 3600 * 1000;
const LONGEST_NAME: usize = 100;
const LONGEST_LIFE_DAYS: u32 = 3650;

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

/// What a token is for, and when it ends: both judged and counted here, wherever it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    pub name: String,
    pub expires_at: Option<i64>,
}

impl Terms {
    /// # Errors
    /// The fields `name` and `expires_in_days`, and what would be right.
    pub fn new(request: &TokenRequest, now: i64) -> Result<Terms, Vec<FieldError>> {
        let name = request.name.trim();
        let mut wrong = Vec::new();
        if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
            let message = "has 1 to 100 characters and no line ends; say what the token is for".to_string();
            wrong.push(FieldError { field: "name".into(), message });
        }
        if request.expires_in_days.is_some_and(|days| !(1..=LONGEST_LIFE_DAYS).contains(&days)) {
            wrong
                .push(FieldError { field: "expires_in_days".into(), message: "is from 1 to 3650, or left out".into() });
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let expires_at = request.expires_in_days.map(|days| now + i64::from(days) * DAY_MS);
        Ok(Terms { name: name.to_string(), expires_at })
    }
}

/// Makes an API token for this person, and the person as an administrator when there is none of that name. Whoever may
/// write the database needs no other proof; the audit log says that it came from there. Returns the token.
///
/// # Errors
/// When the name cannot be one, the person is disabled, or the database could not be written.
pub async fn create_on_this_machine(store: &Store, user: &str, terms: &Terms, now: i64) -> Result<String, TokenError> {
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
        name: &terms.name,
        secret_hash: &secret_hash,
        now,
        expires_at: terms.expires_at,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite_url;

    const NOW: i64 = 1_800_000_000_000;

    #[tokio::test]
    async fn a_token_made_on_this_machine_is_called_and_ends_as_it_was_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&sqlite_url(&directory.path().join("bookend.db"))).await.unwrap();
        let terms = Terms::new(&TokenRequest { name: " nightly ".into(), expires_in_days: Some(2) }, NOW).unwrap();
        create_on_this_machine(&store, "robot", &terms, NOW).await.unwrap();
        let robot = store.person("robot").await.unwrap().unwrap();
        let tokens = store.tokens_of(&robot.id).await.unwrap();
        assert_eq!((tokens[0].name.as_str(), tokens[0].expires_at), ("nightly", Some(NOW + 2 * DAY_MS)));
    }

    #[test]
    fn all_that_is_wrong_with_a_tokens_terms_is_told_at_once() {
        let wrong = Terms::new(&TokenRequest { name: "a\nb".into(), expires_in_days: Some(0) }, NOW).unwrap_err();
        let fields: Vec<&str> = wrong.iter().map(|wrong| wrong.field.as_str()).collect();
        assert_eq!(fields, ["name", "expires_in_days"]);
    }
}
