//! Files of volumes, as they are now or in a snapshot: looked at, downloaded, put there, and brought back one by one. Volumes
//! may hold secrets: all of it is the owner's and the administrators' alone, and what changes something is in the audit.

mod pack;

use std::io;
use std::time::Duration;

use app::api::{
    ApiError, FileKind, FileListing, FilePlace, FileRestore, FileView, SnapshotState, State, Upload, Work, folder_of,
    path_bytes, path_text, shown_name,
};
use app::portal::{Content, Download, Live, SignedIn};
use provisioners::{DataProgress, EnvironmentId, FileEntry, FileWrite, SnapshotId, Tree, VolumeId};
use serde_json::json;
use tokio::sync::watch;
use tokio_stream::StreamExt;
use tokio_util::io::{ReaderStream, StreamReader};
use tokio_util::sync::CancellationToken;

use super::trouble::{failed, no_such, not_done};
use super::{Service, access, environments, snapshots, work};
use crate::clock::Clock;
use crate::domain::facts::{Facts, VolumeRole};
use crate::store::{self, AuditEvent, EnvironmentRecord, Store};

/// Names on one page at most.
const LARGEST_PAGE: u32 = 1000;
/// Bytes read at once.
const PIECE: usize = 128 * 1024;
/// Whoever sends a file and then nothing for so long has gone.
const SILENCE: Duration = Duration::from_secs(60);
/// A name has at most this many bytes.
const LONGEST_NAME: usize = 255;

/// A tree to look into, and the id of its snapshot.
struct Found {
    tree: Tree,
    snapshot: Option<(String, i64)>,
}

pub(super) async fn files(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    place: &FilePlace,
    after: Option<&str>,
    limit: u32,
) -> Result<FileListing, ApiError> {
    let record = environments::find(service, by, environment).await?;
    access::owner(by, &record)?;
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(ApiError::field("limit", format!("is not between 1 and {LARGEST_PAGE}")));
    }
    let found = find(service, &record, &place.volume, place.snapshot.as_deref()).await?;
    let (path, after) = (clean(&place.path), after.map(path_bytes));
    let most = limit as usize + 1;
    let listed = service.trees.list(&record.provisioner, &found.tree, &path, after.as_deref(), most).await;
    let mut entries = listed.map_err(not_done)?;
    let more = entries.len() == most;
    entries.truncate(limit as usize);
    let next = entries.last().filter(|_| more).map(|last| path_text(&last.name));
    Ok(FileListing {
        volume: place.volume.clone(),
        snapshot: found.snapshot.map(|(id, _)| id),
        entries: entries.into_iter().map(|entry| view(&path, entry)).collect(),
        path: path_text(&path),
        next,
    })
}

pub(super) async fn download(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    place: &FilePlace,
) -> Result<Download, ApiError> {
    let record = environments::find(service, by, environment).await?;
    access::owner(by, &record)?;
    let found = find(service, &record, &place.volume, place.snapshot.as_deref()).await?;
    let path = clean(&place.path);
    let name = match path.rsplit(|byte| *byte == b'/').next() {
        Some(name) if !name.is_empty() => name.to_vec(),
        _ => place.volume.clone().into_bytes(),
    };
    // Whether it is a folder is seen by looking into it.
    let (trees, provisioner) = (service.trees.clone(), record.provisioner.clone());
    let refused = match path.is_empty() {
        true => None,
        false => match trees.read(&provisioner, &found.tree, &path).await {
            Ok((file, size)) => {
                let content: Content = Box::pin(ReaderStream::with_capacity(file, PIECE));
                return Ok(Download { name, folder: false, size: Some(size), content });
            }
            Err(error) => Some(error),
        },
    };
    match (trees.list(&provisioner, &found.tree, &path, None, 1).await, refused) {
        (Ok(_), _) => {
            let content = pack::pack(trees, provisioner, found.tree, path, name.clone());
            Ok(Download { name, folder: true, size: None, content })
        }
        (Err(_), Some(error)) | (Err(error), None) => Err(not_done(error)),
    }
}

pub(super) async fn upload(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    place: &FilePlace,
    upload: Upload,
    content: Content,
) -> Result<FileView, ApiError> {
    let record = environments::find(service, by, environment).await?;
    access::owner(by, &record)?;
    if place.snapshot.is_some() {
        return Err(ApiError::field("snapshot", "a snapshot does not change"));
    }
    may_change(&record)?;
    let found = find(service, &record, &place.volume, None).await?;
    let path = named(&place.path)?;
    let write = FileWrite { replace: upload.replace, executable: upload.executable };
    let pieces = content.timeout(SILENCE);
    let pieces = pieces.map(|piece| piece.unwrap_or_else(|_| Err(io::Error::other("nothing came for a minute"))));
    let mut content = StreamReader::new(Box::pin(pieces));
    let written = service.trees.write(&record.provisioner, &found.tree, &path, write, &mut content).await;
    let written = written.map_err(not_done)?;
    is_kept(&service.store, &found.tree).await?;
    let detail = json!({ "volume": place.volume, "path": path_text(&path), "bytes": written.size });
    Recorder::of(service, by, &record).note("upload", detail).await?;
    Ok(view(folder_of(&path), written))
}

