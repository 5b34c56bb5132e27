//! Environments by the thousand, without waiting for as many servers: copies of one that is parked, written into the
//! database beside the running portal. Stories and benches use it.

use std::ops::Range;
use std::path::Path;

use sqlx::{AnyConnection, Connection, Row};

/// Writes copies of the environment with the id `model` into the portal's data directory, numbered, each with an id, a name
/// and a time of its own: `copy-0` is the youngest.
///
/// # Errors
/// When the database cannot be written.
pub async fn write(data: &Path, model: &str, numbers: Range<u32>) -> sqlx::Result<()> {
    sqlx::any::install_default_drivers();
    let mut database = AnyConnection::connect(&format!("sqlite:{}", data.join("bookend.db").display())).await?;
    let columns = sqlx::query("select name from pragma_table_info('environment')").fetch_all(&mut database).await?;
    let columns: Vec<String> = columns.iter().map(|row| row.try_get("name")).collect::<sqlx::Result<_>>()?;
    let values: Vec<String> = columns
        .iter()
        .map(|column| match column.as_str() {
            "id" => "substr(e.id, 1, 24) || printf('%012x', i)".to_owned(),
            "name" => "'copy-' || i".to_owned(),
            "created_at" => "e.created_at - i * 1000".to_owned(),
            column => format!("e.{column}"),
        })
        .collect();
    let copy = format!(
        "with recursive n(i) as (select {} union all select i + 1 from n where i + 1 < {}) \
         insert into environment ({}) select {} from n, environment e where e.id = $1",
        numbers.start,
        numbers.end,
        columns.join(", "),
        values.join(", ")
    );
    sqlx::query("pragma busy_timeout = 30000").execute(&mut database).await?;
    sqlx::query(sqlx::AssertSqlSafe(copy)).bind(model.to_owned()).execute(&mut database).await?;
    sqlx::query("analyze").execute(&mut database).await?;
    database.close().await
}
