//! Attack 29: snapshots that were made to write where they should not.

use std::ffi::OsStr;
use std::fs;
use std::io::Empty;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustic_core::repofile::{Metadata, Node, NodeType};
use rustic_core::{BackupOptions, NoProgressBars, ReadSource, ReadSourceEntry, RusticResult};

use crate::backend::Gate;
use crate::{Config, Error, ImportOptions, Place, Repository, Secret, SnapshotId, SnapshotMeta, Watcher};

/// Nodes as an attacker with the password can write them: any name, any kind.
struct Crafted(Vec<(PathBuf, Node)>);

impl ReadSource for Crafted {
    type Open = Empty;
    type Iter = std::vec::IntoIter<RusticResult<ReadSourceEntry<Empty>>>;

    fn size(&self) -> RusticResult<Option<u64>> {
        Ok(None)
    }

    fn entries(&self) -> Self::Iter {
        let entry = |(path, node): &(PathBuf, Node)| {
            Ok(ReadSourceEntry { path: path.clone(), node: node.clone(), open: Some(std::io::empty()) })
        };
        self.0.iter().map(entry).collect::<Vec<_>>().into_iter()
    }
}

fn node(written_name: &str, node_type: NodeType) -> Node {
    let meta = Metadata { mode: Some(0o644), ..Metadata::default() };
    Node { name: written_name.into(), ..Node::new_node(OsStr::new(""), node_type, meta) }
}

fn link(name: &str, target: &Path) -> Node {
    node(name, NodeType::from_link(target))
}

#[test]
fn attack_29_no_snapshot_writes_outside_of_the_folder_it_is_imported_into() {
    let directory = tempfile::tempdir().expect("a folder");
    let outside = directory.path().join("outside");
    fs::create_dir(&outside).expect("a folder");
    let place = Place::Folder(directory.path().join("repository"));
    let repository = Repository::open_or_create(&Config { place, password: Secret::new("p") }).expect("a repository");

    let file = |name: &str| (PathBuf::from("/data/x"), node(name, NodeType::File));
    let folder = (PathBuf::from("/data"), node("data", NodeType::Dir));
    let stories: [(&str, Vec<(PathBuf, Node)>); 9] = [
        ("a way up", vec![file("..")]),
        ("a path", vec![file("../../outside/file")]),
        ("an absolute path", vec![file("/tmp/file")]),
        ("a hidden slash", vec![file("..\\x2f..\\x2foutside\\x2ffile")]),
        ("no name", vec![file("")]),
        ("itself", vec![file(".")]),
        ("a file twice", vec![file("one"), file("one")]),
        (
            "a folder that is a link",
            vec![
                (PathBuf::from("/data/a"), link("a", &outside)),
                (PathBuf::from("/data/a"), node("a", NodeType::Dir)),
                (PathBuf::from("/data/a/file"), node("file", NodeType::File)),
            ],
        ),
        ("a disk", vec![(PathBuf::from("/data/sda"), node("sda", NodeType::Dev { device: 0x0800 }))]),
    ];
    for (story, below) in stories {
        let crafted = Crafted(std::iter::once(folder.clone()).chain(below).collect());
        let meta = SnapshotMeta {
            environment: "e".into(),
            snapshot: "s".into(),
            template: "t".into(),
            taken_at: jiff::Timestamp::UNIX_EPOCH,
            manifest: serde_json::Value::Null,
        };
        let engine = repository.engine(&Arc::new(Gate::default()), None, NoProgressBars {}, "open").expect("open");
        let engine = engine.to_indexed_ids().expect("an index");
        let options = BackupOptions::default().no_scan(true);
        let snapshot = meta.to_snapshot().expect("a snapshot");
        let stored = engine.archive(&options, &crafted, snapshot, &["/data".into()]).expect("stored");
        let into = directory.path().join("imported");
        let outcome = repository.import(&SnapshotId::of(&stored), &into, ImportOptions::default(), &Watcher::silent());
        assert!(matches!(outcome, Err(Error::Refused { .. })), "{story}: {outcome:?}");
        assert!(!into.exists(), "{story}");
        assert_eq!(fs::read_dir(&outside).expect("a folder").count(), 0, "{story}");
    }
}
