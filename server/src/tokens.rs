//! JSON Web Tokens: who signed them, who bears them, and what that lets the bearer do.

mod bearer;
mod claims;
mod jwks;
mod jws;
mod key;
mod mint;

pub use claims::Claims;
pub use mint::Grant;

use crate::{BroadcastError, Builder, Subject, gateway::IsOfNobody};
use claims::Demands;
use jwks::{Jwks, Pace};
use jws::Jws;
use key::{KeyError, Keys};
use std::{fmt, sync::Arc, time::SystemTime};
use tracing::info;

/// Why a token is refused. Says nothing of what is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It is longer than 16 KiB.
    #[error("the token is longer than 16 KiB")]
    TooLong,
    /// It is no signed JSON Web Token in the compact form.
    #[error("it is no JSON Web Token: wanted is header.payload.signature, JSON in base64url")]
    NoToken,
    /// Its header asks for something that has to be understood, and is not.
    #[error("the token's header has crit or b64, of which no extension is known")]
    Extension,
    /// Its algorithm is none that is allowed; `none` is not either.
    #[error("the token's alg is not allowed: allowed are HS256, RS256, ES256 and EdDSA, as the key says")]
    UnknownAlgorithm,
    /// Its algorithm is not the one of its key.
    #[error("the token's alg is not the one of the key")]
    OtherAlgorithm,
    /// No key has the id that it names, or no keys have been fetched yet.
    #[error("no key has the token's kid")]
    UnknownKey,
    /// It was not signed by the key, or changed since.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim that is wanted is not there.
    #[error("the token has no claim {0:?}")]
    Missing(&'static str),
    /// A claim is not what it should be.
    #[error("the token's claim {0:?} is invalid: wanted is {1}")]
    Claim(&'static str, &'static str),
    /// It was valid until a while ago.
    #[error("the token has expired")]
    Expired,
    /// It becomes valid later.
    #[error("the token is not valid yet: its nbf lies ahead")]
    NotYet,
    /// It comes from somebody else than is wanted.
    #[error("the token's iss is not one that is wanted")]
    Issuer,
    /// It is for somebody else.
    #[error("the token's aud is not this gateway's; one without aud is wanted when the gateway has none")]
    Audience,
}

/// Checks the tokens of clients: JSON Web Tokens, signed with HS256, RS256, ES256 or EdDSA.
///
/// The algorithm is the key's; a token that names another one is refused. So is one without the claims `sub` and `exp`,
/// one that is for an audience that is not named by [`audience`](Self::audience), and one that is longer than 16 KiB.
/// The clock of whoever signs may be off by 15 s, so a subject's expiry is so much later than `exp`.
///
/// ```
/// use tidings_server::{Gateway, Grant, MemoryBroadcaster, Tokens};
///
/// # fn build() -> Result<(), tidings_server::BroadcastError> {
/// let secret = b"0123456789abcdef0123456789abcdef";
/// let gateway = Gateway::builder(MemoryBroadcaster::default()).tokens(Tokens::secret(secret)?).build()?;
/// let token = Grant::new("u1").channel("private-orders.*".parse().unwrap()).sign(secret)?;
/// # Ok(()) }
/// # build().unwrap();
/// ```
pub struct Tokens {
    keys: Source,
    demands: Demands,
    cookie: Option<String>,
}

/// Where the keys come from.
#[derive(Debug)]
enum Source {
    Given(Keys),
    Published(Arc<Jwks>),
}

impl Tokens {
    fn new(keys: Source) -> Self {
        Self { keys, demands: Demands::default(), cookie: None }
    }

    /// Tokens that are signed with HS256 and `secret`, which is 32 bytes or longer.
    ///
    /// # Errors
    /// [`BroadcastError::Config`] for a shorter one.
    pub fn secret(secret: &[u8]) -> Result<Self, BroadcastError> {
        Keys::secret(secret).map(|keys| Self::new(Source::Given(keys))).map_err(mistake)
    }

    /// Tokens that are signed with the other half of one of the public keys in `pem`: RSA (RS256), P-256 (ES256) or
    /// Ed25519 (EdDSA), each in a block `-----BEGIN PUBLIC KEY-----`.
    ///
    /// # Errors
    /// [`BroadcastError::Config`] when there is none, one is of another kind, or there are more than 32.
    pub fn public_keys(pem: &[u8]) -> Result<Self, BroadcastError> {
        Keys::pem(pem).map(|keys| Self::new(Source::Given(keys))).map_err(mistake)
    }

