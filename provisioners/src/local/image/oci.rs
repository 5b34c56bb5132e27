//! Images from an OCI registry: found by reference, fetched by digest, unpacked once per digest into a directory that any
//! number of servers are laid over. What a registry sends is believed only as far as its digests and sizes hold, and
//! unpacked by a process that can reach nothing else (`holder unpack`).
//!
//! Deliberately absent: registries that want a password, and forgetting images nobody uses any more.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use futures::TryStreamExt;
use holder::Unpack;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use crate::local::disk::{self, Trash};
use crate::local::environment::blocking;
use crate::local::error::{Attempt, LocalError, Result};
use crate::local::layout::Layout;
use crate::local::sandbox::{HOME, Root, USER, USER_NAME};
use crate::local::tools::Tools;

/// What an image may come to: compressed, unpacked, in entries, in layers.
const MOST_COMPRESSED: u64 = 8 << 30;
const MOST_UNPACKED: u64 = 32 << 30;
const MOST_ENTRIES: u64 = 2_000_000;
const MOST_LAYERS: usize = 256;

/// What is being done about an image, in words, for everyone who waits for it.
pub type Words = Arc<Mutex<String>>;

/// Images being made, so that each is made once.
#[derive(Default)]
pub struct Images {
    making: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// The part of an image's configuration that servers use.
#[derive(Debug, Default, Deserialize)]
struct Configuration {
    #[serde(default)]
    config: Settings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Settings {
    env: Option<Vec<String>>,
    working_dir: Option<String>,
}

/// Kept beside an unpacked image.
#[derive(Serialize, Deserialize)]
struct Kept {
    variables: BTreeMap<String, String>,
    directory: String,
}

impl Images {
    /// The image of this reference, fetched and unpacked if it was not. Errors are final: they say what to change.
    pub async fn prepare(
        &self,
        reference: &str,
        layout: &Layout,
        tools: &Arc<Tools>,
        trash: &Arc<Trash>,
        words: &Words,
    ) -> Result<Root> {
        let refuse =
            |why: &dyn std::fmt::Display| LocalError::Refused(format!("Image {reference} cannot be had: {why}"));
        say(words, format!("asking the registry for {reference}"));
        let parsed: Reference = reference.parse().map_err(|error| refuse(&error))?;
        let client = client(&parsed);
        let manifest = client.pull_manifest_and_config(&parsed, &RegistryAuth::Anonymous).await;
        let (manifest, digest, configuration) = manifest.map_err(|error| refuse(&explain(&error)))?;
        let name = name(&digest).ok_or_else(|| refuse(&"the registry names it by an unknown kind of digest"))?;

        let making =
            Arc::clone(self.making.lock().unwrap_or_else(PoisonError::into_inner).entry(name.clone()).or_default());
        let _making = making.lock().await;
        if let Some(root) = kept(layout, &name)? {
            return Ok(root);
        }
        check(&manifest.layers).map_err(|why| refuse(&why))?;
        let settings = serde_json::from_str::<Configuration>(&configuration).map_err(|error| refuse(&error))?.config;
        let work = layout.images().join(format!(".{name}"));
        let (taken, into) = (Arc::clone(trash), work.clone());
        blocking(move || taken.take(&into).and_then(|()| disk::make_directory(&into))).await?;
        let mut layers = Vec::new();
        for (number, layer) in manifest.layers.iter().enumerate() {
            let path = work.join(format!("layer-{number}"));
            let what = format!("pulling {reference}: layer {} of {}", number + 1, manifest.layers.len());
            fetch(&client, &parsed, layer, &path, &what, words).await.map_err(|error| match error {
                Fetch::Refused(why) => refuse(&why),
                Fetch::Disk(error) => error,
            })?;
            layers.push(path);
        }
        say(words, format!("unpacking {reference}"));
        let (layout, tools, trash, image) = (layout.clone(), Arc::clone(tools), Arc::clone(trash), name.clone());
        let kept = Kept { variables: variables(&settings), directory: directory(&settings) };
        let made = blocking(move || make(&layout, &tools, &trash, &image, &work, &layers, &kept)).await;
        made.map_err(|error| match error {
            LocalError::Refused(why) => refuse(&why),
            other => other,
        })
    }
}

fn say(words: &Words, text: String) {
    *words.lock().unwrap_or_else(PoisonError::into_inner) = text;
}

/// A registry on this machine may speak plain HTTP; any other must not.
fn client(reference: &Reference) -> Client {
    // Somebody else may have chosen before; either choice will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let host = reference.resolve_registry().rsplit_once(':').map_or(reference.resolve_registry(), |(host, _)| host);
    let loopback = host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let protocol = if loopback { ClientProtocol::Http } else { ClientProtocol::Https };
    Client::new(ClientConfig { protocol, ..ClientConfig::default() })
}

fn explain(error: &oci_client::errors::OciDistributionError) -> String {
    use oci_client::errors::OciDistributionError as Error;
    match error {
        Error::ImageManifestNotFoundError(_) => "the registry does not have it. Check its name and tag.".to_owned(),
        Error::RegistryError { envelope, .. }
            if envelope.errors.iter().any(|error| {
                matches!(
                    error.code,
                    oci_client::errors::OciErrorCode::ManifestUnknown | oci_client::errors::OciErrorCode::NameUnknown
                )
            }) =>
        {
            "the registry does not have it. Check its name and tag.".to_owned()
        }
        Error::RequestError(_) => format!("the registry could not be reached ({error}). Retry when it can be."),
        Error::AuthenticationFailure(_) | Error::UnauthorizedError { .. } => {
            "the registry wants a password, and only public images can be used.".to_owned()
        }
        other => other.to_string(),
    }
}

/// A directory name from a `sha256:…` digest.
fn name(digest: &str) -> Option<String> {
    let hex = digest.strip_prefix("sha256:")?;
    let plain = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| format!("oci-{hex}"))
}

fn check(layers: &[OciDescriptor]) -> Result<(), String> {
    if layers.len() > MOST_LAYERS {
        return Err(format!("it has {} layers, more than {MOST_LAYERS}", layers.len()));
    }
    let size = layers
        .iter()
        .try_fold(0u64, |sum, layer| u64::try_from(layer.size).ok().and_then(|size| sum.checked_add(size)));
    match size {
        Some(size) if size <= MOST_COMPRESSED => Ok(()),
        _ => Err(format!("it is larger than {} GiB", MOST_COMPRESSED >> 30)),
    }
}

enum Fetch {
    Refused(String),
    Disk(LocalError),
}

/// Fetches one layer, no byte more than its size, and believes it only if its digest holds.
async fn fetch(
    client: &Client,
    image: &Reference,
    layer: &OciDescriptor,
    path: &Path,
    what: &str,
    words: &Words,
) -> Result<(), Fetch> {
    let refused = |error: &dyn std::fmt::Display| Fetch::Refused(error.to_string());
    let attempt = |error: std::io::Error| {
        Fetch::Disk(LocalError::Machine { attempt: format!("write {}", path.display()), source: error })
    };
    let size = u64::try_from(layer.size).unwrap_or(0);
    let mut blob = client.pull_blob_stream(image, layer).await.map_err(|error| Fetch::Refused(explain(&error)))?;
    let mut file = tokio::fs::File::create(path).await.map_err(attempt)?;
    let (mut hash, mut received) = (Sha256::new(), 0u64);
    while let Some(bytes) = blob.stream.try_next().await.map_err(|error| refused(&error))? {
        received += bytes.len() as u64;
        if received > size {
            return Err(refused(&"the registry sends more than it said"));
        }
        hash.update(&bytes);
        file.write_all(&bytes).await.map_err(attempt)?;
        say(words, format!("{what}, {} of {} MiB", received >> 20, size.div_ceil(1 << 20)));
    }
    file.flush().await.map_err(attempt)?;
    let digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if received != size || layer.digest != format!("sha256:{digest}") {
        return Err(refused(&"a layer is not what its digest says"));
    }
    Ok(())
}

fn variables(settings: &Settings) -> BTreeMap<String, String> {
    let pairs = settings.env.iter().flatten().filter_map(|pair| pair.split_once('='));
    let plain = |text: &str| !text.contains('\0');
    let pairs = pairs.filter(|(name, value)| !name.is_empty() && plain(name) && plain(value));
    // Whose home it is does not change with the image.
    let pairs = pairs.filter(|(name, _)| !["HOME", "USER", "LOGNAME", "HOSTNAME"].contains(name));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn directory(settings: &Settings) -> String {
    let directory = settings.working_dir.clone().unwrap_or_default();
    let plain = directory.starts_with('/') && !directory.contains(['\0', '\n']) && !directory.contains("..");
    if plain && directory != "/" { directory } else { HOME.to_owned() }
}

fn kept(layout: &Layout, name: &str) -> Result<Option<Root>> {
    let path = layout.images().join(format!("{name}.json"));
    let Some(text) = disk::read(&path)? else { return Ok(None) };
    let kept: Kept = serde_json::from_str(&text)
        .map_err(std::io::Error::from)
        .attempting(|| format!("understand {}", path.display()))?;
    let Kept { variables, directory } = kept;
    Ok(Some(Root { image: name.to_owned(), from_machine: Vec::new(), variables, directory }))
}

/// Unpacks fetched layers; the image is there when its `.json` is.
fn make(
    layout: &Layout,
    tools: &Tools,
    trash: &Trash,
    name: &str,
    work: &Path,
    layers: &[PathBuf],
    kept: &Kept,
) -> Result<Root> {
    let root = work.join("root");
    disk::make_directory_for(&root, tools.owner)?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let mut directories: Vec<(String, u32)> = [
        ("dev", 0o755),
        ("etc", 0o755),
        ("home", 0o755),
        ("home/bookend", 0o755),
        ("proc", 0o755),
        ("run", 0o755),
        ("tmp", 0o1777),
        ("var", 0o755),
        ("var/tmp", 0o1777),
    ]
    .map(|(path, mode)| (path.to_owned(), mode))
    .to_vec();
    directories.push((kept.directory.clone(), 0o755));
    let plan = Unpack {
        user: tools.owner,
        directory: text(&root),
        layers: layers.iter().map(|path| text(path)).collect(),
        most_bytes: MOST_UNPACKED,
        most_entries: MOST_ENTRIES,
        directories,
        lines: vec![
            ("etc/passwd".to_owned(), format!("{USER_NAME}:x:{USER}:{USER}:Bookend:{HOME}:/bin/sh")),
            ("etc/group".to_owned(), format!("{USER_NAME}:x:{USER}:")),
        ],
    };
    let attempt = || "unpack an image".to_owned();
    let plan = serde_json::to_string(&plan).map_err(std::io::Error::from).attempting(attempt)?;
    let mut command = Command::new(tools.agent(layout));
    command.args([holder::UNPACK_COMMAND, &plan]).env_clear().current_dir("/");
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().attempting(attempt)?;
    if !output.status.success() {
        trash.take(work)?;
        let said = String::from_utf8_lossy(&output.stdout);
        return Err(LocalError::Refused(format!("it does not unpack: {}", said.trim())));
    }
    let image = layout.images().join(name);
    trash.take(&image)?;
    disk::rename(&root, &image)?;
    let text = serde_json::to_vec(kept).map_err(std::io::Error::from).attempting(attempt)?;
    disk::write_whole(&layout.images().join(format!("{name}.json")), &text, 0o600)?;
    trash.take(work)?;
    let Kept { variables, directory } = kept;
    let (variables, directory) = (variables.clone(), directory.clone());
    Ok(Root { image: name.to_owned(), from_machine: Vec::new(), variables, directory })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_digest_names_a_directory() {
        let hex = "ab".repeat(32);
        assert_eq!(name(&format!("sha256:{hex}")), Some(format!("oci-{hex}")));
        for digest in ["sha256:../../etc", "sha512:ab", "", "sha256:"] {
            assert_eq!(name(digest), None, "{digest}");
        }
    }

    #[test]
    fn an_image_cannot_say_whose_home_it_is_but_can_extend_the_path() {
        let env = ["PATH=/opt/bin:/bin", "HOME=/root", "=x", "BROKEN"].map(str::to_owned).to_vec();
        let settings = Settings { env: Some(env), working_dir: Some("/srv/../etc".to_owned()) };
        assert_eq!(
            variables(&settings).into_iter().collect::<Vec<_>>(),
            [("PATH".to_owned(), "/opt/bin:/bin".to_owned())]
        );
        assert_eq!(directory(&settings), HOME);
    }
}
