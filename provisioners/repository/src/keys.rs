//! From the password to the key that everything in a repository is encrypted with, and small files sealed with that key.
//!
//! `rustic_core` opens repositories by itself; this is done here once instead, so that each later operation skips the tenth of
//! a second that trying a password costs on purpose, and because restic's lock files, which `rustic_core` does not write, are
//! sealed with the same key.

use std::io::Read;
use std::sync::Arc;

use aes256ctr_poly1305aes::aead::{Aead, Nonce};
use aes256ctr_poly1305aes::{Aes256CtrPoly1305Aes, Key};
use rustic_core::repofile::{KeyFile, MasterKey};
use sha2::{Digest, Sha256};

use crate::error::{Error, Outcome, RESTORE_FILE, brief};
use crate::secret::Secret;
use crate::storage::{Kind, Storage};

const NONCE: usize = 16;
/// Of the configuration and of locks, unpacked.
const LARGEST_SMALL_FILE: u64 = 1 << 20;

/// The master key of an open repository.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) master: MasterKey,
}

impl Keys {
    /// Tries the password on every key of the repository. A damaged key file is told only when no other one fits.
    pub(crate) fn unlock(storage: &dyn Storage, password: &Secret) -> Outcome<Self> {
        let location = storage.location();
        let failed = |attempt: &str| {
            let (location, attempt) = (location.clone(), attempt.to_owned());
            move |source| Error::Storage { location, attempt, source: Arc::new(source) }
        };
        let damaged = |name: &str, reason: String| Error::Damaged {
            location: location.clone(),
            file: Kind::Key.path(name),
            reason,
            remedy: RESTORE_FILE,
        };
        let config = storage.read(Kind::Config, "", None).map_err(failed("read the configuration"))?;
        let mut first_damage = None;
        for (name, _) in storage.list(Kind::Key).map_err(failed("list the keys"))? {
            let bytes = storage.read(Kind::Key, &name, None).map_err(failed("read a key"))?;
            if name_of(&bytes) != name {
                first_damage.get_or_insert(damaged(&name, "its content is not what its name says".into()));
                continue;
            }
            let file: KeyFile = match serde_json::from_slice(&bytes) {
                Ok(file) => file,
                Err(error) => {
                    first_damage.get_or_insert(damaged(&name, error.to_string()));
                    continue;
                }
            };
            let key = match file.key_from_password(&password.reveal().as_bytes()) {
                Ok(key) => key,
                // The seal of the key does not hold under this password.
                Err(error) if error.is_code("C001") => continue,
                Err(error) => {
                    first_damage.get_or_insert(damaged(&name, brief(&error)));
                    continue;
                }
            };
            let (encrypt, k, r) = key.to_keys();
            let mut master = MasterKey::new();
            master.encrypt = encrypt;
            master.mac.k = k;
            master.mac.r = r;
            let keys = Self { master };
            // Of two processes that made this repository at the same moment, one's key opens nothing.
            match keys.unseal(&config) {
                Ok(_) => return Ok(keys),
                Err(reason) => first_damage.get_or_insert(Error::Damaged {
                    location: location.clone(),
                    file: Kind::Config.path(""),
                    reason: format!("the password is right, and still it cannot be decrypted: {reason}"),
                    remedy: RESTORE_FILE,
                }),
            };
        }
        Err(first_damage.unwrap_or(Error::WrongPassword { location }))
    }

    fn cipher(&self) -> Aes256CtrPoly1305Aes {
        let mut key = Key::default();
        key[..32].copy_from_slice(&self.master.encrypt);
        key[32..48].copy_from_slice(&self.master.mac.k);
        key[48..].copy_from_slice(&self.master.mac.r);
        Aes256CtrPoly1305Aes::new(&key)
    }

