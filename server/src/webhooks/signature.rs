//! How the application tells the gateway's requests from those of others.

use crate::BroadcastError;
use ring::hmac;
use std::{
    fmt::Write,
    time::{SystemTime, UNIX_EPOCH},
};

/// Seconds since 1970, when the request was signed.
const TIMESTAMP: &str = "tidings-timestamp";

/// HMAC-SHA256 of the timestamp, a dot and the body, in hexadecimal digits.
const SIGNATURE: &str = "tidings-signature";

/// The shortest secret, in bytes.
const MIN_SECRET: usize = 32;

/// Signs requests.
pub(super) struct Signer(hmac::Key);

impl Signer {
    pub(super) fn new(secret: &[u8]) -> Result<Self, BroadcastError> {
        if secret.len() < MIN_SECRET {
            let why = "the webhooks' secret is too short: allowed are 32 bytes or more, such as those of `openssl rand -hex 32`";
            return Err(BroadcastError::Config(why.to_owned()));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// The headers of a request that is sent `now`.
    pub(super) fn headers(&self, body: &[u8], now: SystemTime) -> [(&'static str, String); 2] {
        let timestamp = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().to_string();
        let mut context = hmac::Context::with_key(&self.0);
        for part in [timestamp.as_bytes(), b".", body] {
            context.update(part);
        }
        let mut signature = String::new();
        for byte in context.sign().as_ref() {
            write!(signature, "{byte:02x}").expect("text takes any text");
        }
        [(TIMESTAMP, timestamp), (SIGNATURE, signature)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Computed by `openssl dgst -sha256 -hmac`.
    #[test]
    fn another_program_computes_the_same() {
        let signer = Signer::new(b"0123456789abcdef0123456789abcdef").expect("long enough");
        let now = UNIX_EPOCH + Duration::from_millis(1_790_000_000_999);
        let [timestamp, signature] = signer.headers(br#"{"channel":"a"}"#, now);
        assert_eq!(timestamp, ("tidings-timestamp", "1790000000".to_owned()));
        let expected = "740c9bb498b0beaa1219f700dc959a240b3e1e195c241d0da9194eff43e7eec6";
        assert_eq!(signature, ("tidings-signature", expected.to_owned()));
    }

    #[test]
    fn short_secrets_are_refused() {
        assert!(Signer::new(&[b'x'; 31]).is_err_and(|error| error.to_string().contains("32 bytes")));
    }
}
