//! What a person decides about themselves: password, sessions, time zone.

use app::api::{ApiError, FieldError, PasswordChange, PersonView, SessionView};
use app::portal::{Actor, SignedIn};
use jiff::tz::TimeZone;
use serde_json::json;

use super::trouble::{failed, no_such};
use super::{Service, signing_in};
use crate::auth::identity::{Revoked, SESSION_IDLE_MS};
use crate::auth::limit::limits;
use crate::auth::{name, password, secret};
use crate::store::SessionRow;

/// How much of a session's hash names it: enough that no two of a person share it, and of no use to anybody else.
const ID_LENGTH: usize = 32;

pub(super) async fn set_time_zone(
    service: &Service,
    by: &SignedIn,
    time_zone: Option<&str>,
) -> Result<PersonView, ApiError> {
    let time_zone = time_zone.map(str::trim).filter(|name| !name.is_empty());
    if let Some(name) = time_zone {
        let known = name.len() <= 64 && TimeZone::get(name).is_ok();
        if !known {
            return Err(ApiError::field("time_zone", "is no time zone known here; “Europe/Berlin” is one"));
        }
    }
    let changed = async {
        let mut tx = service.store.write().await?;
        tx.set_time_zone(&by.person_id, time_zone).await?;
        service.audit(&mut tx, by, "set_time_zone", &by.name, json!({ "time_zone": time_zone })).await?;
        tx.commit().await
    };
    changed.await.map_err(failed)?;
    service.identities.refresh(&by.person_id);
    signing_in::me(service, &Actor::Person(by.clone())).await
}

pub(super) async fn sessions(
    service: &Service,
    by: &SignedIn,
    session: Option<&str>,
) -> Result<Vec<SessionView>, ApiError> {
    let current = session.and_then(secret::hash);
    let rows = living(service, by).await?;
    let view = |row: SessionRow| SessionView {
        id: id(&row.secret_hash).to_owned(),
        begun_at: row.created_at,
        last_seen_at: row.last_seen_at,
        expires_at: row.expires_at,
        address: row.address,
        browser: row.browser,
        current: current.as_deref() == Some(row.secret_hash.as_str()),
    };
    Ok(rows.into_iter().map(view).collect())
}

pub(super) async fn end_session(service: &Service, by: &SignedIn, asked: &str) -> Result<(), ApiError> {
    let ended = end(service, by, |hash| id(hash) == asked, "end_session").await?;
    if ended == 0 { Err(no_such("session", asked)) } else { Ok(()) }
}

pub(super) async fn end_other_sessions(
    service: &Service,
    by: &SignedIn,
    session: Option<&str>,
) -> Result<u64, ApiError> {
    let current = session.and_then(secret::hash);
    end(service, by, |hash| current.as_deref() != Some(hash), "end_other_sessions").await
}

pub(super) async fn change_password(
    service: &Service,
    by: &SignedIn,
    change: PasswordChange,
    session: Option<&str>,
) -> Result<(), ApiError> {
    if let Err(wrong) = password::acceptable(&change.new) {
        return Err(ApiError::invalid(vec![FieldError { field: "new".into(), ..wrong }]));
    }
    // Counted like attempts to sign in: whoever finds a tab left open must not guess here what they may not guess there.
    let limits = limits(&name::counted_as(&by.name), None);
    let attempts = signing_in::count(service, &limits).await?;
    let person = service.store.person_by_id(&by.person_id).await.map_err(failed)?;
    let person = person.ok_or_else(ApiError::unauthenticated)?;
    let right = service.passwords.matches(&change.old, Some(&person.password_hash)).await;
    if !right.map_err(signing_in::overloaded)? {
        return Err(ApiError::field("old", "is not your password of now"));
    }
    let hash = service.passwords.hash(&change.new).await.map_err(signing_in::overloaded)?;
    let changed = async {
        let mut tx = service.store.write().await?;
        for attempt in &attempts {
            tx.forgive(attempt).await?;
        }
        tx.set_password(&by.person_id, &hash).await?;
        service.audit(&mut tx, by, "change_password", &by.name, json!({})).await?;
        tx.commit().await
    };
    changed.await.map_err(failed)?;
    end_other_sessions(service, by, session).await.map(drop)
}

async fn living(service: &Service, by: &SignedIn) -> Result<Vec<SessionRow>, ApiError> {
    let now = service.clock.now();
    service.store.sessions_of(&by.person_id, now, now - SESSION_IDLE_MS).await.map_err(failed)
}

/// Ends those of the person's sessions whose hash is `meant`, and every connection that stands on one; how many they were.
async fn end(service: &Service, by: &SignedIn, meant: impl Fn(&str) -> bool, action: &str) -> Result<u64, ApiError> {
    let sessions = living(service, by).await?;
    let hashes: Vec<String> = sessions.into_iter().map(|row| row.secret_hash).filter(|hash| meant(hash)).collect();
    if hashes.is_empty() {
        return Ok(0);
    }
    let ended = async {
        let mut tx = service.store.write().await?;
        let mut ended = 0;
        for hash in &hashes {
            ended += u64::from(tx.end_session(&by.person_id, hash).await?);
        }
        service.audit(&mut tx, by, action, &by.name, json!({ "sessions": ended })).await?;
        tx.commit().await.map(|()| ended)
    };
    let ended = ended.await.map_err(failed)?;
    for hash in hashes {
        service.identities.revoke(Revoked::Session(hash));
    }
    Ok(ended)
}

fn id(hash: &str) -> &str {
    hash.get(..ID_LENGTH).unwrap_or(hash)
}