    /// Encrypts and authenticates as restic does: nonce, ciphertext, tag.
    pub(crate) fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, String> {
        let mut nonce = Nonce::<Aes256CtrPoly1305Aes>::default();
        getrandom::fill(&mut nonce).map_err(|error| format!("the system gives no random bytes ({error})"))?;
        let sealed = self.cipher().encrypt(&nonce, plain).map_err(|error| error.to_string())?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// What [`Keys::seal`] or restic sealed, as it was before.
    pub(crate) fn decrypt(&self, sealed: &[u8]) -> Result<Vec<u8>, String> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE).ok_or("it is too short")?;
        let nonce = Nonce::<Aes256CtrPoly1305Aes>::from_slice(nonce);
        self.cipher().decrypt(nonce, sealed).map_err(|_| "its seal does not hold".to_owned())
    }

    /// The same of a small file, which restic compresses in repositories of its second format.
    pub(crate) fn unseal(&self, sealed: &[u8]) -> Result<Vec<u8>, String> {
        let plain = self.decrypt(sealed)?;
        match plain.split_first() {
            Some((2, compressed)) => unpack(compressed, LARGEST_SMALL_FILE),
            _ => Ok(plain),
        }
    }

    /// Whether a file that is not data is larger than this once it is unpacked. Of one that cannot be decrypted nothing is known.
    pub(crate) fn is_larger(&self, sealed: &[u8], most: u64) -> bool {
        let Ok(plain) = self.decrypt(sealed) else { return false };
        match plain.split_first() {
            Some((2, compressed)) => {
                let unpacked = zstd::stream::Decoder::with_buffer(compressed)
                    .and_then(|decoder| std::io::copy(&mut decoder.take(most + 1), &mut std::io::sink()));
                unpacked.is_ok_and(|length| length > most)
            }
            _ => plain.len() as u64 > most,
        }
    }
}

/// A few bytes may say that they are any number of others: no more of them are made than these.
pub(crate) fn unpack(compressed: &[u8], most: u64) -> Result<Vec<u8>, String> {
    let mut unpacked = Vec::new();
    zstd::stream::Decoder::with_buffer(compressed)
        .and_then(|decoder| decoder.take(most + 1).read_to_end(&mut unpacked))
        .map_err(|error| format!("it cannot be unpacked: {error}"))?;
    match unpacked.len() as u64 > most {
        true => Err(format!("it is more than {most} bytes once it is unpacked")),
        false => Ok(unpacked),
    }
}

/// What a file with this content is called in a repository.
pub(crate) fn name_of(content: &[u8]) -> String {
    hexadecimal(&Sha256::digest(content))
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_is_read_again_and_a_changed_byte_is_noticed() {
        let keys = Keys { master: MasterKey::new() };
        let mut sealed = keys.seal(b"{\"pid\":1}").expect("a seal");
        assert_eq!(keys.unseal(&sealed).as_deref(), Ok(&b"{\"pid\":1}"[..]));
        sealed[20] ^= 1;
        assert!(keys.unseal(&sealed).is_err());
        assert!(keys.unseal(&sealed[..7]).is_err());
    }

    #[test]
    fn no_more_is_unpacked_than_was_allowed() {
        let packed = zstd::encode_all(std::io::repeat(b'a').take(1 << 20), 1).expect("packed");
        assert!(packed.len() < 1 << 10);
        assert_eq!(unpack(&packed, 1 << 20).map(|unpacked| unpacked.len()), Ok(1 << 20));
        assert!(unpack(&packed, (1 << 20) - 1).is_err());
        assert!(unpack(b"no zstd", 1 << 20).is_err());
        let keys = Keys { master: MasterKey::new() };
        let sealed = keys.seal(&[&[2], &packed[..]].concat()).expect("a seal");
        assert!(keys.is_larger(&sealed, (1 << 20) - 1) && !keys.is_larger(&sealed, 1 << 20));
        let plain = keys.seal(b"{\"pid\":1}").expect("a seal");
        assert!(keys.is_larger(&plain, 8) && !keys.is_larger(&plain, 9));
    }
}
