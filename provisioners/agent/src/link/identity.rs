//! Who an agent is and where its portal is: the file a provisioner puts into a new server.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The file `identity` (JSON, mode 0600, owned by the user the agent runs as) in the directory `/run/bookend`:
/// `{"server":"…","generation":3,"enrolment":"…","link":{"unix":"/run/bookend/link/portal.sock"}}`.
///
/// The agent removes the enrolment token from it once the portal has accepted its session key.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The server's id.
    pub server: String,
    pub generation: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrolment: Option<String>,
    pub link: Reach,
}

/// How the agent reaches its portal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// A unix socket at this path inside the server.
    Unix(PathBuf),
}

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("cannot {attempted} {path}: {source}")]
    File { attempted: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{path} is not an identity; the provisioner that started this server must write it anew: {source}")]
    Malformed { path: PathBuf, source: serde_json::Error },
}

impl Identity {
    /// The file's name in its directory.
    pub const FILE: &str = "identity";

    pub fn read(directory: &Path) -> Result<Self, IdentityError> {
        let path = directory.join(Self::FILE);
        let text = std::fs::read(&path).map_err(|source| file_error("read", &path, source))?;
        serde_json::from_slice(&text).map_err(|source| IdentityError::Malformed { path, source })
    }

    /// Replaces the file at once or not at all.
    pub fn write(&self, directory: &Path) -> Result<(), IdentityError> {
        let path = directory.join(Self::FILE);
        let text =
            serde_json::to_vec(self).map_err(|source| IdentityError::Malformed { path: path.clone(), source })?;
        write_private(&path, &text).map_err(|source| file_error("write", &path, source))
    }
}

/// Writes a file only its owner can read, by rename: a reader sees the old or the new content, nothing between.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let fresh = path.with_file_name(name);
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(content)?;
    std::fs::rename(&fresh, path)
}

fn file_error(attempted: &'static str, path: &Path, source: std::io::Error) -> IdentityError {
    IdentityError::File { attempted, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_a_provisioner_writes_is_what_the_agent_reads_and_nobody_else_can() {
        let directory = tempfile::tempdir().unwrap();
        let identity = Identity {
            server: "a".into(),
            generation: 3,
            enrolment: Some("token".into()),
            link: Reach::Unix("/run/bookend/link/portal.sock".into()),
        };
        identity.write(directory.path()).unwrap();
        let path = directory.path().join(Identity::FILE);
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            r#"{"server":"a","generation":3,"enrolment":"token","link":{"unix":"/run/bookend/link/portal.sock"}}"#
        );
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Identity::read(directory.path()).unwrap().generation, 3);
    }
}