    /// Tokens that are signed with the other half of a key in the set (RFC 7517) at `url`.
    ///
    /// The set is fetched by [`prepare`](Self::prepare) or with the first token, then every five minutes, and at once when a
    /// token names a key that is not in it; never more often than every ten seconds. While it cannot be fetched, which is
    /// logged, the keys that are known stay; without any, every token is refused.
    ///
    /// # Errors
    /// [`BroadcastError::Config`] for what is no URL over HTTP or HTTPS.
    pub fn jwks(url: &str) -> Result<Self, BroadcastError> {
        Ok(Self::new(Source::Published(Jwks::new(url, Pace::default())?)))
    }

    /// Fetches keys that are published, so that the first client need not wait for them, and keeps on doing so on the
    /// runtime that it is called in.
    pub async fn prepare(&self) {
        if let Source::Published(jwks) = &self.keys {
            jwks.prepare().await;
        }
    }

    /// Wants `issuer` as the claim `iss`; of several, one of them. Default: anybody may be.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.demands.issuers.push(issuer.into());
        self
    }

    /// Wants `audience` in the claim `aud`; of several, one of them. Default: a token without `aud`.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.demands.audiences.push(audience.into());
        self
    }

    /// Takes tokens without the claim `exp`, which are valid for ever.
    pub fn without_expiry(mut self) -> Self {
        self.demands.for_ever = true;
        self
    }

    /// Takes a token from the cookie `name` too. A browser sends it whichever page connects, so let only pages connect
    /// that you trust: see [`Config::allowed_origins`](crate::Config).
    pub fn cookie(mut self, name: impl Into<String>) -> Self {
        self.cookie = Some(name.into());
        self
    }

    /// Who bears `token`. Its [`user`](Subject::user) is [`Claims`].
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn verify(&self, token: &str) -> Result<Subject, TokenError> {
        let token = Jws::parse(token)?;
        match &self.keys {
            Source::Given(keys) => keys.check(&token)?,
            Source::Published(jwks) => jwks.check(&token).await?,
        }
        self.demands.check(&token.payload, SystemTime::now())
    }

    async fn resolve(&self, token: &str) -> Result<Subject, TokenError> {
        let subject = self.verify(token).await;
        if let Err(error) = &subject {
            info!(%error, "a token was refused");
        }
        subject
    }
}

