//! How the one who started an export or an import follows it and ends it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How far an export or an import has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub bytes_done: u64,
    pub bytes_total: u64,
}

/// Follows one export or import, and can cancel it from any thread. Clones follow the same one.
#[derive(Clone)]
pub struct Watcher {
    shared: Arc<Shared>,
}

struct Shared {
    cancelled: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
    report: Box<dyn Fn(Progress) + Send + Sync>,
}

impl Watcher {
    /// `report` is called from several threads, often: it should return at once.
    pub fn new(report: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        let shared =
            Shared { cancelled: AtomicBool::new(false), done: 0.into(), total: 0.into(), report: Box::new(report) };
        Self { shared: Arc::new(shared) }
    }

    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    /// Ends the work soon, with [`crate::Error::Cancelled`].
    pub fn cancel(&self) {
        self.shared.cancelled.store(true, Ordering::Release);
    }

    pub fn is_cancelled(&self) -> bool {
        self.shared.cancelled.load(Ordering::Acquire)
    }

    pub(crate) fn begin(&self, bytes_total: u64) {
        self.shared.total.store(bytes_total, Ordering::Release);
        self.shared.done.store(0, Ordering::Release);
        self.advance(0);
    }

    pub(crate) fn advance(&self, bytes: u64) {
        let bytes_done = self.shared.done.fetch_add(bytes, Ordering::AcqRel) + bytes;
        (self.shared.report)(Progress { bytes_done, bytes_total: self.shared.total.load(Ordering::Acquire) });
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").field("cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}
