//! Filesystems held still: what was written is on the disk, and nothing further goes there until they are let go.
//!
//! A thread of its own holds them and lets them go when it is told to, when whoever told it is gone, or when its time is over,
//! whatever the rest of the agent waits for: even for a write to the very filesystem that stands still. If the agent is killed
//! meanwhile, the next one lets them go.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// After a filesystem could not be let go.
const AGAIN: Duration = Duration::from_millis(100);

/// Filesystems that stand still, as long as their time is not over. Dropping it lets them go.
pub(crate) struct Still {
    end: mpsc::Sender<()>,
    thread: JoinHandle<bool>,
}

/// Holds these filesystems still, for so long at most.
///
/// # Errors
/// Why they do not stand still, in words.
pub(crate) async fn hold(places: Vec<PathBuf>, longest: Duration) -> Result<Option<Still>, String> {
    if places.is_empty() {
        return Ok(None);
    }
    let until = Instant::now() + longest;
    let (end, told) = mpsc::channel();
    let (answer, held) = oneshot::channel();
    let thread = thread::Builder::new().name("still".into()).spawn(move || keep(&places, until, answer, &told));
    let thread = thread.map_err(|error| format!("filesystems cannot be held still: {error}"))?;
    let still = Still { end, thread };
    match tokio::time::timeout(longest / 2, held).await {
        Ok(Ok(Ok(()))) => Ok(Some(still)),
        Ok(Ok(Err(reason))) => Err(reason),
        _ => Err("what was written did not get to the disks in time".to_owned()),
    }
}

impl Still {
    /// Lets them go, and says whether they stood still until now.
    pub(crate) fn end(self) -> bool {
        self.end.send(()).is_ok() && self.thread.join().unwrap_or(false)
    }
}

/// Lets go what an agent that was killed has left standing still. Whatever does not stand still stays as it is.
pub(crate) fn let_go_of(place: &Path) {
    if let Ok(folder) = File::open(place) {
        thaw(&folder).ok();
    }
}

fn keep(
    places: &[PathBuf],
    until: Instant,
    answer: oneshot::Sender<Result<(), String>>,
    told: &mpsc::Receiver<()>,
) -> bool {
    let mut held = Vec::new();
    for place in places {
        match File::open(place).and_then(|folder| freeze(&folder).map(|()| folder)) {
            Ok(folder) => held.push((place, folder)),
            Err(error) => {
                let_go(held);
                answer.send(Err(format!("{} cannot be held still: {error}", place.display()))).ok();
                return false;
            }
        }
    }
    // Nobody waits for it any more.
    let wanted = answer.send(Ok(())).is_ok();
    let ended = match wanted {
        true => told.recv_timeout(until.saturating_duration_since(Instant::now())),
        false => Err(RecvTimeoutError::Disconnected),
    };
    let_go(held);
    ended.is_ok()
}

fn let_go(held: Vec<(&PathBuf, File)>) {
    for (place, folder) in held.into_iter().rev() {
        while let Err(error) = thaw(&folder) {
            // Somebody else has done it.
            if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) {
                break;
            }
            eprintln!("bookend-agent: {} is not let go: {error}. It is tried again", Path::display(place));
            thread::sleep(AGAIN);
        }
    }
}

/// `_IOWR('X', 119, int)` and `_IOWR('X', 120, int)` of Linux's `include/uapi/linux/fs.h`.
const FIFREEZE: rustix::ioctl::Opcode = 0xC004_5877;
const FITHAW: rustix::ioctl::Opcode = 0xC004_5878;

#[allow(unsafe_code)]
fn freeze(folder: &File) -> std::io::Result<()> {
    // SAFETY: the kernel does not look at the argument of this request (`ioctl_fsfreeze`), and the descriptor lives through it.
    Ok(unsafe { rustix::ioctl::ioctl(folder, rustix::ioctl::NoArg::<FIFREEZE>::new()) }?)
}

#[allow(unsafe_code)]
fn thaw(folder: &File) -> std::io::Result<()> {
    // SAFETY: as above (`ioctl_fsthaw`).
    Ok(unsafe { rustix::ioctl::ioctl(folder, rustix::ioctl::NoArg::<FITHAW>::new()) }?)
}
