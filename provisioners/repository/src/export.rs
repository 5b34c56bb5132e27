//! From the volumes of one moment to a snapshot in the repository.

mod entry;
mod source;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustic_core::repofile::SnapshotFile;
use rustic_core::{
    BackupOptions, NoProgress, ParentOptions, Progress as Bar, ProgressBars, ProgressType, RusticProgress,
    SnapshotGroupCriterion,
};

pub(crate) use self::entry::beside;
use self::source::{Root, Source};
use crate::backend::Gate;
use crate::error::{Error, Outcome};
use crate::found::SnapshotMeta;
use crate::lock::Sharing;
use crate::watch::Watcher;
use crate::{Repository, SnapshotId};

/// What is taken for unchanged since the last export of the same environment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unchanged {
    /// Nothing: every byte is read, and what the repository already has is stored no second time. Always right.
    #[default]
    ByContent,
    /// A file of the same path, size and time of change (in nanoseconds): it is not read again. Much faster, and wrong for
    /// programs that put back the time after they wrote as many bytes as there were; unpacking reproducible archives does.
    BySizeAndTime,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    pub id: SnapshotId,
    /// New in the repository, as stored: compressed and encrypted.
    pub bytes_added: u64,
    /// Of all files together.
    pub bytes_total: u64,
    /// Everything that is no folder.
    pub files: u64,
}

pub(crate) fn export(
    repository: &Repository,
    volumes: &[(&str, &Path)],
    meta: &SnapshotMeta,
    unchanged: Unchanged,
    watcher: &Watcher,
) -> Outcome<Exported> {
    let roots = roots(volumes)?;
    let gate = Arc::new(Gate::default());
    let lock = repository.lock(Sharing::Shared)?;
    let source = Source::survey(roots, &gate, watcher)?;
    watcher.begin(source.size.bytes);

    let bars = Bars(watcher.clone());
    let engine = repository.engine(&gate, Some(&lock), bars, "open")?;
    let failed = |error: Box<rustic_core::RusticError>| repository.failure("export into", &error);
    let engine = engine.to_indexed_ids().map_err(failed)?;
    let paths: Vec<PathBuf> = source.roots.iter().map(|root| Path::new("/").join(&root.name)).collect();
    let stored = engine.archive(&options(unchanged), &source, meta.to_snapshot()?, &paths);

    // What closed the gate first is the cause of all that followed.
    gate.check()?;
    let stored = stored.map_err(failed)?;
    let id = SnapshotId::of(&stored);
    if !is_complete(&stored, &source) {
        engine.delete_snapshots(&[stored.id]).map_err(failed)?;
        let path = source.roots.into_iter().next().map(|root| root.folder).unwrap_or_default();
        return Err(Error::Source { path, reason: "it changed while it was read, and a snapshot must not".into() });
    }
    let summary = stored.summary.unwrap_or_default();
    Ok(Exported {
        id,
        bytes_added: summary.data_added_packed,
        bytes_total: summary.total_bytes_processed,
        files: summary.total_files_processed,
    })
}

fn options(unchanged: Unchanged) -> BackupOptions {
    let mut criterion = SnapshotGroupCriterion::new();
    criterion.hostname = true;
    let parent = ParentOptions::default().group_by(criterion).force(unchanged == Unchanged::ByContent);
    BackupOptions::default().parent_opts(parent).no_scan(true)
}

/// `rustic_core` leaves out with a warning what it could not store; the gate hears of all causes known, this finds the rest.
fn is_complete(stored: &SnapshotFile, source: &Source) -> bool {
    stored.summary.as_ref().is_some_and(|summary| {
        // The snapshot's top is a folder, too.
        summary.total_dirs_processed == source.size.folders + 1
            && summary.total_files_processed == source.size.files
            && summary.total_bytes_processed == source.size.bytes
    })
}

fn roots(volumes: &[(&str, &Path)]) -> Outcome<Vec<Root>> {
    let refused = |path: &Path, reason: String| Err(Error::Source { path: path.to_owned(), reason });
    let mut names = BTreeSet::new();
    for (name, path) in volumes {
        if name.is_empty() || matches!(*name, "." | "..") || name.contains(['/', '\0']) {
            return refused(path, format!("«{name}» cannot be the name of a folder in a snapshot"));
        }
        if !names.insert(name) {
            return refused(path, format!("two volumes are called «{name}»"));
        }
    }
    let mut roots: Vec<Root> =
        volumes.iter().map(|(name, path)| Root { name: OsString::from(name), folder: path.to_path_buf() }).collect();
    if roots.is_empty() {
        return refused(Path::new("nothing"), "a snapshot holds one volume at least".into());
    }
    roots.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(roots)
}

/// Tells the watcher what `rustic_core` would show as a bar.
#[derive(Debug)]
struct Bars(Watcher);

#[derive(Debug)]
struct BytesBar(Watcher);

impl ProgressBars for Bars {
    fn progress(&self, kind: ProgressType, _: &str) -> Bar {
        match kind {
            ProgressType::Bytes => Bar::new(BytesBar(self.0.clone())),
            _ => Bar::new(NoProgress),
        }
    }
}

impl RusticProgress for BytesBar {
    fn is_hidden(&self) -> bool {
        false
    }
    fn set_length(&self, _: u64) {}
    fn set_title(&self, _: &str) {}
    fn inc(&self, bytes: u64) {
        self.0.advance(bytes);
    }
    fn finish(&self) {}
}
