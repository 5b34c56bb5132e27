//! What servers wrote, kept in order and within a bound. Lines are stored in chunks of some 16 KiB, newest chunk growing,
//! because a row per line would cost more than the lines.

use agent::api::LogLine as AgentLine;
use app::api::LogLine;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::{Store, StoreError, Tx, json};
use crate::domain::log::{Selection, level_of};

/// A chunk grows up to this many bytes.
const CHUNK_BYTES: usize = 16 * 1024;
/// Chunks read at once.
const READ_CHUNKS: usize = 8;

/// Where reading a server's log has come to: generation, and first number of the chunk read last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPlace(i64, i64);

impl LogPlace {
    pub const START: LogPlace = LogPlace(i64::MIN, 0);
}

impl Tx {
    /// Keeps those of these lines (in order of their numbers) that are new, and of older ones no more than fit into `bound`
    /// bytes per server.
    ///
    /// # Errors
    /// When the database refuses it; then none is kept.
    pub async fn append_log(
        &mut self,
        server: &str,
        generation: i64,
        lines: &[AgentLine],
        bound: u64,
        now: i64,
    ) -> Result<(), StoreError> {
        let connection = self.connection();
        let newest = newest_chunk(connection, server, generation).await?;
        let last = newest.as_ref().map_or(0, |chunk| chunk.seq_last);
        let mut fresh = &lines[lines.partition_point(|line| line.seq <= last)..];
        let mut growing = newest.filter(|chunk| chunk.bytes < CHUNK_BYTES);
        let mut begun = false;
        while let Some(first) = fresh.first() {
            let (seq_first, mut seq_last) = (first.seq as i64, first.seq as i64);
            let room = CHUNK_BYTES - growing.as_ref().map_or(0, |chunk| chunk.bytes);
            let mut text = String::new();
            while let [line, rest @ ..] = fresh
                && text.len() < room
            {
                text += &json::write("a log line", line)?;
                text.push('\n');
                seq_last = line.seq as i64;
                fresh = rest;
            }
            let query = match &growing {
                Some(_) => sqlx::query(
                    "update log_chunk set lines = lines || $6, bytes = bytes + $7, seq_last = $4, at = $5 \
                     where server_id = $1 and generation = $2 and seq_first = $3",
                ),
                None => sqlx::query(
                    "insert into log_chunk (server_id, generation, seq_first, seq_last, at, lines, bytes) \
                     values ($1, $2, $3, $4, $5, $6, $7)",
                ),
            };
            begun |= growing.is_none();
            query
                .bind(server)
                .bind(generation)
                .bind(growing.take().map_or(seq_first, |chunk| chunk.seq_first as i64))
                .bind(seq_last)
                .bind(now)
                .bind(&text)
                .bind(text.len() as i64)
                .execute(&mut *connection)
                .await?;
        }
        if begun {
            prune(connection, server, bound).await?;
        }
        Ok(())
    }
}

impl Store {
    /// The number of the last line kept of this generation; 0: none.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn last_log_line(&self, server: &str, generation: i64) -> Result<u64, StoreError> {
        let mut connection = self.read().await?;
        Ok(newest_chunk(&mut connection, server, generation).await?.map_or(0, |chunk| chunk.seq_last))
    }

    /// The last `tail` of the lines asked for, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn log_tail(&self, environment: &str, of: &Selection, tail: usize) -> Result<Vec<LogLine>, StoreError> {
        let mut connection = self.read().await?;
        let servers = sqlx::query("select id, name from server where environment_id = $1 and ($2 = '' or name = $2)")
            .bind(environment)
            .bind(of.server.as_deref().unwrap_or_default())
            .fetch_all(&mut *connection)
            .await?;
        let mut found = Vec::new();
        for row in servers {
            let (id, name): (String, String) = (row.try_get("id")?, row.try_get("name")?);
            found.extend(server_tail(&mut connection, &id, &name, of, tail).await?);
        }
        // By time; a server's own lines keep their order whatever its clock does (the sort is stable).
        found.sort_by_key(|line| line.at);
        found.drain(..found.len().saturating_sub(tail));
        Ok(found)
    }

    /// The next lines of a server from a place on, oldest first, and the place after them; `None` when there are no more.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn log_after(
        &self,
        server: &str,
        name: &str,
        after: LogPlace,
    ) -> Result<Option<(Vec<LogLine>, LogPlace)>, StoreError> {
        let rows = sqlx::query(
            "select generation, seq_first, lines from log_chunk where server_id = $1 \
             and (generation > $2 or (generation = $2 and seq_first > $3)) order by generation, seq_first limit $4",
        )
        .bind(server)
        .bind(after.0)
        .bind(after.1)
        .bind(READ_CHUNKS as i64)
        .fetch_all(&mut *self.read().await?)
        .await?;
        let mut lines = Vec::new();
        let mut place = after;
        for row in &rows {
            place = LogPlace(row.try_get("generation")?, row.try_get("seq_first")?);
            lines.extend(lines_of(row, name)?);
        }
        Ok((!rows.is_empty()).then_some((lines, place)))
    }
}

