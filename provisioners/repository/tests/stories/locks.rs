//! Several processes in one repository, and processes that are killed.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::thread;

use repository::{Config, Error, Place, Repository, Secret, Unchanged, Watcher};

use crate::fixture::{Fixture, PASSWORD, meta, words};
use crate::trees::noise;

#[test]
fn whoever_removes_is_alone_and_all_others_get_along() {
    let fixture = Fixture::new();
    fs::write(fixture.path("data").join("file"), noise(1 << 20, 1)).expect("a file");
    let repository = fixture.open();
    let (reached, midway) = mpsc::channel();
    let (go_on, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let watcher = Watcher::new(move |progress| {
        if progress.bytes_done > 0 {
            reached.send(()).expect("somebody waits");
            // Ends with an error once nobody holds it any more.
            let _ = held.lock().expect("a lock").recv();
        }
    });
    thread::scope(|scope| {
        let export = scope.spawn(|| {
            repository.export(&[("data", &fixture.path("data"))], &meta("slow"), Unchanged::ByContent, &watcher)
        });
        midway.recv().expect("an export under way");
        let locked = repository.prune().expect_err("not now");
        assert!(matches!(&locked, Error::Locked { holder, .. } if holder.contains("bookend")), "{locked}");
        let theirs = fixture.restic(&["prune"]).output().expect("restic");
        assert!(!theirs.status.success() && words(&theirs).contains("already locked"), "{}", words(&theirs));
        fixture.restic_does(&["backup", &fixture.path("data").display().to_string()]);
        fixture.export(&repository);
        drop(go_on);
        export.join().expect("no panic").expect("an export");
    });
    assert_eq!(repository.list().expect("a list").found.len(), 3);
    assert_eq!(fixture.files("locks"), Vec::<PathBuf>::new());
    repository.prune().expect("pruned");
    fixture.restic_does(&["check", "--read-data"]);
}

#[test]
fn restics_own_lock_is_respected() {
    let fixture = Fixture::new();
    let repository = fixture.open();
    fixture.export(&repository);
    let mut backup = fixture.restic(&["backup", "--stdin", "--json"]);
    let mut backup = backup.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("restic");
    let mut said = BufReader::new(backup.stdout.take().expect("its words"));
    // It reports while it reads, and it reads with the lock in its hand.
    said.read_line(&mut String::new()).expect("a line");
    let locked = repository.prune().expect_err("not now");
    assert!(matches!(&locked, Error::Locked { holder, .. } if holder.contains(&backup.id().to_string())), "{locked}");
    fixture.export(&repository);
    backup.stdin.take().expect("its input").write_all(b"content").expect("written");
    said.read_to_end(&mut Vec::new()).expect("its end");
    assert!(backup.wait().expect("an end").success());
    repository.prune().expect("pruned");
}

#[test]
fn an_export_that_is_killed_leaves_a_sound_repository_and_a_later_one_completes() {
    let fixture = Fixture::new();
    for number in 0..48 {
        fs::write(fixture.path("data").join(number.to_string()), noise(1 << 20, number)).expect("a file");
    }
    let repository = fixture.open();
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "locks::the_process_that_is_killed", "--nocapture"])
        .env("REPOSITORY_STORY", fixture.directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let mut said = BufReader::new(child.stdout.take().expect("its words")).lines();
    assert!(said.any(|line| line.expect("a line").contains("midway")), "it came that far");
    child.kill().expect("killed");
    child.wait().expect("an end");

    assert_eq!(repository.list().expect("a list").found, []);
    assert_eq!(fixture.files("locks").len(), 1, "its lock is still there");
    fixture.restic_does(&["check", "--read-data", "--no-lock"]);
    let exported = fixture.export(&repository);
    // The lock counts for nothing: nobody has to clear it away.
    repository.prune().expect("pruned");
    assert_eq!(fixture.files("locks"), Vec::<PathBuf>::new());
    fixture.restic_does(&["check", "--read-data"]);
    fixture.import(&repository, &exported.id).expect("an import");
}

/// Not a story of its own: a part of the one above, in a process that can be killed.
#[test]
fn the_process_that_is_killed() {
    let Some(directory) = std::env::var_os("REPOSITORY_STORY").map(PathBuf::from) else { return };
    let place = Place::Folder(directory.join("repository"));
    let repository = Repository::open(&Config { place, password: Secret::new(PASSWORD) }).expect("a repository");
    let watcher = Watcher::new(|progress| {
        if progress.bytes_done > 40 << 20 {
            println!("midway");
            // Until the end of the story, or of who tells it.
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
        }
    });
    let data = directory.join("data");
    let _ = repository.export(&[("data", &data)], &meta("killed"), Unchanged::ByContent, &watcher);
}
