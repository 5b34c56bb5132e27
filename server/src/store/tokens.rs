//! API tokens.

use super::{CredentialRow, Store, StoreError, Tx, columns};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    pub id: String,
    pub name: String,
    pub created_at: i64,
    pub last_used_at: Option<i64>,
    pub expires_at: Option<i64>,
}

columns!(TokenRow { id, name, created_at, last_used_at, expires_at });

#[derive(Clone, Debug)]
pub struct NewToken<'a> {
    pub id: &'a str,
    pub person_id: &'a str,
    pub name: &'a str,
    pub secret_hash: &'a str,
    pub now: i64,
    pub expires_at: Option<i64>,
}

impl Store {
    /// The token of this secret, expired or not.
    pub async fn token(&self, secret_hash: &str) -> Result<Option<CredentialRow>, StoreError> {
        Ok(sqlx::query_as(
            "select person.id as person_id, person.name, person.team_id, person.role, person.disabled_at, person.time_zone, \
             api_token.id as credential, api_token.last_used_at, api_token.expires_at \
             from api_token join person on person.id = api_token.person_id where api_token.secret_hash = $1",
        )
        .bind(secret_hash)
        .fetch_optional(&mut *self.read().await?)
        .await?)
    }

    /// A person's tokens, newest first.
    pub async fn tokens_of(&self, person_id: &str) -> Result<Vec<TokenRow>, StoreError> {
        Ok(sqlx::query_as(
            "select id, name, created_at, last_used_at, expires_at from api_token where person_id = $1 order by id desc",
        )
        .bind(person_id)
        .fetch_all(&mut *self.read().await?)
        .await?)
    }
}

impl Tx {
    pub async fn insert_token(&mut self, token: &NewToken<'_>) -> Result<(), StoreError> {
        sqlx::query(
            "insert into api_token (id, person_id, name, secret_hash, created_at, expires_at) \
             values ($1, $2, $3, $4, $5, $6)",
        )
        .bind(token.id)
        .bind(token.person_id)
        .bind(token.name)
        .bind(token.secret_hash)
        .bind(token.now)
        .bind(token.expires_at)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    pub async fn touch_token(&mut self, id: &str, now: i64) -> Result<(), StoreError> {
        sqlx::query("update api_token set last_used_at = $1 where id = $2")
            .bind(now)
            .bind(id)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// The name of the token that was deleted; `None` when this person has no such token.
    pub async fn delete_token(&mut self, person_id: &str, id: &str) -> Result<Option<String>, StoreError> {
        let deleted: Option<(String,)> =
            sqlx::query_as("delete from api_token where id = $1 and person_id = $2 returning name")
                .bind(id)
                .bind(person_id)
                .fetch_optional(self.connection())
                .await?;
        Ok(deleted.map(|(name,)| name))
    }

    pub async fn delete_tokens_of(&mut self, person_id: &str) -> Result<(), StoreError> {
        sqlx::query("delete from api_token where person_id = $1").bind(person_id).execute(self.connection()).await?;
        Ok(())
    }
}
