//! Out and back in: nothing changes, nothing is stored twice, nothing is left out quietly.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use repository::{Error, ImportOptions, Ownership, Progress, Unchanged, Watcher};

use crate::fixture::{Fixture, meta};
use crate::trees::{assert_same, everything, noise, put_time, stored_bytes};

#[test]
fn an_import_is_what_was_exported_in_every_respect() {
    let fixture = Fixture::new();
    everything(&fixture.path("data"));
    let repository = fixture.open();
    let exported = fixture.export(&repository);
    let imported = fixture.import(&repository, &exported.id).expect("an import");
    assert_same(&fixture.path("data"), &fixture.path("imported").join("data"));
    assert_eq!((imported.files, imported.snapshot.meta), (exported.files, Some(meta("one"))));
    assert!(stored_bytes(&fixture.path("imported/data/holes")) < 1 << 20, "holes take no room");
    assert_eq!(repository.check(true).expect("checked"), []);
}

#[test]
fn an_unchanged_volume_adds_almost_nothing_even_as_a_copy_elsewhere() {
    let fixture = Fixture::new();
    everything(&fixture.path("data"));
    let repository = fixture.open();
    let first = fixture.export(&repository);
    assert!(first.bytes_added > 3 << 20);
    // A copy has other inodes, and other times of their last change.
    let copied = Command::new("cp").arg("-a").arg(fixture.path("data")).arg(fixture.path("copy")).status().expect("cp");
    assert!(copied.success());
    let copy = fixture.path("copy");
    let second = repository
        .export(&[("data", &copy)], &meta("two"), Unchanged::ByContent, &Watcher::silent())
        .expect("an export");
    assert_eq!((second.bytes_added, second.files, second.bytes_total), (0, first.files, first.bytes_total));
    fs::write(copy.join("a-b"), "changed").expect("a file");
    let third = repository
        .export(&[("data", &copy)], &meta("three"), Unchanged::ByContent, &Watcher::silent())
        .expect("an export");
    assert!((1..20_000).contains(&third.bytes_added), "{third:?}");
    let listed: Vec<_> = repository.list().expect("a list").found.into_iter().filter_map(|found| found.meta).collect();
    assert_eq!(listed.len(), 3);
}

#[test]
fn only_who_asks_for_it_has_size_and_time_taken_for_content() {
    let fixture = Fixture::new();
    let (data, file) = (fixture.path("data"), fixture.path("data").join("file"));
    let write = |content: &str| {
        fs::write(&file, content).expect("a file");
        put_time(&file, 1_000_000_000, 0);
        put_time(&data, 1_000_000_000, 0);
    };
    let repository = fixture.open();
    let export = |unchanged| {
        repository.export(&[("data", &data)], &meta("one"), unchanged, &Watcher::silent()).expect("an export")
    };
    write("version 1");
    export(Unchanged::ByContent);
    write("version 2");
    let trusting = export(Unchanged::BySizeAndTime);
    assert_eq!(trusting.bytes_added, 0);
    let careful = export(Unchanged::ByContent);
    fixture.import(&repository, &careful.id).expect("an import");
    assert_eq!(fs::read_to_string(fixture.path("imported/data/file")).expect("a file"), "version 2");
}

#[test]
fn a_link_in_place_of_a_volume_is_not_followed() {
    let fixture = Fixture::new();
    symlink(fixture.path("data"), fixture.path("link")).expect("a link");
    let repository = fixture.open();
    let link = fixture.path("link");
    let failure = repository.export(&[("data", &link)], &meta("one"), Unchanged::ByContent, &Watcher::silent());
    assert!(matches!(failure, Err(Error::Source { path, .. }) if path == link));
    assert_eq!(repository.list().expect("a list").found, []);
}

