//! The installation key: 32 random bytes in the data directory, beside the database and never in it. From it come the seal
//! on secret order parameters and the enrolment tokens of agents. Several portals on one PostgreSQL share the same key file.
//!
//! Guaranteed: a copy of the database alone reveals no secret parameter and lets no agent enrol. Lost with the key: secret
//! parameters of existing environments, and which earlier order an `Idempotency-Key` stands for; nothing else.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use provisioners::{Secret, ServerId};
use sha2::Sha256;

const NONCE_BYTES: usize = 24;

/// The key itself; neither printed nor compared.
#[derive(Clone)]
pub struct InstallationKey([u8; 32]);

/// What kept the key from being used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the installation key {path} could not be read or made")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the installation key {path} is damaged: it should hold exactly 32 bytes; restore it from a backup")]
    Damaged { path: PathBuf },
    #[error("the sealed parameters cannot be opened with this installation's key; restore the right installation.key")]
    WrongKey,
}

impl InstallationKey {
    pub fn new(bytes: [u8; 32]) -> InstallationKey {
        InstallationKey(bytes)
    }

    /// Reads `installation.key` of this data directory, or makes it (mode 0600) when there is none.
    ///
    /// # Errors
    /// [`KeyError::File`] and [`KeyError::Damaged`].
    pub fn load_or_create(data_dir: &Path) -> Result<InstallationKey, KeyError> {
        let path = data_dir.join("installation.key");
        let failed = |source| KeyError::File { path: path.clone(), source };
        match File::open(&path) {
            Ok(mut file) => {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).map_err(failed)?;
                let bytes = bytes.try_into().map_err(|_| KeyError::Damaged { path: path.clone() })?;
                Ok(InstallationKey(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut bytes = [0; 32];
                getrandom::fill(&mut bytes).map_err(|error| failed(error.into()))?;
                // Written aside and linked into place, so that a crash leaves no half a key and a race has one winner.
                let draft = data_dir.join(format!("installation.key.{}", std::process::id()));
                let mut file = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(&draft)
                    .map_err(failed)?;
                file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed)?;
                let linked = std::fs::hard_link(&draft, &path);
                std::fs::remove_file(&draft).map_err(failed)?;
                match linked {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load_or_create(data_dir),
                    Err(error) => Err(failed(error)),
                    Ok(()) => {
                        File::open(data_dir).and_then(|directory| directory.sync_all()).map_err(failed)?;
                        Ok(InstallationKey(bytes))
                    }
                }
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Seals secret values, bound to this environment: the text opens for no other.
    pub fn seal(&self, environment: &str, values: &BTreeMap<String, String>) -> Result<String, KeyError> {
        let plain = serde_json::to_vec(values).map_err(|_| KeyError::WrongKey)?;
        let mut sealed = vec![0; NONCE_BYTES];
        getrandom::fill(&mut sealed)
            .map_err(|error| KeyError::File { path: "the system's random numbers".into(), source: error.into() })?;
        let message = Payload { msg: &plain, aad: environment.as_bytes() };
        let text = self.cipher().encrypt(XNonce::from_slice(&sealed), message).map_err(|_| KeyError::WrongKey)?;
        sealed.extend(text);
        Ok(BASE64.encode(sealed))
    }

    /// Opens what [`seal`](Self::seal) made for this environment.
    ///
    /// # Errors
    /// [`KeyError::WrongKey`], also when the text was changed.
    pub fn unseal(&self, environment: &str, sealed: &str) -> Result<BTreeMap<String, Secret>, KeyError> {
        let sealed = BASE64.decode(sealed).map_err(|_| KeyError::WrongKey)?;
        let (nonce, text) = sealed.split_at_checked(NONCE_BYTES).ok_or(KeyError::WrongKey)?;
        let message = Payload { msg: text, aad: environment.as_bytes() };
        let plain = self.cipher().decrypt(XNonce::from_slice(nonce), message).map_err(|_| KeyError::WrongKey)?;
        let values: BTreeMap<String, String> = serde_json::from_slice(&plain).map_err(|_| KeyError::WrongKey)?;
        Ok(values.into_iter().map(|(name, value)| (name, Secret::new(value))).collect())
    }

    /// The single-use token by which the agent of this server and generation enrols. Derived, so it is stored nowhere.
    pub fn enrolment(&self, server: &ServerId, generation: i64) -> Secret {
        let text = format!("enrolment:{server}:{generation}");
        Secret::new(BASE64.encode(self.derive(text.as_bytes())))
    }

    /// The secret that a server is known by to its peers, in every generation.
    pub fn device(&self, server: &ServerId) -> [u8; 32] {
        self.derive(format!("device:{server}").as_bytes())
    }

    /// Tells texts apart without saying anything about them to whoever has the database alone: HMAC, lower-case hex.
    pub fn fingerprint(&self, text: &[u8]) -> String {
        let mut purpose = b"fingerprint:".to_vec();
        purpose.extend(text);
        self.derive(&purpose).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&self.derive(b"seal")).into())
    }

    /// A key of its own for each purpose (RFC 5869 in its one-block form).
    fn derive(&self, purpose: &[u8]) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(b"bookend:");
        mac.update(purpose);
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_secret_opens_for_its_environment_and_no_other() {
        let key = InstallationKey::new([7; 32]);
        let values = BTreeMap::from([("password".to_owned(), "hunter2".to_owned())]);
        let sealed = key.seal("one", &values).unwrap();
        assert!(!sealed.contains("hunter2"));
        assert_eq!(key.unseal("one", &sealed).unwrap()["password"].reveal(), "hunter2");
        assert!(key.unseal("two", &sealed).is_err());
        assert!(InstallationKey::new([8; 32]).unseal("one", &sealed).is_err());
    }

    #[test]
    fn enrolment_tokens_differ_by_server_and_generation_and_stay_the_same() {
        let key = InstallationKey::new([7; 32]);
        let token = |server: &str, generation| key.enrolment(&ServerId::new(server), generation).reveal().to_owned();
        assert_eq!(token("a", 1), token("a", 1));
        assert_ne!(token("a", 1), token("a", 2));
        assert_ne!(token("a", 1), token("b", 1));
    }

    #[test]
    fn the_key_is_made_once_and_readable_by_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let first = InstallationKey::load_or_create(directory.path()).unwrap();
        let second = InstallationKey::load_or_create(directory.path()).unwrap();
        assert_eq!(first.0, second.0);
        let path = directory.path().join("installation.key");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "short").unwrap();
        assert!(matches!(InstallationKey::load_or_create(directory.path()), Err(KeyError::Damaged { .. })));
    }
}
