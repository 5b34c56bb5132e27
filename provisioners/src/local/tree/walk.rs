//! A walk through a tree of files that was written by whoever had a shell in it, by several threads at once.
//!
//! Every name is looked up in an open directory and never followed, so a tree that changes under the walk, or was made to
//! confuse it, leads nowhere else. There is no recursion and no path: neither depth nor the length of names has a limit, and
//! few directories are open at a time (the last found are done first, and one whose directory was closed is reached again
//! from above).

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

/// Directories that stay open because something in them is still to be done; others are opened again.
const KEPT_OPEN: usize = 200;
/// Entries that one thread does in one go.
const BATCH: usize = 64;
const MOST_THREADS: usize = 8;
/// Longest path that is told, in bytes.
const TOLD: usize = 300;

/// What a walk does. Called by several threads; whatever fails ends the walk.
pub trait Visit: Sync {
    /// An open directory.
    type Open: Send + Sync;
    fn open(&self, parent: &Self::Open, name: &CStr) -> io::Result<Self::Open>;
    fn listed<'a>(&self, open: &'a Self::Open) -> BorrowedFd<'a>;
    /// A directory was found; it is entered later. Returns what its [`Node::place`] shall be.
    fn directory(&self, parent: &Node<Self::Open>, open: &Self::Open, name: &CStr) -> io::Result<u32>;
    /// Anything else was found. Its kind is what the directory said; it may be another by now.
    fn entry(&self, parent: &Arc<Node<Self::Open>>, open: &Self::Open, name: &CStr, kind: FileType) -> io::Result<()>;
    /// All entries of a directory were visited; its directories are still to be entered.
    fn finished(&self, node: &Node<Self::Open>, open: &Self::Open) -> io::Result<()>;
}

/// A directory on the way.
pub struct Node<F> {
    pub place: u32,
    parent: Option<Arc<Node<F>>>,
    name: CString,
    open: Mutex<Option<Arc<F>>>,
    /// Jobs that need it open, and those of them that visit entries.
    waiting: AtomicUsize,
    visiting: AtomicUsize,
}

enum Job<F> {
    Enter(Arc<Node<F>>),
    Visit(Arc<Node<F>>, Vec<(CString, FileType)>),
}

struct Jobs<F> {
    left: Vec<Job<F>>,
    busy: usize,
    failed: Option<io::Error>,
}

struct Walk<'a, V: Visit> {
    visit: &'a V,
    stop: &'a AtomicBool,
    jobs: Mutex<Jobs<V::Open>>,
    changed: Condvar,
    kept: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Visits everything below `root`.
///
/// # Errors
/// The first that occurred, with the path at which it did. [`io::ErrorKind::Interrupted`] when `stop` was set.
pub fn walk<V: Visit>(visit: &V, root: V::Open, stop: &AtomicBool) -> io::Result<()> {
    let jobs = Jobs { left: vec![Job::Enter(Node::root(root))], busy: 0, failed: None };
    let walk = Walk { visit, stop, jobs: Mutex::new(jobs), changed: Condvar::new(), kept: AtomicUsize::new(0) };
    let threads = std::thread::available_parallelism().map_or(2, |count| count.get().clamp(2, MOST_THREADS));
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| walk.work());
        }
        walk.work();
    });
    match lock(&walk.jobs).failed.take() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

impl<F> Node<F> {
    /// An open directory with nothing above it.
    pub fn root(open: F) -> Arc<Self> {
        Arc::new(Self::new(None, CString::default(), 0, Some(Arc::new(open))))
    }

    fn new(parent: Option<Arc<Self>>, name: CString, place: u32, open: Option<Arc<F>>) -> Self {
        let counter = || AtomicUsize::new(0);
        Self { place, parent, name, open: Mutex::new(open), waiting: counter(), visiting: counter() }
    }

