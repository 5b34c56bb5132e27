//! Where the time comes from: read at the edges only, and passed down from there.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Unix milliseconds: the system's, or a test's own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    pub fn system() -> Clock {
        Clock(Arc::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        }))
    }

    /// A clock that stands still until its owner moves it.
    pub fn set_by(milliseconds: Arc<AtomicI64>) -> Clock {
        Clock(Arc::new(move || milliseconds.load(Ordering::SeqCst)))
    }

    /// The system's clock, put forward by what its owner says.
    pub fn ahead_by(milliseconds: Arc<AtomicI64>) -> Clock {
        let system = Clock::system();
        Clock(Arc::new(move || system.now() + milliseconds.load(Ordering::SeqCst)))
    }

    pub fn now(&self) -> i64 {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}
