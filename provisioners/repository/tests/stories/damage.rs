//! What is broken is named, and nothing half done is left behind.

use std::fs;
use std::path::Path;

use repository::{Config, Error, Place, Repository, Secret};

use crate::shelf::Shelf;
use crate::trees::noise;

/// A repository with one snapshot, of which `harm` breaks a part.
struct Broken {
    shelf: Shelf,
    failure: String,
    problems: Vec<String>,
}

fn break_and_import(harm: impl FnOnce(&Shelf)) -> Broken {
    let shelf = Shelf::new();
    fs::write(shelf.path("data").join("large"), noise(3 << 20, 1)).expect("a file");
    fs::write(shelf.path("data").join("small"), "small").expect("a file");
    let repository = shelf.open();
    let exported = shelf.export(&repository);
    harm(&shelf);
    let failure = shelf.import(&repository, &exported.id).expect_err("no import").to_string();
    shelf.assert_nothing_imported();
    let problems = repository.check(true).expect("checked");
    assert!(problems.iter().any(|problem| problem.is_damage), "{problems:?}");
    Broken { shelf, failure, problems: problems.into_iter().map(|problem| problem.what).collect() }
}

/// As the repository calls it.
fn called(shelf: &Shelf, file: &Path) -> String {
    file.strip_prefix(shelf.path("repository")).expect("inside").display().to_string()
}

fn change(file: &Path, at: usize) {
    let mut bytes = fs::read(file).expect("a file");
    bytes[at] ^= 0x40;
    fs::write(file, bytes).expect("a file");
}

/// The first eight digits are enough for people, and for rustic.
#[track_caller]
fn assert_told(broken: &Broken, file: &Path, why: &str) {
    let file = called(&broken.shelf, file);
    let short: String = Path::new(&file).file_name().expect("a name").to_string_lossy().chars().take(8).collect();
    assert!(broken.failure.contains(&file) && broken.failure.contains(why), "{file}, {why}: {}", broken.failure);
    assert!(broken.problems.iter().any(|problem| problem.contains(&short)), "{short}: {:?}", broken.problems);
}

#[test]
fn a_changed_byte_in_the_data_is_noticed_and_its_file_named() {
    let mut file = None;
    let broken = break_and_import(|shelf| change(file.insert(shelf.files("data").remove(0)), 1_000_000));
    assert_told(&broken, &file.expect("a file"), "cannot be decrypted");
}

#[test]
fn data_that_ends_too_early_is_named() {
    let mut file = None;
    let broken = break_and_import(|shelf| {
        let file = file.insert(shelf.files("data").remove(0));
        fs::File::options().write(true).open(file).and_then(|file| file.set_len(2000)).expect("shorter");
    });
    assert_told(&broken, &file.expect("a file"), "ends too early");
}

#[test]
fn data_that_is_missing_is_named() {
    for number in [0, 1] {
        let mut file = None;
        let broken = break_and_import(|shelf| {
            let file = file.insert(shelf.files("data").remove(number));
            fs::remove_file(file).expect("removed");
        });
        assert_told(&broken, &file.expect("a file"), "it is missing");
    }
}

#[test]
fn a_missing_index_is_told_with_what_makes_it_anew() {
    let broken = break_and_import(|shelf| {
        for file in shelf.files("index") {
            fs::remove_file(file).expect("removed");
        }
    });
    assert!(broken.failure.contains("index of the repository"), "{}", broken.failure);
    assert!(broken.failure.contains("restic rebuild-index"), "{}", broken.failure);
    broken.shelf.restic_does(&["rebuild-index"]);
    let repository = broken.shelf.open();
    let id = repository.list().expect("a list").found[0].id.clone();
    broken.shelf.import(&repository, &id).expect("an import");
}

#[test]
fn a_damaged_index_or_snapshot_is_named() {
    for kind in ["index", "snapshots"] {
        let mut file = None;
        let broken = break_and_import(|shelf| change(file.insert(shelf.files(kind).remove(0)), 30));
        assert_told(&broken, &file.expect("a file"), "its content is not what its name says");
    }
}

#[test]
fn what_is_no_repository_is_told_apart_from_a_wrong_password() {
    let shelf = Shelf::new();
    let repository = shelf.open();
    let open = |place: &str, password: &str| {
        let place = Place::Folder(shelf.path(place));
        Repository::open_or_create(&Config { place, password: Secret::new(password) })
    };
    let wrong = open("repository", "hunter2").expect_err("another password");
    assert!(matches!(&wrong, Error::WrongPassword { .. }), "{wrong}");
    assert!(!format!("{wrong} {wrong:?}").contains("hunter2"));
    fs::write(shelf.path("data").join("holiday.jpg"), "").expect("a file");
    fs::write(shelf.path("file"), "").expect("a file");
    for other in ["data", "file", "not/there"] {
        let failure = open(other, "x").expect_err(other);
        assert!(matches!(failure, Error::NotARepository { .. } | Error::Storage { .. }), "{other}: {failure}");
    }
    fs::create_dir(shelf.path("empty")).expect("a folder");
    open("empty", "x").expect("a new repository");
    let unmade = Config { place: Place::Folder(shelf.path("unmade")), password: Secret::new("x") };
    assert!(matches!(Repository::open(&unmade), Err(Error::NotARepository { .. })));

    // As when its disk is unmounted.
    fs::rename(shelf.path("repository"), shelf.path("elsewhere")).expect("renamed");
    let gone = shelf.try_export(&repository).expect_err("nowhere to go");
    assert!(matches!(&gone, Error::NotARepository { .. }) && gone.to_string().contains("mounted"), "{gone}");
    assert!(matches!(repository.list(), Err(Error::NotARepository { .. })));
    assert!(!shelf.path("repository").exists());
}

#[test]
fn a_damaged_key_or_configuration_is_not_a_wrong_password() {
    for file in ["keys", "config"] {
        let shelf = Shelf::new();
        drop(shelf.open());
        let path = shelf.files(file).remove(0);
        change(&path, 40);
        let failure = Repository::open(&shelf.config()).expect_err("damaged");
        let Error::Damaged { file, .. } = &failure else { panic!("{failure}") };
        assert_eq!(*file, called(&shelf, &path));
    }
}
