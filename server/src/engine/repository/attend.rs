//! Something long that blocks, on a thread of its own, while the lease is kept and its progress is written down. Whoever gives up
//! waiting for it ends it, soon.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use repository::{Error, Watcher};
use tokio::sync::oneshot;

use super::{LEASE, Shared};
use crate::store::{RepositoryLease, StoreError};

/// Progress is written down so often.
const LOOK: Duration = Duration::from_secs(1);
/// The lease is kept so often, in looks.
const KEPT_EVERY: u32 = 5;

/// What is under way, for its progress.
pub(super) enum Subject<'a> {
    Export { environment: &'a str, snapshot: &'a str },
    Import { environment: &'a str },
    Upkeep,
}

/// How far it has come; the repository's threads write it.
#[derive(Default)]
pub(super) struct Far {
    done: AtomicU64,
    total: AtomicU64,
}

/// A watcher that writes down how far it has come.
pub(super) fn watched() -> (Watcher, Arc<Far>) {
    let far = Arc::new(Far::default());
    let written = far.clone();
    let watcher = Watcher::new(move |progress| {
        written.done.store(progress.bytes_done, Ordering::Relaxed);
        written.total.store(progress.bytes_total, Ordering::Relaxed);
    });
    (watcher, far)
}

/// Ends the work when nobody waits for it any more.
struct Until(Watcher);

impl Drop for Until {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Waits for the work, and keeps the lease meanwhile.
///
/// # Errors
/// [`StoreError::LeaseLost`] when the repository is another's by now: the work is ended.
pub(super) async fn attend<T>(
    shared: &Shared,
    lease: &RepositoryLease,
    subject: &Subject<'_>,
    (watcher, far): (Watcher, Arc<Far>),
    work: impl Future<Output = T>,
) -> Result<T, StoreError> {
    let _until = Until(watcher);
    let mut work = std::pin::pin!(work);
    let mut told = (0, 0);
    for look in 1u32.. {
        tokio::select! {
            done = &mut work => return Ok(done),
            () = tokio::time::sleep(LOOK) => {}
        }
        let now_at = (far.done.load(Ordering::Relaxed), far.total.load(Ordering::Relaxed));
        if now_at == told && look % KEPT_EVERY != 0 {
            continue;
        }
        match note(shared, lease, subject, now_at).await {
            Ok(()) => told = now_at,
            Err(StoreError::LeaseLost) => return Err(StoreError::LeaseLost),
            // The lease lasts for several of these.
            Err(error) => tracing::warn!(%error, "progress could not be written down"),
        }
    }
    Ok(work.await)
}

async fn note(
    shared: &Shared,
    lease: &RepositoryLease,
    subject: &Subject<'_>,
    (done, total): (u64, u64),
) -> Result<(), StoreError> {
    let mut tx = shared.store.write().await?;
    tx.keep_repository(lease, shared.clock.now(), LEASE).await?;
    match subject {
        Subject::Export { snapshot, .. } => tx.export_progress(lease, snapshot, done, total).await?,
        Subject::Import { environment } => tx.import_progress(lease, environment, done, total).await?,
        Subject::Upkeep => {}
    }
    tx.commit().await?;
    if let Subject::Export { environment, .. } | Subject::Import { environment } = subject {
        shared.bell.tell(environment);
    }
    Ok(())
}

/// Does what blocks on a thread of its own: a portal that ends does not wait for it.
pub(super) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (send, receive) = oneshot::channel();
    std::thread::spawn(move || {
        // Nobody may be waiting any more.
        let _ = send.send(work());
    });
    receive.await.unwrap_or_else(|_| {
        let reason = "the work on it ended in a way nobody foresaw, which is in the log".to_owned();
        Err(Error::Engine { attempt: "work on", location: "its place".to_owned(), reason })
    })
}
