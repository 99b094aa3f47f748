//! Keys that tokens are checked with. A key has one algorithm: what a token says of its own can only agree.

use super::{TokenError, jws::Jws};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    hmac,
    signature::{
        ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
        UnparsedPublicKey, VerificationAlgorithm,
    },
};
use rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};
use serde::Deserialize;
use serde_json::Value;
use spki::{
    ObjectIdentifier, SubjectPublicKeyInfoRef,
    der::{Decode, Reader, SliceReader, asn1::UintRef},
};
use std::fmt;

/// RFC 7518, 3.2: a secret is no shorter than the hash.
pub(super) const MIN_SECRET: usize = 32;

/// The shortest modulus of an RSA key, in bytes: RFC 7518, 3.3.
const MIN_MODULUS: usize = 256;

/// More keys than any set has that somebody published on purpose.
const MAX_KEYS: usize = 32;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ED25519_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// How a token may be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Hs256,
    Rs256,
    Es256,
    EdDsa,
}

impl Algorithm {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Hs256, Self::Rs256, Self::Es256, Self::EdDsa].into_iter().find(|a| a.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// Something that signatures are checked with.
enum Material {
    Secret(hmac::Key),
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    /// The point, uncompressed.
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

struct Key {
    id: Option<String>,
    material: Material,
}

/// Why something is no key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    #[error("the secret is too short: allowed are 32 bytes or more, such as those of `openssl rand -hex 32`")]
    ShortSecret,
    #[error("no public key is in it: wanted is PEM, -----BEGIN PUBLIC KEY-----, of RSA, P-256 or Ed25519")]
    NoPublicKey,
    #[error("a public key is of another kind: allowed are RSA of 2048 to 8192 bits, P-256 and Ed25519")]
    OtherKind,
    #[error("it has more than 32 keys")]
    TooMany,
    #[error("it is no set of keys: wanted is {{\"keys\": […]}}")]
    NoSet,
    #[error("it has no key for RS256, ES256 or EdDSA")]
    NoneUsable,
}

impl Key {
    fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Secret(_) => Algorithm::Hs256,
            Material::Rsa(_) => Algorithm::Rs256,
            Material::P256(_) => Algorithm::Es256,
            Material::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// Whether the key may be the one with the id that a token names.
    fn may_be(&self, id: Option<&str>) -> bool {
        self.id.as_deref().zip(id).is_none_or(|(own, wanted)| own == wanted)
    }

    fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let signed = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
        };
        match &self.material {
            Material::Secret(key) => hmac::verify(key, message, signature).is_ok(),
            Material::Rsa(key) => key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok(),
            Material::P256(point) => signed(&ECDSA_P256_SHA256_FIXED, point),
            Material::Ed25519(key) => signed(&ED25519, key),
        }
    }

    /// A public key in DER.
    fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let info = SubjectPublicKeyInfoRef::try_from(der).map_err(|_| KeyError::NoPublicKey)?;
        let bytes = info.subject_public_key.as_bytes().ok_or(KeyError::NoPublicKey)?;
        let material = match info.algorithm.oid {
            RSA => {
                let numbers = SliceReader::new(bytes).and_then(|mut reader| {
                    reader.sequence(|numbers| Ok((UintRef::decode(numbers)?, UintRef::decode(numbers)?)))
                });
                let (n, e) = numbers.map_err(|_| KeyError::NoPublicKey)?;
                rsa(n.as_bytes(), e.as_bytes())?
            }
            EC if info.algorithm.parameters_oid() == Ok(P256) => p256(bytes)?,
            ED25519_ID => ed25519(bytes)?,
            _ => return Err(KeyError::OtherKind),
        };
        Ok(Self { id: None, material })
    }
}

fn rsa(n: &[u8], e: &[u8]) -> Result<Material, KeyError> {
    let stripped = |number: &[u8]| number.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
    let (n, e) = (stripped(n), stripped(e));
    if !(MIN_MODULUS..=4 * MIN_MODULUS).contains(&n.len()) || n[0] < 0x80 && n.len() == MIN_MODULUS {
        return Err(KeyError::OtherKind);
    }
    Ok(Material::Rsa(RsaPublicKeyComponents { n, e }))
}

