//! Write transactions.
//!
//! PostgreSQL has its own. SQLite has one writer at a time and pays a disk flush per commit (1.3 ms measured), which would
//! make two hundred orders at once wait for each other's flushes. So commits are grouped: every [`Tx`] is a savepoint inside
//! one open transaction; its `commit()` releases the savepoint, queues for the connection behind those already waiting, and
//! whoever gets there first commits for all. Nobody is told "committed" before the flush. A `Tx` that fails or is dropped
//! rolls back to its own savepoint and leaves the others alone.
//!
//! Cancellation: whatever begins, releases or closes runs in a task of its own, so what is known of the connection stays
//! true when a caller goes away in the middle, and the others in its group never notice.

use std::sync::Arc;

use sqlx::{Any, AnyConnection, AnyPool, Executor, Transaction};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

use super::StoreError;

#[derive(Clone)]
pub(super) enum Writer {
    Sqlite(Arc<Mutex<Group>>),
    Postgres(AnyPool),
}

/// The one write connection of SQLite and the transaction open on it.
pub(super) struct Group {
    connection: AnyConnection,
    /// `begin immediate` has succeeded and nothing has ended it.
    open: bool,
    /// A savepoint is set whose owner went away without releasing it.
    abandoned: bool,
    /// Those whose work is released and who wait for the flush.
    released: Vec<oneshot::Sender<bool>>,
    /// Grows with each group, so that a late closer does not close the next one early.
    number: u64,
}

/// A write transaction. [`commit`](Tx::commit) it, or it has done nothing.
pub struct Tx(Kind);

enum Kind {
    Sqlite(Savepoint),
    Postgres(Transaction<'static, Any>),
}

struct Savepoint {
    /// `None` once committed.
    group: Option<OwnedMutexGuard<Group>>,
    writer: Arc<Mutex<Group>>,
}

impl Writer {
    pub(super) fn sqlite(connection: AnyConnection) -> Writer {
        let group = Group { connection, open: false, abandoned: false, released: Vec::new(), number: 0 };
        Writer::Sqlite(Arc::new(Mutex::new(group)))
    }

    pub(super) fn postgres(pool: AnyPool) -> Writer {
        Writer::Postgres(pool)
    }

    pub(super) fn is_sqlite(&self) -> bool {
        matches!(self, Writer::Sqlite(_))
    }

    pub(super) async fn begin(&self) -> Result<Tx, StoreError> {
        match self {
            Writer::Postgres(pool) => Ok(Tx(Kind::Postgres(pool.begin().await?))),
            Writer::Sqlite(writer) => {
                let begun = tokio::spawn(Savepoint::begin(writer.clone())).await;
                Ok(Tx(Kind::Sqlite(begun.map_err(|_| unwritten())??)))
            }
        }
    }
}

impl Tx {
    /// What statements run on.
    pub fn connection(&mut self) -> &mut AnyConnection {
        match &mut self.0 {
            Kind::Postgres(transaction) => transaction,
            Kind::Sqlite(savepoint) => match &mut savepoint.group {
                Some(group) => &mut group.connection,
                None => unreachable!("commit() takes the transaction away"),
            },
        }
    }

    /// Returns once everything done in it is on the disk.
    ///
    /// # Errors
    /// When the database could not; then nothing of it happened, unless the connection to PostgreSQL was lost just then.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self.0 {
            Kind::Postgres(transaction) => Ok(transaction.commit().await?),
            Kind::Sqlite(savepoint) => {
                let (flushed, answer) = oneshot::channel();
                tokio::spawn(savepoint.release(flushed));
                match answer.await {
                    Ok(true) => Ok(()),
                    _ => Err(unwritten()),
                }
            }
        }
    }
}

fn unwritten() -> StoreError {
    let error = std::io::Error::other("the transaction could not be written to the disk (is it full?)");
    StoreError::Other(sqlx::Error::Io(error))
}

impl Savepoint {
    async fn begin(writer: Arc<Mutex<Group>>) -> Result<Self, StoreError> {
        let mut group = writer.clone().lock_owned().await;
        group.begin().await?;
        Ok(Self { group: Some(group), writer })
    }

    /// Leaves what was done to the group, and sees to it that the group is closed. `flushed` hears how that went.
    async fn release(mut self, flushed: oneshot::Sender<bool>) {
        let Some(mut group) = self.group.take() else { return };
        let number = group.number;
        match group.connection.execute("release one").await {
            Ok(_) => {
                group.abandoned = false;
                group.released.push(flushed);
            }
            Err(error) => tracing::error!(%error, "a write transaction could not be released"),
        }
        drop(group);
        close(self.writer.clone(), number).await;
    }
}

impl Drop for Savepoint {
    fn drop(&mut self) {
        let Some(group) = self.group.take() else { return };
        let number = group.number;
        drop(group);
        // Without a runtime the process is ending, and with it the connection.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(close(self.writer.clone(), number));
        }
    }
}

/// Ends this group of transactions, unless somebody has.
async fn close(writer: Arc<Mutex<Group>>, number: u64) {
    let mut group = writer.lock().await;
    if group.number == number && group.open {
        group.end().await;
    }
}

impl Group {
    async fn begin(&mut self) -> Result<(), StoreError> {
        self.undo_abandoned().await;
        if self.open {
            self.connection.execute("savepoint one").await?;
        } else {
            self.number += 1;
            self.connection.execute("begin immediate").await?;
            self.open = true;
            self.connection.execute("savepoint one").await?;
        }
        self.abandoned = true;
        Ok(())
    }

    async fn undo_abandoned(&mut self) {
        if std::mem::take(&mut self.abandoned)
            && let Err(error) = self.connection.execute("rollback to one; release one").await
        {
            // SQLite has ended the whole transaction by itself (disk full, I/O error): all of the group is undone.
            tracing::warn!(%error, "a group of write transactions was undone by SQLite");
            self.fail().await;
        }
    }

    async fn end(&mut self) {
        self.undo_abandoned().await;
        if !self.open {
            return;
        }
        match self.connection.execute("commit").await {
            Ok(_) => {
                self.open = false;
                for flushed in self.released.drain(..) {
                    // A caller that went away needs no answer.
                    let _ = flushed.send(true);
                }
            }
            Err(error) => {
                tracing::error!(%error, "a group of write transactions could not be committed");
                self.fail().await;
            }
        }
    }

    async fn fail(&mut self) {
        // Fails when nothing is open any more, which is what is wanted.
        let _ = self.connection.execute("rollback").await;
        self.open = false;
        for flushed in self.released.drain(..) {
            let _ = flushed.send(false);
        }
    }
}
