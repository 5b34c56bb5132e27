//! Passwords: argon2id as OWASP's Password Storage Cheat Sheet asks (19 MiB, two passes, one lane), off the async threads
//! and never more at once than there are processors, so that a flood of sign-ins costs time, not all the memory.
//!
//! Guaranteed: whether a person exists cannot be told from how long the answer takes; without a stored hash the same work
//! is done against one nobody knows the password of.

use std::sync::Arc;

use app::api::FieldError;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use super::secret;

/// In characters.
pub const SHORTEST: usize = 10;
const LONGEST: usize = 1000;

#[derive(Clone)]
pub struct Passwords {
    permits: Arc<Semaphore>,
    /// The hash of a secret that was thrown away.
    nobody: Arc<str>,
}

/// The password could not be hashed or checked: memory or threads are short.
#[derive(Debug, thiserror::Error)]
#[error("the password could not be worked on: {0}")]
pub struct PasswordError(String);

impl Passwords {
    /// # Errors
    /// When there is no memory to hash with.
    pub fn new() -> Result<Passwords, PasswordError> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let nobody = hash(&secret::generate())?;
        Ok(Passwords { permits: Arc::new(Semaphore::new(processors)), nobody: nobody.into() })
    }

    /// What to store of this password: a PHC string.
    ///
    /// # Errors
    /// When there is no memory to hash with.
    pub async fn hash(&self, password: &str) -> Result<String, PasswordError> {
        let password = password.to_owned();
        self.run(move || hash(&password)).await?
    }

    /// Whether this is the password `stored` was made from. Takes as long when there is no `stored`, and is `false` then.
    ///
    /// # Errors
    /// When there is no memory to hash with.
    pub async fn matches(&self, password: &str, stored: Option<&str>) -> Result<bool, PasswordError> {
        let known = stored.is_some();
        let stored = stored.unwrap_or(&self.nobody).to_owned();
        // No longer password was ever stored; and no sender decides how much there is to hash.
        let password = if password.len() <= LONGEST * 4 { password.to_owned() } else { String::new() };
        let same = self.run(move || verify(&password, &stored)).await?;
        Ok(same && known)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, PasswordError> {
        let _permit = self.permits.acquire().await.map_err(|error| PasswordError(error.to_string()))?;
        tokio::task::spawn_blocking(work).await.map_err(|error| PasswordError(error.to_string()))
    }
}

/// What is wrong with a new password, if anything.
///
/// # Errors
/// The field `password` and what would be right.
pub fn acceptable(password: &str) -> Result<(), FieldError> {
    let length = password.chars().count();
    let message = if length < SHORTEST {
        format!("has {length} characters; take at least {SHORTEST}, a few words for instance")
    } else if length > LONGEST {
        format!("is longer than {LONGEST} characters")
    } else {
        return Ok(());
    };
    Err(FieldError { field: "password".into(), message })
}

fn argon() -> Result<Argon2<'static>, PasswordError> {
    let parameters = Params::new(19 * 1024, 2, 1, None).map_err(|error| PasswordError(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters))
}

fn hash(password: &str) -> Result<String, PasswordError> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| PasswordError(error.to_string()))?;
    let salt = SaltString::encode_b64(&bytes).map_err(|error| PasswordError(error.to_string()))?;
    let hash = argon()?.hash_password(password.as_bytes(), &salt).map_err(|error| PasswordError(error.to_string()))?;
    Ok(hash.to_string())
}

fn verify(password: &str, stored: &str) -> bool {
    let (Ok(argon), Ok(stored)) = (argon(), PasswordHash::new(stored)) else { return false };
    argon.verify_password(password.as_bytes(), &stored).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_matches_and_the_hash_is_as_owasp_asks() {
        let passwords = Passwords::new().unwrap();
        let stored = passwords.hash("correct horse battery").await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(passwords.matches("correct horse battery", Some(&stored)).await.unwrap());
        assert!(!passwords.matches("correct horse batterz", Some(&stored)).await.unwrap());
        assert!(!passwords.matches("correct horse battery\0", Some(&stored)).await.unwrap());
        assert!(!passwords.matches("correct horse battery", None).await.unwrap());
    }

    #[test]
    fn a_short_or_endless_password_is_refused_with_what_would_be_right() {
        assert!(acceptable("correct horse").is_ok());
        assert_eq!(acceptable("hunter2").unwrap_err().field, "password");
        assert!(acceptable(&"é".repeat(1000)).is_ok());
        assert!(acceptable(&"x".repeat(1001)).is_err());
    }
}
