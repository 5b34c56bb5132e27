//! What past orders tell about their template: how many there were, how they ended, how long they took.

use std::collections::{BTreeMap, HashMap};

use app::api::TemplateRecord;
use sqlx::Row as _;

use super::{Store, StoreError, columns, json};

/// Template row id → its record; templates nobody ever ordered are not in it.
pub type TemplateRecords = HashMap<String, TemplateRecord>;

/// An order somebody gave before, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastOrder {
    /// What its environment is, or was, called.
    pub environment: String,
    pub at: i64,
    pub parameters: BTreeMap<String, String>,
}

struct Row {
    template_id: String,
    orders: i64,
    last_ordered_at: i64,
    decided: i64,
    became_ready: i64,
    ready_p50: Option<i64>,
    ready_p95: Option<i64>,
}

columns!(Row { template_id, orders, last_ordered_at, decided, became_ready, ready_p50, ready_p95 });

/// Of each version the newest 100 are found by its index, whatever number there is; of these each template's newest 100
/// count. Percentiles by nearest rank: the smallest time that enough of those that became ready did not exceed.
const RECORDS: &str = "\
    with counted as materialized ( \
        select template_version_id as version_id, count(*) as orders from environment where team_id = $1 \
        group by template_version_id \
    ), bounded as materialized ( \
        select version_id, orders, coalesce(( \
            select id from environment where team_id = $1 and template_version_id = version_id \
            order by id desc limit 1 offset 99 \
        ), '') as oldest from counted \
    ), candidate as ( \
        select v.template_id, e.state, e.created_at, e.first_ready_at - e.created_at as took, \
            row_number() over (partition by v.template_id order by e.id desc) as recency \
        from bounded b join template_version v on v.id = b.version_id \
        join environment e on e.team_id = $1 and e.template_version_id = b.version_id and e.id >= b.oldest \
    ), ranked as ( \
        select template_id, created_at, state, took, count(took) over (partition by template_id) as became_ready, \
            row_number() over (partition by template_id order by case when took is null then 1 else 0 end, took) as place \
        from candidate where recency <= 100 \
    ), total as ( \
        select v.template_id, cast(sum(b.orders) as bigint) as orders \
        from bounded b join template_version v on v.id = b.version_id group by v.template_id \
    ) \
    select r.template_id, max(t.orders) as orders, max(r.created_at) as last_ordered_at, \
        max(r.became_ready) as became_ready, \
        cast(sum(case when took is not null or state in ('failed', 'parked', 'deleted') then 1 else 0 end) as bigint) \
            as decided, \
        min(case when place * 100 >= became_ready * 50 then took end) as ready_p50, \
        min(case when place * 100 >= became_ready * 95 then took end) as ready_p95 \
    from ranked r join total t on t.template_id = r.template_id group by r.template_id";

impl Store {
    /// The records of a team's templates, of the last 100 orders of each.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn template_records(&self, team_id: &str) -> Result<TemplateRecords, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(RECORDS).bind(team_id).fetch_all(&mut *self.read().await?).await?;
        let record = |row: Row| {
            let record = TemplateRecord {
                orders: row.orders.unsigned_abs(),
                last_ordered_at: row.last_ordered_at,
                decided: row.decided.unsigned_abs(),
                became_ready: row.became_ready.unsigned_abs(),
                ready_p50_ms: row.ready_p50,
                ready_p95_ms: row.ready_p95,
            };
            (row.template_id, record)
        };
        Ok(rows.into_iter().map(record).collect())
    }

    /// Templates of this person's last 100 orders, with when each was last ordered.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn ordered_lately(&self, person_id: &str) -> Result<HashMap<String, i64>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "select v.template_id, max(e.created_at) from \
             (select template_version_id, created_at from environment where owner_id = $1 order by id desc limit 100) e \
             join template_version v on v.id = e.template_version_id group by v.template_id",
        )
        .bind(person_id)
        .fetch_all(&mut *self.read().await?)
        .await?;
        Ok(rows.into_iter().collect())
    }

    /// This person's last order of a template, deleted since or not.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn last_order(&self, person_id: &str, template_id: &str) -> Result<Option<LastOrder>, StoreError> {
        let row = sqlx::query(
            "select name, created_at, parameters from environment where id = (select max(id) from environment \
             where owner_id = $1 and template_version_id in (select id from template_version where template_id = $2))",
        )
        .bind(person_id)
        .bind(template_id)
        .fetch_optional(&mut *self.read().await?)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(LastOrder {
            environment: row.try_get("name")?,
            at: row.try_get("created_at")?,
            parameters: json::read("parameters", &row.try_get::<String, _>("parameters")?)?,
        }))
    }

    /// How many environments a person has that are not deleted; counted no further than `enough`.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn environments_of(&self, person_id: &str, enough: i64) -> Result<u64, StoreError> {
        let (count,): (i64,) = sqlx::query_as(
            "select count(*) from (select id from environment where owner_id = $1 and deleted_at is null limit $2) e",
        )
        .bind(person_id)
        .bind(enough)
        .fetch_one(&mut *self.read().await?)
        .await?;
        Ok(count.unsigned_abs())
    }

    /// Whether an environment of the team that is not deleted has this name.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn is_name_taken(&self, team_id: &str, name: &str) -> Result<bool, StoreError> {
        let (count,): (i64,) =
            sqlx::query_as("select count(*) from environment where team_id = $1 and name = $2 and deleted_at is null")
                .bind(team_id)
                .bind(name)
                .fetch_one(&mut *self.read().await?)
                .await?;
        Ok(count > 0)
    }
}