fn mistake(error: KeyError) -> BroadcastError {
    BroadcastError::Config(error.to_string())
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("keys", &self.keys)
            .field("demands", &self.demands)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// Tells who is behind a connection, and behind the token of an `auth` frame, by JSON Web Tokens: in place of
    /// [`resolve_subject`](Self::resolve_subject) and [`resolve_token`](Self::resolve_token).
    ///
    /// The token of a connection is the one of its header `Authorization: Bearer …`, else `token` of the query, else the
    /// cookie that [`Tokens::cookie`] names. Nobody is anybody without one. Why a token is refused is logged.
    pub fn tokens(self, tokens: Tokens) -> Self {
        let tokens = Arc::new(tokens);
        let of_frames = tokens.clone();
        let is_of_nobody: IsOfNobody = match tokens.cookie {
            Some(_) => |handshake| !handshake.authorization && !handshake.cookie,
            None => |handshake| !handshake.authorization,
        };
        let of_requests = move |request| {
            let tokens = tokens.clone();
            async move {
                match bearer::token(&request, tokens.cookie.as_deref()) {
                    Some(token) => tokens.resolve(&token).await.map(Some),
                    None => Ok(None),
                }
            }
        };
        self.resolve_subject_unless(is_of_nobody, of_requests).resolve_token(move |token| {
            let tokens = of_frames.clone();
            async move { tokens.resolve(&token).await.map(Some) }
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    use ring::hmac;
    use serde_json::{Value, json};

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    /// Keys, and tokens of `u1` that Node.js has signed with them.
    pub(crate) fn known() -> Value {
        serde_json::from_str(include_str!("../tests/keys/known.json")).expect("JSON")
    }

    fn text(value: &Value) -> &str {
        value.as_str().expect("text")
    }

    fn pem(key: &Value) -> Tokens {
        Tokens::public_keys(text(&key["pem"]).as_bytes()).expect("a public key")
    }

    fn set(keys: &[&Value]) -> Tokens {
        let keys: Vec<_> = keys.iter().map(|key| &key["jwk"]).collect();
        let keys = Keys::set(json!({ "keys": keys }).to_string().as_bytes()).expect("keys");
        Tokens::new(Source::Given(keys))
    }

    async fn refusal(tokens: &Tokens, token: &str) -> Option<TokenError> {
        tokens.verify(token).await.err()
    }

    /// A token whose header and claims are these, signed by HMAC with `secret`.
    fn forge(header: &Value, claims: &Value, secret: &[u8]) -> String {
        let encode = |part: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(part);
        let signed =
            format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
        format!("{signed}.{}", encode(signature.as_ref()))
    }

    fn claims() -> Value {
        json!({"sub": "u1", "exp": 4_102_444_800_u64})
    }

    #[actix_web::test]
    async fn tokens_of_another_program_by_each_kind_of_key() {
        let known = known();
        let all = ["rsa", "p256", "ed25519"].map(|kind| &known[kind]);
        for key in all {
            for tokens in [pem(key), set(&[key]), set(&all)] {
                for token in ["token", "without_kid"] {
                    let subject = tokens.verify(text(&key[token])).await.expect("a good token");
                    assert_eq!(subject.id(), "u1");
                    assert!(subject.user::<Claims>().expect("claims").covers("private-a.1"));
                }
            }
        }
        let together: String = all.iter().map(|key| text(&key["pem"])).collect();
        let together = Tokens::public_keys(together.as_bytes()).expect("public keys");
        for key in all {
            assert!(together.verify(text(&key["token"])).await.is_ok());
        }
    }

    #[actix_web::test]
    async fn tokens_of_others_are_refused() {
        let known = known();
        let (right, other) = (&known["ed25519"], &known["another"]);
        assert_eq!(refusal(&pem(right), text(&other["token"])).await, Some(TokenError::Signature));
        assert_eq!(refusal(&set(&[right]), text(&other["token"])).await, Some(TokenError::UnknownKey));
        assert_eq!(refusal(&set(&[right]), text(&other["without_kid"])).await, Some(TokenError::Signature));
        let secret = Tokens::secret(SECRET).expect("long enough");
        let token = Grant::new("u1").sign(b"another secret that is long enough").expect("long enough");
        assert_eq!(refusal(&secret, &token).await, Some(TokenError::Signature));
    }

    #[actix_web::test]
    async fn nothing_of_a_token_can_be_changed() {
        let tokens = Tokens::secret(SECRET).expect("long enough");
        let token = Grant::new("u1").sign(SECRET).expect("long enough");
        assert_eq!(refusal(&tokens, &token).await, None);
        for at in 0..token.len() {
            for other in [b'A', b'B', b'.'] {
                let mut changed = token.clone().into_bytes();
                changed[at] = other;
                let changed = String::from_utf8(changed).expect("ASCII");
                assert_eq!(refusal(&tokens, &changed).await.is_none(), changed == token, "{at}");
            }
        }
    }

    /// RFC 8725, 2.1: a header is no reason to believe a token.
    #[actix_web::test]
    async fn the_algorithm_is_the_keys() {
        let known = known();
        let unsigned = |alg: &str| {
            let signed = forge(&json!({"alg": alg}), &claims(), SECRET);
            format!("{}.", signed.rsplit_once('.').expect("a signature").0)
        };
        for tokens in
            [Tokens::secret(SECRET).expect("long enough"), pem(&known["rsa"]), set(&[&known["rsa"]])]
        {
            for alg in ["none", "None", "NONE", "", "hs256"] {
                for token in [unsigned(alg), forge(&json!({"alg": alg}), &claims(), SECRET)] {
                    assert_eq!(refusal(&tokens, &token).await, Some(TokenError::UnknownAlgorithm), "{alg}");
                }
            }
        }
        assert_eq!(
            refusal(&Tokens::secret(SECRET).expect("long enough"), &unsigned("HS256")).await,
            Some(TokenError::Signature)
        );
        for kind in ["rsa", "p256", "ed25519"] {
            let key = &known[kind];
            let (public, jwk) = (text(&key["pem"]), key["jwk"].to_string());
            for secret in [public, public.trim_end(), &jwk, ""] {
                let forged = forge(&json!({"alg": "HS256"}), &claims(), secret.as_bytes());
                for tokens in [pem(key), set(&[key])] {
                    assert_eq!(refusal(&tokens, &forged).await, Some(TokenError::OtherAlgorithm), "{kind}");
                }
            }
        }
        let right = set(&["rsa", "p256"].map(|kind| &known[kind]));
        for (alg, expected) in [
            ("RS512", TokenError::UnknownAlgorithm),
            ("PS256", TokenError::UnknownAlgorithm),
            ("ES384", TokenError::UnknownAlgorithm),
            ("ES256 in DER", TokenError::Signature),
        ] {
            assert_eq!(refusal(&right, text(&known["others"][alg])).await, Some(expected), "{alg}");
        }
    }

    #[actix_web::test]
    async fn what_is_no_token() {
        let tokens = Tokens::secret(SECRET).expect("long enough");
        for bad in ["", ".", "..", "a.b", "a.b.c", "....", "é.é.é", &"x".repeat(100)] {
            assert_eq!(refusal(&tokens, bad).await, Some(TokenError::NoToken), "{bad}");
        }
        let sign = |header: Value| forge(&header, &claims(), SECRET);
        assert_eq!(refusal(&tokens, &sign(json!({"alg": "HS256", "typ": "JWT"}))).await, None);
        for (header, expected) in [
            (json!({}), TokenError::NoToken),
            (json!([]), TokenError::NoToken),
            (json!({"alg": ["HS256"]}), TokenError::NoToken),
            (json!({"alg": "HS256", "kid": 1}), TokenError::NoToken),
            (json!({"alg": "HS256", "crit": ["exp"]}), TokenError::Extension),
            (json!({"alg": "HS256", "b64": false}), TokenError::Extension),
        ] {
            assert_eq!(refusal(&tokens, &sign(header.clone())).await, Some(expected), "{header}");
        }
        let mut large = claims();
        large["info"] = json!("x".repeat(16 * 1024));
        assert_eq!(
            refusal(&tokens, &forge(&json!({"alg": "HS256"}), &large, SECRET)).await,
            Some(TokenError::TooLong)
        );
    }

    #[test]
    fn keys_that_are_too_weak_or_of_another_kind() {
        let known = known();
        assert!(Tokens::secret(&SECRET[1..]).is_err_and(|error| error.to_string().contains("32 bytes")));
        assert!(Grant::new("u1").sign(&SECRET[1..]).is_err());
        for kind in ["small", "p384"] {
            let error = Tokens::public_keys(text(&known[kind]["pem"]).as_bytes()).expect_err(kind);
            assert!(error.to_string().contains("RSA of 2048 to 8192 bits, P-256 and Ed25519"), "{error}");
        }
        for bad in ["", "secret", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
            let error = Tokens::public_keys(bad.as_bytes()).expect_err(bad);
            assert!(error.to_string().contains("-----BEGIN PUBLIC KEY-----"), "{error}");
        }
    }

    #[test]
    fn of_a_set_only_what_can_be_used_counts() {
        let known = known();
        let mut for_encryption = known["rsa"]["jwk"].clone();
        for_encryption["use"] = json!("enc");
        let mut for_another = known["p256"]["jwk"].clone();
        for_another["alg"] = json!("ES512");
        let secret = json!({"kty": "oct", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"});
        let useless = vec![
            for_encryption,
            for_another,
            secret,
            known["small"]["jwk"].clone(),
            known["p384"]["jwk"].clone(),
            json!({"kty": "RSA", "n": "", "e": "AQAB"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}),
            json!(7),
        ];
        let set = |keys: &[Value]| Keys::set(json!({ "keys": keys }).to_string().as_bytes());
        assert_eq!(set(&useless).err(), Some(KeyError::NoneUsable));
        let mut named = known["ed25519"]["jwk"].clone();
        named["alg"] = json!("EdDSA");
        let mixed = set(&[useless, vec![named.clone()]].concat()).expect("one key");
        assert_eq!(format!("{mixed:?}"), "[EdDsa]");
        assert_eq!(set(&vec![named; 33]).err(), Some(KeyError::TooMany));
        assert_eq!(Keys::set(b"<html>").err(), Some(KeyError::NoSet));
        assert_eq!(Keys::set(br#"{"keys": {}}"#).err(), Some(KeyError::NoSet));
    }

    #[actix_web::test]
    async fn a_granted_token_says_what_was_granted() {
        let tokens = Tokens::secret(SECRET).expect("long enough").issuer("i").audience("a");
        let grant = Grant::new("u1")
            .channel("private-a.*".parse().expect("a pattern"))
            .publish("private-a.1".parse().expect("a pattern"))
            .info(json!({"name": "Ann"}))
            .issuer("i")
            .audience("a");
        let subject = tokens.verify(&grant.sign(SECRET).expect("long enough")).await.expect("a good token");
        let claims: &Claims = subject.user().expect("claims");
        assert!(claims.covers("private-a.2") && !claims.covers("private-b"));
        assert!(claims.may_publish("private-a.1") && !claims.may_publish("private-a.2"));
        assert_eq!(claims.info().map(|info| info.as_str()), Some(r#"{"name":"Ann"}"#));
        assert!(subject.token_id().is_some());
        let left = subject.expires_at().expect("an expiry").duration_since(SystemTime::now()).expect("later");
        assert!((3_500..=3_615).contains(&left.as_secs()), "{left:?}");
        assert!(Grant::new("").sign(SECRET).is_err());
    }
}
