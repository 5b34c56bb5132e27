//! Signing in and out, and the first administrator.

use std::net::IpAddr;

use app::api::{ApiError, FieldError, PersonView, Role};
use app::portal::{Actor, SessionStarted, SignedIn};
use serde_json::json;

use super::trouble::failed;
use super::{Service, access};
use crate::auth::identity::{Revoked, SESSION_MS, role, role_word};
use crate::auth::limit::{Limit, WINDOW_MS, limits, wait_in_words};
use crate::auth::password::{self, PasswordError};
use crate::auth::token::DEFAULT_TEAM;
use crate::auth::{name, secret};
use crate::store::{self, AuditEvent, Begun, NewPerson, PersonRow, StoreError, Tx};

pub(super) async fn sign_in(
    service: &Service,
    actor: &Actor,
    typed: &str,
    password: &str,
) -> Result<SessionStarted, ApiError> {
    let (from, browser) = whence(actor);
    let limits = limits(&name::counted_as(typed), from);
    let attempts = count(service, &limits).await?;
    let found = match name::sign_in_name(typed) {
        Ok(name) => service.store.person(&name).await.map_err(failed)?,
        Err(_) => None,
    };
    let person = found.filter(|person| person.disabled_at.is_none());
    let stored = person.as_ref().map(|person| person.password_hash.as_str());
    let right = service.passwords.matches(password, stored).await.map_err(overloaded)?;
    let Some(person) = person.filter(|_| right) else {
        tracing::info!(?from, "an attempt to sign in failed");
        return Err(ApiError {
            title: "The name or the password is wrong".into(),
            ..ApiError::unauthenticated().with_detail("Check both, and try again.")
        });
    };
    let mut tx = service.store.write().await.map_err(failed)?;
    let started = async {
        for (limit, attempt) in limits.iter().zip(&attempts) {
            // The name is proved; others may be guessing from the same address.
            match limit.subject.starts_with("name ") {
                true => tx.forgive_all(&limit.subject).await?,
                false => tx.forgive(attempt).await?,
            }
        }
        let started =
            begin_session(service, &mut tx, &person.id, &person.name, &person.team_id, "sign_in", (from, browser))
                .await?;
        tx.commit().await.map(|()| started)
    };
    started.await.map_err(failed)
}

/// Where a request came from, and with what.
fn whence(actor: &Actor) -> (Option<IpAddr>, Option<&str>) {
    match actor {
        Actor::Anonymous { from, browser } => (*from, browser.as_deref()),
        Actor::Person(_) => (None, None),
    }
}

/// Counts the attempt under each limit, before the password is looked at.
///
/// # Errors
/// 429 when one of them was reached already; then it is not counted.
pub(super) async fn count(service: &Service, limits: &[Limit]) -> Result<Vec<String>, ApiError> {
    let now = service.clock.now();
    let attempts: Vec<String> = limits.iter().map(|_| store::id(now)).collect();
    let counted = async {
        let mut tx = service.store.write().await?;
        for (limit, attempt) in limits.iter().zip(&attempts) {
            tx.count_attempt(attempt, &limit.subject, now, now - WINDOW_MS).await?;
        }
        tx.commit().await?;
        let mut wait = None;
        for (limit, attempt) in limits.iter().zip(&attempts) {
            let (before, oldest) = service.store.attempts_before(&limit.subject, attempt, now - WINDOW_MS).await?;
            if before >= limit.failures {
                wait = wait.max(Some(oldest.unwrap_or(now) + WINDOW_MS - now));
            }
        }
        if wait.is_some() {
            let mut tx = service.store.write().await?;
            for attempt in &attempts {
                tx.forgive(attempt).await?;
            }
            tx.commit().await?;
        }
        Ok(wait)
    };
    match counted.await.map_err(failed)? {
        None => Ok(attempts),
        Some(wait) => Err(ApiError::too_many("Too many attempts to sign in").with_detail(wait_in_words(wait))),
    }
}

pub(super) async fn sign_out(service: &Service, person: &SignedIn, session: &str) -> Result<(), ApiError> {
    let missing = || ApiError { title: "There is no such session".into(), ..ApiError::not_found("session", "") };
    let hash = secret::hash(session).ok_or_else(missing)?;
    let ended = async {
        let mut tx = service.store.write().await?;
        let ended = tx.end_session(&person.person_id, &hash).await?;
        if ended {
            service.audit(&mut tx, person, "sign_out", &person.name, json!({})).await?;
        }
        tx.commit().await.map(|()| ended)
    };
    if !ended.await.map_err(failed)? {
        return Err(missing());
    }
    service.identities.revoke(Revoked::Session(hash));
    Ok(())
}

