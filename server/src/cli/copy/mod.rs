//! `cp`: files and folders into volumes, and out of volumes and snapshots.
//!
//! Written as `scp` and `docker cp` are: one side is here, the other is `ENV:VOLUME/PATH`, or `ENV@SNAPSHOT:VOLUME/PATH` for
//! what a snapshot holds. From a snapshot straight into the volume it is of, the portal brings it back by itself: with
//! everything in it, compared with what was taken. Otherwise a folder comes as a tar archive; it is unpacked file by file here, and no link in it is made or
//! followed: what is in a volume was written by whoever had a shell there.

mod back;
mod bar;
mod part;
mod side;
mod unpack;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use app::api::{FileListing, FileView, path_text};
use clap::Args;
use futures::StreamExt;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method, Response};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio_util::io::ReaderStream;

use self::part::Part;
use self::side::{Place, Side};
use super::client::Client;
use super::failure::{Failure, exit};
use super::output::{Output, clean};
use crate::domain::template::quantity::display_bytes;

pub use bar::Bar;

#[derive(Debug, Args)]
pub struct CopyArguments {
    /// A file or folder here, `-` for standard input, or ENV:VOLUME/PATH; ENV@SNAPSHOT:VOLUME/PATH is what a snapshot (id or
    /// `latest`) holds, which may go straight back to ENV:VOLUME/PATH
    #[arg(value_name = "FROM")]
    pub from: OsString,
    /// Where it goes; `-` for standard output
    #[arg(value_name = "TO")]
    pub to: OsString,
    /// Folders too, with everything in them; to standard output as a tar archive. One that comes straight back from a snapshot
    /// takes the place of the one that is there
    #[arg(short, long)]
    pub recursive: bool,
    /// Do not write over files that are there
    #[arg(short, long)]
    pub no_clobber: bool,
}

/// What was copied.
#[derive(Debug, Default)]
struct Copied {
    files: u64,
    bytes: u64,
    /// Links and others that were left out.
    left_out: u64,
}

pub async fn copy(client: &Client, arguments: CopyArguments, output: Output) -> Result<(), Failure> {
    tokio::select! {
        done = copied(client, arguments, output) => done,
        // What was begun and is of no use to anybody goes with it.
        () = interrupted() => Err(Failure::with(exit::INTERRUPTED, "interrupted", "interrupted")
            .detail("Of the file that was under way nothing is left; those before it stay.")),
    }
}

/// Somebody wants it to end.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        // They end the program without a word then, as they do by themselves.
        _ => std::future::pending().await,
    }
}

async fn copied(client: &Client, arguments: CopyArguments, output: Output) -> Result<(), Failure> {
    let CopyArguments { from, to, recursive, no_clobber } = arguments;
    let to_standard = to == "-";
    let copied = match (Side::parse(&from)?, Side::parse(&to)?) {
        (Side::Volume(from), Side::Here(to)) => {
            download(client, &from, Some(&to), recursive, no_clobber, output).await?
        }
        (Side::Volume(from), Side::Standard) => download(client, &from, None, recursive, no_clobber, output).await?,
        (Side::Here(from), Side::Volume(to)) => upload(client, &from, to, recursive, no_clobber, output).await?,
        (Side::Standard, Side::Volume(to)) => {
            let target = named(&to)?;
            let mut bar = Bar::new(None, output);
            let bytes = put(client, &to, &target, tokio::io::stdin(), None, (no_clobber, false), &mut bar).await?.size;
            Copied { files: 1, bytes, left_out: 0 }
        }
        (Side::Volume(from), Side::Volume(to)) => {
            let restored = back::bring_back(client, &from, &to, recursive, no_clobber, output).await?;
            return output.result(&restored, || format!("{} is back", clean(&restored.path)));
        }
        _ => {
            return Err(Failure::usage("neither of the two is in a volume")
                .detail("Write that side as ENV:VOLUME/PATH, or ENV@SNAPSHOT:VOLUME/PATH."));
        }
    };
    if to_standard {
        return Ok(());
    }
    let result = json!({ "files": copied.files, "bytes": copied.bytes, "left_out": copied.left_out });
    output.result(&result, || {
        let files = if copied.files == 1 { "1 file".to_owned() } else { format!("{} files", copied.files) };
        let left_out = match copied.left_out {
            0 => String::new(),
            count => format!("; {count} left out: links, pipes, sockets and devices are not copied"),
        };
        format!("{files}, {}{left_out}", display_bytes(copied.bytes))
    })
}