pub(super) async fn restore(
    service: &Service,
    by: &SignedIn,
    environment: &str,
    volume: &str,
    request: FileRestore,
) -> Result<Live<Work<FileView>>, ApiError> {
    let record = environments::find(service, by, environment).await?;
    access::owner(by, &record)?;
    may_change(&record)?;
    let from = find(service, &record, volume, Some(request.snapshot.as_deref().unwrap_or(snapshots::LATEST))).await?;
    let to = find(service, &record, volume, None).await?;
    let path = named(&request.path)?;
    let (snapshot, taken_at) = from.snapshot.unwrap_or_default();
    let goal = match (&request.to, request.in_place) {
        (Some(to), _) => named(to)?,
        (None, true) => path.clone(),
        (None, false) => beside(&path, taken_at),
    };
    let mut detail =
        json!({ "volume": volume, "snapshot": snapshot, "path": path_text(&path), "to": path_text(&goal) });
    let recorder = Recorder::of(service, by, &record);
    let (told, heard) = watch::channel(DataProgress::default());
    let (trees, provisioner, in_place) = (service.trees.clone(), record.provisioner, request.in_place);
    let given_up = CancellationToken::new();
    let listening = given_up.clone().drop_guard();
    // Apart, so that also one that was given up at its very end is written down.
    let restoring = tokio::spawn(async move {
        let (from, to) = ((&from.tree, path.as_slice()), (&to.tree, goal.as_slice()));
        let restored = tokio::select! {
            restored = trees.restore(&provisioner, from, to, in_place, &told) => Some(restored.map_err(not_done)?),
            () = given_up.cancelled() => None,
        };
        if restored.is_some() {
            is_kept(&recorder.store, to.0).await?;
        }
        detail["given_up"] = json!(restored.is_none());
        recorder.note("restore file", detail).await?;
        let restored = restored.ok_or_else(|| ApiError::conflict("It was given up"))?;
        Ok(view(folder_of(&goal), restored))
    });
    Ok(work::follow(heard, async move {
        let restored = restoring.await.unwrap_or_else(|_| Err(ApiError::internal()));
        drop(listening);
        restored
    }))
}

/// Writes into the audit what was done with an environment's files.
struct Recorder {
    store: Store,
    clock: Clock,
    by: SignedIn,
    environment: String,
    name: String,
}

impl Recorder {
    fn of(service: &Service, by: &SignedIn, record: &EnvironmentRecord) -> Self {
        let (environment, name) = (record.summary.id.clone(), record.summary.name.clone());
        Self { store: service.store.clone(), clock: service.clock.clone(), by: by.clone(), environment, name }
    }

    async fn note(&self, action: &str, mut detail: serde_json::Value) -> Result<(), ApiError> {
        detail["environment"] = json!(self.environment);
        let now = self.clock.now();
        let committed = async {
            let mut tx = self.store.write().await?;
            tx.audit(&AuditEvent {
                id: &store::id(now),
                team_id: Some(&self.by.team_id),
                at: now,
                actor: &self.by.name,
                action,
                target: &self.name,
                detail,
            })
            .await?;
            tx.commit().await
        };
        committed.await.map_err(failed)
    }
}

/// Nothing is put into volumes that are about to be others, or to go.
fn may_change(record: &EnvironmentRecord) -> Result<(), ApiError> {
    let (name, state) = (&record.summary.name, record.summary.state);
    if record.facts.intent.restoring.is_some() {
        return Err(ApiError::conflict(format!("“{name}” is being restored"))
            .with_detail("Wait until that is over: its volumes are about to be others."));
    }
    if record.facts.intent.parked_in.is_some() || record.facts.observed.put_away_in().is_some() {
        return Err(ApiError::conflict(format!("“{name}” has its volumes in a snapshot"))
            .with_detail("Snapshots do not change. Resume it first, and wait until it is ready."));
    }
    if matches!(state, State::Deleting | State::Deleted) {
        return Err(ApiError::conflict(format!("“{name}” is {state}"))
            .with_detail("Files are put into volumes of what is running or parked."));
    }
    Ok(())
}

/// What was put into a volume while it was put away may have come too late for the snapshot.
async fn is_kept(store: &Store, tree: &Tree) -> Result<(), ApiError> {
    let facts = store.facts(tree.environment.as_str()).await.map_err(failed)?.map(|loaded| loaded.facts);
    let is_current = |facts: &Facts| facts.observed.current_volumes().any(|volume| volume.id == tree.volume);
    match facts.is_some_and(|facts| facts.intent.parked_in.is_none() && is_current(&facts)) {
        true => Ok(()),
        false => Err(ApiError::conflict("Its volume was put away meanwhile")
            .with_detail("Put it there again once the environment is back.")),
    }
}

