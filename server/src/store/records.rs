//! What past orders tell about their template: how many there were, how they ended, how long they took.

use std::collections::HashMap;

use app::api::TemplateRecord;

use super::{Store, StoreError, columns};

/// Template row id → its record; templates nobody ever ordered are not in it.
pub type TemplateRecords = HashMap<String, TemplateRecord>;

struct Row {
    template_id: String,
    orders: i64,
    decided: i64,
    became_ready: i64,
    ready_p50: Option<i64>,
    ready_p95: Option<i64>,
}

columns!(Row { template_id, orders, decided, became_ready, ready_p50, ready_p95 });

/// Percentiles by nearest rank: the smallest time that enough of those that became ready did not exceed.
const RECORDS: &str = "\
    with ordered as ( \
        select v.template_id, e.id, e.created_at, e.first_ready_at, \
            row_number() over (partition by v.template_id order by e.id desc) as recency, \
            count(*) over (partition by v.template_id) as orders \
        from environment e join template_version v on v.id = e.template_version_id where e.team_id = $1 \
    ), recent as ( \
        select o.template_id, o.orders, e.state, o.first_ready_at - o.created_at as took \
        from ordered o join environment e on e.id = o.id where o.recency <= 100 \
    ), ranked as ( \
        select template_id, orders, state, took, \
            count(took) over (partition by template_id) as became_ready, \
            row_number() over (partition by template_id order by case when took is null then 1 else 0 end, took) as place \
        from recent \
    ) \
    select template_id, max(orders) as orders, max(became_ready) as became_ready, \
        cast(sum(case when took is not null or state in ('failed', 'parked', 'deleted') then 1 else 0 end) as bigint) \
            as decided, \
        min(case when place * 100 >= became_ready * 50 then took end) as ready_p50, \
        min(case when place * 100 >= became_ready * 95 then took end) as ready_p95 \
    from ranked group by template_id";

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
                decided: row.decided.unsigned_abs(),
                became_ready: row.became_ready.unsigned_abs(),
                ready_p50_ms: row.ready_p50,
                ready_p95_ms: row.ready_p95,
            };
            (row.template_id, record)
        };
        Ok(rows.into_iter().map(record).collect())
    }
}
