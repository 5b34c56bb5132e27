//! What Bookend stores restic reads, and the other way round.

use std::fs;

use repository::{ImportOptions, Unchanged, Watcher};

use crate::fixture::{Fixture, inside, meta};
use crate::trees::{assert_same, everything_restic_keeps, noise};

#[test]
fn restic_finds_our_repository_clean_and_restores_identical_trees() {
    let fixture = Fixture::new();
    everything_restic_keeps(&fixture.path("data"));
    fs::create_dir(fixture.path("second")).expect("a folder");
    fs::write(fixture.path("second").join("file"), "of the other volume").expect("a file");
    let repository = fixture.open();
    let (data, second) = (fixture.path("data"), fixture.path("second"));
    let exported = repository
        .export(&[("db", &second), ("data", &data)], &meta("one"), Unchanged::ByContent, &Watcher::silent())
        .expect("an export");

    fixture.restic_does(&["check", "--read-data"]);
    let target = fixture.path("restored");
    fixture.restic_does(&["restore", &exported.id.0, "--target", &target.display().to_string()]);
    assert_same(&data, &inside(&target, "data"));
    assert_same(&second, &inside(&target, "db"));

    let listed = fixture.restic_does(&["snapshots", "--json", "--host", "0192-environment", "--tag", "snapshot=one"]);
    for expected in ["/data", "/db", "2026-05-04T03:02:01.5Z", "template=postgres_ small"] {
        assert!(listed.contains(expected), "{expected} in {listed}");
    }
}

#[test]
fn a_repository_that_restic_made_is_listed_and_imported() {
    let fixture = Fixture::new();
    everything_restic_keeps(&fixture.path("data"));
    fixture.restic_does(&["init"]);
    let mut backup = fixture.restic(&["backup", "--host", "laptop", "--tag", "by hand", "data"]);
    assert!(backup.current_dir(fixture.directory.path()).status().expect("restic").success());

    let repository = fixture.open();
    let found = repository.list().expect("a list").found;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].host.as_str(), found[0].tags.as_slice()), ("laptop", &["by hand".to_owned()][..]));
    assert_eq!(found[0].meta, None);
    let imported = fixture.import(&repository, &found[0].id).expect("an import");
    assert_eq!(imported.snapshot, found[0]);
    assert_same(&fixture.path("data"), &fixture.path("imported").join("data"));
}

#[test]
fn both_add_to_one_repository_and_each_forgets_and_prunes_what_the_other_stored() {
    let fixture = Fixture::new();
    fs::write(fixture.path("data").join("kept"), noise(2 << 20, 7)).expect("a file");
    let repository = fixture.open();
    let first = fixture.export(&repository);
    fs::write(fixture.path("data").join("gone"), noise(4 << 20, 8)).expect("a file");
    let data = fixture.path("data").display().to_string();
    fixture.restic_does(&["backup", "--tag", "restic", &data]);
    let theirs =
        repository.list().expect("a list").found.into_iter().find(|found| found.tags == ["restic"]).expect("theirs");
    assert_eq!(repository.list().expect("a list").found.len(), 2);

    repository.forget(&[theirs.id]).expect("forgotten");
    let pruned = repository.prune().expect("pruned");
    assert!(pruned.bytes_freed > 4 << 20, "{pruned:?}");
    fixture.restic_does(&["check", "--read-data"]);
    fs::remove_file(fixture.path("data").join("gone")).expect("a file");
    let later = fixture.export(&repository);
    fixture.restic_does(&["forget", "--prune", &first.id.0]);
    fixture.restic_does(&["check", "--read-data"]);
    assert_eq!(repository.check(true).expect("checked"), []);
    repository
        .import(&later.id, &fixture.path("imported"), ImportOptions::default(), &Watcher::silent())
        .expect("an import");
    assert_same(&fixture.path("data"), &fixture.path("imported").join("data"));
}