struct Newest {
    seq_first: u64,
    seq_last: u64,
    bytes: usize,
}

async fn newest_chunk(
    connection: &mut AnyConnection,
    server: &str,
    generation: i64,
) -> Result<Option<Newest>, StoreError> {
    let row = sqlx::query(
        "select seq_first, seq_last, bytes from log_chunk where server_id = $1 and generation = $2 \
         order by seq_first desc limit 1",
    )
    .bind(server)
    .bind(generation)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Newest {
        seq_first: row.try_get::<i64, _>("seq_first")? as u64,
        seq_last: row.try_get::<i64, _>("seq_last")? as u64,
        bytes: row.try_get::<i64, _>("bytes")? as usize,
    }))
}

/// Removes the oldest chunks beyond the bound, never the newest one.
async fn prune(connection: &mut AnyConnection, server: &str, bound: u64) -> Result<(), StoreError> {
    let chunks = sqlx::query(
        "select generation, seq_first, bytes from log_chunk where server_id = $1 \
         order by generation desc, seq_first desc",
    )
    .bind(server)
    .fetch_all(&mut *connection)
    .await?;
    let mut kept = 0;
    for (position, chunk) in chunks.iter().enumerate() {
        kept += chunk.try_get::<i64, _>("bytes")? as u64;
        if position > 0 && kept > bound {
            sqlx::query(
                "delete from log_chunk where server_id = $1 \
                 and (generation < $2 or (generation = $2 and seq_first <= $3))",
            )
            .bind(server)
            .bind(chunk.try_get::<i64, _>("generation")?)
            .bind(chunk.try_get::<i64, _>("seq_first")?)
            .execute(&mut *connection)
            .await?;
            break;
        }
    }
    Ok(())
}

async fn server_tail(
    connection: &mut AnyConnection,
    server: &str,
    name: &str,
    of: &Selection,
    tail: usize,
) -> Result<Vec<LogLine>, StoreError> {
    // Newest chunks first, some at a time, until there are lines enough.
    let mut chunks: Vec<Vec<LogLine>> = Vec::new();
    let mut have = 0;
    let end = of.end_of(name).map(|(generation, number)| (generation, i64::try_from(number).unwrap_or(i64::MAX)));
    let mut before = end.unwrap_or((i64::MAX, i64::MAX));
    while have < tail {
        let rows = sqlx::query(
            "select generation, seq_first, lines from log_chunk where server_id = $1 \
             and (generation < $2 or (generation = $2 and seq_first < $3)) \
             order by generation desc, seq_first desc limit $4",
        )
        .bind(server)
        .bind(before.0)
        .bind(before.1)
        .bind(READ_CHUNKS as i64)
        .fetch_all(&mut *connection)
        .await?;
        let Some(oldest) = rows.last() else { break };
        before = (oldest.try_get("generation")?, oldest.try_get("seq_first")?);
        let mut too_old = false;
        for row in &rows {
            let lines = lines_of(row, name)?;
            too_old |= lines.last().is_some_and(|last| of.since.is_some_and(|since| last.at < since));
            let wanted: Vec<LogLine> = lines.into_iter().filter(|line| of.matches(line)).collect();
            have += wanted.len();
            chunks.push(wanted);
        }
        if too_old {
            break;
        }
    }
    let lines: Vec<LogLine> = chunks.into_iter().rev().flatten().collect();
    let surplus = lines.len().saturating_sub(tail);
    Ok(lines.into_iter().skip(surplus).collect())
}

/// The lines of one chunk of this server.
fn lines_of(row: &AnyRow, server: &str) -> Result<Vec<LogLine>, StoreError> {
    let (generation, text): (i64, String) = (row.try_get("generation")?, row.try_get("lines")?);
    text.lines().map(|line| Ok(log_line(server, generation, json::read("a log line", line)?))).collect()
}

/// An agent's line as people see it.
pub fn log_line(server: &str, generation: i64, line: AgentLine) -> LogLine {
    LogLine {
        position: format!("{generation}.{}", line.seq),
        at: line.at_ms,
        server: server.to_owned(),
        source: line.source,
        level: level_of(&line.text),
        text: line.text,
        skipped: 0,
    }
}
