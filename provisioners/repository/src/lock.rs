//! restic's locks: several processes in one repository, none harmed.
//!
//! `rustic_core` itself takes no locks: it relies on data that is no longer needed being deleted a day after it was marked.
//! restic knows nothing of such marks, so this crate speaks restic's protocol instead. Whoever adds or reads holds a shared
//! lock, whoever removes (forget, prune) the exclusive one; a lock is a file in `locks/`, written first and checked against the
//! others afterwards, so that of two that cannot be together at least one steps back. A lock is renewed every five minutes.
//! One older than half an hour, or of a process of this machine that no longer runs, counts for nothing and is removed by
//! whoever comes next, because restic itself waits for somebody to say `unlock`. One that could not be given back, because the
//! place was away in that moment, is removed by the next operation of the same repository. A process that could not renew its own
//! for 22 minutes writes nothing more.
//!
//! The clock is read here and not passed in: what counts is the age of files that other machines wrote.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use rustix::process::{Pid, getgid, getpid, getuid, test_kill_process};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Outcome};
use crate::keys::{Keys, name_of};
use crate::storage::{Kind, Storage};

const RENEWED_EVERY: Duration = Duration::from_secs(5 * 60);
const STALE_AFTER: SignedDuration = SignedDuration::from_mins(30);
const TRUSTED_FOR: SignedDuration = SignedDuration::from_mins(22);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    Shared,
    Exclusive,
}

/// A lock file as restic writes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct LockFile {
    time: Timestamp,
    #[serde(default)]
    exclusive: bool,
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    pid: i32,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
}

impl LockFile {
    fn ours(exclusive: bool, now: Timestamp) -> Self {
        Self {
            time: now,
            exclusive,
            hostname: this_machine(),
            username: "bookend".into(),
            pid: getpid().as_raw_nonzero().get(),
            uid: getuid().as_raw(),
            gid: getgid().as_raw(),
        }
    }

    fn is_stale(&self, now: Timestamp) -> bool {
        now.duration_since(self.time) > STALE_AFTER || (self.hostname == this_machine() && !runs(self.pid))
    }

    fn in_words(&self) -> String {
        let how = if self.exclusive { "for itself alone" } else { "with others" };
        format!("process {} of {} on {} uses it {how} since {}", self.pid, self.username, self.hostname, self.time)
    }
}

/// A held lock; given back when dropped, whoever still looks at it through [`Lock::watch`].
pub(crate) struct Lock {
    held: Arc<Held>,
    end: Option<mpsc::Sender<()>>,
    renewal: Option<JoinHandle<()>>,
}

/// Names of locks that could not be given back.
pub(crate) type Left = Arc<Mutex<Vec<String>>>;

/// What the renewing thread and the holder share.
struct Held {
    storage: Arc<dyn Storage>,
    left: Left,
    keys: Keys,
    exclusive: bool,
    name: Mutex<String>,
    /// Unix milliseconds; zero once given back.
    renewed: AtomicU64,
}

/// Tells whether the lock is still held.
#[derive(Clone)]
pub(crate) struct LockWatch(Arc<Held>);

impl Lock {
    /// Takes the lock or says who has it; never waits.
    pub(crate) fn take(storage: &Arc<dyn Storage>, keys: &Keys, sharing: Sharing, left: &Left) -> Outcome<Self> {
        left.lock().unwrap_or_else(PoisonError::into_inner).retain(|name| storage.remove(Kind::Lock, name).is_err());
        let exclusive = sharing == Sharing::Exclusive;
        step_back_for_others(storage.as_ref(), keys, exclusive, None)?;
        let now = Timestamp::now();
        let name = write(storage.as_ref(), keys, exclusive, now)?;
        let held = Arc::new(Held {
            storage: storage.clone(),
            left: left.clone(),
            keys: keys.clone(),
            exclusive,
            name: Mutex::new(name.clone()),
            renewed: AtomicU64::new(milliseconds(now)),
        });
        let (end, ended) = mpsc::channel();
        let mut lock = Self { held: held.clone(), end: Some(end), renewal: None };
        step_back_for_others(storage.as_ref(), keys, exclusive, Some(&name))?;
        lock.renewal = Some(std::thread::spawn(move || {
            while ended.recv_timeout(RENEWED_EVERY) == Err(RecvTimeoutError::Timeout) {
                held.renew();
            }
        }));
        Ok(lock)
    }

