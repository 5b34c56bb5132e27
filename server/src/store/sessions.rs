//! Sessions, failed sign-ins, and the ways to apps that hang on a session.

use sqlx::Row;

use super::{Store, StoreError, Tx, columns};

/// A session or an API token with the person behind it, as far as deciding who asks needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialRow {
    pub person_id: String,
    pub name: String,
    pub team_id: String,
    pub role: String,
    pub disabled_at: Option<i64>,
    pub time_zone: Option<String>,
    /// Of the session its hash, of a token its id.
    pub credential: String,
    /// When it was last seen in use, as far as that is written down.
    pub last_used_at: Option<i64>,
    pub expires_at: Option<i64>,
}

columns!(CredentialRow {
    person_id,
    name,
    team_id,
    role,
    disabled_at,
    time_zone,
    credential,
    last_used_at,
    expires_at
});

/// A session as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    pub secret_hash: String,
    pub created_at: i64,
    pub last_seen_at: i64,
    pub expires_at: i64,
    pub address: Option<String>,
    pub browser: Option<String>,
}

columns!(SessionRow { secret_hash, created_at, last_seen_at, expires_at, address, browser });

/// Where a session is begun, as far as that is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Begun<'a> {
    pub address: Option<&'a str>,
    /// Browser and system in a few words.
    pub browser: Option<&'a str>,
}

/// The way to one app: a ticket or the cookie it was swapped for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppAccessRow {
    pub session_hash: String,
    pub label: String,
    pub environment_id: String,
    pub server: String,
    pub port: i64,
}

columns!(AppAccessRow { session_hash, label, environment_id, server, port });

/// A cookie, and what its environment is called now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppCookieRow {
    pub access: AppAccessRow,
    pub environment_name: String,
    pub server_id: String,
}

impl Store {
    /// The session of this secret, expired or not.
    pub async fn session(&self, secret_hash: &str) -> Result<Option<CredentialRow>, StoreError> {
        Ok(sqlx::query_as(
            "select person.id as person_id, person.name, person.team_id, person.role, person.disabled_at, person.time_zone, \
             session.secret_hash as credential, session.last_seen_at as last_used_at, session.expires_at \
             from session join person on person.id = session.person_id where session.secret_hash = $1",
        )
        .bind(secret_hash)
        .fetch_optional(&mut *self.read().await?)
        .await?)
    }

    /// The sessions of a person that have not ended, the one last seen first.
    pub async fn sessions_of(&self, person_id: &str, now: i64, seen_after: i64) -> Result<Vec<SessionRow>, StoreError> {
        Ok(sqlx::query_as(
            "select secret_hash, created_at, last_seen_at, expires_at, address, browser from session \
             where person_id = $1 and expires_at > $2 and last_seen_at > $3 order by last_seen_at desc, created_at desc",
        )
        .bind(person_id)
        .bind(now)
        .bind(seen_after)
        .fetch_all(&mut *self.read().await?)
        .await?)
    }

    /// The app a cookie leads to, unless its environment is deleted.
    pub async fn app_cookie(&self, secret_hash: &str, now: i64) -> Result<Option<AppCookieRow>, StoreError> {
        let row = sqlx::query(
            "select a.session_hash, a.label, a.environment_id, a.server, a.port, e.name as environment_name, \
             s.id as server_id from app_access a join environment e on e.id = a.environment_id \
             join server s on s.environment_id = e.id and s.name = a.server \
             where a.secret_hash = $1 and a.kind = 'cookie' and a.expires_at > $2 and e.deleted_at is null",
        )
        .bind(secret_hash)
        .bind(now)
        .fetch_optional(&mut *self.read().await?)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(AppCookieRow {
            access: sqlx::FromRow::from_row(&row)?,
            environment_name: row.try_get("environment_name")?,
            server_id: row.try_get("server_id")?,
        }))
    }

    /// How many attempts on this subject stand before this one, and the time of the oldest of them.
    pub async fn attempts_before(
        &self,
        subject: &str,
        attempt: &str,
        since: i64,
    ) -> Result<(i64, Option<i64>), StoreError> {
        Ok(sqlx::query_as(
            "select cast(count(*) as bigint), cast(min(at) as bigint) from sign_in_failure \
             where subject = $1 and at > $2 and id < $3",
        )
        .bind(subject)
        .bind(since)
        .bind(attempt)
        .fetch_one(&mut *self.read().await?)
        .await?)
    }
}

