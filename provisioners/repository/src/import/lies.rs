//! Attack 30: repositories that say other sizes than they have, written by somebody who has the password.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::PathBuf;

use rustic_core::repofile::{Metadata, Node, NodeType, SnapshotFile};
use serde_json::{Value, json};

use crate::keys::name_of;
use crate::storage::Kind;
use crate::{Config, Error, ImportOptions, Place, Repository, Secret, SnapshotId, SnapshotMeta, Watcher};

const PIECE: usize = 8 << 20;
const TERABYTE: u64 = 1 << 40;

struct Forger {
    home: tempfile::TempDir,
    repository: Repository,
    /// A pack holds pieces of one kind.
    data: Pack,
    trees: Pack,
}

#[derive(Default)]
struct Pack {
    content: Vec<u8>,
    index: Vec<Value>,
}

fn packed(content: impl Read) -> Vec<u8> {
    zstd::encode_all(content, 1).expect("packed")
}

fn node(name: &str, node_type: NodeType) -> Node {
    let meta = Metadata { mode: Some(0o644), ..Metadata::default() };
    Node::new_node(OsStr::new(name), node_type, meta)
}

impl Forger {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let place = Place::Folder(home.path().join("repository"));
        let repository =
            Repository::open_or_create(&Config { place, password: Secret::new("p") }).expect("a repository");
        Self { home, repository, data: Pack::default(), trees: Pack::default() }
    }

    /// Stores these bytes as what unpacks to `content`, which takes so many bytes, it says; its id.
    fn piece(&mut self, kind: &str, content: &[u8], stored: &[u8], says: u64) -> String {
        let sealed = self.repository.keys.seal(stored).expect("sealed");
        let id = name_of(content);
        let pack = if kind == "tree" { &mut self.trees } else { &mut self.data };
        pack.index.push(json!({
            "id": id, "type": kind, "offset": pack.content.len(), "length": sealed.len(), "uncompressed_length": says
        }));
        pack.content.extend(sealed);
        id
    }

    fn honest(&mut self, kind: &str, content: &[u8]) -> String {
        self.piece(kind, content, &packed(content), content.len() as u64)
    }

    /// A snapshot of one file that has these pieces and is so large, it says.
    fn snapshot_of(&mut self, pieces: &[String], says: u64) -> SnapshotId {
        let mut file = node("file", NodeType::File);
        file.meta.size = says;
        file.content = Some(pieces.iter().map(|id| id.parse().expect("an id")).collect());
        let below = self.folder(file);
        let mut folder = node("data", NodeType::Dir);
        folder.subtree = Some(below.parse().expect("an id"));
        let top = self.folder(folder);
        self.snapshot(&top, "s")
    }

    fn folder(&mut self, node: Node) -> String {
        let content = serde_json::to_vec(&json!({ "nodes": [node] })).expect("a folder");
        self.honest("tree", &content)
    }

    /// Writes down all of it.
    fn snapshot(&mut self, top: &str, words: &str) -> SnapshotId {
        let packs = [&self.data, &self.trees].into_iter().filter(|pack| !pack.index.is_empty());
        let packs: Vec<Value> =
            packs.map(|pack| json!({ "id": self.write(Kind::Pack, &pack.content), "blobs": pack.index })).collect();
        self.seal(Kind::Index, &serde_json::to_vec(&json!({ "packs": packs })).expect("an index"));
        let snapshot =
            SnapshotFile { tree: top.parse().expect("an id"), ..meta(words).to_snapshot().expect("described") };
        SnapshotId(self.seal(Kind::Snapshot, &serde_json::to_vec(&snapshot).expect("a snapshot")))
    }

    /// As restic writes small files: packed, and sealed.
    fn seal(&self, kind: Kind, content: &[u8]) -> String {
        let sealed = self.repository.keys.seal(&[&[2], &packed(content)[..]].concat()).expect("sealed");
        self.write(kind, &sealed)
    }

    fn write(&self, kind: Kind, content: &[u8]) -> String {
        let name = name_of(content);
        self.repository.storage.write(kind, &name, &[content.to_vec().into()]).expect("written");
        name
    }

    /// Why it is not imported; nothing of it is left.
    fn refusal(&self, id: &SnapshotId, options: ImportOptions) -> Error {
        let into = self.home.path().join("imported");
        let failure = self.repository.import(id, &into, options, &Watcher::silent()).expect_err("no import");
        let left: Vec<PathBuf> =
            fs::read_dir(self.home.path()).expect("a folder").flatten().map(|one| one.path()).collect();
        assert_eq!(left, [self.home.path().join("repository")], "{failure}");
        failure
    }
}