#[test]
fn what_cannot_be_stored_ends_the_export_and_leaves_no_snapshot() {
    let fixture = Fixture::new();
    let repository = fixture.open();
    fs::write(fixture.path("data").join("fine"), "fine").expect("a file");
    fs::write(fixture.path("data").join("grows"), noise(1 << 20, 3)).expect("a file");
    let (data, grows) = (fixture.path("data"), fixture.path("data").join("grows"));
    // It is written to when everything was looked at, and nothing was read: a snapshot that is none.
    let watcher = Watcher::new(move |_| fs::write(&grows, noise(1 << 19, 4)).expect("a file"));
    let failure = repository.export(&[("data", &data)], &meta("one"), Unchanged::ByContent, &watcher);
    assert!(matches!(&failure, Err(Error::Source { path, .. }) if path.starts_with(&data)), "{failure:?}");
    for (name, volume) in [("..", &data), ("a/b", &data), ("", &data), ("gone", &fixture.path("gone"))] {
        let failure = repository.export(&[(name, volume)], &meta("one"), Unchanged::ByContent, &Watcher::silent());
        assert!(matches!(failure, Err(Error::Source { .. })), "{name}");
    }
    assert_eq!(repository.list().expect("a list").found, []);
}

#[test]
fn progress_reaches_the_end_and_a_cancelled_export_leaves_no_snapshot() {
    let fixture = Fixture::new();
    for number in 0..8 {
        fs::write(fixture.path("data").join(number.to_string()), noise(1 << 20, number)).expect("a file");
    }
    let repository = fixture.open();
    let data = fixture.path("data");
    let cancelled = Arc::new(Mutex::new(None::<Watcher>));
    let watcher = Watcher::new({
        let cancelled = cancelled.clone();
        move |progress| {
            if let (true, Some(watcher)) = (progress.bytes_done > 0, &*cancelled.lock().expect("a lock")) {
                watcher.cancel();
            }
        }
    });
    *cancelled.lock().expect("a lock") = Some(watcher.clone());
    let outcome = repository.export(&[("data", &data)], &meta("one"), Unchanged::ByContent, &watcher);
    assert!(matches!(outcome, Err(Error::Cancelled)), "{outcome:?}");
    assert_eq!(repository.list().expect("a list").found, []);

    let last = Arc::new(Mutex::new(None));
    let watcher = Watcher::new({
        let last = last.clone();
        move |progress: Progress| {
            let mut last = last.lock().expect("a lock");
            *last = (*last).max(Some((progress.bytes_done, progress.bytes_total)));
        }
    });
    let exported =
        repository.export(&[("data", &data)], &meta("one"), Unchanged::ByContent, &watcher).expect("an export");
    assert_eq!(last.lock().expect("a lock").take(), Some((8 << 20, 8 << 20)));
    let watcher = Watcher::silent();
    watcher.cancel();
    let outcome = repository.import(&exported.id, &fixture.path("imported"), ImportOptions::default(), &watcher);
    assert!(matches!(outcome, Err(Error::Cancelled)));
    fixture.assert_nothing_imported();
    fixture.restic_does(&["check"]);
}

#[test]
fn an_import_goes_into_an_empty_folder_or_a_new_one_and_nowhere_else() {
    let fixture = Fixture::new();
    fs::write(fixture.path("data").join("file"), "content").expect("a file");
    let repository = fixture.open();
    let exported = fixture.export(&repository);
    let import =
        |into: &str, options| repository.import(&exported.id, &fixture.path(into), options, &Watcher::silent());

    fs::create_dir(fixture.path("full")).expect("a folder");
    fs::write(fixture.path("full").join("mine"), "precious").expect("a file");
    fs::write(fixture.path("file"), "precious").expect("a file");
    symlink(fixture.path("full"), fixture.path("link")).expect("a link");
    for taken in ["full", "file", "link", "no/parent"] {
        assert!(matches!(import(taken, ImportOptions::default()), Err(Error::Target { .. })), "{taken}");
    }
    assert_eq!(fs::read_dir(fixture.path("full")).expect("a folder").count(), 1);
    let small = ImportOptions { at_most_bytes: Some(6), ..ImportOptions::default() };
    assert!(matches!(import("imported", small), Err(Error::Refused { .. })));
    // The volume's folder, and the file in it.
    let few = ImportOptions { at_most_entries: Some(1), ..ImportOptions::default() };
    assert!(matches!(import("imported", few), Err(Error::Refused { .. })));
    fixture.assert_nothing_imported();

    // What a process that was killed left is in nobody's way.
    fs::create_dir_all(fixture.path(".empty.importing/data/half")).expect("folders");
    fs::create_dir(fixture.path("empty")).expect("a folder");
    import("empty", ImportOptions::default()).expect("an import");
    assert_same(&fixture.path("data"), &fixture.path("empty/data"));
    assert!(!fixture.path(".empty.importing").exists());
}

