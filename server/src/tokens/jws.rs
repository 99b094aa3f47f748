//! A token as text: header, payload and signature, nothing of it believed yet (RFC 7515).

use super::{TokenError, key::Algorithm};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The longest token, in bytes: more than a request's head has room for in most servers.
const MAX_TOKEN: usize = 16 * 1024;

/// The parts of a token.
pub(super) struct Jws<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    /// What is signed.
    pub(super) signed: &'a [u8],
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header<'a> {
    alg: String,
    kid: Option<String>,
    #[serde(borrow)]
    crit: Option<&'a RawValue>,
    #[serde(borrow)]
    b64: Option<&'a RawValue>,
}

impl<'a> Jws<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::NoToken)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::NoToken)?;
        let part = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::NoToken);
        let (header, payload, signature) = (part(header)?, part(payload)?, part(signature)?);
        let header: Header<'_> = serde_json::from_slice(&header).map_err(|_| TokenError::NoToken)?;
        if header.crit.is_some() || header.b64.is_some() {
            return Err(TokenError::Extension);
        }
        let algorithm = Algorithm::from_name(&header.alg).ok_or(TokenError::UnknownAlgorithm)?;
        Ok(Self { algorithm, key_id: header.kid, signed: signed.as_bytes(), payload, signature })
    }
}
