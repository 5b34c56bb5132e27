//! A place with a repository, volumes to export, and restic at hand.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use repository::{
    Config, Error, Exported, ImportOptions, Imported, Place, Repository, Secret, SnapshotId, SnapshotMeta, Unchanged,
    Watcher,
};
use tempfile::TempDir;

pub const PASSWORD: &str = "correct horse";

pub struct Fixture {
    pub directory: TempDir,
}

impl Fixture {
    pub fn new() -> Self {
        let fixture = Self { directory: tempfile::tempdir().expect("a folder") };
        fs::create_dir(fixture.path("data")).expect("a folder");
        fixture
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn config(&self) -> Config {
        Config { place: Place::Folder(self.path("repository")), password: Secret::new(PASSWORD) }
    }

    pub fn open(&self) -> Repository {
        Repository::open_or_create(&self.config()).expect("a repository")
    }

    /// Exports the volume `data` alone.
    pub fn export(&self, repository: &Repository) -> Exported {
        self.try_export(repository).expect("an export")
    }

    pub fn try_export(&self, repository: &Repository) -> Result<Exported, Error> {
        let volume = self.path("data");
        repository.export(&[("data", &volume)], &meta("one"), Unchanged::ByContent, &Watcher::silent())
    }

    pub fn import(&self, repository: &Repository, id: &SnapshotId) -> Result<Imported, Error> {
        repository.import(id, &self.path("imported"), ImportOptions::default(), &Watcher::silent())
    }

    pub fn restic(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("restic");
        command.env("RESTIC_PASSWORD", PASSWORD).env("RESTIC_REPOSITORY", self.path("repository"));
        command.arg("--no-cache").args(arguments);
        command
    }

    #[track_caller]
    pub fn restic_does(&self, arguments: &[&str]) -> String {
        let output = self.restic(arguments).output().expect("restic");
        assert!(output.status.success(), "restic {arguments:?}: {}", words(&output));
        words(&output)
    }

    /// The files of one kind in the repository, the largest first.
    pub fn files(&self, kind: &str) -> Vec<PathBuf> {
        let mut open = vec![self.path("repository").join(kind)];
        let mut files = Vec::new();
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()));
            } else {
                files.push(path);
            }
        }
        files.sort_by_key(|file| std::cmp::Reverse((fs::metadata(file).expect("a file").len(), file.clone())));
        files
    }

    /// Nothing was imported, not even in part.
    #[track_caller]
    pub fn assert_nothing_imported(&self) {
        let names: Vec<_> =
            fs::read_dir(self.directory.path()).expect("a folder").map(|e| e.expect("e").file_name()).collect();
        assert!(names.iter().all(|name| !name.to_string_lossy().contains("import")), "{names:?}");
    }
}

pub fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub fn meta(snapshot: &str) -> SnapshotMeta {
    SnapshotMeta {
        environment: "0192-environment".into(),
        snapshot: snapshot.into(),
        template: "postgres, small".into(),
        taken_at: "2026-05-04T03:02:01.5Z".parse().expect("a time"),
        manifest: serde_json::json!({ "data": { "digest": "abc", "files": 3 } }),
    }
}

pub fn inside(path: &Path, name: &str) -> PathBuf {
    path.join(name)
}