pub(super) async fn first_administrator(
    service: &Service,
    actor: &Actor,
    link: &str,
    typed: &str,
    password: &str,
) -> Result<SessionStarted, ApiError> {
    let hash = open_link(service, link).await?;
    let (name, password_hash) = credentials(service, typed, password).await?;
    let now = service.clock.now();
    let created = async {
        let mut tx = service.store.write().await?;
        // Holds the team: of two who use a link at once, one is first.
        let team_id = tx.team(DEFAULT_TEAM, &store::id(now)).await?;
        if tx.count_administrators().await? > 0 || !tx.use_setup_link(&hash, now).await? {
            return Ok(None);
        }
        let id = store::id(now);
        let role = role_word(Role::Administrator);
        let person = NewPerson { id: &id, team_id: &team_id, name: &name, password_hash: &password_hash, role, now };
        tx.insert_person(&person).await?;
        let started =
            begin_session(service, &mut tx, &id, &name, &team_id, "first_administrator", whence(actor)).await?;
        tx.commit().await.map(|()| Some(started))
    };
    match created.await {
        Ok(Some(started)) => Ok(started),
        Ok(None) => Err(used_up()),
        Err(StoreError::UniqueViolation) => Err(name_taken()),
        Err(error) => Err(failed(error)),
    }
}

/// The hash of a link that can be used.
///
/// # Errors
/// 404, the same for a used, an expired and an invented one.
pub(super) async fn open_link(service: &Service, link: &str) -> Result<String, ApiError> {
    let Some(hash) = secret::hash(link) else { return Err(used_up()) };
    let open = service.store.setup_link_is_open(&hash, service.clock.now()).await.map_err(failed)?;
    if open && !service.store.has_administrator().await.map_err(failed)? { Ok(hash) } else { Err(used_up()) }
}

fn used_up() -> ApiError {
    let error = ApiError { title: "This link cannot be used any more".into(), ..ApiError::not_found("link", "") };
    error.with_detail("While there is no administrator, starting the portal again prints a new one. Otherwise sign in.")
}

/// A new person's name in its one spelling, and what to store of the password.
///
/// # Errors
/// 422 with what is wrong.
pub(super) async fn credentials(service: &Service, typed: &str, password: &str) -> Result<(String, String), ApiError> {
    let name = name::sign_in_name(typed);
    let wrong: Vec<FieldError> =
        name.as_ref().err().cloned().into_iter().chain(password::acceptable(password).err()).collect();
    match name {
        Ok(name) if wrong.is_empty() => Ok((name, service.passwords.hash(password).await.map_err(overloaded)?)),
        _ => Err(ApiError::invalid(wrong)),
    }
}

pub(super) fn name_taken() -> ApiError {
    ApiError::field("name", "is taken; choose another")
}

/// Everything that ends in somebody being signed in ends here.
async fn begin_session(
    service: &Service,
    tx: &mut Tx,
    person_id: &str,
    name: &str,
    team_id: &str,
    how: &str,
    (from, browser): (Option<IpAddr>, Option<&str>),
) -> Result<SessionStarted, StoreError> {
    let (now, secret) = (service.clock.now(), secret::generate());
    let expires_at = now + SESSION_MS;
    let address = from.map(|address| address.to_canonical().to_string());
    let begun = Begun { address: address.as_deref(), browser };
    tx.insert_session(&secret::digest(secret.as_bytes()), person_id, begun, now, expires_at).await?;
    tx.audit(&AuditEvent {
        id: &store::id(now),
        team_id: Some(team_id),
        at: now,
        actor: name,
        action: how,
        target: name,
        detail: json!({}),
    })
    .await?;
    Ok(SessionStarted { secret, expires_at })
}

pub(super) async fn me(service: &Service, actor: &Actor) -> Result<PersonView, ApiError> {
    let person = access::person(actor)?;
    let found = service.store.person_by_id(&person.person_id).await.map_err(failed)?;
    found.map(view).ok_or_else(ApiError::unauthenticated)
}

pub(super) fn view(person: PersonRow) -> PersonView {
    PersonView {
        role: role(&person.role),
        disabled: person.disabled_at.is_some(),
        id: person.id,
        name: person.name,
        team: person.team,
        time_zone: person.time_zone,
    }
}

pub(super) fn overloaded(error: PasswordError) -> ApiError {
    tracing::error!(%error, "passwords cannot be worked on");
    ApiError::unavailable("The portal is overloaded").with_detail("Try again in a moment.")
}
