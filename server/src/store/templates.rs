//! Templates and their versions. A version never changes once it is written; what is *offered* does.

use super::{Store, StoreError, Tx, columns, id};

/// A template of the catalog, without the sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateRow {
    pub id: String,
    pub name: String,
    /// `None` while no file of it was ever good.
    pub version_id: Option<String>,
    pub version: Option<String>,
    /// When that version came, Unix milliseconds.
    pub offered_since: Option<i64>,
    /// What is wrong with the newest file.
    pub broken: Option<String>,
}

columns!(TemplateRow { id, name, version_id, version, offered_since, broken });

/// One version of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRow {
    pub id: String,
    pub version: String,
    pub created_at: i64,
    /// The YAML as loaded.
    pub source: String,
}

columns!(VersionRow { id, version, created_at, source });

/// What a file says about a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    Good {
        /// As the curator wrote it.
        version: &'a str,
        /// SHA-256 of the source, hex.
        digest: &'a str,
        source: &'a str,
    },
    Broken {
        error: &'a str,
    },
}

impl Store {
    /// The templates of a team that are not withdrawn, by name.
    pub async fn templates(&self, team_id: &str) -> Result<Vec<TemplateRow>, StoreError> {
        let rows = sqlx::query_as(
            "select t.id, t.name, v.id as version_id, v.version, v.created_at as offered_since, t.broken \
             from template t \
             left join template_version v on v.id = t.offered_version_id \
             where t.team_id = $1 and t.withdrawn_at is null order by t.name",
        )
        .bind(team_id)
        .fetch_all(&mut *self.read().await?)
        .await?;
        Ok(rows)
    }

    /// One of them.
    pub async fn template(&self, team_id: &str, name: &str) -> Result<Option<TemplateRow>, StoreError> {
        let row = sqlx::query_as(
            "select t.id, t.name, v.id as version_id, v.version, v.created_at as offered_since, t.broken \
             from template t \
             left join template_version v on v.id = t.offered_version_id \
             where t.team_id = $1 and t.name = $2 and t.withdrawn_at is null",
        )
        .bind(team_id)
        .bind(name)
        .fetch_optional(&mut *self.read().await?)
        .await?;
        Ok(row)
    }

    pub async fn template_version(&self, version_id: &str) -> Result<VersionRow, StoreError> {
        let row = sqlx::query_as("select id, version, created_at, source from template_version where id = $1")
            .bind(version_id)
            .fetch_one(&mut *self.read().await?)
            .await?;
        Ok(row)
    }

    /// All versions of a template, newest first.
    pub async fn template_versions(&self, template_id: &str) -> Result<Vec<VersionRow>, StoreError> {
        let rows = sqlx::query_as(
            "select id, version, created_at, source from template_version where template_id = $1 order by id desc",
        )
        .bind(template_id)
        .fetch_all(&mut *self.read().await?)
        .await?;
        Ok(rows)
    }
}

struct Present {
    id: String,
    offered_version_id: Option<String>,
    broken: Option<String>,
    withdrawn_at: Option<i64>,
}

columns!(Present { id, offered_version_id, broken, withdrawn_at });

impl Tx {
    /// Takes over what a file says. A source that was there before is offered again as it was; a new one under a version
    /// that is taken gets a number behind it, because versions do not change. Says whether anything is different now.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn take_template(
        &mut self,
        team_id: &str,
        name: &str,
        found: Found<'_>,
        now: i64,
    ) -> Result<bool, StoreError> {
        let present: Option<Present> = sqlx::query_as(
            "select id, offered_version_id, broken, withdrawn_at from template where team_id = $1 and name = $2",
        )
        .bind(team_id)
        .bind(name)
        .fetch_optional(self.connection())
        .await?;
        let is_new = present.is_none();
        let present = match present {
            Some(present) => present,
            None => {
                let template_id = id(now);
                sqlx::query("insert into template (id, team_id, name, created_at) values ($1, $2, $3, $4)")
                    .bind(&template_id)
                    .bind(team_id)
                    .bind(name)
                    .bind(now)
                    .execute(self.connection())
                    .await?;
                Present { id: template_id, offered_version_id: None, broken: None, withdrawn_at: None }
            }
        };
        let (offered, broken) = match found {
            Found::Good { version, digest, source } => {
                (Some(self.version_of(&present.id, version, digest, source, now).await?), None)
            }
            Found::Broken { error } => (present.offered_version_id.clone(), Some(error.to_owned())),
        };
        if !is_new
            && offered == present.offered_version_id
            && broken == present.broken
            && present.withdrawn_at.is_none()
        {
            return Ok(false);
        }
        sqlx::query("update template set offered_version_id = $1, broken = $2, withdrawn_at = null where id = $3")
            .bind(offered)
            .bind(broken)
            .bind(&present.id)
            .execute(self.connection())
            .await?;
        Ok(true)
    }

    /// Withdraws every template of the team that is not among `names`. Says whether there was one.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn withdraw_templates_except(
        &mut self,
        team_id: &str,
        names: &[String],
        now: i64,
    ) -> Result<bool, StoreError> {
        let present: Vec<(String, String)> =
            sqlx::query_as("select id, name from template where team_id = $1 and withdrawn_at is null")
                .bind(team_id)
                .fetch_all(self.connection())
                .await?;
        let mut any = false;
        for (id, _) in present.iter().filter(|(_, name)| !names.contains(name)) {
            any = true;
            sqlx::query("update template set withdrawn_at = $1 where id = $2")
                .bind(now)
                .bind(id)
                .execute(self.connection())
                .await?;
        }
        Ok(any)
    }

    /// The id of the version with this source, written when it is new.
    async fn version_of(
        &mut self,
        template_id: &str,
        version: &str,
        digest: &str,
        source: &str,
        now: i64,
    ) -> Result<String, StoreError> {
        let versions: Vec<(String, String, String)> =
            sqlx::query_as("select id, version, digest from template_version where template_id = $1")
                .bind(template_id)
                .fetch_all(self.connection())
                .await?;
        if let Some((id, ..)) = versions.iter().find(|(_, _, known)| known == digest) {
            return Ok(id.clone());
        }
        let taken = |label: &str| versions.iter().any(|(_, known, _)| known == label);
        let numbered = (2..).map(|number| format!("{version}+{number}"));
        let label = std::iter::once(version.to_owned()).chain(numbered).find(|label| !taken(label));
        let version_id = id(now);
        sqlx::query(
            "insert into template_version (id, template_id, version, digest, source, created_at) \
             values ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&version_id)
        .bind(template_id)
        .bind(label)
        .bind(digest)
        .bind(source)
        .bind(now)
        .execute(self.connection())
        .await?;
        Ok(version_id)
    }
}
