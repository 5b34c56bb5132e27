//! From a secret to the person behind it, and the end of that.
//!
//! Asked on every request, so an answer is kept for [`FRESH_MS`]. Guaranteed: what this process revokes (sign-out, a token
//! deleted, a person disabled) is forgotten at once and ends open connections at once; what another portal on the same
//! database revokes takes at most [`FRESH_MS`] for requests and [`RECHECK`] for open connections.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use app::api::Role;
use app::portal::SignedIn;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::secret;
use crate::clock::Clock;
use crate::store::{CredentialRow, Store, StoreError};

/// How long an answer of the database is believed.
const FRESH_MS: i64 = 2_000;
/// How often an open connection asks again whether it may go on.
const RECHECK: Duration = Duration::from_secs(15);
/// Answers kept at most; beyond that all are forgotten, which costs one query each.
const KEPT: usize = 10_000;
/// The time of last use is written down no oftener than this.
const TOUCH_MS: i64 = 60_000;

/// A session ends after this time whatever happens …
pub const SESSION_MS: i64 = 14 * 24 * 3600 * 1000;
/// … and after this time without a request: long enough for a weekend.
pub const SESSION_IDLE_MS: i64 = 3 * 24 * 3600 * 1000;

/// A person, and what proved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub person: SignedIn,
    pub credential: Credential,
}

/// What proved who somebody is: enough to find it again, not enough to use it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Credential {
    /// The hash of the session's secret.
    Session(String),
    /// The hash of the token.
    Token(String),
}

/// What has just ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// One session, by the hash of its secret.
    Session(String),
    /// One API token, by its id.
    Token(String),
    /// Everything a person had, by the person's id.
    Person(String),
}

/// Answers who asks. One per process, shared by everything that takes a secret.
pub struct Identities {
    store: Store,
    clock: Clock,
    known: Mutex<Known>,
    revoked: broadcast::Sender<Revoked>,
}

#[derive(Default)]
struct Known {
    answers: HashMap<Credential, Answer>,
    /// Grows with each revocation: an answer that was asked for before it is not kept.
    epoch: u64,
}

struct Answer {
    identity: Identity,
    /// Of a token its id; of a session the hash of its secret.
    id: String,
    asked_at: i64,
    expires_at: i64,
}

impl Identities {
    pub fn new(store: Store, clock: Clock) -> Arc<Identities> {
        let (revoked, _) = broadcast::channel(256);
        Arc::new(Identities { store, clock, known: Mutex::default(), revoked })
    }

    /// The person behind a session's secret.
    ///
    /// # Errors
    /// When the database could not be asked.
    pub async fn by_session(&self, secret: &str) -> Result<Option<Identity>, StoreError> {
        match secret::hash(secret) {
            Some(hash) => self.find(Credential::Session(hash)).await,
            None => Ok(None),
        }
    }

    /// The person behind an API token.
    ///
    /// # Errors
    /// When the database could not be asked.
    pub async fn by_token(&self, token: &str) -> Result<Option<Identity>, StoreError> {
        match secret::hash(token) {
            Some(hash) if token.starts_with(secret::TOKEN_PREFIX) => self.find(Credential::Token(hash)).await,
            _ => Ok(None),
        }
    }

    /// The person behind a credential, if it still counts.
    ///
    /// # Errors
    /// When the database could not be asked.
    pub async fn find(&self, credential: Credential) -> Result<Option<Identity>, StoreError> {
        let now = self.clock.now();
        let epoch = {
            let known = self.known();
            if let Some(answer) = known.answers.get(&credential)
                && (answer.asked_at..answer.asked_at + FRESH_MS).contains(&now)
                && now < answer.expires_at
            {
                return Ok(Some(answer.identity.clone()));
            }
            known.epoch
        };
        let row = match &credential {
            Credential::Session(hash) => self.store.session(hash).await?,
            Credential::Token(hash) => self.store.token(hash).await?,
        };
        let Some(row) = row.filter(|row| still_counts(row, &credential, now)) else {
            self.known().answers.remove(&credential);
            return Ok(None);
        };
        if row.last_used_at.is_none_or(|at| now - at >= TOUCH_MS) {
            self.touch(&credential, &row.credential, now).await;
        }
        let identity = Identity { person: person(&row), credential: credential.clone() };
        let expires_at = row.expires_at.unwrap_or(i64::MAX);
        let answer = Answer { identity: identity.clone(), id: row.credential, asked_at: now, expires_at };
        let mut known = self.known();
        if known.epoch == epoch {
            if known.answers.len() >= KEPT {
                known.answers.clear();
            }
            known.answers.insert(credential, answer);
        }
        Ok(Some(identity))
    }

