//! The people of a team, and the API tokens of one.

use app::api::{ApiError, PersonRequest, PersonView, TokenCreated, TokenRequest, TokenView};
use app::portal::SignedIn;
use serde_json::json;

use super::Service;
use super::signing_in::{credentials, name_taken, view};
use super::trouble::{failed, no_such};
use crate::auth::identity::{Revoked, role_word};
use crate::auth::token::Terms;
use crate::auth::{name, secret};
use crate::store::{self, NewPerson, NewToken, StoreError};

pub(super) async fn people(service: &Service, by: &SignedIn) -> Result<Vec<PersonView>, ApiError> {
    let people = service.store.people_of(&by.team_id).await.map_err(failed)?;
    Ok(people.into_iter().map(view).collect())
}

pub(super) async fn create(service: &Service, by: &SignedIn, request: PersonRequest) -> Result<PersonView, ApiError> {
    let (name, password_hash) = credentials(service, &request.name, &request.password).await?;
    let now = service.clock.now();
    let (id, role) = (store::id(now), role_word(request.role));
    let created = async {
        let mut tx = service.store.write().await?;
        let person = NewPerson { id: &id, team_id: &by.team_id, name: &name, password_hash: &password_hash, role, now };
        tx.insert_person(&person).await?;
        service.audit(&mut tx, by, "create_person", &name, json!({ "role": role })).await?;
        tx.commit().await?;
        service.store.person_by_id(&id).await
    };
    match created.await {
        Ok(person) => person.map(view).ok_or_else(ApiError::internal),
        Err(StoreError::UniqueViolation) => Err(name_taken()),
        Err(error) => Err(failed(error)),
    }
}

pub(super) async fn set_disabled(
    service: &Service,
    by: &SignedIn,
    typed: &str,
    disabled: bool,
) -> Result<PersonView, ApiError> {
    let found = match name::sign_in_name(typed) {
        Ok(name) => service.store.person(&name).await.map_err(failed)?,
        Err(_) => None,
    };
    let person = found.filter(|person| person.team_id == by.team_id).ok_or_else(|| no_such("person", typed))?;
    if person.id == by.person_id && disabled {
        return Err(ApiError::conflict("You cannot disable yourself").with_detail("Another administrator can."));
    }
    if person.disabled_at.is_some() == disabled {
        return Ok(view(person));
    }
    let now = service.clock.now();
    let changed = async {
        let mut tx = service.store.write().await?;
        tx.set_disabled(&person.id, disabled.then_some(now)).await?;
        // Also when let in again: nothing from before comes back to life.
        tx.end_sessions_of(&person.id).await?;
        tx.delete_tokens_of(&person.id).await?;
        let action = if disabled { "disable_person" } else { "enable_person" };
        service.audit(&mut tx, by, action, &person.name, json!({})).await?;
        tx.commit().await
    };
    changed.await.map_err(failed)?;
    service.identities.revoke(Revoked::Person(person.id.clone()));
    Ok(PersonView { disabled, ..view(person) })
}

pub(super) async fn tokens(service: &Service, by: &SignedIn) -> Result<Vec<TokenView>, ApiError> {
    let tokens = service.store.tokens_of(&by.person_id).await.map_err(failed)?;
    let view = |token: store::TokenRow| TokenView {
        id: token.id,
        name: token.name,
        created_at: token.created_at,
        last_used_at: token.last_used_at,
        expires_at: token.expires_at,
    };
    Ok(tokens.into_iter().map(view).collect())
}

pub(super) async fn create_token(
    service: &Service,
    by: &SignedIn,
    request: TokenRequest,
) -> Result<TokenCreated, ApiError> {
    let now = service.clock.now();
    let Terms { name, expires_at } = Terms::new(&request, now).map_err(ApiError::invalid)?;
    let (id, token) = (store::id(now), secret::generate_token());
    let created = async {
        let mut tx = service.store.write().await?;
        tx.insert_token(&NewToken {
            id: &id,
            person_id: &by.person_id,
            name: &name,
            secret_hash: &secret::digest(token.as_bytes()),
            now,
            expires_at,
        })
        .await?;
        service.audit(&mut tx, by, "create_token", &name, json!({ "token": id })).await?;
        tx.commit().await
    };
    created.await.map_err(failed)?;
    Ok(TokenCreated { id, name, token })
}

pub(super) async fn revoke_token(service: &Service, by: &SignedIn, id: &str) -> Result<(), ApiError> {
    let revoked = async {
        let mut tx = service.store.write().await?;
        let name = tx.delete_token(&by.person_id, id).await?;
        if let Some(name) = &name {
            service.audit(&mut tx, by, "revoke_token", name, json!({ "token": id })).await?;
        }
        tx.commit().await.map(|()| name)
    };
    revoked.await.map_err(failed)?.ok_or_else(|| no_such("token", id))?;
    service.identities.revoke(Revoked::Token(id.to_string()));
    Ok(())
}
