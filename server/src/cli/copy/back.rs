//! From a snapshot straight into the volume it is of: the portal does it.

use app::api::{FileRestore, FileView, path_text};
use reqwest::Method;

use super::is_folder;
use super::side::Place;
use crate::cli::client::Client;
use crate::cli::events::Events;
use crate::cli::failure::Failure;
use crate::cli::output::Output;

/// A file goes into a folder that is there, as with `cp`; a folder takes the place of one, unless `to` ends with a `/`.
pub async fn bring_back(
    client: &Client,
    from: &Place,
    to: &Place,
    recursive: bool,
    no_clobber: bool,
    output: Output,
) -> Result<FileView, Failure> {
    let Some(snapshot) = from.snapshot.clone() else {
        return Err(Failure::usage("one of the two has to be here, or in a snapshot")
            .detail("Copy it here first, then to where it shall be; or write FROM as ENV@SNAPSHOT:VOLUME/PATH."));
    };
    if to.snapshot.is_some() {
        return Err(Failure::usage("a snapshot does not change").detail("Copy to ENV:VOLUME/PATH."));
    }
    if (&from.environment, &from.volume) != (&to.environment, &to.volume) {
        return Err(Failure::usage("what a snapshot holds goes straight back to its own volume only")
            .detail("Copy it here first, then to where it shall be."));
    }
    if from.path.iter().all(|byte| *byte == b'/') {
        return Err(Failure::usage("name a file or folder of the volume")
            .detail(format!("`bookend restore {} {snapshot}` brings whole volumes back.", from.environment)));
    }
    let folder = is_folder(client, from).await?;
    if folder && !recursive {
        return Err(Failure::usage(format!("{from} is a folder"))
            .detail("Give --recursive to bring it back as a whole: it takes the place of the one that is there."));
    }
    let inside = to.path.is_empty() || to.path.ends_with(b"/") || (!folder && is_folder(client, to).await?);
    let goal = if inside { to.below(from.name().as_encoded_bytes()) } else { to.path.clone() };
    let request = FileRestore {
        snapshot: Some(snapshot),
        path: path_text(&from.path),
        to: Some(path_text(&goal)),
        in_place: !no_clobber,
    };
    let address = ["environments", &to.environment, "volumes", &to.volume, "restore"];
    let request = client.request(Method::POST, &address)?.query(&[("follow", "true")]).json(&request);
    Events::of(client.send(request).await?).outcome(output).await
}
