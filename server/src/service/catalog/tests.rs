//! Stories about the catalog, on a real database.

use std::path::Path;

use app::api::{ApiError, CatalogEntry};
use provisioners::Capabilities;

use super::places::always;
use super::{Past, Places, Source, SourceFile, catalog, detail, files, keep_current, refresh, to_order};
use crate::domain::template;
use crate::store::{Store, sqlite_url};

const TEAM: &str = "team";

/// A portal that has one provisioner, which can do this.
fn here(able: Capabilities) -> Places {
    Places::new([("local".to_owned(), always(able))].into(), "local".to_owned())
}

struct Shelf {
    store: Store,
    _directory: tempfile::TempDir,
    /// Grows with each load, so that versions have an order.
    now: i64,
}

impl Shelf {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&sqlite_url(&directory.path().join("bookend.db"))).await.unwrap();
        let mut tx = store.write().await.unwrap();
        tx.team("Default", TEAM).await.unwrap();
        tx.team("Other", "other").await.unwrap();
        tx.commit().await.unwrap();
        Self { store, _directory: directory, now: 1_000 }
    }

    async fn load(&mut self, sources: &[(&str, &str)]) -> bool {
        self.now += 1_000;
        let files: Vec<SourceFile> =
            sources.iter().map(|(name, text)| SourceFile { name: (*name).into(), text: Ok((*text).into()) }).collect();
        refresh(&self.store, TEAM, &files, self.now).await.unwrap()
    }

    async fn entries(&self) -> Vec<CatalogEntry> {
        catalog(&self.store, TEAM, &here(Capabilities::default()), &Past::default()).await.unwrap()
    }

    async fn entry(&self, name: &str) -> CatalogEntry {
        self.entries().await.into_iter().find(|entry| entry.name == name).expect("it is in the catalog")
    }

    async fn order(&self, name: &str, version: Option<&str>) -> Result<String, ApiError> {
        to_order(&self.store, TEAM, name, version, &here(Capabilities::default()))
            .await
            .map(|offered| offered.template.summary.clone())
    }
}

fn box_template(version: &str, summary: &str) -> String {
    format!("name: box\nversion: {version}\ntitle: Box\nsummary: {summary}\ncategory: Tests\nservers:\n  box: {{}}\n")
}

#[tokio::test]
async fn loading_the_same_files_again_changes_nothing() {
    let mut shelf = Shelf::new().await;
    let source = box_template("1", "First.");
    assert!(shelf.load(&[("box.yaml", &source)]).await);
    assert!(!shelf.load(&[("box.yaml", &source)]).await);
    assert!(!shelf.load(&[("renamed.yaml", &source)]).await, "the file's name is no part of it");
}

#[tokio::test]
async fn a_changed_file_is_a_new_version_even_when_its_number_was_forgotten() {
    let mut shelf = Shelf::new().await;
    shelf.load(&[("box.yaml", &box_template("1", "First."))]).await;
    shelf.load(&[("box.yaml", &box_template("1", "Second."))]).await;
    shelf.load(&[("box.yaml", &box_template("2", "Third."))]).await;
    let (detail, _) =
        detail(&shelf.store, TEAM, "box", None, &here(Capabilities::default()), &Past::default()).await.unwrap();
    let versions: Vec<&str> = detail.versions.iter().map(|version| version.version.as_str()).collect();
    assert_eq!(versions, ["2", "1+2", "1"], "newest first");
    assert_eq!(shelf.order("box", None).await.unwrap(), "Third.");
    assert_eq!(shelf.order("box", Some("1+2")).await.unwrap(), "Second.");
    assert_eq!(shelf.order("box", Some("1")).await.unwrap(), "First.", "a version never changes");
    assert_eq!(shelf.order("box", Some("3")).await.unwrap_err().status, 404);

    shelf.load(&[("box.yaml", &box_template("1", "First."))]).await;
    assert_eq!(shelf.entry("box").await.version, "1", "what comes back is what it was");
}

#[tokio::test]
async fn a_broken_file_is_shown_with_its_error_and_the_last_good_version_stays_on_offer() {
    let mut shelf = Shelf::new().await;
    shelf.load(&[("box.yaml", &box_template("1", "Good."))]).await;
    assert!(shelf.load(&[("box.yaml", "name: box\nversion: 2\nsevers: {}\n")]).await);
    let entry = shelf.entry("box").await;
    let error = entry.broken.expect("it says that it is broken");
    assert!(error.contains("box.yaml:3:1: severs: unknown key; did you mean `servers`?"), "{error}");
    assert_eq!((entry.version.as_str(), entry.unavailable), ("1", None));
    assert_eq!(shelf.order("box", None).await.unwrap(), "Good.");

    shelf.load(&[("box.yaml", &box_template("2", "Mended."))]).await;
    assert_eq!(shelf.entry("box").await.broken, None);
}

#[tokio::test]
async fn a_file_that_never_was_good_is_shown_but_cannot_be_ordered() {
    let mut shelf = Shelf::new().await;
    shelf.load(&[("My Box.yaml", "{{{")]).await;
    let entry = shelf.entry("my-box").await;
    assert!(entry.broken.is_some() && entry.unavailable.is_some());
    let refusal = shelf.order("my-box", None).await.unwrap_err();
    assert_eq!(refusal.status, 409);
    assert!(refusal.detail.unwrap().starts_with("My Box.yaml:1:"), "the person is told what is wrong");
}

