//! Secrets that stand for a person: made of 256 random bits, given out once, and known to the database by their SHA-256
//! only. A plain hash is enough for what cannot be guessed; passwords have [`super::password`].

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// How an API token begins, so that people and secret scanners know one when they see it.
pub const TOKEN_PREFIX: &str = "bkd_";

/// Longer than any secret Bookend gives out: whatever is longer is not hashed to be looked up.
const LONGEST: usize = 100;

/// A new secret: 43 characters of base64url.
///
/// # Panics
/// When the operating system has no random bytes to give; nothing secret can be made then.
pub fn generate() -> String {
    let mut bytes = [0u8; 32];
    #[allow(clippy::expect_used)]
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A new API token: [`TOKEN_PREFIX`] and a secret.
pub fn generate_token() -> String {
    format!("{TOKEN_PREFIX}{}", generate())
}

/// What the database knows a secret by; `None` for what cannot be one of ours.
pub fn hash(secret: &str) -> Option<String> {
    let plausible = secret.len() <= LONGEST
        && !secret.is_empty()
        && secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    plausible.then(|| digest(secret.as_bytes()))
}

/// SHA-256 in lower-case hex.
pub fn digest(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_and_never_the_same() {
        assert_eq!(generate().len(), 43);
        assert_ne!(generate(), generate());
        assert!(generate_token().starts_with("bkd_"));
        assert!(hash(&generate_token()).is_some());
    }

    #[test]
    fn what_cannot_be_a_secret_is_not_even_looked_up() {
        for odd in ["", "a b", "a\0", "é", "a;b", &"a".repeat(101)] {
            assert_eq!(hash(odd), None, "{odd:?}");
        }
    }
}
