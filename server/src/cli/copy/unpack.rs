//! A folder that comes as a tar archive, unpacked here: folders and files and nothing else, never above where it is to go.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use reqwest::Response;
use tar::EntryType;
use tokio::sync::mpsc;

use super::{Bar, Copied, Part, cut_off, unwritten};
use crate::cli::failure::Failure;

enum Piece {
    Next(Vec<u8>),
    /// All has come.
    End,
}

/// What comes, as it comes, for a reader that waits for it.
struct Pieces {
    received: mpsc::Receiver<Piece>,
    piece: io::Cursor<Vec<u8>>,
    ended: bool,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.piece.read(buffer)? {
                0 if self.ended => return Ok(0),
                0 => match self.received.blocking_recv() {
                    Some(Piece::Next(piece)) => self.piece = io::Cursor::new(piece),
                    Some(Piece::End) => self.ended = true,
                    // Cut off, or nobody wants it any more.
                    None => return Err(io::ErrorKind::UnexpectedEof.into()),
                },
                read => return Ok(read),
            }
        }
    }
}

pub async fn unpack(mut response: Response, to: PathBuf, no_clobber: bool, mut bar: Bar) -> Result<Copied, Failure> {
    let (pieces, received) = mpsc::channel(8);
    let target = to.clone();
    let unpacking = tokio::task::spawn_blocking(move || {
        write_all(Pieces { received, piece: io::Cursor::default(), ended: false }, &target, no_clobber)
    });
    let receiving = async move {
        loop {
            match response.chunk().await {
                Ok(Some(piece)) => {
                    bar.add(piece.len() as u64);
                    // The unpacking has ended: its error says why.
                    if pieces.send(Piece::Next(piece.to_vec())).await.is_err() {
                        return Ok(());
                    }
                }
                Ok(None) => {
                    let _ = pieces.send(Piece::End).await;
                    return Ok(());
                }
                Err(error) => {
                    drop(pieces);
                    return Err(cut_off(error));
                }
            }
        }
    };
    let (received, unpacked) = tokio::join!(receiving, unpacking);
    received?;
    let unpacked = unpacked.map_err(|error| Failure::local(error.to_string()))?;
    unpacked.map_err(|error| unwritten(&to, &error))
}

fn write_all(pieces: impl Read, to: &Path, no_clobber: bool) -> io::Result<Copied> {
    let mut copied = Copied::default();
    fs::create_dir_all(to)?;
    let mut archive = tar::Archive::new(pieces);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path_bytes();
        // The first part is the folder itself.
        let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').skip(1).filter(|part| !part.is_empty()).collect();
        if parts.iter().any(|part| matches!(*part, b"." | b"..")) {
            return Err(io::Error::other("the archive has a name in it that leads elsewhere"));
        }
        let target = parts.iter().fold(to.to_owned(), |path, part| path.join(OsStr::from_bytes(part)));
        match entry.header().entry_type() {
            EntryType::Directory => fs::create_dir_all(&target)?,
            EntryType::Regular if !parts.is_empty() => {
                if no_clobber && fs::symlink_metadata(&target).is_ok() {
                    copied.left_out += 1;
                    continue;
                }
                let executable = entry.header().mode().is_ok_and(|mode| mode & 0o100 != 0);
                let (part, mut file) = Part::create(&target)?;
                copied.bytes += io::copy(&mut entry, &mut file)?;
                if executable {
                    file.set_permissions(fs::Permissions::from_mode(0o755))?;
                }
                part.finish()?;
                copied.files += 1;
            }
            _ => copied.left_out += 1,
        }
    }
    Ok(copied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_29_nothing_in_an_archive_leads_out_of_where_it_is_unpacked() {
        let place = tempfile::tempdir().expect("a directory");
        let entry = |name: &str, kind: EntryType, target: &str| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.as_gnu_mut().expect("a header").name[..name.len()].copy_from_slice(name.as_bytes());
            header.as_gnu_mut().expect("a header").linkname[..target.len()].copy_from_slice(target.as_bytes());
            header.set_mode(0o4755);
            header.set_size(if kind == EntryType::Regular { 4 } else { 0 });
            header.set_cksum();
            let mut bytes = header.as_bytes().to_vec();
            if kind == EntryType::Regular {
                bytes.extend(b"evil");
                bytes.resize(1024, 0);
            }
            bytes
        };
        let to = place.path().join("inside");
        let archive = [
            entry("x/", EntryType::Directory, ""),
            entry("x/out", EntryType::Symlink, ".."),
            entry("x/hard", EntryType::Link, "/etc/passwd"),
            entry("x/device", EntryType::Char, ""),
            entry("x/run", EntryType::Regular, ""),
        ]
        .concat();
        let copied = write_all(archive.as_slice(), &to, false).expect("what may be unpacked");
        assert_eq!((copied.files, copied.left_out), (1, 3));
        let mode = fs::metadata(to.join("run")).expect("a file").permissions().mode();
        assert_eq!(mode & 0o7777, 0o755, "no bit that lends rights comes along");
        let up = [entry("x/../../evil", EntryType::Regular, "")].concat();
        assert!(write_all(up.as_slice(), &to, false).is_err());
        assert!(!place.path().join("evil").exists());
    }
}
