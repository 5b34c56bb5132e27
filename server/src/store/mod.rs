//! Everything Bookend remembers, and every SQL statement there is.
//!
//! One concrete [`Store`] speaks the same SQL to SQLite (the embedded default) and PostgreSQL (for several portals).
//! Reading goes through [`Store::read`]; writing through [`Store::write`], which yields a [`Tx`]: begin, do, `commit()`.
//! A `Tx` that is dropped instead has done nothing.
//!
//! Guaranteed: what `commit()` has confirmed survives the loss of the process and of power; writes on SQLite happen one at
//! a time and share the cost of reaching the disk ([`writer`]); a data directory written by a newer Bookend is refused
//! before anything is changed. Times come in as arguments, Unix milliseconds, always.
//!
//! Deliberately absent: decisions. What a row *means* is `domain`'s business.

mod agents;
mod alerts;
mod audit;
mod change;
mod claims;
#[cfg(test)]
mod conformance;
mod damage;
mod describe;
mod desire;
mod drills;
mod effects;
mod environments;
mod exports;
mod facts;
mod imports;
mod json;
mod ledger;
mod listing;
mod lock;
mod logs;
mod migrations;
mod operator;
mod orphans;
mod people;
mod records;
mod repository;
mod restores;
mod sessions;
mod snapshot_copies;
mod snapshots;
mod templates;
mod timeline;
mod tokens;
mod writer;

use std::path::Path;
use std::sync::Mutex;

use app::api::Page;
use sqlx::any::AnyPoolOptions;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyPool, Executor, Transaction};
use uuid::{ContextV7, Timestamp, Uuid};

pub use agents::{AgentCredentials, Neighbour, ServerConfiguration};
pub use audit::AuditEvent;
pub use change::NewOrder;
pub use claims::{Lease, known_installation};
pub use describe::{Described, Description};
pub use drills::{DrillDue, DrillUnderWay};
pub use effects::{Answer, Recorded, Settlement};
pub use environments::{EnvironmentRecord, NewEnvironment, OrderKey, Ordered, Quota};
pub use exports::{ExportedAs, NextExport};
pub use facts::Loaded;
pub use imports::{ImportedVolume, NewImport, NextImport};
pub use ledger::StoredLedger;
pub use listing::{Cursor, EnvironmentFilter};
pub use lock::PortalLock;
pub use logs::{LogPlace, log_line};
pub use operator::EffectRow;
pub use orphans::{OrphanLook, OrphanRow};
pub use people::{NewPerson, PersonRow};
pub use records::{LastOrder, TemplateRecords};
pub use repository::{RepositoryLease, RepositoryRules, RepositoryStanding};
pub use restores::{Needed, Undeleted};
pub use sessions::{AppAccessRow, AppCookieRow, Begun, CredentialRow, SessionRow};
pub use snapshot_copies::{CopyNews, CopyStage, OpenCopy};
pub use snapshots::{SnapshotRecord, Source, Wanted};
pub use templates::{Found, TemplateRow, VersionRow};
pub use tokens::{NewToken, TokenRow};
pub use writer::Tx;

use migrations::migrate;
use writer::Writer;

/// Read connections: enough that a slow list does not hold up a page.
const READERS: u32 = 6;

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    readers: AnyPool,
    writer: Writer,
}

impl Store {
    /// Opens `sqlite:` or `postgres:` databases (see [`sqlite_url`]) and brings their tables up to date.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when a newer Bookend wrote it; otherwise what the database said.
    pub async fn open(url: &str) -> Result<Store, StoreError> {
        sqlx::any::install_default_drivers();
        let store = if url.starts_with("sqlite:") {
            let writer = AnyPoolOptions::new()
                .max_connections(1)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
                .after_connect(|connection, _| {
                    Box::pin(async move {
                        let pragmas =
                            "pragma journal_mode = wal; pragma synchronous = full; pragma busy_timeout = 5000;";
                        connection.execute(pragmas).await.map(drop)
                    })
                })
                .connect(url)
                .await?;
            migrate(&mut *writer.acquire().await?).await?;
            let readers = AnyPoolOptions::new()
                .max_connections(READERS)
                .max_lifetime(None)
                .test_before_acquire(false)
                .after_connect(|connection, _| {
                    Box::pin(async move { connection.execute("pragma query_only = on").await.map(drop) })
                })
                .connect(url)
                .await?;
            Store { readers, writer: Writer::sqlite(writer.acquire().await?.detach()) }
        } else {
            let pool = AnyPoolOptions::new().max_connections(24).connect(url).await?;
            migrate(&mut *pool.acquire().await?).await?;
            Store { readers: pool.clone(), writer: Writer::postgres(pool) }
        };
        Ok(store)
    }