    /// Forgets what has ended and ends the connections that stand on it. Called after the commit that ended it.
    pub fn revoke(&self, revoked: Revoked) {
        {
            let mut known = self.known();
            known.epoch += 1;
            known.answers.retain(|credential, answer| !ends(&revoked, credential, answer));
        }
        // Nobody listening means that no connection is open.
        let _ = self.revoked.send(revoked);
    }

    /// Something about this person is told differently from now on: the next request asks anew.
    pub fn refresh(&self, person_id: &str) {
        let mut known = self.known();
        known.epoch += 1;
        known.answers.retain(|_, answer| answer.identity.person.person_id != person_id);
    }

    /// Completes when this identity no longer counts. Whoever keeps a connection open for somebody ends it then.
    pub fn ended(self: &Arc<Self>, identity: &Identity) -> impl Future<Output = ()> + Send + 'static {
        let mut revoked = self.revoked.subscribe();
        let identities = self.clone();
        let identity = identity.clone();
        async move {
            loop {
                match tokio::time::timeout(RECHECK, revoked.recv()).await {
                    Ok(Ok(Revoked::Person(id))) if id != identity.person.person_id => continue,
                    Ok(Ok(Revoked::Session(hash))) if identity.credential != Credential::Session(hash.clone()) => {
                        continue;
                    }
                    Ok(Err(RecvError::Closed)) => return,
                    // Revoked, perhaps revoked (a token is known by its hash here), missed something, or time to ask again.
                    _ => {}
                }
                match identities.find(identity.credential.clone()).await {
                    Ok(Some(_)) => {}
                    Ok(None) => return,
                    // Without the database nobody can say; it is asked again.
                    Err(_) => {}
                }
            }
        }
    }

    async fn touch(&self, credential: &Credential, id: &str, now: i64) {
        let touched = async {
            let mut tx = self.store.write().await?;
            match credential {
                Credential::Session(hash) => tx.touch_session(hash, now).await?,
                Credential::Token(_) => tx.touch_token(id, now).await?,
            }
            tx.commit().await
        };
        // A full disk must not sign people out.
        if let Err(error) = touched.await {
            tracing::warn!(%error, "the time a session or token was last used could not be written down");
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn ends(revoked: &Revoked, credential: &Credential, answer: &Answer) -> bool {
    match revoked {
        Revoked::Session(hash) => matches!(credential, Credential::Session(known) if known == hash),
        Revoked::Token(id) => matches!(credential, Credential::Token(_)) && answer.id == *id,
        Revoked::Person(id) => answer.identity.person.person_id == *id,
    }
}

fn still_counts(row: &CredentialRow, credential: &Credential, now: i64) -> bool {
    let idle = match credential {
        Credential::Session(_) => row.last_used_at.is_some_and(|at| now - at >= SESSION_IDLE_MS),
        Credential::Token(_) => false,
    };
    row.disabled_at.is_none() && row.expires_at.is_none_or(|at| now < at) && !idle
}

fn person(row: &CredentialRow) -> SignedIn {
    SignedIn {
        person_id: row.person_id.clone(),
        name: row.name.clone(),
        team_id: row.team_id.clone(),
        role: role(&row.role),
        time_zone: row.time_zone.clone(),
    }
}

/// A role as the database spells it. Whatever is not an administrator has no more than a user's rights.
pub fn role(word: &str) -> Role {
    if word == role_word(Role::Administrator) { Role::Administrator } else { Role::User }
}

/// As the database spells it.
pub fn role_word(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Administrator => "administrator",
    }
}