#[tokio::test]
async fn a_file_that_is_gone_is_withdrawn_and_may_come_back() {
    let mut shelf = Shelf::new().await;
    let source = box_template("1", "Here.");
    shelf.load(&[("box.yaml", &source)]).await;
    assert!(shelf.load(&[]).await);
    assert!(shelf.entries().await.is_empty());
    assert_eq!(shelf.order("box", None).await.unwrap_err().status, 404);
    assert!(shelf.load(&[("box.yaml", &source)]).await);
    assert_eq!(shelf.order("box", None).await.unwrap(), "Here.");
}

#[tokio::test]
async fn two_files_of_the_same_template_are_both_broken() {
    let mut shelf = Shelf::new().await;
    shelf.load(&[("a.yaml", &box_template("1", "A.")), ("b.yaml", &box_template("1", "B."))]).await;
    let error = shelf.entry("box").await.broken.unwrap();
    assert_eq!(error, "a.yaml and b.yaml both are the template `box`; rename or remove one");
    assert_eq!(shelf.order("box", None).await.unwrap_err().status, 409);
}

/// What is sent must be understood: no two fields of one document may have the same name.
#[tokio::test]
async fn what_is_told_of_a_template_survives_the_way_over_the_wire() {
    let mut shelf = Shelf::new().await;
    shelf.load(&[("whole.yaml", include_str!("../../domain/template/tests/whole.yaml"))]).await;
    let (told, _) =
        detail(&shelf.store, TEAM, "whole", None, &here(Capabilities::default()), &Past::default()).await.unwrap();
    let sent = serde_json::to_string(&told).unwrap();
    assert_eq!(serde_json::from_str::<app::api::TemplateDetail>(&sent).unwrap(), told);
}

#[tokio::test]
async fn another_teams_catalog_is_another_catalog() {
    let mut shelf = Shelf::new().await;
    shelf.load(&[("box.yaml", &box_template("1", "Ours."))]).await;
    assert!(catalog(&shelf.store, "other", &here(Capabilities::default()), &Past::default()).await.unwrap().is_empty());
    let theirs = to_order(&shelf.store, "other", "box", None, &here(Capabilities::default())).await.unwrap_err();
    let absent = to_order(&shelf.store, "other", "bux", None, &here(Capabilities::default())).await.unwrap_err();
    assert_eq!(theirs.title.replace("box", "bux"), absent.title, "it answers as if there were none");
}

#[tokio::test]
async fn odd_files_in_the_directory_do_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    std::fs::write(file("good.yaml"), box_template("1", "Good.")).unwrap();
    std::fs::write(file("latin.yaml"), b"name: caf\xe9\n").unwrap();
    std::fs::write(file("huge.yml"), vec![b'#'; template::MAX_BYTES + 1]).unwrap();
    std::fs::write(file("notes.txt"), "not a template").unwrap();
    std::fs::write(file(".hidden.yaml"), "not a template").unwrap();
    std::fs::create_dir(file("folder.yaml")).unwrap();
    std::os::unix::fs::symlink("/nowhere", file("dangling.yaml")).unwrap();
    let found = files(&Source::Directory(directory.path().into())).await.unwrap();
    let names: Vec<(&str, bool)> = found.iter().map(|file| (file.name.as_str(), file.text.is_ok())).collect();
    assert_eq!(names, [("good.yaml", true), ("huge.yml", false), ("latin.yaml", false)]);
    let mut shelf = Shelf::new().await;
    shelf.now += 1;
    refresh(&shelf.store, TEAM, &found, shelf.now).await.unwrap();
    assert_eq!(shelf.entries().await.len(), 3);
    assert_eq!(shelf.entry("latin").await.broken.unwrap(), "latin.yaml: byte 10 is not UTF-8; save the file as UTF-8");

    let missing = files(&Source::Directory("/no/such/place".into())).await.unwrap_err();
    assert!(missing.starts_with("the templates directory /no/such/place cannot be read: "), "{missing}");
}

#[tokio::test]
async fn a_change_of_a_file_is_taken_over_while_the_portal_runs() {
    let shelf = Shelf::new().await;
    let directory = tempfile::tempdir().unwrap();
    let write = |path: &Path, text: String| std::fs::write(path, text).unwrap();
    let path = directory.path().join("box.yaml");
    write(&path, box_template("1", "First."));
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let keeping = tokio::spawn(keep_current(
        shelf.store.clone(),
        TEAM.into(),
        Source::Directory(directory.path().into()),
        || 5_000,
        move || tell.send(()).unwrap(),
    ));
    told.recv().await.unwrap();
    assert_eq!(shelf.order("box", None).await.unwrap(), "First.");
    write(&path, box_template("2", "Second, and longer."));
    told.recv().await.unwrap();
    assert_eq!(shelf.order("box", None).await.unwrap(), "Second, and longer.");
    keeping.abort();
}

#[tokio::test]
async fn the_starter_catalog_is_good_and_one_click_orders_it() {
    let mut shelf = Shelf::new().await;
    let starter = files(&Source::Starter).await.unwrap();
    shelf.now += 1;
    refresh(&shelf.store, TEAM, &starter, shelf.now).await.unwrap();
    let able = here(Capabilities { shared_volumes: true, ..Capabilities::default() });
    let entries = catalog(&shelf.store, TEAM, &able, &Past::default()).await.unwrap();
    assert_eq!(
        entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(),
        ["postgres-app", "queue", "scratch", "site"]
    );
    for entry in entries {
        assert_eq!(entry.broken, None, "{}", entry.name);
        let offered = to_order(&shelf.store, TEAM, &entry.name, None, &able).await.unwrap();
        let values = template::resolve(&offered.template, &Default::default()).expect("every parameter has a default");
        let topology = template::compile(&offered.template, "mine", &values, crate::domain::topology::Sharing::OneDisk);
        assert_eq!(topology.servers.len(), entry.server_count as usize);
    }
}
