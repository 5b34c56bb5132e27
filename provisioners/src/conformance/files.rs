//! Stories of single files: looked at, compared, put into volumes, and brought back.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::{Place, end, expect_nothing, life_of_data, perform, settled};
use crate::{
    Comparison, EnvironmentId, FileEntry, FileKind, FileWrite, ProvisionError, Provisioner, SnapshotId, Told, Tree,
    VolumeId,
};

const REPLACE: FileWrite = FileWrite { replace: true, executable: false };
const NEW: FileWrite = FileWrite { replace: false, executable: true };

/// A volume and what a snapshot has of it.
pub(super) struct Both<'a> {
    pub provisioner: &'a dyn Provisioner,
    pub now: Tree,
    pub then: Tree,
}

impl Both<'_> {
    pub async fn names(&self, tree: &Tree, path: &[u8]) -> Vec<Vec<u8>> {
        let listed = self.provisioner.list_files(tree, path, None, 1000).await.expect("a directory");
        listed.into_iter().map(|entry| entry.name).collect()
    }

    async fn write(&self, path: &[u8], write: FileWrite, content: &str) -> Result<FileEntry, ProvisionError> {
        self.provisioner.write_file(&self.now, path, write, &mut content.as_bytes()).await
    }

    async fn read(&self, path: &[u8]) -> String {
        let (mut file, size) = self.provisioner.read_file(&self.now, path).await.expect("a file");
        let mut text = String::new();
        file.read_to_string(&mut text).await.expect("a file that can be read");
        assert_eq!(text.len() as u64, size);
        text
    }

    pub async fn restore(&self, path: &[u8], to: &[u8], replace: bool) -> Result<FileEntry, ProvisionError> {
        self.provisioner.restore_file((&self.then, path), (&self.now, to), replace, &Told::default()).await
    }

    async fn changed(&self) -> Comparison {
        self.provisioner.compare(&self.then, &self.now, 100, &Told::default()).await.expect("a comparison")
    }
}

pub(super) fn refused<T: std::fmt::Debug>(outcome: Result<T, ProvisionError>) -> String {
    match outcome {
        Err(ProvisionError::Rejected { message }) => message,
        other => panic!("{other:?}"),
    }
}

/// What volumes and snapshots hold is told name by name, differences are found, and single files come and come back; whole, or
/// not at all.
pub async fn files_come_and_come_back_one_by_one(place: &dyn Place) {
    let environment = EnvironmentId::new("files");
    let provisioner = place.open().await;
    let life = life_of_data(&environment);
    perform(place, provisioner.as_ref(), &environment, &life[0], "in a life").await;
    let now = Tree { environment: environment.clone(), snapshot: None, volume: VolumeId::new("data") };
    let then = Tree { snapshot: Some(SnapshotId::new("snapshot")), ..now.clone() };
    let both = Both { provisioner: provisioner.as_ref(), now, then };

    // Names are bytes.
    let odd: [&[u8]; 3] = [b"odd/new\nline", b"odd/not \xff text", b"odd/deeper/ "];
    for path in odd {
        both.write(path, NEW, "first").await.expect("a new file");
        assert_eq!(both.read(path).await, "first");
    }
    perform(place, provisioner.as_ref(), &environment, &life[1], "in a life").await;
    settled(provisioner.as_ref(), &environment).await;
    assert_eq!(both.changed().await, Comparison::default(), "nothing differs yet");
    assert_eq!(both.names(&both.now, b"odd").await, both.names(&both.then, b"odd").await);
    let paged = page_by_page(&both, b"odd").await;
    assert_eq!(paged, both.names(&both.now, b"odd").await, "page by page the same names come");

    // Put there, and put in the place of others.
    let written = both.write(b"fresh/file", NEW, "put").await.expect("a new file");
    assert_eq!((written.size, written.mode & 0o7111), (3, 0o111), "it may be run, and lends nobody rights");
    assert!(refused(both.write(b"fresh/file", NEW, "again").await).contains("already"));
    assert!(refused(both.write(b"fresh", REPLACE, "folder").await).contains("folder"));
    assert_eq!(both.read(b"fresh/file").await, "put");
    both.write(odd[0], REPLACE, "second").await.expect("another content");
    assert_eq!(both.read(odd[0]).await, "second");
    let broken = provisioner.write_file(&both.now, b"fresh/broken", NEW, &mut Broken(false)).await;
    assert!(refused(broken).contains("nothing was changed"));
    assert_eq!(both.names(&both.now, b"fresh").await, [b"file".to_vec()]);
    let differs = both.changed().await;
    assert_eq!((differs.added, differs.changed, differs.removed), (1, 1, 0), "{differs:?}");

    // Back from the snapshot: beside, in place, a whole folder, and what is not in the way of anything.
    assert!(refused(both.restore(odd[0], odd[0], false).await).contains("already"));
    both.restore(odd[0], b"odd/beside", false).await.expect("a file beside the other");
    assert_eq!((both.read(odd[0]).await, both.read(b"odd/beside").await), ("second".into(), "first".into()));
    let folder = both.restore(b"odd", b"odd", true).await.expect("a folder in the other's place");
    assert_eq!(folder.kind, FileKind::Directory);
    assert_eq!(both.names(&both.now, b"odd").await, both.names(&both.then, b"odd").await);
    assert_eq!(both.read(odd[1]).await, "first");
    let differs = both.changed().await;
    assert_eq!((differs.added, differs.changed, differs.removed), (1, 0, 0), "{differs:?}");
    assert!(refused(both.restore(b"odd", b"fresh/file", true).await).contains("does not take its place"));

    // What is not there, and what does not change.
    let absent = both.restore(b"nowhere", b"nowhere", false).await;
    assert!(matches!(absent, Err(ProvisionError::Absent { .. })), "{absent:?}");
    refused(provisioner.write_file(&both.then, b"x", NEW, &mut &b"x"[..]).await);
    for path in [&b""[..], b"/", b"..", b"odd/../..", b"odd/..", b"."] {
        refused(both.write(path, REPLACE, "x").await);
        refused(both.restore(b"odd", path, true).await);
    }
    let other = Tree { volume: VolumeId::new("other"), ..both.now.clone() };
    let absent = provisioner.write_file(&other, b"x", NEW, &mut &b"x"[..]).await;
    assert!(matches!(absent, Err(ProvisionError::Absent { .. })), "{absent:?}");
    end(provisioner.as_ref(), &environment).await;
    expect_nothing(place, provisioner.as_ref(), &environment).await;
}

async fn page_by_page(both: &Both<'_>, path: &[u8]) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    loop {
        let after = names.last().map(Vec::as_slice);
        let page = both.provisioner.list_files(&both.now, path, after, 1).await.expect("a page");
        match page.into_iter().next() {
            Some(entry) => names.push(entry.name),
            None => return names,
        }
    }
}

/// Somebody who goes away in the middle.
struct Broken(bool);

impl AsyncRead for Broken {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.0 {
            return Poll::Ready(Err(io::Error::other("the line went dead")));
        }
        self.0 = true;
        buffer.put_slice(b"half of ");
        Poll::Ready(Ok(()))
    }
}