/// The tree that a volume is, now or in a snapshot, with the snapshot's moment.
async fn find(
    service: &Service,
    record: &EnvironmentRecord,
    volume: &str,
    snapshot: Option<&str>,
) -> Result<Found, ApiError> {
    let environment = EnvironmentId::new(record.summary.id.clone());
    let put_away = record.facts.observed.put_away_in().map(|kept| kept.snapshot.as_str());
    let Some(snapshot) = snapshot.or(put_away) else {
        let id = now(record, volume).ok_or_else(|| no_such("volume", volume))?;
        return Ok(Found { tree: Tree { environment, snapshot: None, volume: id }, snapshot: None });
    };
    let found = snapshots::find(service, record, snapshot).await?;
    if !matches!(found.view.state, SnapshotState::Complete | SnapshotState::Reading | SnapshotState::Damaged) {
        return Err(ApiError::conflict(format!("That snapshot is {}", found.view.state.as_str()))
            .with_detail("There is nothing to look into."));
    }
    let held = found.contents.iter().find(|held| held.name == volume).ok_or_else(|| no_such("volume", volume))?;
    let moment = (found.view.id.clone(), found.view.taken_at.unwrap_or(found.view.requested_at));
    let snapshot = Some(SnapshotId::new(found.view.id));
    Ok(Found { tree: Tree { environment, snapshot, volume: held.volume.clone() }, snapshot: Some(moment) })
}

/// The volume of this name as it is now.
pub(super) fn now(record: &EnvironmentRecord, name: &str) -> Option<VolumeId> {
    let volumes = &record.facts.observed.volumes;
    let in_use = volumes.iter().filter(|volume| volume.role == VolumeRole::Current && volume.seen);
    in_use.filter(|volume| !volume.delete_requested).find(|volume| volume.name == name).map(|volume| volume.id.clone())
}

/// A path's parts without those that say nothing.
fn clean(path: &str) -> Vec<u8> {
    let path = path_bytes(path);
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join(&b'/')
}

/// A path that names something in the volume.
fn named(path: &str) -> Result<Vec<u8>, ApiError> {
    let path = clean(path);
    match path.rsplit(|byte| *byte == b'/').next() {
        None | Some([]) => Err(ApiError::field("path", "names nothing in the volume")),
        Some(name) if name.len() > LONGEST_NAME => {
            Err(ApiError::field("path", format!("ends with a name longer than {LONGEST_NAME} bytes")))
        }
        Some(_) => Ok(path),
    }
}

/// The same path with the moment it is from at its end.
fn beside(path: &[u8], taken_at: i64) -> Vec<u8> {
    let moment = jiff::Timestamp::from_millisecond(taken_at).unwrap_or_default();
    let suffix = format!(".from-{}", moment.strftime("%Y-%m-%d-%H%M%S"));
    let (folder, name) = (folder_of(path), path.rsplit(|byte| *byte == b'/').next().unwrap_or_default());
    let name = &name[..name.len().min(LONGEST_NAME - suffix.len())];
    let mut path = folder.to_vec();
    if !folder.is_empty() {
        path.push(b'/');
    }
    path.extend(name);
    path.extend(suffix.bytes());
    path
}

fn view(folder: &[u8], entry: FileEntry) -> FileView {
    let (kind, target) = match entry.kind {
        provisioners::FileKind::File => (FileKind::File, None),
        provisioners::FileKind::Directory => (FileKind::Folder, None),
        provisioners::FileKind::Link { target } => (FileKind::Link, Some(shown_name(target.as_bytes()))),
        provisioners::FileKind::Other => (FileKind::Other, None),
    };
    let path = if folder.is_empty() { entry.name.clone() } else { [folder, &entry.name].join(&b'/') };
    FileView {
        name: shown_name(&entry.name),
        path: path_text(&path),
        kind,
        size: entry.size,
        modified_at: entry.modified_at,
        mode: entry.mode,
        target,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_beside_something_says_when_it_is_from_and_still_is_a_name() {
        assert_eq!(beside(b"a/b.txt", 0), b"a/b.txt.from-1970-01-01-000000");
        assert_eq!(beside(b"b", 0), b"b.from-1970-01-01-000000");
        let long = [&b"a/"[..], &[b'x'; 255]].concat();
        assert_eq!(beside(&long, 0).len(), 2 + LONGEST_NAME);
    }

    #[test]
    fn a_path_without_a_name_is_refused() {
        assert_eq!(named("/a//b%2Fc/").ok(), Some(b"a/b/c".to_vec()));
        for path in ["", "/", "//"] {
            assert!(named(path).is_err());
        }
        assert!(named(&"x".repeat(256)).is_err());
    }
}
