//! What `bookend login` remembers: one portal and a token for it, in a file that only its owner may read.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::failure::Failure;

#[derive(Serialize, Deserialize)]
pub struct Credentials {
    pub url: String,
    pub token: String,
}

/// `$XDG_CONFIG_HOME/bookend/credentials.json`, else below `~/.config`.
pub fn path() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")))?;
    Some(config.join("bookend/credentials.json"))
}

/// `None` when nobody has signed in, or what is there cannot be read as credentials.
pub fn load() -> Option<Credentials> {
    serde_json::from_slice(&fs::read(path()?).ok()?).ok()
}

pub fn save(credentials: &Credentials) -> Result<PathBuf, Failure> {
    let path = path().ok_or_else(|| Failure::local("there is no home directory to remember the token in; set HOME"))?;
    let written = write(&path, credentials);
    written.map_err(|error| Failure::local(format!("{} could not be written: {error}", path.display())))?;
    Ok(path)
}

fn write(path: &Path, credentials: &Credentials) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let new = path.with_extension("new");
    // Not through a file that is there: it may be readable by others, or lead elsewhere.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(serde_json::to_string_pretty(credentials)?.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&new, path)
}