impl Tx {
    /// Begins a session, and forgets those that have expired.
    pub async fn insert_session(
        &mut self,
        secret_hash: &str,
        person_id: &str,
        begun: Begun<'_>,
        now: i64,
        expires_at: i64,
    ) -> Result<(), StoreError> {
        sqlx::query("delete from session where person_id = $1 and expires_at <= $2")
            .bind(person_id)
            .bind(now)
            .execute(self.connection())
            .await?;
        sqlx::query(
            "insert into session (secret_hash, person_id, created_at, last_seen_at, expires_at, address, browser) \
             values ($1, $2, $3, $3, $4, $5, $6)",
        )
        .bind(secret_hash)
        .bind(person_id)
        .bind(now)
        .bind(expires_at)
        .bind(begun.address)
        .bind(begun.browser)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    pub async fn touch_session(&mut self, secret_hash: &str, now: i64) -> Result<(), StoreError> {
        sqlx::query("update session set last_seen_at = $1 where secret_hash = $2 and last_seen_at < $1")
            .bind(now)
            .bind(secret_hash)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Ends one session of this person; `false` when there is none.
    pub async fn end_session(&mut self, person_id: &str, secret_hash: &str) -> Result<bool, StoreError> {
        let ended = sqlx::query("delete from session where secret_hash = $1 and person_id = $2")
            .bind(secret_hash)
            .bind(person_id)
            .execute(self.connection())
            .await?;
        Ok(ended.rows_affected() == 1)
    }

    pub async fn end_sessions_of(&mut self, person_id: &str) -> Result<(), StoreError> {
        sqlx::query("delete from session where person_id = $1").bind(person_id).execute(self.connection()).await?;
        Ok(())
    }

    /// Counts an attempt to sign in as failed until [`forgive`](Tx::forgive) strikes it out, and forgets old ones.
    pub async fn count_attempt(
        &mut self,
        id: &str,
        subject: &str,
        now: i64,
        forget_before: i64,
    ) -> Result<(), StoreError> {
        sqlx::query("delete from sign_in_failure where at <= $1")
            .bind(forget_before)
            .execute(self.connection())
            .await?;
        sqlx::query("insert into sign_in_failure (id, subject, at) values ($1, $2, $3)")
            .bind(id)
            .bind(subject)
            .bind(now)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Strikes out one attempt.
    pub async fn forgive(&mut self, attempt: &str) -> Result<(), StoreError> {
        sqlx::query("delete from sign_in_failure where id = $1").bind(attempt).execute(self.connection()).await?;
        Ok(())
    }

    /// Strikes out all attempts on this subject.
    pub async fn forgive_all(&mut self, subject: &str) -> Result<(), StoreError> {
        sqlx::query("delete from sign_in_failure where subject = $1").bind(subject).execute(self.connection()).await?;
        Ok(())
    }

    /// Makes a ticket to an app, and forgets what has expired.
    pub async fn insert_app_ticket(
        &mut self,
        secret_hash: &str,
        access: &AppAccessRow,
        now: i64,
        expires_at: i64,
    ) -> Result<(), StoreError> {
        sqlx::query("delete from app_access where expires_at <= $1").bind(now).execute(self.connection()).await?;
        self.insert_app_access("ticket", secret_hash, access, expires_at).await
    }

    /// Swaps a ticket for a cookie, once; `None` when it was used, has expired or is for another host.
    pub async fn redeem_app_ticket(
        &mut self,
        ticket_hash: &str,
        label: &str,
        cookie_hash: &str,
        now: i64,
        cookie_expires_at: i64,
    ) -> Result<Option<AppAccessRow>, StoreError> {
        let access: Option<AppAccessRow> = sqlx::query_as(
            "delete from app_access where secret_hash = $1 and kind = 'ticket' and label = $2 and expires_at > $3 \
             returning session_hash, label, environment_id, server, port",
        )
        .bind(ticket_hash)
        .bind(label)
        .bind(now)
        .fetch_optional(self.connection())
        .await?;
        if let Some(access) = &access {
            self.insert_app_access("cookie", cookie_hash, access, cookie_expires_at).await?;
        }
        Ok(access)
    }

    async fn insert_app_access(
        &mut self,
        kind: &str,
        secret_hash: &str,
        access: &AppAccessRow,
        expires_at: i64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "insert into app_access (secret_hash, kind, session_hash, label, environment_id, server, port, expires_at) \
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(secret_hash)
        .bind(kind)
        .bind(&access.session_hash)
        .bind(&access.label)
        .bind(&access.environment_id)
        .bind(&access.server)
        .bind(access.port)
        .bind(expires_at)
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
