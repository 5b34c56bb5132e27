//! What is broken is named, and nothing half done is left behind.

use std::fs;
use std::path::Path;

use repository::{Config, Error, Place, Repository, Secret};

use crate::fixture::Fixture;
use crate::trees::noise;

/// A repository with one snapshot, of which `harm` breaks a part.
struct Broken {
    fixture: Fixture,
    failure: String,
    problems: Vec<String>,
}

fn break_and_import(harm: impl FnOnce(&Fixture)) -> Broken {
    let fixture = Fixture::new();
    fs::write(fixture.path("data").join("large"), noise(3 << 20, 1)).expect("a file");
    fs::write(fixture.path("data").join("small"), "small").expect("a file");
    let repository = fixture.open();
    let exported = fixture.export(&repository);
    harm(&fixture);
    let failure = fixture.import(&repository, &exported.id).expect_err("no import").to_string();
    fixture.assert_nothing_imported();
    let problems = repository.check(true).expect("checked");
    assert!(problems.iter().any(|problem| problem.is_damage), "{problems:?}");
    Broken { fixture, failure, problems: problems.into_iter().map(|problem| problem.what).collect() }
}

/// As the repository calls it.
fn called(fixture: &Fixture, file: &Path) -> String {
    file.strip_prefix(fixture.path("repository")).expect("inside").display().to_string()
}

fn change(file: &Path, at: usize) {
    let mut bytes = fs::read(file).expect("a file");
    bytes[at] ^= 0x40;
    fs::write(file, bytes).expect("a file");
}

/// The first eight digits are enough for people, and for rustic.
#[track_caller]
fn assert_told(broken: &Broken, file: &Path, why: &str) {
    let file = called(&broken.fixture, file);
    let short: String = Path::new(&file).file_name().expect("a name").to_string_lossy().chars().take(8).collect();
    assert!(broken.failure.contains(&file) && broken.failure.contains(why), "{file}, {why}: {}", broken.failure);
    assert!(broken.problems.iter().any(|problem| problem.contains(&short)), "{short}: {:?}", broken.problems);
}

#[test]
fn a_changed_byte_in_the_data_is_noticed_and_its_file_named() {
    let mut file = None;
    let broken = break_and_import(|fixture| change(file.insert(fixture.files("data").remove(0)), 1_000_000));
    assert_told(&broken, &file.expect("a file"), "cannot be decrypted");
}

#[test]
fn data_that_ends_too_early_is_named() {
    let mut file = None;
    let broken = break_and_import(|fixture| {
        let file = file.insert(fixture.files("data").remove(0));
        fs::File::options().write(true).open(file).and_then(|file| file.set_len(2000)).expect("shorter");
    });
    assert_told(&broken, &file.expect("a file"), "ends too early");
}

#[test]
fn data_that_is_missing_is_named() {
    for number in [0, 1] {
        let mut file = None;
        let broken = break_and_import(|fixture| {
            let file = file.insert(fixture.files("data").remove(number));
            fs::remove_file(file).expect("removed");
        });
        assert_told(&broken, &file.expect("a file"), "it is missing");
    }
}

#[test]
fn a_missing_index_is_told_with_what_makes_it_anew() {
    let broken = break_and_import(|fixture| {
        for file in fixture.files("index") {
            fs::remove_file(file).expect("removed");
        }
    });
    assert!(broken.failure.contains("index of the repository"), "{}", broken.failure);
    assert!(broken.failure.contains("restic rebuild-index"), "{}", broken.failure);
    broken.fixture.restic_does(&["rebuild-index"]);
    let repository = broken.fixture.open();
    let id = repository.list().expect("a list").found[0].id.clone();
    broken.fixture.import(&repository, &id).expect("an import");
}

#[test]
fn a_damaged_index_or_snapshot_is_named() {
    for kind in ["index", "snapshots"] {
        let mut file = None;
        let broken = break_and_import(|fixture| change(file.insert(fixture.files(kind).remove(0)), 30));
        assert_told(&broken, &file.expect("a file"), "its content is not what its name says");
    }
}

#[test]
fn what_is_no_repository_is_told_apart_from_a_wrong_password() {
    let fixture = Fixture::new();
    let repository = fixture.open();
    let open = |place: &str, password: &str| {
        let place = Place::Folder(fixture.path(place));
        Repository::open_or_create(&Config { place, password: Secret::new(password) })
    };
    let wrong = open("repository", "hunter2").expect_err("another password");
    assert!(matches!(&wrong, Error::WrongPassword { .. }), "{wrong}");
    assert!(!format!("{wrong} {wrong:?}").contains("hunter2"));
    fs::write(fixture.path("data").join("holiday.jpg"), "").expect("a file");
    fs::write(fixture.path("file"), "").expect("a file");
    for other in ["data", "file", "not/there"] {
        let failure = open(other, "x").expect_err(other);
        assert!(matches!(failure, Error::NotARepository { .. } | Error::Storage { .. }), "{other}: {failure}");
    }
    fs::create_dir(fixture.path("empty")).expect("a folder");
    open("empty", "x").expect("a new repository");
    let unmade = Config { place: Place::Folder(fixture.path("unmade")), password: Secret::new("x") };
    assert!(matches!(Repository::open(&unmade), Err(Error::NotARepository { .. })));

    // As when its disk is unmounted.
    fs::rename(fixture.path("repository"), fixture.path("elsewhere")).expect("renamed");
    let gone = fixture.try_export(&repository).expect_err("nowhere to go");
    assert!(matches!(&gone, Error::NotARepository { .. }) && gone.to_string().contains("mounted"), "{gone}");
    assert!(matches!(repository.list(), Err(Error::NotARepository { .. })));
    assert!(!fixture.path("repository").exists());
}

#[test]
fn a_damaged_key_or_configuration_is_not_a_wrong_password() {
    for file in ["keys", "config"] {
        let fixture = Fixture::new();
        drop(fixture.open());
        let path = fixture.files(file).remove(0);
        change(&path, 40);
        let failure = Repository::open(&fixture.config()).expect_err("damaged");
        let Error::Damaged { file, .. } = &failure else { panic!("{failure}") };
        assert_eq!(*file, called(&fixture, &path));
    }
}