async fn download(
    client: &Client,
    from: &Place,
    to: Option<&Path>,
    recursive: bool,
    no_clobber: bool,
    output: Output,
) -> Result<Copied, Failure> {
    let path = path_text(&from.path);
    let mut query = vec![("path", path.as_str())];
    query.extend(from.snapshot.as_deref().map(|snapshot| ("snapshot", snapshot)));
    let address = ["environments", &from.environment, "volumes", &from.volume, "content"];
    let response = client.send(client.request(Method::GET, &address)?.query(&query)).await?;
    let folder = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/x-tar");
    if folder && !recursive {
        return Err(Failure::usage(format!("{from} is a folder")).detail("Give --recursive to copy it as a whole."));
    }
    let mut bar = Bar::new(response.content_length(), output);
    let name = from.name();
    match (to, folder) {
        (None, _) => to_writer(response, tokio::io::stdout(), &mut bar).await,
        (Some(to), false) => {
            let to = if to.is_dir() || ends_with_slash(to) { to.join(name) } else { to.to_owned() };
            if no_clobber && fs::symlink_metadata(&to).is_ok() {
                return Ok(Copied { left_out: 1, ..Copied::default() });
            }
            let (part, file) = Part::create(&to).map_err(|error| unwritten(&to, &error))?;
            let copied = to_writer(response, tokio::fs::File::from_std(file), &mut bar).await?;
            part.finish().map_err(|error| unwritten(&to, &error))?;
            Ok(copied)
        }
        (Some(to), true) => {
            let to = if to.is_dir() { to.join(name) } else { to.to_owned() };
            unpack::unpack(response, to, no_clobber, bar).await
        }
    }
}

async fn to_writer(
    mut response: Response,
    mut writer: impl tokio::io::AsyncWrite + Unpin,
    bar: &mut Bar,
) -> Result<Copied, Failure> {
    let mut bytes = 0;
    while let Some(piece) = response.chunk().await.map_err(cut_off)? {
        writer.write_all(&piece).await?;
        bytes += piece.len() as u64;
        bar.add(piece.len() as u64);
    }
    writer.flush().await?;
    Ok(Copied { files: 1, bytes, left_out: 0 })
}

async fn upload(
    client: &Client,
    from: &Path,
    to: Place,
    recursive: bool,
    no_clobber: bool,
    output: Output,
) -> Result<Copied, Failure> {
    let unread =
        |path: &Path, error: &std::io::Error| Failure::local(format!("{} cannot be read: {error}", shown(path)));
    let found = fs::metadata(from).map_err(|error| unread(from, &error))?;
    if found.is_dir() && !recursive {
        return Err(
            Failure::usage(format!("{} is a folder", shown(from))).detail("Give --recursive to copy it as a whole.")
        );
    }
    if to.snapshot.is_some() {
        return Err(Failure::usage("a snapshot does not change").detail("Copy to ENV:VOLUME/PATH."));
    }
    // Like `cp`: into a folder that is there, else under the name that is given.
    let inside = to.path.is_empty() || to.path.ends_with(b"/") || is_folder(client, &to).await?;
    let root = match inside {
        true => to.below(from.file_name().unwrap_or(OsStr::new("")).as_bytes()),
        false => to.path.clone(),
    };
    let (files, left_out) = match found.is_dir() {
        true => tree(from).map_err(|error| unread(from, &error))?,
        false => (vec![PathBuf::new()], 0),
    };
    let mut sources = Vec::new();
    for inner in files {
        let source = if inner.as_os_str().is_empty() { from.to_owned() } else { from.join(&inner) };
        let found = fs::metadata(&source).map_err(|error| unread(&source, &error))?;
        sources.push((source, inner, found));
    }
    let total = sources.iter().map(|(.., found)| found.len()).sum();
    let mut copied = Copied { left_out, ..Copied::default() };
    let mut bar = Bar::new(Some(total), output);
    for (source, inner, found) in sources {
        let mut target = root.clone();
        if !inner.as_os_str().is_empty() {
            target.push(b'/');
            target.extend(inner.as_os_str().as_bytes());
        }
        let file = tokio::fs::File::open(&source).await.map_err(|error| unread(&source, &error))?;
        let executable = found.permissions().mode() & 0o100 != 0;
        match put(client, &to, &target, file, Some(found.len()), (no_clobber, executable), &mut bar).await {
            Ok(written) => {
                copied.files += 1;
                copied.bytes += written.size;
            }
            Err(failure) if no_clobber && failure.exit == exit::REFUSED => copied.left_out += 1,
            Err(failure) => return Err(failure),
        }
    }
    Ok(copied)
}

