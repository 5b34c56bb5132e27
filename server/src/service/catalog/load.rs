//! From a directory of template files to the catalog, at start and whenever a file changes.
//!
//! Idempotent: loading the same files again changes nothing. A changed file becomes a new version; a broken one is shown
//! as broken while its last good version stays on offer; one that is gone is withdrawn, its versions stay for the
//! environments made from them. A file is taken once it has been still for a moment, so that a half-written one is never
//! offered.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::domain::template::{self, MAX_BYTES, names};
use crate::store::{Found, Store, StoreError};

/// Where templates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The `*.yaml` files of this directory.
    Directory(PathBuf),
    /// What this program brings along.
    Starter,
}

/// One file: its name without directory, and its text or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    pub name: String,
    pub text: Result<String, String>,
}

const STARTER: [(&str, &str); 4] = [
    ("postgres-app.yaml", include_str!("../../../../templates/postgres-app.yaml")),
    ("queue.yaml", include_str!("../../../../templates/queue.yaml")),
    ("scratch.yaml", include_str!("../../../../templates/scratch.yaml")),
    ("site.yaml", include_str!("../../../../templates/site.yaml")),
];

/// How often the directory is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Brings the team's catalog up to date with these files. Says whether anything is different now.
///
/// # Errors
/// When the database refuses it; then nothing changed.
pub async fn refresh(store: &Store, team_id: &str, files: &[SourceFile], now: i64) -> Result<bool, StoreError> {
    let found = judge(files);
    let mut tx = store.write().await?;
    let mut changed = false;
    for (name, judged) in &found {
        let found = match judged {
            Judged::Good { version, digest, source } => Found::Good { version, digest, source },
            Judged::Broken { error } => Found::Broken { error },
        };
        changed |= tx.take_template(team_id, name, found, now).await?;
    }
    let names: Vec<String> = found.into_keys().collect();
    changed |= tx.withdraw_templates_except(team_id, &names, now).await?;
    if changed {
        tx.commit().await?;
    }
    Ok(changed)
}

