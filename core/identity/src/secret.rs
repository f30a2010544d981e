//! Secrets and their hashes.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use parpen_base::Entropy;
use parpen_model::Condition;
use sha2::{Digest, Sha256};

/// A random secret of 192 bits, in letters that need no quoting anywhere.
pub fn random_secret(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 24];
    entropy.fill(&mut bytes);
    // Base64 with `-` and `_` would sometimes begin with a dash and look like an option; hex never does.
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The hash under which a token is kept: tokens are random and long, so a fast hash is enough.
pub(crate) fn token_hash(text: &str) -> String {
    format!("{:x}", Sha256::digest(text.as_bytes()))
}

/// A random key of 64 bits for people to pass on by hand; it fits one thing for a short time.
pub fn short_secret(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The hash under which a short secret is kept, with a salt of its own.
pub fn secret_hash(text: &str) -> Result<String, Condition> {
    password_hash(text)
}

/// Whether `text` is the one whose hash was kept.
pub fn secret_fits(text: &str, hash: &str) -> bool {
    password_fits(text, hash)
}

/// The hash under which a password is kept; deliberately slow (Argon2id).
pub(crate) fn password_hash(password: &str) -> Result<String, Condition> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.map(|h| h.to_string()).map_err(|e| Condition::internal(format!("hashing a password failed: {e}")))
}

/// Whether `password` is the one whose hash was kept.
pub(crate) fn password_fits(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|h| Argon2::default().verify_password(password.as_bytes(), &h).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_fits_its_own_hash_only() {
        let h = password_hash("one").unwrap();
        assert!(password_fits("one", &h) && !password_fits("two", &h) && !password_fits("one", "junk"));
        assert!(!h.contains("one"));
    }
}