    /// A connection to read with: sees everything committed so far.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn read(&self) -> Result<PoolConnection<Any>, StoreError> {
        Ok(self.readers.acquire().await?)
    }

    /// The same, with every statement on it seeing the database as of the first one: for what is read in several parts and
    /// must fit together.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn snapshot(&self) -> Result<Transaction<'static, Any>, StoreError> {
        let mut transaction = self.readers.begin().await?;
        if !self.writer.is_sqlite() {
            transaction.execute("set transaction isolation level repeatable read, read only").await?;
        }
        Ok(transaction)
    }

    /// Begins a write transaction. On SQLite it waits for the one before it to end, so do nothing slow inside.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when another process holds the database for too long.
    pub async fn write(&self) -> Result<Tx, StoreError> {
        self.writer.begin().await
    }
}

/// Cuts one row too many into the cursor of the next page.
fn page<T>(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Page<T> {
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    Page { next: if more { items.last().map(cursor) } else { None }, items }
}

/// Says which columns a row type is read from: those of its fields' names. By hand rather than by sqlx's derive, which has
/// every build compile both databases a second time.
macro_rules! columns {
    ($row:ident { $($field:ident),* }) => {
        impl sqlx::FromRow<'_, sqlx::any::AnyRow> for $row {
            fn from_row(row: &sqlx::any::AnyRow) -> sqlx::Result<Self> {
                Ok(Self { $($field: sqlx::Row::try_get(row, stringify!($field))?),* })
            }
        }
    };
}
use columns;

/// The URL of a SQLite database at this path; the file is made when it is not there.
pub fn sqlite_url(path: &Path) -> String {
    let mut url = String::from("sqlite://");
    for byte in path.to_string_lossy().bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => url.push(byte as char),
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    url.push_str("?mode=rwc");
    url
}

/// A new id: UUIDv7 of this time, larger than every id this process made before.
pub fn id(now: i64) -> String {
    static CONTEXT: Mutex<ContextV7> = Mutex::new(ContextV7::new());
    let context = CONTEXT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let milliseconds = now.max(0) as u64;
    let nanoseconds = (milliseconds % 1000) as u32 * 1_000_000;
    Uuid::new_v7(Timestamp::from_unix(&*context, milliseconds / 1000, nanoseconds)).to_string()
}

/// What went wrong with the database, by what a caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("there is no such row")]
    NotFound,
    #[error("a row with this name or key exists already")]
    UniqueViolation,
    /// Somebody else changed the environment first: read it again.
    #[error("it was changed by someone else meanwhile")]
    Stale,
    /// Another worker has claimed the environment: leave it alone.
    #[error("another worker has taken it over")]
    LeaseLost,
    #[error("the database is busy with another process; try again")]
    Busy,
    #[error(
        "this data was written by a newer Bookend (schema {version}); start that version, or give another --data-dir. \
         Nothing was changed"
    )]
    Newer { version: i64 },
    #[error("another portal is running on {path}; stop it first, or give another --data-dir")]
    Held { path: String },
    #[error("{path} could not be locked for this portal")]
    Lock {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the database's tables could not be brought up to date")]
    Migration(#[source] Box<sqlx::migrate::MigrateError>),
    #[error("{what} in the database cannot be read")]
    Corrupt {
        what: &'static str,
        #[source]
        source: serde_json::Error,
    },
    #[error("the database could not be asked: {0}")]
    Other(#[source] sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::RowNotFound => StoreError::NotFound,
            sqlx::Error::Database(cause) if cause.is_unique_violation() => StoreError::UniqueViolation,
            // SQLite: 5 SQLITE_BUSY, 6 SQLITE_LOCKED, and their extended codes (sqlite.org/rescode.html).
            sqlx::Error::Database(cause)
                if cause
                    .code()
                    .and_then(|code| code.parse::<i64>().ok())
                    .is_some_and(|code| matches!(code & 0xff, 5 | 6))
                    && cause.code().is_some_and(|code| code.len() < 5) =>
            {
                StoreError::Busy
            }
            _ => StoreError::Other(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_even_within_a_millisecond_and_when_the_clock_goes_back() {
        let made: Vec<String> = [5_000, 5_000, 5_001, 4_000, 9_000].iter().map(|now| id(*now)).collect();
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]), "{made:?}");
    }

    #[test]
    fn a_path_with_odd_characters_makes_a_url_that_names_the_same_file() {
        assert_eq!(sqlite_url(Path::new("/tmp/a b?c#d%/x.db")), "sqlite:///tmp/a%20b%3Fc%23d%25/x.db?mode=rwc");
    }

    #[tokio::test]
    async fn data_of_a_newer_bookend_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let url = sqlite_url(&directory.path().join("bookend.db"));
        let store = Store::open(&url).await.unwrap();
        let mut tx = store.write().await.unwrap();
        let newer = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
                     values (9999, 'from tomorrow', 1, x'00', 0)";
        tx.connection().execute(newer).await.unwrap();
        tx.commit().await.unwrap();
        assert!(matches!(Store::open(&url).await, Err(StoreError::Newer { version: 9999 })));
    }
}