/// Loads the catalog and keeps it up to date for as long as it is polled; `changed` is called after each change. Trouble
/// with the directory or the database is logged and tried again.
pub async fn keep_current(
    store: Store,
    team_id: String,
    source: Source,
    now: impl Fn() -> i64 + Send,
    changed: impl Fn() + Send,
) {
    let mut taken: Option<Fingerprint> = None;
    let mut last_trouble: Option<String> = None;
    loop {
        match look(&source, taken.as_ref()).await {
            Ok(None) => last_trouble = None,
            Ok(Some((fingerprint, files))) => match refresh(&store, &team_id, &files, now()).await {
                Ok(is_different) => {
                    last_trouble = None;
                    taken = Some(fingerprint);
                    if is_different {
                        changed();
                    }
                }
                Err(error) => tell_once(&mut last_trouble, format!("the catalog could not be stored: {error}")),
            },
            Err(error) => tell_once(&mut last_trouble, error),
        }
        if source == Source::Starter && taken.is_some() {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn tell_once(last: &mut Option<String>, trouble: String) {
    if last.as_ref() != Some(&trouble) {
        tracing::warn!("{trouble}; the catalog stays as it was");
        *last = Some(trouble);
    }
}

/// The files as they are now.
///
/// # Errors
/// The directory cannot be read: where it is and what to do.
pub async fn files(source: &Source) -> Result<Vec<SourceFile>, String> {
    Ok(look(source, None).await?.map(|(_, files)| files).unwrap_or_default())
}

/// Name → size and time of change, of each file.
type Fingerprint = BTreeMap<String, (u64, Option<SystemTime>)>;

/// The files, when they are others than those taken and have stood still for a moment.
async fn look(source: &Source, taken: Option<&Fingerprint>) -> Result<Option<(Fingerprint, Vec<SourceFile>)>, String> {
    let Source::Directory(directory) = source else {
        let starter = STARTER.map(|(name, text)| SourceFile { name: name.into(), text: Ok(text.into()) });
        return Ok(Some((Fingerprint::new(), starter.into())));
    };
    let fingerprint = |directory: PathBuf| async move {
        let trouble = format!("the templates directory {} cannot be read", directory.display());
        let looked = tokio::task::spawn_blocking(move || fingerprint(&directory)).await;
        looked.map_err(|_| trouble.clone())?.map_err(|error| format!("{trouble}: {error}"))
    };
    let now = fingerprint(directory.clone()).await?;
    if taken == Some(&now) {
        return Ok(None);
    }
    // At start everything is taken as it is; later a change must have come to rest.
    if taken.is_some() {
        tokio::time::sleep(LOOK_EVERY / 2).await;
        if fingerprint(directory.clone()).await? != now {
            return Ok(None);
        }
    }
    let paths: Vec<PathBuf> = now.keys().map(|name| directory.join(name)).collect();
    let files = tokio::task::spawn_blocking(move || paths.iter().map(|path| read_file(path)).collect()).await;
    Ok(files.ok().map(|files| (now, files)))
}

fn fingerprint(directory: &Path) -> io::Result<Fingerprint> {
    let mut fingerprint = Fingerprint::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !is_yaml || name.starts_with('.') {
            continue;
        }
        // A link that leads nowhere is no file, and no reason to give up on the others.
        if let Ok(metadata) = path.metadata()
            && metadata.is_file()
        {
            fingerprint.insert(name, (metadata.len(), metadata.modified().ok()));
        }
    }
    Ok(fingerprint)
}

fn read_file(path: &Path) -> SourceFile {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let size = path.metadata().map_or(0, |metadata| metadata.len());
    let text = if size > MAX_BYTES as u64 {
        Err(format!("the file has {size} bytes; a template may have {MAX_BYTES}"))
    } else {
        std::fs::read(path).map_err(|error| format!("the file cannot be read: {error}")).and_then(|bytes| {
            String::from_utf8(bytes).map_err(|error| {
                format!("byte {} is not UTF-8; save the file as UTF-8", error.utf8_error().valid_up_to() + 1)
            })
        })
    };
    SourceFile { name, text }
}

enum Judged {
    Good { version: String, digest: String, source: String },
    Broken { error: String },
}

/// Template name → what its file says. Two files that say they are the same template are both broken: neither can be
/// preferred.
fn judge(files: &[SourceFile]) -> BTreeMap<String, Judged> {
    let mut judged: BTreeMap<String, (&str, Judged)> = BTreeMap::new();
    for file in files {
        let (name, found) = judge_one(file);
        let found = match judged.get(&name) {
            Some((other, _)) => {
                let error = format!("{other} and {} both are the template `{name}`; rename or remove one", file.name);
                Judged::Broken { error }
            }
            None => found,
        };
        judged.insert(name, (&file.name, found));
    }
    judged.into_iter().map(|(name, (_, found))| (name, found)).collect()
}

fn judge_one(file: &SourceFile) -> (String, Judged) {
    let text = match &file.text {
        Ok(text) => text,
        Err(error) => return (name_from_file(&file.name), Judged::Broken { error: format!("{}: {error}", file.name) }),
    };
    match template::read(text) {
        Ok(template) => {
            let digest = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
            (template.name, Judged::Good { version: template.version, digest, source: text.clone() })
        }
        Err(problems) => {
            let name = template::name_in(text).unwrap_or_else(|| name_from_file(&file.name));
            (name, Judged::Broken { error: problems.in_file(&file.name) })
        }
    }
}

/// A name for a file that does not say its own.
fn name_from_file(file: &str) -> String {
    let stem = file.trim_end_matches(".yaml").trim_end_matches(".yml").to_lowercase();
    let plain: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
    let plain = plain.trim_matches('-').to_owned();
    if names::is_label(&plain) {
        return plain;
    }
    let prefixed: String = format!("file-{plain}").chars().take(40).collect();
    prefixed.trim_end_matches('-').to_owned()
}
