//! Tokens that are made here: by a program that has the secret, and for tests.

use super::{
    KeyError,
    claims::{SUBJECT, is_subject},
    key::MIN_SECRET,
    mistake,
};
use crate::{BroadcastError, RawJson};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::hmac;
use serde::Serialize;
use serde_json::value::RawValue;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tidings_protocol::Pattern;
use ulid::Ulid;

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// What a token is to say. It is valid for one hour, unless told otherwise, and has an id.
#[derive(Clone, Debug)]
pub struct Grant {
    subject: String,
    channels: Vec<Pattern>,
    publish: Vec<Pattern>,
    info: Option<RawJson>,
    valid: Duration,
    issuer: Option<String>,
    audience: Option<String>,
}

#[derive(Serialize)]
struct Payload<'a> {
    sub: &'a str,
    iat: u64,
    exp: u64,
    jti: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    channels: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    publish: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<&'a RawValue>,
}

impl Grant {
    /// For the user with the id `subject`.
    pub fn new(subject: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            channels: Vec::new(),
            publish: Vec::new(),
            info: None,
            valid: Duration::from_secs(3_600),
            issuer: None,
            audience: None,
        }
    }

    /// With these channels in the claim `channels`.
    pub fn channel(mut self, pattern: Pattern) -> Self {
        self.channels.push(pattern);
        self
    }

    /// With these channels in the claim `publish`.
    pub fn publish(mut self, pattern: Pattern) -> Self {
        self.publish.push(pattern);
        self
    }

    /// With this as the claim `info`.
    pub fn info(mut self, info: impl Into<RawJson>) -> Self {
        self.info = Some(info.into());
        self
    }

    /// For so long from now on, in whole seconds. Default 1 h.
    pub fn valid_for(mut self, valid: Duration) -> Self {
        self.valid = valid;
        self
    }

    /// With the claim `iss`.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// With the claim `aud`.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// The token, signed with HS256.
    ///
    /// # Errors
    /// [`BroadcastError::Config`] for a secret shorter than 32 bytes, and a subject that is empty, longer than 200 bytes,
    /// or has control characters.
    pub fn sign(&self, secret: &[u8]) -> Result<String, BroadcastError> {
        self.sign_at(secret, SystemTime::now())
    }

    fn sign_at(&self, secret: &[u8], now: SystemTime) -> Result<String, BroadcastError> {
        if secret.len() < MIN_SECRET {
            return Err(mistake(KeyError::ShortSecret));
        }
        if !is_subject(&self.subject) {
            return Err(BroadcastError::Config(format!("invalid subject: allowed is {SUBJECT}")));
        }
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let texts = |patterns: &[Pattern]| patterns.iter().map(ToString::to_string).collect();
        let info = self.info.as_ref().map(|info| serde_json::from_str(info.as_str()));
        let payload = Payload {
            sub: &self.subject,
            iat: now,
            exp: now.saturating_add(self.valid.as_secs()),
            jti: Ulid::generate().to_string(),
            iss: self.issuer.as_deref(),
            aud: self.audience.as_deref(),
            channels: texts(&self.channels),
            publish: texts(&self.publish),
            info: info.transpose().expect("it is JSON already"),
        };
        let payload = serde_json::to_string(&payload).expect("texts, numbers and JSON are JSON");
        let encode = |part: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(part);
        let signed = format!("{}.{}", encode(HEADER.as_bytes()), encode(payload.as_bytes()));
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
        Ok(format!("{signed}.{}", encode(signature.as_ref())))
    }
}