fn p256(point: &[u8]) -> Result<Material, KeyError> {
    let uncompressed = point.len() == 65 && point[0] == 4;
    if uncompressed { Ok(Material::P256(point.to_vec())) } else { Err(KeyError::OtherKind) }
}

fn ed25519(key: &[u8]) -> Result<Material, KeyError> {
    if key.len() == 32 { Ok(Material::Ed25519(key.to_vec())) } else { Err(KeyError::OtherKind) }
}

/// A key as RFC 7517 writes it.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Jwk {
    /// `None` for a key that is for something else. A secret that somebody publishes is none.
    fn key(self) -> Option<Key> {
        let number = |text: Option<String>| BASE64_URL_SAFE_NO_PAD.decode(text?).ok();
        let material = match (&*self.kty, self.crv.as_deref()) {
            ("RSA", _) => rsa(&number(self.n)?, &number(self.e)?),
            ("EC", Some("P-256")) => p256(&[&[4][..], &number(self.x)?, &number(self.y)?].concat()),
            ("OKP", Some("Ed25519")) => ed25519(&number(self.x)?),
            _ => return None,
        };
        let key = Key { id: self.kid, material: material.ok()? };
        let own = key.algorithm();
        // RFC 9864 calls it Ed25519.
        let named = |name: &str| name == own.name() || (own == Algorithm::EdDsa && name == "Ed25519");
        let fits = self.alg.as_deref().is_none_or(named);
        (fits && self.r#use.as_deref().is_none_or(|purpose| purpose == "sig")).then_some(key)
    }
}

/// The keys that a token may be signed with.
pub(super) struct Keys(Vec<Key>);

impl Keys {
    pub(super) fn secret(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < MIN_SECRET {
            return Err(KeyError::ShortSecret);
        }
        let material = Material::Secret(hmac::Key::new(hmac::HMAC_SHA256, secret));
        Ok(Self(vec![Key { id: None, material }]))
    }

    /// The public keys in a PEM file: several while one takes the place of another.
    pub(super) fn pem(pem: &[u8]) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        for der in SubjectPublicKeyInfoDer::pem_slice_iter(pem) {
            keys.push(Key::from_spki(der.map_err(|_| KeyError::NoPublicKey)?.as_ref())?);
        }
        match keys.len() {
            0 => Err(KeyError::NoPublicKey),
            1..=MAX_KEYS => Ok(Self(keys)),
            _ => Err(KeyError::TooMany),
        }
    }

    /// A set of keys as it is published (RFC 7517). Keys that are for something else do not count.
    pub(super) fn set(json: &[u8]) -> Result<Self, KeyError> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let Set { keys } = serde_json::from_slice(json).map_err(|_| KeyError::NoSet)?;
        let keys = keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok()?.key());
        let keys: Vec<Key> = keys.collect();
        match keys.len() {
            0 => Err(KeyError::NoneUsable),
            1..=MAX_KEYS => Ok(Self(keys)),
            _ => Err(KeyError::TooMany),
        }
    }

    /// No keys yet.
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    /// Whether one of them has signed the token.
    pub(super) fn check(&self, token: &Jws<'_>) -> Result<(), TokenError> {
        let mut named = self.0.iter().filter(|key| key.may_be(token.key_id.as_deref())).peekable();
        if named.peek().is_none() {
            return Err(TokenError::UnknownKey);
        }
        let mut fitting = named.filter(|key| key.algorithm() == token.algorithm).peekable();
        if fitting.peek().is_none() {
            return Err(TokenError::OtherAlgorithm);
        }
        let signed = fitting.any(|key| key.has_signed(token.signed, &token.signature));
        if signed { Ok(()) } else { Err(TokenError::Signature) }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(Key::algorithm)).finish()
    }
}
