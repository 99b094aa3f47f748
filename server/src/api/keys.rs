//! The keys of backends.

use crate::BroadcastError;
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr, sync::Arc};
use subtle::ConstantTimeEq;

/// A shorter secret could be guessed.
const MIN_SECRET: usize = 16;

const MAX_SECRET: usize = 256;

const MAX_NAME: usize = 64;

/// A key for the HTTP API: a name for the log, and a secret that a backend sends as `Authorization: Bearer SECRET`. Only a
/// digest of the secret is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    name: Arc<str>,
    digest: [u8; 32],
}

impl ApiKey {
    /// A key.
    ///
    /// # Errors
    /// [`BroadcastError::Config`] when `name` is not 1 to 64 of letters, digits, `_`, `-` and `.`, or `secret` not 16 to 256
    /// printable ASCII characters without spaces. The secret is not repeated.
    pub fn new(name: &str, secret: &str) -> Result<Self, BroadcastError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if !(1..=MAX_NAME).contains(&name.len()) || !name.chars().all(plain) {
            return Err(BroadcastError::Config(format!(
                "invalid name of an API key: allowed are 1 to {MAX_NAME} letters, digits, _ - and . (wanted is \
                 NAME=SECRET)"
            )));
        }
        if !(MIN_SECRET..=MAX_SECRET).contains(&secret.len()) || !secret.chars().all(|c| c.is_ascii_graphic())
        {
            return Err(BroadcastError::Config(format!(
                "invalid secret of the API key {name:?}: allowed are {MIN_SECRET} to {MAX_SECRET} printable ASCII \
                 characters without spaces, such as those of openssl rand -hex 32"
            )));
        }
        Ok(Self { name: name.into(), digest: digest(secret.as_bytes()) })
    }
}

/// `NAME=SECRET`.
impl FromStr for ApiKey {
    type Err = BroadcastError;

    fn from_str(text: &str) -> Result<Self, BroadcastError> {
        let wanted = "an API key without a =: wanted is NAME=SECRET";
        let (name, secret) = text.split_once('=').ok_or_else(|| BroadcastError::Config(wanted.to_owned()))?;
        Self::new(name, secret)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The keys with which the HTTP API is open: at least one. A clone is the same keys.
#[derive(Clone, Debug)]
pub struct ApiKeys {
    keys: Arc<[ApiKey]>,
}

impl ApiKeys {
    /// These keys. To change a secret without a break, let in the old one and the new one for a while, under two names.
    ///
    /// # Errors
    /// [`BroadcastError::Config`] when there is none, or two have the same name.
    pub fn new(keys: impl IntoIterator<Item = ApiKey>) -> Result<Self, BroadcastError> {
        let keys: Arc<[ApiKey]> = keys.into_iter().collect();
        if keys.is_empty() {
            return Err(BroadcastError::Config("no API key: wanted is at least one".to_owned()));
        }
        for (at, key) in keys.iter().enumerate() {
            if keys[..at].iter().any(|other| other.name == key.name) {
                return Err(BroadcastError::Config(format!(
                    "two API keys are called {:?}: wanted is another name for each",
                    key.name
                )));
            }
        }
        Ok(Self { keys })
    }

    /// The name of the key with this secret. Takes as long for any secret.
    pub(crate) fn name_of(&self, secret: &[u8]) -> Option<&str> {
        let presented = digest(secret);
        let mut found = None;
        for key in &*self.keys {
            if key.digest.ct_eq(&presented).into() {
                found = Some(&*key.name);
            }
        }
        found
    }
}

fn digest(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef";

    #[test]
    fn a_key_is_known_by_its_whole_secret() {
        let keys =
            ["shop=0123456789abcdef", "till=fedcba9876543210=="].map(|key| key.parse().expect("a key"));
        let keys = ApiKeys::new(keys).expect("keys");
        assert_eq!(keys.name_of(b"0123456789abcdef"), Some("shop"));
        assert_eq!(keys.name_of(b"fedcba9876543210=="), Some("till"));
        for wrong in
            ["", "0123456789abcde", "0123456789abcdeF", "0123456789abcdef0", "fedcba9876543210", "shop"]
        {
            assert_eq!(keys.name_of(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn what_a_key_may_be() {
        let long = "x".repeat(256);
        for (name, secret) in [("a", SECRET), ("A_b-c.9", &long)] {
            assert!(ApiKey::new(name, secret).is_ok(), "{name}");
        }
        for (text, part) in [
            ("", "NAME=SECRET"),
            (SECRET, "NAME=SECRET"),
            ("=0123456789abcdef", "invalid name"),
            ("a b=0123456789abcdef", "invalid name"),
            (&format!("{}=0123456789abcdef", "n".repeat(65)), "1 to 64"),
            ("shop=0123456789abcde", "16 to 256"),
            ("shop=0123456789 abcdef", "\"shop\""),
            (&format!("shop=x{long}"), "16 to 256"),
            ("shop=0123456789abcdé", "printable ASCII"),
        ] {
            let error = text.parse::<ApiKey>().expect_err(text).to_string();
            assert!(error.contains(part) && !error.contains("0123"), "{text}: {error}");
        }
    }

    #[test]
    fn what_keys_may_be() {
        assert!(ApiKeys::new([]).expect_err("none").to_string().contains("at least one"));
        let twice = [("a", SECRET), ("b", SECRET), ("a", "another 16 bytes".replace(' ', "_").as_str())]
            .map(|(name, secret)| ApiKey::new(name, secret).expect("a key"));
        assert!(ApiKeys::new(twice).expect_err("two").to_string().contains("\"a\""));
    }

    #[test]
    fn a_secret_is_not_shown() {
        let keys = ApiKeys::new(["shop=0123456789abcdef".parse().expect("a key")]).expect("keys");
        let shown = format!("{keys:?}");
        assert!(shown.contains("shop") && !shown.contains("0123"), "{shown}");
        assert!(!shown.contains(&format!("{:?}", digest(SECRET.as_bytes()))));
    }
}