    pub(crate) fn watch(&self) -> LockWatch {
        LockWatch(self.held.clone())
    }
}

impl LockWatch {
    /// Fails once others have reason to believe that the lock's holder is gone.
    pub(crate) fn check(&self) -> Outcome<()> {
        let renewed = i64::try_from(self.0.renewed.load(Ordering::Acquire)).ok();
        let renewed = renewed.and_then(|renewed| Timestamp::from_millisecond(renewed).ok());
        if renewed.is_some_and(|renewed| Timestamp::now().duration_since(renewed) < TRUSTED_FOR) {
            return Ok(());
        }
        Err(Error::LockLost { location: self.0.storage.location() })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.end.take();
        if let Some(renewal) = self.renewal.take() {
            let _ = renewal.join();
        }
        self.held.renewed.store(0, Ordering::Release);
        let name = self.held.name.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.held.remove(name, "a lock could not be removed; the next operation does it");
    }
}

impl Held {
    fn renew(&self) {
        let now = Timestamp::now();
        match write(self.storage.as_ref(), &self.keys, self.exclusive, now) {
            Ok(fresh) => {
                let mut name = self.name.lock().unwrap_or_else(PoisonError::into_inner);
                let old = std::mem::replace(&mut *name, fresh);
                self.renewed.store(milliseconds(now), Ordering::Release);
                drop(name);
                self.remove(old, "a renewed lock's old file could not be removed; the next operation does it");
            }
            Err(error) => tracing::warn!(%error, "a lock could not be renewed"),
        }
    }

    fn remove(&self, name: String, otherwise: &str) {
        if let Err(error) = self.storage.remove(Kind::Lock, &name) {
            tracing::warn!(%error, lock = %Kind::Lock.path(&name), "{otherwise}");
            self.left.lock().unwrap_or_else(PoisonError::into_inner).push(name);
        }
    }
}

fn write(storage: &dyn Storage, keys: &Keys, exclusive: bool, now: Timestamp) -> Outcome<String> {
    let failed = |source| Error::Storage {
        location: storage.location(),
        attempt: "write a lock".into(),
        source: Arc::new(source),
    };
    let plain = serde_json::to_vec(&LockFile::ours(exclusive, now)).map_err(|error| failed(error.into()))?;
    let sealed = keys.seal(&plain).map_err(|reason| failed(std::io::Error::other(reason)))?;
    let name = name_of(&sealed);
    storage.write(Kind::Lock, &name, &[Bytes::from(sealed)]).map_err(failed)?;
    Ok(name)
}

/// Fails when a lock that counts cannot be together with one of this sharing; removes those that count for nothing.
fn step_back_for_others(storage: &dyn Storage, keys: &Keys, exclusive: bool, own: Option<&str>) -> Outcome<()> {
    let location = storage.location();
    let failed = |source| Error::Storage {
        location: storage.location(),
        attempt: "read the locks".into(),
        source: Arc::new(source),
    };
    for (name, _) in storage.list(Kind::Lock).map_err(failed)? {
        if own == Some(name.as_str()) {
            continue;
        }
        let sealed = match storage.read(Kind::Lock, &name, None) {
            Ok(sealed) => sealed,
            // Given back between the two looks.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        let read = keys
            .unseal(&sealed)
            .and_then(|plain| serde_json::from_slice::<LockFile>(&plain).map_err(|error| error.to_string()));
        let other = read.map_err(|reason| Error::Damaged {
            location: location.clone(),
            file: Kind::Lock.path(&name),
            reason,
            remedy: "When no program uses the repository, `restic unlock --remove-all` removes it",
        })?;
        if other.is_stale(Timestamp::now()) {
            storage.remove(Kind::Lock, &name).map_err(failed)?;
            continue;
        }
        if !exclusive && !other.exclusive {
            continue;
        }
        return Err(Error::Locked { location, holder: other.in_words() });
    }
    Ok(())
}

fn milliseconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_millisecond()).unwrap_or_default()
}

fn this_machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn runs(pid: i32) -> bool {
    match Pid::from_raw(pid) {
        Some(pid) => test_kill_process(pid) != Err(rustix::io::Errno::SRCH),
        None => false,
    }
}
