//! Teams and what is theirs, people, and the link that makes the first administrator.

use super::{Store, StoreError, Tx, columns};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonRow {
    pub id: String,
    pub team_id: String,
    /// The team's name.
    pub team: String,
    pub name: String,
    pub password_hash: String,
    pub role: String,
    pub disabled_at: Option<i64>,
    pub time_zone: Option<String>,
}

columns!(PersonRow { id, team_id, team, name, password_hash, role, disabled_at, time_zone });

#[derive(Clone, Debug)]
pub struct NewPerson<'a> {
    pub id: &'a str,
    pub team_id: &'a str,
    /// As [`sign_in_name`](crate::auth::name::sign_in_name) spells it.
    pub name: &'a str,
    pub password_hash: &'a str,
    pub role: &'a str,
    pub now: i64,
}

const PERSON: &str = "select person.id, person.team_id, team.name as team, person.name, person.password_hash, person.role, \
    person.disabled_at, person.time_zone from person join team on team.id = person.team_id";

impl Store {
    /// By sign-in name, disabled or not.
    pub async fn person(&self, name: &str) -> Result<Option<PersonRow>, StoreError> {
        let query = format!("{PERSON} where person.name = $1");
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(name).fetch_optional(&mut *self.read().await?).await?)
    }

    /// By id, disabled or not.
    pub async fn person_by_id(&self, id: &str) -> Result<Option<PersonRow>, StoreError> {
        let query = format!("{PERSON} where person.id = $1");
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(id).fetch_optional(&mut *self.read().await?).await?)
    }

    /// Everybody of a team, by name.
    pub async fn people_of(&self, team_id: &str) -> Result<Vec<PersonRow>, StoreError> {
        let query = format!("{PERSON} where person.team_id = $1 order by person.name");
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(team_id).fetch_all(&mut *self.read().await?).await?)
    }

    /// The team an environment belongs to; it never changes.
    pub async fn team_of_environment(&self, environment: &str) -> Result<Option<String>, StoreError> {
        let found: Option<(String,)> = sqlx::query_as("select team_id from environment where id = $1")
            .bind(environment)
            .fetch_optional(&mut *self.read().await?)
            .await?;
        Ok(found.map(|(team,)| team))
    }

    /// What this person's earlier order with this key became: the environment, and the order's digest.
    pub async fn order_before(
        &self,
        person_id: &str,
        request_id: &str,
    ) -> Result<Option<(String, String)>, StoreError> {
        Ok(sqlx::query_as("select environment_id, digest from order_request where person_id = $1 and request_id = $2")
            .bind(person_id)
            .bind(request_id)
            .fetch_optional(&mut *self.read().await?)
            .await?)
    }

    /// Whether somebody can administer this installation.
    pub async fn has_administrator(&self) -> Result<bool, StoreError> {
        let found: Option<(String,)> =
            sqlx::query_as("select id from person where role = 'administrator' and disabled_at is null limit 1")
                .fetch_optional(&mut *self.read().await?)
                .await?;
        Ok(found.is_some())
    }

    /// Whether this link has neither been used nor expired.
    pub async fn setup_link_is_open(&self, secret_hash: &str, now: i64) -> Result<bool, StoreError> {
        let found: Option<(i64,)> = sqlx::query_as(
            "select created_at from setup_link where secret_hash = $1 and used_at is null and expires_at > $2",
        )
        .bind(secret_hash)
        .bind(now)
        .fetch_optional(&mut *self.read().await?)
        .await?;
        Ok(found.is_some())
    }
}

impl Tx {
    /// The team of this name, made with `id` when there is none. Holds its row until the transaction ends, so that what is
    /// counted per team stays true.
    pub async fn team(&mut self, name: &str, id: &str) -> Result<String, StoreError> {
        let (id,): (String,) = sqlx::query_as(
            "insert into team (id, name) values ($1, $2) on conflict (name) do update set name = excluded.name returning id",
        )
        .bind(id)
        .bind(name)
        .fetch_one(self.connection())
        .await?;
        Ok(id)
    }

    /// # Errors
    /// [`StoreError::UniqueViolation`] when the name is taken.
    pub async fn insert_person(&mut self, person: &NewPerson<'_>) -> Result<(), StoreError> {
        sqlx::query(
            "insert into person (id, team_id, name, password_hash, role, created_at) values ($1, $2, $3, $4, $5, $6)",
        )
        .bind(person.id)
        .bind(person.team_id)
        .bind(person.name)
        .bind(person.password_hash)
        .bind(person.role)
        .bind(person.now)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// How many people can administer, of all teams.
    pub async fn count_administrators(&mut self) -> Result<i64, StoreError> {
        let (count,): (i64,) = sqlx::query_as(
            "select cast(count(*) as bigint) from person where role = 'administrator' and disabled_at is null",
        )
        .fetch_one(self.connection())
        .await?;
        Ok(count)
    }

    /// Disabled since, or not at all. Sessions and tokens are ended by
    /// [`end_sessions_of`](Tx::end_sessions_of) and [`delete_tokens_of`](Tx::delete_tokens_of).
    pub async fn set_disabled(&mut self, person_id: &str, disabled_at: Option<i64>) -> Result<(), StoreError> {
        sqlx::query("update person set disabled_at = $1 where id = $2")
            .bind(disabled_at)
            .bind(person_id)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    pub async fn set_password(&mut self, person_id: &str, password_hash: &str) -> Result<(), StoreError> {
        sqlx::query("update person set password_hash = $1 where id = $2")
            .bind(password_hash)
            .bind(person_id)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// `None`: like the browser.
    pub async fn set_time_zone(&mut self, person_id: &str, time_zone: Option<&str>) -> Result<(), StoreError> {
        sqlx::query("update person set time_zone = $1 where id = $2")
            .bind(time_zone)
            .bind(person_id)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Adds a link for the first administrator, and forgets those that have expired.
    pub async fn insert_setup_link(&mut self, secret_hash: &str, now: i64, expires_at: i64) -> Result<(), StoreError> {
        sqlx::query("delete from setup_link where expires_at <= $1").bind(now).execute(self.connection()).await?;
        sqlx::query("insert into setup_link (secret_hash, created_at, expires_at) values ($1, $2, $3)")
            .bind(secret_hash)
            .bind(now)
            .bind(expires_at)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Uses the link up; `false` when it was used, has expired or never was.
    pub async fn use_setup_link(&mut self, secret_hash: &str, now: i64) -> Result<bool, StoreError> {
        let used = sqlx::query(
            "update setup_link set used_at = $1 where secret_hash = $2 and used_at is null and expires_at > $1",
        )
        .bind(now)
        .bind(secret_hash)
        .execute(self.connection())
        .await?;
        Ok(used.rows_affected() == 1)
    }
}