#[test]
fn imported_files_belong_to_whom_they_are_given_and_run_as_nobody_else() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let fixture = Fixture::new();
    let (file, folder) = (fixture.path("data").join("file"), fixture.path("data").join("folder"));
    fs::write(&file, "content").expect("a file");
    fs::create_dir(&folder).expect("a folder");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o6751)).expect("a mode");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o2750)).expect("a mode");
    let repository = fixture.open();
    let exported = fixture.export(&repository);
    let own = fs::metadata(&file).expect("a file");
    // To somebody else where that is allowed.
    let user = if own.uid() == 0 { 4_747 } else { own.uid() };
    let ownership = Ownership::Given { user, group: own.gid() };
    let options = ImportOptions { ownership, ..ImportOptions::default() };
    repository.import(&exported.id, &fixture.path("imported"), options, &Watcher::silent()).expect("an import");
    let seen = |name: &str| {
        let metadata = fs::metadata(fixture.path("imported/data").join(name)).expect("metadata");
        (metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
    };
    assert_eq!(seen("file"), (0o751, user, own.gid()));
    assert_eq!(seen("folder"), (0o2750, user, own.gid()));
}

/// A tree in few words: path parts, and content or the target of a link.
#[derive(Debug, Clone)]
enum Leaf {
    File(Vec<u8>, u32),
    Link(Vec<u8>),
    Folder,
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("no part of a name", |byte| !matches!(byte, 0 | b'/'));
    prop::collection::vec(byte, 1..12).prop_filter("taken", |name| !matches!(&name[..], b"." | b".."))
}

fn leaf() -> impl Strategy<Value = Leaf> {
    let target = prop::collection::vec(1..=255_u8, 1..40);
    prop_oneof![
        (prop::collection::vec(any::<u8>(), 0..3000), 0..0o10000_u32).prop_map(|(bytes, mode)| Leaf::File(bytes, mode)),
        target.prop_map(Leaf::Link),
        Just(Leaf::Folder),
    ]
}

fn plant(top: &Path, tree: &BTreeMap<Vec<Vec<u8>>, Leaf>) {
    use std::os::unix::fs::PermissionsExt;
    for (path, leaf) in tree {
        let place = path.iter().fold(top.to_owned(), |place, part| place.join(OsStr::from_bytes(part)));
        // A name may be in use already, as a folder or above as a file: the tree is then a smaller one.
        let Some(above) = place.parent().filter(|above| fs::create_dir_all(above).is_ok()) else { continue };
        if fs::symlink_metadata(&place).is_ok() || !above.is_dir() {
            continue;
        }
        match leaf {
            Leaf::File(bytes, mode) => {
                fs::write(&place, bytes).expect("a file");
                fs::set_permissions(&place, fs::Permissions::from_mode(*mode)).expect("a mode");
            }
            Leaf::Link(target) => symlink(OsStr::from_bytes(target), &place).expect("a link"),
            Leaf::Folder => fs::create_dir(&place).expect("a folder"),
        }
    }
}

#[test]
fn any_tree_comes_back_as_it_was() {
    let fixture = Fixture::new();
    let repository = fixture.open();
    let tree = prop::collection::btree_map(prop::collection::vec(name(), 1..4), leaf(), 0..20);
    proptest!(ProptestConfig::with_cases(24), |(tree in tree)| {
        let case = tempfile::tempdir_in(fixture.directory.path()).expect("a folder");
        let (volume, into) = (case.path().join("volume"), case.path().join("imported"));
        fs::create_dir(&volume).expect("a folder");
        plant(&volume, &tree);
        let exported = repository
            .export(&[("v", &volume)], &meta("any"), Unchanged::ByContent, &Watcher::silent())
            .expect("an export");
        repository.import(&exported.id, &into, ImportOptions::default(), &Watcher::silent()).expect("an import");
        assert_same(&volume, &into.join("v"));
    });
    fixture.restic_does(&["check", "--read-data"]);
}