/// Sends one file; `no_clobber`, `executable`.
async fn put(
    client: &Client,
    to: &Place,
    path: &[u8],
    content: impl AsyncRead + Send + Unpin + 'static,
    size: Option<u64>,
    (no_clobber, executable): (bool, bool),
    bar: &mut Bar,
) -> Result<FileView, Failure> {
    let path = path_text(path);
    let mut query = vec![("path", path.as_str())];
    if !no_clobber {
        query.push(("replace", "true"));
    }
    if executable {
        query.push(("executable", "true"));
    }
    let counted = bar.counter();
    let pieces = ReaderStream::with_capacity(content, 128 * 1024).inspect(move |piece| {
        if let Ok(piece) = piece {
            counted.add(piece.len() as u64);
        }
    });
    let address = ["environments", &to.environment, "volumes", &to.volume, "content"];
    let mut request = client.request(Method::PUT, &address)?.query(&query).body(Body::wrap_stream(pieces));
    if let Some(size) = size {
        request = request.header(CONTENT_LENGTH, size);
    }
    let sending = client.send(request.header(CONTENT_TYPE, "application/octet-stream"));
    let response = bar.while_going(sending).await?;
    let text = response.text().await.map_err(cut_off)?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::local(format!("the portal's answer is not understood: {error}")))
}

async fn is_folder(client: &Client, place: &Place) -> Result<bool, Failure> {
    let path = path_text(&place.path);
    let address = ["environments", &place.environment, "volumes", &place.volume, "files"];
    let mut query = vec![("path", path.as_str()), ("limit", "1")];
    query.extend(place.snapshot.as_deref().map(|snapshot| ("snapshot", snapshot)));
    match client.get::<FileListing>(&address, &query).await {
        Ok(_) => Ok(true),
        Err(failure) if matches!(failure.exit, exit::NOT_FOUND | exit::REFUSED) => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// The files below a folder, and how much else there is.
fn tree(root: &Path) -> std::io::Result<(Vec<PathBuf>, u64)> {
    let (mut files, mut left_out, mut pending) = (Vec::new(), 0, vec![PathBuf::new()]);
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            match entry.file_type()? {
                kind if kind.is_dir() => pending.push(path),
                kind if kind.is_file() => files.push(path),
                _ => left_out += 1,
            }
        }
    }
    files.sort();
    Ok((files, left_out))
}

/// A path that names a file to be.
fn named(to: &Place) -> Result<Vec<u8>, Failure> {
    match to.path.is_empty() || to.path.ends_with(b"/") {
        true => Err(Failure::usage("the file needs a name there").detail(format!("Write it as {to}NAME."))),
        false => Ok(to.path.clone()),
    }
}

fn ends_with_slash(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(b"/")
}

fn shown(path: &Path) -> String {
    clean(&path.to_string_lossy())
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    Failure::local(format!("{} cannot be written: {error}", shown(path)))
}

fn cut_off(error: reqwest::Error) -> Failure {
    Failure::unreachable(format!("the answer was cut off: {error}"))
}
