//! A folder as a tar archive, made while it is read. Links are stored as links; pipes, sockets and devices are left out.

use std::io;
use std::os::unix::ffi::OsStrExt;

use app::portal::Content;
use axum::body::Bytes;
use futures::StreamExt;
use provisioners::{FileEntry, FileKind, ProvisionError, Tree};
use tar::{EntryType, Header};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::engine::Trees;

/// Names asked for at once.
const PAGE: usize = 1000;
const PIECE: usize = 128 * 1024;
const BLOCK: u64 = 512;

type Pieces = mpsc::Sender<io::Result<Bytes>>;

/// `name` is what the folder is called in the archive.
pub fn pack(trees: Trees, provisioner: String, tree: Tree, path: Vec<u8>, name: Vec<u8>) -> Content {
    let (pieces, received) = mpsc::channel(4);
    tokio::spawn(async move {
        let packed = folder(&trees, &provisioner, &tree, path, name, &pieces).await;
        if let Err(error) = packed {
            // Who went away needs no reason.
            let _ = pieces.send(Err(error)).await;
        }
    });
    ReceiverStream::new(received).boxed()
}

async fn folder(
    trees: &Trees,
    provisioner: &str,
    tree: &Tree,
    path: Vec<u8>,
    name: Vec<u8>,
    pieces: &Pieces,
) -> io::Result<()> {
    let mut pending = vec![(path, name, 0, 0o755)];
    while let Some((path, name, modified_at, mode)) = pending.pop() {
        send(pieces, header(&name, EntryType::Directory, 0, modified_at, mode, None)?).await?;
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = trees.list(provisioner, tree, &path, after.as_deref(), PAGE).await.map_err(broken)?;
            after = page.last().map(|last| last.name.clone());
            let whole = page.len() < PAGE;
            for entry in page {
                let join = |folder: &[u8]| match folder {
                    [] => entry.name.clone(),
                    folder => [folder, &entry.name].join(&b'/'),
                };
                let (inside, named) = (join(&path), join(&name));
                let FileEntry { kind, modified_at, mode, .. } = entry;
                match kind {
                    FileKind::Directory => pending.push((inside, named, modified_at, mode)),
                    FileKind::Link { target } => {
                        let link = header(&named, EntryType::Symlink, 0, modified_at, 0o777, Some(&target))?;
                        send(pieces, link).await?;
                    }
                    FileKind::File => {
                        let (content, size) = match trees.read(provisioner, tree, &inside).await {
                            Ok(opened) => opened,
                            // It has gone since.
                            Err(ProvisionError::Absent { .. }) => continue,
                            Err(error) => return Err(broken(error)),
                        };
                        send(pieces, header(&named, EntryType::Regular, size, modified_at, mode, None)?).await?;
                        file(content, size, pieces).await?;
                    }
                    FileKind::Other => {}
                }
            }
            if whole {
                break;
            }
        }
    }
    send(pieces, vec![0; 2 * BLOCK as usize]).await
}

/// Exactly `size` bytes: of a file that grows meanwhile no more, and zeros for what is cut off from one.
async fn file(content: impl tokio::io::AsyncRead + Unpin, size: u64, pieces: &Pieces) -> io::Result<()> {
    let mut content = content.take(size);
    let mut sent = 0;
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let read = (&mut content).take(PIECE as u64).read_to_end(&mut piece).await?;
        if read == 0 {
            break;
        }
        sent += read as u64;
        send(pieces, piece).await?;
    }
    let mut missing = size.next_multiple_of(BLOCK) - sent;
    while missing > 0 {
        let zeros = missing.min(PIECE as u64);
        send(pieces, vec![0; zeros as usize]).await?;
        missing -= zeros;
    }
    Ok(())
}

fn header(
    name: &[u8],
    kind: EntryType,
    size: u64,
    modified_at: i64,
    mode: u32,
    target: Option<&str>,
) -> io::Result<Vec<u8>> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode & 0o777);
    header.set_mtime(u64::try_from(modified_at / 1000).unwrap_or(0));
    let name = std::path::Path::new(std::ffi::OsStr::from_bytes(name));
    let mut archive = tar::Builder::new(Vec::new());
    match target {
        Some(target) => archive.append_link(&mut header, name, target)?,
        None => archive.append_data(&mut header, name, io::empty())?,
    }
    Ok(std::mem::take(archive.get_mut()))
}

async fn send(pieces: &Pieces, piece: Vec<u8>) -> io::Result<()> {
    pieces.send(Ok(Bytes::from(piece))).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
}

fn broken(error: ProvisionError) -> io::Error {
    io::Error::other(error.to_string())
}
