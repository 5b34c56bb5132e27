//! Who an agent is and where its portal is: the file a provisioner puts into a new server.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The file `identity` (JSON, mode 0600, owned by the user the agent runs as), in `/run/bookend` of a sandbox:
/// `{"server":"…","generation":3,"enrolment":"…","link":{"unix":"/run/bookend/link/portal.sock"}}`, and in `/var/lib/bookend`
/// of a machine that boots anew:
/// `{"server":"…","generation":3,"enrolment":"…","link":{"portal":{"url":"https://bookend.example.com"}}}`.
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
    /// With [`Reach::Portal`]: after so long without a portal, in milliseconds, what volumes hold is written to their disks
    /// again and again until there is one. 5 minutes when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away_after_ms: Option<u64>,
    /// Where (`http://169.254.169.254`) the cloud says beforehand that it takes the machine back, as Amazon does of spot servers;
    /// absent: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notices: Option<String>,
    /// Volumes that are disks of their own, which the agent mounts before anything starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<Disk>,
    /// The file (`/etc/hosts`) in which the agent keeps the names of the environment's servers; where it is absent, somebody
    /// else does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<PathBuf>,
}

/// A volume on a disk of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// As the cloud calls it: `vol-0123456789abcdef0`.
    pub volume: String,
    /// Where it belongs; absolute.
    pub path: String,
}

/// How the agent reaches its portal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// A unix socket at this path inside the server.
    Unix(PathBuf),
    /// By WebSocket, through the proxy that `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` name.
    Portal(PortalAddress),
}

/// A portal that is not on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortalAddress {
    /// `https://bookend.example.com`; plain `http` is for loopback and laboratories.
    pub url: String,
    /// Certificates (PEM) of authorities that are trusted beside those the machine knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
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
    // A machine may lose its power at any time: what the portal was promised must be there after it.
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    match path.parent() {
        Some(directory) => std::fs::File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

fn file_error(attempted: &'static str, path: &Path, source: std::io::Error) -> IdentityError {
    IdentityError::File { attempted, path: path.to_owned(), source }
}

#[cfg(test)]
impl Identity {
    /// For stories: one that has enrolled, beside a portal that nobody reaches.
    pub(crate) fn of(server: &str, generation: i64) -> Self {
        Self {
            server: server.to_owned(),
            generation,
            enrolment: None,
            link: Reach::Unix("/nowhere".into()),
            away_after_ms: None,
            notices: None,
            disks: Vec::new(),
            hosts: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_a_provisioner_writes_is_what_the_agent_reads_and_nobody_else_can() {
        let directory = tempfile::tempdir().unwrap();
        let link = Reach::Unix("/run/bookend/link/portal.sock".into());
        let identity = Identity { enrolment: Some("token".into()), link, ..Identity::of("a", 3) };
        identity.write(directory.path()).unwrap();
        let path = directory.path().join(Identity::FILE);
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            r#"{"server":"a","generation":3,"enrolment":"token","link":{"unix":"/run/bookend/link/portal.sock"}}"#
        );
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Identity::read(directory.path()).unwrap().generation, 3);
    }
    #[test]
    fn a_portal_far_away_is_named_by_its_address() {
        let text = r#"{"portal":{"url":"https://bookend.example.com","ca_file":"/etc/bookend/ca.pem"}}"#;
        let reach = Reach::Portal(PortalAddress {
            url: "https://bookend.example.com".into(),
            ca_file: Some("/etc/bookend/ca.pem".into()),
        });
        assert_eq!(serde_json::to_string(&reach).unwrap(), text);
        assert_eq!(serde_json::from_str::<Reach>(text).unwrap(), reach);
        assert!(serde_json::from_str::<Reach>(r#"{"portal":{"url":"https://a"}}"#).is_ok());
        assert!(serde_json::from_str::<Reach>(r#"{"portal":{"url":"https://a","insecure":true}}"#).is_err());
    }
}
