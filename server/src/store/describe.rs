//! What people say about an environment: its name, its tags, its note. Nothing of it concerns the engine.

use sqlx::Row;

use super::{StoreError, Tx};

/// What is to be said from now on; `None`: as before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Description<'a> {
    pub name: Option<&'a str>,
    /// All of them, each without a space in it.
    pub tags: Option<&'a [String]>,
    pub note: Option<&'a str>,
}

/// What came of it. Only after `Done` is there anything to commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Described {
    Done,
    /// Another environment of the team has this name.
    NameTaken,
    /// It was deleted meanwhile.
    Deleted,
}

impl Tx {
    /// Changes what is said about an environment. A new name is judged under the same lock on the team as the names of
    /// orders, so that two cannot get one name.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn describe(
        &mut self,
        team_id: &str,
        environment: &str,
        description: Description<'_>,
    ) -> Result<Described, StoreError> {
        let connection = self.connection();
        sqlx::query("update team set name = name where id = $1").bind(team_id).execute(&mut *connection).await?;
        let living = sqlx::query("select id from environment where id = $1 and deleted_at is null")
            .bind(environment)
            .fetch_optional(&mut *connection)
            .await?;
        if living.is_none() {
            return Ok(Described::Deleted);
        }
        if let Some(name) = description.name {
            let named =
                sqlx::query("select id from environment where team_id = $1 and name = $2 and deleted_at is null")
                    .bind(team_id)
                    .bind(name)
                    .fetch_optional(&mut *connection)
                    .await?;
            match named {
                Some(row) if row.try_get::<String, _>("id")? != environment => return Ok(Described::NameTaken),
                _ => {}
            }
            sqlx::query(
                "update environment set ordered_name = coalesce(ordered_name, name), name = $2 where id = $1 and name <> $2",
            )
            .bind(environment)
            .bind(name)
            .execute(&mut *connection)
            .await?;
        }
        if let Some(note) = description.note {
            sqlx::query("update environment set note = $2 where id = $1")
                .bind(environment)
                .bind(note)
                .execute(&mut *connection)
                .await?;
        }
        if let Some(tags) = description.tags {
            sqlx::query("delete from environment_tag where environment_id = $1")
                .bind(environment)
                .execute(&mut *connection)
                .await?;
            for tag in tags {
                sqlx::query("insert into environment_tag (environment_id, team_id, tag) values ($1, $2, $3)")
                    .bind(environment)
                    .bind(team_id)
                    .bind(tag)
                    .execute(&mut *connection)
                    .await?;
            }
        }
        Ok(Described::Done)
    }
}