    /// Its path in the tree, for people; the end of it when it is long.
    pub fn path_of(&self, name: &CStr) -> String {
        let mut path = name.to_string_lossy().into_owned();
        let mut at = self;
        while let Some(parent) = &at.parent {
            if path.len() > TOLD {
                return format!("…/{path}");
            }
            let separator = if path.is_empty() { "" } else { "/" };
            path = format!("{}{separator}{path}", at.name.to_string_lossy());
            at = parent;
        }
        path
    }

    /// Its descriptors: kept, or opened again from the nearest directory above that is open.
    pub fn reach(&self, open: impl Fn(&F, &CStr) -> io::Result<F>) -> io::Result<Arc<F>> {
        let mut names = Vec::new();
        let mut at = self;
        let mut reached = loop {
            if let Some(open) = lock(&at.open).clone() {
                break open;
            }
            names.push(at.name.as_c_str());
            at = at.parent.as_deref().ok_or_else(|| io::Error::other("the root of a walk was closed"))?;
        };
        for name in names.into_iter().rev() {
            reached = Arc::new(open(&reached, name)?);
        }
        Ok(reached)
    }
}

impl<V: Visit> Walk<'_, V> {
    fn work(&self) {
        while let Some(job) = self.next() {
            let done = if self.stop.load(Ordering::Relaxed) {
                Err(io::Error::new(io::ErrorKind::Interrupted, "it was given up"))
            } else {
                self.perform(job)
            };
            let mut jobs = lock(&self.jobs);
            jobs.busy -= 1;
            if let Err(error) = done {
                jobs.left.clear();
                jobs.failed.get_or_insert(error);
            }
            drop(jobs);
            self.changed.notify_all();
        }
    }

    fn next(&self) -> Option<Job<V::Open>> {
        let mut jobs = lock(&self.jobs);
        loop {
            if jobs.failed.is_none()
                && let Some(job) = jobs.left.pop()
            {
                jobs.busy += 1;
                return Some(job);
            }
            if jobs.busy == 0 {
                return None;
            }
            jobs = self.changed.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn perform(&self, job: Job<V::Open>) -> io::Result<()> {
        match job {
            Job::Enter(node) => self.enter(&node).map_err(|error| told(&node, c"", error)),
            Job::Visit(node, names) => {
                let open = self.reach(&node).map_err(|error| told(&node, c"", error))?;
                self.visit_all(&node, &open, &names)?;
                self.done(&node, &open)
            }
        }
    }

    fn enter(&self, node: &Arc<Node<V::Open>>) -> io::Result<()> {
        let open = self.reach(node)?;
        if let Some(parent) = &node.parent {
            self.release(parent);
        }
        let mut inside = Vec::new();
        let mut names = Vec::new();
        for entry in Dir::read_from(self.visit.listed(&open))? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => {
                    let found = rustix::fs::statat(self.visit.listed(&open), name, AtFlags::SYMLINK_NOFOLLOW)?;
                    FileType::from_raw_mode(found.st_mode)
                }
                known => known,
            };
            if kind == FileType::Directory {
                inside.push(name.to_owned());
            } else {
                names.push((name.to_owned(), kind));
            }
        }
        let mut jobs = Vec::new();
        for name in inside {
            let place = self.visit.directory(node, &open, &name).map_err(|error| told(node, &name, error))?;
            jobs.push(Job::Enter(Arc::new(Node::new(Some(Arc::clone(node)), name, place, None))));
        }
        let here = names.split_off(names.len().saturating_sub(BATCH));
        let batches: Vec<_> = names.chunks(BATCH).map(<[_]>::to_vec).collect();
        node.visiting.store(batches.len() + 1, Ordering::SeqCst);
        node.waiting.store(batches.len() + jobs.len() + 1, Ordering::SeqCst);
        jobs.extend(batches.into_iter().map(|batch| Job::Visit(Arc::clone(node), batch)));
        if !jobs.is_empty() {
            self.keep(node, &open);
            lock(&self.jobs).left.extend(jobs);
            self.changed.notify_all();
        }
        self.visit_all(node, &open, &here)?;
        self.done(node, &open)
    }

    fn visit_all(&self, node: &Arc<Node<V::Open>>, open: &V::Open, names: &[(CString, FileType)]) -> io::Result<()> {
        for (name, kind) in names {
            if self.stop.load(Ordering::Relaxed) {
                return Err(io::Error::new(io::ErrorKind::Interrupted, "it was given up"));
            }
            match self.visit.entry(node, open, name, *kind) {
                Ok(()) => {}
                Err(error) => return Err(told(node, name, error)),
            }
        }
        Ok(())
    }

    /// A job in a directory is done.
    fn done(&self, node: &Node<V::Open>, open: &V::Open) -> io::Result<()> {
        if node.visiting.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.visit.finished(node, open).map_err(|error| told(node, c"", error))?;
        }
        self.release(node);
        Ok(())
    }

    fn reach(&self, node: &Node<V::Open>) -> io::Result<Arc<V::Open>> {
        node.reach(|parent, name| self.visit.open(parent, name))
    }

    fn keep(&self, node: &Node<V::Open>, open: &Arc<V::Open>) {
        if node.parent.is_some() && self.kept.fetch_add(1, Ordering::SeqCst) < KEPT_OPEN {
            *lock(&node.open) = Some(Arc::clone(open));
        } else if node.parent.is_some() {
            self.kept.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// The root stays open: everything else may have to be reached from it.
    fn release(&self, node: &Node<V::Open>) {
        if node.waiting.fetch_sub(1, Ordering::SeqCst) == 1
            && node.parent.is_some()
            && lock(&node.open).take().is_some()
        {
            self.kept.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// A node is dropped with its parents, and theirs: one after the other, not one inside the other.
impl<F> Drop for Node<F> {
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(parent) = next {
            next = Arc::into_inner(parent).and_then(|mut parent| parent.parent.take());
        }
    }
}

fn told<F>(node: &Node<F>, name: &CStr, error: io::Error) -> io::Error {
    // Once is enough.
    if error.get_ref().is_some_and(|inner| inner.is::<Told>()) || error.kind() == io::ErrorKind::Interrupted {
        return error;
    }
    io::Error::new(error.kind(), Told { path: node.path_of(name), error })
}

#[derive(Debug, thiserror::Error)]
#[error("{path}: {error}")]
struct Told {
    path: String,
    error: io::Error,
}

/// Opens what its owner forbade itself to open. The portal runs as that owner where it does not run as root. Modes that had
/// to be changed for it are set back when this is dropped.
#[derive(Default)]
pub struct Opener {
    changed: Mutex<Vec<(OwnedFd, u32)>>,
}

impl Opener {
    pub fn open(&self, parent: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(parent, name, flags, Mode::empty()) {
            Err(rustix::io::Errno::ACCESS) => {
                let path =
                    rustix::fs::openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
                let path = path?;
                let mode = rustix::fs::fstat(&path)?.st_mode;
                let through = format!("/proc/self/fd/{}", path.as_raw_fd());
                rustix::fs::chmod(through.as_str(), Mode::from_raw_mode((mode & 0o7777) | 0o700))?;
                lock(&self.changed).push((path, mode & 0o7777));
                Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
            }
            other => Ok(other?),
        }
    }

    pub fn directory(&self, parent: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
        self.open(parent, name, OFlags::RDONLY | OFlags::DIRECTORY)
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        // The first change of each is undone last: a directory that was met twice gets back what it had at first.
        for (path, mode) in lock(&self.changed).drain(..).rev() {
            let through = format!("/proc/self/fd/{}", path.as_raw_fd());
            // Whoever cannot set it back could not have changed it.
            let _ = rustix::fs::chmod(through.as_str(), Mode::from_raw_mode(mode));
        }
    }
}