fn meta(words: &str) -> SnapshotMeta {
    SnapshotMeta {
        environment: "e".into(),
        snapshot: words.into(),
        template: "t".into(),
        taken_at: jiff::Timestamp::UNIX_EPOCH,
        manifest: Value::Null,
    }
}

#[track_caller]
fn assert_told(failure: &Error, words: &str) {
    assert!(failure.to_string().contains(words), "{failure}");
}

#[test]
fn attack_30_a_few_bytes_that_say_they_are_a_terabyte_fill_no_disk() {
    let mut forger = Forger::new();
    let piece = forger.honest("data", &vec![b'a'; PIECE]);
    let id = forger.snapshot_of(&vec![piece; (TERABYTE / PIECE as u64) as usize], TERABYTE);
    let allowed = |most: u64, room: u64| ImportOptions {
        at_most_bytes: Some(most),
        at_most_written: Some(room),
        ..ImportOptions::default()
    };
    assert_told(&forger.refusal(&id, allowed(TERABYTE - 1, TERABYTE)), "more bytes than it says");
    assert_told(&forger.refusal(&id, allowed(TERABYTE, 3 * PIECE as u64)), "more than there is room for");
}

#[test]
fn attack_30_a_file_has_exactly_what_is_said_of_it() {
    for (says, why) in [(100, "more in a file than it says"), (TERABYTE, "the snapshot says")] {
        let mut forger = Forger::new();
        let piece = forger.honest("data", &[b'a'; 1000]);
        let id = forger.snapshot_of(&[piece], says);
        assert_told(&forger.refusal(&id, ImportOptions::default()), why);
    }
}

#[test]
fn attack_30_what_unpacks_to_more_than_is_said_of_it_fills_no_memory() {
    let content = vec![b'a'; 1000];
    let bomb = packed(std::io::repeat(b'a').take(1 << 28));
    assert!(bomb.len() < 1 << 18);
    for (says, why) in [(1000, "more than 1000 bytes once it is unpacked"), (1 << 28, "in earnest")] {
        let mut forger = Forger::new();
        let piece = forger.piece("data", &content, &bomb, says);
        let id = forger.snapshot_of(&[piece], 1000);
        let failure = forger.refusal(&id, ImportOptions::default());
        assert_told(&failure, why);
        assert_told(&failure, "data/");
        let mut forger = Forger::new();
        let top = forger.piece("tree", &content, &bomb, if says == 1000 { says } else { u64::from(u32::MAX) });
        let id = forger.snapshot(&top, "s");
        assert_told(&forger.refusal(&id, ImportOptions::default()), why);
    }
}

#[test]
fn attack_30_a_description_of_any_size_is_named_and_keeps_nobody_from_the_other_snapshots() {
    let mut forger = Forger::new();
    let piece = forger.honest("data", b"small");
    let good = forger.snapshot_of(&[piece], 5);
    let packed_bomb = SnapshotId(forger.seal(Kind::Snapshot, &vec![b' '; 64 << 20]));
    let long = SnapshotId("ab".repeat(32));
    let place = forger.home.path().join("repository").join(Kind::Snapshot.path(&long.0));
    fs::File::create(place).and_then(|file| file.set_len(TERABYTE)).expect("a long file");

    let listed = forger.repository.list().expect("a list");
    assert_eq!(listed.found.iter().map(|found| &found.id).collect::<Vec<_>>(), [&good]);
    let mut damaged: Vec<&SnapshotId> = listed.damaged.iter().map(|(id, _)| id).collect();
    damaged.sort();
    let mut expected = [&packed_bomb, &long];
    expected.sort();
    assert_eq!(damaged, expected);
    for id in [&packed_bomb, &long] {
        let failure = forger.refusal(id, ImportOptions::default());
        assert_told(&failure, "it takes more than");
        assert_told(&failure, &Kind::Snapshot.path(&id.0));
    }
    let into = forger.home.path().join("imported");
    let imported = forger.repository.import(&good, &into, ImportOptions::default(), &Watcher::silent());
    assert_eq!(imported.expect("an import").bytes, 5);
    assert_eq!(fs::read(into.join("data/file")).expect("a file"), b"small");
}

#[test]
fn attack_30_an_index_of_any_size_is_named() {
    let mut forger = Forger::new();
    let piece = forger.honest("data", b"small");
    let id = forger.snapshot_of(&[piece], 5);
    let bomb = packed(std::io::repeat(b' ').take(300 << 20));
    let sealed = forger.repository.keys.seal(&[&[2], &bomb[..]].concat()).expect("sealed");
    let name = forger.write(Kind::Index, &sealed);
    assert_told(&forger.refusal(&id, ImportOptions::default()), &Kind::Index.path(&name));
}
